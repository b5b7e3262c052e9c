"""CSV: one long table of all cells with a weight, and a dense matrix a tile."""

from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from neurohw.export import long_table, manifest
from neurohw.export.formats import Contents, Format
from neurohw.export.weight_map import UNUSED, Block, Tile, WeightMap

Array = NDArray[np.floating]

COLUMNS = "array,word_line,bit_line,g_target_S,g_min_S,g_max_S,weight,role"
TABLE = "cells.csv"


class CsvTables(Format, frozen=True):
    """``cells.csv``, the long table; ``TILE.csv``, a matrix each; and ``map.json``."""

    name = "csv"
    description = "a table of all cells, and a dense matrix a tile"
    folder = True
    lossless = True

    def write(self, weights: WeightMap, out: Path) -> None:  # noqa: D102
        with (out / TABLE).open("w", encoding="utf-8") as table:
            table.write(COLUMNS + "\n")
            for tile in weights.tiles():
                digits = 9 if tile.crossbar.conductance.dtype == np.float32 else 17
                with (out / f"{tile.name}.csv").open("w", encoding="utf-8") as matrix:
                    for block in weights.blocks(tile):
                        _write(block, tile, digits, table, matrix)

    def read(self, path: Path) -> Contents:  # noqa: D102
        found = manifest.of_folder(path)
        cells = long_table.read(path / TABLE, "g_target_S")
        return manifest.contents(found, path / TABLE, cells)


def _write(block: Block, tile: Tile, digits: int, table: TextIO, matrix: TextIO) -> None:
    """Add a block to the long table and to the matrix of its tile."""
    name, role = tile.name, tile.crossbar.role
    used = [(k, unit) for k, unit in enumerate(tile.units.tolist()) if unit != UNUSED]
    alike = block.low.size == block.high.size == 1
    limits = f"{block.low.item():.9g},{block.high.item():.9g}" if alike else ""
    lows, highs = (np.broadcast_to(g, block.target.shape) for g in (block.low, block.high))
    for row, values in enumerate(block.target.tolist()):
        texts = [f"{g:.{digits}g}" for g in values]
        matrix.write(",".join(texts) + "\n")
        line = block.first + row
        carried = tile.inputs[line]
        if carried == UNUSED:
            continue
        if not alike:
            low, high = lows[row].tolist(), highs[row].tolist()
        table.writelines(
            f"{name},{line},{bit},{texts[bit]},"
            f"{limits or f'{low[bit]:.9g},{high[bit]:.9g}'},u{unit}i{carried},{role}\n"
            for bit, unit in used
        )
