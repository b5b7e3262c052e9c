"""Compiled readings of an array are those of the readable law; engines see what lines carry."""

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import Chip, Moment
from neurohw.circuits import tiles
from neurohw.devices.reading import kernels
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network
from neurohw.update import pairs

# Beside a tile of 512 cells.
PIXELS, HIDDEN, OUTPUTS = 261, 9, 3
SHAPED = {"flicker": 0.01, "bandwidth": 1e6, "flicker_exponent": 0.5, "flicker_most": 0.03}
NOISES = {
    "plain": {"relative": 0.02, "absolute": 0.01, "thermal": True, "bandwidth": 1e6},
    "flicker": {"flicker": 0.01, "bandwidth": 1e6},
    "shaped": {"relative": 0.01, **SHAPED},
}
MOMENTS = [Moment(3), Moment(3, phase=1), Moment(3, phase=2), Moment(4), Moment(4, 1, 2, 3)]


def make(reading, *, wires=False, pixels=PIXELS):
    table = {"device": {"preset": "epiram", "reading": reading}}
    if wires:
        table["wires"] = {"word_line": 40.0, "bit_line": 30.0, "tile": 6}
    network = deep_resistive_network(pixels, [HIDDEN], OUTPUTS, "float32")
    return Chip(chip_specification.load(table), network, 10.0, seed=0, dtype="float32")


def lines_of(array, rng, batch=3):
    lines = array.values().shape[1] // (1 + array.paired)
    return rng.normal(size=(batch, lines)).astype(np.float32)


@pytest.mark.parametrize("correlation", ["frozen", "sample", "phase", "sweep", "spectrum"])
@pytest.mark.parametrize("noise", NOISES)
def test_readings_are_those_of_the_oracle(noise, correlation):
    chip, rng = make({"correlation": correlation, **NOISES[noise]}), np.random.default_rng(0)
    for array in chip.arrays:
        g, oracle = array.values(), array.reading.noise
        x = lines_of(array, rng)
        for moment in MOMENTS:
            number = oracle.number(moment.phase, moment.sample, moment.sweep)
            expected = oracle.noisy(g, moment.event, number)
            currents, seen = array.read(x, moment), array.seen(moment)
            # float32 rounds the cells, and the normals of the kernel to 1e-6.
            allowed = 2e-7 * g.max() + 3e-6 * np.abs(expected - g).max()
            assert_allclose(seen.conductance, expected, rtol=0, atol=allowed)
            assert np.abs(expected - g).max() > 100 * allowed
            assert_allclose(seen.unit_sums, expected.sum(axis=1), rtol=1e-5)
            if array.driven:
                assert seen.input_sums is None
            else:
                assert_allclose(seen.input_sums, expected.sum(axis=0), rtol=1e-5)
            lines = pairs(x) if array.paired else x
            scale = np.abs(lines) @ np.abs(expected).T
            assert np.all(np.abs(currents - lines @ expected.T) <= 1e-5 * scale)
            assert currents.shape == (3, len(g))
        assert_array_equal(array.values(), g)
        assert_array_equal(array.seen().conductance, g)


def test_voltages_that_were_not_known_before_are_read_of_the_same_cells():
    array, rng = make({"relative": 0.05}).arrays[0], np.random.default_rng(1)
    seen = array.seen(Moment(1))
    for x in (lines_of(array, rng), lines_of(array, rng, batch=5)):
        expected = pairs(x) @ seen.conductance.T
        assert_allclose(array.read(x, Moment(1)), expected, rtol=0, atol=1e-5 * expected.max())


def test_readings_end_with_the_next_write():
    array = make({"relative": 0.05}).arrays[0]
    before = array.seen(Moment(1)).conductance.copy()
    g = array.values()
    array.write(0.5 * g)
    now, after = array.values(), array.seen(Moment(1)).conductance
    assert_allclose(after / now, before / g, rtol=1e-5)
    assert np.array_equal(now != g, after != before)
    assert np.any(now != g)


def test_traps_take_their_share_of_the_noisy_cells():
    telegraph = {"share": 0.5, "amplitude": 0.3, "capture_time": 1e-6, "emission_time": 1e-6}
    reading = {"relative": 0.01, "correlation": "phase"}
    plain, trapped = (
        make(r).arrays[1]
        for r in (reading, {**reading, "telegraph": telegraph, "phase_time": 1e-6})
    )
    traps = trapped.reading.noise.traps
    for moment in MOMENTS:
        expected = plain.seen(moment).conductance.copy()
        expected.ravel()[traps] *= trapped.reading.noise.trapped(*[moment.event, moment.phase, 0])
        seen = trapped.seen(Moment(moment.event, moment.phase))
        assert_allclose(seen.conductance, expected, rtol=1e-6)
        assert_allclose(seen.unit_sums, expected.sum(axis=1), rtol=1e-6)
        assert_allclose(seen.input_sums, expected.sum(axis=0), rtol=1e-6)


def test_wires_pass_noise_on_to_first_order():
    chip = make({"relative": 0.1, "correlation": "phase"}, wires=True, pixels=9)
    for array in chip.arrays:
        still, g = array.seen().conductance.astype(float), array.values().astype(float)
        seen = array.seen(Moment(2, phase=1))
        noisy = seen.cells.astype(float)
        exact = tiles.reduce(noisy, chip.specification.wires, driven=array.driven)
        moved = np.linalg.norm(exact.transfer - still)
        assert np.linalg.norm(seen.conductance - exact.transfer) < 0.05 * moved
        assert_allclose(moved, np.linalg.norm(noisy - g), rtol=0.2)
        sums = array.seen().unit_sums.astype(float)
        off = np.linalg.norm(seen.unit_sums - exact.unit_sums)
        assert off < 0.05 * np.linalg.norm(exact.unit_sums - sums)
        x = lines_of(array, np.random.default_rng(2))
        lines = pairs(x) if array.paired else x
        expected = lines @ seen.conductance.T
        assert_allclose(array.read(x, Moment(2, phase=1)), expected, atol=1e-5 * expected.max())


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("correlation", ["phase", "spectrum"])
def test_one_and_two_threads_give_the_same_bits(monkeypatch, correlation):
    monkeypatch.setattr(kernels, "SMALL", 0)
    results, before = [], numba.get_num_threads()
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            array = make({"correlation": correlation, **NOISES["shaped"]}).arrays[0]
            x = lines_of(array, np.random.default_rng(3))
            currents = array.read(x, Moment(1, phase=1))
            seen = array.seen(Moment(1, phase=1))
            results.append((currents, seen.conductance, seen.unit_sums))
    finally:
        numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert_array_equal(one, two)
