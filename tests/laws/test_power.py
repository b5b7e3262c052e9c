"""Power at a steady state: Tellegen's theorem, and each class is what it says."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits.crossbar import WiredCrossbar, line_ends
from neurohw.circuits.curves import Curve
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.neuron import Neuron, fabricate
from neurohw.circuits.synapse import Synapse
from neurohw.engines.equilibrium import Nudging
from neurohw.engines.numpy import NumpyEngine
from neurohw.engines.power import power

NEURONS = {
    "ideal": Neuron(low_voltage=0.02, high_voltage=-0.01),
    "diode": Neuron(kind="diode", low_voltage=0.3, high_voltage=-0.3, series_resistance=1e3),
    "amplifier": Neuron(
        kind="diode",
        arrangement="antiparallel",
        low_voltage=-0.1,
        high_voltage=0.1,
        gain=3.0,
        backward_gain=0.5,
        offset=0.01,
    ),
}


def settled(problem, *, neuron=None, wires=None, synapse=None, nudged=False):
    """Return the network and its power at rest."""
    network = replace(problem.network, synapse=synapse)
    if neuron is not None:
        layers = network.layers
        neurons = tuple(
            fabricate(neuron, n, temperature=300.0, seed=0, layer=k, output=k == len(layers) - 1)
            for k, n in enumerate(layers)
        )
        low, high = zip(*(n.clamps(np.dtype(np.float64)) for n in neurons), strict=True)
        network = replace(network, low=low, high=high, neurons=neurons)
    arrays = problem.arrays if wires is None else problem.wired(wires)
    nudging = None
    if nudged:
        nudging = Nudging(
            strength=np.array([5e-6, -2e-6, np.inf, 0.0]),
            target=problem.target,
            current=1e-7 * problem.target,
        )
    state = NumpyEngine().relax(
        network,
        arrays,
        problem.sources,
        problem.inputs @ arrays[0].conductance.T,
        nudging=nudging,
        sweeps=3000,
        tolerance=1e-13,
        inputs=problem.inputs,
    )
    words = network, arrays, problem.sources, problem.inputs, state.state
    return power(*words, nudging), state.state


CASES = {
    "plain": {},
    **{name: {"neuron": neuron} for name, neuron in NEURONS.items()},
    "wires": {"wires": Wires(word_line=500.0, bit_line=300.0, source=1e3, tile=3)},
    "cubic": {
        "synapse": Synapse(Curve(voltage=(-2.0, 2.0), coefficients=(1.0, 0.2, 0.5))),
    },
}


@pytest.mark.parametrize("nudged", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_what_is_delivered_is_dissipated(make_problem, case, nudged):
    settings = dict(CASES[case])
    if case == "wires":
        settings["wires"] = Wires(word_line=500.0, bit_line=300.0, source=1e3)
    found, _ = settled(make_problem((5, 4), seed=1), **settings, nudged=nudged)
    # A residual of 1e-13 of the voltages; finite differences of wires are of second order.
    assert_allclose(found.imbalance, 0, atol=1e-9)
    present = {name for name, p in found.dissipated.items() if np.abs(p).max() > 1e-15}
    assert {"array 1", "array 2", "array 3", "leaks"} <= present
    assert ("wires" in present) == (case == "wires")
    assert ("nudging" in present) == nudged
    assert ("diodes" in present) == (case in ("diode", "amplifier"))


def test_cells_and_wires_have_the_power_of_their_drops(make_problem):
    """Ohm's law in every cell, from the node voltages of the wired array."""
    problem = make_problem((5,), seed=3)
    wires = Wires(word_line=500.0, bit_line=300.0, source=1e3)
    found, state = settled(problem, wires=wires)
    expected = []
    for g, x, y in zip(problem.conductances, (problem.inputs, state[0]), state, strict=True):
        drops = node_drops(WiredCrossbar(g, wires), x, y)
        expected.append(np.einsum("bji,ji->b", drops**2, g))
    for k, cells in enumerate(expected, start=1):
        # Differences of a relative 1e-3: errors of 1e-6 times a curvature of about 1.
        assert_allclose(found.dissipated[f"array {k}"], cells, rtol=1e-5)


def node_drops(crossbar, inputs, units):
    """Return v_word − v_bit of every cell, (batch, units, inputs), from dense nodal analysis."""
    g = crossbar.conductance
    (word, near, _), (bit, _, far) = line_ends(crossbar.wires)
    size, index = g.size, np.arange(g.size).reshape(g.shape)
    matrix = np.zeros((2 * size, 2 * size))

    def join(a, b, y):
        values = np.broadcast_to(y, a.shape).ravel()
        for one, other, value in zip(a.ravel(), b.ravel(), values, strict=True):
            matrix[[one, other], [one, other]] += value
            matrix[[one, other], [other, one]] -= value

    join(index[:-1], index[1:], word)
    join(size + index[:, :-1], size + index[:, 1:], bit)
    join(index, size + index, g)
    source = np.zeros((2 * size, len(inputs)))
    for nodes, y, voltages in ((index[0], near, inputs), (size + index[:, -1], far, units)):
        matrix[nodes, nodes] += y
        source[nodes] += y * voltages.T
    v = np.linalg.solve(matrix, source)
    return (v[:size] - v[size:]).T.reshape(-1, *g.shape)
