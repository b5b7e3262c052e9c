"""What each format writes, as those who read it find it; options; other packages' formats."""

import csv
import json
import shutil
import subprocess
from importlib.metadata import EntryPoint
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from neurohw.errors import ConfigurationError, ExportError, InvalidValueError
from neurohw.export import formats, writing
from neurohw.export.formats import Format
from neurohw.export.mapping import weight_map
from neurohw.export.mem import Mem
from neurohw.export.weight_map import UNUSED

from .conftest import CASES, fresh


@pytest.fixture(scope="module")
def repaired():
    """The map of a resistive network on a repaired chip with bias cells."""
    return weight_map(fresh(*CASES["resistive, repaired"])[1])


def written(name, weights, folder, *settings):
    out = folder / "map"
    writing.write(formats.load(name, settings), weights, out)
    return out


def test_hdf5_states_units_orientation_and_stuck_cells(repaired, tmp_path):
    with h5py.File(written("hdf5", repaired, tmp_path)) as file:
        assert file.attrs["format"].decode() == "neurohw weight map"
        assert file.attrs["schema_version"] == 1
        assert file.attrs["orientation"].startswith(b"rows are word lines (inputs), columns")
        assert json.loads(file["experiment"][()])["chip"]["name"] == "epiram"
        layer = file["layers/layer1"]
        assert layer.attrs["scheme"] == b"single-ended"
        assert layer.attrs["scale_unit"] == b"1/S"
        assert layer["layer1"].attrs["role"] == b"conductance"
        group = layer["layer1"]
        axes = b"tile row, tile column, word line, bit line"
        assert (group["g_target"].attrs["unit"], group["g_target"].attrs["axes"]) == (b"S", axes)
        for place in map(tuple, group["stuck"][...]):
            assert group["g_min"][place] == group["g_max"][place]
            assert group["g_target"][place] == np.float32(group["g_min"][place])
        for tile in repaired.layers[0].crossbars[0].tiles():
            place = tile.row, tile.column
            assert_array_equal(group["g_target"][place], tile.matrix())
            assert_array_equal(group["input"][place], tile.inputs)
            assert_array_equal(group["unit"][place], tile.units)
        stuck = len(group["stuck"])
    record = repaired.run.arrays[0]
    assert stuck == np.count_nonzero(record["g_min"] == record["g_max"]) > 0


def test_the_long_table_names_every_weight(repaired, tmp_path):
    out = written("csv", repaired, tmp_path)
    with (out / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == "array,word_line,bit_line,g_target_S,g_min_S,g_max_S,weight,role"
    tiles = {tile.name: tile for tile in repaired.tiles()}
    assert len(rows) == sum(tile.weights for tile in tiles.values())
    for row in rows:
        tile, word, bit = tiles[row["array"]], int(row["word_line"]), int(row["bit_line"])
        assert row["weight"] == f"u{tile.units[bit]}i{tile.inputs[word]}"
        assert row["role"] == tile.crossbar.role
    for name, tile in tiles.items():
        matrix = np.loadtxt(out / f"{name}.csv", delimiter=",", dtype=np.float32, ndmin=2)
        assert_array_equal(matrix, tile.matrix())


def test_npz_opens_without_neurohw(repaired, tmp_path):
    with np.load(written("npz", repaired, tmp_path), allow_pickle=False) as archive:
        about = json.loads(archive["map"].tobytes())
        crossbars = [each for layer in about["layers"] for each in layer["crossbars"]]
        assert [each["name"] for each in crossbars] == [c.name for c in repaired.crossbars]
        assert crossbars[0]["tiles"] == list(repaired.crossbars[0].tiling.tiles)
        for tile in repaired.tiles():
            assert archive[f"{tile.name}.g_target"].shape == tile.shape
            assert_array_equal(archive[f"{tile.name}.input"], tile.inputs)
            assert archive[f"{tile.name}.g_min"].shape in (tile.shape, (1, 1))


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog")
def test_verilog_reads_the_memories(repaired, tmp_path):
    out = written("mem", repaired, tmp_path, "bits=6")
    tile = next(tile for tile in repaired.tiles() if (tile.inputs == UNUSED).any())
    words, bits = tile.shape
    (tmp_path / "bench.v").write_text(
        f"module bench; reg [5:0] g [0:{words * bits - 1}]; integer k;\n"
        f'initial begin $readmemh("{out / tile.name}.mem", g);\n'
        f'for (k = 0; k < {words * bits}; k = k + 1) $display("%d", g[k]); end endmodule\n'
    )
    subprocess.run(["iverilog", "-o", tmp_path / "bench", tmp_path / "bench.v"], check=True)
    done = subprocess.run([tmp_path / "bench"], capture_output=True, text=True, check=True)
    codes = np.array(done.stdout.split(), int).reshape(words, bits)
    read = {each.name: each for each in Mem(bits=6).read(out).tiles}[tile.name]
    low, step = read.conductance.min(), 2 * read.rounding
    assert_array_equal(codes, np.rint((read.conductance - low) / step) + codes.min())
    held = np.isfinite(tile.matrix())
    assert np.abs(read.conductance - tile.matrix())[held].max() <= 0.5001 * step
    assert (codes[~held] == 0).all()


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_c_compiler_reads_the_header(repaired, tmp_path):
    out = written("numpy-header", repaired, tmp_path)
    tile = next(repaired.tiles())
    word = int(np.flatnonzero(tile.inputs != UNUSED)[-1])
    bit = int(np.flatnonzero(tile.units != UNUSED)[0])
    name = tile.name.replace("-", "_")
    (tmp_path / "main.c").write_text(
        f'#include <stdio.h>\n#include "{out}"\nint main(void) {{ printf("%.9g %d",'
        f" (double){name}_G_TARGET[{word}][{bit}], (int){name}_INPUT[{word}]); return 0; }}\n"
    )
    subprocess.run(["cc", tmp_path / "main.c", "-o", tmp_path / "main"], check=True)
    text = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    conductance, carried = text.split()
    assert np.float32(conductance) == tile.matrix()[word, bit]
    assert int(carried) == tile.inputs[word]


def test_options_and_names(monkeypatch):
    assert formats.load("mem", ["bits=4"]) == Mem(bits=4)
    with pytest.raises(ConfigurationError, match=r'format = "hdf": unknown; did you mean hdf5'):
        formats.load("hdf")
    with pytest.raises(ConfigurationError, match=r"format mem: bit = 4: unknown key; .* bits"):
        formats.load("mem", ["bit=4"])
    with pytest.raises((ConfigurationError, InvalidValueError), match=r"bits = 17: must lie"):
        formats.load("mem", ["bits=17"])
    own = EntryPoint("mine", "tests.nowhere:Mine", formats._GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: Mine)
    monkeypatch.setattr(
        formats, "entry_points", lambda group, name="mine": [own] if name == "mine" else []
    )
    assert "mine" in formats.names()
    assert formats.load("mine") == Mine()


class Mine(Format, frozen=True):
    """A format of another package."""

    name = "mine"
    description = ""

    def write(self, weights, out):
        out.write_text("half")
        raise ExportError("cannot hold this map")


def test_nothing_is_left_of_what_fails(repaired, tmp_path):
    out = tmp_path / "deep" / "map"
    with pytest.raises(ExportError, match="cannot hold"):
        writing.write(Mine(), repaired, out)
    assert not list(out.parent.iterdir())
    out.write_text("before")
    with pytest.raises(ExportError, match="cannot hold"):
        writing.write(Mine(), repaired, out, force=True)
    assert out.read_text() == "before"


def test_only_an_export_is_replaced(repaired, tmp_path):
    mem, out = formats.load("mem"), tmp_path / "map"
    writing.write(mem, repaired, out)
    with pytest.raises(ExportError, match=r"map: exists; use --force"):
        writing.write(mem, repaired, out)
    writing.write(formats.load("mem", ["bits=4"]), repaired, out, force=True)
    assert "bits=4" in (out / "layer1-0-0.mem").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["map"]
    with pytest.raises(ExportError, match=r"writes a file, and this is a folder"):
        writing.write(formats.load("npz"), repaired, out, force=True)
    (out / "map.json").unlink()
    with pytest.raises(ExportError, match=r"no export is not replaced"):
        writing.write(mem, repaired, out, force=True)
    with pytest.raises(ExportError, match=r"format = measured: is read only"):
        writing.write(formats.load("measured"), repaired, tmp_path / "x.csv")


def test_an_export_that_cannot_be_replaced_stays(repaired, tmp_path, monkeypatch):
    weights, out = repaired, tmp_path / "map"
    writing.write(formats.load("csv"), weights, out)
    before, rename = (out / "cells.csv").read_bytes(), Path.rename

    def refuse(path, target):
        if path.name.endswith(".unfinished"):
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(ExportError, match="map: cannot be written: Permission denied"):
        writing.write(formats.load("csv"), weights, out, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["map"]
    assert (out / "cells.csv").read_bytes() == before


@pytest.mark.parametrize("name", ["hdf5", "csv"])
def test_a_folder_that_is_a_file_is_named(name, repaired, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ExportError, match=r"file/map: cannot be written: File exists"):
        writing.write(formats.load(name), repaired, tmp_path / "file" / "map")
