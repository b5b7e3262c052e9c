"""Measured pulse trains: a CSV file of readings to traces, one row a pulse.

The file is long, one reading a line, taken after the pulse that the line names:

    device,cycle,pulse,polarity,conductance_S
    A1,1,0,1,1.02e-6
    A1,1,1,1,1.31e-6
    ...

`pulse` rises within a device's cycle, or is counted anew for each polarity. A line of pulse 0 is
the state before the first. Lines may stand in any order, and any may be missing.
"""

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import DataError
from neurohw.specification import nearest

Array = NDArray[np.floating]

COLUMNS = ("device", "cycle", "pulse", "polarity", "conductance_S")

# A trace is cut where more readings than these are missing in a row.
_LONGEST_GAP = 1000


@dataclass(frozen=True, eq=False, kw_only=True)
class Traces:
    """Pulse trains of one or several devices; a row is a pulse, or the start of a trace.

    Rows of a device stand together, and so do those of a trace, in the order of pulses.

    Parameters
    ----------
    source : str
        Name of the file that they are from.
    checksum : str
        SHA-256 of that file.
    devices : tuple of str
    device, cycle, trace : (rows,) arrays of int
        Index of the device, of its cycle, and of the trace; a cycle may be several traces.
    pulse : (rows,) array
        1 or -1, polarity of the pulse; 0 where a trace starts.
    reading : (rows,) array [S]
        After the pulse; NaN where there is none.
    number : (rows,) array of int
        The file's number of the pulse.
    """

    source: str
    checksum: str
    devices: tuple[str, ...]
    device: NDArray[np.int64]
    cycle: NDArray[np.int64]
    trace: NDArray[np.int64]
    pulse: NDArray[np.int64]
    reading: Array
    number: NDArray[np.int64]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Rows that say what a pulse did: (rows,)."""
        return np.asarray((self.pulse != 0) & np.isfinite(self.reading))

    def where(self, rows: NDArray[np.bool_]) -> "Traces":
        """Return some of the rows, whole traces of them; devices keep their index."""
        return replace(
            self,
            device=self.device[rows],
            cycle=self.cycle[rows],
            trace=self.trace[rows],
            pulse=self.pulse[rows],
            reading=self.reading[rows],
            number=self.number[rows],
        )

    def of(self, devices: NDArray[np.bool_]) -> "Traces":
        """Return the traces of some devices, which are then all."""
        kept = self.where(devices[self.device])
        names = tuple(np.array(self.devices, object)[devices])
        return replace(kept, devices=names, device=(np.cumsum(devices) - 1)[kept.device])


@dataclass(frozen=True)
class _Reading:
    line: int
    pulse: int
    polarity: int
    conductance: float


def read(path: Path | str, columns: Mapping[str, str] | None = None) -> Traces:
    """Read the traces of a CSV file.

    Parameters
    ----------
    path : Path
    columns : mapping, optional
        What columns are called in the file where not as in `COLUMNS`.

    Raises
    ------
    DataError
        One line naming file, line and value.
    """
    path = Path(path)
    names = _names(columns or {})
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text") from None
    groups = _readings(path, text, names)
    return _traces(path, hashlib.sha256(data).hexdigest(), groups)


def _names(columns: Mapping[str, str]) -> list[str]:
    for name in columns:
        if name not in COLUMNS:
            raise DataError(f"columns: {name}: unknown; {nearest(name, COLUMNS)}")
    return [columns.get(name, name) for name in COLUMNS]


_Groups = dict[tuple[str, str], list[_Reading]]


def _readings(path: Path, text: str, names: list[str]) -> _Groups:
    """Return the readings of every device's cycles, as they stand in the file."""
    groups: _Groups = {}
    places: list[int] = []
    rows = csv.reader(line.partition("#")[0] for line in text.splitlines())
    for row in rows:
        fields, line = [field.strip() for field in row], rows.line_num
        if not any(fields):
            continue
        if not places:
            for name in names:
                if name not in fields:
                    header = ",".join(fields)
                    raise DataError(f'{path}: line {line}: "{header}": has no column {name}')
            places = [fields.index(name) for name in names]
            continue
        if len(fields) <= max(places):
            raise DataError(
                f'{path}: line {line}: "{",".join(fields)}": has {len(fields)} of'
                f" {max(places) + 1} columns"
            )
        device, cycle, *numbers = (fields[k] for k in places)
        groups.setdefault((device, cycle), []).append(_reading(path, line, names[2:], numbers))
    if not groups:
        raise DataError(f"{path}: holds no readings; its header must be {','.join(names)}")
    return groups


def _reading(path: Path, line: int, names: list[str], fields: list[str]) -> _Reading:
    values = []
    for name, field in zip(names, fields, strict=True):
        try:
            values.append(float(field))
        except ValueError:
            raise DataError(f'{path}: line {line}: {name} = "{field}": is not a number') from None
    pulse, polarity, conductance = values
    wanted = (
        (0 <= pulse < 1e12 and pulse.is_integer(), "a whole number, 0 or more"),
        (polarity in (1, -1), "1 or -1"),
        (np.isfinite(conductance) and conductance >= 0, "finite, 0 or more"),
    )
    for (fine, what), name, field in zip(wanted, names, fields, strict=True):
        if not fine:
            raise DataError(f"{path}: line {line}: {name} = {field}: must be {what}")
    return _Reading(line, int(pulse), int(polarity), conductance)


def _traces(path: Path, checksum: str, groups: _Groups) -> Traces:
    anew = any(
        len({reading.pulse for reading in readings}) < len(readings) for readings in groups.values()
    )
    devices = tuple(dict.fromkeys(name for name, _ in groups))
    places = {name: index for index, name in enumerate(devices)}
    cycles = dict.fromkeys(devices, 0)
    rows: list[tuple[int, int, int, int, float, int]] = []
    traces = 0
    for (name, label), readings in sorted(groups.items(), key=lambda g: places[g[0][0]]):
        parts = [[r for r in readings if r.polarity == p] for p in (1, -1)] if anew else [readings]
        for part in parts:
            part.sort(key=lambda reading: reading.pulse)
            _require_once(path, part, name, label)
            for run in _runs(part):
                rows += [(places[name], cycles[name], traces, *row) for row in run]
                traces += 1
        cycles[name] += 1
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    device, cycle, trace, pulse, number = table[:, [0, 1, 2, 3, 5]].T.astype(np.int64)
    found = Traces(
        source=path.name,
        checksum=checksum,
        devices=devices,
        device=device,
        cycle=cycle,
        trace=trace,
        pulse=pulse,
        reading=np.ascontiguousarray(table[:, 4]),
        number=number,
    )
    for polarity in (1, -1):
        if not np.any(found.pulse == polarity):
            raise DataError(
                f"{path}: polarity: no pulse of {polarity:+d} follows another reading; a device"
                " needs pulses of both polarities"
            )
    return found


def _require_once(path: Path, readings: list[_Reading], device: str, cycle: str) -> None:
    for before, after in pairwise(readings):
        if before.pulse == after.pulse:
            raise DataError(
                f"{path}: line {after.line}: pulse = {after.pulse}: stands in line {before.line}"
                f" too, for device {device}, cycle {cycle}, polarity {after.polarity:+d}"
            )


def _runs(readings: list[_Reading]) -> list[list[tuple[int, float, int]]]:
    """Split sorted readings where what happened between two is not known: (pulse, S, number)."""
    runs: list[list[tuple[int, float, int]]] = []
    last: _Reading | None = None
    for reading in readings:
        gap = 0 if last is None else reading.pulse - last.pulse
        # Pulses that were not read, of which at least the last reading's polarity is known.
        same = last is not None and (last.pulse == 0 or last.polarity == reading.polarity)
        if last is None or gap > _LONGEST_GAP or not (gap == 1 or same):
            runs.append([(0, reading.conductance, reading.pulse)])
        else:
            missing = range(last.pulse + 1, reading.pulse)
            runs[-1] += [(reading.polarity, np.nan, number) for number in missing]
            runs[-1].append((reading.polarity, reading.conductance, reading.pulse))
        last = reading
    return [run for run in runs if len(run) > 1]
