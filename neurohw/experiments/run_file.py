"""The file that holds one run, finished or to be resumed: HDF5, schema 1, replaced atomically."""

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurohw.datasets import Dataset
from neurohw.errors import NeurohwError, RunFileError
from neurohw.experiments.configuration import from_json, to_json
from neurohw.experiments.experiment import Experiment

Array = NDArray[Any]

SCHEMA_VERSION = 1
FORMAT = "neurohw run"

UNITS = {
    "conductance": "S",
    "unit_sums": "S",
    "input_sums": "S",
    "unit_coupling": "S",
    "input_coupling": "S",
    "unit_coupling_rest": "S",
    "input_coupling_rest": "S",
    "wire_rest": "S",
    "state": "S",
    "main_conductance": "S",
    "main_state": "S",
    "fast_conductance": "S",
    "fast_g_min": "S",
    "fast_g_max": "S",
    "fast_state": "S",
    "accumulated": "S",
    "momentum": "S",
    "second_momentum": "S²",
    "g_min": "S",
    "g_max": "S",
    "age": "s",
    "current": "A",
    "pending": "A",
    "voltage": "V",
    "voltage_p90": "V",
    "difference": "V",
    "power": "W",
    "bias_power": "W",
    "learning_rate": "S/V²",
    "seconds_per_epoch": "s",
    "state_range": "V",
    "state_dac_range": "V",
    "error_range": "V",
    "error_dac_range": "V",
    "difference_range": "V",
    "nudge_range": "V",
}
PER_CELL = "unit, input"
# Of the lines of tiles that hold an array.
_AXES = {
    f"{cells}{lines}": axes
    for cells in ("", "fast_")
    for lines, axes in (("word_lines", "tile, input"), ("bit_lines", "unit, tile"))
}


@dataclass(kw_only=True, eq=False)
class Run:
    """Everything that a run file holds, as plain data in SI units.

    Parameters
    ----------
    experiment : Experiment
        The resolved configuration.
    dataset : dict of str
        `name` and `checksum` of the data; `image_shape` of an image, as text: 3×32×32.
    arrays : list of dict of arrays
        One a crossbar, from input to output. Each holds `conductance` (units, inputs) [S] and
        may hold `pulses` and per-cell device parameters of that shape.
    biases : list of dict of arrays
        One a layer of units.
    beside : dict of dict of arrays
        As `arrays`, of those that stand beside the layers', each by its group and number:
        `feedback_0`; empty where there are none.
    state : dict of arrays
        What a resume needs to continue bit for bit.
    counters : dict of int
        `epoch` (finished epochs) and other counts.
    history : dict of (epochs,) arrays
        `epoch`, `train_error` (while learning) and `test_error` (at its end) as fractions,
        `learning_rate` of the first layer [S/V²], `cost` a sample (dimensionless); `angle_1` and
        so on of each hidden layer's errors to those of backpropagation [deg], of other rules.
    physical : dict of arrays
        One value a layer or array: `voltage`, `voltage_p90`, `difference` [V], `bits`,
        `power` [W], and the shares `above_write_threshold`, `saturated_low`, `saturated_high`;
        the last four again as `bias_power` and so on where there are bias cells; `wire_loading`
        and the share `wire_loss` where wires have resistance; the share `worn_out` of cells past
        their endurance, where there is one.
    times : dict of arrays or floats
        `seconds_per_epoch` [s] and others; no part of the checksum.
    versions : dict of str
        Versions of the software; no part of the checksum.
    start : dict of str
        Of a run that began with another one's network: `run`, its file, `checksum`, `chip`, and
        the errors as programmed, `train_error` and `test_error`, as text; otherwise empty.
    settings : str, optional
        The experiment as its file has it, where an earlier version, with fewer keys, wrote that.
    """

    experiment: Experiment
    dataset: dict[str, str]
    arrays: list[dict[str, Array]]
    biases: list[dict[str, Array]]
    state: dict[str, Array]
    counters: dict[str, int]
    history: dict[str, Array]
    physical: dict[str, Array]
    times: dict[str, Array | float]
    versions: dict[str, str]
    start: dict[str, str] = field(default_factory=dict)
    settings: str | None = None
    beside: dict[str, dict[str, Array]] = field(default_factory=dict)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of an image of the data set; empty where an earlier version did not write it."""
        sizes = self.dataset.get("image_shape", "").split("×")
        return tuple(int(size) for size in sizes if size.isdecimal())


def about(dataset: Dataset) -> dict[str, str]:
    """Return what a run file holds of a data set; see `Run.image_shape`."""
    return {
        "name": dataset.name,
        "checksum": dataset.checksum,
        "image_shape": "×".join(map(str, dataset.image_shape)),
    }


def check_writable(path: Path | str) -> None:
    """Find out whether a file can be written, where its folder is yet to be made too.

    Nothing is left behind.

    Raises
    ------
    RunFileError
        The folder or the file cannot be written.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise RunFileError(f"{path}: cannot be written: it is not a file")
        if path.exists() and not os.access(path, os.W_OK):
            raise RunFileError(f"{path}: cannot be written: the file is read-only")
        folder = next((p for p in path.parents if p.exists()), path.parent)
        trial = _temporary(folder / path.name)
        trial.touch()
        # Others may try the same new folder at the same time.
        trial.unlink(missing_ok=True)
    except OSError as error:
        raise RunFileError(f"{path}: cannot be written: {_reason(error)}") from error


def save(path: Path | str, run: Run) -> None:
    """Write a run file so that whoever opens `path` finds the old run or the new one, whole.

    Raises
    ------
    RunFileError
        The file cannot be written, or a value is of a type that a run file cannot hold.
    """
    path = Path(path)
    check_writable(path)
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Through memory: HDF5 itself crashes where the disk is full.
        content = BytesIO()
        with h5py.File(content, "w", libver="v110") as file:
            _write(file, run)
        temporary.write_bytes(content.getbuffer())
        _synchronise(temporary)
        os.replace(temporary, path.resolve())
        _synchronise(path.resolve().parent)
    except (OSError, RuntimeError) as error:
        raise RunFileError(f"{path}: cannot be written: {_reason(error)}") from error
    except RunFileError as error:
        raise RunFileError(f"{path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path | str) -> Run:
    """Read a run file and verify its checksum.

    Raises
    ------
    RunFileError
        The file is missing, truncated, corrupt, incomplete, no run file or of a newer schema.
    """
    path = Path(path)
    if not path.is_file():
        raise RunFileError(f"{path}: no such file")
    try:
        with h5py.File(path, "r", locking=False) as file:
            run, stored = _read(file, path)
            actual = checksum(run)
    except NeurohwError as error:
        raise RunFileError(str(error)) from error
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, MemoryError) as error:
        raise RunFileError(f"{path}: not a readable run file: {_reason(error)}") from error
    if stored != actual:
        raise RunFileError(f"{path}: checksum: {stored} is stored, the content has {actual}")
    return run


def checksum(run: Run) -> str:
    """SHA-256 over what the run computed: everything but times and versions; 64 hex digits."""
    settings = run.settings or to_json(run.experiment)
    digest = hashlib.sha256(f"{FORMAT} {SCHEMA_VERSION}\n{settings}\n".encode())
    for name, texts in sorted(run.dataset.items()):
        digest.update(f"dataset/{name}: {texts}\n".encode())
    for name, text in sorted(run.start.items()):
        if name != "run":
            digest.update(f"start/{name}: {text}\n".encode())
    for name, count in sorted(run.counters.items()):
        digest.update(f"counters/{name}: {int(count)}\n".encode())
    for group, values in _groups(run):
        digest.update(f"{group}: {len(values)}\n".encode())
        for name, value in sorted(values.items()):
            array = np.asarray(value, order="C")
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            digest.update(f"{name}: {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _groups(run: Run) -> Iterator[tuple[str, Mapping[str, Array]]]:
    """Each group of arrays that counts for the checksum, with its path in the file."""
    for name, members in (("arrays", run.arrays), ("biases", run.biases)):
        for index, values in enumerate(members):
            yield f"{name}/{index}", values
    for key, values in sorted(run.beside.items()):
        yield f"beside/{key}", values
    yield "state", run.state
    yield "history", run.history
    yield "physical", run.physical


def _write(file: h5py.File, run: Run) -> None:
    file.attrs["format"] = _text(FORMAT)
    file.attrs["schema_version"] = SCHEMA_VERSION
    file["experiment"] = _text(run.settings or to_json(run.experiment))
    for name in ("arrays", "biases"):
        file.create_group(name)
    start = {"start": run.start} if run.start else {}
    for name, texts in {"dataset": run.dataset, "versions": run.versions, **start}.items():
        group = file.create_group(name)
        for key, text in texts.items():
            group.attrs[key] = _text(text)
    group = file.create_group("counters")
    for key, count in run.counters.items():
        group.attrs[key] = np.int64(count)
    for name, values in (*_groups(run), ("times", run.times)):
        group = file.create_group(name)
        for key, value in values.items():
            _write_array(group, key, np.asarray(value))
    file.attrs["checksum"] = _text(checksum(run))


def _text(text: str) -> Array:
    """Text of fixed length: HDF5 can hang in a damaged heap, where it keeps the others."""
    content = text.encode()
    return np.array(content, dtype=h5py.string_dtype("utf-8", max(len(content), 1)))


def _write_array(group: h5py.Group, key: str, array: Array) -> None:
    where = f"{group.name[1:]}/{key}"
    if array.dtype.kind not in "biufc" or array.dtype.char in "gG":
        raise RunFileError(f"{where}: a run file cannot hold values of type {array.dtype}")
    if "/" in key or key in ("", "."):
        raise RunFileError(f"{where}: {key!r} cannot be a name in a run file")
    dataset = group.create_dataset(key, data=array)
    # The state has one voltage a layer: voltage_0, voltage_1, ...
    name = re.sub(r"_\d+$", "", key)
    if unit := UNITS.get(name):
        dataset.attrs["unit"] = _text(unit)
    if group.name.startswith(("/arrays/", "/beside/")) and array.ndim == 2:
        dataset.attrs["axes"] = _text(_AXES.get(name, PER_CELL))


def _read(file: h5py.File, path: Path) -> tuple[Run, str]:
    found = _string(_attribute(file, "format", path))
    if found != FORMAT:
        raise RunFileError(f"{path}: format: {found!r} is not {FORMAT!r}")
    version = int(_attribute(file, "schema_version", path))
    if version > SCHEMA_VERSION:
        raise RunFileError(
            f"{path}: schema_version: {version} is newer than {SCHEMA_VERSION}, "
            "the newest that this neurohw reads; update neurohw"
        )
    text = _string(_member(file, "experiment", h5py.Dataset, path)[()])
    experiment = from_json(text, f"{path}: experiment")
    run = Run(
        experiment=experiment,
        dataset=_read_texts(file, "dataset", path),
        arrays=_read_list(file, "arrays", path),
        biases=_read_list(file, "biases", path),
        beside=_read_named(file, "beside", path) if "beside" in file else {},
        state=_read_arrays(file, "state", path),
        counters={
            key: int(count)
            for key, count in _member(file, "counters", h5py.Group, path).attrs.items()
        },
        history=_read_arrays(file, "history", path),
        physical=_read_arrays(file, "physical", path),
        times={
            key: array if array.ndim else float(array)
            for key, array in _read_arrays(file, "times", path).items()
        },
        versions=_read_texts(file, "versions", path),
        start=_read_texts(file, "start", path) if "start" in file else {},
        settings=None if text == to_json(experiment) else text,
    )
    required: list[tuple[str, Collection[str], str]] = [
        ("dataset", run.dataset, "name"),
        ("dataset", run.dataset, "checksum"),
        ("counters", run.counters, "epoch"),
        ("history", run.history, "test_error"),
        *((f"arrays/{index}", array, "conductance") for index, array in enumerate(run.arrays)),
    ]
    for group, keys, key in required:
        if key not in keys:
            raise RunFileError(f"{path}: {group}/{key}: missing")
    return run, _string(_attribute(file, "checksum", path))


def _member(group: h5py.Group, key: str, kind: type, path: Path) -> Any:
    where = f"{group.name}/{key}".strip("/")
    if key not in group:
        raise RunFileError(f"{path}: {where}: missing")
    member = group[key]
    if not isinstance(member, kind):
        raise RunFileError(f"{path}: {where}: {type(member).__name__} is not a {kind.__name__}")
    return member


def _attribute(file: h5py.File, key: str, path: Path) -> Any:
    if key not in file.attrs:
        raise RunFileError(f"{path}: {key}: missing")
    return file.attrs[key]


def _string(text: Any) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)


def _read_texts(file: h5py.File, name: str, path: Path) -> dict[str, str]:
    group = _member(file, name, h5py.Group, path)
    return {key: _string(text) for key, text in group.attrs.items()}


def _read_arrays(group: h5py.Group, name: str, path: Path) -> dict[str, Array]:
    group = _member(group, name, h5py.Group, path)
    return {key: np.asarray(_member(group, key, h5py.Dataset, path)[...]) for key in group}


def _read_list(file: h5py.File, name: str, path: Path) -> list[dict[str, Array]]:
    group = _member(file, name, h5py.Group, path)
    return [_read_arrays(group, str(index), path) for index in range(len(group))]


def _read_named(group: h5py.Group, name: str, path: Path) -> dict[str, dict[str, Array]]:
    group = _member(group, name, h5py.Group, path)
    return {key: _read_arrays(group, key, path) for key in group}


def _temporary(path: Path) -> Path:
    """Path of the unfinished file; always the same, so that a killed save leaves at most one."""
    target = path.resolve()
    return target.with_name(f".{target.name}.unfinished")


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: BaseException) -> str:
    """Say in one line why the system or HDF5 refused."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())
