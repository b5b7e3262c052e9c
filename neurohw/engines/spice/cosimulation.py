"""One continuous ngspice transient through phase after phase, driven from Python.

Word lines, targets, nudging, bias currents and every cell's conductance are external sources,
which ngspice asks for in each iteration; a volt of a cell's source is a microsiemens. At the end
of a phase the node voltages are handed out, and what comes back drives the next phase, into which
the sources move in a short ramp. A clock in the circuit puts a time step at each of its ends.
An external source must not have a value at rest as well: ngspice 39 crashes on it.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.circuits import behavioural, netlist
from neurohw.circuits.netlist import Netlist
from neurohw.engines.equilibrium import Source, joined_ideally
from neurohw.engines.spice import deck
from neurohw.engines.spice.deck import Drive
from neurohw.engines.spice.session import session
from neurohw.engines.synapses import require_range
from neurohw.errors import InvalidValueError
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]

# Share of a phase that its sources take to arrive, and longest step.
RAMP, STEP = 1e-3, 0.05
_UNIT = 1e-6


class Phase(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What drives a network through a phase.

    inputs (lines,) of all word lines and target (outputs,) [V]; strength of the nudging [S];
    cells, (units, inputs) of each array [S]; currents of the biases, (units,) of each layer [A].
    """

    inputs: Array
    target: Array
    strength: float
    cells: Sequence[Array]
    currents: Sequence[Array]


Phases = Generator[Phase, Sequence[Array], None]
"""Yields phases; is sent the voltages at the end of each, a (units,) array a free layer [V]."""


def cosimulate(
    network: ResistiveNetwork,
    leaks: Sequence[Array],
    phases: Phases,
    *,
    count: int,
    duration: float,
) -> None:
    """Run phases one after the other in one transient, from 0 V.

    Parameters
    ----------
    network : ResistiveNetwork
        Ideal diodes become nearly ideal ones.
    leaks : sequence of (units,) arrays [S]
        Conductance from the nodes of each layer to ground.
    phases : generator
        See `Phases`; at least `count` of them. After the last one it is closed.
    count : int
    duration : float [s]
        Of each phase.

    Raises
    ------
    InvalidValueError
        No phase, a length that is not above 0, fewer phases than `count`, or a nonlinear cell that
        is out of its range at the end of one.
    ConvergenceError, UnsupportedError
        See `neurohw.engines.spice.session.Session`.
    """
    if count < 1 or not 0 < duration < np.inf:
        raise InvalidValueError(f"{count} phases of {duration:g} s: both must be above 0")
    first = next(phases)
    conductor = _Conductor(network, first, phases, count, duration)
    ngspice = session()
    ngspice.load(_circuit(network, leaks, first, duration))
    ngspice.driven_transient(count * duration, STEP * duration, conductor.value, conductor.accepted)
    phases.close()


class _Conductor:
    """Follows the time of a transient, and says what drives it."""

    def __init__(
        self,
        network: ResistiveNetwork,
        first: Phase,
        phases: Phases,
        count: int,
        duration: float,
    ) -> None:
        self.synapse, self.inputs = network.synapse, first.inputs
        self.layers = [deck.nodes(network, k + 1) for k in range(len(network.layers))]
        self.phases, self.left, self.duration = phases, count, duration
        self.place = {name: k for k, name in enumerate(_sources(first))}
        self.now = _values(first)
        self.before = [0.0] * len(self.now)
        self.begin, self.ramp = 0.0, RAMP * duration

    def value(self, name: str, time: float) -> float:
        """Return the value of a source."""
        place = self.place[name]
        share = (time - self.begin) / self.ramp
        if share >= 1:
            return self.now[place]
        before = self.before[place]
        return before + max(share, 0.0) * (self.now[place] - before)

    def accepted(self, time: float, voltages: Mapping[str, complex]) -> None:
        """Go on to the next phase when one has ended."""
        end = self.begin + self.duration
        if self.left == 0 or time < end - 1e-6 * self.duration:
            return
        self.left -= 1
        state = [np.array([voltages[node].real for node in nodes]) for nodes in self.layers]
        if self.synapse is not None:
            require_range(self.synapse, self.inputs[None], [v[None] for v in state])
        try:
            phase = self.phases.send(state)
        except StopIteration:
            if self.left:
                raise InvalidValueError(f"{self.left} phases are missing") from None
            return
        self.before, self.now, self.begin = self.now, _values(phase), end
        self.inputs = phase.inputs


def _sources(phase: Phase) -> list[str]:
    """Return the names of all external sources, in the order of `_values`."""
    return [
        *(f"vn0_{i}" for i in range(len(phase.inputs))),
        *(f"vt_{j}" for j in range(len(phase.target))),
        "vnudging",
        *(
            f"vr{k + 1}_{j}_{i}"
            for k, cells in enumerate(phase.cells)
            for j, i in np.ndindex(cells.shape)
        ),
        *(
            f"ibias{k + 1}_{j}"
            for k, currents in enumerate(phase.currents)
            for j in range(len(currents))
        ),
    ]


def _values(phase: Phase) -> list[float]:
    cells = [cells.ravel() / _UNIT for cells in phase.cells]
    nudging = np.array([phase.strength / _UNIT])
    values = np.concatenate((phase.inputs, phase.target, nudging, *cells, *phase.currents))
    if not np.isfinite(values).all():
        name = _sources(phase)[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise InvalidValueError(f"source {name}: must be finite")
    found: list[float] = values.tolist()
    return found


def _circuit(
    network: ResistiveNetwork, leaks: Sequence[Array], first: Phase, duration: float
) -> Netlist:
    """Return the netlist with external sources in place of what `Phase` says."""
    ones = [np.full(cells.shape, _UNIT) for cells in first.cells]
    arrays = [joined_ideally(g) for g in ones]
    nothing = [Source(current=np.zeros(len(leak)), conductance=leak) for leak in leaks]
    outputs = network.layers[-1]
    drive = Drive(inputs=first.inputs, target=first.target, strength=0.0, current=np.zeros(outputs))
    layers = [deck.nodes(network, k + 1) for k in range(len(network.layers))]
    nodes = [node for layer in layers for node in layer]
    settings = [
        *netlist.options(transient=True),
        ".ic " + " ".join(f"v({node})=0" for node in nodes),
        ".save " + " ".join(f"v({node})" for node in nodes),
    ]
    ohmic = replace(network, synapse=None)
    plain = deck.build(ohmic, arrays, nothing, drive, settings=settings)
    edge = RAMP * duration
    lines = [
        *plain.fixed,
        f"vclock clock 0 pulse(0 1 0 {edge!r} {edge!r} {duration / 2!r} {duration!r})",
        "rclock clock 0 1",
        "vnudging nudging 0 external",
    ]
    through = "v({a},{b})"
    if network.synapse is not None:
        lines += behavioural.function(behavioural.CELL, network.synapse.law)
        through = f"{behavioural.CELL}(v({{a}},{{b}}))"
    for key in ("inputs", "targets"):
        group = plain.groups[key]
        pairs = zip(group.names, group.nodes, strict=True)
        lines += [f"{name} {ends} external" for name, ends in pairs]
    for j, node in enumerate(layers[-1]):
        lines.append(f"bnudge_{j} t_{j} {node} i={_UNIT!r}*v(nudging)*v(t_{j},{node})")
    for k, layer in enumerate(layers):
        for j, node in enumerate(layer):
            lines.append(f"ibias{k + 1}_{j} 0 {node} external")
        group = plain.groups[f"cells {k + 1}"]
        for name, ends in zip(group.names, group.nodes, strict=True):
            a, b = ends.split()
            lines.append(f"v{name} g{name} 0 external")
            drop = through.format(a=a, b=b)
            lines.append(f"b{name} {a} {b} i={_UNIT!r}*v(g{name})*{drop}")
    kept = {key: group for key, group in plain.groups.items() if key.startswith("leaks")}
    return Netlist(title=plain.title, fixed=tuple(lines), groups=kept)
