"""Cutting the circuit of a trained run."""

import numpy as np
import pytest

from neurohw.circuits.interconnect import Wires
from neurohw.engines.equilibrium import SeenArray, Source
from neurohw.engines.kirchhoff import total_conductances
from neurohw.errors import UnsupportedError
from neurohw.experiments.trained_circuit import Circuit, cut
from neurohw.networks.resistive import deep_resistive_network, nudging_bound


def circuit(g, strengths=(1e-6, -1e-6), **wires):
    network = deep_resistive_network(g[0].shape[1] // 2, [len(g[0])], len(g[1]))
    return Circuit(
        network=network,
        arrays=[
            SeenArray(conductance=a, unit_sums=a.sum(1), input_sums=a.sum(0), **wires) for a in g
        ],
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


def test_wired_networks_are_not_cut():
    cells = random_cells()
    wires = Wires(word_line=1.0, bit_line=1.0)
    whole = circuit(cells, wires=wires, cells=cells[0])
    with pytest.raises(UnsupportedError, match="network 8-6-3: too large for ngspice"):
        cut(whole, 4, 4)
