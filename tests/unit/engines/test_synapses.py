"""What engines refuse to do with nonlinear cells, and odd nodes among them."""

import dataclasses

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.circuits.curves import Curve
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.neuron import Neuron, fabricate
from neurohw.circuits.synapse import Synapse
from neurohw.engines.equilibrium import Nudging
from neurohw.engines.numba import engine as compiled
from neurohw.errors import InvalidValueError, UnsupportedError

ENGINES = pytest.mark.parametrize("engine", ["numpy", "numba"])
ALL_ENGINES = pytest.mark.parametrize("engine", ["numpy", "numba", "spice"])
CUBIC = Curve(voltage=(-0.6, 0.6), coefficients=(1.0, 0.0, 4.0))


@pytest.fixture
def problem(make_problem):
    return with_cells(make_problem((5, 4), seed=2), CUBIC)


def with_cells(problem, curve, **changes):
    network = dataclasses.replace(problem.network, synapse=Synapse(curve), **changes)
    return dataclasses.replace(problem, network=network)


def with_nodes(problem, curve):
    """Return the problem with measured elements at the nodes and resistors as cells."""
    neuron = Neuron(kind="measured", curve=curve)
    neurons = tuple(
        fabricate(neuron, n, temperature=300.0, seed=0, layer=k, output=k == 2)
        for k, n in enumerate(problem.network.layers)
    )
    network = dataclasses.replace(problem.network, synapse=None, neurons=neurons)
    return dataclasses.replace(problem, network=network)


def lines(points):
    v = np.linspace(-0.6, 0.6, points)
    return Curve(voltage=tuple(v), current=tuple(v + 4 * v**3))


@ALL_ENGINES
def test_a_voltage_beyond_the_measured_range_is_an_error(make_problem, engine):
    narrow = with_cells(
        make_problem((5, 4), seed=2), Curve(voltage=(-0.25, 0.25), coefficients=(1.0,))
    )
    narrow.relax(engine, inputs=narrow.inputs, sweeps=5)
    with pytest.raises(InvalidValueError, match=r"synapse\.voltage = -0\.25 to 0\.25 V: drops at"):
        narrow.relax(engine, inputs=1.5 * narrow.inputs, sweeps=5)


@ENGINES
def test_nodes_without_conductance_stay_at_zero(problem, engine):
    problem.conductances[1][1] = 0
    problem.conductances[2][:, 1] = 0
    problem.sources[1].conductance[1] = 0
    problem.sources[2].current[:] = 0
    state = problem.relax(engine, inputs=problem.inputs, sweeps=4).state
    assert_array_equal(state[1][:, 1], 0)
    assert np.abs(state[0]).max(axis=0).min() > 0


@ENGINES
@pytest.mark.parametrize("where", ["inputs", "target"])
def test_what_is_no_number_is_found(problem, engine, where):
    (problem.inputs if where == "inputs" else problem.target)[1, 2] = np.nan
    nudging = Nudging(strength=np.full(4, 1e-6), target=problem.target)
    found = problem.relax(engine, inputs=problem.inputs, nudging=nudging, sweeps=3)
    assert found.result == "not finite"


@ENGINES
def test_clamped_outputs_are_their_targets(problem, engine):
    nudging = Nudging(strength=np.full(4, np.inf), target=problem.target)
    state = problem.relax(engine, inputs=problem.inputs, nudging=nudging, sweeps=4).state
    assert_array_equal(state[-1], problem.target)


def test_points_joined_by_lines_are_solved_one_by_one(make_problem):
    """The finer the points, the nearer to the polynomial that they lie on: error as 1/n²."""
    exact = with_cells(make_problem((5, 4), seed=2), CUBIC)
    expected = exact.relax("numpy", inputs=exact.inputs, sweeps=15).state[-1]
    misses = []
    for points in (13, 25, 49):
        found = with_cells(exact, lines(points))
        slope = found.network.synapse.law.conductance(np.zeros(()))
        assert_allclose(slope, 1)
        state = found.relax("numpy", inputs=exact.inputs, sweeps=15).state
        misses.append(np.abs(state[-1] - expected).max())
    assert misses[0] > 2 * misses[1] > 4 * misses[2] > 0
    with pytest.raises(UnsupportedError, match=r"synapse\.degree: missing: cells whose points are"):
        found.relax("numba", inputs=exact.inputs, sweeps=1)


@pytest.mark.parametrize("measured", ["cells", "nodes"])
def test_all_threads_settle_the_same(problem, monkeypatch, measured):
    if measured == "nodes":
        problem = with_nodes(problem, CUBIC)
    options = {"inputs": problem.inputs, "sweeps": 3}
    serial = problem.relax("numba", **options)
    monkeypatch.setattr(compiled, "_MANY", 0)
    for v, w in zip(problem.relax("numba", **options).state, serial.state, strict=True):
        assert_array_equal(v, w)


@ENGINES
def test_inputs_are_needed_and_no_accelerator(problem, engine):
    with pytest.raises(UnsupportedError, match="synapse: nonlinear cells need the inputs'"):
        problem.relax(engine, sweeps=1)
    with pytest.raises(UnsupportedError, match=r"synapse and relaxation\.accelerator = newton"):
        problem.relax(engine, inputs=problem.inputs, sweeps=1, accelerator="newton")


@ALL_ENGINES
def test_what_is_not_supported_is_named(problem, engine):
    inputs = problem.inputs
    neurons = tuple(
        fabricate(Neuron(gain=2.0), n, temperature=300.0, seed=0, layer=k, output=k == 2)
        for k, n in enumerate(problem.network.layers)
    )
    with pytest.raises(UnsupportedError, match=r"synapse and neuron\.gain"):
        with_cells(problem, CUBIC, neurons=neurons).relax(engine, inputs=inputs, sweeps=1)
    wires = Wires(word_line=1.0, bit_line=1.0)

    class Wired(type(problem)):
        @property
        def arrays(self):
            return [msgspec.structs.replace(array, wires=wires) for array in super().arrays]

    wired = Wired(**{f.name: getattr(problem, f.name) for f in dataclasses.fields(problem)})
    with pytest.raises(UnsupportedError, match="synapse and wires"):
        wired.relax(engine, inputs=inputs, sweeps=1)
