"""Planned pulses: on a device without noise and spread they end within half a pulse."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.devices import memory
from neurohw.devices.law import moved
from neurohw.devices.schedule import nominal, trains
from neurohw.errors import UnsupportedError

PRESETS = sorted(d["name"] for d in memory.available() if d["law"] != "ideal")


def follow(cells, start, pulses):
    """Return the conductances after the mean of each pulse, one after the other, and the last."""
    g, before = start.copy(), start.copy()
    middle = np.full(g.shape, 1 << 31, np.uint32)
    low, high = cells.low, cells.high
    law = cells.law
    if law.family == "sampled":
        # The mean of a step, not a draw of it.
        means = np.hstack((law.table[:, :2], np.zeros((len(law.table), 2))))
        law = replace(law, family="tabulated", table=means)
    left = pulses.copy()
    while np.any(left):
        step = np.clip(left, -1, 1)
        before = np.where(step != 0, g, before)
        g = np.clip(moved(law, low, high, g, step, middle)[0], low, high)
        left = left - step
    return g, before


MEASURED = {
    "law": "table",
    "g_min": "0 S",
    "g_max": "10 uS",
    "conductance": ["0 S", "10 uS"],
    "changes_up": [["20 nS", "60 nS"], ["5 nS", "15 nS"]],
    "changes_down": [["-15 nS", "-5 nS"], ["-50 nS", "-30 nS"]],
}


@pytest.mark.parametrize("device", [*PRESETS, MEASURED])
def test_trains_end_within_half_a_pulse(device):
    cells = nominal(memory.load(device))
    low, high = cells.low.item(), cells.high.item()
    rng = np.random.default_rng(3)
    start, wanted = low + (high - low) * rng.uniform(0.0, 1.0, (2, 1, 60))
    found = trains(cells, start, wanted)
    begin = np.where(found.erased, low + cells.law.reset * (high - low), start)
    reached, before = follow(cells, begin, found.pulses)
    # Only the interpolation between the levels of a table is not exact.
    nominal_step = max(cells.law.step_up, cells.law.step_down)
    assert_allclose(reached, found.expected, atol=0.01 * nominal_step)
    # The next pulse, or the last one, is at least twice as large as what is missing.
    way = np.where(found.pulses == 0, np.sign(wanted - begin), np.sign(found.pulses))
    further, _ = follow(cells, reached, way)
    step = np.maximum(np.abs(further - reached), np.abs(reached - before))
    reachable = found.erased | (cells.law.limit_down > 0) | (wanted > start)
    assert np.all((np.abs(reached - wanted) <= 0.5 * step + 0.01 * nominal_step)[reachable])
    assert found.pulses.any()


def test_counts_by_hand():
    device = memory.load(
        {"law": "constant-step", "g_min": "1 uS", "g_max": "11 uS", "step": "1 %", "up_down": 0.5}
    )
    cells = nominal(device)
    start = 1e-6 * np.array([1.0, 2.0, 10.0, 5.0])
    wanted = 1e-6 * np.array([3.04, 2.04, 9.03, 20.0])
    found = trains(cells, start, wanted)
    # Steps are 0.1 µS up, 0.05 µS down; what is beyond the range is its limit.
    assert found.pulses.tolist() == [20, 0, -19, 60]
    assert_allclose(found.expected, 1e-6 * np.array([3.0, 2.0, 9.05, 11.0]))
    assert not found.erased.any()


def test_one_sided_cells_are_erased_to_fall():
    cells = nominal(memory.load("pcm"))
    low, high = cells.low.item(), cells.high.item()
    start = np.array([0.6, 0.2]) * (high - low) + low
    found = trains(cells, start, start[::-1].copy())
    assert found.erased.tolist() == [True, False]
    assert (found.pulses > 0).all()


def test_spread_is_not_planned_with():
    device = memory.load("reram-sb")
    assert device.range_spread or device.low_spread or device.step_spread
    cells = nominal(device)
    assert cells.low.size == 1 and cells.stuck == 0
    assert all(parameter.size == 1 for parameter in (*cells.law.up, *cells.law.down))
    assert cells.law.step_up == device.step * device.span * (1 + min(device.up_down, 0.0))


def test_an_ideal_device_has_no_pulses():
    with pytest.raises(UnsupportedError, match="law = ideal takes any change without pulses"):
        nominal(memory.load("ideal"))
