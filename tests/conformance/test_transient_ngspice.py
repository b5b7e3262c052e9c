"""ngspice and the transient engine follow the same circuit in time, through both phases."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw import engines
from neurohw.circuits.curves import Curve
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.neuron import Neuron, fabricate
from neurohw.circuits.synapse import Synapse
from neurohw.engines.equilibrium import Nudging
from neurohw.engines.spice import deck
from neurohw.engines.spice.session import session
from neurohw.engines.spice.transient import waveform
from neurohw.engines.transient.circuit import circuit
from neurohw.engines.transient.engine import integrate
from neurohw.errors import ConvergenceError, UnsupportedError

# Of the largest voltage, at every time that ngspice prints.
SHARE = 1e-4
DIODE = Neuron(kind="diode", saturation_current_spread=0.3, voltage_spread=0.01)
AMPLIFIER = Neuron(
    kind="diode",
    arrangement="antiparallel",
    low_voltage=-0.02,
    high_voltage=0.02,
    series_resistance=50.0,
    gain=2.0,
    offset_spread=0.01,
)
LINES = Neuron(
    kind="measured",
    curve=Curve(voltage=(-0.1, 0.0, 0.05, 0.1), current=(-1e-8, 0.0, 1e-6, 1e-4)),
    low_voltage=-0.05,
    high_voltage=0.05,
    saturation_current_spread=0.3,
)
POLYNOMIAL = Neuron(
    kind="measured",
    arrangement="antiparallel",
    curve=Curve(voltage=(-0.1, 0.1), coefficients=(2e-7, 2e-6, 3e-4, 0.0, 2e-3)),
    gain=2.0,
)


def with_neurons(problem, neuron):
    """Return the problem with large inputs, a few volts, and a chip's neurons."""
    layers = problem.network.layers
    neurons = tuple(
        fabricate(neuron, n, temperature=300.0, seed=0, layer=k, output=k == len(layers) - 1)
        for k, n in enumerate(layers)
    )
    low, high = zip(*(n.clamps(np.dtype(np.float64)) for n in neurons), strict=True)
    network = replace(problem.network, low=low, high=high, neurons=neurons)
    return replace(problem, network=network, inputs=20 * problem.inputs)


@pytest.mark.parametrize("neuron", [DIODE, AMPLIFIER], ids=["diode", "amplifier"])
@pytest.mark.parametrize(
    ("hidden", "pixels", "outputs"),
    [((5,), 4, 3), ((4, 2), 4, 2), ((54,), 8, 10), ((32, 26), 8, 6)],
    ids=["8", "8 in 2 layers", "64", "64 in 2 layers"],
)
def test_same_waveforms(make_problem, hidden, pixels, outputs, neuron):
    problem = make_problem(hidden, pixels=pixels, outputs=outputs, batch=1, seed=len(hidden))
    compare(with_neurons(problem, neuron))


@pytest.mark.parametrize("neuron", [LINES, POLYNOMIAL], ids=["lines", "polynomial"])
@pytest.mark.parametrize("hidden", [(5,), (4, 2)], ids=["8", "8 in 2 layers"])
def test_same_waveforms_of_measured_elements(make_problem, hidden, neuron):
    """Their voltages leave the measured range, at its lower end by far."""
    problem = with_neurons(make_problem(hidden, batch=1, seed=len(hidden)), neuron)
    compare(problem)
    state = problem.relax("numba", sweeps=100, tolerance=1e-6, accelerator="newton").state
    across = problem.network.neurons[0].low - state[0]
    assert across.min() < 3 * neuron.curve.voltage[0]


@pytest.mark.parametrize("neuron", [DIODE, LINES], ids=["diode", "lines"])
def test_same_waveforms_among_nonlinear_cells(make_problem, neuron):
    problem = with_neurons(make_problem((4, 2), batch=1, seed=2), neuron)
    cells = Curve(voltage=(-8.0, 8.0), coefficients=(1.0, 0.05, 0.02))
    network = replace(problem.network, synapse=Synapse(cells))
    compare(replace(problem, network=network))


def compare(problem):
    """Follow both phases with both engines."""
    words = problem.network, problem.arrays, problem.sources
    start = [np.zeros(n) for n in problem.network.layers]
    nudging = Nudging(strength=np.array([5e-6]), target=problem.target)
    conducted = False
    for phase in (None, nudging):
        (drive,) = deck.drives(problem.network, problem.inputs, 1, phase)
        equation = circuit(*words, problem.input_current, phase, problem.inputs)
        duration = 6 * equation.slowest
        times, theirs = waveform(
            *words, drive, start=start, duration=duration, step=duration / 1000
        )
        later = times > 0
        begun = np.concatenate(start)[None]
        ours = integrate(equation, begun, times[later], 1e-6).voltages[0]
        assert later.sum() >= 1000
        largest = np.abs(theirs).max()
        assert np.abs(theirs[-1] - begun).max() > 0.001 * largest
        assert_allclose(ours, theirs[later], rtol=0, atol=SHARE * largest)
        start = np.split(ours[-1], equation.layers[1:-1])
        drawn = problem.network.neurons[0].current(start[0])[0]
        conducted |= np.abs(drawn).max() > 1e-7
    assert conducted, "some diode must conduct"


def test_same_waveforms_behind_wires(make_problem):
    problem = with_neurons(make_problem((5, 4), batch=1, seed=3), AMPLIFIER)
    arrays = problem.wired(Wires(word_line=500.0, bit_line=300.0, source=1e3))
    words = problem.network, arrays, problem.sources
    current = problem.inputs @ arrays[0].conductance.T
    equation = circuit(*words, current, None)
    duration, start = 6 * equation.slowest, [np.zeros(n) for n in problem.network.layers]
    (drive,) = deck.drives(problem.network, problem.inputs, 1, None)
    times, theirs = waveform(*words, drive, start=start, duration=duration, step=duration / 1000)
    later, zero = times > 0, np.concatenate(start)[None]
    ours = integrate(equation, zero, times[later], 1e-6).voltages[0]
    largest = np.abs(theirs).max()
    assert_allclose(ours, theirs[later], rtol=0, atol=SHARE * largest)
    bare = circuit(problem.network, problem.arrays, problem.sources, current, None)
    other = integrate(bare, zero, times[later], 1e-6).voltages[0]
    assert np.abs(other - theirs[later]).max() > 10 * SHARE * largest


def test_ngspice_has_no_current_limit(make_problem):
    problem = with_neurons(make_problem((5,)), Neuron(kind="linear", current_limit=1e-6))
    (drive, *_) = deck.drives(problem.network, problem.inputs, 4, None)
    start = [np.zeros(n) for n in problem.network.layers]
    with pytest.raises(UnsupportedError, match="current_limit in layer 1"):
        waveform(
            problem.network,
            problem.arrays,
            problem.sources,
            drive,
            start=start,
            duration=1e-6,
            step=1e-8,
        )


def test_a_transient_that_fails_keeps_its_deck(make_problem, monkeypatch, tmp_path):
    """A circuit that runs away, because nudging beats all conductance."""
    monkeypatch.setattr(session(), "folder", tmp_path)
    problem = with_neurons(make_problem((5,), batch=1), DIODE)
    nudging = Nudging(strength=np.array([-1e-2]), target=problem.target)
    (drive,) = deck.drives(problem.network, problem.inputs, 1, nudging)
    start = [np.zeros(n) for n in problem.network.layers]
    words = problem.network, problem.arrays, problem.sources
    with pytest.raises(ConvergenceError, match="does not follow the circuit in time"):
        waveform(*words, drive, start=start, duration=1e-3, step=1e-6)
    assert len(list(tmp_path.glob("*.cir"))) == 1
    with pytest.raises(ConvergenceError, match="no time step"):
        engines.load("transient").relax(
            *words, problem.input_current, nudging=nudging, duration=1e-3
        )
