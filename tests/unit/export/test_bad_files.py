"""Files that cannot be what they say: one line that names the place, and no cell moved."""

import json

import h5py
import numpy as np
import pytest

from neurohw.errors import ExportError
from neurohw.experiments.step import restore_chip
from neurohw.export import formats, manifest, writing
from neurohw.export.importing import take
from neurohw.export.mapping import weight_map

from .conftest import CASES, fresh

# Square tiles, so that swapped lines stay within them.
SQUARE = ("ep-1h", "epiram", (*CASES["offset"][2], "network.hidden=[16]"))


@pytest.fixture(scope="module")
def square():
    machine, run = fresh(*SQUARE)
    return machine, weight_map(run)


@pytest.fixture
def table(square, tmp_path):
    """Write the map as CSV; return a function that spoils rows (header first) and reads it."""
    machine, weights = square
    out = tmp_path / "map"
    writing.write(formats.load("csv"), weights, out)
    path = out / "cells.csv"
    lines = path.read_text().splitlines()

    def spoil(change, *, whole=True):
        rows = [line.split(",") for line in lines]
        path.write_text("\n".join(",".join(row) for row in change(rows)) + "\n")
        before = [crossbar.values() for crossbar in machine.chip.crossbars]
        try:
            take(formats.load("csv").read(out), machine, weights, whole=whole)
        finally:
            after = [crossbar.values() for crossbar in machine.chip.crossbars]
            for one, other in zip(before, after, strict=True):
                np.testing.assert_array_equal(one, other)

    return spoil


def changed(column, change):
    """Return a spoiler that changes a column of every row but the header."""

    def spoil(rows):
        at = rows[0].index(column)
        return [rows[0], *([*row[:at], change(row[at]), *row[at + 1 :]] for row in rows[1:])]

    return spoil


def scaled(factor):
    return changed("g_target_S", lambda g: f"{factor * float(g):g}")


def swapped(rows):
    return [rows[0], *([a, bit, word, *rest] for a, word, bit, *rest in rows[1:])]


def exchanged_word_lines(rows):
    """Word lines 0 and 1 of the first array; the header and order stay."""
    other = {"0": "1", "1": "0"}
    first = rows[1][0]
    return [
        [row[0], other.get(row[1], row[1]) if row[0] == first else row[1], *row[2:]] for row in rows
    ]


def test_order_of_rows_does_not_matter(table):
    table(lambda rows: [rows[0], *rows[:0:-1], []])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (swapped, r"line 2: .* word line 0: the weight has input 0, that of .* were lines swapped"),
        (exchanged_word_lines, r"layer1-0-0, word line 0: has input 1 there, on the chip 0"),
        (lambda rows: [*rows, rows[5]], r"cells\.csv: line \d+: array layer1-0-0, .* in line 6"),
        (lambda rows: [*rows[:9], *rows[10:]], r"layer1-0-0, word line 0, bit line 8: is missing"),
        (
            lambda rows: [row for row in rows if row[0] != "layer1-0-1"],
            r"array layer1-0-1: is missing, and 0 others",
        ),
        (scaled(1e6), r"1e6 too large: are they in uS\? the file must have siemens"),
        (scaled(1e-6), r"1e6 too small: the file must have siemens"),
        (
            lambda rows: [*rows[:20], [*rows[20][:3], "1e-4", *rows[20][4:]], *rows[21:]],
            r"layer1-0-0, word line 1, bit line 3: 100 uS is outside of the limits of this cell",
        ),
        (
            lambda rows: [*rows[:20], [*rows[20][:3], "inf", *rows[20][4:]], *rows[21:]],
            r"word line 1, bit line 3: inf S is outside",
        ),
        (changed("g_target_S", lambda g: "nan"), r"line 2: .*g_target_S = nan: .*is a number"),
        (changed("word_line", lambda w: "-1"), r"line 2: word_line = -1.*: lines count from 0"),
        (changed("bit_line", lambda b: "one"), r"line 2: invalid literal for int"),
        (changed("word_line", lambda w: f"{int(w) + 10}"), r"word line 25: it has 18 \(0 to 17\)"),
        (changed("array", lambda a: "layer7-0-0"), r"line \d+: array layer7-0-0, .* already"),
        (changed("weight", lambda w: "3:4"), r"line 2: weight = 3:4: must be written as u3i17"),
        (lambda rows: [*rows[:-1], rows[-1][:4]], r"4 fields, the header has 8: is the file cut"),
        (lambda rows: [row[:3] + row[4:] for row in rows], r"column g_target_S: is missing"),
        (lambda rows: rows[:1], r"holds no cells"),
        (
            lambda rows: [
                [
                    *row[:3],
                    f"{1e-3 * float(row[3]):g}" if row[0] == "layer1-0-1" else row[3],
                    *row[4:],
                ]
                for row in rows
            ],
            r"layer1-0-1: its conductances are about 1e3 too small",
        ),
        (lambda rows: [[*row, row[3]] for row in rows], r"column g_target_S: is there twice"),
    ],
)
def test_tables(spoil, message, table):
    with pytest.raises(ExportError, match=message):
        table(spoil)


def test_another_chip_is_named(square, tmp_path):
    machine, _ = square
    recipe, _, settings = SQUARE
    _, other = fresh(recipe, "ecram", tuple(s for s in settings if "tile" not in s))
    out = tmp_path / "map.h5"
    writing.write(formats.load("hdf5"), weight_map(other), out)
    with pytest.raises(ExportError, match=r"for the chip ecram, the network on epiram: see --chip"):
        take(formats.load("hdf5").read(out), machine, square[1])


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mem", ("network.hidden=[15]",), "layer1: units = 15, that of the network's chip is 16"),
        ("hdf5", ("chip.mapping.weight_range=2",), "layer1: scale = .* written from another netw"),
        ("csv", ("chip.mapping.reference=fixed",), "layer1: reference = "),
    ],
)
def test_cells_that_would_make_other_weights(name, settings, message, square, tmp_path):
    machine, weights = square
    recipe, chip, own = SQUARE
    _, other = fresh(recipe, chip, (*own, *settings))
    writing.write(formats.load(name), weight_map(other), tmp_path / "map")
    with pytest.raises(ExportError, match=message):
        take(formats.load(name).read(tmp_path / "map"), machine, weights)


def test_a_damaged_manifest_is_refused(square, tmp_path):
    _, weights = square
    form, out = formats.load("csv"), tmp_path / "map"
    writing.write(form, weights, out)
    path = out / manifest.MARK
    text = path.read_text()
    for key, value in (("gains", ["x"]), ("units", None), ("name", [])):
        about = json.loads(text)
        about["layers"][0][key] = value
        if value is None:
            del about["layers"][0][key]
        path.write_text(json.dumps(about))
        with pytest.raises(ExportError, match=r"cells\.csv: the manifest is damaged"):
            form.read(out)


def test_memories_say_what_their_lines_carry(square, tmp_path):
    machine, weights = square
    form, out = formats.load("mem"), tmp_path / "map"
    writing.write(form, weights, out)
    path = out / "layer1-0-0.mem"
    text = path.read_text()
    for spoilt, message in (
        (text.replace("(-1: none): 0 1 ", "(-1: none): 1 0 ", 1), "word line 0: has input 1 there"),
        (text.rstrip()[:-1], "must have 2 hexadecimal digits: is the file cut off"),
        (text.replace("// units", "// unit"), "its comment does not say what each line carries"),
        (text.replace("g_low=", "g_low=x"), "its comment does not say 18 word and 16 bit lines"),
    ):
        assert spoilt != text
        path.write_text(spoilt)
        with pytest.raises(ExportError, match=message):
            take(form.read(out), machine, weights)


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: 2 * len(content) // 3])


@pytest.mark.parametrize("name", ["hdf5", "npz", "numpy-header", "mem", "csv"])
def test_truncated(name, square, tmp_path):
    machine, weights = square
    form, out = formats.load(name), tmp_path / "map"
    writing.write(form, weights, out)
    cut({"mem": out / "layer1-0-0.mem", "csv": out / "cells.csv"}.get(name, out))
    with pytest.raises(ExportError, match=r"^\S*map\S*: ") as raised:
        take(form.read(out), machine, weights)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["hdf5", "npz", "numpy-header", "mem", "csv", "measured"])
def test_not_of_the_format(name, tmp_path, square):
    machine, weights = square
    form, path = formats.load(name), tmp_path / "map"
    contents = [b"", b"no map\n"]
    if not form.folder:
        with pytest.raises(ExportError, match=r"map: "):
            take(form.read(path), machine, weights)
    for content in contents:
        if form.folder:
            path.mkdir(exist_ok=True)
            (path / manifest.MARK).write_bytes(content)
        else:
            path.write_bytes(content)
        with pytest.raises(ExportError, match=r"map"):
            take(form.read(path), machine, weights)


def test_a_newer_schema_is_refused(square, tmp_path):
    _, weights = square
    out = tmp_path / "map"
    writing.write(formats.load("csv"), weights, out)
    about = json.loads((out / "map.json").read_text()) | {"schema_version": 2}
    (out / "map.json").write_text(json.dumps(about))
    with pytest.raises(ExportError, match=r"map\.json: schema_version: 2 is not one"):
        formats.load("csv").read(out)
    path = tmp_path / "map.h5"
    writing.write(formats.load("hdf5"), weights, path)
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 2
    with pytest.raises(ExportError, match=r"map\.h5: schema_version: 2 is not one"):
        formats.load("hdf5").read(path)


def test_read_outs_may_leave_the_limits_of_the_device(square, tmp_path):
    machine, weights = square
    measured, path = formats.load("measured"), tmp_path / "read.csv"
    layer = weights.layers[0].crossbars[0]
    rows = [
        (tile.name, word, bit, 2 * layer.window[1])
        for tile in layer.tiles()
        for word, line in enumerate(tile.inputs)
        for bit, unit in enumerate(tile.units)
        # A read-out of all cells has those without a weight too.
        if tile.name != "layer1-0-0" or (line >= 0 and unit >= 0)
    ]

    def read(*more):
        text = "\n".join(",".join(map(str, row)) for row in (*rows, *more))
        path.write_text(f"array,word_line,bit_line,g_S\n{text}\n")
        return measured.read(path)

    try:
        take(read(), machine, weights, whole=False)
        assert (machine.chip.crossbars[0].values() == np.float32(2 * layer.window[1])).all()
        with pytest.raises(ExportError, match=r"array layer1-reference-0-0: is missing"):
            take(read(), machine, weights)
        with pytest.raises(ExportError, match=r"is outside of what can be measured of it, 0 S to"):
            rows[3] = (*rows[3][:3], -1e-9)
            take(read(), machine, weights, whole=False)
    finally:
        restore_chip(machine.chip, weights.run)


def test_a_read_out_without_the_run_lacks_its_sources(tmp_path):
    machine, run = fresh(*CASES["resistive, sources"])
    out, weights = tmp_path / "map", weight_map(run)
    writing.write(formats.load("csv"), weights, out)
    text = (out / "cells.csv").read_text().replace("g_target_S", "g_S")
    (tmp_path / "read.csv").write_text(text)
    contents = formats.load("measured").read(tmp_path / "read.csv")
    with pytest.raises(
        ExportError, match=r"read\.csv: bias1: its currents are missing: give a run"
    ):
        take(contents, machine, weights)
