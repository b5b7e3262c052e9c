"""Power at a steady state: what the sources deliver, and where it goes.

By Tellegen's theorem both are the same at an equilibrium, whatever the elements: Σ v·i over all
branches is 0. Cells and wires of one array have the share ∂P/∂ln g of its power each: the power
of a resistive network at given terminal voltages changes by a cell's squared drop times δg.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.circuits import tiles
from neurohw.circuits.neuron import Neurons
from neurohw.circuits.synapse import Synapse
from neurohw.engines.equilibrium import Nudging, SeenArray, Source
from neurohw.networks.resistive import ResistiveNetwork, dissipation

Array = NDArray[np.floating]

# Relative change of the cells that tells their power from that of the wires.
_STEP = 1e-3


class Power(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Power of a phase by class of elements, (batch,) arrays [W].

    delivered : inputs, biases, nudging, diode sources and amplifiers, as `transient.energy.Energy`
    has them. dissipated : array 1, array 2, … (their cells), wires, leaks (conductance of sources
    and leaks at the nodes), nudging and diodes.
    """

    delivered: Mapping[str, Array]
    dissipated: Mapping[str, Array]

    @property
    def imbalance(self) -> Array:
        """Delivered less dissipated power, over the latter: how far from rest the state is."""
        delivered, dissipated = sum(self.delivered.values()), sum(self.dissipated.values())
        return np.asarray(delivered / dissipated - 1.0)


def power(
    network: ResistiveNetwork,
    arrays: Sequence[SeenArray],
    sources: Sequence[Source],
    word_lines: Array,
    state: Sequence[Array],
    nudging: Nudging | None = None,
) -> Power:
    """Return the power at a state.

    Parameters
    ----------
    network, arrays, sources, nudging
        See `neurohw.engines.equilibrium.Engine.relax`.
    word_lines : (batch, inputs) array [V]
        Of all of them.
    state : (batch, units) arrays, one a free layer [V]

    Raises
    ------
    UnsupportedError
        Nonlinear cells whose law is no polynomial.
    """
    nodes: list[Array] = [np.asarray(v, np.float64) for v in state]
    lines: list[Array] = [np.asarray(word_lines, np.float64)]
    lines += [network.forward(k, v) for k, v in enumerate(nodes[:-1])]
    nothing = np.zeros(len(word_lines))
    dissipated: dict[str, Array] = {}
    wires, biases, leaks, amplifiers = nothing, nothing, nothing, nothing
    into, out = [], []
    for k, (array, source) in enumerate(zip(arrays, sources, strict=True)):
        into_lines, into_nodes = _currents(array, network.synapse, lines[k], nodes[k])
        cells, lost = dissipated_by(array, lines[k], nodes[k], network.synapse)
        dissipated[f"array {k + 1}"], wires = cells, wires + lost
        into.append(into_lines)
        out.append(into_nodes + source.current - source.conductance * nodes[k])
        biases = biases + nodes[k] @ source.current.astype(np.float64)
        leaks = leaks + nodes[k] ** 2 @ source.conductance.astype(np.float64)
        if k > 0:
            drawn = into_lines
            neurons = None if network.neurons is None else network.neurons[k - 1]
            if neurons is not None and neurons.amplified:
                drawn = neurons.backward_gain * into_lines
                amplifiers = amplifiers + _dot(lines[k], into_lines) - _dot(nodes[k - 1], drawn)
            out[k - 1] = out[k - 1] - drawn
    nudged, conducted = nothing, nothing
    if nudging is not None:
        outputs, target = nodes[-1], nudging.target.astype(np.float64)
        arriving = nudging.injected(np.float64) - nudging.conductor(np.float64) * outputs
        # What else leaves a clamped output comes through the clamp.
        arriving = np.where(nudging.clamped[:, None], -out[-1], arriving)
        out[-1] = out[-1] + arriving
        strength = nudging.conductor(np.float64)[:, 0]
        conducted = strength * ((target - outputs) ** 2).sum(axis=1)
        nudged = _dot(outputs, arriving) + conducted
    behind, lost = nothing, nothing
    for k, left in enumerate(out):
        given, taken = _diodes(network, k, nodes[k], left)
        behind, lost = behind + given, lost + taken
    return Power(
        delivered={
            "inputs": _dot(lines[0], into[0]),
            "biases": biases,
            "nudging": nudged,
            "diode sources": behind,
            "amplifiers": amplifiers,
        },
        dissipated=dissipated
        | {"wires": wires, "leaks": leaks, "nudging": conducted, "diodes": lost},
    )


def _currents(
    array: SeenArray, synapse: Synapse | None, lines: Array, nodes: Array
) -> tuple[Array, Array]:
    """Return what flows into the input lines, and out of the unit lines into their nodes [A]."""
    if array.wires is not None and array.cells is not None:
        return tiles.currents(array.cells, array.wires, lines, nodes)
    g = array.conductance.astype(np.float64)
    if synapse is None:
        return lines * g.sum(axis=0) - nodes @ g, lines @ g.T - nodes * g.sum(axis=1)
    powers = range(synapse.degree + 1)
    from_lines, from_nodes = ([v**p for p in powers] for v in (lines, nodes))
    into = -sum(
        weight * from_lines[q] * (from_nodes[r] @ g)
        for (q, r), weight in np.ndenumerate(synapse.into_inputs)
        if weight
    )
    out = sum(
        weight * from_nodes[q] * (from_lines[r] @ g.T)
        for (q, r), weight in np.ndenumerate(synapse.into_units)
        if weight
    )
    return np.asarray(into), np.asarray(out)


def dissipated_by(
    array: SeenArray, lines: Array, nodes: Array, synapse: Synapse | None = None
) -> tuple[Array, Array]:
    """Return the power of an array's cells and that of its wires, (batch,) [W].

    lines (batch, inputs) and nodes (batch, units), the voltages of its terminals [V].
    """
    if array.wires is None or array.cells is None:
        return dissipation(array.conductance, lines, nodes, synapse), np.zeros(len(lines))
    g = array.cells.astype(np.float64)

    def total(factor: float) -> Array:
        into, out = tiles.currents(factor * g, array.wires, lines, nodes)  # type: ignore[arg-type]
        return _dot(lines, into) - _dot(nodes, out)

    cells = (total(1 + _STEP) - total(1 - _STEP)) / (2 * _STEP)
    return cells, total(1.0) - cells


def _diodes(
    network: ResistiveNetwork, layer: int, voltage: Array, left: Array
) -> tuple[Array, Array]:
    """Return what sources behind a layer's diodes deliver, and what these lose, (batch,) [W].

    left (batch, units) is what arrives at the nodes and leaves through ideal diodes [A].
    """
    neurons = None if network.neurons is None else network.neurons[layer]
    if neurons is None or neurons.ideal:
        low, high = network.low[layer], network.high[layer]
        held = ((voltage <= low) & (left < 0)) | ((voltage >= high) & (left > 0))
        return -_dot(voltage, np.where(held, left, 0.0)), np.zeros(len(voltage))
    given, lost = np.zeros(len(voltage)), np.zeros(len(voltage))
    for side, other in (("low", "high"), ("high", "low")):
        source = getattr(neurons, side)
        absent = np.full_like(source, -np.inf if other == "low" else np.inf)
        one: Neurons = replace(neurons, **{other: absent})
        drawn, _ = one.current(voltage)
        behind = np.where(np.isfinite(source), source, 0.0)
        given = given - drawn @ behind
        lost = lost + _dot(drawn, voltage - behind)
    return given, lost


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(np.einsum("bi,bi->b", a, b))
