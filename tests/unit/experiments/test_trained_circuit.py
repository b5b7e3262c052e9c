"""Cutting the circuit of a trained run."""

import msgspec
import numpy as np
import pytest

from neurohw.circuits.crossbar import WiredCrossbar
from neurohw.circuits.interconnect import Wires
from neurohw.engines.equilibrium import SeenArray, Source
from neurohw.engines.kirchhoff import couplings, total_conductances
from neurohw.experiments.trained_circuit import Circuit, cut
from neurohw.networks.resistive import deep_resistive_network, nudging_bound


def circuit(g, strengths=(1e-6, -1e-6)):
    network = deep_resistive_network(g[0].shape[1] // 2, [len(g[0])], len(g[1]))
    return Circuit(
        network=network,
        arrays=[SeenArray(conductance=a, unit_sums=a.sum(1), input_sums=a.sum(0)) for a in g],
        sources=[
            Source(current=np.arange(float(n)), conductance=np.zeros(n)) for n in network.layers
        ],
        inputs=np.arange(2.0 * g[0].shape[1]).reshape(2, -1),
        target=np.arange(2.0 * len(g[1])).reshape(2, -1),
        strengths=strengths,
    )


def random_cells():
    rng = np.random.default_rng(0)
    return [1e-5 * rng.uniform(0.1, 1, (6, 8)), 1e-5 * rng.uniform(0.1, 1, (3, 6))]


def test_small_circuits_stay_whole():
    whole = circuit(random_cells())
    assert cut(whole, 8, 6) is whole


def test_the_largest_lines_are_left_and_still_belong_together():
    cells = random_cells()
    cells[0][:, [1, 6]] *= 10
    cells[0][[2, 5]] *= 10
    cells[1][:, 2] *= 10
    whole = circuit(cells)
    part = cut(whole, 2, 2)
    assert part.sizes == (2, 2, 2)
    np.testing.assert_array_equal(part.arrays[0].conductance, cells[0][np.ix_([2, 5], [1, 6])])
    np.testing.assert_array_equal(part.inputs, whole.inputs[:, [1, 6]])
    outputs = np.sort(np.argsort(-cells[1].sum(axis=1))[:2])
    np.testing.assert_array_equal(part.arrays[1].conductance, cells[1][np.ix_(outputs, [2, 5])])
    np.testing.assert_array_equal(part.target, whole.target[:, outputs])
    np.testing.assert_array_equal(part.sources[0].current, [2.0, 5.0])
    # Of six units the first three are held from below, of these two it is unit 2 alone.
    np.testing.assert_array_equal(part.network.low[0], [0.0, -np.inf])
    np.testing.assert_array_equal(part.network.high[0], [np.inf, 0.0])


def test_nudging_is_weakened_where_the_cut_would_leave_no_minimum():
    part = cut(circuit(random_cells(), strengths=(1e-3, -1e-3)), 2, 2)
    arrays = [array.conductance for array in part.arrays]
    totals = total_conductances(part.network, part.arrays, part.sources)
    bound = nudging_bound(part.network, arrays, totals)
    assert part.strengths == pytest.approx((0.5 * bound, -0.5 * bound))


def test_wired_networks_are_cut_by_their_cells():
    """Terminals that say something else, as old ones do, do not count."""
    cells, wires = random_cells(), Wires(word_line=5e3, bit_line=3e3)
    bare = circuit(cells, strengths=(1e-3, -1e-3))
    arrays = [
        msgspec.structs.replace(array, conductance=array.conductance[::-1], cells=g, wires=wires)
        for array, g in zip(bare.arrays, cells, strict=True)
    ]
    expected, part = (
        cut(whole, 4, 4) for whole in (bare, msgspec.structs.replace(bare, arrays=arrays))
    )
    for array, kept in zip(part.arrays, expected.arrays, strict=True):
        np.testing.assert_array_equal(array.cells, kept.conductance)
        terminals = WiredCrossbar(array.cells, wires).terminals
        inputs = array.cells.shape[1]
        off = np.diag(np.diag(terminals)) - terminals
        np.testing.assert_allclose(array.conductance, off[inputs:, :inputs], rtol=1e-10)
        np.testing.assert_allclose(array.unit_coupling, off[inputs:, inputs:], rtol=1e-10)
        np.testing.assert_allclose(array.unit_sums, np.diag(terminals)[inputs:], rtol=1e-10)
    bound = nudging_bound(
        part.network,
        [array.conductance for array in part.arrays],
        total_conductances(part.network, part.arrays, part.sources),
        couplings(part.network, part.arrays),
    )
    assert part.strengths == pytest.approx((0.5 * bound, -0.5 * bound))
