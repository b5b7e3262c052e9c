"""The netlist of a resistive network: one sample, in the free or in the nudged phase.

Nodes: n0_i word line i as driven, nk_j unit j of free layer k, ak_j what its amplifier hands on,
t_j the target of output j, wk_j_i and bk_j_i a cell's ends on wires. Elements: rk_j_i the cell of
array k between unit j and input i, or xrk_j_i a nonlinear one, vn0_i and vt_j the sources of inputs
and targets, xnudge_j.
"""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurohw.circuits import behavioural, netlist
from neurohw.circuits.netlist import Elements, Netlist, elements
from neurohw.circuits.neuron import BOLTZMANN_OVER_CHARGE, Neuron, Neurons
from neurohw.engines.equilibrium import Nudging, SeenArray, Source
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.networks.resistive import ResistiveNetwork
from neurohw.update import pairs

Array = NDArray[np.floating]

# SPICE has no ideal diode: one of this emission coefficient and saturation current stands for it.
IDEAL_EMISSION, IDEAL_SATURATION_CURRENT = 1e-3, 1e-14

_THERMAL_VOLTAGE = BOLTZMANN_OVER_CHARGE * netlist.TEMPERATURE
_CELLS = ("diode_clamp", "bidirectional_amplifier", "leaky_node", "nudge")


class Drive(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What is outside the network in one sample.

    inputs (lines,) [V] of all word lines; target (outputs,) [V]; strength [S] of the nudging, 0
    in the free phase, infinite where the outputs are clamped; current (outputs,) [A] held.
    """

    inputs: Array
    target: Array
    strength: float
    current: Array


def drives(
    network: ResistiveNetwork, inputs: Array, batch: int, nudging: Nudging | None
) -> list[Drive]:
    """Return what is outside the network in each sample.

    inputs as `neurohw.engines.equilibrium.Engine.relax` takes them, its samples repeated as often
    as the batch asks.
    """
    if 2 * inputs.shape[1] == network.inputs:
        inputs = pairs(inputs)
    if inputs.shape[1] != network.inputs or batch % len(inputs):
        raise InvalidValueError(
            f"inputs have the shape {inputs.shape}: must be (samples, {network.inputs}), or half"
            f" as many paired lines, for a batch of {batch}"
        )
    none = np.zeros((batch, network.layers[-1]))
    if nudging is None:
        nudging = Nudging(strength=none[:, 0], target=none)
    held = none if nudging.current is None else nudging.current
    return [
        Drive(
            inputs=inputs[sample % len(inputs)],
            target=nudging.target[sample],
            strength=float(nudging.strength[sample]),
            current=held[sample],
        )
        for sample in range(batch)
    ]


def build(
    network: ResistiveNetwork,
    arrays: Sequence[SeenArray],
    sources: Sequence[Source],
    drive: Drive,
    *,
    settings: Sequence[str] | None = None,
) -> Netlist:
    """Return the circuit of a network in one sample.

    Parameters
    ----------
    network, arrays, sources
        See `neurohw.engines.equilibrium.Engine.relax`; ideal diodes become nearly ideal ones.
    drive : Drive
    settings : sequence of str, optional
        Lines that set tolerances, temperature and more; default `netlist.options`.

    Raises
    ------
    InvalidValueError
        A conductance that is negative or not finite, a voltage or a current that is not finite,
        or a floating node; names the element.
    UnsupportedError
        An array of which only the terminals are known, or measured elements that differ.
    """
    settings = netlist.options() if settings is None else settings
    fixed = [*settings, *_remarks(network), *netlist.cells(*_CELLS), *_measured(network)]
    network = shockley(network)
    assert network.neurons is not None
    groups: dict[str, Elements] = {}
    words = [f"n0_{i}" for i in range(network.inputs)]
    for k, (array, source, neurons) in enumerate(
        zip(arrays, sources, network.neurons, strict=True)
    ):
        number = k + 1
        bits = nodes(network, number)
        if array.cells is not None and array.wires is not None:
            lines, cells = netlist.wired_crossbar(
                str(number), array.cells, array.wires, words, bits
            )
            fixed += lines
        elif array.unit_coupling is not None or array.input_coupling is not None:
            raise UnsupportedError(
                f"array {number}: its wires and cells are not known, only its terminals"
            )
        else:
            cells = netlist.crossbar(str(number), array.conductance, words, bits)
        if network.synapse is None:
            groups[f"cells {number}"] = cells
        else:
            fixed += behavioural.nonlinear_cells(cells)
        groups[f"leaks {number}"] = elements(
            "leak and bias",
            [f"xleak{number}_{j}" for j in range(len(bits))],
            bits,
            np.broadcast_to(source.conductance, len(bits)),
            np.broadcast_to(source.current, len(bits)),
            neurons.capacitance,
            form="{name} {nodes} leaky_node leak={} current={} capacitance={}",
            handles=("@g.{name}.gleak[gain]=", "i.{name}.isource=", "c.{name}.cnode="),
        )
        fixed += _clamps(number, neurons, bits)
        words = bits
        if neurons.amplified and number < len(arrays):
            words = [f"a{number}_{j}" for j in range(len(bits))]
            fixed += _amplifiers(number, neurons, bits, words)
    _require_held(network, arrays, sources, drive.strength)
    sizes = "-".join(map(str, (network.inputs, *network.layers)))
    return Netlist(
        title=f"resistive network {sizes}: volts, ohms, siemens, amperes",
        fixed=tuple(fixed),
        groups=groups | driven(network, drive),
    )


def driven(network: ResistiveNetwork, drive: Drive) -> dict[str, Elements]:
    """Return the groups in which the circuits of two samples differ."""
    inputs, outputs = range(network.inputs), range(network.layers[-1])
    clamped = np.isinf(drive.strength)
    nudge = "{name} {nodes} nudge strength={} current={}"
    both = [f"{node} t_{j}" for j, node in enumerate(nodes(network, len(network.layers)))]
    groups = {
        "inputs": elements(
            "input", [f"vn0_{i}" for i in inputs], [f"n0_{i} 0" for i in inputs], drive.inputs
        ),
        "targets": elements(
            "target", [f"vt_{j}" for j in outputs], [f"t_{j} 0" for j in outputs], drive.target
        ),
        "nudges": elements(
            "nudge",
            [f"xnudge_{j}" for j in outputs],
            both,
            np.full(len(outputs), 0.0 if clamped else drive.strength),
            drive.current,
            form=nudge,
            handles=("@g.{name}.gconductor[gain]=", "i.{name}.iheld="),
        ),
    }
    if clamped:
        groups["clamps"] = Elements(
            names=tuple(f"xclamp_{j}" for j in outputs),
            nodes=tuple(both),
            values=np.zeros((len(outputs), 0)),
            form="{name} {nodes} clamp",
            handles=(),
        )
    return groups


def nodes(network: ResistiveNetwork, layer: int) -> list[str]:
    """Return the names of the nodes of a free layer, counted from 1."""
    return [f"n{layer}_{j}" for j in range(network.layers[layer - 1])]


def shockley(network: ResistiveNetwork, emission: float = IDEAL_EMISSION) -> ResistiveNetwork:
    """Return the network with Shockley diodes of an emission coefficient for its ideal ones.

    Real ones stay as they are. V_T is that at `neurohw.circuits.netlist.TEMPERATURE`.
    """
    neurons = []
    for k, units in enumerate(network.layers):
        if network.neurons is None:
            here = _plain(network.low[k], network.high[k])
        else:
            here = network.neurons[k]
        if here.ideal:
            here = replace(
                here,
                saturation_current=np.full(units, IDEAL_SATURATION_CURRENT),
                slope=np.full(units, emission * _THERMAL_VOLTAGE),
            )
        neurons.append(here)
    free = [np.full(units, np.inf) for units in network.layers]
    return replace(network, low=tuple(-v for v in free), high=tuple(free), neurons=tuple(neurons))


def _remarks(network: ResistiveNetwork) -> list[str]:
    remarks = [f"* idealities count the thermal voltage at {netlist.TEMPERATURE:g} K"]
    if network.neurons is None or any(n.ideal for n in network.neurons[:-1]):
        remarks.append(
            f"* ideal diodes are written with the ideality {IDEAL_EMISSION:g} and"
            f" {IDEAL_SATURATION_CURRENT:g} A"
        )
    return remarks


def _measured(network: ResistiveNetwork) -> list[str]:
    """Return the lines that measured elements and nonlinear cells are made with."""
    lines: list[str] = []
    if network.curve is not None:
        lines += behavioural.function(behavioural.ELEMENT, network.curve)
        lines += netlist.cells("measured_clamp")
    if network.synapse is not None:
        lines += behavioural.function(behavioural.CELL, network.synapse.law)
        lines += netlist.cells("nonlinear_cell")
    return lines


def _plain(low: Array, high: Array) -> Neurons:
    """Return neurons of which ideal diodes are all."""
    zero, one = np.zeros(len(low)), np.ones(len(low))
    return Neurons(
        low=low.astype(np.float64),
        high=high.astype(np.float64),
        saturation_current=zero,
        slope=zero,
        series_resistance=zero,
        gain=one,
        backward_gain=one,
        shift=zero,
        capacitance=Neuron().capacitance * one,
        current_limit=np.inf * one,
    )


def _clamps(layer: int, neurons: Neurons, units: Sequence[str]) -> list[str]:
    lines = []
    for side, levels in (("below", neurons.low), ("above", neurons.high)):
        for j in np.flatnonzero(np.isfinite(levels)).tolist():
            cell, values = f"measured_from_{side}", {}
            if neurons.curve_scale is not None:
                values["scale"] = neurons.curve_scale[j]
            else:
                cell = f"hold_from_{side}"
                values["saturation_current"] = neurons.saturation_current[j]
                values["ideality"] = neurons.slope[j] / _THERMAL_VOLTAGE
                values["series_resistance"] = neurons.series_resistance[j]
            name = f"x{side}{layer}_{j}"
            lines.append(netlist.instance(name, units[j], cell, level=levels[j], **values))
    return lines


def _amplifiers(
    layer: int, neurons: Neurons, units: Sequence[str], lines: Sequence[str]
) -> list[str]:
    return [
        netlist.instance(
            f"xamplifier{layer}_{j}",
            f"{unit} {line}",
            "bidirectional_amplifier",
            gain=neurons.gain[j],
            backward_gain=neurons.backward_gain[j],
            shift=neurons.shift[j],
        )
        for j, (unit, line) in enumerate(zip(units, lines, strict=True))
    ]


def _require_held(
    network: ResistiveNetwork,
    arrays: Sequence[SeenArray],
    sources: Sequence[Source],
    strength: float,
) -> None:
    """Refuse units that nothing holds; where lines end in amplifiers, these count as joints."""
    last = len(network.layers)
    conducting = [
        (array.conductance if array.cells is None else array.cells) > 0 for array in arrays
    ]
    held = [
        np.broadcast_to(source.conductance > 0, n)
        for source, n in zip(sources, network.layers, strict=True)
    ]
    held[0] = held[0] | conducting[0].any(axis=1)
    held[-1] = held[-1] | (strength != 0)
    grid: list[list[object]] = [[None] * last for _ in network.layers]
    for k in range(last):
        grid[k][k] = scipy.sparse.coo_array((network.layers[k],) * 2)
        if k > 0:
            grid[k][k - 1] = scipy.sparse.coo_array(conducting[k])
    netlist.require_held(
        [
            f"node n{k + 1}_{j} (layer {k + 1}, unit {j})"
            for k, units in enumerate(network.layers)
            for j in range(units)
        ],
        np.concatenate(held),
        scipy.sparse.block_array(grid),
    )
