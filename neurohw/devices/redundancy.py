"""Tiles of an array, and the spare lines that replace those with the most stuck cells.

Every tile is fabricated whole, with its spare lines behind its last line. A word line of a tile
carries one input, a bit line one unit; lines of the last tiles that no input or unit needs are
padding. Before the first write each tile is repaired by the greedy rule of memory redundancy, the
broken line first: as long as it helps, the line with the most stuck cells gets the free spare line
with the fewest. To repair as many cells as possible is NP-complete; this rule is not optimal, but
no replacement leaves more stuck cells than there were.

References
----------
Tarr, Boudreau, Murphy (1984), "Defect analysis system speeds test and repair of redundant
memories", Electronics 57, 175; Kuo, Fuchs (1987), "Efficient spare allocation for reconfigurable
arrays", IEEE Design & Test 4, 24.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Lines = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How an array is made of tiles, all fabricated alike.

    Parameters
    ----------
    units, inputs : int
        Of the array.
    tile : int, optional
        Word lines, and bit lines, of a tile; None: one tile, as large as the array.
    spare_word_lines, spare_bit_lines : int
        That each tile has besides.
    """

    units: int
    inputs: int
    tile: int | None = None
    spare_word_lines: int = 0
    spare_bit_lines: int = 0

    @property
    def lines(self) -> tuple[int, int]:
        """Bit lines and word lines of a tile without its spare ones."""
        return self.tile or self.units, self.tile or self.inputs

    @property
    def tiles(self) -> tuple[int, int]:
        """Tiles along the units, and along the inputs."""
        bits, words = self.lines
        return -(-self.units // bits), -(-self.inputs // words)

    @property
    def spare(self) -> bool:
        """Whether there are spare lines."""
        return self.spare_word_lines > 0 or self.spare_bit_lines > 0

    @property
    def unused(self) -> int:
        """Cells of all tiles, padding and spare lines, less those of the array."""
        bits, words = self.lines
        each = (bits + self.spare_bit_lines) * (words + self.spare_word_lines)
        return self.tiles[0] * self.tiles[1] * each - self.units * self.inputs

    @property
    def shape(self) -> tuple[int, int]:
        """Cells that are drawn: the array's, then those of spare lines, tile after tile."""
        units, inputs = self.tiles
        return (
            self.units + units * self.spare_bit_lines,
            self.inputs + inputs * self.spare_word_lines,
        )

    @property
    def numbers(self) -> tuple[Lines, Lines, Lines]:
        """Of draws: cells, `shape`, word lines and bit lines; those of the array as without spares.

        Without spares cells are numbered first, then word lines, then bit lines.
        """
        shape, size = self.shape, self.units * self.inputs
        cells = np.empty(shape, np.intp)
        own = np.zeros(shape, bool)
        own[: self.units, : self.inputs] = True
        cells[own] = np.arange(size)
        first = size + self.inputs + self.units
        cells[~own] = first + np.arange(cells.size - size)
        first += cells.size - size
        words = size + np.arange(self.inputs)
        bits = size + self.inputs + np.arange(self.units)
        more_words = first + np.arange(shape[1] - self.inputs)
        more_bits = first + len(more_words) + np.arange(shape[0] - self.units)
        return cells, np.append(words, more_words), np.append(bits, more_bits)

    @property
    def places(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Where bit lines and word lines of `shape` lie, 0 to 1/2; spares by their last line."""
        bits, words = self.lines
        found = []
        for count, size, spares in (
            (self.units, bits, self.spare_bit_lines),
            (self.inputs, words, self.spare_word_lines),
        ):
            own = np.linspace(0, 0.5, count)
            last = np.append(np.arange(size, count, size), count) - 1
            found.append(np.append(own, np.repeat(own[last], spares)))
        return found[0], found[1]


@dataclass(frozen=True, eq=False, kw_only=True)
class Repair:
    """Which lines of its tiles hold an array.

    Lines of a tile are counted from 0, the spare ones after its own.

    Parameters
    ----------
    word_lines : (tiles, inputs) array
        Line of each input, in each of the tiles along the units.
    bit_lines : (units, tiles) array
        Line of each unit, in each of the tiles along the inputs.
    stuck : int
        Cells of the array that were stuck before.
    """

    word_lines: Lines
    bit_lines: Lines
    stuck: int

    @staticmethod
    def of(tiling: Tiling, stuck: NDArray[np.bool_]) -> "Repair":
        """Replace lines, given which cells of `Tiling.shape` are stuck."""
        bits, words = tiling.lines
        rows, columns = tiling.tiles
        spare_bits, spare_words = tiling.spare_bit_lines, tiling.spare_word_lines
        word_lines = np.empty((rows, tiling.inputs), np.intp)
        bit_lines = np.empty((tiling.units, columns), np.intp)
        for row in range(rows):
            units = np.arange(row * bits, min((row + 1) * bits, tiling.units))
            more = tiling.units + row * spare_bits + np.arange(spare_bits)
            across = stuck[np.append(units, more)]
            for column in range(columns):
                inputs = np.arange(column * words, min((column + 1) * words, tiling.inputs))
                more = tiling.inputs + column * spare_words + np.arange(spare_words)
                tile = across[:, np.append(inputs, more)]
                chosen = _replaced(tile, len(units), len(inputs))
                # Padding stands between a tile's used lines and its spare ones.
                for taken, size in zip(chosen, (bits, words), strict=True):
                    taken[taken >= len(taken)] += size - len(taken)
                bit_lines[units, column], word_lines[row, inputs] = chosen
        count = np.count_nonzero(stuck[: tiling.units, : tiling.inputs])
        return Repair(word_lines=word_lines, bit_lines=bit_lines, stuck=int(count))

    def record(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """Return what a run file holds of it."""
        return {
            f"{prefix}word_lines": self.word_lines.astype(np.int32),
            f"{prefix}bit_lines": self.bit_lines.astype(np.int32),
            f"{prefix}stuck_unrepaired": np.array(self.stuck),
        }

    def cells(self, tiling: Tiling) -> tuple[Lines, Lines]:
        """Return the places in `Tiling.shape` of the array's cells, (units, inputs) each."""
        bits, words = tiling.lines
        row, column = np.arange(tiling.units) // bits, np.arange(tiling.inputs) // words
        bit, word = self.bit_lines[:, column], self.word_lines[row]
        row, column = row[:, None], column[None, :]
        spare_bit = tiling.units + row * tiling.spare_bit_lines + bit - bits
        spare_word = tiling.inputs + column * tiling.spare_word_lines + word - words
        return (
            np.where(bit < bits, row * bits + bit, spare_bit),
            np.where(word < words, column * words + word, spare_word),
        )


def _replaced(stuck: NDArray[np.bool_], units: int, inputs: int) -> tuple[Lines, Lines]:
    """Return the bit lines (units,) and word lines (inputs,) of a tile, spare ones at its end.

    At a tie a word line goes before a bit line, and the first line before others.
    """
    # Bit lines are the first axis, word lines the second.
    used = [np.arange(units), np.arange(inputs)]
    free = [np.arange(units, stuck.shape[0]), np.arange(inputs, stuck.shape[1])]
    while True:
        most, best = 0, (0, 0, 0)
        for axis in (1, 0):
            if len(free[axis]) == 0:
                continue
            broken = stuck.take(used[1 - axis], axis=1 - axis).sum(axis=1 - axis)
            line, spare = broken[used[axis]].argmax(), broken[free[axis]].argmin()
            fewer = int(broken[used[axis][line]] - broken[free[axis][spare]])
            if fewer > most:
                most, best = fewer, (axis, int(line), int(spare))
        if most == 0:
            return used[0], used[1]
        axis, line, spare = best
        used[axis][line] = free[axis][spare]
        free[axis] = np.delete(free[axis], spare)
