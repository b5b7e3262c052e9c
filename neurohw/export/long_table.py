"""Reading a long table, a cell a row: ``array``, ``word_line``, ``bit_line``, a conductance [S].

Its other columns are free; ``weight``, where it is there, must be written as ``u3i17``: unit 3,
input 17. Rows come in any order.
"""

import csv
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neurohw.errors import ExportError
from neurohw.export import manifest
from neurohw.export.formats import ReadTile
from neurohw.export.weight_map import UNUSED, Lines
from neurohw.specification import nearest

_WEIGHT = re.compile(r"u(\d{1,9})i(\d{1,9})")
_PLACE = ("array", "word_line", "bit_line")
_LONGEST_LINE = 1 << 17
# Of a matrix, beside as many cells as a table has.
_MOST_EMPTY = 1 << 24


@dataclass(eq=False)
class _Rows:
    """The rows of one array: cells, conductances [S], weights and where they stand in the file."""

    word: "array[int]" = field(default_factory=lambda: array("i"))
    bit: "array[int]" = field(default_factory=lambda: array("i"))
    value: "array[float]" = field(default_factory=lambda: array("d"))
    unit: "array[int]" = field(default_factory=lambda: array("i"))
    input: "array[int]" = field(default_factory=lambda: array("i"))
    line: "array[int]" = field(default_factory=lambda: array("q"))


def read(path: Path, column: str) -> Iterator[ReadTile]:
    """Return the arrays of a table, whose conductances are in a column [S].

    Raises
    ------
    ExportError
        The file cannot be read, lacks a column, has a damaged row, or a cell twice.
    """
    found: dict[str, _Rows] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip() for name in next(rows, [])]
            for name in (*_PLACE, column):
                if name not in header:
                    raise ExportError(f"{path}: column {name}: is missing; {nearest(name, header)}")
                if header.count(name) > 1:
                    raise ExportError(f"{path}: column {name}: is there twice")
            _take(rows, header, column, found, path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise manifest.unreadable(path, error) from None
    # Rows of one array need not stand together, so the whole file is read first.
    return (_tile(name, found.pop(name), path) for name in list(found))


def _take(
    rows: Iterator[list[str]], header: list[str], column: str, found: dict[str, _Rows], path: Path
) -> None:
    where = [header.index(name) for name in (*_PLACE, column)]
    weight = header.index("weight") if "weight" in header else None
    for number, row in enumerate(rows, start=2):
        if not row:
            continue  # a blank line
        if len(row) != len(header):
            raise ExportError(
                f"{path}: line {number}: {len(row)} fields, the header has {len(header)}: is the"
                " file cut off?"
            )
        name, word, bit, value = (row[k].strip() for k in where)
        each = found.get(name)
        if each is None:
            each = found[name] = _Rows()
        try:
            lines, conductance = (int(word), int(bit)), float(value)
        except ValueError as error:
            raise ExportError(f"{path}: line {number}: {error}") from None
        if not 0 <= min(lines) <= max(lines) < _LONGEST_LINE or conductance != conductance:
            raise ExportError(
                f"{path}: line {number}: word_line = {word}, bit_line = {bit}, {column} = {value}:"
                " lines count from 0, and a conductance is a number"
            )
        each.word.append(lines[0])
        each.bit.append(lines[1])
        each.value.append(conductance)
        each.line.append(number)
        if weight is not None:
            said = _WEIGHT.fullmatch(row[weight].strip())
            if said is None:
                raise ExportError(
                    f"{path}: line {number}: weight = {row[weight]}: must be written as u3i17"
                )
            each.unit.append(int(said[1]))
            each.input.append(int(said[2]))


def _tile(name: str, rows: _Rows, path: Path) -> ReadTile:
    word, bit, lines = (np.asarray(values) for values in (rows.word, rows.bit, rows.line))
    shape = int(word.max()) + 1, int(bit.max()) + 1
    place = word * np.int64(shape[1]) + bit
    order = np.argsort(place, kind="stable")
    twice = np.flatnonzero(np.diff(place[order]) == 0)
    if len(twice):
        first, second = lines[order[twice[0]]], lines[order[twice[0] + 1]]
        raise ExportError(
            f"{path}: line {second}: array {name}, word line {word[order[twice[0]]]}, bit line"
            f" {bit[order[twice[0]]]} stands in line {first} already"
        )
    if shape[0] * shape[1] > max(_MOST_EMPTY, 2 * len(word)):
        raise ExportError(
            f"{path}: array {name}: lines up to {shape[0] - 1} and {shape[1] - 1}, and only"
            f" {len(word)} cells: cells are missing, or lines swapped"
        )
    matrix = np.full(shape, np.nan)
    matrix[word, bit] = rows.value
    inputs = units = None
    if rows.unit:
        said = np.asarray(rows.input), np.asarray(rows.unit)
        inputs = _along(word, said[0], shape[0], ("word line", "input"), name, lines, path)
        units = _along(bit, said[1], shape[1], ("bit line", "unit"), name, lines, path)
    return ReadTile(name=name, conductance=matrix, inputs=inputs, units=units)


def _along(
    line: Lines,
    said: Lines,
    count: int,
    words: tuple[str, str],
    name: str,
    rows: Lines,
    path: Path,
) -> Lines:
    """Return what each line carries, on which all of its cells must agree."""
    carried = np.full(count, UNUSED)
    carried[line] = said
    other = np.flatnonzero(carried[line] != said)
    if len(other):
        k = other[0]
        raise ExportError(
            f"{path}: line {rows[k]}: array {name}, {words[0]} {line[k]}: the weight has"
            f" {words[1]} {said[k]}, that of another cell on it {carried[line[k]]}: were lines"
            " swapped?"
        )
    return carried
