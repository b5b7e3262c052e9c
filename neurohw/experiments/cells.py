"""Cells of crossbars that do not work as the device should, and those that tiles have besides."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip import CrossbarArray
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.mappings.signed_scale import scheme_of

Record = Mapping[str, NDArray[Any]]

HEADS = (
    "Array",
    "Tiles",
    "Stuck cells",
    "Left",
    "Word lines replaced",
    "Bit lines replaced",
    "Unused cells",
)


class Tiled(msgspec.Struct, frozen=True, kw_only=True):
    """The tiles of a crossbar.

    array, that it belongs to, and crossbar of that array count from 1. tiles, along the units and
    along the inputs. stuck, cells as fabricated, and left of them after word_lines and bit_lines
    were replaced by spare ones. unused, cells of padding and spare lines.
    """

    array: int
    crossbar: int
    tiles: tuple[int, int]
    stuck: int
    left: int
    word_lines: int
    bit_lines: int
    unused: int


def tiled(records: Sequence[Record], chip: ChipSpecification) -> list[Tiled]:
    """Return the tiles of the crossbars of arrays, given what a run file holds of these.

    Nothing where each array is one tile without spare lines.
    """
    found = []
    for array, record in enumerate(records, start=1):
        units, inputs = record["conductance"].shape
        tiling = chip.tiling(units, inputs)
        if tiling.tile is None and not tiling.spare:
            continue
        bits, words = tiling.lines
        ends = [""]
        if "g_min" not in record:
            ends = [f"_{k}" for k in range(len(scheme_of(chip).coefficients))]
        for crossbar, end in enumerate(ends, start=1):
            left = int(np.count_nonzero(record[f"g_min{end}"] == record[f"g_max{end}"]))
            none = np.zeros(0, np.int32)
            found.append(
                Tiled(
                    array=array,
                    crossbar=crossbar,
                    tiles=tiling.tiles,
                    stuck=int(record.get(f"stuck_unrepaired{end}", left)),
                    left=left,
                    word_lines=int(np.sum(record.get(f"word_lines{end}", none) >= words)),
                    bit_lines=int(np.sum(record.get(f"bit_lines{end}", none) >= bits)),
                    unused=tiling.unused,
                )
            )
    return found


def rows(found: Sequence[Tiled]) -> list[tuple[str, ...]]:
    """Return a table for people, its heads first."""
    several = any(each.crossbar > 1 for each in found)
    table: list[tuple[str, ...]] = [HEADS]
    for each in found:
        counts = each.stuck, each.left, each.word_lines, each.bit_lines, each.unused
        name = f"{each.array}.{each.crossbar}" if several else f"{each.array}"
        bits, words = each.tiles
        table.append((name, f"{bits} × {words}", *(f"{count:,}" for count in counts)))
    return table


def warnings(arrays: Sequence[CrossbarArray]) -> list[str]:
    """Return how many cells of each crossbar, counted from 1, are stuck or had limits mended."""
    lines = []
    for number, array in enumerate(arrays, start=1):
        cells, size = array.cells, array.values().size
        if cells.stuck:
            repaired = "" if cells.repair is None else f", {cells.repair.stuck:,} before repair"
            lines.append(
                f"crossbar {number}: {cells.stuck:,} of {size:,} cells are stuck{repaired}"
            )
        if cells.crossed:
            lines.append(
                f"crossbar {number}: spread makes the limits of {cells.crossed:,} of {size:,}"
                " cells cross: each has 1 % of the range instead"
            )
    return lines
