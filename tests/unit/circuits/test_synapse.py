"""The law of nonlinear cells and its expansion in powers of both lines' voltages."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits.curves import Curve
from neurohw.circuits.synapse import Synapse
from neurohw.errors import InvalidValueError, UnsupportedError

UNEVEN = Synapse(Curve(voltage=(-0.5, 0.6), coefficients=(2e-6, 1e-6, 3e-6, 0.0, 2e-6)))
X, Y = np.meshgrid(np.linspace(-0.25, 0.3, 7), np.linspace(-0.2, 0.24, 6))


# Of a sum over the powers of two lines: as many roundings, of sums no larger than `terms`.
ROUNDING = 10 * np.finfo(float).eps


def powers(voltage, count):
    return voltage[..., None] ** np.arange(count)


def terms(coefficients):
    """Return the sum of the sizes of all terms that an expansion adds up, as f of |x| + |y|."""
    return np.polynomial.polynomial.polyval(np.abs(X) + np.abs(Y), np.abs(coefficients))


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
    rounding = ROUNDING * terms(UNEVEN.coefficients)
    assert np.all(np.abs(into_units - current) <= rounding)
    assert np.all(np.abs(into_inputs + current) <= rounding)
    x, y = powers(X, 7), powers(Y, 7)
    integral = np.polynomial.polynomial.polyint(UNEVEN.coefficients)
    for weights, expected, polynomial in (
        (UNEVEN.co_content, UNEVEN.law.co_content(X - Y), integral),
        (UNEVEN.dissipation, (X - Y) * current, np.append(0, UNEVEN.coefficients)),
    ):
        found = np.einsum("...p,pq,...q->...", x, weights, y)
        assert np.all(np.abs(found - expected) <= ROUNDING * terms(polynomial))


def test_lines_have_no_powers():
    points = np.array([-0.5, -0.1, 0.0, 0.2, 0.4])
    lines = Synapse(Curve(voltage=tuple(points), current=tuple(1e-6 * points**3 + 1e-6 * points)))
    assert (lines.coefficients, lines.degree) == (None, 0)
    assert_allclose(lines.law.conductance(np.array(0.1)), 1)
    slopes = np.diff(points**3 + points) / np.diff(points)
    assert_allclose(lines.smallest_slope, slopes.min() / slopes[2])
    for expansion in ("into_units", "into_inputs", "co_content", "dissipation"):
        with pytest.raises(UnsupportedError, match=r"synapse\.degree: missing: cells whose points"):
            getattr(lines, expansion)


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
