"""Nonlinear cells: a cell of conductance g carries g·f(u) at the voltage u from word to bit line.

f is in volts, with f(0) = 0 and f'(0) = 1, the same for all cells of a chip, so that g is the
conductance at small voltages. As a polynomial f = Σ a_k u^k of a difference u = x − y falls into
products of powers of the two,

    (x − y)^k = Σ_p C(k, p) x^p (−y)^(k−p)

the currents of a whole array, and its co-content, come from products of the array with powers of
its lines' voltages.
"""

from functools import cached_property
from math import comb

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray

from neurohw.circuits.curves import Characteristic, Curve, smallest_slope
from neurohw.errors import InvalidValueError, UnsupportedError

Array = NDArray[np.floating]


class Synapse:
    """The law of the cells of a chip.

    Parameters
    ----------
    curve : Curve
        Of one cell, from below to above 0 V; divided by its slope at 0 V.

    Attributes
    ----------
    low, high : float [V]
        Ends of the measured range; beyond them nothing is known of the cells.
    law : Characteristic
        f, its derivative and its integral F [V, 1, V²].
    coefficients : (degree + 1,) array or None
        Of f by powers of u [1/V^(k−1)]; None where lines join measured points. Without them there
        are no expansions, and so neither learning nor power.
    smallest_slope : float
        Of f within the range.

    Raises
    ------
    InvalidValueError
        The range does not hold both signs, or a current that is not 0 at 0 V.
    """

    def __init__(self, curve: Curve) -> None:
        self.low, self.high = curve.voltage[0], curve.voltage[-1]
        if not self.low < 0 < self.high:
            raise InvalidValueError(
                f"synapse.voltage = {self.low:g} to {self.high:g} V: cells need both signs"
            )
        measured, zero = curve.characteristic(), np.zeros(())
        largest = max(abs(curve.current[0]), curve.current[-1]) if curve.current else 1.0
        if abs(measured.current(zero)) > 1e-6 * largest:
            raise InvalidValueError(
                f"synapse.current = {float(measured.current(zero)):g} A at 0 V: cells are passive,"
                " it must be 0"
            )
        slope = measured.conductance(zero)
        self.law = Characteristic(
            knots=measured.knots,
            anchors=measured.anchors,
            coefficients=measured.coefficients / slope,
        )
        self.coefficients: Array | None = None
        if curve.polynomial is None:
            self.smallest_slope = float(self.law.coefficients[:, 1].min())
        else:
            self.coefficients = np.trim_zeros(curve.polynomial / slope, "b")
            self.smallest_slope, _ = smallest_slope(self.coefficients, self.low, self.high)

    @property
    def degree(self) -> int:
        """Degree of f; 0 of lines."""
        return 0 if self.coefficients is None else len(self.coefficients) - 1

    @cached_property
    def into_units(self) -> Array:
        """K, (degree + 1, degree + 1): what flows into units at v is Σ_qr K_qr·M_r·v^q.

        M_r = Σ_i g_i·x_i^r are the products of the array with powers of its inputs' voltages.
        """
        return _binomial(self.require_polynomial())

    @cached_property
    def into_inputs(self) -> Array:
        """K as `into_units`, but into inputs at v, with powers of the units' voltages."""
        signs = (-1.0) ** np.arange(self.degree + 1)
        return -signs[:, None] * _binomial(self.require_polynomial()) * signs

    @cached_property
    def co_content(self) -> Array:
        """B, (degree + 2, degree + 2): F(x − y) = Σ_pq B_pq·x^p·y^q [V²]."""
        return _binomial(polynomial.polyint(self.require_polynomial())).T

    @cached_property
    def dissipation(self) -> Array:
        """B as `co_content`, of u·f(u) [V²]."""
        return _binomial(np.concatenate(([0.0], self.require_polynomial()))).T

    def require_polynomial(self) -> Array:
        """Return the coefficients.

        Raises
        ------
        UnsupportedError
            Lines join measured points.
        """
        if self.coefficients is None:
            raise UnsupportedError(
                "synapse.degree: missing: cells whose points are joined by lines can only be"
                " relaxed, by the engines numpy and spice; all else, learning too, needs a degree"
            )
        return self.coefficients


def _binomial(coefficients: Array) -> Array:
    """Return K of Σ_k a_k (x − v)^k = Σ_qr K_qr·x^r·v^q."""
    size = len(coefficients)
    expanded = np.zeros((size, size))
    for q in range(size):
        for r in range(size - q):
            expanded[q, r] = (-1.0) ** q * comb(q + r, q) * coefficients[q + r]
    return expanded
