"""The reduction by elimination against the terminals that conjugate gradients find."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.circuits import tiles
from neurohw.circuits.crossbar import WiredCrossbar, exact_currents
from neurohw.circuits.interconnect import Wires

ENDS = ["one end", "both ends"]
SHAPES = [(1, 1), (1, 6), (7, 1), (5, 9), (12, 8)]


def cells(shape, *, decades=2, seed=0):
    """Draw cells of up to 100 µS; a fifth are missing."""
    rng = np.random.default_rng(seed)
    g = 10 ** rng.uniform(-4 - decades, -4, shape)
    g[rng.uniform(size=shape) < 0.2] = 0.0
    return g


def matrix_of(terminals):
    """Return Y of all terminals, inputs before units."""
    own = [
        np.diag(terminals.input_sums) - terminals.input_coupling,
        np.diag(terminals.unit_sums) - terminals.unit_coupling,
    ]
    return np.block([[own[0], -terminals.transfer.T], [-terminals.transfer, own[1]]])


def expected(g, wires):
    """Return Y of all terminals, from every tile's own."""
    units, inputs = g.shape
    matrix = np.zeros((inputs + units, inputs + units))
    for j in range(0, units, wires.tile):
        for i in range(0, inputs, wires.tile):
            block = g[j : j + wires.tile, i : i + wires.tile]
            lines = [*range(i, i + block.shape[1]), *range(inputs + j, inputs + j + len(block))]
            matrix[np.ix_(lines, lines)] += WiredCrossbar(block, wires).terminals
    return matrix


@pytest.mark.parametrize("driven_from", ENDS)
@pytest.mark.parametrize("sensed_at", ENDS)
@pytest.mark.parametrize("resistance", [1e-2, 1.0, 1e3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reduction_gives_the_conductances_between_terminals(
    shape, resistance, driven_from, sensed_at
):
    wires = Wires(
        word_line=resistance,
        bit_line=1.7 * resistance,
        source=3.0,
        sense=0.4,
        driven_from=driven_from,
        sensed_at=sensed_at,
        tile=8,
    )
    g = cells(shape)
    found = matrix_of(tiles.reduce(g, wires))
    # Lines sensed at both ends: 1e-16 of a segment for each input, in units of a cell of 10 µS.
    share = 1e-12 if sensed_at == "one end" else 1e-12 + 1e-10 / resistance
    assert_allclose(found, expected(g, wires), rtol=0, atol=share * max(found.max(), 1e-5))
    single = matrix_of(tiles.reduce(g.astype(np.float32), wires))
    assert single.dtype == np.float32
    assert_allclose(single, found, rtol=0, atol=3e-6 * max(found.max(), 1e-5))


def test_long_lines_and_extreme_ratios():
    """Where Newton's steps take over from each other, and where they are far off."""
    g = cells((24, 150), decades=6)
    g[3, 7] = 1.0
    for resistance in (0.1, 30.0):
        wires = Wires(word_line=resistance, bit_line=resistance, tile=150)
        found = matrix_of(tiles.reduce(g, wires))
        assert_allclose(found, expected(g, wires), rtol=0, atol=1e-11 * found.max())


def test_driven_inputs_are_left_out():
    g, wires = cells((12, 20)), Wires(word_line=5.0, bit_line=3.0, tile=8)
    whole, driven = tiles.reduce(g, wires), tiles.reduce(g, wires, driven=True)
    for key in ("transfer", "unit_sums", "unit_coupling"):
        scale = np.abs(getattr(whole, key)).max()
        assert_allclose(getattr(driven, key), getattr(whole, key), rtol=0, atol=1e-14 * scale)
    assert driven.input_sums is None
    assert driven.input_coupling is None


def test_currents_are_the_sums_over_tiles():
    g, wires = cells((11, 19)), Wires(word_line=5.0, bit_line=3.0, source=2.0, tile=8)
    rng = np.random.default_rng(1)
    inputs, units = rng.normal(size=(3, 19)), rng.normal(size=(3, 11))
    into, out = np.zeros_like(inputs), np.zeros_like(units)
    for rows in (slice(0, 8), slice(8, 11)):
        for columns in (slice(0, 8), slice(8, 16), slice(16, 19)):
            tile = WiredCrossbar(g[rows, columns], wires)
            fed, sensed = exact_currents(tile, inputs[:, columns], units[:, rows])
            into[:, columns] += fed
            out[:, rows] += sensed
    found = tiles.currents(g, wires, inputs, units)
    assert_allclose(found[0], into, rtol=0, atol=1e-10 * np.abs(into).max())
    assert_allclose(found[1], out, rtol=0, atol=1e-10 * np.abs(into).max())
    y = matrix_of(tiles.reduce(g, wires))
    reduced = np.hstack((inputs, units)) @ y
    assert_allclose(found[0], reduced[:, :19], rtol=0, atol=1e-10 * np.abs(into).max())
    assert_allclose(found[1], -reduced[:, 19:], rtol=0, atol=1e-10 * np.abs(into).max())


@pytest.mark.parametrize("sensed_at", ENDS)
@pytest.mark.parametrize("driven_from", ENDS)
def test_what_passes_along_the_lines(driven_from, sensed_at):
    """Each factor is a ladder's: a line with its cells as loads to 0 V."""
    ends = {"driven_from": driven_from, "sensed_at": sensed_at}
    wires = Wires(word_line=50.0, bit_line=80.0, source=7.0, sense=9.0, **ends)
    g = cells((6, 5))

    def ladder(loads, segment, resistance, first, last):
        nodes = len(loads)
        matrix, feed = np.diag(loads), np.zeros(nodes)
        for k in range(nodes - 1):
            matrix[k : k + 2, k : k + 2] += np.array([[1, -1], [-1, 1]]) / segment
        for held, k in ((first, 0), (last, -1)):
            matrix[k, k] += held / (segment + resistance)
            feed[k] += held / (segment + resistance)
        return np.linalg.solve(matrix, feed)

    far, near = driven_from == "both ends", sensed_at == "both ends"
    along_words = np.array([ladder(column, 50.0, 7.0, 1, far) for column in g.T]).T
    along_bits = np.array([ladder(line, 80.0, 9.0, near, 1) for line in g])
    assert_allclose(tiles.passed(g, wires), along_words * along_bits, rtol=1e-12)


@pytest.mark.parametrize("sensed_at", ENDS)
@pytest.mark.parametrize("driven_from", ENDS)
def test_couplings_are_right_to_first_order(driven_from, sensed_at):
    g, errors = cells((9, 12)), []
    for r in (0.2, 0.1):
        wires = Wires(
            word_line=r,
            bit_line=2 * r,
            source=3 * r,
            sense=4 * r,
            driven_from=driven_from,
            sensed_at=sensed_at,
            tile=5,
        )
        exact, found = tiles.reduce(g, wires), tiles.coupled(g, wires)
        pairs = zip(found, (exact.unit_coupling, exact.input_coupling), strict=True)
        errors.append([np.abs(ours - theirs).max() / theirs.max() for ours, theirs in pairs])
    assert np.max(errors) < 0.02
    # The error's share halves with the resistance.
    assert_allclose(np.divide(*errors), 2, rtol=0.02)
    assert tiles.coupled(g, wires, driven=True)[1] is None


def test_tiles_cover_the_array_once():
    count = np.zeros((130, 300), int)
    for j0, j1, i0, i1 in tiles.tiles_of(130, 300, 64):
        assert max(j1 - j0, i1 - i0) <= 64
        count[j0:j1, i0:i1] += 1
    assert_array_equal(count, 1)
