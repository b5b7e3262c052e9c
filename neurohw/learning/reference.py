"""The true gradient of a resistive network's cost, by the adjoint: what every rule estimates.

At equilibrium the currents F that leave the free nodes are 0, but for those whose ideal diodes
clamp. A small change of a conductance moves the voltages by −J⁻¹·δF, J = ∂F/∂v, so the cost
C = ½ Σ_outputs (v − t)² changes by

    ∂C/∂g_ij = (λ_j − c_i·λ_i)·f(x_i − v_j),   ∂C/∂I_j = λ_j,   Jᵀ·λ = ∂C/∂v

with λ = 0 at inputs and clamped nodes, x_i the voltage of the input line and c_i the current gain
of the amplifier that drives it (1 where there is none); f(u) = u of resistors. Sample by
sample, with a dense system of the smaller half of the layers.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import Source, joined_ideally
from neurohw.engines.kirchhoff import total_conductances
from neurohw.engines.layered import solve
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
    found = adjoint(network, conductances, source_conductances, inputs, state, target)
    return from_adjoint(network, inputs, state, found)


def adjoint(
    network: ResistiveNetwork,
    conductances: Sequence[Array],
    source_conductances: Sequence[Array],
    inputs: Array,
    state: Sequence[Array],
    target: Array,
) -> list[Array]:
    """Return λ, a (batch, units) array a free layer [V²/A]; see `cost_gradient`.

    It is the derivative of each sample's cost by a current fed into each node.
    """
    sources = [Source(current=np.zeros_like(h), conductance=h) for h in source_conductances]
    found = [np.zeros(v.shape) for v in state]
    for sample in range(len(inputs)):
        layers = [v[sample] for v in state]
        stiff = [
            g * _law(network, drop)[1]
            for g, drop in zip(conductances, _drops(network, inputs[sample], layers), strict=True)
        ]
        totals = total_conductances(network, [joined_ideally(g) for g in stiff], sources)
        # Of the transposed Jacobian: what a layer feels of the one below goes back through c.
        rising, falling = [-g for g in stiff[1:]], [-g.T for g in stiff[1:]]
        if network.neurons is not None:
            totals = [t + s for t, s in zip(totals, _slopes(network, layers), strict=True)]
            rising = [g * n.backward_gain for g, n in zip(rising, network.neurons, strict=False)]
            falling = [g * n.gain[:, None] for g, n in zip(falling, network.neurons, strict=False)]
        by_voltage = [np.zeros_like(v) for v in layers]
        by_voltage[-1] = layers[-1] - target[sample]
        unclamped = [
            (v > low) & (v < high)
            for v, low, high in zip(layers, network.low, network.high, strict=True)
        ]
        solved = solve(totals, rising, falling, by_voltage, unclamped)
        for layer, values in zip(found, solved, strict=True):
            layer[sample] = values
    return found


def from_adjoint(
    network: ResistiveNetwork, inputs: Array, state: Sequence[Array], found: Sequence[Array]
) -> tuple[list[Array], list[Array]]:
    """Return the gradient of the mean cost from what `adjoint` found; see `cost_gradient`."""
    by_conductance = [np.zeros((v.shape[1], n)) for v, n in zip(state, network.fan_in, strict=True)]
    for sample in range(len(inputs)):
        lines_adjoint = np.zeros(network.inputs)
        drops = _drops(network, inputs[sample], [v[sample] for v in state])
        for k, (layer, drop) in enumerate(zip(found, drops, strict=True)):
            through, _ = _law(network, drop)
            by_conductance[k] += (layer[sample][:, None] - lines_adjoint) * through / len(inputs)
            lines_adjoint = layer[sample]
            if network.neurons is not None:
                lines_adjoint = network.neurons[k].backward_gain * lines_adjoint
    return by_conductance, [layer.mean(axis=0) for layer in found]


def _drops(network: ResistiveNetwork, inputs: Array, state: Sequence[Array]) -> list[Array]:
    """Return the voltage across every cell of each array, (units, inputs), of one sample [V]."""
    lines = [inputs, *map(network.forward, range(len(state) - 1), state)]
    return [x - v[:, None] for x, v in zip(lines, state, strict=True)]


def _law(network: ResistiveNetwork, drop: Array) -> tuple[Array, Array]:
    """Return what cells of 1 S carry at voltage drops [A], and its derivative [S]."""
    if network.synapse is None:
        return drop, np.ones_like(drop)
    law = network.synapse.law
    return np.asarray(law.current(drop)), np.asarray(law.conductance(drop))


def _slopes(network: ResistiveNetwork, state: Sequence[Array]) -> list[Array]:
    """Return the derivative of what the diodes draw from the nodes of each layer [S]."""
    neurons = zip(network.neurons or (), state, strict=True)
    return [np.asarray(each.current(v)[1], np.float64) for each, v in neurons]
