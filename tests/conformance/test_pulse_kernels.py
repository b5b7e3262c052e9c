"""Pulse trains and counts of pulses do to cells what the readable law says."""

import msgspec
import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import CrossbarArray
from neurohw.devices import kernels, memory, programming, trains
from neurohw.devices.fabrication import fabricate
from neurohw.mappings.programming import Programming
from neurohw.update import Update

RANGE = {"g_min": 1e-6, "g_max": 21e-6}
SPREAD = {"step_spread": 0.2, "range_spread": 0.05, "cycle_to_cycle": 0.01, "write_noise": 0.02}
TABLE = {
    "conductance": [1e-6, 21e-6],
    "changes_up": [[1e-7, 4e-7], [0.0, 2e-7]],
    "changes_down": [[-2e-7, 0.0], [-4e-7, -1e-7]],
}
DEVICES = {
    "straight": {"law": "constant-step", "step": 0.01, **RANGE, "cycle_to_cycle": 0.01},
    "affine": {"law": "soft-bounds", "step": 0.02, "step_noise": 0.5, **RANGE, **SPREAD},
    "tabulated": {"law": "power", "step": 0.02, **RANGE, **SPREAD},
    "sampled": {"law": "table", **RANGE, **TABLE},
}
SHAPE = (7, 83)


def make_array(name, shape=SHAPE, **scheme):
    device = memory.load(DEVICES[name])
    cells = fabricate(device, *shape, width=1.0, seed=5, array=2)
    start = np.random.default_rng(0).uniform(1e-6, 21e-6, shape)
    return CrossbarArray(
        programming.first_write(cells, start).astype("f4"),
        cells,
        driven=True,
        programming=Programming(**scheme),
    )


def make_update(cells, shape=SHAPE, events=3, rank=2):
    """Return an update with silent lines, several pulses where others meet."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(events, rank, shape[1])) * (rng.uniform(size=shape[1]) < 0.4)
    d = 4 * cells.law.step_up * rng.normal(size=(events, rank, shape[0]))
    d[:, :, ::3] = 0
    d[1] *= 30
    row = cells.law.step_up * rng.normal(size=(events, shape[1]))
    return Update(presynaptic=x.astype("f4"), postsynaptic=d.astype("f4"), row=row.astype("f4"))


def follow(cells, state, read, pulses, number):
    """Apply pulses by the readable law, of an array that may leave something else to read."""
    noisy = read if cells.law.write_sigma > 0 else None
    after = programming.pulse(cells, state, pulses, number, noisy)
    return after, after if noisy is None else read


@pytest.mark.parametrize("order", ["net", "sequential"])
@pytest.mark.parametrize("name", DEVICES)
def test_trains_are_those_of_the_oracle_and_cells_follow_their_law(name, order):
    array = make_array(name, pulses="train", order=order)
    cells, update, first = array.cells, make_update(array.cells), 4
    x, d = update.products()
    if order == "sequential":
        x, d, first = x.reshape(-1, 1, SHAPE[1]), d.reshape(-1, 1, SHAPE[0]), 4 * x.shape[1]
    state = array.values().astype(float)
    read, count = state.copy(), np.zeros(SHAPE)
    for event in range(len(x)):
        part = slice(event, event + 1)
        (pulses,) = trains.coincidences(cells, x[part], d[part], first + event)
        state, read = follow(cells, state, read, pulses, first + event)
        count += np.abs(pulses)
    array.program(update, 4)
    assert_array_equal(array.pulses, count)
    assert count.max() > 10
    assert_allclose(array.values(), read, rtol=0, atol=1e-5 * 20e-6 * len(x))


@pytest.mark.parametrize("name", DEVICES)
def test_counts_of_pulses(name):
    array = make_array(name, pulses="sign", threshold=0.5)
    cells, update = array.cells, make_update(array.cells)
    state = array.values().astype(float)
    read = state.copy()
    for event in range(3):
        wanted = update.dense(read, event)
        steps = wanted / np.where(wanted > 0, cells.law.step_up, cells.law.step_down)
        pulses = np.where(np.abs(steps) > 0.5, np.sign(steps), 0)
        state, read = follow(cells, state, read, pulses, 4 + event)
    array.program(update, 4)
    assert_allclose(array.values(), read, rtol=0, atol=1e-5 * 20e-6 * 3)
    assert array.pulses.max() == 3


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_one_and_two_threads_give_the_same_bits(monkeypatch):
    shape, before, results = (33, 120), numba.get_num_threads(), []
    monkeypatch.setattr(kernels, "SMALL", 0)
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            array = make_array("affine", shape, pulses="train")
            array.program(make_update(array.cells, shape), 7)
            results.append([array.values(), array.pulses.copy()])
    finally:
        numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert_array_equal(one, two)


def test_devices_without_whole_pulses_are_refused():
    from neurohw.errors import ConfigurationError, UnsupportedError
    from neurohw.mappings import chip_specification

    for scheme in ({"pulses": "train"}, {"accumulate": "digital"}, {"half_select": 0.1}):
        (key,) = scheme
        with pytest.raises((UnsupportedError, ConfigurationError), match=f"programming.{key}"):
            chip_specification.load({"device": "ideal", "programming": scheme})
    soft = msgspec.structs.replace(memory.load("reram-sb"), whole_pulses=False)
    with pytest.raises(UnsupportedError, match="whole_pulses = false"):
        chip_specification.ChipSpecification(device=soft, programming=Programming(pulses="sign"))
