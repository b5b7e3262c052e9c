"""Which axis matters most: shares of the variance of the test error, first-order Sobol indices.

They are those of an analysis of variance: the variance between the means at each value of an axis
over all variance. Of a sample, whose points all have values of their own, they are put into groups
of neighbours along the axis, about √points of them; so no axis needs points of its own. How large
the share is by chance, for an axis of no effect, is found by shuffling.

References
----------
Plischke, Borgonovo, Smith (2013), Eur. J. Oper. Res. 226, 536, for indices from any sample.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurohw.experiments.studies.study import Study
from neurohw.experiments.studies.table import Table, designed

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

    Of each point the mean over its seeds counts; points that have failed are left out. There are
    none after halving either: errors of more and of fewer epochs are no sample of one function.
    """
    if (table["status"] == "paused").any():
        return []
    table = designed(study, table)
    numbers = np.unique(table["point"])
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
        groups = round(errors.size**0.5)
        if values.max() >= 2 * groups:
            values = np.argsort(np.argsort(values, kind="stable")) * groups // errors.size
        chance = [_share(values, rng.permutation(errors)) for _ in range(_SHUFFLES)]
        found.append(
            Sensitivity(axis.label, _share(values, errors), float(np.quantile(chance, 0.95)))
        )
    return sorted(found, key=lambda item: -item.index)


def _share(groups: NDArray[np.intp], errors: Array) -> float:
    """Return the variance between the means of groups over all variance."""
    count = np.bincount(groups)
    means = np.bincount(groups, errors) / count
    return float(count @ (means - errors.mean()) ** 2 / (errors.size * errors.var()))
