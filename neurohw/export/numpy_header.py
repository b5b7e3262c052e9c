"""A C header: targets of each tile as a constant array, for firmware."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import ExportError
from neurohw.export import manifest
from neurohw.export.formats import Contents, Format, ReadTile
from neurohw.export.weight_map import WeightMap

Array = NDArray[Any]

_OPENING, _CLOSING = "/* Weight map, conductances in siemens:\n", "*/\n"
_ARRAY = re.compile(r"static const (\w+) (\w+)((?:\[\d+\])+) = \{\n")


class NumpyHeader(Format, frozen=True):
    """``TILE_G_TARGET[word line][bit line]``, and which input and unit each line has.

    Dashes in the names of tiles become underscores. Cells without a weight are NAN.
    """

    name = "numpy-header"
    description = "C header with constant arrays, for firmware"
    suffix = ".h"
    lossless = True

    def write(self, weights: WeightMap, out: Path) -> None:  # noqa: D102
        with out.open("w", encoding="utf-8") as file:
            # What would end the comment is escaped as JSON allows.
            about = manifest.to_text(weights).replace("*/", "*\\/")
            file.write(f"#pragma once\n#include <math.h>\n#include <stdint.h>\n{_OPENING}{about}")
            file.write(_CLOSING)
            for tile in weights.tiles():
                name, (words, bits) = _identifier(tile.name), tile.shape
                single = tile.crossbar.conductance.dtype == np.float32
                kind, digits, end = ("float", 8, "f") if single else ("double", 16, "")
                file.write(f"static const {kind} {name}_G_TARGET[{words}][{bits}] = {{\n")
                for block in weights.blocks(tile):
                    for line in block.target.tolist():
                        each = (f"{g:.{digits}e}{end}" if g == g else "NAN" for g in line)
                        file.write(f"{{{','.join(each)}}},\n")
                file.write("};\n")
                for key, lines in (("INPUT", tile.inputs), ("UNIT", tile.units)):
                    file.write(f"static const int32_t {name}_{key}[{len(lines)}] = {{\n")
                    file.write(f"{','.join(map(str, lines))}\n}};\n")

    def read(self, path: Path) -> Contents:  # noqa: D102
        try:
            with path.open(encoding="utf-8") as file:
                found = manifest.parse(_comment(file, path), path)
        except (OSError, UnicodeDecodeError) as error:
            raise manifest.unreadable(path, error) from None
        return manifest.contents(found, path, _tiles(found, path))


def _tiles(found: dict[str, Any], path: Path) -> Iterator[ReadTile]:
    with path.open(encoding="utf-8") as file:
        _comment(file, path)
        for name, words, bits in manifest.tiles_of(found, path):
            own = _identifier(name)
            target = _array(file, f"{own}_G_TARGET", (words, bits), path)
            inputs = _array(file, f"{own}_INPUT", (words,), path)
            units = _array(file, f"{own}_UNIT", (bits,), path)
            yield ReadTile(name=name, conductance=target, inputs=inputs, units=units)


def _comment(file: IO[str], path: Path) -> str:
    """Return the manifest, and leave the file behind it."""
    for line in file:
        if line == _OPENING:
            break
    lines: list[str] = []
    for line in file:
        if line == _CLOSING:
            return "".join(lines)
        lines.append(line)
    raise ExportError(f"{path}: has no comment with the weight map: is it cut off?")


def _array(file: IO[str], name: str, shape: tuple[int, ...], path: Path) -> Array:
    """Read the next array, which must be this one, up to its closing brace."""
    opening = _ARRAY.fullmatch(file.readline())
    dimensions = "".join(f"[{size}]" for size in shape)
    if opening is None or opening[2] != name or opening[3] != dimensions:
        raise ExportError(
            f"{path}: has no array {name}{dimensions} where it is due: is it cut off?"
        )
    dtype = {"float": np.float32, "double": np.float64}.get(opening[1], np.intp)
    values = np.empty((shape[0] if len(shape) > 1 else 1, shape[-1]), dtype)
    for k in range(len(values)):
        words = file.readline().strip("{},\n").replace("f", "").split(",")
        try:
            values[k] = [float(word) if len(shape) > 1 else int(word) for word in words]
        except ValueError:
            raise ExportError(
                f"{path}: {name}: line {k} has not {shape[-1]} numbers: is it cut off?"
            ) from None
    if file.readline() != "};\n":
        raise ExportError(f"{path}: {name}: does not end after {len(values)} lines")
    return values if len(shape) > 1 else values[0]


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)
