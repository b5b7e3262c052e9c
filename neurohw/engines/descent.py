"""Exact block coordinate descent over the layers of a resistive network, one for all engines.

A sweep sets the layers, even ones first, then odd ones. Every node of a layer is set to the
voltage at which its currents balance, given all others; engines differ in what does that.
Sources: Scellier (2024), arXiv:2402.11674, for the sweeps.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import (
    ROUNDING,
    Accelerator,
    Equilibrium,
    Nudging,
    Result,
    SeenArray,
    Source,
)
from neurohw.engines.kirchhoff import arriving, couplings, total_conductances
from neurohw.engines.newton import Newton
from neurohw.networks.hopfield import HopfieldNetwork
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]

Settle = Callable[[int, Array, Array, Array | None, Array], Array]
"""Voltages of a layer from (layer, current, total, coupling, voltages before).

current and voltages (batch, units) [A], [V]; total likewise or, the same for all samples,
(1, units) [S]; coupling (units, units) [S].
"""

Move = Callable[[int, Sequence[Array]], Array]
"""Voltages (batch, units) of a layer from (layer, state), with all other layers held [V]."""


def descend(
    settle: Settle,
    network: ResistiveNetwork,
    arrays: Sequence[SeenArray],
    sources: Sequence[Source],
    input_current: Array,
    *,
    start: Equilibrium | None,
    nudging: Nudging | None,
    sweeps: int,
    tolerance: float,
    accelerator: Accelerator,
) -> Equilibrium:
    """Relax; see `neurohw.engines.equilibrium.Engine.relax`."""
    last = len(network.layers) - 1
    totals, coupled = total_conductances(network, arrays, sources), couplings(network, arrays)
    newton = None
    if accelerator == "newton":
        newton = Newton(network, arrays, sources, input_current, nudging)

    def move(k: int, state: Sequence[Array]) -> Array:
        current = arriving(network, arrays, sources, input_current, state, k)
        total = totals[k][None]
        if k == last and nudging is not None:
            current = current + nudging.injected(current.dtype)
            total = total + nudging.conductor(current.dtype)
        return settle(k, current, total, coupled[k], state[k])

    return sweep(
        move,
        network,
        input_current,
        start=start,
        nudging=nudging,
        sweeps=sweeps,
        tolerance=tolerance,
        newton=newton,
    )


def sweep(
    move: Move,
    network: ResistiveNetwork,
    input_current: Array,
    *,
    start: Equilibrium | None,
    nudging: Nudging | None,
    sweeps: int,
    tolerance: float,
    newton: Newton | None = None,
) -> Equilibrium:
    """Move layer after layer until done; see `neurohw.engines.equilibrium.Engine.relax`.

    input_current says how many samples there are, and their precision.
    """
    last = len(network.layers) - 1
    state = start_state(network, input_current, start)
    begun = None if nudging is None else start_state(network, input_current, start)
    order = [*range(0, last + 1, 2), *range(1, last + 1, 2)]
    result: Result = "fixed sweeps" if tolerance == 0 else "not converged"
    residual, iterations = np.inf, 0
    while iterations < sweeps:
        before = list(state)
        iterations += 1
        watched = tolerance > 0 or iterations == sweeps
        for k in order:
            state[k] = move(k, state)
            if k == last and nudging is not None:
                state[k][nudging.clamped] = nudging.target[nudging.clamped]
        if newton is not None and all(np.isfinite(v).all() for v in state):
            state = newton.step(state)
        if not watched:
            continue
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
    return Equilibrium(state=tuple(state), residual=residual, iterations=iterations, result=result)


def _residual(before: Array, after: Array, begun: Array | None) -> float:
    """Return a layer's share of the residual; begun, where a nudged phase started."""
    change, largest = np.abs(after - before).max(), np.abs(after).max()
    if begun is not None:
        change = max(change, ROUNDING * np.finfo(after.dtype).eps * largest)
        largest = np.abs(after - begun).max()
    return float(change / largest) if largest > 0 else 0.0


def start_state(
    network: ResistiveNetwork | HopfieldNetwork, input_current: Array, start: Equilibrium | None
) -> list[Array]:
    """Return fresh arrays that hold the start of a relaxation, its samples repeated as needed."""
    batch, dtype = len(input_current), input_current.dtype
    if start is None:
        return [np.zeros((batch, units), dtype) for units in network.layers]
    copies = batch // len(start.state[0])
    return [np.concatenate([v] * copies) for v in start.state]
