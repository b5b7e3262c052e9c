"""The netlist of a network: what is in it, and what is refused."""

import msgspec
import numpy as np
import pytest

from neurohw.circuits.neuron import Neuron, fabricate
from neurohw.engines.equilibrium import Nudging
from neurohw.engines.spice import deck
from neurohw.errors import InvalidValueError, UnsupportedError


def build(problem, arrays=None, nudging=None, sources=None):
    drive = deck.drives(problem.network, problem.inputs, len(problem.inputs), nudging)[0]
    return deck.build(problem.network, arrays or problem.arrays, sources or problem.sources, drive)


def test_inputs_targets_and_nudges_are_named_sources(make_problem):
    problem = make_problem((4,), batch=1)
    nudging = Nudging(strength=np.array([1e-6]), target=problem.target)
    text = build(problem, nudging=nudging).text()
    assert f"\nvn0_0 n0_0 0 {float(problem.inputs[0, 0])!r}\n" in text
    assert f"\nvt_2 t_2 0 {float(problem.target[0, 2])!r}\n" in text
    assert "\nxnudge_1 n2_1 t_1 nudge strength=1e-06 current=0.0\n" in text
    assert "\nxbelow1_0 n1_0 hold_from_below level=0.0 " in text
    assert "\nxabove1_3 n1_3 hold_from_above level=0.0 " in text
    assert "float64" not in text


def test_infinite_nudging_clamps(make_problem):
    problem = make_problem((4,), batch=1)
    nudging = Nudging(strength=np.array([np.inf]), target=problem.target)
    text = build(problem, nudging=nudging).text()
    assert "\nxclamp_0 n2_0 t_0 clamp\n" in text
    assert "strength=0.0" in text


def test_amplifiers_drive_the_lines_of_the_next_array(make_problem):
    problem = make_problem((2,), batch=1)
    neuron = Neuron(kind="diode", gain=4.0, backward_gain=0.5, offset=0.01)
    neurons = tuple(
        fabricate(neuron, n, temperature=300, seed=0, layer=k, output=k == 1)
        for k, n in enumerate(problem.network.layers)
    )
    network = deck.replace(problem.network, neurons=neurons)
    drive = deck.drives(network, problem.inputs, 1, None)[0]
    text = deck.build(network, problem.arrays, problem.sources, drive).text()
    line = "xamplifier1_1 n1_1 a1_1 bidirectional_amplifier gain=4.0 backward_gain=0.5 shift=0.04"
    assert f"\n{line}\n" in text
    cells = [line.split() for line in text.splitlines() if line.startswith("r2_")]
    assert {line for _, line, _, _ in cells} == {"a1_0", "a1_1"}


def test_floating_units_are_refused_by_name(make_problem):
    problem = make_problem((4, 3), batch=1)
    arrays = problem.arrays
    sources = [
        msgspec.structs.replace(s, conductance=np.zeros_like(s.conductance))
        for s in problem.sources
    ]
    build(problem, arrays, sources=sources)
    cut = [a.conductance.copy() for a in arrays]
    cut[1][2], cut[2][:, 2] = 0, 0
    arrays = [msgspec.structs.replace(a, conductance=g) for a, g in zip(arrays, cut, strict=True)]
    with pytest.raises(InvalidValueError, match=r"node n2_2 \(layer 2, unit 2\) floats"):
        build(problem, arrays, sources=sources)


def test_terminals_alone_are_not_a_circuit(make_problem):
    problem = make_problem((4,), batch=1)
    first, *others = problem.arrays
    first = msgspec.structs.replace(first, unit_coupling=np.zeros((4, 4)))
    with pytest.raises(UnsupportedError, match="array 1: its wires and cells are not known"):
        build(problem, [first, *others])


def test_inputs_of_another_number_of_lines_are_refused(make_problem):
    problem = make_problem((4,), batch=2)
    with pytest.raises(InvalidValueError, match=r"shape \(2, 5\): must be \(samples, 8\)"):
        deck.drives(problem.network, np.zeros((2, 5)), 2, None)
    with pytest.raises(InvalidValueError, match="for a batch of 3"):
        deck.drives(problem.network, problem.inputs, 3, None)


def test_real_diodes_stay_as_they_are(make_problem):
    network = make_problem((4,)).network
    once = deck.shockley(network, 1.0)
    twice = deck.shockley(once, 0.5)
    assert once.neurons[0].slope[0] == pytest.approx(0.025852, rel=1e-4)
    np.testing.assert_array_equal(once.neurons[0].slope, twice.neurons[0].slope)
    assert np.isinf(once.low[0]).all()
