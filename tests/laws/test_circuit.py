"""What any circuit of resistors, sources and ideal diodes obeys, whoever solved it."""

import dataclasses

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.engines.equilibrium import Nudging
from neurohw.networks.resistive import co_content, dissipation

HIDDEN = [(6,), (7, 6), (6, 5, 8)]
CONVERGED = {"sweeps": 20_000, "tolerance": 1e-14}

pytestmark = pytest.mark.parametrize("engine", ["numpy", "numba"])


def weak_nudging(problem, strength=3e-6):
    return Nudging(strength=np.full(len(problem.inputs), strength), target=problem.target)


def branch_currents(problem, state, nudging=None):
    """Return the current of every branch into every free node, (batch, branches) a node [A]."""
    batch = len(problem.inputs)
    voltages = [problem.inputs, *state]
    nodes = []
    for k, units in enumerate(problem.network.layers):
        for j in range(units):
            v = state[k][:, j]
            branches = []
            for i in range(voltages[k].shape[1]):
                branches.append(problem.conductances[k][j, i] * (voltages[k][:, i] - v))
            if k + 1 < len(state):
                for i in range(state[k + 1].shape[1]):
                    g = problem.conductances[k + 1][i, j]
                    branches.append(g * (state[k + 1][:, i] - v))
            elif nudging is not None:
                branches.append(nudging.strength * (nudging.target[:, j] - v))
            branches.append(np.full(batch, problem.sources[k].current[j]))
            branches.append(-problem.sources[k].conductance[j] * v)
            nodes.append(np.stack(branches, axis=1))
    return nodes


@pytest.mark.parametrize("nudged", [False, True], ids=["free", "nudged"])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_kirchhoff(make_problem, engine, hidden, nudged):
    """Currents into a free node sum to zero; a diode only pushes the way that diodes conduct."""
    problem = make_problem(hidden, seed=4)
    nudging = weak_nudging(problem) if nudged else None
    equilibrium = problem.relax(engine, nudging=nudging, **CONVERGED)
    assert equilibrium.result == "converged"
    voltages = np.concatenate(equilibrium.state, axis=1)
    low, high = np.concatenate(problem.network.low), np.concatenate(problem.network.high)
    seen = {"free": 0, "low": 0, "high": 0}
    for node, branches in enumerate(branch_currents(problem, equilibrium.state, nudging)):
        total, size = branches.sum(axis=1), np.abs(branches).sum(axis=1)
        v = voltages[:, node]
        assert np.all((v >= low[node]) & (v <= high[node]))
        at_low, at_high = v == low[node], v == high[node]
        free = ~(at_low | at_high)
        assert np.all(np.abs(total)[free] <= 1e-11 * size[free])
        assert np.all(total[at_low] <= 1e-11 * size[at_low])
        assert np.all(total[at_high] >= -1e-11 * size[at_high])
        seen["free"] += free.sum()
        seen["low"] += at_low.sum()
        seen["high"] += at_high.sum()
    assert min(seen.values()) > 0


@pytest.mark.parametrize("nudged", [False, True], ids=["free", "nudged"])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_every_sweep_lowers_the_co_content(make_problem, engine, hidden, nudged):
    problem = make_problem(hidden, seed=5)
    nudging = weak_nudging(problem) if nudged else None

    def energy(state):
        total = co_content(
            problem.conductances,
            problem.inputs,
            state,
            [source.conductance for source in problem.sources],
            [source.current for source in problem.sources],
        )
        if nudging is not None:
            total += 0.5 * nudging.strength * ((state[-1] - nudging.target) ** 2).sum(axis=1)
        return total

    equilibrium = make_problem(hidden, seed=6).relax(engine, sweeps=1)
    start = msgspec.structs.replace(equilibrium, carry=None)
    energies = [energy(start.state)]
    for _ in range(12):
        start = problem.relax(engine, start=start, nudging=nudging, sweeps=1)
        energies.append(energy(start.state))
    scale = np.abs(energies).max()
    assert np.all(np.diff(energies, axis=0) <= 1e-14 * scale)
    assert np.all(energies[1] < energies[0] - 1e-3 * scale)
    final = energy(problem.relax(engine, nudging=nudging, **CONVERGED).state)
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-1):
        moved = [
            np.clip(v + size * np.abs(v).max() * rng.normal(size=v.shape), low, high)
            for v, low, high in zip(
                equilibrium.state, problem.network.low, problem.network.high, strict=True
            )
        ]
        assert np.all(energy(moved) > final)


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_power_in_is_power_dissipated(make_problem, engine, hidden):
    """Diodes at 0 V take no power: inputs and bias currents feed what the resistors burn."""
    problem = make_problem(hidden, seed=7)
    state = problem.relax(engine, **CONVERGED).state
    first = problem.conductances[0]
    drawn = problem.inputs * first.sum(axis=0) - state[0] @ first
    power_in = np.einsum("bi,bi->b", problem.inputs, drawn)
    burnt = np.zeros(len(problem.inputs))
    for k, (g, below) in enumerate(
        zip(problem.conductances, [problem.inputs, *state[:-1]], strict=True)
    ):
        by_array = dissipation(g, below, state[k])
        drops = state[k][:, :, None] - below[:, None, :]
        assert_allclose(by_array, (g * drops**2).sum(axis=(1, 2)), rtol=1e-9)
        assert np.all(by_array > 0)
        burnt += by_array + state[k] ** 2 @ problem.sources[k].conductance
        power_in += state[k] @ problem.sources[k].current
    assert_allclose(power_in, burnt, rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-3, 0.5, 40.0])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_voltages_scale_with_inputs_targets_and_biases(make_problem, engine, hidden, scale):
    problem = make_problem(hidden, seed=8)
    scaled = dataclasses.replace(
        problem,
        inputs=problem.inputs * scale,
        target=problem.target * scale,
        sources=[
            msgspec.structs.replace(source, current=source.current * scale)
            for source in problem.sources
        ],
    )
    for sweeps in (1, 30):
        one = problem.relax(engine, nudging=weak_nudging(problem), sweeps=sweeps)
        other = scaled.relax(engine, nudging=weak_nudging(scaled), sweeps=sweeps)
        for v, w in zip(one.state, other.state, strict=True):
            assert_allclose(w, scale * v, rtol=0, atol=1e-12 * scale * np.abs(v).max())
            assert np.abs(v).max() > 0
        assert_array_equal(one.state[0] == 0, other.state[0] == 0)


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_conductances_scale_away(make_problem, engine, hidden):
    """Voltages depend on ratios of conductances, currents scaled alike."""
    problem = make_problem(hidden, seed=9)
    scaled = dataclasses.replace(
        problem,
        conductances=[4 * g for g in problem.conductances],
        sources=[
            msgspec.structs.replace(
                source, current=4 * source.current, conductance=4 * source.conductance
            )
            for source in problem.sources
        ],
    )
    one, other = problem.relax(engine, sweeps=5), scaled.relax(engine, sweeps=5)
    for v, w in zip(one.state, other.state, strict=True):
        assert_allclose(w, v, rtol=0, atol=1e-12 * np.abs(v).max())
