"""Kirchhoff's current law at the nodes of a network, diodes apart: what every engine balances."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurohw.engines.equilibrium import SeenArray, Source
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]


def total_conductances(
    network: ResistiveNetwork, arrays: Sequence[SeenArray], sources: Sequence[Source]
) -> list[Array]:
    """Return all conductance that meets each node, a (units,) array a free layer [S].

    That behind an amplifier counts as the node sees it.
    """
    totals: list[Array] = []
    for k, array in enumerate(arrays):
        total = array.unit_sums + sources[k].conductance
        if k + 1 < len(arrays):
            above = arrays[k + 1].input_sums
            assert above is not None
            if network.neurons is not None and network.neurons[k].amplified:
                neurons = network.neurons[k]
                above = above * (neurons.gain * neurons.backward_gain).astype(above.dtype)
            total = total + above
        totals.append(total)
    return totals


def couplings(network: ResistiveNetwork, arrays: Sequence[SeenArray]) -> list[Array | None]:
    """Return what couples the nodes of each layer through wires, (units, units) arrays [S].

    Entry (j, k) times the voltage of node k is the current that it adds at node j.
    """
    found: list[Array | None] = []
    for k, array in enumerate(arrays):
        coupling = array.unit_coupling
        above = arrays[k + 1].input_coupling if k + 1 < len(arrays) else None
        if above is not None:
            if network.neurons is not None and network.neurons[k].amplified:
                neurons = network.neurons[k]
                above = neurons.backward_gain[:, None] * above * neurons.gain
                above = np.asarray(above, array.conductance.dtype)
            coupling = above if coupling is None else coupling + above
        found.append(coupling)
    return found


def arriving(
    network: ResistiveNetwork,
    arrays: Sequence[SeenArray],
    sources: Sequence[Source],
    input_current: Array,
    state: Sequence[Array],
    layer: int,
) -> Array:
    """Return what flows into a layer held at 0 V, couplings left out, (batch, units) [A]."""
    if layer == 0:
        current = input_current + sources[0].current
    else:
        below = network.forward(layer - 1, state[layer - 1])
        current = below @ arrays[layer].conductance.T + sources[layer].current
    if layer + 1 == len(network.layers):
        return current
    above = arrays[layer + 1]
    back = state[layer + 1] @ above.conductance
    neurons = None if network.neurons is None else network.neurons[layer]
    if neurons is not None and neurons.amplified:
        assert above.input_sums is not None
        back = back - above.input_sums * neurons.shift
        if above.input_coupling is not None:
            back = back + above.input_coupling @ neurons.shift
        back = back * neurons.backward_gain
    return np.asarray(current + back, input_current.dtype)


def system(
    network: ResistiveNetwork, arrays: Sequence[SeenArray], sources: Sequence[Source]
) -> Array:
    """Return A of the free nodes, layer after layer: A·v is what leaves the nodes, diodes apart.

    Shape (nodes, nodes) [S]. Inputs are driven and so count as ground; symmetric without
    amplifiers.
    """
    starts = np.concatenate(([0], np.cumsum(network.layers)))
    totals, coupled = total_conductances(network, arrays, sources), couplings(network, arrays)
    matrix: Array = np.diag(np.concatenate(totals).astype(np.float64))
    for k, array in enumerate(arrays):
        units = slice(starts[k], starts[k + 1])
        coupling = coupled[k]
        if coupling is not None:
            matrix[units, units] -= coupling
        if k > 0:
            below = slice(starts[k - 1], starts[k])
            g = array.conductance.astype(np.float64)
            gain: Array | float = 1.0
            backward: Array | float = 1.0
            if network.neurons is not None:
                gain = network.neurons[k - 1].gain
                backward = network.neurons[k - 1].backward_gain
            matrix[units, below] -= g * gain
            matrix[below, units] -= (g * backward).T
    return matrix


def sparse_system(
    network: ResistiveNetwork, arrays: Sequence[SeenArray], sources: Sequence[Source]
) -> scipy.sparse.csc_array:
    """Return the matrix of `system`, sparse: for networks whose dense one would be too large."""
    totals, coupled = total_conductances(network, arrays, sources), couplings(network, arrays)
    blocks: list[list[Array | scipy.sparse.dia_array | None]] = [
        [None] * len(arrays) for _ in arrays
    ]
    for k, (array, total, coupling) in enumerate(zip(arrays, totals, coupled, strict=True)):
        own = scipy.sparse.diags_array(total.astype(np.float64))
        blocks[k][k] = own if coupling is None else own - coupling
        if k > 0:
            g = array.conductance.astype(np.float64)
            neurons = None if network.neurons is None else network.neurons[k - 1]
            blocks[k][k - 1] = -g if neurons is None else -g * neurons.gain
            blocks[k - 1][k] = -(g if neurons is None else g * neurons.backward_gain).T
    return scipy.sparse.block_array(
        [[b if b is None else scipy.sparse.csc_array(b) for b in row] for row in blocks],
        format="csc",
    )


def injected(
    network: ResistiveNetwork,
    arrays: Sequence[SeenArray],
    sources: Sequence[Source],
    input_current: Array,
) -> Array:
    """Return what inputs, sources and offsets feed into the nodes at 0 V, (batch, nodes) [A]."""
    nothing = [np.zeros((len(input_current), units)) for units in network.layers]
    double = input_current.astype(np.float64)
    parts = [
        arriving(network, arrays, sources, double, nothing, k) for k in range(len(network.layers))
    ]
    return np.concatenate(parts, axis=1).astype(np.float64)
