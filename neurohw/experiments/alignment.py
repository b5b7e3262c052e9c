"""How well the errors of a learning rule agree with those of backpropagation, and dead units.

The angle is between the error vectors of a hidden layer for one sample, δ of the rule and that of
the exact gradient of the network's cost through the weights as a digital read-out gives them; its
mean over the first training images is what is noted. Feedback matrices may agree with the weights
less than that, and more: it is the errors that teach (Lillicrap et al. 2016).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import FeedforwardChip
from neurohw.learning.feedforward import Activity, FeedforwardRule
from neurohw.networks.feedforward import FeedforwardNetwork

Array = NDArray[np.floating]

# Images over which angles are averaged.
SAMPLES = 256


def angles(rule: FeedforwardRule, activity: Activity, targets: Array, event: int) -> list[float]:
    """Return the mean angle of each hidden layer [deg]; NaN where no sample has both errors.

    activity and dimensionless targets (batch, outputs), as `FeedforwardRule.errors` takes them.
    """
    errors = rule.errors(activity, targets, event)
    exact = exact_errors(rule.network, rule.chip, activity, targets)
    return [_angle(x, y) for x, y in zip(errors[:-1], exact[:-1], strict=True)]


def exact_errors(
    network: FeedforwardNetwork, chip: FeedforwardChip, activity: Activity, targets: Array
) -> list[Array]:
    """Return δ of each layer, (batch, units), by dense algebra with the weights as read out."""
    z, a = activity.totals, activity.states
    weights = chip.logical()[0]
    delta = network.output_error(z[-1], a[-1], targets)
    deltas = [delta]
    for k in range(len(weights) - 1, 0, -1):
        delta = (delta @ weights[k]) * network.slope(k - 1, z[k - 1], a[k - 1])
        deltas.insert(0, delta)
    return deltas


class Activations:
    """Which units moved in an epoch: some sample found them active, or away from their ends.

    The latter where φ has no flat part: a sigmoid or tanh within a hundredth of its range. What was
    told of a layer is told again when twice as many units do not move.
    """

    def __init__(self, network: FeedforwardNetwork) -> None:
        self._low, self._high = network.reach
        self._rests = network.hidden in ("relu", "hard-sigmoid", "power")
        self._seen: list[NDArray[np.bool_]] = []
        self._told: dict[int, int] = {}

    def see(self, states: Sequence[Array]) -> None:
        """Note the (batch, units) states of the hidden layers of a mini-batch."""
        low, high = (0.0, np.inf) if self._rests else self._ends()
        active = [np.any((a > low) & (a < high), axis=0) for a in states]
        for was, now in zip(self._seen, active, strict=False):
            now |= was
        self._seen = active

    def lines(self) -> list[str]:
        """Return a line for each layer with more units that no sample moved, and begin anew."""
        dead = {k: int(np.count_nonzero(~active)) for k, active in enumerate(self._seen)}
        more = {k: n for k, n in dead.items() if n and n >= 2 * self._told.get(k, 0)}
        sizes = [len(active) for active in self._seen]
        self._seen = []
        self._told |= more
        what = "were never active" if self._rests else "were saturated in every sample"
        return [
            f"layer {k + 1}: {count} of {sizes[k]} units {what}: they learn nothing; take a"
            " smaller learning.learning_rate or network.initial_range"
            for k, count in more.items()
        ]

    def _ends(self) -> tuple[float, float]:
        """Return a hundredth of the range from either end; infinite where there is none."""
        margin = 0.01 * (self._high - self._low)
        if not np.isfinite(margin):
            return self._low, self._high
        return self._low + margin, self._high - margin


def _angle(x: Array, y: Array) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    size = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    some = size > 0
    if not some.any():
        return float("nan")
    cosine = (x * y).sum(axis=1)[some] / size[some]
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())
