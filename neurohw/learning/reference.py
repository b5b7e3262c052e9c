"""The true gradient of a resistive network's cost, by the adjoint: what every rule estimates.

At equilibrium the currents F that leave the free nodes are 0, but for those whose ideal diodes
clamp. A small change of a conductance moves the voltages by −J⁻¹·δF, J = ∂F/∂v, so the cost
C = ½ Σ_outputs (v − t)² changes by

    ∂C/∂g_ij = (λ_j − c_i·λ_i)·f(x_i − v_j),   ∂C/∂I_j = λ_j,   Jᵀ·λ = ∂C/∂v

with λ = 0 at inputs and clamped nodes, x_i the voltage of the input line and c_i the current gain
of the amplifier that drives it (1 where there is none); f(u) = u of resistors. Dense algebra,
sample by sample: for small networks.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import Source, joined_ideally
from neurohw.engines.kirchhoff import system
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
        Converged; a node exactly on an ideal diode's limit counts as clamped.
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
    sources = _sources(source_conductances)
    low, high = np.concatenate(network.low), np.concatenate(network.high)
    ends = np.cumsum(network.layers)[:-1]
    by_conductance = [np.zeros(g.shape) for g in conductances]
    by_current = [np.zeros(units) for units in network.layers]
    for sample in range(len(inputs)):
        layers = [v[sample] for v in state]
        voltages = np.concatenate(layers)
        lines = [inputs[sample], *map(network.forward, range(len(layers) - 1), layers)]
        drops = [x - v[:, None] for x, v in zip(lines, layers, strict=True)]
        cells = [_law(network, drop) for drop in drops]
        stiff = [g * slope for g, (_, slope) in zip(conductances, cells, strict=True)]
        jacobian = system(network, [joined_ideally(g) for g in stiff], sources) + np.diag(
            _slopes(network, layers)
        )
        unclamped = (voltages > low) & (voltages < high)
        by_voltage = np.zeros(len(voltages))
        by_voltage[-network.layers[-1] :] = layers[-1] - target[sample]
        adjoint = np.zeros(len(voltages))
        adjoint[unclamped] = np.linalg.solve(
            jacobian[np.ix_(unclamped, unclamped)].T, by_voltage[unclamped]
        )
        lines_adjoint = np.zeros(network.inputs)
        for k, layer_adjoint in enumerate(np.split(adjoint, ends)):
            through, _ = cells[k]
            by_conductance[k] += (layer_adjoint[:, None] - lines_adjoint) * through / len(inputs)
            by_current[k] += layer_adjoint / len(inputs)
            lines_adjoint = layer_adjoint
            if network.neurons is not None:
                lines_adjoint = network.neurons[k].backward_gain * layer_adjoint
    return by_conductance, by_current


def _sources(conductances: Sequence[Array]) -> list[Source]:
    return [Source(current=np.zeros_like(h), conductance=h) for h in conductances]


def _law(network: ResistiveNetwork, drop: Array) -> tuple[Array, Array]:
    """Return what cells of 1 S carry at voltage drops [A], and its derivative [S]."""
    if network.synapse is None:
        return drop, np.ones_like(drop)
    law = network.synapse.law
    return np.asarray(law.current(drop)), np.asarray(law.conductance(drop))


def _slopes(network: ResistiveNetwork, state: Sequence[Array]) -> Array:
    """Return the derivative of what the diodes draw from all nodes [S]."""
    if network.neurons is None:
        return np.zeros(sum(network.layers))
    neurons = zip(network.neurons, state, strict=True)
    return np.concatenate([each.current(v)[1] for each, v in neurons])
