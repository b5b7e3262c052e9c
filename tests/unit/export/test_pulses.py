"""Programming schedules: what is written, and what a simulated chip makes of it."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.devices.laws.label import curvature
from neurohw.errors import ConfigurationError, ExportError, UnsupportedError
from neurohw.experiments import evaluation, run_file
from neurohw.experiments.scheduled import simulate
from neurohw.experiments.step import crossbars_of
from neurohw.export import formats, pulses, writing
from neurohw.export.importing import imported
from neurohw.export.mapping import weight_map

SMALL = ("data.train=40", "network.hidden=[9]", "data.crop=2")
QUIET = ("chip.device.cycle_to_cycle=0",)
BROKEN = ("chip.mapping.tile=20", "chip.mapping.spare_bit_lines=1", "chip.device.stuck.yield=95 %")


def written(run, tmp_path, *settings):
    form, out = formats.load("pulses", settings), tmp_path / "plan"
    writing.write(form, weight_map(run), out)
    return form, out


@pytest.fixture(scope="module")
def quiet(make_run):
    return make_run("drn-digits", "epiram", (*SMALL, *QUIET))


@pytest.fixture(scope="module")
def noisy(make_run):
    return make_run("drn-digits", "epiram", (*SMALL, *BROKEN))


def rows_of(out):
    with (out / pulses.TABLE).open() as file:
        return list(csv.DictReader(file))


def test_every_cell_has_a_row_with_its_pulses(noisy, tmp_path):
    _, out = written(noisy, tmp_path)
    rows = rows_of(out)
    weights = weight_map(noisy)
    assert len(rows) == sum(tile.weights for tile in weights.tiles())
    device, span = noisy.experiment.chip.device, noisy.experiment.chip.device.span
    for row in rows:
        assert float(row["set_amplitude_V"]) == device.pulse_voltage_up == 5.0
        assert float(row["set_width_s"]) == device.pulse_width_up == 5e-6
        assert float(row["reset_amplitude_V"]) == device.pulse_voltage_down == -3.0
        assert row["reset_pulses"] == "0" and row["full_reset"] == "0"
    first = [row for row in rows if row["array"].startswith("layer1")]
    assert_allclose([float(row["tolerance_S"]) for row in first], 0.01 * span)
    # A stuck cell takes no pulse, others as many as the label curve has up to their place.
    stuck = sum(int(block.stuck.sum()) for t in weights.tiles() for block in t.blocks())
    idle = [row for row in rows if row["set_pulses"] == "0"]
    assert stuck > 0 and len(idle) >= stuck
    a = 1 / curvature(device.nonlinearity_up)
    for row in [row for row in first if row not in idle]:
        place = (float(row["g_target_S"]) - device.g_min) / span
        count = -64 * a * np.log1p(place * np.expm1(-1 / a))
        assert abs(int(row["set_pulses"]) - count) < 0.51


def test_totals_are_those_of_the_rows(noisy, tmp_path):
    form, out = written(noisy, tmp_path)
    totals, rows = pulses.about(out)["totals_of_first_trains"], rows_of(out)
    count = sum(int(row["set_pulses"]) for row in rows)
    assert totals["set_pulses"] == count and totals["cells"] == len(rows)
    # ½·V²·t·(G before + G after) of each pulse, the mean over its train; lines come on top.
    each = [
        int(r["set_pulses"]) * 0.5 * 25 * 5e-6 * (float(r["g_start_S"]) + float(r["g_expected_S"]))
        for r in rows
    ]
    assert sum(each) < totals["energy_J"] < 1.2 * sum(each)
    # Word lines follow one another, each as long as its longest train; tiles at the same time.
    longest = {}
    for row in rows:
        key = row["array"], row["word_line"]
        longest[key] = max(longest.get(key, 0), int(row["set_pulses"]))
    times = {}
    for (array, _), slots in longest.items():
        times[array] = times.get(array, 0) + slots * 5e-6
    assert totals["time_s"] == pytest.approx(max(times.values()))
    (note,) = form.notes(out)
    assert f"{count:,} set pulses" in note


def test_a_quiet_chip_ends_where_it_is_expected(quiet, tmp_path):
    """Open loop, without noise and spread: within half a pulse of every target."""
    _, out = written(quiet, tmp_path)
    schedules = pulses.schedules(out, quiet)
    found = simulate(quiet, schedules, seed=5)
    for schedule, reached in zip(schedules, found.reached, strict=True):
        span = (schedule.nominal.high - schedule.nominal.low).item()
        assert_allclose(reached, schedule.first.expected, atol=1e-5 * span)
        # The nearest of 64 pulses, of which none is longer than 1.3 times their mean.
        assert np.abs(reached - schedule.target).max() <= 0.5 * 1.3 * span / 64
    outcome = found.outcome
    assert outcome.set_pulses == sum(s.first.pulses.sum() for s in schedules)
    assert outcome.reads == outcome.reset_pulses == outcome.stuck == 0
    totals = pulses.about(out)["totals_of_first_trains"]
    assert outcome.energy == pytest.approx(totals["energy_J"], rel=1e-4)
    assert outcome.time == pytest.approx(totals["time_s"])


def test_arrays_beside_the_layers_have_no_schedule_but_stay(make_run, tmp_path):
    settings = ["data.name=digits", "data.train=40", "network.hidden=[9]"]
    run = make_run("fa-1h", "epiram", settings)
    _, out = written(run, tmp_path)
    found = simulate(run, pulses.schedules(out, run), seed=5, start={"checksum": ""}).run
    assert found.beside.keys() == run.beside.keys() == {"feedback_0"}
    assert evaluation.evaluate(found)["test_error"] == float(found.start["test_error"])


def test_reads_between_trains_bring_cells_nearer(noisy, tmp_path):
    _, out = written(noisy, tmp_path, "retries=20")
    schedules = pulses.schedules(out, noisy)
    open_loop = simulate(noisy, schedules, seed=5).outcome
    verified = simulate(noisy, schedules, seed=5, retries=20, start={"checksum": ""})
    outcome = verified.outcome
    assert open_loop.stuck == outcome.stuck > 0
    assert open_loop.within < outcome.within - 0.2 and outcome.rms < open_loop.rms
    # All but stuck cells end within 1 % of the range.
    cells = sum(s.target.size for s in schedules)
    assert outcome.within >= 1 - outcome.stuck / cells - 0.01
    assert outcome.reset_pulses > 0 and outcome.reads > cells
    assert outcome.time > open_loop.time and outcome.energy > open_loop.energy
    # The run that comes of it stands where the cells were left.
    assert verified.run is not None
    for reached, record in zip(verified.reached, verified.run.arrays, strict=True):
        assert_array_equal(record["conductance"], reached)
    assert float(verified.run.start["test_error"]) == outcome.test_error


def test_chips_of_other_seeds_differ(noisy, tmp_path):
    _, out = written(noisy, tmp_path)
    schedules = pulses.schedules(out, noisy)
    first, again, other = (simulate(noisy, schedules, seed=seed) for seed in (5, 5, 6))
    assert first.outcome == again.outcome
    assert first.outcome.rms != other.outcome.rms


def test_from_another_state_only_differences_are_pulsed(quiet, make_run, tmp_path):
    other = make_run("drn-digits", "epiram", (*SMALL, *QUIET), seed=1)
    run_file.save(tmp_path / "present.h5", other)
    _, out = written(quiet, tmp_path, f"start={tmp_path / 'present.h5'}")
    assert sum(int(row["reset_pulses"]) for row in rows_of(out)) > 0
    schedules = pulses.schedules(out, quiet)
    for schedule, record in zip(schedules, other.arrays, strict=True):
        assert_allclose(schedule.start, record["conductance"], rtol=1e-6)
        at_once = (schedule.start < schedule.target) == (schedule.first.pulses > 0)
        assert at_once[schedule.first.pulses != 0].all()
    found = simulate(quiet, schedules, seed=5)
    for schedule, reached in zip(schedules, found.reached, strict=True):
        span = (schedule.nominal.high - schedule.nominal.low).item()
        assert np.abs(reached - schedule.target).max() <= 0.5 * 1.3 * span / 64


def test_a_state_of_another_chip_is_refused(quiet, noisy, tmp_path):
    run_file.save(tmp_path / "present.h5", noisy)
    with pytest.raises(UnsupportedError, match="start: is a run of another chip"):
        written(quiet, tmp_path, f"start={tmp_path / 'present.h5'}")
    assert not (tmp_path / "plan").exists()


def test_a_state_of_another_fabrication_is_refused(noisy, make_run, tmp_path):
    here, other = (make_run("drn-digits", "reram-sb", SMALL, seed=seed) for seed in (0, 1))
    run_file.save(tmp_path / "present.h5", other)
    with pytest.raises(UnsupportedError, match=r"layer1 have other limits: .* another seed"):
        written(here, tmp_path, f"start={tmp_path / 'present.h5'}")


def test_pairs_of_one_sided_cells(make_run, tmp_path):
    """Phase-change cells are erased before they are lowered; spread is that of the fresh chip."""
    settings = ("data.name=digits", *SMALL, "chip.mapping.sides=one")
    run = make_run("mlp-1h", "pcm", settings)
    # The same chip, where each pair holds the weight negated.
    held = [
        record
        | {"conductance_0": record["conductance_1"], "conductance_1": record["conductance_0"]}
        for record in run.arrays
    ]
    run_file.save(tmp_path / "present.h5", replace(run, arrays=held))
    _, out = written(run, tmp_path, f"start={tmp_path / 'present.h5'}", "tolerance=4 %")
    schedules = pulses.schedules(out, run)
    assert len(schedules) == 4
    assert any(schedule.first.erased.any() for schedule in schedules)
    assert all((schedule.first.pulses >= 0).all() for schedule in schedules)
    outcomes = [simulate(run, schedules, seed=2, retries=n).outcome for n in (0, 8)]
    assert outcomes[1].within > outcomes[0].within + 0.1
    assert outcomes[1].rms < 0.8 * outcomes[0].rms
    assert outcomes[1].erased > outcomes[0].erased > 0 and outcomes[1].reset_pulses == 0


def test_crossbars_of_every_scheme_are_told_apart(case, tmp_path):
    """Pairs, references, slices, bias cells, narrow ones: each gets its own schedule."""
    machine, run = case
    if run.experiment.chip.device.law == "ideal":
        with pytest.raises(UnsupportedError, match="takes any change without pulses"):
            written(run, tmp_path)
        return
    _, out = written(run, tmp_path)
    schedules = pulses.schedules(out, run)
    if run.experiment.chip.programming.accumulate == "carry":
        assert len(schedules) == 2 * len(crossbars_of(machine.chip, beside=False))
        return
    for schedule, crossbar in zip(schedules, crossbars_of(machine.chip, beside=False), strict=True):
        assert_array_equal(schedule.target, crossbar.values())
    shares = []
    found = simulate(run, schedules, seed=0, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert found.outcome.rms < 0.3 and len(found.reached) == len(schedules)


def test_amplifiers_and_currents_are_those_of_the_run(make_run, tmp_path):
    settings = ("data.name=digits", *SMALL, *QUIET, "chip.mapping.scale=column")
    run = make_run("mlp-1h", "epiram", (*settings, "chip.bias.kind=current"))
    run.arrays[0]["gains"] = np.full(9, 0.5)
    run.biases[1]["current"] += 2e-6
    _, out = written(run, tmp_path)
    found = simulate(run, pulses.schedules(out, run), seed=5, start={"checksum": ""})
    assert found.run is not None
    assert_array_equal(found.run.arrays[0]["gains"], 0.5)
    assert_array_equal(found.run.biases[1]["current"], run.biases[1]["current"])


def test_import_is_where_the_nominal_device_is_led_to(quiet, tmp_path):
    form, out = written(quiet, tmp_path)
    same, sentence = form.verify(weight_map(quiet), out)
    assert same and "the targets are the map's" in sentence
    back = imported(form, out, quiet)
    for schedule, record in zip(pulses.schedules(out, quiet), back.arrays, strict=True):
        assert_allclose(record["conductance"], schedule.first.expected, rtol=1e-6)


def test_a_nominal_device_may_end_where_a_cell_cannot(make_run, tmp_path):
    """Limits of ecram spread from cell to cell; the nominal device has others."""
    run = make_run("drn-digits", "ecram", SMALL)
    low = run.arrays[0]["g_min"]
    held = [{**run.arrays[0], "conductance": low}, *run.arrays[1:]]
    run = replace(run, arrays=held)
    form, out = written(run, tmp_path)
    back = imported(form, out, run)
    assert (back.arrays[0]["conductance"] < 0.9999 * low).any()


def test_verification_finds_another_target(quiet, tmp_path):
    form, out = written(quiet, tmp_path)
    lines = (out / pulses.TABLE).read_text().splitlines(keepends=True)
    fields = lines[7].split(",")
    fields[4] = "3e-06"
    (out / pulses.TABLE).write_text("".join([*lines[:7], ",".join(fields), *lines[8:]]))
    same, sentence = form.verify(weight_map(quiet), out)
    assert not same and sentence.startswith("targets are")


def test_an_ideal_device_takes_no_pulses(make_run, tmp_path):
    run = make_run("drn-digits", "ideal", SMALL)
    with pytest.raises(UnsupportedError, match="law = ideal takes any change without pulses"):
        written(run, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("setting", ["retries=-1", "tolerance=0", "tolerance=150 %"])
def test_options_out_of_range_are_refused(setting):
    with pytest.raises(ConfigurationError, match=setting.split("=")[0]):
        formats.load("pulses", [setting])


def test_narrow_cells_are_planned_but_not_simulated(make_run, tmp_path):
    run = make_run("drn-digits", "epiram", (*SMALL, "chip.programming.accumulate=carry"))
    _, out = written(run, tmp_path)
    assert any(row["array"].startswith("layer1-narrow") for row in rows_of(out))
    with pytest.raises(UnsupportedError, match="accumulate = carry"):
        simulate(run, pulses.schedules(out, run), seed=0)


def test_schedules_of_another_network_are_refused(quiet, noisy, make_run, tmp_path):
    _, out = written(quiet, tmp_path)
    with pytest.raises(
        ExportError, match=r"pulses\.csv: array layer1-0-0: word line 31: it has 20"
    ):
        pulses.schedules(out, noisy)
    deeper = ("data.train=40", "data.crop=2", "network.hidden=[9,4]", "learning.learning_rate=0.02")
    rates = ("learning.bias_learning_rate=0.02", *QUIET)
    other = make_run("drn-digits", "epiram", (*deeper, *rates))
    with pytest.raises(ExportError, match=r"map\.json: layer2: units = 10, that of .* is 4"):
        pulses.schedules(out, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "array layer2-0-0, word line 8, bit line 9: is missing"),
        (lambda lines: [*lines, lines[-1]], "stands in line .* already"),
        (lambda lines: [*lines[:-1], lines[-1][:40]], "fields, the header has 15"),
        (lambda lines: [s.replace(",u3i", ",u4i") for s in lines], "were lines swapped"),
        (
            lambda lines: [lines[0], *map(in_microsiemens, lines[1:])],
            "1e6 too large: are they in uS",
        ),
        (
            lambda lines: [lines[0].replace("set_pulses", "pulses"), *lines[1:]],
            "set_pulses: is miss",
        ),
        (lambda lines: with_field(lines, "set_pulses", "inf"), "set_pulses: must be finite"),
        (lambda lines: with_field(lines, "reset_pulses", "-2"), "reset_pulses: .* 0 or more"),
        (lambda lines: with_field(lines, "tolerance_S", "1"), "cells of layer2 must have one"),
    ],
)
def test_damaged_schedules_are_refused(change, message, quiet, tmp_path):
    _, out = written(quiet, tmp_path)
    lines = (out / pulses.TABLE).read_text().splitlines()
    (out / pulses.TABLE).write_text("\n".join(change(lines)) + "\n")
    with pytest.raises(ExportError, match=rf"pulses\.csv: .*{message}"):
        pulses.schedules(out, quiet)


def with_field(lines, column, value):
    """Give the last cell another value in a column."""
    fields = lines[-1].split(",")
    fields[lines[0].split(",").index(column)] = value
    return [*lines[:-1], ",".join(fields)]


def in_microsiemens(line):
    fields = line.split(",")
    fields[4] = repr(1e6 * float(fields[4]))
    return ",".join(fields)


def test_a_damaged_description_is_refused(quiet, tmp_path):
    _, out = written(quiet, tmp_path)
    about = json.loads((out / pulses.ABOUT).read_text())
    (out / pulses.ABOUT).write_text(json.dumps(about | {"retries": "many"}))
    with pytest.raises(ExportError, match=r"is damaged: retries: 'many' is no number"):
        pulses.about(out)
    del about["retries"]
    (out / pulses.ABOUT).write_text(json.dumps(about))
    with pytest.raises(ExportError, match=r"programming\.json: is damaged"):
        pulses.about(out)
    (out / pulses.ABOUT).unlink()
    with pytest.raises(ExportError, match=r"programming\.json: cannot be read"):
        pulses.schedules(out, quiet)
