"""Formats of weight maps: what each one offers, and how they are found by name.

A format is a subclass of `Format` in a file of its own. Other packages add theirs by the entry
point group `neurohw.formats`, whose names are those of the formats.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import specification
from neurohw.errors import ConfigurationError, ExportError
from neurohw.export.weight_map import Lines, WeightMap

Array = NDArray[np.floating]

# Loaded when asked for: some formats need packages that others do without.
_FORMATS = {
    "arc-one": "neurohw.export.arc_one:ArcOne",
    "csv": "neurohw.export.csv_tables:CsvTables",
    "fusion-csv": "neurohw.export.fusion_csv:FusionCsv",
    "hdf5": "neurohw.export.hdf5:Hdf5",
    "measured": "neurohw.export.measured:Measured",
    "mem": "neurohw.export.mem:Mem",
    "nir": "neurohw.export.nir_graph:NirGraph",
    "npz": "neurohw.export.npz:Npz",
    "numpy-header": "neurohw.export.numpy_header:NumpyHeader",
    "pulses": "neurohw.export.pulses:Pulses",
    "spice": "neurohw.export.spice_netlist:SpiceNetlist",
}
_GROUP = "neurohw.formats"

# Fields of `weight_map.Layer` without which cells are not weights: [1/S] and [S] for the last two.
LAYER_FACTS = ("scheme", "units", "inputs", "scale", "reference")


@dataclass(frozen=True, eq=False, kw_only=True)
class ReadTile:
    """A tile as a file has it.

    Parameters
    ----------
    name : str
    conductance : (word lines, bit lines) array [S]
        NaN where the file has no cell.
    inputs, units : arrays of int, optional
        Of each line as the file says, `weight_map.UNUSED` where it says none; None where it says
        nothing of them, and then has any value in cells without a weight.
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
    layers : dict of dicts
        What the file says of each layer: values of `LAYER_FACTS`, by name.
    currents : dict of (units,) arrays [A]
        As `WeightMap.currents`.
    gains : dict of (units,) arrays
        Of amplifiers, by layer.
    measured : bool
        Whether cells were read out, and may be outside of their limits.
    logical : dict of pairs of arrays
        Of a format that holds no cells: weights (units, inputs) and biases (units,) by layer,
        dimensionless, which are programmed.
    """

    path: Path
    tiles: Iterator[ReadTile]
    chip: str | None = None
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    currents: Mapping[str, Array] = field(default_factory=dict)
    gains: Mapping[str, Array] = field(default_factory=dict)
    measured: bool = False
    logical: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)


class Format(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of file, or folder of files, that holds a weight map.

    The fields of a subclass, all with a default, are its options: ``--set bits=4``. Besides it
    sets:

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
        """Write a map to a path where nothing is yet; of a folder, into one with its manifest only.

        `writing.write` calls it, and gives file or folder its name once it is whole. Tiles are to
        be taken block by block from `WeightMap.blocks`, which tells how far it is.

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

    def notes(self, path: Path) -> list[str]:
        """Return what must be known of what was just written, in sentences."""
        return []

    def verify(self, weights: WeightMap, path: Path) -> tuple[bool, str] | None:
        """Check what was written in a way of the format's own, if it has one.

        Returns
        -------
        (bool, str) or None
            Whether it is the map, and how near, in words; None: it is read back instead.
        """
        return None


def names() -> list[str]:
    """Sorted names of all formats."""
    return sorted({*_FORMATS, *(point.name for point in entry_points(group=_GROUP))})


def load(name: str, settings: Sequence[str] = ()) -> Format:
    """Return a format by its name, with options given as ``key=value``.

    Raises
    ------
    ConfigurationError
        There is no such format, or it has no such option; names the nearest.
    """
    found: Any = None
    if name in _FORMATS:
        module, _, member = _FORMATS[name].partition(":")
        found = getattr(importlib.import_module(module), member)
    for point in entry_points(group=_GROUP, name=name):
        found = found or point.load()
    if found is None:
        hint = specification.nearest(name, names())
        raise ConfigurationError(f'format = "{name}": unknown; {hint}')
    if not (isinstance(found, type) and issubclass(found, Format)):
        raise ConfigurationError(f'format = "{name}": {found!r} is no subclass of Format')
    options: specification.Table = {}
    for setting in settings:
        specification.apply(options, setting)
    return specification.read(options, found, where=f"format {name}")


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
