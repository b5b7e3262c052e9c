"""The true gradient of a resistive network's cost, by the adjoint: what every rule estimates.

At equilibrium the free nodes that no diode clamps obey A·v = b, with A their conductance matrix
and b what driven inputs and sources feed into them. A small change of a conductance moves v by
A⁻¹·(δb − δA·v), so the cost C = ½ Σ_outputs (v − t)² changes by

    ∂C/∂g_ij = −(λ_i − λ_j)·(v_i − v_j),   ∂C/∂I_j = λ_j,   A·λ = ∂C/∂v

with λ = 0 at inputs and clamped nodes. Dense algebra, sample by sample: for small networks.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.float64]


def cost_gradient(
    network: ResistiveNetwork,
    conductances: Sequence[Array],
    source_conductances: Sequence[Array],
    inputs: Array,
    state: Sequence[Array],
    target: Array,
) -> tuple[list[Array], list[Array]]:
    """Return the gradient of the batch's mean cost at a free equilibrium.

    Parameters
    ----------
    network : ResistiveNetwork
    conductances : (units, inputs) of each array [S]
    source_conductances : (units,) of each free layer [S]
        What else than the arrays meets the nodes.
    inputs : (batch, inputs) array [V]
    state : (batch, units) of each free layer [V]
        Converged; a node exactly on a limit counts as clamped.
    target : (batch, outputs) array [V]

    Returns
    -------
    by_conductance : (units, inputs) of each array [V²/S]
    by_current : (units,) of each free layer, by a current fed into each node [V²/A]

    Raises
    ------
    numpy.linalg.LinAlgError
        A node that no conductance meets.
    """
    system = _conductance_matrix(network, conductances, source_conductances)
    low, high = np.concatenate(network.low), np.concatenate(network.high)
    ends = np.cumsum(network.layers)[:-1]
    by_conductance = [np.zeros(g.shape) for g in conductances]
    by_current = [np.zeros(units) for units in network.layers]
    for sample in range(len(inputs)):
        voltages = np.concatenate([v[sample] for v in state])
        unclamped = (voltages > low) & (voltages < high)
        by_voltage = np.zeros(len(voltages))
        by_voltage[-network.layers[-1] :] = state[-1][sample] - target[sample]
        adjoint = np.zeros(len(voltages))
        adjoint[unclamped] = np.linalg.solve(
            system[np.ix_(unclamped, unclamped)], by_voltage[unclamped]
        )
        below_adjoint, below_voltage = np.zeros(network.inputs), inputs[sample]
        for k, layer_adjoint in enumerate(np.split(adjoint, ends)):
            voltage = state[k][sample]
            drop = voltage[:, None] - below_voltage[None, :]
            adjoint_drop = layer_adjoint[:, None] - below_adjoint[None, :]
            by_conductance[k] -= adjoint_drop * drop / len(inputs)
            by_current[k] += layer_adjoint / len(inputs)
            below_adjoint, below_voltage = layer_adjoint, voltage
    return by_conductance, by_current


def _conductance_matrix(
    network: ResistiveNetwork, conductances: Sequence[Array], sources: Sequence[Array]
) -> Array:
    """Return the conductance matrix of all free nodes, layer after layer; inputs are ground."""
    starts = np.concatenate(([0], np.cumsum(network.layers)))
    matrix: Array = np.diag(np.concatenate(sources).astype(np.float64))
    diagonal = np.einsum("ii->i", matrix)
    for k, g in enumerate(conductances):
        units = slice(starts[k], starts[k + 1])
        diagonal[units] += g.sum(axis=1)
        if k > 0:
            below = slice(starts[k - 1], starts[k])
            diagonal[below] += g.sum(axis=0)
            matrix[units, below] -= g
            matrix[below, units] -= g.T
    return matrix
