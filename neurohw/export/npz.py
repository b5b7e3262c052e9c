"""Plain arrays in a NumPy archive: five a tile, and the manifest as JSON."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import ExportError
from neurohw.export import manifest
from neurohw.export.formats import Contents, Format, ReadTile
from neurohw.export.weight_map import WeightMap

Array = NDArray[Any]

_DAMAGED = (
    *(OSError, ValueError, LookupError, EOFError, TypeError, AttributeError),
    *(zipfile.BadZipFile, zlib.error),
)


class Npz(Format, frozen=True):
    """``TILE.g_target``, ``.g_min``, ``.g_max``, ``.input``, ``.unit`` a tile, and ``map``."""

    name = "npz"
    description = "plain arrays in a NumPy archive, and a description as JSON"
    suffix = ".npz"
    lossless = True

    def write(self, weights: WeightMap, out: Path) -> None:  # noqa: D102
        with zipfile.ZipFile(out, "w") as archive:
            text = manifest.to_text(weights).encode()
            _member(archive, "map", [np.frombuffer(text, np.uint8)], (len(text),))
            for tile in weights.tiles():
                crossbar, shape = tile.crossbar, tile.shape
                targets = (block.target for block in weights.blocks(tile))
                _member(archive, f"{tile.name}.g_target", targets, shape)
                for key, limit in (("low", "g_min"), ("high", "g_max")):
                    each = (getattr(block, key) for block in tile.blocks())
                    if getattr(crossbar, key).size == 1 < crossbar.conductance.size:
                        _member(archive, f"{tile.name}.{limit}", [getattr(crossbar, key)], (1, 1))
                    else:
                        _member(archive, f"{tile.name}.{limit}", each, shape)
                for name, lines in (("input", tile.inputs), ("unit", tile.units)):
                    values = lines.astype(np.int32)
                    _member(archive, f"{tile.name}.{name}", [values], values.shape)

    def read(self, path: Path) -> Contents:  # noqa: D102
        with _opened(path) as archive:
            found = manifest.parse(archive["map"].tobytes(), path)
        return manifest.contents(found, path, _tiles(found, path))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open an archive, and say so where it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ExportError(f"{path}: is a single array, no archive")
            yield archive
    except _DAMAGED as error:
        raise _unreadable(path, error) from error


def _tiles(found: dict[str, Any], path: Path) -> Iterator[ReadTile]:
    with _opened(path) as archive:
        for name, *_ in manifest.tiles_of(found, path):
            yield ReadTile(
                name=name,
                conductance=archive[f"{name}.g_target"],
                inputs=archive[f"{name}.input"].astype(np.intp),
                units=archive[f"{name}.unit"].astype(np.intp),
            )


def _member(archive: zipfile.ZipFile, name: str, parts: Any, shape: tuple[int, ...]) -> None:
    """Write an array whose rows come part by part."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        for k, part in enumerate(parts):
            if k == 0:
                header = {"descr": part.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(part).data)


def _unreadable(path: Path, error: BaseException) -> ExportError:
    if isinstance(error, ExportError):
        return error
    reason = getattr(error, "strerror", None) or str(error)
    return ExportError(f"{path}: not a readable archive: {' '.join(reason.split())}")
