"""Where a Hopfield network rests, to rounding: exact sweeps, then Newton steps of all nodes.

Sweeps go down the energy and so choose the minimum. Near it, nodes whose currents would carry them
past a limit are set there, and those between the limits to where the linearised currents balance;
such a step is kept where it brings a sample closer to rest.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import Equilibrium, SeenArray, Source
from neurohw.engines.hopfield import Dynamics
from neurohw.engines.layered import solve
from neurohw.errors import ConvergenceError
from neurohw.networks.hopfield import HopfieldNetwork, joined

Array = NDArray[np.floating]

# Of the unit voltage: what counts as rest, and from where on Newton steps are tried.
_REST, _NEAR = 1e-13, 1e-2
_SWEEPS_A_ROUND, _ROUNDS = 10, 300


def rest(
    network: HopfieldNetwork,
    arrays: Sequence[SeenArray],
    sources: Sequence[Source],
    input_current: Array,
    start: Equilibrium,
) -> list[Array]:
    """Return the membranes of the free equilibrium below a start, (batch, units) a layer [V].

    All in float64; see `neurohw.engines.equilibrium.Engine.relax`.

    Raises
    ------
    ConvergenceError
        Naming the sample that is farthest from rest, and what to change.
    """
    dynamics = Dynamics(
        network=network,
        arrays=arrays,
        sources=sources,
        input_current=input_current,
        nudging=None,
        step=None,
    )
    state = list(start.state)
    for _ in range(_ROUNDS):
        away = _away(dynamics, state)
        if away.max() <= _REST:
            return state
        near = np.flatnonzero((away > _REST) & (away < _NEAR))
        if len(near):
            state = _stepped(dynamics, state, near, away)
        for _ in range(_SWEEPS_A_ROUND):
            for k in [*range(0, len(state), 2), *range(1, len(state), 2)]:
                state[k] = dynamics.moved(state, k)
    away = _away(dynamics, state)
    worst = int(away.argmax())
    raise ConvergenceError(
        f"sample {worst}: the free equilibrium was not found: after"
        f" {_ROUNDS * _SWEEPS_A_ROUND} sweeps a membrane is still {away[worst]:.3g} of the unit"
        " voltage from rest; take smaller weights or leave the sample out"
    )


def _away(dynamics: Dynamics, state: Sequence[Array]) -> Array:
    """Return each sample's largest distance from where its currents carry it, in unit voltages."""
    moves = [dynamics.moved(state, k) - u for k, u in enumerate(state)]
    return np.asarray(
        np.abs(np.concatenate(moves, axis=1)).max(axis=1) / dynamics.network.unit_voltage
    )


def _stepped(
    dynamics: Dynamics, state: Sequence[Array], samples: NDArray[np.intp], away: Array
) -> list[Array]:
    """Return the state after a Newton step of those samples that it brings closer to rest."""
    network = dynamics.network
    goals = [dynamics.moved(state, k) for k in range(len(state))]
    free = [network.free(k, goal) for k, goal in enumerate(goals)]
    tried = [np.where(f, u, goal) for f, u, goal in zip(free, state, goals, strict=True)]
    leaks = [source.conductance for source in dynamics.sources]
    missing = [dynamics.arriving(tried, k) - h * tried[k] for k, h in enumerate(leaks)]
    signals = [network.forward(k, u) for k, u in enumerate(tried)]
    tried = [u.copy() for u in tried]
    for sample in samples:
        weights, back = joined(
            network,
            [array.conductance for array in dynamics.arrays],
            [array.backward_conductance for array in dynamics.arrays],
            [layer[sample] for layer in signals],
        )
        slopes = [network.slope(u[sample]) for u in tried]
        change = solve(
            leaks,
            [-g * slope for g, slope in zip(weights, slopes[:-1], strict=True)],
            [-g.T * slope for g, slope in zip(back, slopes[1:], strict=True)],
            [part[sample] for part in missing],
            [mask[sample] for mask in free],
        )
        for k, (layer, part) in enumerate(zip(tried, change, strict=True)):
            moved = layer[sample] + part
            if not network.readout(k):
                moved = np.clip(moved, network.low, network.high)
            layer[sample] = moved
    kept = np.zeros(len(away), bool)
    kept[samples] = _away(dynamics, tried)[samples] < away[samples]
    return [np.where(kept[:, None], new, old) for new, old in zip(tried, state, strict=True)]
