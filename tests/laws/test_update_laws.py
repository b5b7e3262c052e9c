"""Every update law's mean, variance and bounds against its closed form, and the kernel's pulses."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import CrossbarArray
from neurohw.devices import memory, programming
from neurohw.devices.device import Stuck
from neurohw.devices.fabrication import fabricate, require_arrays
from neurohw.devices.law import moved
from neurohw.devices.laws import (
    ConstantStep,
    Exponential,
    ExponentialStep,
    Linear,
    LookupTable,
    OneSided,
    Piecewise,
    Power,
    SoftBounds,
)
from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.update import Update

RANGE = {"g_min": 1e-6, "g_max": 21e-6}
SPAN = 20e-6
DRAWS = (1000, 1000)

QUANTILES = np.linspace(0.1, 0.9, 9) * 1e-6
TABLE = LookupTable(
    **RANGE,
    conductance=(1e-6, 11e-6, 21e-6),
    changes_up=tuple(tuple(scale * QUANTILES) for scale in (2.0, 1.0, 0.5)),
    changes_down=tuple(tuple(-scale * QUANTILES[::-1]) for scale in (0.5, 1.0, 2.0)),
)
LAWS = {
    "exponential": Exponential(
        **RANGE, pulses_up=100, pulses_down=80, nonlinearity_up=2.0, nonlinearity_down=-1.5
    ),
    "linear": Linear(**RANGE, step=0.01, slope_up=0.4, slope_down=0.7, centre=0.4),
    "soft-bounds": SoftBounds(**RANGE, step=0.02, centre=0.375),
    "constant-step": ConstantStep(**RANGE, step=0.01, up_down=0.25),
    "power": Power(**RANGE, step=0.02, exponent_up=1.5, exponent_down=0.7),
    "exponential-step": ExponentialStep(
        **RANGE, step=0.005, amplitude_up=-1.2, amplitude_down=-0.1, exponent_up=4,
        exponent_down=5, stretch=-0.5, shift=-0.5, up_down=0.26,
    ),
    "one-sided": OneSided(
        **RANGE, step=0.004, amplitude_up=-4.0, amplitude_down=-2.0, exponent_up=2.5,
        exponent_down=2.5, stretch=-1.0, centre=0.0,
    ),
    "piecewise": Piecewise(**RANGE, step=0.01, steps_up=(2.0, 1.0, 0.5), steps_down=(0.5, 1, 3)),
    "table": TABLE,
}  # fmt: skip
SPREAD = {
    "range_spread": 0.05,
    "step_spread": 0.2,
    "asymmetry_spread": 0.05,
    "word_line_share": 0.3,
    "stuck": Stuck(low=0.05, high=0.05, open=0.03, random=0.02),
}


def closed_form(law, g, up):
    """Return the mean change by one pulse of the nominal device, from its formula [S]."""
    x = (g - RANGE["g_min"]) / SPAN
    if isinstance(law, Exponential):
        label, pulses = (2.0, 100) if up else (-1.5, 80)
        a = np.copysign(1 / np.interp(abs(label), *label_curve()), label)
        b = SPAN / -np.expm1(-1 / a)
        # The pulse number that leads to g, and the one after (for a fall the one before) it.
        p = -a * np.log1p(-(g - RANGE["g_min"]) / b)
        return b * -np.expm1(-(p + (1 if up else -1) / pulses) / a) + RANGE["g_min"] - g
    step = law.step * SPAN
    if isinstance(law, Linear):
        c = law.centre
        slope = law.slope_up if up else law.slope_down
        return step * (1 - slope * (x - c) / (1 - c)) if up else -step * (1 - slope * (c - x) / c)
    if isinstance(law, ConstantStep):
        return step if up else -step * (1 - law.up_down)
    if isinstance(law, Power):
        return step * (1 - x) ** law.exponent_up if up else -step * x**law.exponent_down
    if isinstance(law, ExponentialStep):
        z = 2 * law.stretch * (x - law.centre) + law.shift
        if up:
            return step * (1 - law.amplitude_up * np.exp(law.exponent_up * z))
        if isinstance(law, OneSided):
            return 0.0
        down = 1 - law.amplitude_down * np.exp(-law.exponent_down * z)
        return -step * (1 - law.up_down) * down
    if isinstance(law, Piecewise):
        steps = law.steps_up if up else law.steps_down
        return (1 if up else -1) * step * np.interp(x, (0, 0.5, 1), steps)
    factor = np.interp(g, law.conductance, (2.0, 1.0, 0.5) if up else (0.5, 1.0, 2.0))
    return (1 if up else -1) * factor * 0.5e-6


def label_curve():
    """Return labels and curvatures 1/A by the label's definition."""
    c = np.geomspace(5e-3, 60.0, 200_000)
    a, b = 1 / c, -1 / np.expm1(-c)
    return 10.10152545 * (b - a - a * np.log(b / a)), c


def cells_of(device, shape=DRAWS, seed=0):
    return fabricate(device, *shape, width=1.0, seed=seed, array=1)


def pulsed(device, g, pulses, dtype="float32", seed=0):
    """Return the changes of an array of equal cells by one event of pulses, through the kernel."""
    cells = cells_of(device, seed=seed)
    array = CrossbarArray(np.full(DRAWS, g, dtype), cells, driven=True)
    step = cells.law.step_up if pulses > 0 else cells.law.step_down
    update = Update(
        presynaptic=np.ones((1, 1, DRAWS[1]), dtype),
        postsynaptic=np.full((1, 1, DRAWS[0]), pulses * step, dtype),
    )
    array.program(update, 3)
    return array.values().astype(np.float64) - np.dtype(dtype).type(g)


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("name", LAWS)
@settings(max_examples=2, deadline=None)
@given(place=st.floats(0.25, 0.75), noise=st.floats(0.002, 0.02), seed=st.integers(0, 99))
def test_mean_and_variance_of_a_pulse(name, up, place, noise, seed):
    law = msgspec.structs.replace(LAWS[name], cycle_to_cycle=noise, whole_pulses=False)
    g = RANGE["g_min"] + place * SPAN
    change = pulsed(law, g, 1 if up else -1, seed=seed)
    mean, variance = closed_form(law, g, up), (noise * SPAN) ** 2
    if name == "one-sided" and not up:
        assert_array_equal(change, 0)
        return
    if name == "table":
        # Straight between evenly spaced quantiles: the draw is uniform.
        variance += (0.8e-6 * mean / 0.5e-6) ** 2 / 12
    error = np.sqrt(variance / change.size)
    # Tables of 513 places, and float32 of the conductance.
    known = 1e-4 * abs(mean) + 1e-7 * g
    assert abs(change.mean() - mean) < 4 * error + known
    fourth = 3 if name != "table" else np.mean((change - change.mean()) ** 4) / variance**2
    assert abs(change.var() / variance - 1) < 4 * np.sqrt((fourth - 1) / change.size) + 1e-4


@pytest.mark.parametrize("name", ["linear", "soft-bounds", "constant-step", "piecewise"])
def test_noise_relative_to_the_step(name):
    law = msgspec.structs.replace(LAWS[name], step_noise=0.5, whole_pulses=False)
    g = RANGE["g_min"] + 0.6 * SPAN
    change, mean = pulsed(law, g, 4), pulsed(LAWS[name], g, 4).mean()
    # Of n pulses: the noise of one times the root of n.
    deviation = 0.5 * mean / 2
    assert_allclose(change.std(), deviation, rtol=4 / np.sqrt(2 * change.size) + 1e-3)
    assert abs(change.mean() - mean) < 4 * deviation / np.sqrt(change.size) + 1e-6 * g


def test_additive_noise_of_linear_steps_is_that_of_the_step_at_the_centre():
    law = msgspec.structs.replace(
        LAWS["linear"], step_noise=0.5, additive_noise=True, whole_pulses=False
    )
    for place in (0.2, 0.4, 0.8):
        change = pulsed(law, RANGE["g_min"] + place * SPAN, 1)
        assert_allclose(change.std(), 0.5 * 0.01 * SPAN, rtol=4 / np.sqrt(2 * change.size) + 1e-3)


def test_write_noise_is_around_a_state_that_pulses_move():
    law = msgspec.structs.replace(LAWS["soft-bounds"], write_noise=0.03, whole_pulses=False)
    cells = cells_of(law)
    array = CrossbarArray(np.full(DRAWS, 11e-6, "float32"), cells, driven=True)
    update = Update(
        presynaptic=np.ones((1, 1, DRAWS[1]), "float32"),
        postsynaptic=np.full((1, 1, DRAWS[0]), cells.law.step_up, "float32"),
    )
    seen = []
    for event in range(2):
        array.program(update, event)
        seen.append(array.values().astype(float))
    for values in seen:
        assert_allclose(values.std(), 0.03 * SPAN, rtol=4 / np.sqrt(2 * values.size) + 1e-3)
    # It does not add up, and is drawn anew.
    assert abs(np.corrcoef(*(values[:100].ravel() for values in seen))[0, 1]) < 0.02
    state = array.record()["state"]
    assert_allclose(state, state[0, 0], rtol=1e-6)
    error = 0.03 * SPAN / np.sqrt(seen[1].size)
    assert abs(seen[1].mean() - state[0, 0]) < 4 * error
    step = np.diff([values.mean() for values in seen])[0]
    assert_allclose(step, closed_form(law, state[0, 0] - 0.02 * SPAN, True), rtol=0.05)


@pytest.mark.parametrize("name", ["linear", "soft-bounds"])
def test_symmetry_point(name):
    """Up and down pulses are alike at (α₊ − α₋)/(α₊/b₊ + α₋/|b₋|), of weights from b₋ to b₊."""
    law = msgspec.structs.replace(LAWS[name], up_down=0.1)
    alpha = np.array([1.0, 1.0 - 0.1])
    bounds = np.array([1 - law.centre, law.centre])
    slopes = np.array([law.slope_up, law.slope_down])
    point = (alpha[0] - alpha[1]) / (slopes * alpha / bounds).sum()
    g = RANGE["g_min"] + (law.centre + point) * SPAN
    up, down = (pulsed(law, g, sign).mean() for sign in (1, -1))
    assert_allclose(up, -down, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", LAWS)
def test_the_kernel_follows_the_readable_law(name, whole, dtype):
    rng = np.random.default_rng(2)
    device = msgspec.structs.replace(
        LAWS[name], whole_pulses=whole, cycle_to_cycle=0.01, write_noise=0.02, **SPREAD
    )
    shape = (6, 801)
    cells = cells_of(device, shape)
    start = programming.first_write(cells, rng.uniform(0, 22e-6, shape)).astype(dtype)
    array = CrossbarArray(start.copy(), cells, driven=True)
    size = 3 * cells.law.step_up * rng.normal(size=(2, 4, shape[0]))
    update = Update(
        presynaptic=rng.normal(size=(2, 4, shape[1])).astype(dtype),
        postsynaptic=size.astype(dtype),
    )
    array.program(update, 5)
    exact = Update(
        presynaptic=update.presynaptic.astype(float),
        postsynaptic=update.postsynaptic.astype(float),
    )
    read = start.astype(float)
    state, count = programming.program(cells, read, exact, 5, read)
    tolerance = {"float64": 1e-6, "float32": 1e-5}[dtype] * SPAN
    # A draw at a threshold may fall to either side.
    off = np.abs(array.record()["state"] - state) > tolerance
    assert off.mean() < {"float64": 1e-3, "float32": 5e-3}[dtype]
    assert_allclose(array.values()[~off], read[~off], rtol=0, atol=2 * tolerance)
    if whole:
        assert np.mean(array.pulses != count) < 5e-3
    stuck = cells.low == cells.high
    assert cells.stuck == stuck.sum() > 0
    assert_array_equal(array.values()[stuck], start[stuck])


def test_limits_that_cross_are_counted_and_mended():
    device = msgspec.structs.replace(LAWS["soft-bounds"], range_spread=0.9)
    cells = cells_of(device, (40, 50))
    assert 0 < cells.crossed < 2000
    assert np.all(cells.high - cells.low >= 0.0099 * SPAN)
    assert cells_of(LAWS["soft-bounds"]).crossed == 0


def test_stuck_cells_by_share_by_yield_and_by_mask():
    device = msgspec.structs.replace(
        LAWS["power"], stuck=Stuck(yield_=0.9, open=0.05, cells=((1, 2, 3, 7e-6),))
    )
    cells = cells_of(device, (200, 300))
    held = cells.low == cells.high
    shares = {1e-6: 0.05, 21e-6: 0.05, 0.0: 0.05}
    for value, share in shares.items():
        found = np.mean(held & np.isclose(cells.low, value, rtol=1e-9, atol=0 if value else 1e-12))
        assert abs(found - share) < 4 * np.sqrt(share / held.size)
    assert cells.low[2, 3] == cells.high[2, 3] == 7e-6


def test_spread_that_lines_share_and_a_gradient():
    device = msgspec.structs.replace(
        LAWS["power"], range_spread=0.05, word_line_share=0.5, bit_line_share=0.3
    )
    high = cells_of(device, (300, 400)).high / RANGE["g_max"] - 1
    assert_allclose(high.std(), 0.05, rtol=0.1)
    for axis, share, lines in ((0, 0.5, 400), (1, 0.3, 300)):
        rest = 0.2 / (300 if axis == 0 else 400)
        variance = high.mean(axis=axis).var() / 0.05**2
        assert abs(variance - share - rest) < 5 * share * np.sqrt(2 / lines) + 0.02
    sloped = cells_of(msgspec.structs.replace(LAWS["power"], gradient=0.2), (30, 40)).high
    assert_allclose(sloped[[0, -1], [0, -1]], [21e-6, 1.2 * 21e-6], rtol=1e-12)


STEPPED = [row["name"] for row in memory.available() if row["law"] not in ("ideal", "exponential")]


@pytest.mark.parametrize("name", STEPPED)
def test_first_write_of_every_preset_lands_near_what_is_wanted(name):
    device = memory.load(name)
    cells = cells_of(device, (80, 90))
    span = device.g_max - device.g_min
    for share in (0.0, 0.4, 1.0):
        held = np.clip(device.g_min + share * span, cells.low, cells.high)
        written = programming.first_write(cells, np.full((80, 90), device.g_min + share * span))
        assert np.all((written >= cells.low) & (written <= cells.high))
        # A step of a cell, or of the nominal table; a reset leaves cells somewhat higher.
        step = 1.6 * np.maximum(cells.law.up[0], cells.law.step_up * cells.law.table[:, 0].max())
        if cells.law.family == "affine":
            step = (cells.law.up[0] - cells.low) * -np.expm1(-cells.law.up[1])
        off = np.abs(written - held) / (step + (0.05 * span if cells.law.reset > 0 else 0))
        assert off.max() <= 1


@pytest.mark.parametrize("stuck", [{"high": 0.3}, {"low": 0.3}, {"open": 0.3}, {"random": 0.3}])
@pytest.mark.parametrize("name", ["reram-sb", "epiram", "reram-es", "capacitor"])
def test_first_write_leaves_stuck_cells(name, stuck):
    device = msgspec.structs.replace(memory.load(name), stuck=Stuck(**stuck))
    cells = cells_of(device, (40, 50))
    held = cells.low == cells.high
    written = programming.first_write(cells, np.full((40, 50), device.g_max))
    assert 400 < held.sum() < 800
    assert_array_equal(written[held], cells.low[held])
    assert np.isfinite(written).all()


def test_pulses_up_raise_cells_whose_limit_spread_puts_below_the_centre():
    device = msgspec.structs.replace(LAWS["linear"], range_spread=0.3, whole_pulses=False)
    cells = cells_of(device, (100, 100))
    g = 0.5 * (cells.low + cells.high)
    for sign in (1, -1):
        change = moved(cells.law, cells.low, cells.high, g, np.full(g.shape, sign))[0] - g
        assert np.all(sign * change > 0)


def test_a_reset_leaves_cells_somewhere():
    device = memory.load({"preset": "pcm", "reset": "10 %", "reset_spread": "2 %"})
    cells = cells_of(device, (100, 200))
    span = cells.high - cells.low
    first, second = (
        (programming.first_write(cells, np.zeros((100, 200)), event) - cells.low) / span
        for event in (0, 1)
    )
    assert_allclose(first.mean(), 0.1, atol=4 * 0.02 / np.sqrt(first.size))
    assert_allclose(first.std(), 0.02, rtol=4 / np.sqrt(2 * first.size))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 4 / np.sqrt(first.size)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"preset": "ideal", "stuck": {"high": 0.1}}, "need a finite g_max"),
        ({"preset": "ideal", "stuck": {"yield": 0.9}}, "need a finite g_max"),
        ({"preset": "epiram", "stuck": {"cells": [[0, 1, 2, "5 uV"]]}}, "stuck.cells[0][3]"),
        ({"preset": "epiram", "stuck": {"low": 0.6, "open": 0.6}}, "stuck.shares add up to 1.2"),
    ],
)
def test_impossible_stuck_cells_are_refused(table, fault):
    with pytest.raises(ConfigurationError, match="device: ") as caught:
        memory.load(table)
    assert fault in str(caught.value)


def test_a_mask_beyond_the_array_is_refused():
    stuck = Stuck(cells=((1, 2, 999, 5e-6),))
    with pytest.raises(InvalidValueError, match=r"array 1 has 4 units and 5 inputs"):
        cells_of(msgspec.structs.replace(LAWS["power"], stuck=stuck), (4, 5))
    with pytest.raises(InvalidValueError, match=r"there is no array 1; there are 0, 2"):
        require_arrays(msgspec.structs.replace(LAWS["power"], stuck=stuck), {0, 2})
