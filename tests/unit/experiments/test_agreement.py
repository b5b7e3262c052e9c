"""Cosine, error, bias and spread of estimates of a gradient."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.experiments.agreement import Agreement, Tally

RNG = np.random.default_rng(0)
EXACT = [RNG.normal(size=(3, 4)), RNG.normal(size=5)]


def of(estimates, parts=(0, 1), **options):
    tally = Tally(EXACT, **options)
    for estimate in estimates:
        tally.add(estimate)
    return Agreement.of([tally], parts)


def flat(parts):
    return np.concatenate([part.ravel() for part in parts])


def test_one_estimate():
    estimate = [part + 0.3 * RNG.normal(size=part.shape) for part in EXACT]
    found, a, b = of([estimate]), flat(EXACT), flat(estimate)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert_allclose(found.one_minus_cosine, 1 - cosine, rtol=1e-12)
    assert_allclose(found.relative_error, np.linalg.norm(b - a) / np.linalg.norm(a), rtol=1e-12)
    assert (found.bias, found.spread) == (found.relative_error, 0.0)


@pytest.mark.parametrize("angle", [1e-3, 1e-6])
def test_small_angles_are_not_lost(angle):
    """1 − cos φ is φ²/2 up to φ⁴/24, also where the estimate is of another length."""
    across = [np.zeros((3, 4)), np.zeros(5)]
    across[0][0, :2] = -EXACT[0][0, 1], EXACT[0][0, 0]
    across = [part * np.linalg.norm(flat(EXACT)) / np.linalg.norm(flat(across)) for part in across]
    tilted = [
        0.7 * (math.cos(angle) * a + math.sin(angle) * b)
        for a, b in zip(EXACT, across, strict=True)
    ]
    assert_allclose(of([tilted]).one_minus_cosine, angle**2 / 2, rtol=1e-3)


def test_bias_and_spread_are_told_apart():
    """Of 400 estimates; the spread is known to 1/√800 of itself, so is what it leaves of a bias."""
    size = np.linalg.norm(flat(EXACT))
    estimates = [
        [1.02 * part + 0.01 * RNG.normal(size=part.shape) for part in EXACT] for _ in range(400)
    ]
    found = of(estimates)
    assert_allclose(found.bias, 0.02, rtol=0.1)
    assert_allclose(found.spread, 0.01 * math.sqrt(17) / size, rtol=0.1)
    assert_allclose(found.relative_error**2, found.bias**2 + found.spread**2, rtol=0.01)


def test_equal_estimates_do_not_scatter():
    found = of([[1.1 * part for part in EXACT]] * 5)
    assert found.spread == 0
    assert_allclose([found.bias, found.relative_error], 0.1, rtol=1e-12)


def test_parts_stand_alone():
    estimate = [EXACT[0], -EXACT[1]]
    assert of([estimate], [0]).one_minus_cosine == 0
    assert_allclose(of([estimate], [1]).one_minus_cosine, 2.0)


def test_what_has_no_meaning_is_no_number():
    found = of([EXACT], scaled=False)
    assert found.one_minus_cosine == 0
    assert math.isnan(found.relative_error)
    tally = Tally([np.zeros(3)])
    tally.add([np.ones(3)])
    assert math.isnan(Agreement.of([tally], [0]).one_minus_cosine)
    nothing = of([[0 * part for part in EXACT]])
    assert (nothing.one_minus_cosine, nothing.relative_error) == (1.0, 1.0)
