"""The statistics of a layer by which its learning rule is to be recognised (Nayebi et al. 2020).

Seven statistics of the values as they are, of their squares and of their absolute values: 21 of
weights, and 21 of activities. With them go three of the layer's input–output gradient: the mean of
its entries, of their squares and of their absolute values. Nobody sees that gradient on a chip, so
here it is the slope of each unit's activity on that of each unit below, over the images; activities
have 24 statistics then.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

TRANSFORMS = ("raw", "square", "absolute")
STATISTICS = (
    *("norm", "mean", "median", "third quartile"),
    *("variance", "skewness", "kurtosis"),
)
SLOPES = ("mean slope", "mean square slope", "mean absolute slope")
WEIGHTS = tuple(f"{t} {s}" for t in TRANSFORMS for s in STATISTICS)
ACTIVITIES = (*WEIGHTS, *SLOPES)

# Variance of what does not change, relative to its square.
_STILL = 1e-12


def of_values(values: Array) -> NDArray[np.float64]:
    """Return the 21 statistics of (times, ...) values, (times, 21); see `WEIGHTS`.

    The norm is that of all values of a time, skewness and excess kurtosis are Pearson's moments,
    0 of values that are all equal.
    """
    flat = values.reshape(len(values), -1).astype(np.float64)
    absolute = np.abs(flat)
    kinds: Mapping[str, NDArray[np.float64]] = {
        "raw": flat,
        "square": flat**2,
        "absolute": absolute,
    }
    return np.concatenate([_of(kinds[name]) for name in TRANSFORMS], axis=1)


def of_slopes(states: Array, below: Array) -> NDArray[np.float64]:
    """Return the 3 statistics of slopes, (times, 3); see `SLOPES`.

    states (times, images, units) and below, (images, units below) or one at each time. Units below
    that never change are left out.
    """
    rows = []
    for k, here in enumerate(states.astype(np.float64)):
        under = (below if below.ndim == 2 else below[k]).astype(np.float64)
        apart = under - under.mean(axis=0)
        variance = (apart**2).mean(axis=0)
        moves = variance > _STILL * (under**2).mean(axis=0)
        if not moves.any():
            rows.append([0.0, 0.0, 0.0])
            continue
        together = (here - here.mean(axis=0)).T @ apart[:, moves] / len(under)
        slopes = together / variance[moves]
        rows.append([slopes.mean(), (slopes**2).mean(), np.abs(slopes).mean()])
    return np.array(rows)


def _of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the seven statistics of (times, n) values, (times, 7)."""
    mean = values.mean(axis=1)
    apart = values - mean[:, None]
    square = apart**2
    variance = square.mean(axis=1)
    still = variance <= _STILL * (values**2).mean(axis=1)
    spread = np.where(still, 1.0, variance)
    third = np.where(still, 0.0, (square * apart).mean(axis=1) / spread**1.5)
    fourth = np.where(still, 0.0, (square**2).mean(axis=1) / spread**2 - 3)
    median, quartile = np.quantile(values, (0.5, 0.75), axis=1)
    norm = np.sqrt((values**2).sum(axis=1))
    return np.stack([norm, mean, median, quartile, variance, third, fourth], axis=1)
