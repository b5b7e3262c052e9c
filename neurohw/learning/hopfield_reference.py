"""The true gradient of a Hopfield network's cost, by the adjoint: what every rule estimates.

At equilibrium a_j − h_j·u_j = 0 at every node but those that are clipped. A small change of a
weight moves the membranes by J⁻¹·δa, J = ∂(h·u − a)/∂u, so the cost C = ½ Σ_outputs (ρ − t)²
changes by

    ∂C/∂G_ji = λ_j·ρ_i + λ_i·ρ_j,   ∂C/∂b_j = λ_j,   Jᵀ·λ = ∂C/∂u

with λ = 0 at inputs and clipped nodes. Dense algebra, sample by sample: for small networks, whose
arrays are read backwards with the gain that they are read forwards with.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.networks.hopfield import HopfieldNetwork

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
    state : (batch, units) membranes of each free layer [V]
        Converged; a node exactly at a limit counts as clipped.
    target : (batch, outputs) array [V]

    Returns
    -------
    by_conductance : (units, inputs) of each array [V²/S]
    by_current : (units,) of each free layer, by a bias current [V²/A]
    """
    ends = np.cumsum(network.layers)
    coupling = np.zeros((ends[-1], ends[-1]))
    for k, g in enumerate(conductances[1:]):
        below = slice(ends[k] - network.layers[k], ends[k])
        above = slice(ends[k], ends[k + 1])
        coupling[above, below], coupling[below, above] = g, g.T
    by_conductance = [np.zeros(g.shape) for g in conductances]
    by_current = [np.zeros(units) for units in network.layers]
    for sample in range(len(inputs)):
        layers = [u[sample] for u in state]
        membrane = np.concatenate(layers)
        slope = network.slope(membrane)
        lines = [inputs[sample], *(network.forward(k, u) for k, u in enumerate(layers))]
        jacobian = np.diag(np.concatenate(leak)) - coupling * slope
        free = (membrane > network.low) & (membrane < network.high)
        by_membrane = np.zeros(len(membrane))
        by_membrane[ends[-1] - network.layers[-1] :] = lines[-1] - target[sample]
        by_membrane *= slope
        adjoint = np.zeros(len(membrane))
        adjoint[free] = np.linalg.solve(jacobian[np.ix_(free, free)].T, by_membrane[free])
        parts = [np.zeros(network.inputs), *np.split(adjoint, ends[:-1])]
        for k in range(len(layers)):
            by_conductance[k] += np.outer(parts[k + 1], lines[k]) / len(inputs)
            by_conductance[k] += np.outer(lines[k + 1], parts[k]) / len(inputs)
            by_current[k] += parts[k + 1] / len(inputs)
    return by_conductance, by_current
