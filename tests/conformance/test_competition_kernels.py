"""Compiled competition is that of the readable form."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.learning.competition import dynamics, kernels, plasticity

pytestmark = pytest.mark.kernels


def lines(seed=0, batch=40, units=23):
    values = np.random.default_rng(seed).normal(0.7, 1.0, (batch, units)).astype(np.float32)
    values[0] = -np.abs(values[0])
    values[1] = 0.0
    return values


@pytest.mark.parametrize("inhibition", [0.0, 0.05, 0.5, 0.95, 1.0, 2.0])
def test_steady_states(inhibition):
    currents = lines()
    states = np.empty_like(currents)
    kernels.settle(currents, inhibition, states)
    expected = dynamics.settled(currents.astype(np.float64), inhibition)
    # States are differences of numbers up to 10, each rounded to 6e-8 of itself, over 1 − w.
    allowed = 1e-6 / (1 - inhibition if inhibition < 1 else 1)
    assert_allclose(states[2:], expected[2:], rtol=0, atol=allowed)
    assert_allclose(states[:2], currents[:2], rtol=0, atol=allowed)


@pytest.mark.parametrize("rank", [2, 7, 23])
def test_gates_of_ranks(rank):
    currents = lines(1)
    currents[2, 4] = currents[2, 9] = currents[2].max() + 1  # the first of equals is the larger
    gates = np.empty_like(currents)
    kernels.rank(currents, rank, np.float32(0.4), gates)
    assert_array_equal(gates, plasticity.ranked(currents, rank, np.float32(0.4)))
    assert gates[2, 4] == 1


def test_the_largest_change_of_any_weight():
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(23, 37)).astype(np.float32)
    inputs, currents = rng.uniform(size=(9, 37)).astype(np.float32), lines(3, batch=9)
    gates = plasticity.ranked(currents, 3, 0.4)
    expected = np.abs(plasticity.change(weights, inputs, gates, currents)).max()
    found = kernels.largest_change(weights, inputs, gates, (gates * currents).sum(axis=0))
    assert_allclose(found, expected, rtol=1e-5)
