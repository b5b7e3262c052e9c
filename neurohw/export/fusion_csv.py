"""The CSV files that IBM's analog hardware acceleration kit exchanges with the Fusion chip.

Five lines of heads have an entry a layer: id, class, number of weights, height (outputs) and width
(inputs). A line of the layers' names follows, then a line a layer with its target conductances in
microsiemens, output by output. Here each tile of a map is a layer of that file: bit lines are its
outputs, word lines its inputs, and lines without a weight are 0. The kit would write one unsigned
conductance a weight and keep signs and scales to itself; here both cells of a pair are there, and
signs and scales are those of the run.

References
----------
aihwkit, `aihwkit.utils.export` (fusion_export and fusion_import, since 0.9.0) and
`aihwkit.inference.converter.fusion`: conductances of 0 to 40 µS.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import ExportError
from neurohw.export import manifest
from neurohw.export.formats import Contents, Format, ReadTile
from neurohw.export.weight_map import WeightMap

Array = NDArray[np.floating]

MICRO = 1e-6
LARGEST = 40e-6
_CLASS = "AnalogLinear"
_HEADS = ("id", "class", "num_weights", "height", "width")


class FusionCsv(Format, frozen=True):
    """One file; conductances only, no limits, signs or scales."""

    name = "fusion-csv"
    description = "CSV for IBM's Fusion chip, as aihwkit writes it; microsiemens, tile by tile"
    suffix = ".csv"

    def write(self, weights: WeightMap, out: Path) -> None:  # noqa: D102
        tiles = list(weights.tiles())
        for crossbar in weights.crossbars:
            if np.min(crossbar.conductance) < 0:
                raise ExportError(
                    f"format = fusion-csv: {crossbar.name}: has negative conductances"
                )
        shapes = [tile.shape for tile in tiles]
        with out.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(range(1, len(tiles) + 1))
            rows.writerow([_CLASS] * len(tiles))
            rows.writerow(words * bits for words, bits in shapes)
            rows.writerow(bits for _, bits in shapes)
            rows.writerow(words for words, _ in shapes)
            rows.writerow(tile.name for tile in tiles)
            for tile in tiles:
                # Output by output needs every word line: a tile at once.
                (block,) = weights.blocks(tile, tile.shape[0] * tile.shape[1])
                values = np.nan_to_num(block.target.T.astype(np.float64)) / MICRO
                for k, output in enumerate(values):
                    file.write("," * (k > 0) + ",".join(map(repr, output.tolist())))
                file.write("\n")

    def read(self, path: Path) -> Contents:  # noqa: D102
        return Contents(path=path, tiles=_tiles(path))

    def notes(self, path: Path) -> list[str]:
        """Return what the Fusion chip would not take."""
        largest = max(float(np.max(tile.conductance)) for tile in _tiles(path))
        if largest <= LARGEST:
            return []
        return [
            f"The largest conductance is {largest / MICRO:.4g} uS; the Fusion chip takes 40 uS."
        ]


def _tiles(path: Path) -> Iterator[ReadTile]:
    """Yield the layers of a file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            heads = {key: next(rows, []) for key in _HEADS}
            names = next(rows, [])
            for key, values in heads.items():
                if len(values) != len(names) or not names:
                    raise ExportError(
                        f"{path}: {key}: {len(values)} entries for {len(names)} layers: is the file"
                        " cut off?"
                    )
            for k, name in enumerate(names):
                sizes = {key: heads[key][k] for key in _HEADS[2:]}
                yield _tile(name, sizes, next(rows, []), path)
            if any(rows):
                raise ExportError(f"{path}: line {rows.line_num}: there are more lines than layers")
            file.seek(0, os.SEEK_END)
            file.seek(max(file.tell() - 1, 0))
            if file.read() != "\n":
                raise ExportError(f"{path}: does not end with a line: is the file cut off?")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise manifest.unreadable(path, error) from None


def _tile(name: str, sizes: dict[str, str], row: list[str], path: Path) -> ReadTile:
    try:
        count, height, width = (int(sizes[key]) for key in _HEADS[2:])
    except ValueError as error:
        raise ExportError(f"{path}: layer {name}: {error}") from None
    if min(height, width) < 1 or count != height * width or len(row) != count:
        raise ExportError(
            f"{path}: layer {name}: {len(row)} conductances: num_weights = {count}, height ="
            f" {height}, width = {width}"
        )
    try:
        values = np.array([float(text) for text in row]).reshape(height, width) * MICRO
    except ValueError as error:
        raise ExportError(f"{path}: layer {name}: {error}") from None
    if not np.isfinite(values).all():
        raise ExportError(f"{path}: layer {name}: a conductance is not finite")
    # Microsiemens and back may round, in the last of 16 digits.
    return ReadTile(name=name, conductance=values.T, rounding=1e-15 * float(np.max(values)))
