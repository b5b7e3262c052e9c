"""Chips whose crossbars have wires with resistance."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import Chip
from neurohw.circuits import tiles
from neurohw.errors import ConfigurationError
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network
from neurohw.update import Update, pairs

PIXELS, HIDDEN, OUTPUTS = 9, 7, 3


def make(device="ideal", *, dtype="float64", refresh=4, wires=True, bias="off"):
    table = {"device": device, "bias": {"kind": bias}}
    if wires:
        table["wires"] = {"word_line": 40.0, "bit_line": 30.0, "tile": 6, "refresh": refresh}
    network = deep_resistive_network(PIXELS, [HIDDEN], OUTPUTS, dtype)
    return Chip(chip_specification.load(table), network, 10.0, seed=0, dtype=dtype)


def update_of(array, rng):
    """Draw a small update as equilibrium propagation makes them."""
    units, inputs = array.values().shape
    lines, dtype = inputs // (1 + array.paired), array.values().dtype
    size = 0.1 * array.values().max() ** 0.5
    return Update(
        presynaptic=(size * rng.normal(size=(1, 4, lines))).astype(dtype),
        postsynaptic=(size * rng.normal(size=(1, 4, units))).astype(dtype),
        row=None if array.paired else (size**2 * rng.normal(size=(1, inputs))).astype(dtype),
        column=(size**2 * rng.normal(size=(1, units))).astype(dtype),
        paired=array.paired,
    )


def voltages_for(array, rng, batch=3):
    lines = array.values().shape[1] // (1 + array.paired)
    return rng.normal(size=(batch, lines)).astype(array.values().dtype)


def test_reads_are_those_of_the_terminals():
    rng = np.random.default_rng(0)
    chip = make()
    for array, seen in zip(chip.arrays, chip.seen(0), strict=True):
        wires, g = chip.specification.wires, array.values()
        x = voltages_for(array, rng)
        lines = pairs(x) if array.paired else x
        units = rng.normal(size=(3, len(g)))
        zero_units, zero_inputs = np.zeros_like(units), np.zeros_like(lines)
        _, out = tiles.currents(g, wires, lines, zero_units)
        back, _ = tiles.currents(g, wires, zero_inputs, units)
        assert_allclose(array.read(x), out, rtol=0, atol=1e-9 * np.abs(out).max())
        assert_allclose(array.read_transposed(units), -back, rtol=0, atol=1e-9 * np.abs(back).max())
        assert np.abs(out - lines @ g.T).max() > 1e-4 * np.abs(out).max()
        assert_array_equal(seen.cells, g)
        assert seen.wires == wires


def test_a_read_out_of_cells_reduces_their_wires():
    rng, chip = np.random.default_rng(0), make()
    for array in chip.arrays:
        found = array.values() * rng.uniform(0.5, 2, array.values().shape)
        array.take_over(found)
        x = voltages_for(array, rng)
        lines = pairs(x) if array.paired else x
        _, out = tiles.currents(found, chip.specification.wires, lines, np.zeros((3, len(found))))
        assert_allclose(array.read(x), out, rtol=0, atol=1e-9 * np.abs(out).max())


@pytest.mark.parametrize(("device", "dtype"), [("ideal", "float64"), ("epiram", "float32")])
def test_cells_learn_as_without_wires_and_reads_follow(device, dtype):
    wired, plain = make(device, dtype=dtype), make(device, dtype=dtype, wires=False)
    for ours, theirs in zip(wired.arrays, plain.arrays, strict=True):
        rng = np.random.default_rng(1)
        for event in range(6):
            update, coming = update_of(ours, rng), voltages_for(ours, rng)
            found = ours.program(update, event, coming)
            theirs.program(update, event, coming)
            assert_array_equal(ours.values(), theirs.values())
            share = 50 * np.finfo(dtype).eps
            assert_allclose(found, ours.read(coming), rtol=0, atol=share * np.abs(found).max())
        assert ours.program(update_of(ours, rng), 6) is None


def test_refreshes_depend_on_the_event_alone():
    chip = make(refresh=4)
    for array in chip.arrays:
        rng = np.random.default_rng(2)
        errors = []
        for event in range(9):
            array.program(update_of(array, rng), event)
            exact = tiles.reduce(array.values(), chip.specification.wires, driven=array.driven)
            errors.append(np.abs(array.seen(0).conductance - exact.transfer).max())
        rounding = 1e-12 * array.values().max()
        assert [event for event, error in enumerate(errors) if error < rounding] == [3, 7]


@pytest.mark.parametrize("device", ["ideal", "epiram"])
def test_a_restored_array_goes_on_bitwise(device):
    first, second = make(device, dtype="float32"), make(device, dtype="float32")
    for ours, theirs in zip(first.arrays, second.arrays, strict=True):
        rng = np.random.default_rng(3)
        for event in range(2):
            ours.program(update_of(ours, rng), event)
        theirs.restore(ours.record())
        for event in range(2, 6):
            update, coming = update_of(ours, rng), voltages_for(ours, rng)
            found = [array.program(update, event, coming) for array in (ours, theirs)]
            assert_array_equal(*found)
            one, other = ours.record(), theirs.record()
            assert one.keys() == other.keys()
            for key in one:
                assert_array_equal(one[key], other[key])


def test_bias_cells_have_no_wires():
    chip = make("epiram", bias="rails")
    assert all(bias.array.seen(0).wires is None for bias in chip.biases)


def test_wires_of_a_technology_node_follow_the_temperature():
    cold = chip_specification.load({"device": "ideal", "wires": {"node": 22}, "temperature": 200.0})
    assert_allclose(cold.interconnect.word_line, 4.92 * (1 - 0.00451 * 100), rtol=1e-12)
    assert cold.interconnect.bit_line == cold.interconnect.word_line
    small = chip_specification.load({"device": "ideal", "wires": {"node": 22, "half_pitches": 2}})
    assert_allclose(small.interconnect.word_line, 2.46, rtol=1e-12)
    network = deep_resistive_network(2, [2], 2)
    chip = Chip(cold, network, 1.0, seed=0, dtype="float64")
    assert chip.seen(0)[1].wires == cold.interconnect


@pytest.mark.parametrize(
    ("wires", "words"),
    [
        ({"word_line": "1 Ohm"}, "wires.bit_line = 0: must be above 0, or node given"),
        ({"word_line": "0 Ohm", "bit_line": "1 Ohm"}, "wires.word_line = 0: must be above 0"),
        ({"word_line": "-1 Ohm", "bit_line": "1 Ohm"}, "wires.word_line = -1.0: must be finite"),
        ({"word_line": 1.0, "bit_line": float("nan")}, "wires.bit_line = nan: not a number"),
        ({"word_line": 1.0, "bit_line": float("inf")}, "wires.bit_line = inf: must be finite"),
        ({"word_line": "1 S", "bit_line": 1.0}, "wires.word_line = .* must be Ohm, not S"),
        ({"word_line": 1.0, "bit_line": 1.0, "source": -2.0}, "wires.source = -2.0: must be"),
        ({"word_line": 1.0, "bit_line": 1.0, "tile": 0}, "wires.tile = 0: must be at least 1"),
        ({"word_line": 1.0, "bit_line": 1.0, "refresh": 0}, "wires.refresh = 0: must be at"),
        ({"node": 23}, "wires.node = 23: known are 200, "),
        ({"node": 22, "half_pitches": 3}, "wires.half_pitches = 3: must be 2 or 4"),
        ({"node": 22, "bit_line": 1.0}, "wires.bit_line = 1.0: must be left out, because node"),
    ],
)
def test_refused_wires(wires, words):
    with pytest.raises(ConfigurationError, match=f"^chip: {words}") as failure:
        chip_specification.load({"device": "ideal", "wires": wires})
    assert "\n" not in str(failure.value)


def test_a_node_needs_a_temperature_that_its_table_covers():
    with pytest.raises(ConfigurationError, match=r"temperature = 50\.0: wires\.node needs 100 K"):
        chip_specification.load({"device": "ideal", "wires": {"node": 22}, "temperature": 50.0})
