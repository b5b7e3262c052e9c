"""Contrastive Hebbian learning with weak feedback is backpropagation: Xie and Seung (2003).

Feedback through amplifiers of gain γ, `chip.converters.transposed_gain_error` = γ − 1: the contrast
of layer k, counted from the inputs to L, is γ^(L−k) times as large as the error that comes back.
"""

from itertools import pairwise

import numpy as np
import pytest

from neurohw.chip import HopfieldChip
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.learning.hopfield import HopfieldPropagation
from neurohw.mappings import chip_specification
from neurohw.networks.hopfield import deep_hopfield_network

SIZES, BATCH = (6, 8, 7, 3), 8
LAYERS = len(SIZES) - 1


def compared(gain):
    """Return the rule's change of each array over γ^(L−k), and that of backpropagation."""
    rng = np.random.default_rng(3)
    network = deep_hopfield_network(
        SIZES[0], SIZES[1:-1], SIZES[-1], activation_name="tanh", unit_voltage=1.0
    )
    weights = [rng.normal(size=(m, n)) * 1.8 / np.sqrt(n) for n, m in pairwise(SIZES)]
    chip = chip_specification.load(
        {
            "device": "ideal",
            "nudging": {"kind": "clamp"},
            "converters": {"transposed_gain_error": gain - 1},
            "input": {"full_scale": 1.0},
        }
    )
    chip = HopfieldChip(chip, network, weights, seed=0, dtype="float64")
    rule = HopfieldPropagation(
        network,
        HopfieldEngine(),
        chip,
        variant="contrastive_hebbian",
        nudging=1.0,
        free_sweeps=500,
        nudged_sweeps=500,
    )
    inputs = rng.uniform(size=(BATCH, SIZES[0]))
    targets = np.eye(SIZES[-1])[rng.integers(SIZES[-1], size=BATCH)]
    found = rule.phases(chip.arrays[0].read(inputs), targets, None, 0, inputs)
    clamped, free = (
        [inputs, *(network.forward(k, v) for k, v in enumerate(state))]
        for state in (found.upper, found.lower)
    )
    moved = [
        (clamped[k + 1].T @ clamped[k] - free[k + 1].T @ free[k]) / gain ** (LAYERS - 1 - k)
        for k in range(LAYERS)
    ]
    z, states = [], [inputs]
    for w in weights:
        z.append(states[-1] @ w.T)
        states.append(np.tanh(z[-1]))
    delta, wanted = clamped[-1] - free[-1], []
    for k in reversed(range(LAYERS)):
        wanted.insert(0, delta.T @ states[k])
        if k:
            delta = (delta @ weights[k]) * (1 - states[k] ** 2)
    return moved, wanted


def cosine(a, b):
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


# As computed for another network: 0.53 to 0.71, 0.87 to 0.93, 0.97 to 0.98, above 0.9988.
@pytest.mark.parametrize(
    ("gain", "hidden", "miss"),
    [(0.2, 0.62, 0.1), (0.1, 0.9, 0.06), (0.05, 0.975, 0.015), (0.01, 0.9994, 0.0006)],
)
def test_the_contrast_of_weak_feedback_points_along_backpropagation(gain, hidden, miss):
    moved, wanted = compared(gain)
    found = [cosine(a, b) for a, b in zip(moved, wanted, strict=True)]
    assert np.mean(found[:-1]) == pytest.approx(hidden, abs=miss)
    assert found[-1] > hidden
    # Lengths miss by a number of the order of the gain.
    ratios = [np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(moved, wanted, strict=True)]
    assert max(ratios) < 1 + 10 * gain


def test_feedback_of_full_strength_is_no_backpropagation():
    moved, wanted = compared(1.0)
    assert cosine(moved[0], wanted[0]) < 0.5
