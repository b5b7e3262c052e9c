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
        """See `Dynamics.moved`: by it move nudged outputs, readouts, complex states, noisy ones."""
        last = len(state) - 1
        few = layer == last and (self.nudging is not None or last == 0 or self.network.softmax)
        if few or self.noise is not None or np.iscomplexobj(state[layer]):
            return super().moved(state, layer)
        source, before = self.sources[layer], state[layer]
        above = self.above(state, layer)
        after = np.empty_like(before)
        number = before.dtype.type
        kernels.move(
            before,
            self.below(state, layer),
            before[:0] if above is None else above,
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
