"""The readable oracle: exact block coordinate descent on the co-content, in plain NumPy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import (
    ROUNDING,
    Equilibrium,
    Nudging,
    Result,
    SeenArray,
    Source,
    total_conductances,
)
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]


class NumpyEngine:
    """Sweeps over the layers, even ones first, each node set to its exact minimum.

    A node's minimum is the mean of its neighbours' voltages, weighted by conductance, plus what
    its sources add, held within its diodes. Source: Scellier (2024), arXiv:2402.11674.
    """

    def relax(
        self,
        network: ResistiveNetwork,
        arrays: Sequence[SeenArray],
        sources: Sequence[Source],
        input_current: Array,
        *,
        start: Equilibrium | None = None,
        nudging: Nudging | None = None,
        sweeps: int,
        tolerance: float = 0.0,
    ) -> Equilibrium:
        """See `neurohw.engines.equilibrium.Engine.relax`."""
        batch, last = len(input_current), len(network.layers) - 1
        totals = total_conductances(arrays, sources)
        state = start_state(network, input_current, start)
        begun = None if nudging is None else start_state(network, input_current, start)
        order = [*range(0, last + 1, 2), *range(1, last + 1, 2)]
        result: Result = "fixed sweeps" if tolerance == 0 else "not converged"
        residual, iterations = np.inf, 0
        while iterations < sweeps:
            before = list(state)
            for k in order:
                current = np.broadcast_to(sources[k].current, (batch, network.layers[k]))
                total = np.broadcast_to(totals[k], (batch, network.layers[k]))
                if k == 0:
                    current = current + input_current
                else:
                    current = current + state[k - 1] @ arrays[k].conductance.T
                if k < last:
                    current = current + state[k + 1] @ arrays[k + 1].conductance
                elif nudging is not None:
                    current = current + nudging.strength[:, None] * nudging.target
                    total = total + nudging.strength[:, None]
                # A node that no conductance meets stays at 0 V.
                voltage = np.divide(current, total, out=np.zeros_like(current), where=total != 0)
                state[k] = np.clip(voltage, network.low[k], network.high[k])
            iterations += 1
            if not all(np.isfinite(v).all() for v in state):
                result, residual = "not finite", np.inf
                break
            residual = max(
                _residual(before[k], v, None if begun is None else begun[k])
                for k, v in enumerate(state)
            )
            if tolerance > 0 and residual < tolerance and iterations > last:
                result = "converged"
                break
        return Equilibrium(
            state=tuple(state), residual=residual, iterations=iterations, result=result
        )


def _residual(before: Array, after: Array, begun: Array | None) -> float:
    """Return a layer's share of the residual; begun, where a nudged phase started."""
    change, largest = np.abs(after - before).max(), np.abs(after).max()
    if begun is not None:
        change = max(change, ROUNDING * np.finfo(after.dtype).eps * largest)
        largest = np.abs(after - begun).max()
    return float(change / largest) if largest > 0 else 0.0


def start_state(
    network: ResistiveNetwork, input_current: Array, start: Equilibrium | None
) -> list[Array]:
    """Return fresh arrays that hold the start of a relaxation, its samples repeated as needed."""
    batch, dtype = len(input_current), input_current.dtype
    if start is None:
        return [np.zeros((batch, units), dtype) for units in network.layers]
    copies = batch // len(start.state[0])
    return [np.concatenate([v] * copies) for v in start.state]
