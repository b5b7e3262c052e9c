"""Nonlinear cells obey Kirchhoff, descend in co-content and learn by its true gradient."""

import dataclasses

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw import engines
from neurohw.chip import Chip
from neurohw.circuits.curves import Curve
from neurohw.circuits.neuron import Neuron, fabricate
from neurohw.circuits.synapse import Synapse
from neurohw.engines.equilibrium import Nudging
from neurohw.learning.reference import cost_gradient
from neurohw.learning.resistive import ResistivePropagation
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network, dissipation, encode
from neurohw.update import pairs

SHAPES = {
    "linear": Curve(voltage=(-2.0, 2.0), coefficients=(1.0,)),
    "odd": Curve(voltage=(-0.8, 0.8), coefficients=(1.0, 0.0, 8.0, 0.0, 20.0)),
    "uneven": Curve(voltage=(-0.7, 0.9), coefficients=(2e-6, 1e-6, 1e-5, 0.0, 2e-5, 0.0, 1e-5)),
    "saturating": Curve(voltage=(-0.7, 0.7), coefficients=(1.0, 0.0, -0.6)),
}
KNEES = np.array([-0.3, -0.05, 0.0, 0.02, 0.04, 0.05, 0.1])
NEURONS = {
    "ideal": Neuron(),
    "diode": Neuron(kind="diode", low_voltage=-0.1, high_voltage=0.1, saturation_current=1e-8),
    "measured": Neuron(
        kind="measured",
        arrangement="antiparallel",
        low_voltage=-0.01,
        high_voltage=0.02,
        curve=Curve(
            voltage=tuple(KNEES), current=tuple(2e-6 * (np.expm1(KNEES / 0.015) + KNEES / 0.5))
        ),
    ),
}
HIDDEN = (6, 5)


@pytest.fixture
def make_nonlinear(make_problem):
    """Make a random problem with nonlinear cells and a kind of neurons."""

    def make(shape, neuron="ideal", **options):
        problem = make_problem(HIDDEN, diodes=neuron == "ideal", **options)
        network = dataclasses.replace(problem.network, synapse=Synapse(SHAPES[shape]))
        if neuron != "ideal":
            neurons = tuple(
                fabricate(
                    NEURONS[neuron],
                    n,
                    temperature=300.0,
                    seed=3,
                    layer=k,
                    output=k == len(HIDDEN),
                )
                for k, n in enumerate(network.layers)
            )
            network = dataclasses.replace(network, neurons=neurons)
        return dataclasses.replace(problem, network=network)

    return make


def nudge(problem):
    strength = np.full(len(problem.inputs), 3e-6, problem.inputs.dtype)
    return Nudging(strength=strength, target=problem.target)


def through(problem, state):
    """Return the voltage drops of the cells of each array, (batch, units, inputs) [V]."""
    lines = [problem.inputs, *state[:-1]]
    return [x[:, None, :] - v[:, :, None] for x, v in zip(lines, state, strict=True)]


def leaving(problem, state, nudging):
    """Return the net current out of each node of each layer, and its branches' magnitudes [A]."""
    law, found = problem.network.synapse.law, []
    currents = [
        g * law.current(drop)
        for g, drop in zip(problem.conductances, through(problem, state), strict=True)
    ]
    for k, v in enumerate(state):
        parts = [-currents[k]]
        if k + 1 < len(state):
            parts.append(currents[k + 1].transpose(0, 2, 1))
        else:
            parts.append((nudging.strength[:, None] * (v - nudging.target))[:, :, None])
        source = problem.sources[k]
        parts.append((source.conductance * v - source.current)[:, :, None])
        if problem.network.neurons is not None:
            parts.append(problem.network.neurons[k].current(v)[0][:, :, None])
        branches = np.concatenate(parts, axis=2)
        found.append((branches.sum(axis=2), np.abs(branches).sum(axis=2)))
    return found


def energy(problem, state, nudging):
    """Return the co-content of cells, sources and nudging, (batch,) [W]."""
    law = problem.network.synapse.law
    total = 0.5 * nudging.strength * ((state[-1] - nudging.target) ** 2).sum(axis=1)
    for g, drop in zip(problem.conductances, through(problem, state), strict=True):
        total += (g * law.co_content(drop)).sum(axis=(1, 2))
    for v, source in zip(state, problem.sources, strict=True):
        total += 0.5 * v**2 @ source.conductance - v @ source.current
    return total


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_kirchhoff(make_nonlinear, shape, neuron):
    problem = make_nonlinear(shape, neuron, seed=4)
    nudging = nudge(problem)
    equilibrium = problem.relax(
        "numba", inputs=problem.inputs, nudging=nudging, sweeps=5000, tolerance=1e-13
    )
    assert equilibrium.result == "converged"
    for k, (net, size) in enumerate(leaving(problem, equilibrium.state, nudging)):
        v = equilibrium.state[k]
        low, high = problem.network.low[k], problem.network.high[k]
        net = np.where(((v == low) & (net > 0)) | ((v == high) & (net < 0)), 0, net)
        assert np.all(np.abs(net) <= 1e-10 * size)
    drops = np.abs(np.concatenate([d.ravel() for d in through(problem, equilibrium.state)]))
    bent = problem.network.synapse.law.current(drops) - drops
    if shape != "linear":
        assert np.abs(bent).max() > 0.02 * drops.max()


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_sweep_lowers_the_co_content(make_nonlinear, shape, engine):
    problem = make_nonlinear(shape, seed=5)
    nudging = nudge(problem)
    start = make_nonlinear(shape, seed=6).relax(engine, inputs=problem.inputs, sweeps=1)
    energies = [energy(problem, start.state, nudging)]
    for _ in range(5):
        start = problem.relax(engine, inputs=problem.inputs, start=start, nudging=nudging, sweeps=1)
        energies.append(energy(problem, start.state, nudging))
    scale = np.abs(energies).max()
    assert np.all(np.diff(energies, axis=0) <= 1e-14 * scale)
    assert np.all(energies[1] < energies[0] - 1e-3 * scale)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("shape", ["odd", "uneven"])
def test_polynomials_give_what_adding_up_cells_gives(make_nonlinear, shape, neuron, dtype):
    """Samples repeated, as in a centered nudged phase, and only half of paired lines given."""
    problem = make_nonlinear(shape, neuron, seed=7, dtype=dtype)
    current = np.concatenate([problem.input_current] * 2)
    nudging = Nudging(
        strength=np.repeat(np.array([2e-6, -2e-6], dtype), 4),
        target=np.concatenate([problem.target] * 2),
    )
    half = problem.inputs[:, : problem.inputs.shape[1] // 2]
    options = {"current": current, "nudging": nudging, "sweeps": 3}
    expected = problem.relax("numpy", inputs=problem.inputs, **options)
    found = problem.relax("numba", inputs=half, **options)
    largest = max(np.abs(v).max() for v in expected.state)
    for ours, theirs in zip(found.state, expected.state, strict=True):
        assert ours.dtype == theirs.dtype == dtype
        share = {"float64": 1e-12, "float32": 3e-6}[dtype]
        assert_allclose(ours, theirs, rtol=0, atol=share * largest)


def test_linear_cells_are_resistors(make_nonlinear):
    problem = make_nonlinear("linear", seed=8)
    plain = dataclasses.replace(problem, network=dataclasses.replace(problem.network, synapse=None))
    options = {"nudging": nudge(problem), "sweeps": 4}
    ours = problem.relax("numba", inputs=problem.inputs, **options)
    for v, w in zip(ours.state, plain.relax("numba", **options).state, strict=True):
        assert_allclose(v, w, rtol=0, atol=1e-14 * np.abs(w).max())


class Case:
    """A network on an ideal chip with nonlinear cells, with a mini-batch."""

    def __init__(self, shape, neuron, seed=0):
        table = {
            "device": "ideal",
            "bias": {"kind": "current"},
            "synapse": {
                "voltage": SHAPES[shape].voltage,
                "coefficients": SHAPES[shape].coefficients,
            },
        }
        self.specification = msgspec.structs.replace(
            chip_specification.load(table), neuron=NEURONS[neuron]
        )
        plain = deep_resistive_network(4, HIDDEN, 3)
        self.chip = Chip(self.specification, plain, 10.0, seed=seed, dtype="float64")
        self.network = self.chip.network
        rng = np.random.default_rng(seed)
        self.chip.write(
            [rng.uniform(0.05, 1.0, array.values().shape) for array in self.chip.arrays],
            [0.3 * rng.normal(size=units) for units in self.network.layers],
        )
        self.inputs = encode(rng.uniform(size=(3, 4)), 0.3, "float64")
        self.current = self.chip.arrays[0].read(self.inputs)
        self.target = 0.02 * rng.normal(size=(3, 3))

    def free_state(self):
        equilibrium = engines.load("numba").relax(
            self.network,
            self.chip.seen(0),
            self.chip.sources(0),
            self.current,
            sweeps=120,
            inputs=self.inputs,
        )
        assert equilibrium.residual < 1e-13
        return equilibrium.state

    def cost(self):
        return 0.5 * np.mean(np.sum((self.free_state()[-1] - self.target) ** 2, axis=1))

    def true_gradient(self):
        return cost_gradient(
            self.network,
            [array.values() for array in self.chip.arrays],
            [source.conductance for source in self.chip.sources(0)],
            pairs(self.inputs),
            self.free_state(),
            self.target,
        )

    def updates(self, nudging, rate=1.0):
        rule = ResistivePropagation(
            self.network,
            engines.load("numba"),
            self.chip,
            variant="centered",
            nudging=nudging,
            free_sweeps=120,
            nudged_sweeps=120,
        )
        rule.check_stability()
        contrast = rule.contrast(self.current, self.target, None, 0, self.inputs)
        return rule.updates(contrast, self.inputs, [rate] * 3, [rate] * 3)

    def estimate(self, nudging):
        updates, biases = self.updates(nudging)
        values = [array.values() for array in self.chip.arrays]
        return (
            [-u.dense(g, 0) for u, g in zip(updates, values, strict=True)],
            [-u.dense(np.zeros(1), 0)[:, 0] for u in biases],
        )


def gap(a, b):
    """Return 1 − cos of the angle, without cancellation."""
    a, b = a.ravel(), b.ravel()
    return 0.5 * np.sum((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2)


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("shape", ["odd", "uneven", "saturating"])
def test_the_contrast_of_co_contents_is_the_true_gradient(shape, neuron):
    case = Case(shape, neuron)
    unit = case.chip.scale.unit_conductance
    for found, true in zip(case.estimate(1e-3), case.true_gradient(), strict=True):
        for ours, theirs in zip(found, true, strict=True):
            assert gap(ours, theirs) <= 1e-8
            assert_allclose(np.linalg.norm(ours), unit * np.linalg.norm(theirs), rtol=1e-4)


def test_half_the_squared_drop_is_not_the_gradient():
    """What a rule for resistors would do misses the gradient of these cells."""
    case = Case("odd", "ideal")
    true = case.true_gradient()[0]
    linear = dataclasses.replace(case.network, synapse=None)
    rule = ResistivePropagation(
        case.network,
        engines.load("numba"),
        case.chip,
        variant="centered",
        nudging=1e-3,
        free_sweeps=120,
        nudged_sweeps=120,
    )
    contrast = rule.contrast(case.current, case.target, None, 0, case.inputs)
    rule.network = linear
    updates, _ = rule.updates(contrast, case.inputs, [1.0] * 3, [0.0] * 3)
    wrong = -updates[0].dense(case.chip.arrays[0].values(), 0)
    assert gap(wrong, true[0]) > 1e-3


def test_the_reference_agrees_with_finite_differences():
    case = Case("uneven", "measured")
    by_conductance, _ = case.true_gradient()
    unit, rng = case.chip.scale.unit_conductance, np.random.default_rng(0)
    for array, gradient in zip(case.chip.arrays, by_conductance, strict=True):
        held = array.values()
        for _ in range(2):
            j, i = (int(rng.integers(size)) for size in held.shape)
            costs = []
            for sign in (1, -1):
                moved = held.copy()
                moved[j, i] += sign * 1e-4 * unit
                array.write(moved)
                case.current = case.chip.arrays[0].read(case.inputs)
                costs.append(case.cost())
            array.write(held)
            difference = (costs[0] - costs[1]) / (2e-4 * unit)
            scale = np.abs(gradient).max()
            assert_allclose(gradient[j, i], difference, rtol=1e-4, atol=1e-5 * scale)


def test_a_step_against_the_gradient_lowers_the_cost():
    """The update goes through the chip as any other does, pairs of word lines included."""
    case = Case("uneven", "ideal")
    before = case.cost()
    unit = case.chip.scale.unit_conductance
    size = sum(np.sum(g**2) for g in case.true_gradient()[0])
    rate = 1e-3 * before / size / unit
    updates, _ = case.updates(1e-3, rate)
    for array, update in zip(case.chip.arrays, updates, strict=True):
        array.program(update, 0)
    assert_allclose(case.cost() - before, -1e-3 * before, rtol=0.05)


@pytest.mark.parametrize("shape", SHAPES)
def test_dissipation_is_the_sum_over_cells(make_nonlinear, shape):
    problem = make_nonlinear(shape, seed=9)
    state = problem.relax("numba", inputs=problem.inputs, sweeps=20).state
    lines, law = [problem.inputs, *state], problem.network.synapse.law
    for k, (g, drop) in enumerate(zip(problem.conductances, through(problem, state), strict=True)):
        expected = (g * drop * law.current(drop)).sum(axis=(1, 2))
        found = dissipation(g, lines[k], lines[k + 1], problem.network.synapse)
        assert_allclose(found, expected, rtol=1e-10)
        assert expected.min() > 0
