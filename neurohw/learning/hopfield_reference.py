"""The true gradient of a Hopfield network's cost, by the adjoint: what every rule estimates.

At equilibrium a_j − h_j·u_j = 0 at every node but those that are clipped. A small change of a
weight moves the membranes by J⁻¹·δa, J = ∂(h·u − a)/∂u, so the cost C = ½ Σ_outputs (ρ − t)²
changes by

    ∂C/∂G_ji = λ_j·ρ_i + λ_i·ρ_j,   ∂C/∂b_j = λ_j,   Jᵀ·λ = ∂C/∂u

with λ = 0 at inputs and clipped nodes. Sample by sample, with a dense system of the smaller half
of the layers. Where arrays are read backwards with another gain g_i of each input than forwards,
what λ_i multiplies has it: ∂C/∂G_ji = λ_j·ρ_i + g_i·λ_i·ρ_j. From a readout nothing comes back,
g = 0; its cost is −Σ t·ln y. Of convolutions the largest of each field stays the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.layered import solve
from neurohw.networks.hopfield import HopfieldNetwork, joined

Array = NDArray[np.float64]


def cost_gradient(
    network: HopfieldNetwork,
    conductances: Sequence[Array],
    leak: Sequence[Array],
    inputs: Array,
    state: Sequence[Array],
    target: Array,
) -> tuple[list[Array], list[Array]]:
    """Return the gradient of the batch's mean cost at a free equilibrium.

    Parameters
    ----------
    network : HopfieldNetwork
    conductances : (units, inputs) of each array, of either sign [S]
    leak : (units,) of each free layer [S]
    inputs : (batch, inputs) array [V]
        Pixels.
    state : (batch, units) membranes of each free layer [V]
        Converged; a node exactly at a limit counts as clipped.
    target : (batch, outputs) array [V]

    Returns
    -------
    by_conductance : (units, inputs) of each array [V²/S]
    by_current : (units,) of each free layer, by a bias current [V²/A]
    """
    found = adjoint(network, conductances, leak, state, target)
    return from_adjoint(network, conductances, inputs, state, found)


def adjoint(
    network: HopfieldNetwork,
    conductances: Sequence[Array],
    leak: Sequence[Array],
    state: Sequence[Array],
    target: Array,
    gains: Sequence[Array | float] | None = None,
) -> list[Array]:
    """Return λ, a (batch, units) array a free layer [V²/A]; see `cost_gradient`.

    It is the derivative of each sample's cost by a current fed into each membrane. gains, of
    transposed reads of each array, (inputs,) or 1.
    """
    back = _backwards(conductances, gains)
    found = [np.zeros(u.shape) for u in state]
    for sample in range(len(target)):
        layers = [u[sample] for u in state]
        slopes = [network.slope(u) for u in layers]
        signals = [network.forward(k, u) for k, u in enumerate(layers)]
        weights, returning = joined(network, conductances, back, signals)
        by_membrane = [np.zeros_like(u) for u in layers]
        by_membrane[-1] = signals[-1] - target[sample]
        if not network.softmax:
            by_membrane[-1] *= slopes[-1]
        solved = solve(
            leak,
            [-slope[:, None] * g for slope, g in zip(slopes[1:], returning, strict=True)],
            [-slope[:, None] * g.T for slope, g in zip(slopes[:-1], weights, strict=True)],
            by_membrane,
            [network.free(k, u) for k, u in enumerate(layers)],
        )
        for layer, values in zip(found, solved, strict=True):
            layer[sample] = values
    return found


def from_adjoint(
    network: HopfieldNetwork,
    conductances: Sequence[Array],
    inputs: Array,
    state: Sequence[Array],
    found: Sequence[Array],
    gains: Sequence[Array | float] | None = None,
) -> tuple[list[Array], list[Array]]:
    """Return the gradient of the mean cost from what `adjoint` found; see `cost_gradient`.

    By a bias current of each bit line, (bit lines,).
    """
    signals = [inputs, *(network.forward(k, u) for k, u in enumerate(state))]
    parts = [np.zeros(inputs.shape), *found]
    by_conductance, by_current = [], []
    for k, (connection, g) in enumerate(zip(network.connections, conductances, strict=True)):
        lines, back = connection.lines(signals[k]), connection.lines(parts[k])
        currents = lines @ g.T
        gain = 0.0 if network.readout(k) else 1.0 if gains is None else gains[k]
        total = _product(connection.driven(parts[k + 1], currents), lines)
        total += _product(connection.driven(signals[k + 1], currents), back * gain)
        by_conductance.append(total / len(inputs))
        by_current.append(connection.by_line(parts[k + 1]).mean(axis=0))
    return by_conductance, by_current


def _product(units: NDArray[Any], inputs: NDArray[Any]) -> Array:
    """Return the sum over samples and positions of outer products, (bit lines, word lines)."""
    return np.asarray(units.reshape(-1, units.shape[-1]).T @ inputs.reshape(-1, inputs.shape[-1]))


def _backwards(
    conductances: Sequence[Array], gains: Sequence[Array | float] | None
) -> Sequence[Array]:
    """Return the conductances with the gains of transposed reads [S]."""
    if gains is None:
        return conductances
    return [g * gain for g, gain in zip(conductances, gains, strict=True)]
