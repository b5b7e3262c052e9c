"""The map of a run: every weight once, where the repair put it, and the weights it stands for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.errors import ConfigurationError, UnsupportedError
from neurohw.export.mapping import weight_map
from neurohw.export.weight_map import UNUSED

from .conftest import CASES, fresh


def test_weights_are_what_the_layer_says(case):
    machine, run = case
    layers = {layer.name: layer for layer in weight_map(run).layers}
    weights, biases = machine.chip.logical()
    for k, expected in enumerate(weights, start=1):
        # Sums of float32 cells, the smallest of which are differences of larger ones.
        scale = np.abs(expected).max()
        assert_allclose(layers[f"layer{k}"].weights(), expected, rtol=1e-5, atol=1e-6 * scale)
    if run.experiment.chip.bias.kind == "rails" and biases:
        for k, expected in enumerate(biases, start=1):
            assert_allclose(layers[f"bias{k}"].weights()[:, 0], expected, rtol=1e-5, atol=1e-6)


def test_each_weight_lies_in_one_cell(case):
    _, run = case
    weights = weight_map(run)
    for crossbar in weights.crossbars:
        held = np.zeros(crossbar.conductance.shape, int)
        for tile in crossbar.tiles():
            word, bit = tile.inputs != UNUSED, tile.units != UNUSED
            cells = np.ix_(tile.units[bit], tile.inputs[word])
            held[cells] += 1
            matrix = tile.matrix()
            assert matrix.shape == tile.shape
            assert_array_equal(matrix[np.ix_(word, bit)].T, crossbar.conductance[cells])
            assert_array_equal(np.isnan(matrix), ~np.outer(word, bit))
            assert tile.weights == np.count_nonzero(np.isfinite(matrix))
        assert_array_equal(held, 1)
    assert weights.cells == sum(np.prod(tile.shape) for tile in weights.tiles())


def test_blocks_make_up_a_tile(case):
    _, run = case
    handed = []
    weights = weight_map(run)
    for tile in weights.tiles():
        for cells in (1, 100):
            blocks = list(tile.blocks(cells))
            assert_array_equal(np.concatenate([b.target for b in blocks]), tile.matrix())
            assert [b.first for b in blocks] == list(
                range(0, tile.shape[0], max(cells // tile.shape[1], 1))
            )
            assert max(b.target.size for b in blocks) <= max(cells, tile.shape[1])
    counting = type(weights)(run=run, layers=weights.layers, currents={}, advance=handed.append)
    for tile in counting.tiles():
        list(counting.blocks(tile))
    assert sum(handed) == weights.cells


def test_a_repaired_chip_has_spare_lines_in_use():
    _, run = fresh(*CASES["pairs"])
    positive = weight_map(run, ["layer1"]).crossbars[0]
    spare = [tile for tile in positive.tiles() if (tile.inputs[16:] != UNUSED).any()]
    stuck = sum(int(np.sum(b.stuck)) for tile in positive.tiles() for b in tile.blocks())
    assert spare
    assert stuck == np.count_nonzero(run.arrays[0]["g_min_0"] == run.arrays[0]["g_max_0"]) > 0


def test_layers_by_name_or_number():
    _, run = fresh(*CASES["resistive, sources"])
    assert [layer.name for layer in weight_map(run, ["2"]).layers] == ["layer2"]
    assert list(weight_map(run, ["2"]).currents) == ["bias2"]
    assert list(weight_map(run, ["bias1"]).currents) == ["bias1"]
    assert not weight_map(run, ["layer1"]).currents
    with pytest.raises(ConfigurationError, match=r"layer = 3: there are layer1, layer2, bias1"):
        weight_map(run, ["3"])


def test_narrower_cells_need_their_limits():
    _, run = fresh(*CASES["pairs, carry"])
    for record in run.arrays:
        del record["fast_g_min_1"]
    with pytest.raises(UnsupportedError, match=r"^layer1: the run file has no limits of the narro"):
        weight_map(run)
