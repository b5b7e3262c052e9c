"""Netlists: circuits as SPICE text, their sub-circuits those of the folder `circuits`.

A netlist keeps the values that a simulator may alter apart from what is fixed, so that a loaded
circuit is used again. Numbers are written with all their digits. ngspice accepts negative and
missing resistances silently, so they are refused here.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import msgspec
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray

from neurohw import library
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.neuron import BOLTZMANN_OVER_CHARGE
from neurohw.errors import InvalidValueError

Array = NDArray[np.floating]

TEMPERATURE = 300.0
# Of CODATA 2014, in ngspice's sources; a temperature that makes up for it gives V_T exactly.
_BOLTZMANN_OVER_CHARGE = 1.38064852e-23 / 1.6021766208e-19
_INCLUDE = ".include "


class Elements(msgspec.Struct, frozen=True, eq=False, kw_only=True, dict=True):
    """Elements of one kind with the values that a simulator may alter.

    Parameters
    ----------
    names : tuple of str
        Such as ``r1_0_2``.
    nodes : tuple of str
        What each joins: ``"n0_2 n1_0"``.
    values : (elements, parameters) array, SI
    form : str
        A line of the deck, of name, nodes and the values in order.
    handles : tuple of str
        For each parameter what the command ``alter`` takes before its value, of name.
    """

    names: tuple[str, ...]
    nodes: tuple[str, ...]
    values: Array
    form: str = "{name} {nodes} {}"
    handles: tuple[str, ...] = ("{name}=",)

    def lines(self) -> Iterable[str]:
        """Yield a line of the deck for each."""
        for name, nodes, values in zip(self.names, self.nodes, self.values.tolist(), strict=True):
            yield self.form.format(*map(repr, values), name=name, nodes=nodes)

    @cached_property
    def alterable(self) -> list[str]:
        """What `alter` takes before each value, in the order of the raveled values."""
        return [handle.format(name=name) for name in self.names for handle in self.handles]


class Netlist(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A circuit: title, what is fixed, and groups of elements by name."""

    title: str
    fixed: tuple[str, ...]
    groups: dict[str, Elements]

    def text(self) -> str:
        """Return the deck: plain `ngspice -b` runs it and prints the voltage of every node."""
        lines = [f"* {self.title}", *self.fixed]
        for elements in self.groups.values():
            lines += elements.lines()
        return "\n".join([*lines, ".op", ".end", ""])

    def alters_to(self, other: "Netlist") -> bool:
        """Whether altered values make this circuit the other one."""
        return (
            self.fixed == other.fixed
            and self.groups.keys() == other.groups.keys()
            and all(
                mine.names == other.groups[key].names and mine.nodes == other.groups[key].nodes
                for key, mine in self.groups.items()
            )
        )


def options(*, transient: bool = False) -> tuple[str, ...]:
    """Return the lines that set tolerances and temperature.

    A deck at rest has to hold the difference of two phases to 1e-5 of it, and gmin, which conducts
    beside the circuit, has to stay below reverse diodes. In a transient steps have errors of
    reltol, of charges that are not picocoulombs but far less. itl2 limits the iterations where
    gmin or sources are stepped. ngspice before 42 ignores klu, a faster solver.
    """
    celsius = TEMPERATURE * BOLTZMANN_OVER_CHARGE / _BOLTZMANN_OVER_CHARGE - 273.15
    tolerances = "reltol=1e-9 abstol=1e-18 vntol=1e-12"
    if transient:
        tolerances = "reltol=1e-6 abstol=1e-15 vntol=1e-9 chgtol=1e-21 trtol=1 method=gear"
    return (
        f".options {tolerances} gmin=1e-20 itl1=500 itl2=500 klu",
        f".options temp={celsius!r} tnom={celsius!r}",
    )


@lru_cache
def cells(*names: str) -> tuple[str, ...]:
    """Return the lines of sub-circuits of the folder `circuits/cells`, what they include with them.

    Their heads, which say what they are, stay.
    """
    lines: list[str] = []
    for name in names:
        path = library.folder("circuits") / "cells" / f"{name}.cir"
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(_INCLUDE):
                included = path.parent / line.removeprefix(_INCLUDE)
                lines += included.read_text(encoding="utf-8").splitlines()
            else:
                lines.append(line)
    return tuple(lines)


def instance(name: str, nodes: str, cell: str, **parameters: float) -> str:
    """Return the line that puts a sub-circuit between nodes."""
    values = " ".join(f"{key}={float(value)!r}" for key, value in parameters.items())
    return f"{name} {nodes} {cell} {values}".rstrip()


def crossbar(
    label: str, conductance: Array, words: Sequence[str], bits: Sequence[str], first: int = 0
) -> Elements:
    """Return the cells of a crossbar without wires, those of 0 S left out.

    conductance (units, inputs) [S] lies between the nodes `words`, one an input, and `bits`, one
    a unit; the first input has the number `first` in the names of cells.
    """
    return _resistors(label, conductance, lambda j, i: f"{words[i]} {bits[j]}", first)


def wired_crossbar(
    label: str, conductance: Array, wires: Wires, words: Sequence[str], bits: Sequence[str]
) -> tuple[list[str], Elements]:
    """Return the lines of the wires of a crossbar cut into tiles, and its cells.

    Every cell (unit j, input i) has the nodes w<label>_j_i on its word line and b<label>_j_i on
    its bit line; see `neurohw.circuits.interconnect` for their order and `Wires` for the tiles.
    """
    units, inputs = conductance.shape
    ends = (wires.word_line + wires.source, wires.bit_line + wires.sense)
    lines: list[str] = []

    def segment(a: str, b: str, resistance: float) -> None:
        lines.append(f"rw{label}_{len(lines)} {a} {b} {float(resistance)!r}")

    for i in range(inputs):
        for first in range(0, units, wires.tile):
            last = min(first + wires.tile, units) - 1
            segment(words[i], f"w{label}_{first}_{i}", ends[0])
            for j in range(first, last):
                segment(f"w{label}_{j}_{i}", f"w{label}_{j + 1}_{i}", wires.word_line)
            if wires.driven_from == "both ends":
                segment(f"w{label}_{last}_{i}", words[i], ends[0])
    for j in range(units):
        for first in range(0, inputs, wires.tile):
            last = min(first + wires.tile, inputs) - 1
            if wires.sensed_at == "both ends":
                segment(bits[j], f"b{label}_{j}_{first}", ends[1])
            for i in range(first, last):
                segment(f"b{label}_{j}_{i}", f"b{label}_{j}_{i + 1}", wires.bit_line)
            segment(f"b{label}_{j}_{last}", bits[j], ends[1])
    return lines, _resistors(label, conductance, lambda j, i: f"w{label}_{j}_{i} b{label}_{j}_{i}")


def elements(
    kind: str, names: Sequence[str], nodes: Sequence[str], *values: Array, **forms: Any
) -> Elements:
    """Return elements with a (elements,) array of values for each parameter.

    Raises
    ------
    InvalidValueError
        A value is NaN or infinite; names kind and element.
    """
    table = np.stack([np.asarray(v, np.float64) for v in values], axis=1)
    for k, parameter in np.argwhere(~np.isfinite(table))[:1]:
        raise InvalidValueError(f"{kind} {names[k]} has {table[k, parameter]}: must be finite")
    return Elements(names=tuple(names), nodes=tuple(nodes), values=table, **forms)


def require_held(
    nodes: Sequence[str], held: NDArray[np.bool_], joined: scipy.sparse.sparray
) -> None:
    """Refuse a floating node.

    Parameters
    ----------
    nodes : (nodes,) sequence of str
        What errors call them.
    held : (nodes,) bool array
        Which ones a source, or a conductance to one, holds.
    joined : (nodes, nodes) sparse array
        Not 0 where a conductance joins two.

    Raises
    ------
    InvalidValueError
        Names the first node that no path of conductances joins to a held one.
    """
    _, part = scipy.sparse.csgraph.connected_components(joined, directed=False)
    for k in np.flatnonzero(~np.isin(part, part[held]))[:1]:
        raise InvalidValueError(f"{nodes[k]} floats: no conductance joins it to a source")


def _resistors(
    label: str, conductance: Array, nodes: Callable[[int, int], str], first: int = 0
) -> Elements:
    g = np.asarray(conductance, np.float64)
    for j, i in np.argwhere(~(g >= 0) | np.isinf(g))[:1]:
        raise InvalidValueError(
            f"conductance r{label}_{j}_{first + i} (array {label}, unit {j}, input {first + i}) is"
            f" {g[j, i]} S: must be finite, 0 or more"
        )
    there = np.argwhere(g > 0).tolist()
    return Elements(
        names=tuple(f"r{label}_{j}_{first + i}" for j, i in there),
        nodes=tuple(nodes(j, i) for j, i in there),
        values=1.0 / g[g > 0][:, None],
    )
