"""Chips with tiles and spare lines: what their arrays, run files and reports hold of these."""

import re
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import SignedChip
from neurohw.devices.device import Stuck
from neurohw.errors import InvalidValueError
from neurohw.experiments import cells, configuration, estimate, run_file, trainer
from neurohw.experiments.machine import build, dataset_of
from neurohw.mappings import chip_specification
from neurohw.mappings.chip_specification import Mapping
from neurohw.reports import summary

TILES = (
    "chip.mapping.tile=32",
    "chip.mapping.spare_word_lines=2",
    "chip.mapping.spare_bit_lines=1",
)
STUCK = ("chip.device.stuck.yield=0.99",)
FEW = ("data.train=40",)


def chip_of(*settings):
    experiment = configuration.load("drn-digits", chip="epiram", settings=settings)
    return build(experiment, dataset_of(experiment)).chip


def signed(*, scheme="differential-pair", stuck=0.0, seed=3, **keys):
    chip = chip_specification.load("epiram")
    device = msgspec.structs.replace(chip.device, stuck=Stuck(random=stuck))
    mapping = Mapping(scheme=scheme, **keys)
    weights = np.random.default_rng(0).uniform(-0.5, 0.5, (9, 14))
    chip = msgspec.structs.replace(chip, device=device, mapping=mapping)
    return SignedChip(chip, [weights], seed=seed, dtype="float64")


def limits(array):
    return array.cells.low, array.cells.high


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a chip with spare lines, and its file."""
    path = tmp_path_factory.mktemp("runs") / "a.h5"
    experiment = configuration.load(
        "drn-digits", chip="epiram", settings=(*TILES, *STUCK, *FEW), epochs=1
    )
    return trainer.train(experiment, out=path), path


def test_a_resistive_chip_is_repaired_before_the_first_write():
    bare, spared = chip_of(*STUCK), chip_of(*STUCK, *TILES)
    for ours, theirs in zip(bare.arrays, spared.arrays, strict=True):
        repair = theirs.cells.repair
        assert theirs.cells.stuck < ours.cells.stuck == repair.stuck
        assert (ours.cells.repair, ours.cells.unused) == (None, 0)
        low, high = (np.broadcast_to(v, theirs.values().shape) for v in limits(theirs))
        assert_array_equal(theirs.values()[low == high], low[low == high].astype(np.float32))
    # 2 by 4 tiles, and 1 by 2 for the outputs, of 33 by 34 lines.
    shapes = [(64, 128), (10, 64)]
    unused = [8 * 33 * 34 - 64 * 128, 2 * 33 * 34 - 640]
    assert [array.cells.unused for array in spared.arrays] == unused
    for (units, inputs), array in zip(shapes, spared.arrays, strict=True):
        tiles = -(-units // 32), -(-inputs // 32)
        assert array.cells.repair.word_lines.shape == (tiles[0], inputs)
        assert array.cells.repair.bit_lines.shape == (units, tiles[1])


def test_tiles_alone_change_nothing():
    for ours, theirs in zip(chip_of(*STUCK).arrays, chip_of(*STUCK, TILES[0]).arrays, strict=True):
        assert_array_equal(ours.values(), theirs.values())
        assert set(ours.record()) == set(theirs.record())


@pytest.mark.parametrize("scheme", ["differential-pair", "offset", "bit-sliced"])
def test_crossbars_of_signed_weights_are_repaired_one_by_one(scheme):
    keys = {"scheme": scheme, "reference": "column"} | dict(spare_word_lines=3, tile=8)
    bare, spared = (signed(stuck=0.05, **options) for options in ({"scheme": scheme}, keys))
    ours, theirs = bare.arrays[0], spared.arrays[0]
    for mine, crossbar in zip(ours.crossbars, theirs.crossbars, strict=True):
        assert crossbar.cells.stuck < mine.cells.stuck == crossbar.cells.repair.stuck
        assert crossbar.cells.unused == 2 * 2 * 8 * 11 - 9 * 14
    if theirs.reference is not None:
        assert (theirs.reference.cells.repair, theirs.reference.cells.unused) == (None, 0)
    rows = cells.tiled([theirs.record()], spared.specification)
    assert [row.crossbar for row in rows] == list(range(1, len(theirs.crossbars) + 1))
    assert [row.left for row in rows] == [c.cells.stuck for c in theirs.crossbars]
    assert [row.stuck for row in rows] == [c.cells.repair.stuck for c in theirs.crossbars]


def test_weights_are_mapped_as_without_spares():
    bare, spared = signed(), signed(spare_word_lines=2, spare_bit_lines=2, tile=4)
    assert_array_equal(bare.arrays[0].values(), spared.arrays[0].values())
    wanted = [np.random.default_rng(1).uniform(-0.9, 0.9, (9, 14))]
    for chip in (bare, spared):
        chip.write(wanted, [])
    assert_array_equal(bare.logical()[0][0], spared.logical()[0][0])
    assert_allclose(spared.logical()[0][0], wanted[0], atol=2 / 64)


def test_a_fast_array_has_spare_lines_of_its_own():
    array = chip_of(*STUCK, *TILES, "chip.programming.accumulate=analog").arrays[0]
    record = array.record()
    assert record["word_lines"].shape == record["fast_word_lines"].shape
    assert not np.array_equal(record["word_lines"], record["fast_word_lines"])


def test_bias_cells_have_no_spare_lines():
    chip = chip_of(*STUCK, *TILES, "chip.bias.kind=rails")
    assert all(bias.array.cells.repair is None for bias in chip.biases)


def test_a_run_file_has_the_lines(run):
    found, path = run
    again = run_file.load(path)
    chip = chip_of(*TILES, *STUCK)
    for k, array in enumerate(chip.arrays):
        assert_array_equal(again.arrays[k]["word_lines"], array.cells.repair.word_lines)
        assert_array_equal(again.arrays[k]["bit_lines"], array.cells.repair.bit_lines)
    with h5py.File(path) as file:
        axes = {key: value.attrs.get("axes") for key, value in file["arrays/0"].items()}
    assert (axes["word_lines"], axes["bit_lines"]) == (b"tile, input", b"unit, tile")
    assert axes["conductance"] == b"unit, input"
    rows = cells.tiled(found.arrays, found.experiment.chip)
    assert [(row.stuck, row.left) for row in rows] == [
        (array.cells.repair.stuck, array.cells.stuck) for array in chip.arrays
    ]
    assert [row.tiles for row in rows] == [(2, 4), (1, 2)]
    assert 0 < rows[0].word_lines <= 2 * 8 and 0 < rows[0].bit_lines <= 8
    table = summary.tiles(found)
    assert table.rows[0][:2] == ("Input → hidden 1", "2 × 4")
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_unused_cells_take_area(run):
    found, _ = run
    costs, width = found.experiment.chip.costs, np.sqrt(128 / 64)
    area = estimate.estimate(found, samples=8, free_time=1e-6, nudged_time=1e-6).area
    unused = 8 * 33 * 34 - 64 * 128 + width * (2 * 33 * 34 - 640)
    assert_allclose(area["unused cells"], costs.pitch**2 * unused)


def test_reports_and_warnings_say_nothing_without_tiles():
    chip = chip_of(*STUCK)
    assert cells.tiled([array.record() for array in chip.arrays], chip.specification) == []
    spared = chip_of(*STUCK, *TILES)
    for k, line in enumerate(cells.warnings(spared.crossbars)):
        stuck = spared.arrays[k].cells
        assert f"{stuck.stuck} of" in line and f"{stuck.repair.stuck} before repair" in line


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"spare_word_lines": -1}, "spare_word_lines = -1"),
        ({"spare_bit_lines": 2000}, "spare_bit_lines = 2000: must lie between 0 and 1024"),
        ({"tile": -3}, "tile = -3"),
    ],
)
def test_impossible_tiles_are_refused(keys, words):
    with pytest.raises(InvalidValueError, match=words):
        Mapping(**keys)


def test_wires_have_the_size_of_tiles():
    wires = {"word_line": 1.0, "bit_line": 1.0, "tile": 16}
    chip = chip_specification.load({"preset": "epiram", "wires": wires})
    assert chip.tile == 16
    with pytest.raises(ValueError, match=r"mapping.tile = 8: must be left out, because wires.tile"):
        chip_specification.load({"preset": "epiram", "wires": wires, "mapping": {"tile": 8}})


def test_the_document_prints_its_table(capsys):
    text = (Path(__file__).parents[2] / "docs" / "spare-lines.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    exec(block, {})
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [
        row.replace(",", "").split(" | ")[1:]
        for row in re.findall(r"^\| ((?:yield|cells).*) \|$", text, re.MULTILINE)
    ]
    stuck = [row[1] for row in printed]
    assert rows[:3] == [stuck[:4], stuck[4:8], stuck[8:]]
    assert {tuple(rows[3])} == {tuple(r[2] for r in printed[k : k + 4]) for k in (0, 4, 8)}
