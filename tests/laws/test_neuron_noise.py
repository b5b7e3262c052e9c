"""Noisy membranes end up distributed as statistical physics says, and draw the same every time."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import HopfieldChip
from neurohw.circuits.membrane import MembraneNoise, thermal_noise, truncated_normal
from neurohw.engines.equilibrium import Nudging, SeenArray, Source
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.engines.numba.hopfield.engine import NumbaHopfieldEngine
from neurohw.experiments.gradient_check import check
from neurohw.learning.hopfield import HopfieldPropagation
from neurohw.mappings import chip_specification
from neurohw.networks.hopfield import deep_hopfield_network, energy

# One hidden unit and one output on the hard sigmoid, all in units of 1.
LEAK, WEIGHT, BIAS = 1.0, 0.9, (0.15, 0.2)
SIGMA, BETA, TARGET = 0.3, 0.7, 1.0
SAMPLES = 20000


def tiny(activation="hard-sigmoid", weight=WEIGHT):
    network = deep_hopfield_network(1, (1,), 1, activation_name=activation)
    conductances = [np.full((1, 1), 0.4), np.full((1, 1), weight)]
    arrays = [SeenArray(conductance=g, unit_sums=g.sum(axis=1)) for g in conductances]
    sources = [Source(current=np.full(1, b), conductance=np.full(1, LEAK)) for b in BIAS]
    return network, conductances, arrays, sources


def sampled(step, sweeps, *, nudged=False, activation="hard-sigmoid", weight=WEIGHT, **noise):
    network, conductances, arrays, sources = tiny(activation, weight)
    current = np.ones((SAMPLES, 1)) @ conductances[0].T
    nudging = Nudging(strength=np.full(SAMPLES, BETA), target=np.full((SAMPLES, 1), TARGET))
    draws = {"deviation": SIGMA, "seed": 1, "event": 2, "phase": 0} | noise
    found = HopfieldEngine(step).relax(
        network,
        arrays,
        sources,
        current,
        nudging=nudging if nudged else None,
        sweeps=sweeps,
        noise=MembraneNoise(**draws),
    )
    return np.concatenate(found.state, axis=1)


def expected(nudged):
    """Return the means of u1, u2, u1², u2², u1·u2 under exp(−E/(h·σ²)) by the midpoint rule."""
    network, conductances, _, _ = tiny()
    middles = (np.arange(400) + 0.5) / 400
    u1, u2 = (v.reshape(-1, 1) for v in np.meshgrid(middles, middles))
    leaks, biases = [np.full(1, LEAK)] * 2, [np.full(1, b) for b in BIAS]
    total = energy(network, conductances, np.ones((len(u1), 1)), [u1, u2], leaks, biases)
    if nudged:
        total = total + 0.5 * BETA * ((u2 - TARGET) ** 2)[:, 0]
    weight = np.exp(-(total - total.min()) / (LEAK * SIGMA**2))
    return weight @ statistics(np.concatenate((u1, u2), axis=1)) / weight.sum()


def statistics(u):
    return np.stack((u[:, 0], u[:, 1], u[:, 0] ** 2, u[:, 1] ** 2, u[:, 0] * u[:, 1]), axis=1)


@pytest.mark.parametrize("nudged", [False, True], ids=["free", "nudged"])
def test_block_sweeps_draw_from_the_boltzmann_distribution(nudged):
    """Samples are independent, so that means miss by their standard error; 4.5 of them are rare."""
    found = statistics(sampled(None, 25, nudged=nudged))
    error = found.std(axis=0) / np.sqrt(SAMPLES)
    assert (np.abs(found.mean(axis=0) - expected(nudged)) < 4.5 * error).all()
    # The limits matter, and the correlation: this is no product of normal distributions.
    assert 0.1 < (found[:, :2] > 0.9).mean() < 0.9
    assert (found[:, :2] == 1).mean() < 1e-4
    assert np.corrcoef(found[:, 0], found[:, 1])[0, 1] > 0.1


def test_short_steps_approach_it():
    """To a clipped walk limits are 0.58 of a kick further out, which shifts means by less.

    Squares and products, whose derivatives are up to 2, by less than twice that. The shift of a
    walk's limits is that of Chernoff (1965), −ζ(1/2)/√(2π).
    """
    step = 0.02
    found = statistics(sampled(step, 300, nudged=True))
    kick = SIGMA * np.sqrt(1 - (1 - step) ** 2)
    shift = 0.58 * kick * np.array([1, 1, 2, 2, 2])
    assert (np.abs(found.mean(axis=0) - expected(True)) < shift).all()


@pytest.mark.parametrize("step", [None, 1.0, 0.3])
def test_free_membranes_fluctuate_by_the_noise(step):
    """Whatever the step, where nothing couples or limits them; to 4.5 standard errors."""
    found = sampled(step, 40, activation="tanh", weight=0.0)
    assert_allclose(found.mean(axis=0), [0.55, 0.2], atol=4.5 * SIGMA / np.sqrt(SAMPLES))
    assert_allclose(found.std(axis=0), SIGMA, rtol=4.5 / np.sqrt(2 * SAMPLES))


def test_draws_are_of_event_phase_sweep_layer_and_sample():
    network, conductances, arrays, sources = tiny("tanh")
    noise = MembraneNoise(deviation=SIGMA, seed=1, event=2, phase=1)

    def relaxed(noise, samples=6, sweeps=4, start=None, engine=None):
        return (engine or HopfieldEngine()).relax(
            network,
            arrays,
            sources,
            np.ones((samples, 1)) @ conductances[0].T,
            sweeps=sweeps,
            start=start,
            noise=noise,
        )

    whole = relaxed(noise)
    # Whoever computes, in which parts and from where it goes on.
    half = relaxed(noise, sweeps=1)
    for again in (
        relaxed(noise, engine=NumbaHopfieldEngine()),
        relaxed(noise.after(1), sweeps=3, start=half),
    ):
        for a, b in zip(again.state, whole.state, strict=True):
            assert_array_equal(a, b)
    rows = np.array([4, 1])
    some = relaxed(MembraneNoise(deviation=SIGMA, seed=1, event=2, phase=1, rows=rows), samples=2)
    for a, b in zip(some.state, whole.state, strict=True):
        assert_array_equal(a, b[rows])
    for other in ({"event": 3}, {"phase": 0}, {"sweep": 1}, {"seed": 0}):
        fields = {"deviation": SIGMA, "seed": 1, "event": 2, "phase": 1} | other
        assert (relaxed(MembraneNoise(**fields)).state[0] != whole.state[0]).all()
    assert (whole.state[0] != whole.state[1]).all()


def test_truncated_draws_are_exact_far_from_the_mean():
    """50 deviations outside, what is left is exponential to a relative 1/50²."""
    uniform = (np.arange(2000) + 0.5) / 2000
    for mean in (-0.5, 1.5):
        drawn = truncated_normal(np.full(2000, mean), 0.01, 0.0, 1.0, uniform)
        inside = drawn if mean < 0 else 1 - drawn
        assert_allclose(inside.mean(), 0.01 / 50, rtol=3e-3)
    assert ((drawn >= 0) & (drawn <= 1)).all()


def test_thermal_noise_of_a_femtofarad():
    assert_allclose(thermal_noise(1e-15), 2.035e-3, rtol=1e-3)


def rule_of(
    noise,
    *,
    variant="langevin",
    samples=SAMPLES,
    sweeps=(25, 30),
    averaged_sweeps=None,
    programming=None,
):
    """Return a rule on a chip that holds the tiny network, and what its phases take."""
    volts = 0.2
    network = deep_hopfield_network(1, (1,), 1, unit_voltage=volts)
    specification = chip_specification.load(
        {
            "device": "ideal",
            "bias": {"kind": "current"},
            "neuron": {"noise": noise * volts},
            "programming": programming or {},
        }
    )
    weights = [np.full((1, 1), 0.4), np.full((1, 1), WEIGHT)]
    chip = HopfieldChip(specification, network, weights, seed=0, dtype="float64")
    for k, bias in enumerate(BIAS):
        chip.biases[k].write(np.full(1, bias * chip.scale.current(k)))
    rule = HopfieldPropagation(
        network,
        HopfieldEngine(),
        chip,
        variant=variant,
        nudging=BETA,
        free_sweeps=sweeps[0],
        nudged_sweeps=sweeps[1],
        averaged_sweeps=averaged_sweeps,
    )
    inputs = np.full((samples, 1), volts)
    target = np.full((samples, 1), TARGET * volts)
    return rule, (chip.arrays[0].read(inputs), target, None, 0, inputs)


def updates_of(rule, words):
    """Return what the rule takes for the gradient by both weights and both biases, and phases."""
    phases = rule.phases(*words)
    arrays, biases = rule.updates(phases, words[-1], [1.0, 1.0], [1.0, 1.0])
    volts = rule.chip.scale.unit_voltage
    found = [u.dense(np.zeros(()), 0)[0, 0] / -(volts**2) for u in arrays]
    return np.array([*found, *(u.dense(np.zeros(()), 0)[0, 0] / -volts for u in biases)]), phases


def free_energy(beta, shift):
    """Return −T·ln ∫exp(−(E + β·C)/T) by the midpoint rule, with weights and biases shifted."""
    network, conductances, _, _ = tiny()
    middles = (np.arange(400) + 0.5) / 400
    u1, u2 = (v.reshape(-1, 1) for v in np.meshgrid(middles, middles))
    moved = [g + d for g, d in zip(conductances, shift[:2], strict=True)]
    leaks = [np.full(1, LEAK)] * 2
    biases = [np.full(1, b + d) for b, d in zip(BIAS, shift[2:], strict=True)]
    total = energy(network, moved, np.ones((len(u1), 1)), [u1, u2], leaks, biases)
    total = total + 0.5 * beta * ((u2 - TARGET) ** 2)[:, 0]
    temperature = LEAK * SIGMA**2
    return -temperature * np.log(np.exp(-total / temperature).mean())


def test_the_expected_update_of_langevin_is_the_gradient_of_the_free_energy():
    """Of [F(β) − F(0)]/β, by central differences; to 4.5 standard errors of the mean."""
    rule, words = rule_of(SIGMA, averaged_sweeps=10)
    found, phases = updates_of(rule, words)
    steps = 1e-4 * np.eye(4)
    exact = [
        sum(sign * (free_energy(BETA, sign * d) - free_energy(0, sign * d)) for sign in (1, -1))
        / (2e-4 * BETA)
        for d in steps
    ]

    def by_sample(sweeps):
        means = []
        for path in (phases.path, phases.free.path):
            u1, u2 = (layer[-sweeps:, :, 0] / 0.2 for layer in path)
            means.append(np.stack([v.mean(axis=0) for v in (u1, u1 * u2, u1, u2)]))
        return (means[1] - means[0]) / BETA

    each = by_sample(10)
    assert_allclose(found, each.mean(axis=1), rtol=1e-9)
    assert (np.abs(found - exact) < 4.5 * each.std(axis=1) / np.sqrt(SAMPLES)).all()
    # The error is no larger than 15 % of the gradient: this is a test of its value.
    assert (each.std(axis=1) / np.sqrt(SAMPLES) < 0.15 / 4.5 * np.abs(exact)).all()
    # √10 times less than of last states, were sweeps independent; they are not quite.
    assert (each.std(axis=1) < 0.6 * by_sample(1).std(axis=1)).all()


def test_without_noise_langevin_is_the_variant_positive():
    """Exactly with one sweep; where the network is at rest, with any number."""
    positive, one, many = (
        updates_of(*rule_of(0.0, variant=variant, samples=3, sweeps=sweeps, averaged_sweeps=times))
        for variant, sweeps, times in (
            ("positive", (300, 200), None),
            ("langevin", (300, 200), 1),
            ("langevin", (300, 200), 20),
        )
    )
    assert_allclose(one[0], positive[0], rtol=1e-12)
    assert_allclose(many[0], positive[0], rtol=1e-9)
    moving = [
        updates_of(*rule_of(0.0, variant=v, samples=3, sweeps=(2, 3), averaged_sweeps=1))[0]
        for v in ("positive", "langevin")
    ]
    assert_allclose(moving[1], moving[0], rtol=1e-12)


def test_noise_costs_the_gradient_less_at_a_larger_nudging():
    """What users of gradcheck see: the spread goes with 1/β, and bias grows with it."""
    settings = (
        *("data.name=digits", "data.train=8", "network.hidden=[6]", "training.engine=numpy"),
        *("relaxation.dynamics=sweeps", "relaxation.start=zero", "chip.neuron.noise=1 mV"),
        *("learning.variant=positive", "network.activation=sigmoid", "training.batch=8"),
    )
    found = check("ep-1h", settings=settings, nudgings=[0.05, 0.2], samples=8, repeats=24)
    spread = [point.overall.spread for point in found.points]
    # Each is measured with 24 updates of several hundred weights.
    assert_allclose(spread[0] / spread[1], 4, rtol=0.15)
    assert check("ep-1h", settings=settings, nudgings=[0.2], samples=8).points[0].repeats == 8


def test_langevin_sample_by_sample_adds_up_to_the_mini_batch():
    found = []
    for events in ("batch", "sample"):
        rule, words = rule_of(SIGMA, samples=5, averaged_sweeps=4, programming={"events": events})
        phases = rule.phases(*words)
        every = [u for kind in rule.updates(phases, words[-1], [1.0] * 2, [1.0] * 2) for u in kind]
        count = 1 if events == "batch" else 5
        assert {len(u.presynaptic) for u in every} == {count}
        found.append([sum(u.dense(np.zeros(()), e)[0, 0] for e in range(count)) for u in every])
    assert_allclose(found[1], found[0], rtol=1e-12)
