"""The equilibrium of a Hopfield network to rounding."""

import numpy as np
import pytest

from neurohw.engines import hopfield_rest
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.errors import ConvergenceError
from neurohw.networks.activations import ACTIVATIONS
from neurohw.networks.hopfield import energy, imbalance


def words(problem):
    current = problem.inputs @ problem.conductances[0].T
    return problem.network, problem.arrays, problem.sources, current


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_current_is_left_but_into_diodes(make_hopfield, activation):
    problem = make_hopfield((5, 4, 6), activation=activation, seed=3)
    begun = problem.relax(HopfieldEngine(), sweeps=2)
    state = hopfield_rest.rest(*words(problem), begun)
    given = problem.conductances, problem.inputs, state, problem.leak, problem.current
    network = problem.network
    for u, charging, leak in zip(state, imbalance(network, *given), problem.leak, strict=True):
        wanted = u + charging / leak
        assert ((u >= network.low) & (u <= network.high)).all()
        held = np.clip(wanted, network.low, network.high)
        assert np.abs(held - u).max() < 1e-13 * network.unit_voltage


def test_it_is_the_minimum_that_sweeps_find(make_hopfield):
    """With weights so large that there are several."""
    problem = make_hopfield((5, 4), activation="tanh", seed=3)
    problem.conductances[1:] = [3 * g for g in problem.conductances[1:]]
    begun = problem.relax(HopfieldEngine(), sweeps=100)
    state = hopfield_rest.rest(*words(problem), begun)
    for u, swept in zip(state, problem.relax(HopfieldEngine(), sweeps=3000).state, strict=True):
        assert np.abs(u - swept).max() < 1e-9 * problem.network.unit_voltage
    parts = problem.leak, problem.current
    before, after = (
        energy(problem.network, problem.conductances, problem.inputs, s, *parts)
        for s in (begun.state, state)
    )
    assert (after <= before + 1e-12 * np.abs(before)).all()


def test_what_does_not_rest_is_named(make_hopfield, monkeypatch):
    monkeypatch.setattr(hopfield_rest, "_ROUNDS", 1)
    monkeypatch.setattr(hopfield_rest, "_SWEEPS_A_ROUND", 1)
    problem = make_hopfield((5, 4), activation="tanh")
    begun = problem.relax(HopfieldEngine(), sweeps=1)
    with pytest.raises(ConvergenceError, match=r"^sample [0-3]: .* take smaller weights"):
        hopfield_rest.rest(*words(problem), begun)
