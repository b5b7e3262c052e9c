"""Formats of weight maps: what each one offers, and how they are found by name.

A format is a subclass of `Format` in a file of its own. Other packages add theirs by the entry
point group `neurohw.formats`, whose names are those of the formats.
"""

import difflib
import importlib
from abc import ABC
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import ConfigurationError, ExportError
from neurohw.export.weight_map import Lines, WeightMap

Array = NDArray[np.floating]

# Loaded when asked for: some formats need packages that others do without.
_FORMATS = {
    "hdf5": "neurohw.export.hdf5:Hdf5",
}
_GROUP = "neurohw.formats"


@dataclass(frozen=True, eq=False, kw_only=True)
class ReadTile:
    """A tile as a file has it.

    Parameters
    ----------
    name : str
    conductance : (word lines, bit lines) array [S]
        NaN where the file has no cell.
    inputs, units : arrays of int, optional
        Of each line as the file says, `weight_map.UNUSED` where it says none; None where the format
        does not.
    rounding : float [S]
        How far a value may be off the one that was written.
    """

    name: str
    conductance: Array
    inputs: Lines | None = None
    units: Lines | None = None
    rounding: float = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Contents:
    """What a format reads.

    Parameters
    ----------
    path : Path
        For errors.
    tiles : iterator of ReadTile
        Read one by one, in any order.
    chip : str, optional
        Name of the chip that the file was written for.
    currents : dict of (units,) arrays [A]
        As `WeightMap.currents`.
    gains : dict of (units,) arrays
        Of amplifiers, by layer.
    """

    path: Path
    tiles: Iterator[ReadTile]
    chip: str | None = None
    currents: Mapping[str, Array] = field(default_factory=dict)
    gains: Mapping[str, Array] = field(default_factory=dict)


class Format(ABC):
    """A kind of file, or folder of files, that holds a weight map.

    A subclass sets:

    name : str
        That of its entry point.
    description : str
        What it is, in a line.
    folder : bool
        Whether it is a folder of files.
    suffix : str
        Of the file that is proposed.
    lossless : bool
        Whether what is read is bit for bit what was written.
    writes, reads : bool
        Which ways it goes.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    folder: ClassVar[bool] = False
    suffix: ClassVar[str] = ""
    lossless: ClassVar[bool] = False
    writes: ClassVar[bool] = True
    reads: ClassVar[bool] = True

    def write(self, weights: WeightMap, out: Path) -> None:
        """Write a map to a path where nothing is yet; of a folder, into an empty one.

        Whoever calls gives the file its name once it is whole (`writing.write`). Tiles are to be
        taken block by block from `WeightMap.blocks`, which tells how far it is.

        Raises
        ------
        ExportError
            The format cannot hold this map.
        """
        raise ExportError(f"{out}: format = {self.name}: is read only")

    def read(self, path: Path) -> Contents:
        """Read what `write` wrote.

        Raises
        ------
        ExportError
            The file is damaged, or is none of this format; one line with file and place.
        """
        raise ExportError(f"{path}: format = {self.name}: is written only")


def names() -> list[str]:
    """Sorted names of all formats."""
    return sorted({*_FORMATS, *(point.name for point in entry_points(group=_GROUP))})


def load(name: str) -> Format:
    """Return a format by its name; `ConfigurationError` with the nearest name if there is none."""
    if name in _FORMATS:
        module, _, member = _FORMATS[name].partition(":")
        found: type[Format] = getattr(importlib.import_module(module), member)
        return found()
    for point in entry_points(group=_GROUP, name=name):
        return _checked(point.name, point.load())
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names())}"
    raise ConfigurationError(f'format = "{name}": unknown; {hint}')


def available() -> list[dict[str, Any]]:
    """Name, description and what each format can do."""
    return [
        {
            "name": name,
            "description": form.description,
            "lossless": form.lossless,
            "writes": form.writes,
            "reads": form.reads,
        }
        for name in names()
        for form in [load(name)]
    ]


def _checked(name: str, found: Any) -> Format:
    if not (isinstance(found, type) and issubclass(found, Format)):
        raise ConfigurationError(f'format = "{name}": {found!r} is no subclass of Format')
    return found()
