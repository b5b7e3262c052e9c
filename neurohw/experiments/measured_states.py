"""Measured states and conductances of a real array: two CSV files, one value a line."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import DataError

Array = NDArray[np.float64]

STATES = ("sample", "phase", "layer", "node", "voltage_V")
CONDUCTANCES = ("array", "unit", "input", "conductance_S")
PHASES = ("free", "positive", "negative")


def read_states(path: Path) -> dict[str, list[Array]]:
    """Read voltages: by phase, a (samples, nodes) array a layer, the first one the word lines [V].

    One line a voltage, `STATES`: phase is ``free``, ``positive`` or ``negative`` (nudged), layer 0
    holds all word lines of the first array, node counts from 0, sample is any name.

    Raises
    ------
    DataError
        Naming file, line and value; or what is missing.
    """
    found: dict[tuple[int, int], dict[tuple[str, str], float]] = {}
    phases: dict[str, None] = {}
    samples: dict[str, None] = {}
    for line, row in _rows(path, STATES):
        if row["phase"] not in PHASES:
            raise DataError(
                f"{path}: line {line}: phase = {row['phase']!r}: known are {', '.join(PHASES)}"
            )
        place = _index(path, line, row, "layer"), _index(path, line, row, "node")
        values, key = found.setdefault(place, {}), (row["phase"], row["sample"])
        if key in values:
            raise DataError(
                f"{path}: line {line}: sample = {row['sample']!r}: layer {place[0]}, node"
                f" {place[1]} has a {row['phase']} voltage already"
            )
        values[key] = _number(path, line, row, "voltage_V")
        phases[row["phase"]] = samples[row["sample"]] = None
    if len(phases) < 2:
        raise DataError(f"{path}: phase: two are compared, it holds {', '.join(phases)} only")
    layers = _counts(path, found, "layer", "node")
    for (layer, node), values in found.items():
        for phase in phases:
            for sample in samples:
                if (phase, sample) not in values:
                    raise DataError(
                        f"{path}: sample {sample!r}, phase {phase}: no voltage of layer {layer},"
                        f" node {node}"
                    )
    return {
        phase: [
            np.array([[found[k, j][phase, sample] for j in range(nodes)] for sample in samples])
            for k, nodes in enumerate(layers)
        ]
        for phase in phases
    }


def read_conductances(path: Path) -> list[Array]:
    """Read conductances, a (units, inputs) array an array of cells [S].

    One line a cell, `CONDUCTANCES`, arrays counted from 1, units and inputs from 0.

    Raises
    ------
    DataError
        Naming file, line and value; or what is missing.
    """
    found: dict[tuple[int, int], dict[int, float]] = {}
    for line, row in _rows(path, CONDUCTANCES):
        array, unit, cell = (_index(path, line, row, key) for key in CONDUCTANCES[:3])
        if array < 1:
            raise DataError(f"{path}: line {line}: array = {array}: counted from 1")
        value = _number(path, line, row, "conductance_S")
        if value < 0:
            raise DataError(f"{path}: line {line}: conductance_S = {value:g}: must be 0 or more")
        cells = found.setdefault((array - 1, unit), {})
        if cell in cells:
            raise DataError(
                f"{path}: line {line}: input = {cell}: array {array}, unit {unit} has it already"
            )
        cells[cell] = value
    arrays = []
    for k, units in enumerate(_counts(path, found, "array", "unit", first=1)):
        inputs = len(found[k, 0])
        for j in range(units):
            missing = sorted(set(range(inputs)) ^ set(found[k, j]))
            if missing:
                raise DataError(
                    f"{path}: array {k + 1}, unit {j}: inputs are not those of unit 0:"
                    f" input {missing[0]}"
                )
        arrays.append(np.array([[found[k, j][i] for i in range(inputs)] for j in range(units)]))
    return arrays


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and fields of each line; the header may have more columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            for name in columns:
                if name not in header:
                    raise DataError(
                        f"{path}: line 1: column {name} is missing; it needs {','.join(columns)}"
                    )
            empty = True
            for fields in reader:
                if not any(field.strip() for field in fields):
                    continue
                if len(fields) != len(header):
                    raise DataError(
                        f"{path}: line {reader.line_num}: {len(fields)} fields, not {len(header)}"
                    )
                empty = False
                named = zip(header, fields, strict=True)
                yield reader.line_num, {name: field.strip() for name, field in named}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: cannot be read: {reason}") from None
    if empty:
        raise DataError(f"{path}: holds no values")


def _index(path: Path, line: int, row: Mapping[str, str], key: str) -> int:
    if not row[key].isdecimal():
        raise DataError(f"{path}: line {line}: {key} = {row[key]!r}: must be a whole number")
    return int(row[key])


def _number(path: Path, line: int, row: Mapping[str, str], key: str) -> float:
    try:
        value = float(row[key])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}: line {line}: {key} = {row[key]!r}: must be a finite number")
    return value


def _counts(
    path: Path, found: Mapping[tuple[int, int], object], outer: str, inner: str, first: int = 0
) -> list[int]:
    """Return how many inner numbers each outer number has, both without gaps from 0 on."""
    counts = []
    for k in range(1 + max(k for k, _ in found)):
        held = {j for o, j in found if o == k}
        if held != set(range(len(held))) or not held:
            missing = next(j for j in range(len(held) + 1) if j not in held)
            raise DataError(f"{path}: {outer} {k + first}: {inner} {missing} is missing")
        counts.append(len(held))
    return counts
