"""Wires of a crossbar: resistances of segments and of what is at their ends."""

from types import MappingProxyType
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError
from neurohw.units import Ohms

Array = NDArray[np.floating]

# One cell of a transistor and a memory element, pitch of four half-pitches, 300 K: Chen, Peng, Yu
# (2018), IEEE TCAD 37, 3067, wire table of NeuroSim.
RESISTANCE_BY_NODE = MappingProxyType(
    {200: 0.230, 100: 0.475, 50: 1.34, 40: 2.12, 32: 2.97, 22: 4.92, 14: 10.1}
)
# Relative change a kelvin.
_TEMPERATURE_COEFFICIENT = 0.00451


class Interconnect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Resistances of a crossbar's wires, SI units.

    Word line i passes the cells of unit 0, 1, …; it is driven before unit 0. Bit line j passes the
    cells of input 0, 1, …; it is sensed behind the last input. One segment lies between two cells
    and one between the outermost cell and the driver or the sense amplifier.

    Parameters
    ----------
    word_line, bit_line : float [Ω]
        One segment.
    source, sense : float [Ω]
        Output resistance of a driver, input resistance of a sense amplifier.
    driven_from, sensed_at : {"one end", "both ends"}
        Whether drivers (amplifiers) hold the far ends of the lines too.
    """

    word_line: Ohms
    bit_line: Ohms
    source: Ohms = 0.0
    sense: Ohms = 0.0
    driven_from: Literal["one end", "both ends"] = "one end"
    sensed_at: Literal["one end", "both ends"] = "one end"

    def __post_init__(self) -> None:
        for key in ("word_line", "bit_line"):
            if not 0 < getattr(self, key) < float("inf"):
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must be finite, above 0")
        for key in ("source", "sense"):
            if not 0 <= getattr(self, key) < float("inf"):
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must be finite, 0 or more")
        for key in ("driven_from", "sensed_at"):
            if getattr(self, key) not in ("one end", "both ends"):
                raise InvalidValueError(
                    f'{key} = "{getattr(self, key)}": must be "one end" or "both ends"'
                )


class Wires(Interconnect, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Wires of the crossbars of a chip: those of one tile, and how tiles form an array.

    An array larger than a tile is cut into tiles. Each tile has drivers and amplifiers of its own;
    those of the same line of the array share its node. Lines are taken to end at the last cell that
    the array uses, and a spare line to lie in the place of the one that it replaces.

    Parameters
    ----------
    node : int, optional [nm]
        Technology node whose table gives word_line and bit_line at the chip's temperature, in
        place of these two; see `of_node`.
    half_pitches : int
        Side of a cell of that node, see `of_node`.
    tile : int
        Largest number of inputs, and of units, of a tile.
    refresh : int
        Mini-batches after which the reduction of the wires to the arrays' terminals is done anew,
        as at the end of every epoch; 1 is exact. In between each terminal conductance follows its
        own cell, see `neurohw.circuits.terminal_model`.
    """

    word_line: Ohms = 0.0
    bit_line: Ohms = 0.0
    node: int | None = None
    half_pitches: int = 4
    tile: int = 128
    refresh: int = 4000

    def __post_init__(self) -> None:
        if self.node is None:
            for key in ("word_line", "bit_line"):
                if getattr(self, key) == 0:
                    raise InvalidValueError(
                        f"{key} = 0: must be above 0, or node given in place of both lines"
                    )
            super().__post_init__()
        else:
            self.at(300.0)
        for key in ("tile", "refresh"):
            if getattr(self, key) < 1:
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must be at least 1")

    def at(self, temperature: float) -> "Wires":
        """Return the same with the resistances of the node, where one is given, at [K]."""
        if self.node is None:
            return self
        for key in ("word_line", "bit_line"):
            if getattr(self, key) != 0:
                raise InvalidValueError(
                    f"{key} = {getattr(self, key)}: must be left out, because node sets it"
                )
        lines = of_node(self.node, half_pitches=self.half_pitches, temperature=temperature)
        return msgspec.structs.replace(
            self, node=None, word_line=lines.word_line, bit_line=lines.bit_line
        )


def of_node(nanometres: int, *, half_pitches: int = 4, temperature: float = 300.0) -> Interconnect:
    """Return the wires of a technology node, without resistance of drivers and amplifiers.

    half_pitches is the cell's side, 4 with a transistor or 2 without; temperature in kelvin, from
    100 on, where the metal's resistivity is still linear.

    Raises
    ------
    InvalidValueError
        A node that is not in `RESISTANCE_BY_NODE`, another side, or another temperature.
    """
    if nanometres not in RESISTANCE_BY_NODE:
        known = ", ".join(map(str, RESISTANCE_BY_NODE))
        raise InvalidValueError(f"node = {nanometres}: known are {known} nm")
    if half_pitches not in (2, 4):
        raise InvalidValueError(f"half_pitches = {half_pitches}: must be 2 or 4")
    if not 100 <= temperature < float("inf"):
        raise InvalidValueError(f"temperature = {temperature}: must be finite, 100 K or more")
    at_300 = RESISTANCE_BY_NODE[nanometres] * half_pitches / 4
    segment = at_300 * (1 + _TEMPERATURE_COEFFICIENT * (temperature - 300.0))
    return Interconnect(word_line=segment, bit_line=segment)


def loading(conductance: Array, wires: Interconnect) -> float:
    """Return how much the cells (units, inputs) [S] load the wires; above 1 the array is too big.

    The largest eigenvalue of the map from currents of the cells to the drops that these cause at
    the cells, times their mean conductance. About 0.81·r·G·N² for N by N cells on wires held at
    one end; drivers' and amplifiers' own resistances are left out.
    """
    units, inputs = conductance.shape
    words = wires.word_line * _slowest(units, wires.driven_from == "both ends")
    bits = wires.bit_line * _slowest(inputs, wires.sensed_at == "both ends")
    return float((words + bits) * conductance.mean(dtype=np.float64))


def _slowest(nodes: int, both_ends: bool) -> float:
    """Return the inverse of the smallest eigenvalue of a chain of segments of 1 Ω."""
    angle = np.pi / (2 * (nodes + 1) if both_ends else 4 * nodes + 2)
    return float(1 / (4 * np.sin(angle) ** 2))
