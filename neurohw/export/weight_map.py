"""The weight map of a run: which conductance each cell of each tile is to have, and what for.

A layer's weights lie in one or more crossbars (positive and negative, slices, …), a crossbar in
one or more tiles. A tile is one physical array. Its word lines, which carry inputs, are the rows,
its bit lines, which lead to units, the columns; both are counted from 0, spare lines behind all
others. So every matrix of a map is (word lines, bit lines): the transpose of an array of a run.
Cells are handed out in blocks of word lines, so that beside the run no second copy is held.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.devices.redundancy import Tiling
from neurohw.experiments.run_file import Run

Array = NDArray[np.floating]
Lines = NDArray[np.intp]

CELLS_AT_ONCE = 1 << 20
# In place of a unit or an input: a line without one, of padding, a spare one or a replaced one.
UNUSED = -1


@dataclass(frozen=True, eq=False, kw_only=True)
class Block:
    """Some neighbouring word lines of a tile.

    Parameters
    ----------
    first : int
        Number of the first word line.
    target : (word lines, bit lines) array [S]
        Of the run's precision; NaN where no weight lies: such a cell is to be erased.
    low, high : (word lines, bit lines) or (1, 1) arrays [S]
        Limits of each cell as fabricated; the same for a stuck cell, and one entry where all are
        alike. NaN where no weight lies.
    """

    first: int
    target: Array
    low: Array
    high: Array

    @property
    def stuck(self) -> NDArray[np.bool_]:
        """Which cells no pulse moves, of the shape of the limits."""
        return np.asarray(self.low == self.high)


@dataclass(frozen=True, eq=False, kw_only=True)
class Tile:
    """A physical array.

    Parameters
    ----------
    name : str
        ``crossbar-row-column``: its place along the units, and along the inputs.
    crossbar : Crossbar
    row, column : int
        That place.
    inputs : (word lines,) array of int
        The input that each word line carries, or `UNUSED`.
    units : (bit lines,) array of int
        The unit that each bit line leads to, or `UNUSED`.
    """

    name: str
    crossbar: "Crossbar"
    row: int
    column: int
    inputs: Lines
    units: Lines

    @property
    def shape(self) -> tuple[int, int]:
        """Word lines and bit lines, padding and spare lines too."""
        return len(self.inputs), len(self.units)

    @property
    def weights(self) -> int:
        """Cells that hold a weight."""
        return int(np.sum(self.inputs != UNUSED) * np.sum(self.units != UNUSED))

    def blocks(self, cells: int = CELLS_AT_ONCE) -> Iterator[Block]:
        """Yield the tile in order of word lines, about so many cells at once."""
        words, bits = self.shape
        step = max(cells // bits, 1)
        for first in range(0, words, step):
            lines = slice(first, min(first + step, words))
            yield Block(
                first=first,
                target=self._taken(self.crossbar.conductance, lines),
                low=self._taken(self.crossbar.low, lines),
                high=self._taken(self.crossbar.high, lines),
            )

    def matrix(self) -> Array:
        """Return the whole of `Block.target` [S]."""
        return self._taken(self.crossbar.conductance, slice(0, self.shape[0]))

    def _taken(self, values: Array, lines: slice) -> Array:
        """Return values (units, inputs) of an array as some word lines of the tile have them."""
        if values.size == 1 < self.crossbar.conductance.size:
            return values
        inputs, units = self.inputs[lines], self.units
        if _consecutive(inputs) and _consecutive(units):
            part = values[units[0] : units[-1] + 1, inputs[0] : inputs[-1] + 1]
            return np.ascontiguousarray(part.T)
        taken = np.full((len(inputs), len(units)), np.nan, values.dtype)
        word, bit = np.flatnonzero(inputs != UNUSED), np.flatnonzero(units != UNUSED)
        taken[np.ix_(word, bit)] = values[np.ix_(units[bit], inputs[word])].T
        return taken


@dataclass(frozen=True, eq=False, kw_only=True)
class Crossbar:
    """One cell of every weight of a layer.

    Parameters
    ----------
    name : str
        ``layer1``, ``layer1-positive``, ``bias2-negative``, ``layer1-reference``, …
    role : str
        What its cells are to a weight: ``conductance`` (the weight itself), ``signed`` (likewise,
        of a device without limits, which may be negative), ``offset``, ``positive``,
        ``negative``, ``slice1`` (the most significant), …, ``reference``; with ``-narrow`` for
        the narrower cells beside others.
    coefficient : float
        Of its conductances in a weight; see `Layer`.
    conductance : (units, inputs) array [S]
        That of the run, not a copy. A reference has one unit.
    low, high : (units, inputs) or (1, 1) arrays [S]
        Limits of each cell as fabricated.
    window : (float, float) [S]
        Nominal g_min and g_max.
    tolerance : float [S], optional
        How far a programmed cell may be off its target; None where the chip does not say.
    tiling : Tiling
    word_lines, bit_lines : arrays of int, optional
        As `redundancy.Repair` has them, where a repair may have replaced lines.
    """

    name: str
    role: str
    coefficient: float
    conductance: Array
    low: Array
    high: Array
    window: tuple[float, float]
    tolerance: float | None
    tiling: Tiling
    word_lines: Lines | None = None
    bit_lines: Lines | None = None

    def tiles(self) -> Iterator[Tile]:
        """Yield the tiles, those along the inputs first."""
        rows, columns = self.tiling.tiles
        for row in range(rows):
            for column in range(columns):
                yield self.tile(row, column)

    def tile(self, row: int, column: int) -> Tile:
        """Return one tile."""
        tiling = self.tiling
        bits, words = tiling.lines
        inputs = np.full(words + tiling.spare_word_lines, UNUSED)
        units = np.full(bits + tiling.spare_bit_lines, UNUSED)
        held_inputs = np.arange(column * words, min((column + 1) * words, tiling.inputs))
        held_units = np.arange(row * bits, min((row + 1) * bits, tiling.units))
        word, bit = held_inputs - column * words, held_units - row * bits
        if self.word_lines is not None and self.bit_lines is not None:
            word, bit = self.word_lines[row, held_inputs], self.bit_lines[held_units, column]
        inputs[word], units[bit] = held_inputs, held_units
        return Tile(
            name=tile_name(self.name, row, column),
            crossbar=self,
            row=row,
            column=column,
            inputs=inputs,
            units=units,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """Weights of either kind, and the crossbars that hold them together.

    Of a unit and an input, dimensionless:

        weight = scale · gains[unit] · (Σ_crossbars coefficient · G[unit, input] − reference)

    where the one unit of a crossbar of references stands for all units.

    Parameters
    ----------
    name : str
        ``layer1``, … from input to output; ``bias1``, … for the bias cells of these layers.
    scheme : str
        ``single-ended``, ``signed``, ``differential-pair``, ``offset`` or ``bit-sliced``.
    units, inputs : int
    scale : float [1/S]
    gains : (units,) array
        Of the units' amplifiers.
    reference : float [S]
        Conductance that the circuit itself subtracts.
    paired : bool
        Whether the second half of the inputs carries the voltages of the first half, negated.
    crossbars : sequence of Crossbar
    """

    name: str
    scheme: str
    units: int
    inputs: int
    scale: float
    gains: Array
    reference: float
    paired: bool
    crossbars: Sequence[Crossbar]

    def weights(self) -> Array:
        """Return all weights, (units, inputs), dimensionless; not for large networks."""
        total = np.full((self.units, self.inputs), -self.reference)
        for crossbar in self.crossbars:
            total += crossbar.coefficient * crossbar.conductance.astype(np.float64)
        return np.asarray(self.scale * self.gains[:, None] * total)


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightMap:
    """What a chip is to be programmed to.

    Parameters
    ----------
    run : Run
        Whose cells these are; its configuration names chip, device and mapping.
    layers : sequence of Layer
        Those of weights, then those of bias cells, or some of them.
    currents : dict of (units,) arrays [A]
        Programmable sources of a layer, by the name that its bias cells would have.
    advance : callable, optional
        Called with the number of cells of each block that was handed out.
    """

    run: Run
    layers: Sequence[Layer]
    currents: dict[str, Array] = field(default_factory=dict)
    advance: Callable[[int], Any] | None = None

    @property
    def crossbars(self) -> list[Crossbar]:
        """Every crossbar, layer by layer."""
        return [crossbar for layer in self.layers for crossbar in layer.crossbars]

    @property
    def cells(self) -> int:
        """Cells of all tiles, padding and spare lines too."""
        return sum(c.conductance.size + c.tiling.unused for c in self.crossbars)

    def tiles(self) -> Iterator[Tile]:
        """Yield every tile, crossbar by crossbar."""
        for crossbar in self.crossbars:
            yield from crossbar.tiles()

    def blocks(self, tile: Tile, cells: int = CELLS_AT_ONCE) -> Iterator[Block]:
        """Yield a tile's blocks, telling `advance` of each once it was used."""
        for block in tile.blocks(cells):
            yield block
            if self.advance is not None:
                self.advance(block.target.size)


def tile_name(crossbar: str, row: int, column: int) -> str:
    """Return the name of a tile of a crossbar."""
    return f"{crossbar}-{row}-{column}"


def _consecutive(lines: Lines) -> bool:
    """Whether these are lines in use that follow one another."""
    return bool(lines[0] != UNUSED and (np.diff(lines) == 1).all())
