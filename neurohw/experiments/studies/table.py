"""Tables of studies: plain dicts of arrays of one length, as CSV and as HDF5."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurohw.errors import StudyError
from neurohw.experiments.studies import jobs
from neurohw.experiments.studies.axes import Grid
from neurohw.experiments.studies.jobs import Outcome
from neurohw.experiments.studies.keys import Value
from neurohw.experiments.studies.study import Point, Study

Table = dict[str, NDArray[Any]]

SCHEMA_VERSION = 1


def tabulate(
    study: Study, points: Sequence[Point], outcomes: Mapping[tuple[int, int], Outcome]
) -> Table:
    """Return the table of a study, one row for each point and seed.

    Returns
    -------
    dict of (rows,) arrays
        `point`, a number; each axis by its name, in SI units; `seed`; `status` (``done``,
        ``paused`` by halving, ``stopped`` early, ``failed``, ``missing``); `epochs` trained;
        `test_error` and `train_error` of the last one, fractions; `penalty`, the test error less
        that of the reference with the same seed after as many epochs; `message` of what failed.
        What there is none of is NaN.
    """
    missing = Outcome(status="failed")
    rows = []
    for number, point in enumerate(points):
        for seed in study.seed_list:
            outcome = outcomes.get((number, seed))
            status = "missing" if outcome is None else outcome.status
            outcome = outcome or missing
            reference = None if point.reference is None else outcomes.get((point.reference, seed))
            epochs = len(outcome.test_errors)
            penalty = np.nan
            if reference is not None and 0 < epochs <= len(reference.test_errors):
                penalty = outcome.test_error - reference.test_errors[epochs - 1]
            rows.append(
                {
                    "point": number,
                    **dict(zip(study.labels, point.values, strict=True)),
                    "seed": seed,
                    "status": status,
                    "epochs": epochs,
                    "test_error": outcome.test_error,
                    "train_error": outcome.train_errors[-1] if epochs else np.nan,
                    "penalty": penalty,
                    "message": outcome.message,
                }
            )
    return {key: column([row[key] for row in rows]) for key in rows[0]}


def designed(study: Study, table: Table) -> Table:
    """Return the rows of the points of the design: of a sample, without references beside it."""
    if isinstance(study.design, Grid):
        return table
    kept = table["point"] < study.design.points
    return {key: values[kept] for key, values in table.items()}


def column(values: Sequence[Value]) -> NDArray[Any]:
    """Return values as an array of numbers, or of texts where one of them is none."""
    if any(isinstance(value, str | bool) for value in values):
        return np.array([str(value) for value in values])
    return np.array(values)


def to_csv(table: Table) -> str:
    """Text of a table as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*(values.tolist() for values in table.values()), strict=True))
    return buffer.getvalue()


def write_csv(table: Table, path: Path) -> None:
    """Write a table as CSV, whole or not at all; `StudyError` if that fails."""
    jobs.replace(path, to_csv(table).encode())


def write_hdf5(table: Table, path: Path, units: Mapping[str, str | None]) -> None:
    """Write a table as HDF5, one dataset a column, with units; `StudyError` if that fails."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="v110") as file:
        file.attrs["format"] = "neurohw study table"
        file.attrs["schema_version"] = SCHEMA_VERSION
        for key, values in table.items():
            # A slash in a name would be a group.
            name = key.replace("/", "∕")
            if values.dtype.kind == "U":
                encoded = [value.encode() for value in values.tolist()]
                width = max(1, *map(len, encoded))
                file[name] = np.array(encoded, dtype=h5py.string_dtype("utf-8", width))
            else:
                file[name] = values
            if unit := units.get(key):
                file[name].attrs["unit"] = unit
    jobs.replace(path, buffer.getvalue())


def read_hdf5(path: Path) -> Table:
    """Read a table back; `StudyError` if there is none."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return {
                name: np.array([text.decode() for text in data[...].tolist()])
                if data.dtype.kind == "S"
                else data[...]
                for name, data in file.items()
            }
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error}") from None
