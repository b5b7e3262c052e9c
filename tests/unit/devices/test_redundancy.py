"""Spare lines: what repair leaves, which cells it takes, and what it leaves as it was."""

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from neurohw import randomness
from neurohw.devices import memory
from neurohw.devices.device import Stuck
from neurohw.devices.fabrication import fabricate
from neurohw.devices.redundancy import Repair, Tiling
from neurohw.errors import InvalidValueError

SPREAD = msgspec.structs.replace(
    memory.load("epiram"),
    range_spread=0.1,
    nonlinearity_spread=0.2,
    word_line_share=0.2,
    bit_line_share=0.3,
    gradient=0.2,
    stuck=Stuck(low=0.06, open=0.02, random=0.04),
)
SHAPE = 23, 31


def tiling_of(tile=8, words=2, bits=1, shape=SHAPE):
    return Tiling(
        units=shape[0],
        inputs=shape[1],
        tile=tile,
        spare_word_lines=words,
        spare_bit_lines=bits,
    )


def cells_of(tiling=None, device=SPREAD, seed=0):
    return fabricate(device, *SHAPE, width=1.0, seed=seed, array=0, tiling=tiling)


def parameters(cells):
    return [cells.low, cells.high, *cells.law.up, *cells.law.down]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("tile", [None, 1, 5, 8, 40])
def test_repair_never_leaves_more_and_takes_every_cell_once(tile, share):
    rng = np.random.default_rng(7)
    for words in range(3):
        for bits in range(3):
            tiling = tiling_of(tile, words, bits)
            stuck = rng.uniform(size=tiling.shape) < share
            repair = Repair.of(tiling, stuck)
            units, inputs = repair.cells(tiling)
            own = stuck[: SHAPE[0], : SHAPE[1]].sum()
            assert repair.stuck == own
            assert stuck[units, inputs].sum() <= own
            assert len(np.unique(units * tiling.shape[1] + inputs)) == SHAPE[0] * SHAPE[1]
            if words == bits == 0:
                assert_array_equal(stuck[units, inputs], stuck)


@pytest.mark.parametrize("tile", [None, 8])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_broken_line_is_repaired_by_one_spare(tile, axis):
    tiling = tiling_of(tile, words=axis, bits=1 - axis)
    stuck = np.zeros(tiling.shape, bool)
    # Of a line along all tiles, each tile replaces its part.
    line = (9, slice(0, SHAPE[1])) if axis == 0 else (slice(0, SHAPE[0]), 9)
    stuck[line] = True
    repair = Repair.of(tiling, stuck)
    assert not stuck[repair.cells(tiling)].any()
    places = (repair.bit_lines, repair.word_lines)[axis]
    size = tile or SHAPE[axis]
    assert_array_equal(places[9] if axis == 0 else places[:, 9], size)
    others = np.delete(places, 9, axis=axis)
    natural = np.delete(np.arange(SHAPE[axis]) % size, 9)
    assert_array_equal(
        others, np.broadcast_to(natural[:, None] if axis == 0 else natural, others.shape)
    )
    if axis == 1:
        assert_array_equal(repair.bit_lines[:, 0], np.arange(SHAPE[0]) % (tile or SHAPE[0]))


def test_the_broken_line_goes_first_and_broken_spares_are_not_taken():
    tiling = tiling_of(None, words=2, bits=0, shape=(4, 4))
    stuck = np.zeros(tiling.shape, bool)
    stuck[0, 1] = stuck[:3, 2] = True
    # The first spare line is as bad as the worst line, the second one has one stuck cell.
    stuck[:3, 4] = stuck[3, 5] = True
    repair = Repair.of(tiling, stuck)
    assert repair.word_lines.tolist() == [[0, 1, 5, 3]]
    assert stuck[repair.cells(tiling)].sum() == 2


def test_padding_stands_before_spare_lines():
    tiling = tiling_of(8, words=1, bits=0, shape=(3, 11))
    assert (tiling.tiles, tiling.shape) == ((1, 2), (3, 13))
    assert tiling.unused == 2 * 8 * 9 - 33
    stuck = np.zeros(tiling.shape, bool)
    stuck[:, 10] = True
    repair = Repair.of(tiling, stuck)
    assert repair.word_lines.tolist() == [[*range(8), 0, 1, 8]]
    assert repair.cells(tiling)[1][0].tolist() == [*range(10), 12]


def test_cells_without_spares_are_drawn_as_ever():
    """In numbers: cells by row, then word lines, then bit lines."""
    device = msgspec.structs.replace(SPREAD, stuck=Stuck(), gradient=0.0, nonlinearity_spread=0.0)
    key, size = randomness.key(randomness.stream(0, "g_max", 0)), SHAPE[0] * SHAPE[1]
    draw = np.sqrt(0.5) * randomness.normals(key, np.arange(size)).astype(float).reshape(SHAPE)
    draw += np.sqrt(0.2) * randomness.normals(key, size + np.arange(SHAPE[1]))
    draw += np.sqrt(0.3) * randomness.normals(key, size + SHAPE[1] + np.arange(SHAPE[0]))[:, None]
    assert_array_equal(cells_of(device=device).high, device.g_max * (1 + 0.1 * draw))
    # Where no cell can be stuck, spare lines change nothing.
    spared = cells_of(tiling_of(), device)
    assert_array_equal(spared.high, cells_of(device=device).high)
    assert_array_equal(spared.repair.word_lines[0], np.arange(SHAPE[1]) % 8)


def test_lines_that_are_not_replaced_keep_their_cells():
    bare, tiled = cells_of(), cells_of(tiling_of(words=0, bits=0))
    for ours, theirs in zip(parameters(bare), parameters(tiled), strict=True):
        assert_array_equal(ours, theirs)
    assert tiled.repair is None
    assert (bare.unused, tiled.unused) == (0, 12 * 64 - 23 * 31)
    spared, again = cells_of(tiling_of()), cells_of(tiling_of())
    assert 0 < spared.stuck < spared.repair.stuck == bare.stuck
    units, inputs = spared.repair.cells(tiling_of())
    kept = (units < SHAPE[0]) & (inputs < SHAPE[1])
    assert 0 < kept.sum() < kept.size
    for ours, theirs, same in zip(
        parameters(bare), parameters(spared), parameters(again), strict=True
    ):
        assert_array_equal(ours[kept], theirs[kept])
        assert not np.any(ours[~kept] == theirs[~kept])
        assert_array_equal(theirs, same)


def test_spare_lines_share_the_spread_of_the_lines_that_they_cross():
    device = msgspec.structs.replace(
        SPREAD, bit_line_share=1.0, word_line_share=0.0, gradient=0.0, stuck=Stuck(yield_=0.5)
    )
    tiling = tiling_of(None, words=6, bits=0)
    cells = cells_of(tiling, device)
    spare = (cells.repair.word_lines >= SHAPE[1])[0]
    works = cells.low < cells.high
    assert spare.any() and not spare.all()
    for row, fine in zip(cells.high, works, strict=True):
        assert np.ptp(row[fine]) < 1e-9 * row.max()


def test_a_mask_names_lines_of_the_array_alone():
    device = msgspec.structs.replace(SPREAD, stuck=Stuck(cells=((0, 23, 0, 1e-6),)))
    with pytest.raises(InvalidValueError, match="array 0 has 23 units and 31 inputs"):
        cells_of(tiling_of(), device)
    device = msgspec.structs.replace(SPREAD, stuck=Stuck(cells=((0, 3, 4, 1e-6),)))
    cells = cells_of(tiling_of(), device)
    assert (cells.repair.stuck, cells.stuck) == (1, 0)
    assert cells.repair.word_lines[0, 4] == 8
