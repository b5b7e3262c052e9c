"""Means and spread over devices, from estimates that have errors of their own.

References
----------
Paule and Mandel (1982), J. Res. Natl. Bur. Stand. 87, 377, for the variance between devices;
Viechtbauer (2007), Statistics in Medicine 26, 37, for its interval; Hartung and Knapp (2001),
Statistics in Medicine 20, 3875, for the error of the mean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi2

Array = NDArray[np.floating]

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Population:
    """One quantity over devices.

    Parameters
    ----------
    mean, error : float
        And its standard error.
    weights : (devices,) array
        Of the devices in the mean.
    spread, least, most : float
        Standard deviation between devices and its interval; none where its least is 0.
    """

    mean: float
    error: float
    weights: Array
    spread: float
    least: float
    most: float


def population(values: Array, errors: Array) -> Population:
    """Estimate mean and spread of a quantity.

    values, errors : (devices,) arrays, two devices or more
    """
    count = len(values)
    # Errors of exactly 0, of what was held at a bound, would have all the weight.
    floor = 1e-3 * float(np.std(values)) + 1e-12 * float(np.abs(values).max()) + 1e-300
    variances = np.maximum(errors, floor) ** 2
    tail = (1 - LEVEL) / 2
    spread = _between(values, variances, count - 1)
    weights = 1 / (variances + spread)
    mean = float((weights * values).sum() / weights.sum())
    scatter = float((weights * (values - mean) ** 2).sum()) / (count - 1)
    return Population(
        mean=mean,
        error=float(np.sqrt(max(scatter, 1.0) / weights.sum())),
        weights=weights / weights.sum(),
        spread=float(np.sqrt(spread)),
        least=float(np.sqrt(_between(values, variances, chi2.ppf(1 - tail, count - 1)))),
        most=float(np.sqrt(_between(values, variances, chi2.ppf(tail, count - 1)))),
    )


def _between(values: Array, variances: Array, wanted: float) -> float:
    """Return the variance between devices at which their weighted scatter is as wanted."""

    def excess(spread: float) -> float:
        weights = 1 / (variances + spread)
        mean = (weights * values).sum() / weights.sum()
        return float((weights * (values - mean) ** 2).sum()) - wanted

    if excess(0.0) <= 0:
        return 0.0
    most = float(((values - values.mean()) ** 2).sum()) / wanted
    while excess(most) > 0:
        most *= 2
    return float(brentq(excess, 0.0, most, rtol=1e-6))
