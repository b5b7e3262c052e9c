"""The native format: HDF5, schema 1; see docs/export-weight-maps.md."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurohw.errors import ExportError
from neurohw.experiments.configuration import to_json
from neurohw.export import manifest
from neurohw.export.formats import LAYER_FACTS, Contents, Format, ReadTile
from neurohw.export.weight_map import Crossbar, Layer, WeightMap, tile_name

Array = NDArray[Any]

_AXES = "tile row, tile column, word line, bit line"
_DAMAGED = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)


class Hdf5(Format, frozen=True):
    """A group a layer, in it one a crossbar, in it one array a quantity; units as attributes."""

    name = "hdf5"
    description = "native map, with limits, stuck cells, scheme and configuration"
    suffix = ".h5"
    lossless = True

    def write(self, weights: WeightMap, out: Path) -> None:  # noqa: D102
        about = manifest.manifest(weights)
        content = BytesIO()
        with h5py.File(content, "w", libver="v110") as file:
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
                    _write_crossbar(group, crossbar, weights)
        out.write_bytes(content.getbuffer())

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
                layers={
                    name: {key: _fact(layer.attrs[key]) for key in LAYER_FACTS}
                    for name, layer in file["layers"].items()
                },
                currents={name: values[...] for name, values in file["currents"].items()},
                gains={name: layer["gains"][...] for name, layer in file["layers"].items()},
            )


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a map, and say so where it is damaged."""
    if not path.is_file():
        raise ExportError(f"{path}: no such file")
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


def _write_crossbar(layer: h5py.Group, crossbar: Crossbar, weights: WeightMap) -> None:
    """Write all tiles of a crossbar, which are of one size, into one dataset a quantity."""
    group = layer.create_group(crossbar.name)
    group.attrs["role"] = _text(crossbar.role)
    group.attrs["coefficient"] = crossbar.coefficient
    group.attrs["g_min"], group.attrs["g_max"] = crossbar.window
    if crossbar.tolerance is not None:
        group.attrs["tolerance"] = crossbar.tolerance
    group.attrs["conductance_unit"] = _text("S")
    tiles, g = crossbar.tiling.tiles, crossbar.conductance
    shape = *tiles, *crossbar.tile(0, 0).shape
    cells = {"g_target": g, "g_min": crossbar.low, "g_max": crossbar.high}
    sets, each = {}, []
    for key, values in cells.items():
        alike = values.size == 1 < g.size
        sets[key] = group.create_dataset(key, (1, 1, 1, 1) if alike else shape, values.dtype)
        sets[key].attrs["unit"], sets[key].attrs["axes"] = _text("S"), _text(_AXES)
        if alike:
            sets[key][...] = values
        else:
            each.append(key)
    lines = {"input": np.empty(shape[:3], np.int32), "unit": np.empty((*tiles, shape[3]), np.int32)}
    stuck = [np.zeros((0, 4), np.int32)]
    for tile in crossbar.tiles():
        place = tile.row, tile.column
        lines["input"][place], lines["unit"][place] = tile.inputs, tile.units
        for block in weights.blocks(tile):
            parts = {"g_target": block.target, "g_min": block.low, "g_max": block.high}
            for key in each:
                _put(sets[key], (*place, block.first, 0), parts[key])
            if "g_min" in each or "g_max" in each:
                word, bit = np.nonzero(block.stuck)
                found = np.full((len(word), 4), (*place, 0, 0))
                found[:, 2], found[:, 3] = word + block.first, bit
                stuck.append(found)
    _dataset(group, "input", lines["input"], axes="tile row, tile column, word line")
    _dataset(group, "unit", lines["unit"], axes="tile row, tile column, bit line")
    _dataset(group, "stuck", np.concatenate(stuck).astype(np.int32), axes=f"cell, ({_AXES})")


def _tiles(path: Path) -> Iterator[ReadTile]:
    with _opened(path) as file:
        for layer in file["layers"].values():
            for name, crossbar in layer.items():
                if not isinstance(crossbar, h5py.Group):
                    continue
                inputs, units = crossbar["input"][...], crossbar["unit"][...]
                for row, column in np.ndindex(*inputs.shape[:2]):
                    yield ReadTile(
                        name=tile_name(name, row, column),
                        conductance=crossbar["g_target"][row, column],
                        inputs=inputs[row, column].astype(np.intp),
                        units=units[row, column].astype(np.intp),
                    )


def _put(dataset: h5py.Dataset, first: tuple[int, ...], values: Array) -> None:
    """Write some lines of a tile; h5py's own indexing takes longer than small tiles do."""
    shape = (1,) * (len(first) - values.ndim) + values.shape
    place = dataset.id.get_space()
    place.select_hyperslab(first, shape)
    dataset.id.write(h5py.h5s.create_simple(shape), place, np.ascontiguousarray(values))


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


def _fact(value: Any) -> Any:
    return _string(value) if isinstance(value, bytes) else value


def _unreadable(path: Path, error: BaseException) -> ExportError:
    if isinstance(error, ExportError):
        return error
    reason = getattr(error, "strerror", None) or str(error)
    return ExportError(f"{path}: not a readable weight map: {' '.join(reason.split())}")
