"""Lateral inhibition: where the differential equation ends, who wins, and what that teaches."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.learning.competition.dynamics import integrated, settled
from neurohw.learning.competition.plasticity import change, gated, norms, ranked, weighted

UNITS = 12


def currents(seed, batch=20):
    return np.random.default_rng(seed).normal(1.0, 1.0, (batch, UNITS))


@pytest.mark.parametrize("inhibition", [0.0, 0.05, 0.3, 0.8])
def test_the_closed_form_is_where_the_differential_equation_ends(inhibition):
    lines = currents(0)
    # The slowest of the modes decays as exp(−(1 − w)·t), so exp(−12) is left at w = 0.8.
    states = np.array([integrated(line, inhibition, duration=60.0) for line in lines])
    assert_allclose(states, settled(lines, inhibition), rtol=0, atol=1e-4)
    closer = np.array([integrated(line, inhibition, duration=150.0) for line in lines])
    assert_allclose(closer, settled(lines, inhibition), rtol=0, atol=3e-8)


@pytest.mark.parametrize("inhibition", [0.1, 0.6, 1.0, 1.5])
def test_the_winner_is_the_same_in_the_differential_equation_and_by_rank(inhibition):
    lines = currents(1)
    states = np.array([integrated(line, inhibition) for line in lines])
    winners = ranked(lines, 2, 0.4).argmax(axis=1)
    assert_array_equal(states.argmax(axis=1), winners)
    assert_array_equal(settled(lines, inhibition).argmax(axis=1), winners)


def test_the_winner_takes_all_from_an_inhibition_of_one_on():
    for line in currents(2):
        if np.sort(line)[-1] - np.sort(line)[-2] > 0.2:
            states = integrated(line, 1.0, duration=200.0)
            assert (states > 1e-6).sum() == 1
            assert_allclose(states, settled(line[None], 1.0)[0], rtol=0, atol=1e-6)


def test_more_inhibition_leaves_fewer_units_active():
    lines = np.random.default_rng(3).normal(1.0, 1.0, (400, 50))
    active = [(settled(lines, w) > 0).sum(axis=1).mean() for w in (0.05, 0.5, 1.0)]
    # Means over 400 samples of counts that scatter by about 2.
    assert_allclose(active, [24.6, 5.1, 1.0], atol=0.4)


@pytest.mark.parametrize("power", [2.0, 2.5, 3.0, 5.0])
def test_the_norm_of_a_unit_moves_towards_one_where_its_gate_is_open(power):
    rng = np.random.default_rng(4)
    weights = rng.normal(0, 0.5, (3, 30))
    inputs, gates = rng.uniform(size=(7, 30)), rng.uniform(0, 1, (7, 3))
    lines = inputs @ weighted(weights, power).T
    moved = change(weights, inputs, gates, lines)
    step = 1e-6
    rates = (norms(weights + step * moved, power) - norms(weights, power)) / step
    expected = power * (gates * lines).sum(axis=0) * (1 - norms(weights, power))
    # The second order enters by step · 10.
    assert_allclose(rates, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("power", [2.0, 3.0])
def test_norms_of_winners_end_within_a_hundredth_of_one(power):
    """The fast form on toy inputs, its step falling to nothing; units that never win may not."""
    rng = np.random.default_rng(5)
    weights, inputs = rng.normal(size=(20, 40)), rng.uniform(size=(500, 40)) ** 3
    epochs, won = 100, np.zeros(20)
    for epoch in range(epochs):
        won[:] = 0
        for part in np.split(rng.permutation(500), 10):
            lines = inputs[part] @ weighted(weights, power).T
            gates = ranked(lines, 2, 0.4)
            moved = change(weights, inputs[part], gates, lines)
            weights += 0.04 * (1 - epoch / epochs) * moved / np.abs(moved).max()
            won += (gates > 0).sum(axis=0)
    # Those that hardly ever win have not yet come all of the way from a norm of 40.
    found = norms(weights, power)[won >= 10]
    assert len(found) > 12
    assert np.mean(np.abs(found - 1) < 0.01) > 0.95


def test_gates_follow_ranks_and_thresholds():
    lines = np.array([[0.2, 3.0, -1.0, 2.0], [5.0, 5.0, 1.0, 4.0]])
    assert_array_equal(ranked(lines, 3, 0.4), [[-0.4, 1, 0, 0], [1, 0, 0, -0.4]])
    assert_array_equal(gated(lines, 2.5, 0.3), [[-0.3, 1, 0, -0.3], [1, 1, -0.3, 1]])
