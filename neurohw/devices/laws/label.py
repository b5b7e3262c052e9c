"""Devices without a law of their own, and those that follow NeuroSim's label curves."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurohw.devices.device import MemoryDevice, PulsedDevice
from neurohw.devices.fabrication import Fabrication
from neurohw.devices.law import LEAST_CURVATURE, Law

Array = NDArray[np.floating]

LABEL_LIMIT = 9.0
LABEL_LINEAR = 0.01

# Label of the curve whose gap to the straight line is the whole range (NeuroSim's scaling).
_LABEL_OF_FULL_GAP = 10.10152545

# Below it a label, 1.26 times the curvature, counts as 0.
_LEAST_LABELLED = 5e-3


class Ideal(MemoryDevice, frozen=True, kw_only=True, tag="ideal"):
    """Takes any change exactly, within the limits, without pulses or noise."""

    def fabricated(self, fabrication: Fabrication) -> Law:
        """Return the law of each cell of an array."""
        one, none = np.ones((1, 1)), np.zeros((1, 1))
        return Law(
            family="straight",
            up=(one, none),
            down=(one, none),
            step_up=1.0,
            step_down=1.0,
            limit_up=np.inf,
            limit_down=np.inf,
        )


class Exponential(PulsedDevice, frozen=True, kw_only=True, tag="exponential"):
    """NeuroSim's label curves.

    G rises along ``(1 - exp(-p/A)) / (1 - exp(-1/A))``, p the share of `pulses_up`, A set by the
    label, and falls along the same form with the label of the other direction.

    Parameters
    ----------
    pulses_up, pulses_down : int
        Pulses from one limit to the other.
    nonlinearity_up, nonlinearity_down : float
        Labels, -9 to 9; 0 is linear. `nonlinearity_down` below 0 falls steeply from the top,
        above 0 it retraces a rise.
    nonlinearity_spread : float
        Device-to-device standard deviation of both labels.

    References
    ----------
    NeuroSim MLP manual V3.0: Chen, Peng, Yu, IEEE TCAD 37, 3067 (2018).
    """

    pulses_up: int
    pulses_down: int
    nonlinearity_up: float = 0.0
    nonlinearity_down: float = 0.0
    nonlinearity_spread: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("pulses_up", "pulses_down"):
            self.require(key, "must be 1 or more", getattr(self, key) >= 1)
        for key in ("nonlinearity_up", "nonlinearity_down"):
            inside = abs(getattr(self, key)) <= LABEL_LIMIT
            self.require(key, f"a label lies between -{LABEL_LIMIT:g} and {LABEL_LIMIT:g}", inside)
        finite = 0 <= self.nonlinearity_spread < float("inf")
        self.require("nonlinearity_spread", "must be finite, 0 or more", finite)

    def fabricated(self, fabrication: Fabrication) -> Law:
        """Return the law of each cell of an array."""
        labels = [np.full((1, 1), v) for v in (self.nonlinearity_up, self.nonlinearity_down)]
        if self.nonlinearity_spread > 0:
            for k, purpose in enumerate(("nonlinearity_up", "nonlinearity_down")):
                labels[k] = labels[k] + self.nonlinearity_spread * fabrication.normal(purpose)
        curvatures = [curvature(label) for label in labels]
        sizes = self.sizes(fabrication)
        pulses = self.pulses_up, self.pulses_down
        low, high = fabrication.low, fabrication.high
        ends: Any
        flat = max(np.abs(c).max() for c in curvatures) <= LEAST_CURVATURE
        if flat:
            ends = [
                ((high - low) / n * size, np.zeros((1, 1)))
                for n, size in zip(pulses, sizes, strict=True)
            ]
        else:
            bent = [_not_flat(c) for c in curvatures]
            # A curve runs along its rise; falling pulses walk it the other way.
            ends = [
                (low - (high - low) / np.expm1(-c), sign * c / n * size)
                for c, n, size, sign in zip(bent, pulses, sizes, (1, -1), strict=True)
            ]
        return Law(
            family="straight" if flat else "affine",
            up=ends[0],
            down=ends[1],
            step_up=fabrication.span / self.pulses_up,
            step_down=fabrication.span / self.pulses_down,
            limit_up=self.pulses_up,
            limit_down=self.pulses_down,
            **self.noise(fabrication),
        )


def curvature(label: ArrayLike) -> NDArray[np.float64]:
    """Give the curvature 1/A of the update curve that has a NeuroSim nonlinearity label.

    The label is 10.10152545 times the greatest gap between the normalised curve and the straight
    line: ``label = 10.10152545 (b - a - a ln(b/a))`` with ``a = A``, ``b = 1/(1 - exp(-1/a))``,
    inverted here by interpolation to a relative 1e-7.

    Parameters
    ----------
    label : array-like, any shape
        Signed labels; magnitudes above 9 count as 9, below 0.01 as 0 (linear).

    Returns
    -------
    array, the shape of `label`
        Signed 1/A, A being measured in full ranges of pulses; 0 for the linear curve.
    """
    label = np.asarray(label, dtype=np.float64)
    labels, curvatures = _label_curve()
    size = np.minimum(np.abs(label), LABEL_LIMIT)
    inverse = np.interp(size, labels, curvatures)
    return np.where(size < LABEL_LINEAR, 0.0, np.copysign(inverse, label))


def label(curvature: ArrayLike) -> NDArray[np.float64]:
    """Give the NeuroSim nonlinearity label of a curve of signed curvature 1/A, any shape."""
    curvature = np.asarray(curvature, dtype=np.float64)
    size = np.maximum(np.abs(curvature), _LEAST_LABELLED)
    a, b = 1 / size, -1 / np.expm1(-size)
    labels = _LABEL_OF_FULL_GAP * (b - a - a * np.log(b / a))
    return np.where(np.abs(curvature) < _LEAST_LABELLED, 0.0, np.copysign(labels, curvature))


@lru_cache(maxsize=1)
def _label_curve() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Labels over a geometric grid of curvatures that covers every label."""
    curvatures = np.geomspace(_LEAST_LABELLED, 60.0, 20_000)
    return label(curvatures), curvatures


def _not_flat(curvatures: Array) -> Array:
    flat = np.abs(curvatures) < LEAST_CURVATURE
    return np.where(flat, np.copysign(LEAST_CURVATURE, curvatures), curvatures)
