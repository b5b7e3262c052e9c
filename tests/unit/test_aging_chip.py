"""Chips whose cells drift, wear out or are disturbed while they learn."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import Chip, Moment, SignedChip
from neurohw.cli import main
from neurohw.errors import InvalidValueError
from neurohw.experiments import configuration, evaluation, trainer
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network
from neurohw.update import Update, pairs


def make(device, preset="epiram", **chip):
    network = deep_resistive_network(5, [4], 3, "float64")
    table = {"device": {"preset": preset, **device}, **chip}
    return Chip(chip_specification.load(table), network, 10.0, seed=0, dtype="float64")


def update_of(array, rng, pulses=1.0):
    """Draw an update of about so many pulses a cell."""
    units, inputs = array.values().shape
    span = float(np.max(array.cells.high) - np.min(array.cells.low))
    size = np.sqrt(pulses * span / 64)
    return Update(
        presynaptic=size * rng.normal(size=(1, 4, inputs)),
        postsynaptic=0.5 * size * rng.normal(size=(1, 4, units)),
    )


def test_an_array_that_ages_goes_on_bitwise_after_a_restore():
    drift = {"exponent": 0.05, "exponent_spread": 0.02, "step_time": 10.0, "diffusion": 1e-3}
    first, second = (make({"reading": {"drift": drift}}).arrays[1] for _ in range(2))
    rng = np.random.default_rng(0)
    for event in range(3):
        first.program(update_of(first, rng, 0.1), event)
    second.restore(first.record())
    for event in range(3, 6):
        update, x = update_of(first, rng, 0.1), rng.normal(size=(2, 4))
        found = [array.program(update, event, x) for array in (first, second)]
        assert_array_equal(*found)
        assert_allclose(found[0], first.read(x), rtol=1e-12)
        assert_array_equal(first.values(), second.values())
    age = first.record()["age"]
    assert len(np.unique(age)) > 1
    assert age.max() <= 60


def test_worn_cells_stay_where_they_stand_and_are_counted():
    array, rng = make({"endurance": 5}).arrays[1], np.random.default_rng(1)
    for event in range(4):
        array.program(update_of(array, rng, 2.0), event)
    worn, held = array.pulses > 5, array.values()
    assert 0.1 < worn.mean() < 1
    assert array.worn == worn.mean()
    array.program(update_of(array, rng, 2.0), 4)
    assert_array_equal(array.values()[worn], held[worn])
    assert np.any(array.values()[~worn] != held[~worn])
    assert_allclose(array.seen().unit_sums, array.values().sum(axis=1))


def test_stressed_cells_are_disturbed_towards_the_voltage():
    chip = make({"write_threshold": "0.5 V", "reading": {"disturb": "1 %"}})
    inputs = np.array([[0.6, 0.0, 0.0, 0.0, 0.0]])
    nodes = [np.zeros((1, 4)), np.zeros((1, 3))]
    before = [array.values() for array in chip.arrays]
    assert chip.disturb(0.5 * inputs, nodes, 0) == 0
    assert chip.disturb(inputs, nodes, 0) == 8
    cells, g = chip.arrays[0].cells, chip.arrays[0].values()
    step = 0.01 * float(np.max(cells.high) - np.min(cells.low))
    expected = np.clip(before[0] + step * np.sign(pairs(inputs)), cells.low, cells.high)
    assert_allclose(g, expected, rtol=1e-12)
    assert_allclose(chip.arrays[0].seen().unit_sums, g.sum(axis=1))
    assert_array_equal(chip.arrays[1].values(), before[1])


def test_the_state_behind_write_noise_ages_with_what_is_read():
    drift = {"exponent": 0.1, "reference_time": 1.0}
    array = make({"reading": {"drift": drift}}, preset="reram-sb").arrays[1]
    rng = np.random.default_rng(2)
    array.program(update_of(array, rng), 0)
    before = array.record()
    array.wait(9.0)
    after = array.record()
    shift = before["state"] * (10**-0.1 - 1)
    assert_allclose(after["state"] - before["state"], shift, rtol=1e-10)
    read = np.maximum(before["conductance"] + shift, 0.0)
    assert_allclose(after["conductance"], read, rtol=1e-10)


def test_errors_after_a_time(tmp_path):
    drift = "chip.device.reading.drift"
    settings = [
        *("data.train=200", "network.hidden=[16]", "learning.variant=positive"),
        *(f"{drift}.exponent=0.05", f"{drift}.exponent_spread=0.05"),
        *("chip.device.reading.relative=1 %", "chip.bias.kind=rails"),
    ]
    path = tmp_path / "a.h5"
    run = trainer.train(configuration.load("drn-digits", settings=settings, epochs=1), out=path)
    now = evaluation.evaluate(run)
    rows = evaluation.evaluate_after(run, [0.0, 1e9])
    assert rows[0] == {"seconds": 0.0, **now}
    assert rows[1]["seconds"] == 1e9
    assert rows[1]["test_error"] != now["test_error"]
    assert evaluation.evaluate(run) == now
    command = ["evaluate", str(path), "--after", "0 s, 1e9 s"]
    shown = CliRunner().invoke(main, command).output
    assert re.findall(r"after +train error +test error\n +0 s .*\n +1e9 s .* %", shown)
    printed = json.loads(CliRunner().invoke(main, [*command, "--json"]).output)
    assert printed["after"] == rows
    wrong = CliRunner().invoke(main, ["evaluate", str(path), "--after", "1 V"])
    assert (wrong.exit_code, '"1 V": its unit must be s' in wrong.output) == (2, True)
    with pytest.raises(InvalidValueError, match="after = -1 s"):
        evaluation.evaluate_after(run, [-1.0])


@pytest.mark.parametrize("scheme", ["differential-pair", "offset"])
def test_signed_weights_are_read_with_the_noise_of_their_cells(scheme):
    reading = {"relative": "1 %", "correlation": "phase", "drift": {"exponent": 0.1}}
    table = {"device": {"preset": "epiram", "reading": reading}, "mapping": {"scheme": scheme}}
    rng = np.random.default_rng(0)
    weights = [rng.uniform(-1, 1, (4, 5)), rng.uniform(-1, 1, (3, 4))]
    chip = SignedChip(chip_specification.load(table), weights, seed=0, dtype="float64")
    assert chip.noisy
    for array in chip.arrays:
        units, inputs = array.shape
        x, y = rng.normal(size=(2, inputs)), rng.normal(size=(2, units))
        seen = [array.seen(Moment(3, phase=phase)).conductance for phase in (0, 1)]
        assert np.all(seen[0] != seen[1])
        for phase, g in enumerate(seen):
            # float32 draws, of cells much larger than their differences.
            size = 1e-5 * np.abs(g).max()
            assert_allclose(array.read(x, Moment(3, phase)), x @ g.T, atol=size)
            assert_allclose(array.read_transposed(y, Moment(3, phase)), y @ g, atol=size)
        assert_allclose(array.read(x), x @ array.values().T, atol=1e-12)
        before = array.values()
        chip.wait(1e3)
        assert np.all(array.values() != before)
