"""What the formats without attributes of their own say of a map beside its numbers, as JSON."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurohw.errors import ExportError
from neurohw.experiments import run_file
from neurohw.export.formats import LAYER_FACTS, Contents, ReadTile
from neurohw.export.weight_map import Crossbar, Layer, WeightMap, tile_name

# The manifest in every folder; marks it as an export, which may be replaced.
MARK = "map.json"
FORMAT = "neurohw weight map"
SCHEMA_VERSION = 1
ORIENTATION = "rows are word lines (inputs), columns are bit lines (units), both counted from 0"
_KEYS = {"scale": "scale_per_S", "reference": "reference_S"}
EQUATION = "weight = scale * gain[unit] * (sum of coefficient * conductance - reference)"


def manifest(weights: WeightMap) -> dict[str, Any]:
    """Return all but the cells of a map; conductances in siemens, null where there is no limit."""
    experiment = weights.run.experiment
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "orientation": ORIENTATION,
        "equation": EQUATION,
        "recipe": experiment.recipe,
        "chip": experiment.chip.name,
        "device": experiment.chip.device.name,
        "seed": experiment.training.seed,
        "checksum": run_file.checksum(weights.run),
        "layers": [_layer(layer) for layer in weights.layers],
        "currents_A": {name: values.tolist() for name, values in weights.currents.items()},
    }


def to_text(weights: WeightMap) -> str:
    """Return the manifest of a map as JSON."""
    return json.dumps(manifest(weights), indent=1, allow_nan=False) + "\n"


def parse(text: str | bytes, path: Path) -> dict[str, Any]:
    """Return the manifest of a text; `ExportError` if it is none, or of a newer schema."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ExportError(f"{path}: is not JSON: {error}") from None
    kind = found.get("format") if isinstance(found, dict) else None
    if kind != FORMAT:
        raise ExportError(f"{path}: format: {kind!r} is not {FORMAT!r}")
    require_version(found.get("schema_version"), path)
    return dict(found)


def of_folder(folder: Path) -> dict[str, Any]:
    """Return the manifest in an exported folder; `ExportError` if there is none."""
    path = folder / MARK
    try:
        text = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    return parse(text, path)


def contents(found: dict[str, Any], path: Path, tiles: Iterator[ReadTile]) -> Contents:
    """Return what a file holds, given its manifest and its tiles."""
    try:
        return Contents(
            path=path,
            tiles=tiles,
            chip=str(found["chip"]),
            layers={
                layer["name"]: {key: layer[_KEYS.get(key, key)] for key in LAYER_FACTS}
                for layer in found["layers"]
            },
            currents={
                name: np.array(values, float) for name, values in found["currents_A"].items()
            },
            gains={
                layer["name"]: np.array(layer["gains"] or [1.0] * layer["units"], float)
                for layer in found["layers"]
            },
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"{path}: the manifest is damaged: {error!r}") from None


def tiles_of(found: dict[str, Any], path: Path) -> list[tuple[str, int, int]]:
    """Return name, word lines and bit lines of every tile that a manifest lists."""
    try:
        return [
            (tile_name(each["name"], *place), int(each["word_lines"]), int(each["bit_lines"]))
            for layer in found["layers"]
            for each in layer["crossbars"]
            for place in np.ndindex(*each["tiles"])
        ]
    except (LookupError, TypeError, ValueError) as error:
        raise ExportError(f"{path}: the manifest is damaged: {error!r}") from None


def require_version(version: Any, path: Path) -> None:
    """Raise `ExportError` for a schema that this version does not know."""
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise ExportError(
            f"{path}: schema_version: {version} is not one that this neurohw reads (1 to"
            f" {SCHEMA_VERSION}); update neurohw"
        )


def unreadable(path: Path, error: Exception) -> ExportError:
    """Return the error, in a line, of a file that cannot be read."""
    reason = getattr(error, "strerror", None) or str(error)
    return ExportError(f"{path}: cannot be read: {' '.join(reason.split())}")


def finite(value: float | None) -> float | None:
    """Return a number that JSON has; None for one that is not finite."""
    return value if value is not None and math.isfinite(value) else None


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "scheme": layer.scheme,
        "units": layer.units,
        "inputs": layer.inputs,
        "paired_inputs": layer.paired,
        "scale_per_S": layer.scale,
        "reference_S": layer.reference,
        "gains": None if (layer.gains == 1).all() else layer.gains.tolist(),
        "crossbars": [_crossbar(crossbar) for crossbar in layer.crossbars],
    }


def _crossbar(crossbar: Crossbar) -> dict[str, Any]:
    low, high = crossbar.window
    return {
        "name": crossbar.name,
        "role": crossbar.role,
        "coefficient": crossbar.coefficient,
        "g_min_S": finite(low),
        "g_max_S": finite(high),
        "tolerance_S": crossbar.tolerance,
        "tiles": list(crossbar.tiling.tiles),
        "word_lines": crossbar.tile(0, 0).shape[0],
        "bit_lines": crossbar.tile(0, 0).shape[1],
    }
