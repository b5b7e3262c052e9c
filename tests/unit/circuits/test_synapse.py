"""The law of nonlinear cells and its expansion in powers of both lines' voltages."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits.curves import Curve
from neurohw.circuits.synapse import Synapse
from neurohw.errors import InvalidValueError

UNEVEN = Synapse(Curve(voltage=(-0.5, 0.6), coefficients=(2e-6, 1e-6, 3e-6, 0.0, 2e-6)))
X, Y = np.meshgrid(np.linspace(-0.25, 0.3, 7), np.linspace(-0.2, 0.24, 6))


def powers(voltage, count):
    return voltage[..., None] ** np.arange(count)


def test_the_law_has_slope_1_at_0():
    assert_allclose(UNEVEN.coefficients, [0, 1, 0.5, 1.5, 0, 1])
    assert UNEVEN.degree == 5
    assert UNEVEN.law.current(np.zeros(())) == 0
    assert_allclose(UNEVEN.law.conductance(np.zeros(())), 1)
    drops = np.linspace(UNEVEN.low, UNEVEN.high, 2001)
    assert_allclose(UNEVEN.smallest_slope, UNEVEN.law.conductance(drops).min(), rtol=1e-6)
    assert 0 < UNEVEN.smallest_slope < 1


def test_zero_coefficients_at_the_end_do_not_count():
    assert Synapse(Curve(voltage=(-1.0, 1.0), coefficients=(3.0, 0.0, 1.0, 0.0))).degree == 3


def test_expansions_are_the_law():
    current = UNEVEN.law.current(X - Y)
    x, y = powers(X, 6), powers(Y, 6)
    into_units = np.einsum("...q,qr,...r->...", y, UNEVEN.into_units, x)
    into_inputs = np.einsum("...q,qr,...r->...", x, UNEVEN.into_inputs, y)
    assert_allclose(into_units, current, rtol=1e-12, atol=1e-15)
    assert_allclose(into_inputs, -current, rtol=1e-12, atol=1e-15)
    x, y = powers(X, 7), powers(Y, 7)
    for weights, expected in (
        (UNEVEN.co_content, UNEVEN.law.co_content(X - Y)),
        (UNEVEN.dissipation, (X - Y) * current),
    ):
        found = np.einsum("...p,pq,...q->...", x, weights, y)
        assert_allclose(found, expected, rtol=1e-11, atol=1e-16)


def test_lines_have_no_powers():
    points = np.array([-0.5, -0.1, 0.0, 0.2, 0.4])
    lines = Synapse(Curve(voltage=tuple(points), current=tuple(1e-6 * points**3 + 1e-6 * points)))
    assert (lines.coefficients, lines.degree) == (None, 0)
    assert_allclose(lines.law.conductance(np.array(0.1)), 1)
    slopes = np.diff(points**3 + points) / np.diff(points)
    assert_allclose(lines.smallest_slope, slopes.min() / slopes[2])


@pytest.mark.parametrize(
    ("curve", "fault"),
    [
        (Curve(voltage=(0.0, 1.0), coefficients=(1.0,)), "voltage = 0 to 1 V: cells need both"),
        (Curve(voltage=(-1.0, 0.0, 1.0), current=(-1.0, 0.1, 1.0)), "current = 0.1 A at 0 V"),
    ],
)
def test_what_is_no_passive_cell_is_refused(curve, fault):
    with pytest.raises(InvalidValueError, match=f"synapse.{fault}"):
        Synapse(curve)
