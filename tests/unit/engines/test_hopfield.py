from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.engines.equilibrium import Equilibrium, Nudging, SeenArray
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.networks.activations import ACTIVATIONS
from neurohw.networks.hopfield import imbalance


def balance(problem, state, nudging=None):
    """Return the largest current that still charges a membrane inside its limits, relative."""
    left = imbalance(
        problem.network,
        problem.conductances,
        problem.inputs,
        state,
        problem.leak,
        problem.current,
    )
    if nudging is not None:
        lines = problem.network.forward(-1, state[-1])
        left[-1] = left[-1] + nudging.strength[:, None] * (nudging.target - lines)
    worst = 0.0
    for current, u, leak in zip(left, state, problem.leak, strict=True):
        held = ((u <= problem.network.low) & (current < 0)) | (
            (u >= problem.network.high) & (current > 0)
        )
        worst = max(worst, np.abs(np.where(held, 0, current / leak)).max())
    return worst / problem.network.unit_voltage


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("pull", [1e-3, 1.0, 3.0, 4.0, 10.0, 30.0, 300.0, -0.9])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_one_sweep_balances_outputs_however_hard_they_are_nudged(
    make_hopfield, activation, pull, free
):
    problem = make_hopfield((6,), activation=activation, batch=64)
    for g in problem.conductances:
        g *= 20  # sums far out, where activations are flat
    strength = np.full(64, pull * min(leak.min() for leak in problem.leak))
    nudging = Nudging(strength=strength, target=problem.target)
    start = problem.relax(HopfieldEngine(), sweeps=200) if free else None
    found = problem.relax(HopfieldEngine(), sweeps=1, nudging=nudging, start=start)
    lines = problem.network.forward(1, found.state[1])
    left = imbalance(
        problem.network,
        problem.conductances,
        problem.inputs,
        found.state,
        problem.leak,
        problem.current,
    )[1]
    left = left + strength[:, None] * (problem.target - lines)
    scale = problem.leak[1] * np.abs(found.state[1]) + np.abs(strength[:, None] * problem.target)
    assert np.abs(left / scale).max() < 1e-13


@pytest.mark.parametrize("step", [None, 0.5])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equilibria_are_balanced_free_and_nudged(make_hopfield, activation, step):
    problem, engine = make_hopfield((6, 5), activation=activation), HopfieldEngine(step)
    settle = {"sweeps": 4000, "tolerance": 1e-12}
    free = problem.relax(engine, **settle)
    assert free.result == "converged"
    # Changes below 1e-12 of a contraction by 0.99 or less leave at most 1e-10.
    assert balance(problem, free.state) < 1e-10
    strength = problem.leak[0][0] * np.array([0.5, -0.5, 0.1, -0.1])
    nudging = Nudging(strength=strength, target=problem.target)
    nudged = problem.relax(engine, start=free, nudging=nudging, **settle)
    assert nudged.result == "converged"
    assert balance(problem, nudged.state, nudging) < 1e-10
    assert np.abs(nudged.state[0] - free.state[0]).max() > 1e-3 * problem.network.unit_voltage


@pytest.mark.parametrize("step", [None, 0.5])
def test_what_flows_back_has_a_gain(make_hopfield, step):
    """Every membrane rests at (b + W·ρ_below + gain·Wᵀ·ρ_above)/h, clipped."""
    problem = make_hopfield((6, 5))
    gains = [None, np.linspace(0.7, 1.4, 6), np.linspace(1.5, 0.9, 5)]
    found = replace(problem, gains=gains).relax(HopfieldEngine(step), sweeps=4000, tolerance=1e-12)
    assert found.result == "converged"
    lines, high = [problem.inputs, *found.state], problem.network.high
    for k, u in enumerate(found.state):
        current = problem.current[k] + lines[k] @ problem.conductances[k].T
        if k < 2:
            current = current + gains[k + 1] * (lines[k + 2] @ problem.conductances[k + 1])
        # As above: what is left after changes below 1e-12.
        assert_allclose(u, np.clip(current / problem.leak[k], 0, high), rtol=0, atol=1e-10 * high)


def test_one_step_is_that_of_2017(make_hopfield):
    """All layers at once: s ← clip(s − ε·∂F/∂s), written out."""
    problem, step, beta = make_hopfield((6,), spread=0.0), 0.5, 1.0
    unit_g, unit_v = problem.leak[0][0], problem.network.unit_voltage
    w1, w2 = (g / unit_g for g in problem.conductances)
    b1, b2 = (b / (unit_g * unit_v) for b in problem.current)
    x, (s1, s2), d = (
        problem.inputs / unit_v,
        (u / unit_v for u in problem.some_state()),
        problem.target / unit_v,
    )
    down1 = s1 - b1 - x @ w1.T - s2 @ w2
    down2 = s2 - b2 - s1 @ w2.T + beta * (s2 - d)
    expected = [np.clip(s1 - step * down1, 0, 1), np.clip(s2 - step * down2, 0, 1)]
    found = problem.relax(
        HopfieldEngine(step),
        start=equilibrium(problem.some_state()),
        nudging=Nudging(strength=np.full(4, beta * unit_g), target=problem.target),
        sweeps=1,
    )
    for ours, theirs in zip(found.state, expected, strict=True):
        assert_allclose(ours / unit_v, theirs, rtol=1e-12, atol=1e-14)
    assert (found.result, found.iterations) == ("fixed sweeps", 1)


def test_a_sweep_sets_even_layers_first(make_hopfield):
    problem = make_hopfield((4, 3))
    found = problem.relax(HopfieldEngine(), sweeps=1)
    first = problem.inputs @ problem.conductances[0].T + problem.current[0]
    first = np.clip(first / problem.leak[0], 0, problem.network.high)
    assert_allclose(found.state[0], first, rtol=1e-13)
    third = np.clip(problem.current[2] / problem.leak[2], 0, problem.network.high)
    assert_allclose(found.state[2], np.broadcast_to(third, found.state[2].shape), rtol=1e-13)


@pytest.mark.parametrize("step", [None, 0.5])
def test_fewer_starts_are_repeated_and_both_signs_relax_together(make_hopfield, step):
    problem, engine = make_hopfield((5,)), HopfieldEngine(step)
    free = problem.relax(engine, sweeps=50)
    leak = problem.leak[0][0]
    both = problem.relax(
        engine,
        copies=2,
        start=free,
        sweeps=3,
        nudging=Nudging(
            strength=leak * np.repeat([0.4, -0.4], 4), target=np.concatenate([problem.target] * 2)
        ),
    )
    for k, sign in enumerate((0.4, -0.4)):
        one = problem.relax(
            engine,
            start=free,
            sweeps=3,
            nudging=Nudging(strength=np.full(4, leak * sign), target=problem.target),
        )
        for ours, theirs in zip(both.state, one.state, strict=True):
            assert_allclose(ours[4 * k : 4 * k + 4], theirs, rtol=1e-13)


def test_clamped_outputs_are_at_their_targets(make_hopfield):
    problem = make_hopfield((5,))
    nudging = Nudging(strength=np.array([np.inf, np.inf, 0, 0]), target=problem.target)
    found = problem.relax(HopfieldEngine(), nudging=nudging, sweeps=5)
    assert_array_equal(found.state[-1][:2], problem.target[:2])
    assert_allclose(found.state[-1][2:], problem.relax(HopfieldEngine(), sweeps=5).state[-1][2:])


def test_what_does_not_settle_or_is_no_number_is_said(make_hopfield):
    problem = make_hopfield((6, 5))
    assert problem.relax(HopfieldEngine(), sweeps=3, tolerance=1e-9).result == "not converged"
    problem.current[0][2] = np.nan
    found = problem.relax(HopfieldEngine(), sweeps=5)
    assert (found.result, found.residual) == ("not finite", np.inf)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"accelerator": "newton"}, "accelerator = newton"),
        ({"duration": 1e-6}, "only the engine transient"),
        ({"wired": True}, "need wires without resistance"),
    ],
)
def test_what_it_does_not_have_is_refused(make_hopfield, options, words):
    options = dict(options)
    problem = make_hopfield((5,))
    arrays = problem.arrays
    if options.pop("wired", False):
        g = problem.conductances[0]
        arrays[0] = SeenArray(conductance=g, unit_sums=g[:, 0], unit_coupling=np.eye(5))
    with pytest.raises(UnsupportedError, match=words):
        HopfieldEngine().relax(
            problem.network,
            arrays,
            problem.sources,
            problem.inputs @ problem.conductances[0].T,
            sweeps=1,
            **options,
        )


@pytest.mark.parametrize("step", [0.0, 1.5])
def test_a_step_goes_some_of_the_way(step):
    with pytest.raises(InvalidValueError, match=f"step = {step:g}"):
        HopfieldEngine(step)


def equilibrium(state):
    return Equilibrium(state=tuple(state), residual=0.0, iterations=0, result="fixed sweeps")
