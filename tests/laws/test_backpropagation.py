"""The gradient on a chip is the true one; law of the dense formula against finite differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.chip import FeedforwardChip
from neurohw.learning.backpropagation import Backpropagation
from neurohw.mappings import chip_specification
from neurohw.networks.feedforward import FeedforwardNetwork, forward, gradient

SIZES, BATCH = (6, 5, 4, 3), 7
KINDS = [
    ("sigmoid", "sigmoid", "squared"),
    ("tanh", "linear", "squared"),
    ("relu", "softmax", "cross-entropy"),
    ("hard-sigmoid", "sigmoid", "cross-entropy"),
    ("tanh", "hard-sigmoid", "squared"),
    ("power", "tanh", "power"),
]
POWERS = {"powers": (2.5, 1.5), "unit_sums": (0.8, 0.7), "output_gain": 0.4, "cost_power": 4.0}


def problem(hidden, output, cost, seed=0):
    rng = np.random.default_rng(seed)
    powers = POWERS if cost == "power" else {}
    network = FeedforwardNetwork(sizes=SIZES, hidden=hidden, output=output, cost=cost, **powers)
    shapes = list(zip(SIZES[1:], SIZES[:-1], strict=True))
    weights = [rng.uniform(-0.7, 0.7, shape) for shape in shapes]
    biases = [0.1 + 0.3 * rng.normal(size=units) for units, _ in shapes]
    inputs = rng.uniform(size=(BATCH, SIZES[0]))
    targets = np.eye(SIZES[-1])[rng.integers(SIZES[-1], size=BATCH)]
    return network, weights, biases, inputs, targets


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_the_dense_gradient_is_that_of_finite_differences(kind):
    network, weights, biases, inputs, targets = problem(*kind)

    def cost():
        states = forward(network, weights, biases, inputs)[1]
        return network.costs(states[-1], targets).mean()

    by_weight, by_bias = gradient(network, weights, biases, inputs, targets)
    step = 1e-5
    for values, found in zip([*weights, *biases], [*by_weight, *by_bias], strict=True):
        numeric = np.empty_like(values)
        for place in np.ndindex(values.shape):
            kept = values[place]
            values[place] = kept + step
            above = cost()
            values[place] = kept - step
            numeric[place] = (above - cost()) / (2 * step)
            values[place] = kept
        # Curvature enters by step² = 1e-10, rounding by 1e-16/step; kinks are not this near.
        assert_allclose(found, numeric, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scheme", [None, "offset"])
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_an_exact_chip_updates_by_the_dense_gradient(kind, scheme):
    network, weights, biases, inputs, targets = problem(*kind)
    chip = chip_of(network, weights, scheme)
    chip.write(weights, biases)
    rule, scale = Backpropagation(network, chip), chip.scale
    volts = inputs * scale.unit_voltage
    activity = rule.forward(chip.arrays[0].read(volts), 0, volts)
    errors = rule.errors(activity, targets, 0)
    rate = 0.01
    updates, bias_updates = rule.updates(
        volts,
        activity,
        errors,
        [scale.learning_rate(rate, k) for k in range(3)],
        [scale.bias_learning_rate(rate, k) for k in range(3)],
    )
    held, held_biases = chip.logical()
    for k, array in enumerate(chip.arrays):
        array.program(updates[k], 0)
        chip.biases[k].program(bias_updates[k], 0)
    moved, moved_biases = chip.logical()
    for before, after, wanted in zip(
        [*held, *held_biases],
        [*moved, *moved_biases],
        [part for parts in gradient(network, weights, biases, inputs, targets) for part in parts],
        strict=True,
    ):
        assert_allclose(before - after, rate * wanted, rtol=0, atol=1e-10 * rate)


def chip_of(network, weights, scheme):
    chip = chip_specification.load(
        {
            "device": {"law": "ideal", "g_min": 0.0, "g_max": 1e-5 if scheme else float("inf")},
            "mapping": {"scheme": scheme} if scheme else {},
            "bias": {"kind": "current" if scheme else "rails"},
        }
    )
    return FeedforwardChip(chip, network, weights, seed=0, dtype="float64")
