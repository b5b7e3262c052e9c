"""Which samples of a relaxing Hopfield network still move, so that a batch costs what they need."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

# Changes within this many roundings of the largest voltage count as none: a membrane sums
# hundreds of currents.
_ROUNDING = 16.0
# Samples at rest are left out once they are this share of what is computed.
_WORTH_LEAVING = 0.25
# Who moves less in two sweeps than this share of what it moves in one swings to and fro.
_PERIODIC = 1e-2


def rounding(voltages: Array) -> float:
    """Return how far voltages may differ by rounding alone [V]."""
    return float(_ROUNDING * np.finfo(voltages.dtype).eps * np.abs(voltages).max(initial=0.0))


class Samples:
    """The samples that are still computed, and the residual of each, see `Engine.relax`.

    Parameters
    ----------
    state : sequence of (batch, units) arrays [V]
        Where the relaxation starts.
    nudged : bool
        Whether changes count relative to the distance from there, not to the voltages.
    step : float
        Share of the way that a move goes.
    """

    def __init__(self, state: Sequence[Array], *, nudged: bool, step: float) -> None:
        batch = len(state[0])
        self.residuals = np.full(batch, np.inf)
        self._rows = np.arange(batch)
        self._begun = list(state) if nudged else None
        self._share = step
        self._ended: list[Array] | None = None
        # Of the samples that left: the largest voltages, or distances, of each layer.
        self._largest = [0.0] * len(state)

    def measure(self, before: Sequence[Array], after: Sequence[Array]) -> None:
        """Take over the residuals of a sweep."""
        worst = np.zeros(len(self._rows))
        for k, (old, new) in enumerate(zip(before, after, strict=True)):
            change = np.abs(new - old).max(axis=1) / self._share
            largest = self._reach(k, new).max(initial=self._largest[k])
            if self._begun is not None:
                change = np.where(change <= rounding(new), 0.0, change)
            if largest > 0:
                worst = np.maximum(worst, change / largest)
        self.residuals[self._rows] = worst

    def leave(self, tolerance: float, state: Sequence[Array]) -> NDArray[np.intp] | None:
        """Let samples at rest leave with their state, if it is worth it.

        Returns the places of the others among what was computed; None if no sample leaves.
        """
        moving = self.residuals[self._rows] >= tolerance
        if np.count_nonzero(moving) > (1 - _WORTH_LEAVING) * len(moving):
            return None
        self._keep(state, np.flatnonzero(~moving))
        places = np.flatnonzero(moving)
        self._rows = self._rows[places]
        if self._begun is not None:
            self._begun = [u[places] for u in self._begun]
        return places

    def all(self, state: Sequence[Array]) -> tuple[Array, ...]:
        """Return the state of every sample, given that of those that were computed last."""
        if self._ended is None:
            return tuple(state)
        self._keep(state, np.arange(len(self._rows)))
        return tuple(self._ended)

    def oscillate(self, earlier: Sequence[Array], state: Sequence[Array]) -> bool:
        """Return whether the sample farthest from rest is where it was two sweeps ago.

        earlier and state, of the samples that were computed last.
        """
        worst = int(self.residuals[self._rows].argmax())
        moved = max(
            float(np.abs(new[worst] - old[worst]).max() / np.abs(new).max(initial=1e-300))
            for old, new in zip(earlier, state, strict=True)
        )
        return moved < _PERIODIC * self._share * float(self.residuals.max())

    def _keep(self, state: Sequence[Array], places: NDArray[np.intp]) -> None:
        if self._ended is None:
            self._ended = [np.empty((len(self.residuals), u.shape[1]), u.dtype) for u in state]
        for k, u in enumerate(state):
            self._ended[k][self._rows[places]] = u[places]
            reach = self._reach(k, u)[places].max(initial=self._largest[k])
            self._largest[k] = float(reach)

    def _reach(self, layer: int, state: Array) -> Array:
        return np.abs(state if self._begun is None else state - self._begun[layer])
