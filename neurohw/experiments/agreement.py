"""Agreement of gradients that a chip estimates with the exact one: cosine, error, bias, spread."""

import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Tally:
    """Estimates of one gradient, part by part, reduced to a few sums as they come.

    exact, arrays of any shapes; scaled, whether an estimate's length means anything.
    """

    def __init__(self, exact: Sequence[Array], *, scaled: bool = True) -> None:
        self.exact = exact
        self.scaled = scaled
        self.squares = np.array([np.vdot(part, part) for part in exact])
        # Of each estimate: its error along the exact gradient, and the square of its error.
        self.along: list[Array] = []
        self.errors: list[Array] = []
        self._mean = [np.zeros(part.shape) for part in exact]
        self.scatter = np.zeros(len(exact))

    def add(self, estimate: Sequence[Array]) -> None:
        """Take an estimate into account."""
        along, errors = np.zeros(len(self.exact)), np.zeros(len(self.exact))
        count = len(self.errors) + 1
        for k, (exact, found) in enumerate(zip(self.exact, estimate, strict=True)):
            error = found - exact
            along[k], errors[k] = np.vdot(exact, error), np.vdot(error, error)
            # Of the errors, not of the estimates, lest rounding make them scatter.
            before = error - self._mean[k]
            self._mean[k] += before / count
            self.scatter[k] += np.vdot(before, error - self._mean[k])
        self.along.append(along)
        self.errors.append(errors)

    def bias(self) -> Array:
        """Return the squared error of the mean estimate of each part, without what is scatter."""
        count = len(self.errors)
        raw = np.array([np.vdot(mean, mean) for mean in self._mean])
        return np.asarray(raw - self.variance() / count)

    def variance(self) -> Array:
        """Return the mean square by which an estimate of each part is off their mean."""
        return np.asarray(self.scatter / max(len(self.errors) - 1, 1))


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How estimates agree with a gradient; all relative to its length but the cosine.

    relative_error² = bias² + spread², but for what few repeats leave to chance. NaN where the
    gradient is 0 or lengths mean nothing.
    """

    one_minus_cosine: float
    relative_error: float
    bias: float
    spread: float

    @staticmethod
    def of(tallies: Sequence[Tally], parts: Iterable[int]) -> "Agreement":
        """Return the agreement of some parts together, over all mini-batches."""
        some = list(parts)
        exact = sum(float(t.squares[some].sum()) for t in tallies)
        gaps = [
            _gap(float(t.squares[some].sum()), float(along[some].sum()), float(error[some].sum()))
            for t in tallies
            for along, error in zip(t.along, t.errors, strict=True)
        ]
        known = [gap for gap in gaps if not math.isnan(gap)]
        error = sum(float(np.mean([e[some].sum() for e in t.errors])) for t in tallies)
        bias = sum(float(t.bias()[some].sum()) for t in tallies)
        variance = sum(float(t.variance()[some].sum()) for t in tallies)
        scaled = exact > 0 and all(t.scaled for t in tallies)
        return Agreement(
            one_minus_cosine=float(np.mean(known)) if known else math.nan,
            **{
                name: math.sqrt(max(square, 0.0) / exact) if scaled else math.nan
                for name, square in (
                    ("relative_error", error),
                    ("bias", bias),
                    ("spread", variance),
                )
            },
        )


def _gap(exact: float, along: float, error: float) -> float:
    """Return 1 − cos of a gradient and an estimate, without cancellation.

    exact, the square of the gradient; along, its product with the error; error, that one's square.
    """
    if exact == 0:
        return math.nan
    change = 2 * along + error
    length, found = math.sqrt(exact), math.sqrt(max(exact + change, 0.0))
    if found == 0:
        return 1.0
    return max(error - (change / (found + length)) ** 2, 0.0) / (2 * found * length)
