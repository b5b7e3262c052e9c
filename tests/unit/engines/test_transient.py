"""The transient engine: where phases end, what it refuses, what it finds."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw import engines
from neurohw.circuits.curves import Curve
from neurohw.circuits.neuron import Neuron, fabricate
from neurohw.circuits.synapse import Synapse
from neurohw.engines.equilibrium import Nudging, require_settled
from neurohw.engines.transient.circuit import circuit
from neurohw.engines.transient.engine import TransientEngine, integrate
from neurohw.engines.transient.settling import settling
from neurohw.errors import ConvergenceError, InvalidValueError, NumericalError, UnsupportedError

# Time constants of the problems are below 1 pF / 2 uS.
LONG = 50e-6
CURVE = Curve(voltage=(-0.05, 0.0, 0.02), current=(-1e-8, 0.0, 1e-6))
MEASURED = Neuron(kind="measured", curve=CURVE, saturation_current_spread=0.2)


def with_neurons(problem, neuron):
    """Return the problem with a chip's neurons at its nodes."""
    layers = problem.network.layers
    neurons = tuple(
        fabricate(neuron, n, temperature=300.0, seed=0, layer=k, output=k == len(layers) - 1)
        for k, n in enumerate(layers)
    )
    low, high = zip(*(n.clamps(np.dtype(np.float64)) for n in neurons), strict=True)
    return replace(problem, network=replace(problem.network, low=low, high=high, neurons=neurons))


def among_cells(problem, volts=0.6):
    cells = Curve(voltage=(-volts, volts), coefficients=(1.0, 0.0, 4.0))
    return replace(problem, network=replace(problem.network, synapse=Synapse(cells)))


def equation_of(problem, nudging=None):
    return circuit(problem.network, problem.arrays, problem.sources, problem.input_current, nudging)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "neuron",
    [None, Neuron(kind="diode"), Neuron(kind="diode", gain=3.0), MEASURED],
    ids=["ideal", "diode", "amplifier", "measured"],
)
def test_a_long_phase_ends_in_the_steady_state(make_problem, neuron, dtype):
    problem = make_problem((5, 4), seed=1, dtype=dtype)
    if neuron is not None:
        problem = with_neurons(problem, neuron)
    options = {"sweeps": 20_000, "tolerance": 1e-6 if dtype == "float32" else 1e-12}
    nudging = Nudging(strength=np.array([2e-6, -1e-6, np.inf, 0.0], dtype), target=problem.target)
    for phase in (None, nudging):
        found = problem.relax("transient", duration=LONG, nudging=phase, sweeps=0)
        expected = problem.relax("numba", nudging=phase, accelerator="newton", **options)
        assert found.result == "fixed time"
        assert found.residual < 1e-6
        require_settled(found, "free", 0.0)
        for v, w in zip(found.state, expected.state, strict=True):
            assert v.dtype == dtype
            # The integrator solves each step to 1e-7 of the way.
            assert_allclose(v, w, rtol=0, atol=(1e-5 if dtype == "float32" else 1e-7))


@pytest.mark.kernels
@pytest.mark.parametrize("curves", [False, True])
def test_a_phase_in_two_parts_is_the_phase(make_problem, curves):
    problem = make_problem((3,), batch=2, outputs=2, pixels=2, seed=1)
    if curves:
        problem = among_cells(with_neurons(problem, MEASURED))
    options = {"sweeps": 0, "inputs": problem.inputs}
    whole = problem.relax("transient", duration=40e-9, **options)
    half = problem.relax("transient", duration=20e-9, **options)
    other = problem.relax("transient", duration=20e-9, start=half, **options)
    for early, v, w in zip(half.state, whole.state, other.state, strict=True):
        largest = np.abs(v).max()
        assert np.abs(v - early).max() > 0.01 * largest
        assert_allclose(v, w, rtol=0, atol=1e-3 * largest)


def test_one_node_charges_exponentially(make_problem):
    problem = make_problem((), pixels=2, outputs=1, batch=1, seed=3)
    equation = equation_of(problem)
    capacitance = 1e-12
    constant = capacitance / equation.matrix[0, 0]
    assert_allclose(equation.slowest, constant, rtol=1e-12)
    final = equation.injected[0, 0] / equation.matrix[0, 0]
    times = constant * np.array([0.01, 0.3, 1.0, 5.0, 20.0])
    found = integrate(equation, np.zeros((1, 1)), times, 1e-7).voltages[0, :, 0]
    # Global errors are within 20 times the local ones.
    assert_allclose(found, final * (1 - np.exp(-times / constant)), rtol=0, atol=2e-6 * abs(final))


def test_a_current_limit_makes_a_ramp(make_problem):
    problem = with_neurons(
        make_problem((), pixels=2, outputs=1, batch=1, seed=3), Neuron(current_limit=1e-9)
    )
    equation = equation_of(problem)
    assert abs(equation.injected[0, 0]) > 2e-9
    times = np.array([1e-7, 5e-7])
    found = integrate(equation, np.zeros((1, 1)), times).voltages[0, :, 0]
    expected = 1e-9 / 1e-12 * times * np.sign(equation.injected[0, 0])
    assert_allclose(found[0], expected[0], rtol=1e-9)


def test_ideal_diodes_hold_at_once(make_problem):
    problem = make_problem((6,), seed=1)
    low, high = problem.network.low[0], problem.network.high[0]
    equation = equation_of(problem)
    times = np.geomspace(1e-10, 1e-5, 30)
    found = integrate(equation, np.full((4, 9), 0.1), times).voltages[:, :, :6]
    assert (found >= low).all()
    assert (found <= high).all()
    held = (found == low) | (found == high)
    assert held[:, -1].any()
    assert not held[:, -1].all()


def test_settling_is_of_the_distance_asked_for(make_problem):
    problem = make_problem((5,), seed=2)
    options = {"duration": 2e-6, "points": 2000}
    words = problem.network, problem.arrays, problem.sources, problem.inputs
    coarse, fine = (settling(*words, within=share, **options) for share in (0.1, 0.001))
    assert (coarse.settled_at < fine.settled_at).all()
    for sample, when in enumerate(coarse.settled_at):
        late = coarse.times > when
        for v, steady in zip(coarse.voltages, coarse.steady, strict=True):
            away = np.abs(v[sample] - steady[sample]).max(axis=1)
            allowed = 0.1 * np.abs(steady[sample]).max()
            assert (away[late] <= allowed).all()
    short = settling(*words, duration=1e-9)
    assert np.isinf(short.settled_at).all()


def test_one_thread_or_batch_gives_the_same(make_problem):
    problem = make_problem((5,), seed=2)
    together = problem.relax("transient", duration=1e-7, sweeps=0)
    alone = engines.load("transient").relax(
        problem.network,
        problem.arrays,
        problem.sources,
        problem.input_current[2:3],
        duration=1e-7,
    )
    for v, w in zip(together.state, alone.state, strict=True):
        assert_array_equal(v[2:3], w)


@pytest.mark.parametrize("duration", [0.0, -1e-6, np.inf, np.nan])
def test_a_phase_has_a_length(make_problem, duration):
    with pytest.raises(InvalidValueError, match=f"duration = {duration:g} s"):
        make_problem((5,)).relax("transient", duration=duration, sweeps=0)


def test_a_length_is_needed(make_problem):
    with pytest.raises(InvalidValueError, match=r"relaxation\.free_time"):
        make_problem((5,)).relax("transient", sweeps=4)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_engines_without_time_refuse_it(make_problem, engine):
    with pytest.raises(UnsupportedError, match="duration = 1e-06 s"):
        make_problem((5,)).relax(engine, sweeps=4, duration=1e-6)


@pytest.mark.parametrize("capacitance", [0.0, np.nan, np.inf])
def test_every_node_has_a_capacitance(make_problem, capacitance):
    problem = with_neurons(make_problem((5,)), Neuron(kind="diode"))
    first, last = problem.network.neurons
    broken = replace(first, capacitance=first.capacitance.copy())
    broken.capacitance[3] = capacitance
    problem = replace(problem, network=replace(problem.network, neurons=(broken, last)))
    with pytest.raises(InvalidValueError, match=f"capacitance = {capacitance:g} F at node 3"):
        problem.relax("transient", duration=1e-6, sweeps=0)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, 1.0, np.nan])
def test_a_tolerance_is_a_fraction(tolerance):
    with pytest.raises(InvalidValueError, match=f"tolerance = {tolerance:g}"):
        TransientEngine(tolerance)


def test_a_circuit_that_no_step_resolves_is_refused(make_problem):
    """Where nudging beats all conductance the voltage grows without end."""
    problem = make_problem((5,), seed=1)
    nudging = Nudging(strength=np.full(4, -1e-2), target=problem.target)
    with pytest.raises(ConvergenceError, match="no time step resolves the circuit"):
        problem.relax("transient", nudging=nudging, duration=1e-3, sweeps=0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_found(make_problem, value):
    problem = make_problem((7, 6), seed=1)
    current = problem.input_current
    current[2, 3] = value
    found = problem.relax("transient", current=current, duration=1e-6, sweeps=0)
    assert found.result == "not finite"
    with pytest.raises(NumericalError, match=f"layer 1, unit 3 is {value} in the free phase"):
        require_settled(found, "free", 0.0)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"points": 0}, "points = 0"), ({"within": 0.0}, "within = 0"), ({"inputs": 3}, "3 inputs")],
)
def test_settling_refuses(make_problem, options, named):
    problem = make_problem((5,))
    inputs = problem.inputs[:, : options.pop("inputs", None)]
    with pytest.raises(InvalidValueError, match=named):
        settling(problem.network, problem.arrays, problem.sources, inputs, duration=1e-6, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nonlinear_cells_settle_too(make_problem, dtype):
    problem = among_cells(make_problem((5, 4), seed=1, dtype=dtype))
    nudging = Nudging(strength=np.array([2e-6, -1e-6, np.inf, 0.0], dtype), target=problem.target)
    options = {"sweeps": 20_000, "tolerance": 1e-6 if dtype == "float32" else 1e-12}
    for phase in (None, nudging):
        found = problem.relax(
            "transient", duration=LONG, nudging=phase, sweeps=0, inputs=problem.inputs
        )
        expected = problem.relax("numba", nudging=phase, inputs=problem.inputs, **options)
        assert found.residual < 1e-6
        for v, w in zip(found.state, expected.state, strict=True):
            assert v.dtype == dtype
            assert_allclose(v, w, rtol=0, atol=(1e-5 if dtype == "float32" else 1e-7))


def test_what_nonlinear_cells_lack_is_named(make_problem):
    problem = make_problem((5,))
    with pytest.raises(UnsupportedError, match="synapse: nonlinear cells need the inputs'"):
        among_cells(problem).relax("transient", duration=1e-6, sweeps=0)
    amplified = with_neurons(problem, Neuron(gain=2.0))
    options = {"duration": LONG, "sweeps": 0, "inputs": problem.inputs}
    with pytest.raises(UnsupportedError, match=r"synapse and neuron\.gain"):
        among_cells(amplified).relax("transient", **options)
    narrow = among_cells(problem, 0.2)
    with pytest.raises(InvalidValueError, match=r"synapse\.voltage = -0\.2 to 0\.2 V: drops at"):
        narrow.relax("transient", **options)


@pytest.mark.parametrize("engine", ["transient", "spice"])
def test_layers_share_a_curve(make_problem, engine):
    """Equal ones, that is: each layer of a chip has its own."""
    problem = with_neurons(make_problem((5, 4)), MEASURED)
    first, second, last = problem.network.neurons
    assert first.curve is not second.curve
    options = {"duration": 1e-6} if engine == "transient" else {"inputs": problem.inputs}
    problem.relax(engine, sweeps=0, **options)
    steeper = Curve(voltage=CURVE.voltage, current=(-1e-8, 0.0, 2e-6)).characteristic()
    neurons = first, replace(second, curve=steeper), last
    problem = replace(problem, network=replace(problem.network, neurons=neurons))
    with pytest.raises(UnsupportedError, match=r"neuron\.curve: this engine has one"):
        problem.relax(engine, sweeps=0, **options)
