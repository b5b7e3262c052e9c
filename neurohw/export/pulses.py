"""The programming schedule of a map: the pulses that bring every cell to its target.

A controller plans with the nominal device (see `neurohw.devices.schedule`); open loop, its pulses
are all. With retries it reads each cell after a train, and as long as that is further from the
target than the tolerance, and retries are left, gives it the train that leads from what was read.
"""

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.devices.device import MemoryDevice
from neurohw.devices.fabrication import Cells
from neurohw.devices.schedule import Trains, nominal
from neurohw.errors import ExportError, InvalidValueError, UnsupportedError
from neurohw.experiments import run_file
from neurohw.experiments.run_file import Run
from neurohw.experiments.scheduled import Schedule
from neurohw.export import long_table, manifest
from neurohw.export.fitting import Fitted, require_range, require_same_layers
from neurohw.export.formats import Contents, Format
from neurohw.export.mapping import weight_map
from neurohw.export.pulse_table import COLUMNS, Totals, Writer
from neurohw.export.weight_map import Crossbar, Tile, WeightMap
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.units import Fraction, show

Array = NDArray[np.floating]

TABLE, ABOUT = "pulses.csv", "programming.json"
ERASED = "erased"
_LOOP = (
    "read the cell; if it is further from g_target_S than tolerance_S, give the pulses that lead"
    " from what was read to the target, at least one; at most `retries` times"
)


class Pulses(Format, frozen=True):
    """``pulses.csv``, a cell a row; ``programming.json``: control, totals; and ``map.json``.

    Parameters
    ----------
    start : str
        ``erased``: every cell is at its lower limit; or the run file that holds the present state
        of the same chip.
    retries : int
        Trains after the first one, each after a read; 0: open loop.
    tolerance : float, optional
        How far from its target a cell may be left, of ``g_max - g_min``; default the chip's
        `mapping.verify_tolerance`.
    """

    name = "pulses"
    description = "SET and RESET pulses of every cell, open loop or with reads between"
    folder = True

    start: str = ERASED
    retries: int = 0
    tolerance: Fraction | None = None

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise InvalidValueError(f"retries = {self.retries}: must be 0 (open loop) or more")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise InvalidValueError(f"tolerance = {self.tolerance}: must lie between 0 and 1")

    def write(self, weights: WeightMap, out: Path) -> None:  # noqa: D102
        chip = weights.run.experiment.chip
        starts = None if self.start == ERASED else _starts(weights, self.start)
        share = chip.mapping.verify_tolerance if self.tolerance is None else self.tolerance
        totals = Totals()
        with (out / TABLE).open("w", encoding="utf-8") as table:
            table.write(COLUMNS + "\n")
            for tile in weights.tiles():
                cell = nominal_cell(tile.crossbar, chip)
                writer = Writer(table, tile, cell, device_of(tile.crossbar, chip), share)
                start = None if starts is None else starts[tile.name]
                totals.add_tile(writer.write(weights, start, chip))
        about = {
            "start": self.start,
            "control": "write-verify" if self.retries else "open loop",
            "retries": self.retries,
            "tolerance_of_range": share,
            "loop": _LOOP if self.retries else None,
            "totals_of_first_trains": totals.facts(),
        }
        (out / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    def read(self, path: Path) -> Contents:
        """Read where the nominal device is led to, open loop, whatever the limits of each cell."""
        found = manifest.of_folder(path)
        cells = long_table.read(path / TABLE, "g_expected_S")
        return replace(manifest.contents(found, path / TABLE, cells), measured=True)

    def verify(self, weights: WeightMap, path: Path) -> tuple[bool, str]:
        """Compare the targets in the table with the map; pulses end near them only."""
        targets = _assembled(path, weights, "g_target_S")
        expected = _assembled(path, weights, "g_expected_S")
        off = near = 0.0
        for crossbar, target, reached in zip(weights.crossbars, targets, expected, strict=True):
            held = crossbar.conductance
            off = max(off, float(np.abs(target.astype(held.dtype) - held).max()))
            low, high = crossbar.window
            near = max(near, float(np.abs(reached - target).max()) / (high - low))
        same = "the targets are the map's" if off == 0 else f"targets are {show(off, 'S')} off"
        return off == 0, (
            f"{same}; open loop a nominal device ends at most {100 * near:.2g} % of its range from"
            " them"
        )

    def notes(self, path: Path) -> list[str]:
        """Return pulses, energy and time, for who has just written them."""
        totals = about(path)["totals_of_first_trains"]
        parts = [f"{totals[key]:,.0f} {key.replace('_', ' ')}" for key in Totals.COUNTS]
        energy, time = totals["energy_J"], totals["time_s"]
        if energy:
            parts += [f"{show(energy, 'J')} and {show(time, 's')} of pulses, without full resets"]
        elif totals["set_pulses"] or totals["reset_pulses"]:
            parts.append("the device states no pulse voltage and width, so neither energy nor time")
        if self.retries:
            parts.append(f"then up to {self.retries} trains after reads; `neurohw program` counts")
        return ["First trains: " + "; ".join(parts) + "."]


def about(path: Path) -> dict[str, Any]:
    """Return what ``programming.json`` in a folder says; `ExportError` if it is none."""
    text = _text(path / ABOUT)
    try:
        found = json.loads(text)
        known = {"start", "retries", "totals_of_first_trains"}
        if not (isinstance(found, dict) and known <= found.keys()):
            raise ValueError(f"{', '.join(sorted(known))} are missing")
        if not (isinstance(found["retries"], int) and found["retries"] >= 0):
            raise ValueError(f"retries: {found['retries']!r} is no number from 0 on")
        return found
    except ValueError as error:
        raise ExportError(f"{path / ABOUT}: is damaged: {error}") from None


def schedules(path: Path, run: Run) -> list[Schedule]:
    """Return what `Pulses.write` wrote into a folder, crossbar by crossbar of a run.

    Raises
    ------
    ExportError
        The files are damaged, or are of another network or mapping.
    """
    erased, weights = about(path)["start"] == ERASED, weight_map(run)
    described = manifest.contents(manifest.of_folder(path), path / manifest.MARK, iter(()))
    require_same_layers(described, weights)
    target, tolerance, full, rising, falling, expected, start = (
        _assembled(path, weights, column)
        for column in (
            "g_target_S",
            "tolerance_S",
            "full_reset",
            "set_pulses",
            "reset_pulses",
            "g_expected_S",
            "g_start_S",
        )
    )
    for column, counts in (("full_reset", full), ("set_pulses", rising), ("reset_pulses", falling)):
        if not all(((each >= 0) & np.isfinite(each)).all() for each in counts):
            raise ExportError(f"{path / TABLE}: {column}: must be finite, 0 or more")
    for crossbar, each in zip(weights.crossbars, tolerance, strict=True):
        if not each.min() == each.max() > 0:
            raise ExportError(
                f"{path / TABLE}: tolerance_S: cells of {crossbar.name} must have one, above 0;"
                f" there are {each.min():g} to {each.max():g}"
            )
    chip = run.experiment.chip
    return [
        Schedule(
            start=None if erased else start[k],
            target=target[k],
            first=Trains(erased=full[k] > 0, pulses=rising[k] - falling[k], expected=expected[k]),
            tolerance=float(tolerance[k].max()),
            nominal=nominal_cell(crossbar, chip),
        )
        for k, crossbar in enumerate(weights.crossbars)
    ]


def device_of(crossbar: Crossbar, chip: ChipSpecification) -> MemoryDevice:
    """Return the device of a crossbar's cells."""
    narrow = crossbar.role.endswith("-narrow")
    return chip.programming.fast_device or chip.device if narrow else chip.device


def nominal_cell(crossbar: Crossbar, chip: ChipSpecification) -> Cells:
    """Return the nominal cell of a crossbar; `UnsupportedError` where it takes no pulses."""
    device = device_of(crossbar, chip)
    low, high = crossbar.window
    width = (high - low) / device.span if np.isfinite(high) else 1.0
    return _nominal(device, width)


@lru_cache(maxsize=8)
def _nominal(device: MemoryDevice, width: float) -> Cells:
    return nominal(device, width)


def _starts(weights: WeightMap, path: str) -> dict[str, Tile]:
    """Return the tiles of another run, which hold the present state of the same chip."""
    run = run_file.load(path)
    if run.experiment.chip != weights.run.experiment.chip:
        raise UnsupportedError(f"{path}: start: is a run of another chip")
    present = weight_map(run)
    crossbars = {crossbar.name: crossbar for crossbar in present.crossbars}
    for crossbar in weights.crossbars:
        there = crossbars.get(crossbar.name, crossbar)
        limits = (there.low, crossbar.low), (there.high, crossbar.high)
        if not all(np.array_equal(a, b) for a, b in limits):
            raise UnsupportedError(
                f"{path}: start: cells of {crossbar.name} have other limits: its chip was"
                " fabricated with another seed"
            )
    tiles = {tile.name: tile for tile in present.tiles()}
    for tile in weights.tiles():
        other = tiles.get(tile.name)
        same = other is not None and all(
            np.array_equal(a, b)
            for a, b in ((tile.inputs, other.inputs), (tile.units, other.units))
        )
        if not same:
            raise ExportError(f"{path}: start: {tile.name} is not there with the same lines")
    return tiles


def _assembled(path: Path, weights: WeightMap, column: str) -> list[Array]:
    """Return a column of the table as (units, inputs) of every crossbar of a map."""
    fitted = {crossbar.name: Fitted(crossbar) for crossbar in weights.crossbars}
    tiles = {tile.name: tile for tile in weights.tiles()}
    try:
        for read in long_table.read(path / TABLE, column):
            if read.name not in tiles:
                raise ExportError(f"array {read.name}: the network's chip has none")
            tile = tiles.pop(read.name)
            fitted[tile.crossbar.name].put(read, tile)
        for name in tiles:
            raise ExportError(f"array {name}: is missing, and {len(tiles) - 1} others")
        if column == "g_target_S":
            for each in fitted.values():
                require_range(each, 0.0, measured=False)
    except ExportError as error:
        text = str(error).removeprefix(f"{path / TABLE}: ")
        raise ExportError(f"{path / TABLE}: {text}") from None
    return [each.taken for each in fitted.values()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise manifest.unreadable(path, error) from None
