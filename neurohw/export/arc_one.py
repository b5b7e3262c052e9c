"""Sessions of the ArC ONE memristor platform: the CSV files that its control software saves.

A session has a name, a date and a line of heads, then a row for each event in the life of a cell:
word line and bit line, counted from 1, resistance after it [Ω], amplitude [V] and width [s] of the
pulse, tag, tag of the read and read voltage [V]. ``S R2 V=0.2`` is the tag of a single read with
option 2, at 0.2 V. The instrument has 32 × 32 lines, and its software loads no more.

References
----------
arc1pyqt, the control software of ArC Instruments: saving and loading of sessions.
"""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neurohw.errors import ExportError, InvalidValueError
from neurohw.export import manifest
from neurohw.export.formats import Contents, Format, ReadTile
from neurohw.export.weight_map import Tile, WeightMap
from neurohw.units import Volts

LINES = 32
HEADS = (
    "Wordline",
    "Bitline",
    "Resistance",
    "Amplitude (V)",
    "Pulse width (s)",
    "Tag",
    "ReadTag",
    "ReadVoltage",
)
_READ_OPTION = 2
_PRODUCER = "neurohw "


class ArcOne(Format, frozen=True):
    """``TILE.csv``, a session each, in which every cell was read once; and ``map.json``.

    Parameters
    ----------
    read_voltage : float, optional [V]
        Default the device's `reading.read_voltage`.
    """

    name = "arc-one"
    description = "sessions of the ArC ONE platform, one a tile of 32 x 32 lines at most"
    folder = True

    read_voltage: Volts | None = None

    def __post_init__(self) -> None:
        voltage = self.read_voltage
        if voltage is not None and not 0 < voltage < float("inf"):
            raise InvalidValueError(f"read_voltage = {voltage} V: must be finite, above 0")

    def write(self, weights: WeightMap, out: Path) -> None:  # noqa: D102
        for crossbar in weights.crossbars:
            shape = crossbar.tile(0, 0).shape
            hint = (
                "bias cells and references have no tiles; leave them out by --layer"
                if crossbar.tiling.tile is None and weights.run.experiment.chip.tile
                else f"export with a --chip of mapping.tile = {LINES}"
            )
            if max(shape) > LINES:
                raise ExportError(
                    f"format = arc-one: tiles of {crossbar.name} have {shape[0]} word lines and"
                    f" {shape[1]} bit lines, the instrument has {LINES}: {hint}"
                )
            if np.min(crossbar.conductance) < 0:
                raise ExportError(f"format = arc-one: {crossbar.name}: has negative conductances")
        chip = weights.run.experiment.chip
        voltage = self.read_voltage or chip.device.reading.read_voltage
        for tile in weights.tiles():
            with (out / f"{tile.name}.csv").open("w", encoding="utf-8", newline="") as file:
                _write(weights, tile, voltage, csv.writer(file))

    def read(self, path: Path) -> Contents:
        """Read the last resistance of every cell, of sessions that the instrument saved too.

        Measured cells need not be within the limits of the chip's description.
        """
        found = manifest.of_folder(path)
        tiles = manifest.tiles_of(found, path / manifest.MARK)
        read = manifest.contents(found, path, (_read(path, *tile) for tile in tiles))
        return replace(read, measured=True)


def _write(weights: WeightMap, tile: Tile, voltage: float, rows: Any) -> None:
    """Write a session of one tile."""
    rows.writerow([_PRODUCER + tile.name])
    rows.writerow(["no date"])  # so that equal maps make equal files
    rows.writerow(HEADS)
    read = f"R{_READ_OPTION} V={voltage:g}"
    for block in weights.blocks(tile):
        for row, values in enumerate(block.target.astype(np.float64)):
            for bit in np.flatnonzero(np.isfinite(values)).tolist():
                # The software reads "inf" as a number.
                resistance = 1.0 / float(values[bit]) if values[bit] > 0 else float("inf")
                place = block.first + row + 1, bit + 1
                pulse = voltage, 0
                rows.writerow([*place, repr(resistance), *pulse, f"S {read}", read, voltage])


def _read(folder: Path, name: str, words: int, bits: int) -> ReadTile:
    """Read the session of one tile."""
    path, matrix = folder / f"{name}.csv", np.full((words, bits), np.nan)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            session, _, heads = (next(rows, []) for _ in range(3))
            if session and session[0].startswith(_PRODUCER) and session[0] != _PRODUCER + name:
                raise ExportError(
                    f"{path}: line 1: is the session of {session[0]}: was it renamed?"
                )
            if [head.strip() for head in heads[:3]] != list(HEADS[:3]):
                raise ExportError(f"{path}: line 3: must have the heads {', '.join(HEADS)}")
            for number, row in enumerate(rows, start=4):
                word, bit, conductance = _cell(row, f"{path}: line {number}")
                if not (word < words and bit < bits):
                    raise ExportError(
                        f"{path}: line {number}: Wordline = {word + 1}, Bitline = {bit + 1}: the"
                        f" tile has lines 1 to {words} and 1 to {bits}: were they swapped?"
                    )
                matrix[word, bit] = conductance
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise manifest.unreadable(path, error) from None
    largest = np.nanmax(matrix, initial=0.0)
    return ReadTile(name=name, conductance=matrix, rounding=1e-15 * float(largest))


def _cell(row: list[str], where: str) -> tuple[int, int, float]:
    """Return word line and bit line from 0 on, and conductance [S], of a row."""
    if len(row) != len(HEADS):
        raise ExportError(
            f"{where}: {len(row)} fields, there are {len(HEADS)} heads: is the file cut off?"
        )
    try:
        word, bit, resistance = int(row[0]), int(row[1]), float(row[2])
    except ValueError as error:
        raise ExportError(f"{where}: {error}") from None
    if min(word, bit) < 1 or not resistance > 0:
        raise ExportError(
            f"{where}: Wordline = {word}, Bitline = {bit}, Resistance = {row[2]}: lines count from"
            " 1, and a resistance is above 0 ohms"
        )
    return word - 1, bit - 1, 1.0 / resistance
