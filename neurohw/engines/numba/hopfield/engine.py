"""Compiled engine of deep Hopfield networks: as its oracle, with the moves of layers fused."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.hopfield import Dynamics, HopfieldEngine
from neurohw.engines.numba.hopfield import kernels

Array = NDArray[np.floating]


class FusedDynamics(Dynamics):
    """Products by BLAS; all else of a layer in one pass."""

    def moved(self, state: Sequence[Array], layer: int) -> Array:
        """See `Dynamics.moved`; nudged outputs, which are few, and complex states move by it."""
        last = len(state) - 1
        if np.iscomplexobj(state[layer]) or (
            layer == last and (self.nudging is not None or last == 0)
        ):
            return super().moved(state, layer)
        forward, source, before = self.network.forward, self.sources[layer], state[layer]
        if layer == 0:
            below = self.input_current
        else:
            below = forward(layer - 1, state[layer - 1]) @ self.arrays[layer].conductance.T
        above = before[:0]
        if layer < last:
            above = self.arrays[layer + 1].backwards(forward(layer + 1, state[layer + 1]))
        after = np.empty_like(before)
        number = before.dtype.type
        kernels.move(
            before,
            below,
            above,
            source.current,
            source.conductance,
            number(self.share),
            number(self.network.low),
            number(self.network.high),
            after,
        )
        return after


class NumbaHopfieldEngine(HopfieldEngine):
    """Relaxes deep Hopfield networks in compiled code; see `HopfieldEngine`."""

    dynamics = FusedDynamics
