"""Schemes that hold signed weights in cells, whose conductances are not negative.

A weight of effective conductance W [S], of either sign, is a sum over its cells

    W = Σ_k c_k · G_k − reference

    differential pair   W = G₊ − G₋
    offset              W = G − middle
    bit-sliced          W = Σ_k (2/B)^k · (G_k − middle),  B = 2^bits

The middle is that of the cells' window; the circuit subtracts it itself, or takes the current of a
column of cells that stand there. The digits of slices overlap by one bit, so that the last slice
has room for changes in both directions until the next carry.

References
----------
Agarwal et al. (2017), "Achieving ideal accuracies in analog neuromorphic computing using periodic
carry", VLSI Technology; Chen, Peng, Yu (2018), IEEE TCAD 37, 3067, for the reference column.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

Rounding = Literal["nearest", "stochastic"]

# Cells this near to a limit, of their window, cannot be moved any further for long.
_MARGIN = 0.02


@dataclass(frozen=True, kw_only=True)
class Scheme(ABC):
    """How effective conductances become those of cells.

    Parameters
    ----------
    low, high : float [S]
        The window of a cell, with a narrower one in the middle of its own where there is one.
    n_levels : int
        Values, evenly spaced over the window, that cells are written to; 0 for any.
    rounding : {"nearest", "stochastic"}
        To these.
    """

    low: float
    high: float
    n_levels: int = 0
    rounding: Rounding = "nearest"

    @property
    @abstractmethod
    def coefficients(self) -> tuple[float, ...]:
        """c_k of each cell of a weight; that of the first is 1."""

    @property
    @abstractmethod
    def shares(self) -> tuple[float, ...]:
        """Change of each cell for a change of the weight by 1."""

    @property
    @abstractmethod
    def rest(self) -> float:
        """Conductance of the cells of a weight of 0 [S]."""

    @abstractmethod
    def to_conductances(self, wanted: Array, draws: Array | None = None) -> tuple[Array, ...]:
        """Return the cells that hold weights.

        Parameters
        ----------
        wanted : (units, inputs) array [S]
            Clipped at ± `largest`.
        draws : (units, inputs) array in [0, 1), optional
            For stochastic rounding, which without it is to the nearest.

        Returns
        -------
        tuple of (units, inputs) arrays [S]
        """

    @property
    def referenced(self) -> bool:
        """Whether a reference is subtracted."""
        return sum(self.coefficients) != 0

    @property
    def one_way(self) -> bool:
        """Whether updates move cells upwards only."""
        return False

    @property
    def middle(self) -> float:
        """Middle of the window [S]."""
        return 0.5 * (self.low + self.high)

    @property
    def largest(self) -> float:
        """Largest magnitude of a weight that cells can be written to [S]."""
        return self.high - self.low

    @property
    def error(self) -> float:
        """Largest difference between a wanted weight within ± `largest` and the written one [S]."""
        return sum(abs(c) for c in self.coefficients) * self._rounding_error

    def to_weights(
        self, conductances: Sequence[Array], reference: Array | float | None = None
    ) -> Array:
        """Return the weights that cells (units, inputs) hold, likewise [S].

        reference (inputs,) are the cells of the reference column; exact without.
        """
        total = _times(self.coefficients[0], conductances[0])
        for coefficient, conductance in zip(self.coefficients[1:], conductances[1:], strict=True):
            total = total + _times(coefficient, conductance)
        if self.referenced:
            middle = self.middle if reference is None else reference
            shift = np.asarray(sum(self.coefficients) * middle, total.dtype)
            total = total - shift
        return total

    def spent(self, conductances: Sequence[Array]) -> NDArray[np.bool_]:
        """Return which weights have a cell that updates cannot move both ways for long."""
        moving = [g for g, share in zip(conductances, self.shares, strict=True) if share != 0]
        margin = _MARGIN * (self.high - self.low)
        spent = np.zeros(moving[0].shape, bool)
        for g in moving:
            spent |= g > self.high - margin
            if not self.one_way:
                spent |= g < self.low + margin
        return spent

    @property
    def _rounding_error(self) -> float:
        """Largest error of one written cell [S]."""
        if self.n_levels == 0:
            return 0.0
        step = (self.high - self.low) / (self.n_levels - 1)
        return step if self.rounding == "stochastic" else 0.5 * step

    def _rounded(self, conductance: Array, draws: Array | None) -> Array:
        """Return the levels for wanted conductances of cells [S]."""
        held = np.clip(conductance, self.low, self.high)
        if self.n_levels == 0:
            return held
        step = (self.high - self.low) / (self.n_levels - 1)
        up = draws if self.rounding == "stochastic" and draws is not None else 0.5
        levels = np.clip(np.floor((held - self.low) / step + up), 0, self.n_levels - 1)
        return np.asarray(self.low + levels * step)


@dataclass(frozen=True, kw_only=True)
class DifferentialPair(Scheme):
    """Two cells a weight, W = G₊ − G₋.

    sides : {"both", "one"}
        ``both``: a weight of 0 has both cells in the middle, and each takes half of a change.
        ``one``: a weight of 0 has both at the lower limit, an increase raises G₊, a decrease
        raises G₋, and no cell is lowered but by a refresh: for devices that only one kind of
        pulse moves gradually.
    refresh_above, refresh_below : float
        Of sides ``one``: a weight is refreshed where one of its cells is above, and the other not
        below, these shares of the window.
    """

    sides: Literal["both", "one"] = "both"
    refresh_above: float = 1 - _MARGIN
    refresh_below: float = 0.0

    @property
    def coefficients(self) -> tuple[float, ...]:  # noqa: D102
        return 1.0, -1.0

    @property
    def shares(self) -> tuple[float, ...]:  # noqa: D102
        return (1.0, -1.0) if self.one_way else (0.5, -0.5)

    @property
    def rest(self) -> float:  # noqa: D102
        return self.low if self.one_way else self.middle

    @property
    def one_way(self) -> bool:  # noqa: D102
        return self.sides == "one"

    @property
    def error(self) -> float:  # noqa: D102
        return (1.0 if self.one_way else 2.0) * self._rounding_error

    def spent(self, conductances: Sequence[Array]) -> NDArray[np.bool_]:  # noqa: D102
        if not self.one_way:
            return super().spent(conductances)
        above, below = (
            self.low + share * (self.high - self.low)
            for share in (self.refresh_above, self.refresh_below)
        )
        larger, smaller = np.maximum(*conductances), np.minimum(*conductances)
        return np.asarray((larger > above) & (smaller >= below))

    def to_conductances(  # noqa: D102
        self, wanted: Array, draws: Array | None = None
    ) -> tuple[Array, ...]:
        held = np.clip(wanted, -self.largest, self.largest)
        each = (held, -held)
        if self.one_way:
            return tuple(self._rounded(self.low + np.maximum(w, 0), draws) for w in each)
        return tuple(self._rounded(self.middle + 0.5 * w, draws) for w in each)


@dataclass(frozen=True, kw_only=True)
class Offset(Scheme):
    """One cell a weight, less the middle conductance: W = G − middle."""

    @property
    def coefficients(self) -> tuple[float, ...]:  # noqa: D102
        return (1.0,)

    @property
    def shares(self) -> tuple[float, ...]:  # noqa: D102
        return (1.0,)

    @property
    def rest(self) -> float:  # noqa: D102
        return self.middle

    @property
    def largest(self) -> float:  # noqa: D102
        return 0.5 * (self.high - self.low)

    def to_conductances(  # noqa: D102
        self, wanted: Array, draws: Array | None = None
    ) -> tuple[Array, ...]:
        return (self._rounded(self.middle + wanted, draws),)


@dataclass(frozen=True, kw_only=True)
class Direct(Scheme):
    """One cell that is the weight, of an ideal device without limits: W = G, of either sign."""

    low: float = -np.inf
    high: float = np.inf

    @property
    def coefficients(self) -> tuple[float, ...]:  # noqa: D102
        return (1.0,)

    @property
    def shares(self) -> tuple[float, ...]:  # noqa: D102
        return (1.0,)

    @property
    def rest(self) -> float:  # noqa: D102
        return 0.0

    @property
    def referenced(self) -> bool:  # noqa: D102
        return False

    def to_conductances(  # noqa: D102
        self, wanted: Array, draws: Array | None = None
    ) -> tuple[Array, ...]:
        return (wanted.copy(),)


@dataclass(frozen=True, kw_only=True)
class BitSliced(Scheme):
    """Several cells a weight, each for the digits that the one before leaves over.

    A digit is one of B + 1 levels; the last slice takes what they leave, to one of `n_levels`.
    Updates move the last slice, and a refresh carries what has gathered there.

    slices : int
        Cells a weight, at least 2.
    bits : int
        Digits are of base B = 2^bits, at least 4.
    """

    slices: int = 2
    bits: int = 3

    @property
    def coefficients(self) -> tuple[float, ...]:  # noqa: D102
        return tuple((2.0 / 2**self.bits) ** k for k in range(self.slices))

    @property
    def shares(self) -> tuple[float, ...]:  # noqa: D102
        return (0.0,) * (self.slices - 1) + (1.0 / self.coefficients[-1],)

    @property
    def rest(self) -> float:  # noqa: D102
        return self.middle

    @property
    def largest(self) -> float:  # noqa: D102
        return 0.5 * (self.high - self.low)

    @property
    def error(self) -> float:  # noqa: D102
        return self.coefficients[-1] * self._rounding_error

    def to_conductances(  # noqa: D102
        self, wanted: Array, draws: Array | None = None
    ) -> tuple[Array, ...]:
        left = np.clip(wanted, -self.largest, self.largest)
        step, most = (self.high - self.low) / 2**self.bits, 2 ** (self.bits - 1)
        cells = []
        for coefficient in self.coefficients[:-1]:
            digits = np.clip(np.rint(left / (coefficient * step)), -most, most)
            cells.append(np.asarray(self.middle + digits * step))
            left = left - coefficient * step * digits
        return *cells, self._rounded(self.middle + left / self.coefficients[-1], draws)

    def spent(self, conductances: Sequence[Array]) -> NDArray[np.bool_]:  # noqa: D102
        # As much as a carry leaves at most.
        return np.asarray(np.abs(conductances[-1] - self.middle) > 0.251 * (self.high - self.low))


def _times(coefficient: float, conductance: Array) -> Array:
    if coefficient == 1:
        return conductance
    return conductance * conductance.dtype.type(coefficient)
