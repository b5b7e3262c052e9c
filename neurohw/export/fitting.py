"""Whether what a file says of a crossbar can be true of it."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import ExportError
from neurohw.export.formats import Contents, ReadTile
from neurohw.export.weight_map import UNUSED, Crossbar, Lines, Tile, WeightMap
from neurohw.units import show

Array = NDArray[np.floating]

# Read-outs may lie so far above the device's g_max.
_MOST_MEASURED = 10.0
# Medians that are further apart than this power of ten are in another unit.
_ANOTHER_UNIT = 2.5
_UNITS = {3: "mS", 6: "uS", 9: "nS"}
# Cells of a tile whose median says something of its unit.
_ENOUGH = 64
# Scales of one configuration, computed on two machines.
_EQUAL = 1e-9
# Of the largest limit: what float32, and the digits of a text, leave open.
_SLACK = 1e-6


class Fitted:
    """The conductances of a crossbar, gathered from a file tile by tile.

    Parameters
    ----------
    crossbar : Crossbar

    Attributes
    ----------
    values : (units, inputs) array [S], or None
        Of the crossbar's precision, complete once every tile was put; None before the first.
    rounding : float [S]
        How far they may be off what was written.
    """

    def __init__(self, crossbar: Crossbar) -> None:
        self.crossbar = crossbar
        self.values: Array | None = None
        self.rounding = 0.0

    @property
    def taken(self) -> Array:
        """What the file says, or where it says nothing, the crossbar as it is [S]."""
        return self.crossbar.conductance if self.values is None else self.values

    @property
    def difference(self) -> float:
        """Largest difference from the crossbar as it is, beyond the rounding [S]."""
        gap = np.abs(self.taken - self.crossbar.conductance).max()
        if self.rounding == 0:
            return float(gap)
        return max(float(gap) - self.rounding - _SLACK * float(np.abs(self.taken).max()), 0.0)

    def put(self, read: ReadTile, tile: Tile) -> None:
        """Take a tile over.

        Raises
        ------
        ExportError
            It has other lines than the chip, or lacks cells; names array, line and cell.
        """
        matrix = _full(read, tile)
        word, bit = tile.inputs != UNUSED, tile.units != UNUSED
        for said, own, words in (
            (read.inputs, tile.inputs, ("word line", "input")),
            (read.units, tile.units, ("bit line", "unit")),
        ):
            if said is not None:
                _require_same(said, own, words, tile.name)
        held = matrix[np.ix_(word, bit)]
        missing = np.argwhere(np.isnan(held))
        if len(missing):
            at = np.flatnonzero(word)[missing[0, 0]], np.flatnonzero(bit)[missing[0, 1]]
            others = f", and {len(missing) - 1} more of the array" if len(missing) > 1 else ""
            raise ExportError(f"{_cell(tile.name, *at)}: is missing{others}")
        if self.values is None:
            self.values = np.empty_like(self.crossbar.conductance)
        self.values[np.ix_(tile.units[bit], tile.inputs[word])] = held.T
        self.rounding = max(self.rounding, read.rounding)


def require_range(fitted: Fitted, noise: float, *, measured: bool) -> None:
    """Raise `ExportError` for conductances that the cells of a crossbar cannot have.

    noise [S] is how far a write may leave them outside of their limits. What was measured may be
    anything up to a multiple of g_max.
    """
    crossbar, values = fitted.crossbar, fitted.taken
    _require_units(crossbar, values)
    signed = crossbar.role == "signed"
    if measured:
        low: Array = np.full((1, 1), -np.inf if signed else 0.0)
        high: Array = np.full((1, 1), _MOST_MEASURED * crossbar.window[1])
    else:
        finite = crossbar.high[np.isfinite(crossbar.high)]
        margin = fitted.rounding + noise + _SLACK * (float(finite.max()) if finite.size else 0.0)
        # Noise, or time, may have left cells of the run outside of their limits.
        low = np.minimum(crossbar.low, crossbar.conductance) - margin
        high = np.maximum(crossbar.high, crossbar.conductance) + margin
    wrong = np.argwhere(~((values >= low) & (values <= high)) | np.isinf(values))
    if len(wrong):
        unit, line = wrong[0]
        tile, word, bit = _place(crossbar, unit, line)
        limits = [np.broadcast_to(limit, values.shape)[unit, line] for limit in (low, high)]
        kind = "what can be measured of it" if measured else "the limits of this cell"
        raise ExportError(
            f"{_cell(tile, word, bit)}: {show(float(values[unit, line]), 'S')} is outside of"
            f" {kind}, {show(float(limits[0]), 'S')} to {show(float(limits[1]), 'S')}"
        )


def require_same_layers(contents: Contents, weights: WeightMap) -> None:
    """Raise `ExportError` where cells of the file make other weights than those of the chip."""
    for layer in weights.layers:
        for key, said in contents.layers.get(layer.name, {}).items():
            own = getattr(layer, key)
            same = said == own
            if isinstance(own, float) and isinstance(said, (int, float)):
                same = math.isclose(said, own, rel_tol=_EQUAL)
            if not same:
                raise ExportError(
                    f"{contents.path}: {layer.name}: {key} = {said}, that of the network's chip is"
                    f" {own}: was it written from another network, or for another chip?"
                    f"{other_chip(contents, weights)}"
                )


def other_chip(contents: Contents, weights: WeightMap) -> str:
    """Return a hint where the file was written for another chip than the network is on."""
    own = weights.run.experiment.chip.name
    if contents.chip is None or contents.chip == own:
        return ""
    return f" (the file is for the chip {contents.chip}, the network on {own}: see --chip)"


def _require_units(crossbar: Crossbar, values: Array) -> None:
    """Raise `ExportError` where a crossbar, or a tile of it, is some powers of thousand off."""
    _require_unit(crossbar.name, values, crossbar)
    for tile in crossbar.tiles():
        word, bit = tile.inputs[tile.inputs != UNUSED], tile.units[tile.units != UNUSED]
        if word.size * bit.size >= _ENOUGH:
            _require_unit(tile.name, values, crossbar, np.ix_(bit, word))


def _require_unit(name: str, values: Array, crossbar: Crossbar, part: Any = ...) -> None:
    """Raise `ExportError` where a part of a crossbar is some powers of thousand off."""
    sizes, known = np.abs(values[part]), np.abs(crossbar.conductance[part])
    if not (sizes > 0).any() or not (known > 0).any():
        return
    low, high = crossbar.window
    if low > 0 and high < math.inf and np.mean((sizes > low / 2) & (sizes < 2 * high)) > 0.5:
        return
    ratio = math.log10(np.median(sizes[sizes > 0]) / np.median(known[known > 0]))
    if abs(ratio) > _ANOTHER_UNIT:
        power = 3 * round(abs(ratio) / 3)
        way = "large" if ratio > 0 else "small"
        guess = f": are they in {_UNITS[power]}?" if ratio > 0 and power in _UNITS else ":"
        raise ExportError(
            f"{name}: its conductances are about 1e{power} too {way}{guess} the file must"
            " have siemens"
        )


def _full(read: ReadTile, tile: Tile) -> Array:
    """Return the matrix of a read tile with all lines; a table ends at its last cell."""
    for size, most, word in zip(
        read.conductance.shape, tile.shape, ("word line", "bit line"), strict=True
    ):
        if size > most:
            raise ExportError(
                f"array {tile.name}: {word} {size - 1}: it has {most} (0 to {most - 1}): were word"
                " and bit lines swapped, or counted from 1?"
            )
    if read.conductance.shape == tile.shape:
        return read.conductance
    matrix = np.full(tile.shape, np.nan)
    words, bits = read.conductance.shape
    matrix[:words, :bits] = read.conductance
    return matrix


def _require_same(said: Lines, own: Lines, words: tuple[str, str], name: str) -> None:
    """Raise `ExportError` where a line carries another input, or unit, than the chip's."""
    full = np.full(len(own), UNUSED)
    full[: len(said)] = said
    # Lines without cells say nothing in a table, so that cells are missing there.
    other = np.flatnonzero((full != own) & (full != UNUSED))
    if len(other):
        line = other[0]
        has = "none" if own[line] == UNUSED else f"{own[line]}"
        raise ExportError(
            f"array {name}, {words[0]} {line}: has {words[1]} {full[line]} there, on the chip"
            f" {has}: were lines swapped, or is it another chip?"
        )


def _place(crossbar: Crossbar, unit: int, line: int) -> tuple[str, int, int]:
    """Return array, word line and bit line of a weight."""
    for tile in crossbar.tiles():
        word, bit = np.flatnonzero(tile.inputs == line), np.flatnonzero(tile.units == unit)
        if len(word) and len(bit):
            return tile.name, int(word[0]), int(bit[0])
    raise AssertionError("every weight lies in a tile")


def _cell(name: str, word: int, bit: int) -> str:
    return f"array {name}, word line {word}, bit line {bit}"
