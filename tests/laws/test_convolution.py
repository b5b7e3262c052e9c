"""Convolutions, pooling and a softmax readout: energy, gradient, and that engines agree."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.engines.equilibrium import Equilibrium, Nudging, SeenArray, Source
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.engines.hopfield_rest import rest
from neurohw.engines.numba.hopfield.engine import NumbaHopfieldEngine
from neurohw.experiments.gradient_check import check
from neurohw.learning.hopfield_reference import cost_gradient
from neurohw.networks.connections import convolution
from neurohw.networks.hopfield import deep_hopfield_network, energy, imbalance, initial_weights

SIEMENS, VOLTS = 10e-6, 0.2
# Of the mean leak: below it outputs of negative nudging have a minimum.
NUDGING = 0.5


class Case:
    """A network over 6 × 6 images of 2 channels, between two convolutions and an output."""

    def __init__(self, pool, activation="hard-sigmoid", softmax=False, size=1.0):
        rng = np.random.default_rng(2)
        first = convolution(6, 2, 3, 3, pool=pool)
        second = convolution(first.above, 3, 4, 3, padding=1, pool=None)
        self.network = deep_hopfield_network(
            first.inputs,
            (),
            3,
            activation_name=activation,
            unit_voltage=VOLTS,
            convolutions=[first, second],
            softmax=softmax,
        )
        self.conductances, self.leak, self.current = [], [], []
        for connection in self.network.connections:
            weights = initial_weights(rng.uniform(size=connection.shape), *connection.fans)
            self.conductances.append(size * SIEMENS * weights)
            self.leak.append(np.full(connection.units, SIEMENS))
            bias = SIEMENS * VOLTS * rng.normal(0.2, 0.1, connection.shape[0])
            self.current.append(connection.spread(bias))
        self.inputs = VOLTS * rng.uniform(size=(4, first.inputs))
        self.target = VOLTS * np.eye(3)[[0, 1, 2, 1]]
        self.state = [VOLTS * rng.uniform(0.1, 0.9, (4, n)) for n in self.network.layers]

    @property
    def words(self):
        lines = self.network.connections[0].lines(self.inputs)
        arrays = [SeenArray(conductance=g, unit_sums=g.sum(axis=1)) for g in self.conductances]
        pairs = zip(self.current, self.leak, strict=True)
        sources = [Source(current=b, conductance=h) for b, h in pairs]
        return self.network, arrays, sources, lines @ self.conductances[0].T

    def energies(self, state):
        return energy(self.network, self.conductances, self.inputs, state, self.leak, self.current)


def start_of(state):
    return Equilibrium(state=tuple(state), residual=0.0, iterations=0, result="fixed sweeps")


@pytest.mark.parametrize("pool", ["max", "average"])
@pytest.mark.parametrize("activation", ["hard-sigmoid", "sigmoid"])
@pytest.mark.parametrize("step", [None, 0.05], ids=["sweeps", "steps"])
def test_the_energy_falls(pool, activation, step):
    """Of larger weights, with several minima, too."""
    case = Case(pool, activation, size=3.0)
    nudging = Nudging(strength=SIEMENS * NUDGING * np.array([1, -1, 0, 0]), target=case.target)
    state, found = case.state, []
    for _ in range(30):
        outputs = case.network.forward(-1, state[-1])
        miss = ((outputs - case.target) ** 2).sum(axis=1)
        found.append(case.energies(state) + 0.5 * nudging.strength * miss)
        state = (
            HopfieldEngine(step)
            .relax(*case.words, start=start_of(state), nudging=nudging, sweeps=1)
            .state
        )
    size = np.abs(found).max()
    assert (np.diff(found, axis=0) <= 1e-14 * size).all()
    assert (found[0] - found[-1] > 1e-3 * size).all()


def test_the_energy_falls_while_the_largest_of_a_field_changes():
    """Pooling behind a layer that moves: what is largest changes, the energy falls all the same."""
    rng = np.random.default_rng(5)
    first = convolution(6, 1, 3, 3)
    second = convolution(4, 3, 4, 3, padding=1, pool="max")
    network = deep_hopfield_network(36, (), 3, convolutions=[first, second])
    conductances = [3 * rng.normal(size=c.shape) / c.shape[1] for c in network.connections]
    leak = [np.ones(n) for n in network.layers]
    current = [np.full(n, 0.2) for n in network.layers]
    inputs = rng.uniform(size=(4, 36))
    state = [rng.uniform(size=(4, n)) for n in network.layers]
    words = (
        network,
        [SeenArray(conductance=g, unit_sums=g.sum(axis=1)) for g in conductances],
        [Source(current=b, conductance=h) for b, h in zip(current, leak, strict=True)],
        first.lines(inputs) @ conductances[0].T,
    )
    found, changes, before = [], 0, None
    for _ in range(20):
        found.append(energy(network, conductances, inputs, state, leak, current))
        sums = second.lines(state[0]) @ conductances[1].T
        winners = second.driven(np.ones((4, second.units)), sums)
        changes += 0 if before is None else int((winners != before).sum())
        before = winners
        state = HopfieldEngine().relax(*words, start=start_of(state), sweeps=1).state
    assert changes > 0
    assert (np.diff(found, axis=0) <= 1e-14 * np.abs(found).max()).all()


@pytest.mark.parametrize("softmax", [False, True])
def test_the_imbalance_is_the_derivative_of_the_energy(softmax):
    """By central differences of 1e-6 unit voltages, of all units of a map at once.

    What a readout would send back is part of neither.
    """
    case = Case("max", "sigmoid", softmax)
    found = imbalance(
        case.network, case.conductances, case.inputs, case.state, case.leak, case.current
    )
    rng, step = np.random.default_rng(0), 1e-6 * VOLTS
    for k in range(2):
        move, ends = rng.normal(size=case.state[k].shape), []
        for sign in (1, -1):
            moved = list(case.state)
            moved[k] = moved[k] + sign * step * move
            ends.append(case.energies(moved))
        slope = (ends[0] - ends[1]) / (2 * step)
        expected = -(case.network.slope(case.state[k]) * found[k] * move).sum(axis=1)
        assert np.abs(expected).max() > 0
        assert_allclose(slope, expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("pool", ["max", "average"])
def test_the_reference_is_the_slope_of_the_cost(pool, softmax):
    """Central differences along a random direction of each array, away from ties."""
    case = Case(pool, "sigmoid", softmax)

    def at_rest():
        start = HopfieldEngine().relax(*case.words, sweeps=20)
        return rest(*case.words, start)

    def cost():
        outputs = case.network.forward(-1, at_rest()[-1])
        return VOLTS**2 * case.network.costs(outputs, case.target).mean()

    by_conductance, by_current = cost_gradient(
        case.network, case.conductances, case.leak, case.inputs, at_rest(), case.target
    )
    rng = np.random.default_rng(1)
    for k, g in enumerate(case.conductances):
        move, ends = rng.normal(size=g.shape), []
        for sign in (1, -1):
            case.conductances[k] = g + sign * 1e-5 * SIEMENS * move
            ends.append(cost())
        case.conductances[k] = g
        slope = (ends[0] - ends[1]) / (2e-5 * SIEMENS)
        assert_allclose(slope, (by_conductance[k] * move).sum(), rtol=1e-5)
        assert by_current[k].shape == (len(g),)


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("step", [None, 0.5], ids=["sweeps", "steps"])
def test_engines_agree(softmax, step):
    """The same moves: apart by rounding, which 12 of them do not let grow."""
    case = Case("max", softmax=softmax)
    strength = SIEMENS * NUDGING * np.ones(4)
    ends = [
        engine(step)
        .relax(
            *case.words,
            start=start_of(case.state),
            nudging=Nudging(strength=strength, target=case.target),
            sweeps=12,
        )
        .state
        for engine in (HopfieldEngine, NumbaHopfieldEngine)
    ]
    for one, other in zip(*ends, strict=True):
        assert_allclose(one, other, rtol=0, atol=1e-11 * VOLTS)


RATES = ("learning.learning_rate=0.1", "learning.bias_learning_rate=0.1")
MAPS = "network.convolutions=[{channels=3,kernel=3,pool='%s'},{channels=4,kernel=2}]"
SOFTMAX = ("network.output=softmax", "network.cost=cross-entropy")


@pytest.mark.parametrize(
    "settings",
    [
        ("network.hidden=[]", MAPS % "average"),
        ("network.hidden=[7, 6]", *SOFTMAX),
        ("network.hidden=[5]", MAPS % "max", *SOFTMAX),
    ],
    ids=["average pooling", "dense with softmax", "max pooling with softmax"],
)
def test_small_centered_nudging_gives_the_gradient(settings):
    """Of every array and bias, as in dense networks."""
    common = ("training.engine=numpy", "data.name=digits", "data.train=40")
    found = check(
        "ep-1h",
        settings=(*common, "network.activation=sigmoid", *settings, *RATES),
        samples=4,
        converged=True,
        variants=["centered", "positive"],
        nudgings=[1e-3],
    )
    centered, positive = found.points
    parts = (*centered.layers, *centered.biases)
    assert max(part.one_minus_cosine for part in parts) < 1e-8
    assert max(part.relative_error for part in parts) < 1e-4
    # From one side the error is of the order of β.
    assert 1e-5 < positive.overall.relative_error < 1e-1
