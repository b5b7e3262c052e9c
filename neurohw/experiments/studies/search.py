"""Search for a limit: a bisection that weighs all runs anew after each step.

A few points over the whole range come first, every one with all seeds. Then the middle of the two
points on either side of the present estimate is added, until these are near enough to each other.
The estimate, and its interval, are those of `neurohw.experiments.studies.limits` over all points;
so a step that noise has led astray does no harm, the next estimate leads back.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurohw.experiments.studies import limits
from neurohw.experiments.studies.limits import Band, Limit

Array = NDArray[np.float64]

FIRST_POINTS = 4
# How near the points around a limit are in the end: their ratio, or their part of a linear range.
NEAR = 1.25
NEAR_LINEAR = 0.05


@dataclass
class Search:
    """A search between two values, driven from outside: run `wanted`, hand over with `take`.

    Parameters
    ----------
    low, high : float
    drop, confidence : float
    most : int
        Points.
    logarithmic, whole, less_is_worse : bool
        Scale; whether only whole numbers are tried; whether small values harm.
    """

    low: float
    high: float
    drop: float
    confidence: float
    most: int
    logarithmic: bool
    whole: bool = False
    less_is_worse: bool = False
    ended: Literal["", "resolved", "outside", "budget"] = ""
    tried: dict[float, Array] = field(default_factory=dict)

    def wanted(self) -> list[float]:
        """Return the values to run next; none at the end, when `ended` says why."""
        if not self.tried:
            count = min(FIRST_POINTS, self.most)
            return list(dict.fromkeys(self._at(k / (count - 1)) for k in range(count)))
        if len(self.tried) >= self.most:
            self.ended = "budget"
            return []
        value = self.limit.value
        if not self.low <= value <= self.high:
            self.ended = "outside"
            return []
        known = sorted(self.tried)
        after = max(1, min(int(np.searchsorted(known, value)), len(known) - 1))
        below, above = known[after - 1], known[after]
        middle = self._rounded(
            float(np.sqrt(below * above)) if self.logarithmic else (below + above) / 2
        )
        near = (
            above <= NEAR * below
            if self.logarithmic
            else above - below <= NEAR_LINEAR * (self.high - self.low)
        )
        if (near and not self.whole) or middle in self.tried:
            self.ended = "resolved"
            return []
        return [middle]

    def take(self, values: list[float], penalties: Array) -> None:
        """Take over the (values, seeds) penalties of some values."""
        self.tried |= dict(zip(values, penalties, strict=True))

    @property
    def band(self) -> Band:
        """What is known of the curve."""
        return limits.band(
            np.array(list(self.tried)), np.array(list(self.tried.values())), self.confidence
        )

    @property
    def limit(self) -> Limit:
        """The present estimate."""
        return limits.limit(
            self.band, self.drop, logarithmic=self.logarithmic, less_is_worse=self.less_is_worse
        )

    def _at(self, share: float) -> float:
        if share in (0, 1):
            return self.high if share else self.low
        if self.logarithmic:
            return self._rounded(self.low * (self.high / self.low) ** share)
        return self._rounded(self.low + (self.high - self.low) * share)

    def _rounded(self, value: float) -> float:
        return float(round(value)) if self.whole else float(f"{value:.4g}")
