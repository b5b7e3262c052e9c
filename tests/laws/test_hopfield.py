"""A Hopfield network goes down its energy, and its contrast is the gradient of its cost."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.chip import HopfieldChip
from neurohw.engines.equilibrium import Equilibrium, Nudging
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.learning.hopfield import HopfieldPropagation
from neurohw.learning.hopfield_reference import cost_gradient
from neurohw.mappings import chip_specification
from neurohw.networks.activations import ACTIVATIONS
from neurohw.networks.hopfield import energy

HIDDEN = [(6,), (5, 4, 6)]
# After these nothing moves any more but for rounding.
SWEEPS = 150


def energies(problem, engine, nudging, moves):
    """Return the energy, nudging included, after each of some moves, (moves, batch) [W]."""
    state = tuple(problem.some_state())
    found = []
    for _ in range(moves):
        lines = problem.network.forward(-1, state[-1])
        miss = ((lines - nudging.target) ** 2).sum(axis=1)
        found.append(
            0.5 * nudging.strength * miss
            + energy(
                problem.network,
                problem.conductances,
                problem.inputs,
                state,
                problem.leak,
                problem.current,
            )
        )
        start = Equilibrium(state=state, residual=0.0, iterations=0, result="fixed sweeps")
        state = problem.relax(engine, start=start, nudging=nudging, sweeps=1).state
    return np.array(found)


@pytest.mark.parametrize("step", [None, 0.05], ids=["sweeps", "steps"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_the_energy_falls(make_hopfield, hidden, activation, step):
    problem = make_hopfield(hidden, activation=activation, seed=3)
    # Larger weights, several minima: the energy falls in any network.
    problem = replace(problem, conductances=[3 * g for g in problem.conductances])
    nudging = Nudging(
        strength=problem.leak[0][0] * np.array([0.5, -0.5, 0.0, 0.0]), target=problem.target
    )
    found = energies(problem, HopfieldEngine(step), nudging, 40)
    size = np.abs(found).max()
    assert (np.diff(found, axis=0) <= 1e-14 * size).all()
    assert (found[0] - found[-1] > 1e-3 * size).all()


def propagation(problem, variant, nudging):
    """Return the rule on an ideal chip that holds the problem's weights and biases."""
    unit = problem.leak[0][0]
    weights = [g / unit for g in problem.conductances]
    specification = chip_specification.load("ideal")
    chip = HopfieldChip(specification, problem.network, weights, seed=0, dtype="float64")
    assert chip.scale.leak == unit
    for bias, current in zip(chip.biases, problem.current, strict=True):
        bias.write(current)
    return HopfieldPropagation(
        problem.network,
        HopfieldEngine(),
        chip,
        variant=variant,
        nudging=nudging,
        free_sweeps=SWEEPS,
        nudged_sweeps=SWEEPS,
    )


def estimate(problem, variant, nudging):
    """Return the true gradient, and the one that the rule estimates, of arrays and biases."""
    rule = propagation(problem, variant, nudging)
    free = problem.relax(HopfieldEngine(), sweeps=SWEEPS)
    true = cost_gradient(
        problem.network,
        problem.conductances,
        problem.leak,
        problem.inputs,
        free.state,
        problem.target,
    )
    contrast = rule.contrast(
        problem.inputs @ problem.conductances[0].T, problem.target, None, 0, problem.inputs
    )
    # What multiplies a conductance in units of 1 S: minus the gradient by it.
    rates = [1 / problem.leak[0][0]] * len(problem.leak)
    updates, bias_updates = rule.updates(contrast, problem.inputs, rates, rates)
    dense = [-u.dense(g, 0) for u, g in zip(updates, problem.conductances, strict=True)]
    biases = [
        -u.dense(b[:, None], 0)[:, 0] for u, b in zip(bias_updates, problem.leak, strict=True)
    ]
    return true, (dense, biases)


def cosine(a, b):
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_the_contrast_is_the_gradient(make_hopfield, hidden, activation):
    """Off by the square of β = 1e-3, times what the curvatures are: below 100."""
    problem = make_hopfield(hidden, activation=activation, spread=0.0)
    true, found = estimate(problem, "centered", 1e-3)
    for wanted, ours in zip((*true[0], *true[1]), (*found[0], *found[1]), strict=True):
        assert np.abs(wanted).max() > 0
        assert cosine(ours, wanted) > 1 - 1e-6
        assert_allclose(ours, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
@pytest.mark.parametrize("factor", [1.5, 1.95])
def test_the_energy_falls_along_overrelaxed_sweeps(make_hopfield, hidden, factor):
    problem = make_hopfield(hidden, seed=3)
    problem = replace(problem, conductances=[3 * g for g in problem.conductances])
    nudging = Nudging(
        strength=problem.leak[0][0] * np.array([0.5, -0.5, 0.0, 0.0]), target=problem.target
    )
    found = energies(problem, HopfieldEngine(overrelaxation=factor), nudging, 40)
    size = np.abs(found).max()
    assert (np.diff(found, axis=0) <= 1e-14 * size).all()
    assert (found[0] - found[-1] > 1e-3 * size).all()


@pytest.mark.parametrize(("variant", "order"), [("positive", 1), ("negative", 1), ("centered", 2)])
def test_its_error_falls_with_the_nudging(make_hopfield, variant, order):
    """In proportion to β from one side, to its square from both: tanh, so that nothing clips."""
    problem = make_hopfield((5, 4), activation="tanh", spread=0.0)
    misses = []
    for nudging in (1e-2, 5e-3):
        true, found = estimate(problem, variant, nudging)
        misses.append(np.abs(found[0][0] - true[0][0]).max())
    # The next term of the expansion is smaller by about β.
    assert_allclose(np.log2(misses[0] / misses[1]), order, atol=0.1)


def test_the_reference_is_the_slope_of_the_cost(make_hopfield):
    problem = make_hopfield((5, 4), activation="sigmoid", spread=0.0)
    true, _ = estimate(problem, "positive", 1e-2)

    def cost():
        state = problem.relax(HopfieldEngine(), sweeps=SWEEPS).state
        miss = problem.network.forward(-1, state[-1]) - problem.target
        return 0.5 * (miss**2).sum(axis=1).mean()

    for k, g in enumerate(problem.conductances):
        ends, step = [], 1e-4 * problem.leak[0][0]
        for sign in (1, -1):
            g[1, 2] += sign * step
            ends.append(cost())
            g[1, 2] -= sign * step
        slope = (ends[0] - ends[1]) / (2 * step)
        assert_allclose(true[0][k][1, 2], slope, rtol=1e-5)
