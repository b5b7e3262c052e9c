"""Nodes with measured elements: where their currents balance, by the oracle and compiled."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.circuits.curves import Curve
from neurohw.circuits.neuron import Neuron, Neurons, fabricate, settle
from neurohw.engines.numba.neuron import kernels

RNG = np.random.default_rng(0)
RAGGED = np.unique(np.concatenate((np.linspace(-1, 1, 21), RNG.uniform(-1, 1, 20))))
RAGGED_CURRENT = np.cumsum(RNG.uniform(0.01, 1, RAGGED.size)) * 1e-6
CURVES = {
    "ragged": Curve(
        voltage=tuple(RAGGED),
        current=tuple(RAGGED_CURRENT - np.interp(0, RAGGED, RAGGED_CURRENT)),
    ),
    "line": Curve(voltage=(0.0, 1.0), current=(0.0, 1e-5)),
    "polynomial": Curve(voltage=(-0.5, 0.6), coefficients=(1e-6, 1e-6, 3e-6, 0.0, 2e-5)),
}


def neurons(curve, units=40, **options):
    neuron = Neuron(kind="measured", curve=curve, **options)
    return fabricate(neuron, units, temperature=300.0, seed=1, layer=0, output=False)


def compiled(current, total, layer: Neurons, dtype="float64"):
    voltage = np.zeros(current.shape, dtype)
    curve = layer.curve
    kernels.settle_measured(
        current.astype(dtype),
        total.astype(dtype),
        np.zeros((0, 0), dtype),
        layer.parameters,
        curve.knots,
        curve.anchors,
        curve.coefficients,
        voltage,
    )
    return voltage


@pytest.mark.kernels
@pytest.mark.parametrize("arrangement", ["single", "antiparallel"])
@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_currents_balance_and_the_kernel_agrees(curve, arrangement):
    layer = neurons(
        curve,
        arrangement=arrangement,
        low_voltage=-0.2,
        high_voltage=0.3,
        saturation_current_spread=0.5,
    )
    rng = np.random.default_rng(2)
    shape = (5, 40)
    current = rng.normal(size=shape) * 10.0 ** rng.uniform(-9, -3, shape)
    total = 10.0 ** rng.uniform(-8, -4, shape)
    expected = settle(current, total, layer)
    drawn, slope = layer.current(expected)
    # What one rounding of the voltage, and of the source's next to it, changes of the currents.
    rounding = (total + slope) * (np.abs(expected) + 0.3) + np.abs(current) + np.abs(drawn)
    assert np.all(np.abs(total * expected + drawn - current) <= 1e-15 * 8 * rounding)
    away = np.abs(compiled(current, total, layer) - expected)
    assert np.all(away * (total + slope) <= 2 * 1e-15 * 8 * rounding)
    held = (expected < -0.25) | (expected > 0.35)
    assert 0 < held.sum() < held.size


def test_an_element_that_is_a_resistor_loads_the_node():
    """i = G·u from the source at V: T·v + G·(v − V) = C."""
    layer = neurons(CURVES["line"], units=2, low_voltage=-0.2, high_voltage=0.3)
    current, total = np.full((1, 2), 4e-6), np.full((1, 2), 3e-6)
    expected = (4e-6 + 1e-5 * np.array([[-0.2, 0.3]])) / 1.3e-5
    assert_allclose(settle(current, total, layer), expected, rtol=1e-14)
    assert_allclose(compiled(current, total, layer), expected, rtol=1e-14)


def test_a_finely_measured_diode_is_the_diode():
    """Lines between points of the Shockley law miss it by at most (step)²/8·I''."""
    shockley = fabricate(
        Neuron(kind="diode", saturation_current=1e-9),
        6,
        temperature=300.0,
        seed=0,
        layer=0,
        output=False,
    )
    slope = shockley.slope[0]
    v = np.linspace(-0.5, 0.5, 2001)
    layer = neurons(Curve(voltage=tuple(v), current=tuple(1e-9 * np.expm1(v / slope))), units=6)
    current = np.linspace(-2e-6, 2e-6, 11)[:, None] * np.ones(6)
    total = np.full(current.shape, 1e-5)
    found, exact = settle(current, total, layer), settle(current, total, shockley)
    drawn, conductance = shockley.current(exact)
    miss = 5e-4**2 / 8 * (np.abs(drawn) + 1e-9) / slope**2 / (total + conductance)
    assert np.all(np.abs(found - exact) <= 1.2 * miss)
    assert np.abs(drawn).max() > 100 * 1e-9


def test_spread_scales_the_curve_of_each_element():
    one, other = neurons(CURVES["line"]), neurons(CURVES["line"], saturation_current_spread=0.3)
    v = np.full(40, 0.7)
    ratio = other.current(v)[0] / one.current(v)[0]
    assert_allclose(other.current(v)[1] / one.current(v)[1], ratio)
    assert 0.15 < np.log(ratio).std() < 0.45


@pytest.mark.parametrize("solve", [settle, compiled])
def test_odd_nodes(solve):
    """Without conductance a node stays at 0 V; what is no number stays none."""
    layer = neurons(CURVES["ragged"], units=2)
    current, total = np.array([[1e-6, 1e-6], [np.nan, 1e-6]]), np.array([[0.0, 1e-6], [1e-6, 1e-6]])
    found = solve(current, total, layer)
    assert found[0, 0] == 0
    assert_array_equal(np.isnan(found), [[False, False], [True, False]])


def test_single_precision_is_that_of_its_inputs():
    layer = neurons(CURVES["polynomial"])
    current, total = np.linspace(-1e-5, 1e-5, 40)[None], np.full((1, 40), 1e-5)
    found = compiled(current, total, layer, "float32")
    # Current, conductance and result are rounded, each by half of eps.
    rounding = 2 * np.finfo("float32").eps
    assert_allclose(found, settle(current, total, layer), rtol=rounding, atol=0)
