"""The native format: HDF5, schema 1; see docs/export-weight-maps.md."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurohw.errors import ExportError
from neurohw.experiments.configuration import to_json
from neurohw.export import manifest
from neurohw.export.formats import Contents, Format, ReadTile
from neurohw.export.weight_map import Crossbar, Layer, Tile, WeightMap

Array = NDArray[Any]

_AXES = "word line, bit line"
_DAMAGED = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)


class Hdf5(Format, frozen=True):
    """A group a layer, in it one a crossbar, in it one a tile; units as attributes."""

    name = "hdf5"
    description = "native map, with limits, stuck cells, scheme and configuration"
    suffix = ".h5"
    lossless = True

    def write(self, weights: WeightMap, out: Path) -> None:  # noqa: D102
        about = manifest.manifest(weights)
        with h5py.File(out, "w", libver="v110", locking=False) as file:
            for key in ("format", "orientation", "equation", "recipe", "chip", "checksum"):
                file.attrs[key] = _text(about[key])
            file.attrs["schema_version"] = manifest.SCHEMA_VERSION
            file["experiment"] = _text(to_json(weights.run.experiment))
            layers, currents = file.create_group("layers"), file.create_group("currents")
            for name, values in weights.currents.items():
                _dataset(currents, name, values, unit="A", axes="unit")
            for layer in weights.layers:
                group = _describe_layer(layers, layer)
                for crossbar in layer.crossbars:
                    within = _describe_crossbar(group, crossbar)
                    for tile in crossbar.tiles():
                        _write_tile(within.create_group(tile.name), tile, weights)

    def read(self, path: Path) -> Contents:  # noqa: D102
        with _opened(path) as file:
            found = _string(file.attrs.get("format", ""))
            if found != manifest.FORMAT:
                raise ExportError(f"{path}: format: {found!r} is not {manifest.FORMAT!r}")
            manifest.require_version(int(file.attrs.get("schema_version", 0)), path)
            return Contents(
                path=path,
                tiles=_tiles(path),
                chip=_string(file.attrs["chip"]),
                currents={name: values[...] for name, values in file["currents"].items()},
                gains={name: layer["gains"][...] for name, layer in file["layers"].items()},
            )


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a map, and say so where it is damaged."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except _DAMAGED as error:
        raise _unreadable(path, error) from error


def _describe_layer(layers: h5py.Group, layer: Layer) -> h5py.Group:
    group = layers.create_group(layer.name)
    group.attrs["scheme"] = _text(layer.scheme)
    group.attrs["paired_inputs"] = layer.paired
    for key in ("units", "inputs"):
        group.attrs[key] = getattr(layer, key)
    for key, value, unit in (("scale", layer.scale, "1/S"), ("reference", layer.reference, "S")):
        group.attrs[key] = value
        group.attrs[f"{key}_unit"] = _text(unit)
    _dataset(group, "gains", layer.gains, unit="1", axes="unit")
    return group


def _describe_crossbar(layer: h5py.Group, crossbar: Crossbar) -> h5py.Group:
    group = layer.create_group(crossbar.name)
    group.attrs["role"] = _text(crossbar.role)
    group.attrs["coefficient"] = crossbar.coefficient
    group.attrs["g_min"], group.attrs["g_max"] = crossbar.window
    if crossbar.tolerance is not None:
        group.attrs["tolerance"] = crossbar.tolerance
    group.attrs["conductance_unit"] = _text("S")
    return group


def _write_tile(group: h5py.Group, tile: Tile, weights: WeightMap) -> None:
    crossbar = tile.crossbar
    _dataset(group, "input", tile.inputs.astype(np.int32), axes="word line")
    _dataset(group, "unit", tile.units.astype(np.int32), axes="bit line")
    each = {
        "g_target": crossbar.conductance,
        "g_min": crossbar.low,
        "g_max": crossbar.high,
    }
    sets = {}
    for key, values in each.items():
        whole = values.size > 1 or crossbar.conductance.size == 1
        dataset = group.create_dataset(key, tile.shape if whole else (1, 1), values.dtype)
        dataset.attrs["unit"], dataset.attrs["axes"] = _text("S"), _text(_AXES)
        sets[key] = dataset
    stuck = []
    for block in weights.blocks(tile):
        rows = slice(block.first, block.first + len(block.target))
        parts = {"g_target": block.target, "g_min": block.low, "g_max": block.high}
        for key, values in parts.items():
            sets[key][rows if len(sets[key]) == tile.shape[0] else slice(0, 1)] = values
        if block.low.size == block.target.size:
            stuck.append(np.argwhere(block.stuck) + np.array([block.first, 0]))
    cells = np.concatenate(stuck) if stuck else np.zeros((0, 2))
    _dataset(group, "stuck", cells.astype(np.int32), axes="cell, (word line, bit line)")


def _tiles(path: Path) -> Iterator[ReadTile]:
    with _opened(path) as file:
        for layer in file["layers"].values():
            for crossbar in (member for member in layer.values() if isinstance(member, h5py.Group)):
                for name, tile in crossbar.items():
                    yield ReadTile(
                        name=name,
                        conductance=tile["g_target"][...],
                        inputs=tile["input"][...].astype(np.intp),
                        units=tile["unit"][...].astype(np.intp),
                    )


def _dataset(group: h5py.Group, key: str, values: Array, *, unit: str = "", axes: str) -> None:
    dataset = group.create_dataset(key, data=values)
    if unit:
        dataset.attrs["unit"] = _text(unit)
    dataset.attrs["axes"] = _text(axes)


def _text(text: str) -> Array:
    """Text of fixed length, as in a run file."""
    content = text.encode()
    return np.array(content, dtype=h5py.string_dtype("utf-8", max(len(content), 1)))


def _string(text: Any) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)


def _unreadable(path: Path, error: BaseException) -> ExportError:
    if isinstance(error, ExportError):
        return error
    reason = getattr(error, "strerror", None) or str(error)
    return ExportError(f"{path}: not a readable weight map: {' '.join(reason.split())}")
