"""Numbers and words of a report."""

import math

import msgspec
import numpy as np
import pytest

from neurohw.circuits.interconnect import Wires
from neurohw.mappings.scale import physical_scale
from neurohw.reports import summary


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.85e-6, "S", "3.85 µS"),
        (-2e-9, "V", "−2 nV"),
        (0.0, "W", "0 W"),
        (math.inf, "S", "unlimited"),
        (math.nan, "V", "–"),
        (0.015, "S/V²", "15 mS/V²"),
        (1.5, "", "1.5"),
    ],
)
def test_number(value, unit, text):
    assert summary.number(value, unit).replace("\xa0", " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0346, "3.46 %"),
        (0.0, "0.00 %"),
        (1e-6, "< 0.01 %"),
        (1.0, "100.00 %"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_percent(value, text):
    assert summary.percent(value) == text


@pytest.mark.parametrize(("value", "text"), [(12140, "12,140"), (0.5, "0.5"), (1e12, "1e+12")])
def test_count(value, text):
    assert summary.count(value) == text


def test_labels_are_short_and_different(make_run):
    ideal, chip = make_run(), make_run(chip="epiram")
    assert summary.labels([ideal, chip]) == ["ideal", "epiram"]
    assert summary.labels([ideal, make_run(seed=1)])[1] == "ideal · drn-digits · seed 1"
    assert len(set(summary.labels([ideal, ideal, chip]))) == 3
    assert summary.title([ideal, ideal, chip]) == "ideal, epiram"
    many = [make_run(chip=name) for name in ("pcmo", "epiram", "gst-pcm", "ideal")]
    assert summary.title(many) == "pcmo, epiram and 2 more chips"


def test_reference_is_the_ideal_run(make_run):
    ideal, chip = make_run(), make_run(chip="epiram")
    assert summary.reference_of([chip, ideal]) == 1
    assert summary.reference_of([chip, chip]) == 0


def test_comparison(make_run):
    ideal, chip, longer = make_run(), make_run(chip="epiram"), make_run(chip="pcmo", epochs=8)
    ideal.history["test_error"] = np.array([0.10, 0.08, 0.06, 0.05, 0.05])
    chip.history["test_error"] = np.array([0.105, 0.09, 0.08, 0.05, 0.04])
    longer.history["test_error"] = np.array([0.104, *[0.0] * 7])
    parts, stays = summary.compare([chip, ideal, longer])
    assert parts.label == "epiram"
    np.testing.assert_allclose(parts.gap, [0.005, 0.01, 0.02, 0.0, -0.01], atol=1e-15)
    assert "after epoch 3, the first" in parts.words and "(2.00)" in parts.words
    assert "(5) it is 1.00 points ahead" in parts.words
    assert stays.epochs.tolist() == [1, 2, 3, 4, 5]
    assert "largest gap is 0.40 points, after epoch 1" in stays.words
    ahead = summary.compare([ideal, make_run(chip="gst-pcm", excess=-0.05)])
    assert ahead[0].gap[-1] < 0
    assert summary.compare([ideal]) == []


def test_notes_tell_what_differs(make_run):
    first, second = make_run(), make_run("drn-xs", seed=1, inputs=1568)
    second.counters["epoch"] = 2
    text = "\n".join(summary.notes([first, second]))
    assert "differ in recipe: drn-digits, drn-xs." in text
    assert "differ in data set: digits, mnist." in text
    assert "differ in seed: 0, 1." in text
    assert "unfinished: 2 of 5 epochs" in text
    assert summary.notes([first, make_run(chip="epiram")]) == []


def test_loss_in_wires_is_shown_where_there_are_wires(make_run):
    run = make_run(chip="epiram")
    columns = summary.physics(run).columns
    wires = Wires(word_line=1.0, bit_line=1.0)
    chip = msgspec.structs.replace(run.experiment.chip, wires=wires)
    run.experiment = msgspec.structs.replace(run.experiment, chip=chip)
    run.physical |= {"wire_loading": np.array([1.7, 0.2]), "wire_loss": np.array([0.42, 0.04])}
    table = summary.physics(run)
    assert table.columns == (*columns, "Loading of wires", "Lost in wires")
    assert [row[-2:] for row in table.rows[:2]] == [("1.7", "42.00 %"), ("0.2", "4.00 %")]
    (note,) = summary.notes([run])
    assert note.endswith(
        ": wires of layer 1: loading 1.7 above 1, mean current loss 42 %: tiles are too large."
    )


def test_pulses_against_endurance(make_run):
    run = make_run(chip="gst-pcm")
    assert summary.pulses(run).rows[0][-2:] == ("not stated", "–")
    device = msgspec.structs.replace(run.experiment.chip.device, endurance=1e5)
    chip = msgspec.structs.replace(run.experiment.chip, device=device)
    run.experiment = msgspec.structs.replace(run.experiment, chip=chip)
    run.arrays[0]["pulses"][:] = 3
    run.arrays[0]["pulses"][0, 0] = 2000
    table = summary.pulses(run)
    assert table.rows[0][3] == "2,000" and table.rows[0][2] == "3"
    assert table.rows[0][-2:] == ("100,000", summary.percent(0.02))
    assert summary.pulses(make_run()) is None


def test_bias_cells_have_rows_of_their_own(make_run):
    run = make_run(chip="epiram", rails=True)
    bias = ["Bias cells of layer 1", "Bias cells of layer 2"]
    tables = [summary.saturation(run), summary.pulses(run), summary.physics(run)]
    for table, layers in zip(
        tables,
        [*[["Input → hidden 1", "Hidden 1 → output"]] * 2, ["Hidden 1", "Output"]],
        strict=True,
    ):
        assert [row[0] for row in table.rows] == layers + bias
        assert {len(row) for row in table.rows} == {len(table.columns)}
    at_limits, spent, carried = ([row[1:] for row in table.rows[2:]] for table in tables)
    for k, cells in enumerate(run.biases):
        low, high = summary.window(run, k)
        assert at_limits[k] == (
            summary.count(cells["conductance"].size),
            *(summary.number(limit, "S") for limit in (low, high)),
            *(summary.percent(run.physical[f"bias_saturated_{end}"][k]) for end in ("low", "high")),
        )
        assert spent[k][0] == summary.count(cells["pulses"].mean())
        assert spent[k][2] == summary.count(cells["pulses"].max())
        assert carried[k] == (
            *["–"] * 4,
            summary.number(run.physical["bias_power"][k], "W"),
            summary.percent(run.physical["bias_above_write_threshold"][k]),
        )


def test_bias_cells_that_were_not_measured(make_run):
    run = make_run(chip="epiram", rails=True)
    run.physical = {key: v for key, v in run.physical.items() if not key.startswith("bias_")}
    assert summary.physics(run).rows[-1] == ("Bias cells of layer 2", *["–"] * 6)
    assert summary.saturation(run).rows[-1][-2:] == ("–", "–")


def test_scale_shows_this_runs_nudging_and_rates(make_run):
    run = make_run(chip="epiram")
    rows = {row[0]: row[1] for row in summary.scales([run]).rows}
    experiment = run.experiment
    inputs = [array["conductance"].shape[1] for array in run.arrays]
    scale = physical_scale(experiment.chip, inputs, experiment.input_gain)
    assert rows["nudging β"] == summary.number(scale.nudging(experiment.nudging), "S")
    assert rows["input full scale"].replace("\xa0", " ") == "200 mV"


def test_configuration_reads_as_toml(make_run):
    import tomllib

    read = tomllib.loads(summary.configuration(make_run(chip="epiram")))
    assert read["network"]["hidden"] == [64]
    assert read["chip"]["device"]["name"] == "epiram"
    assert math.isinf(read["chip"]["device"]["endurance"])


def test_differences(make_run):
    table = summary.differences([make_run(), make_run(seed=3)])
    assert table.rows == [("training.seed", "0", "3")]
    assert summary.differences([make_run(), make_run()]) is None


def test_what_an_update_scheme_needs(make_run):
    run = make_run(chip="gst-pcm")
    assert summary.memory(run) == ""
    for settings, words in (
        ({"optimizer": "adam"}, "64 bits of digital memory a weight"),
        ({"accumulate": "analog"}, "2 memory cells a weight"),
    ):
        programming = msgspec.structs.replace(run.experiment.chip.programming, **settings)
        chip = msgspec.structs.replace(run.experiment.chip, programming=programming)
        run.experiment = msgspec.structs.replace(run.experiment, chip=chip)
        assert words in summary.memory(run)
    run.arrays[0]["fast_pulses"] = run.arrays[0]["pulses"] + 5
    names = [row[0] for row in summary.pulses(run).rows]
    assert names[:2] == ["Input → hidden 1", "Input → hidden 1: fast array"]
