"""The compiled engine of Hopfield networks does what the readable one does."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.engines.equilibrium import Nudging
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.engines.numba.hopfield.engine import NumbaHopfieldEngine

# Rounding of some ten additions a sweep, over a few sweeps.
SHARE = {"float64": 1e-13, "float32": 1e-5}


def assert_engines_agree(problem, step, dtype, factor=1.0):
    oracle, compiled = HopfieldEngine(step, factor), NumbaHopfieldEngine(step, factor)
    expected, found = (problem.relax(engine, sweeps=4) for engine in (oracle, compiled))
    held = [u.copy() for u in found.state]
    assert_same(found, expected, problem, dtype)
    strength = problem.leak[0][0] * np.repeat([0.4, -0.4], len(problem.inputs))
    nudging = Nudging(strength=strength.astype(dtype), target=np.concatenate([problem.target] * 2))
    words = {"copies": 2, "nudging": nudging, "sweeps": 3}
    after = problem.relax(compiled, start=found, **words)
    assert_same(after, problem.relax(oracle, start=expected, **words), problem, dtype)
    for before, now in zip(held, found.state, strict=True):
        assert_array_equal(now, before)


def assert_same(found, expected, problem, dtype):
    assert (found.iterations, found.result) == (expected.iterations, expected.result)
    for ours, theirs in zip(found.state, expected.state, strict=True):
        assert ours.dtype == theirs.dtype == dtype
        atol = SHARE[dtype] * problem.network.unit_voltage
        assert_allclose(ours, theirs, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("step", [None, 0.5])
@pytest.mark.parametrize("activation", ["hard-sigmoid", "sigmoid"])
@pytest.mark.parametrize("hidden", [(7,), (6, 5, 8)], ids=str)
def test_engines_agree(make_hopfield, hidden, activation, step, dtype):
    problem = make_hopfield(hidden, activation=activation, dtype=dtype, seed=len(hidden))
    assert_engines_agree(problem, step, dtype)


def test_engines_agree_on_overrelaxed_sweeps(make_hopfield):
    assert_engines_agree(make_hopfield((6, 5, 8)), None, "float64", factor=1.7)


@pytest.mark.parametrize("step", [None, 0.5])
def test_engines_agree_on_a_transposed_gain(make_hopfield, step):
    problem = make_hopfield((6, 5, 8))
    gains = [None, *(np.linspace(0.8, 1.3, n) for n in (6, 5, 8))]
    plain = problem.relax(HopfieldEngine(step), sweeps=4)
    problem = replace(problem, gains=gains)
    assert_engines_agree(problem, step, "float64")
    other = problem.relax(HopfieldEngine(step), sweeps=4)
    assert np.abs(other.state[0] - plain.state[0]).max() > 1e-3 * problem.network.unit_voltage


@pytest.mark.kernels
def test_engines_agree_on_tiny_networks(make_hopfield):
    assert_engines_agree(make_hopfield((3,), pixels=2, batch=2), 0.5, "float64")


def test_both_say_when_they_are_done(make_hopfield):
    problem = make_hopfield((6, 5))
    expected, found = (
        problem.relax(engine(), sweeps=500, tolerance=1e-6)
        for engine in (HopfieldEngine, NumbaHopfieldEngine)
    )
    assert_same(found, expected, problem, "float64")
    assert found.result == "converged"
    assert_allclose(found.residual, expected.residual, rtol=1e-6)


@pytest.mark.kernels
def test_what_is_no_number_is_not_clipped_away(make_hopfield):
    problem = make_hopfield((4,), pixels=2, batch=2)
    problem.current[0][1] = np.nan
    found = problem.relax(NumbaHopfieldEngine(), sweeps=3)
    assert found.result == "not finite"
    assert np.isnan(found.state[0][:, 1]).all()
