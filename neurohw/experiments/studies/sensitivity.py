"""Which axis matters most: shares of the variance of the test error, first-order Sobol indices.

Of a grid they are those of an analysis of variance, the main effect of each axis. Of a sample they
are estimated from the ranks: points are put in order along an axis, and the error of each is
compared with that of the next one, which has nearly the same value of that axis and any of the
others. A sample is enough; no axis needs points of its own. How large the estimate is by chance,
for an axis of no effect, is found by shuffling.

References
----------
Gamboa, Gremaud, Klein, Lagnoux (2022), Bernoulli 28, 2345, for the ranks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurohw.experiments.studies.axes import Grid
from neurohw.experiments.studies.study import Study
from neurohw.experiments.studies.table import Table

Array = NDArray[np.float64]

_SHUFFLES = 200


@dataclass(frozen=True)
class Sensitivity:
    """Share of the variance that an axis alone explains, and the most that chance gives.

    by_chance is the 95 % quantile over shuffled errors.
    """

    axis: str
    index: float
    by_chance: float


def sensitivities(study: Study, table: Table) -> list[Sensitivity]:
    """Return the axes of a study, the most important first; none where nothing varies.

    Of each point the mean over its seeds counts; points that have failed are left out.
    """
    numbers = np.unique(table["point"])
    if not isinstance(study.design, Grid):
        # References, which stand after the sample, are no part of it.
        numbers = numbers[: study.design.points]
    rows = [np.flatnonzero(table["point"] == number) for number in numbers]
    errors = np.array([table["test_error"][r].mean() for r in rows])
    first = np.array([r[0] for r in rows])
    kept = np.isfinite(errors)
    errors, first = errors[kept], first[kept]
    if errors.size < 4 or np.ptp(errors) == 0:
        return []
    rng = np.random.default_rng(0)
    found = []
    for axis in study.axes:
        values = np.unique(table[axis.label][first], return_inverse=True)[1]
        if values.max() == 0:
            continue
        estimate = _main_effect if isinstance(study.design, Grid) else _by_ranks
        chance = [estimate(values, rng.permutation(errors)) for _ in range(_SHUFFLES)]
        found.append(
            Sensitivity(axis.label, estimate(values, errors), float(np.quantile(chance, 0.95)))
        )
    return sorted(found, key=lambda item: -item.index)


def _main_effect(values: NDArray[np.intp], errors: Array) -> float:
    """Return the variance between the means of the values over all variance."""
    count = np.bincount(values)
    means = np.bincount(values, errors) / count
    return float(count @ (means - errors.mean()) ** 2 / (errors.size * errors.var()))


def _by_ranks(values: NDArray[np.intp], errors: Array) -> float:
    """Return the estimate from neighbours along an axis, in a circle."""
    ordered = errors[np.argsort(values, kind="stable")]
    ordered = ordered - ordered.mean()
    return float((ordered * np.roll(ordered, -1)).mean() / errors.var())
