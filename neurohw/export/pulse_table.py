"""The table of a programming schedule: a cell a row, with what it takes and where that leads."""

from collections.abc import Iterator
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from neurohw.devices.device import MemoryDevice
from neurohw.devices.fabrication import Cells
from neurohw.devices.schedule import Trains, trains
from neurohw.experiments.programming import pulsed
from neurohw.export.weight_map import CELLS_AT_ONCE, UNUSED, Block, Tile, WeightMap
from neurohw.mappings.chip_specification import ChipSpecification

Array = NDArray[np.floating]

COLUMNS = (
    "array,word_line,bit_line,g_start_S,g_target_S,tolerance_S,g_expected_S,full_reset,"
    "set_pulses,set_amplitude_V,set_width_s,reset_pulses,reset_amplitude_V,reset_width_s,weight"
)


class Totals:
    """Pulses of several tiles, which are written at the same time, and what they cost."""

    COUNTS = ("cells", "set_pulses", "reset_pulses", "full_resets")

    def __init__(self) -> None:
        self.found = dict.fromkeys((*self.COUNTS, "energy_J", "time_s"), 0.0)

    def add_block(self, **parts: float) -> None:
        """Add the word lines of a tile that follow those before."""
        for key, value in parts.items():
            self.found[key] += value

    def add_tile(self, tile: "Totals") -> None:
        """Add a tile, which is written while the others are."""
        longest = max(self.found["time_s"], tile.found["time_s"])
        self.add_block(**tile.found)
        self.found["time_s"] = longest

    def facts(self) -> dict[str, float]:
        """Return all of them, by name with unit."""
        return {key: int(v) if key in self.COUNTS else v for key, v in self.found.items()}


class Writer:
    """Writes the rows of a tile.

    Parameters
    ----------
    table : text file
    tile : Tile
    cell : Cells
        The nominal cell that trains are planned with.
    device : MemoryDevice
        Of the tile's cells.
    share : float
        Tolerance, of the range of a cell.
    """

    def __init__(
        self, table: TextIO, tile: Tile, cell: Cells, device: MemoryDevice, share: float
    ) -> None:
        self._table, self._tile, self._cell, self._device = table, tile, cell, device
        self._low = cell.low.item()
        self._tolerance = share * (cell.high.item() - self._low)
        self._digits = 9 if tile.crossbar.conductance.dtype == np.float32 else 17

    def write(self, weights: WeightMap, start: Tile | None, chip: ChipSpecification) -> Totals:
        """Write all rows, and return what the pulses cost."""
        totals, costs, tile = Totals(), chip.built_costs, self._tile
        words, bits = tile.shape
        # Cells that are half-selected lie anywhere in the tile.
        at_once = words * bits if costs.access == "none" else CELLS_AT_ONCE
        others: Iterator[Block] | None = None if start is None else start.blocks(at_once)
        for block in weights.blocks(tile, at_once):
            before = np.full(block.target.shape, self._low)
            if others is not None:
                before = next(others).target.astype(np.float64)
            found = self._rows(block, before)
            given = np.maximum(found.pulses, 0).T, np.maximum(-found.pulses, 0).T
            held = np.nan_to_num(before).T, np.nan_to_num(found.expected).T
            cost = pulsed(costs, self._device, given, *held, events=1, lines=(bits, words))
            totals.add_block(
                cells=np.isfinite(block.target).sum(),
                set_pulses=given[0].sum(),
                reset_pulses=given[1].sum(),
                full_resets=found.erased.sum(),
                energy_J=cost.cells + cost.half_selected + cost.lines,
                time_s=cost.time,
            )
        return totals

    def _rows(self, block: Block, before: Array) -> Trains:
        """Write the cells of a block that hold a weight; stuck ones take no pulse."""
        used = np.isfinite(block.target)
        stuck = used & np.broadcast_to(block.stuck, used.shape)
        target = np.where(used, block.target, self._low).astype(np.float64)
        before[stuck] = target[stuck]
        found = trains(self._cell, np.where(used, before, self._low), target)
        moving = used & ~stuck
        found = Trains(
            erased=found.erased & moving,
            pulses=np.where(moving, found.pulses, 0.0),
            expected=np.where(moving, found.expected, np.where(used, target, np.nan)),
        )
        tile, device = self._tile, self._device
        up, down = (
            f"{voltage:.9g},{width:.9g}" if voltage and width else ","
            for voltage, width in (
                (device.pulse_voltage_up, device.pulse_width_up),
                (device.pulse_voltage_down, device.pulse_width_down),
            )
        )
        form = f"{{:.{self._digits}g}}"
        units = [(bit, unit) for bit, unit in enumerate(tile.units.tolist()) if unit != UNUSED]
        for row in range(len(target)):
            line = block.first + row
            carried = tile.inputs[line]
            if carried == UNUSED:
                continue
            columns = (before, target, found.expected, found.erased, found.pulses)
            start, wanted, reached, erased, pulses = (values[row].tolist() for values in columns)
            self._table.writelines(
                f"{tile.name},{line},{bit},{start[bit]:.9g},{form.format(wanted[bit])},"
                f"{self._tolerance:.9g},{reached[bit]:.9g},{erased[bit]:d},"
                f"{max(0.0, pulses[bit]):g},{up},{max(0.0, -pulses[bit]):g},{down},"
                f"u{unit}i{carried}\n"
                for bit, unit in units
            )
        return found
