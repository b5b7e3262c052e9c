"""Arrays beside those of the layers: cells of their own, kept through training and run files."""

import numpy as np
from numpy.testing import assert_allclose

from neurohw.chip import FeedforwardChip
from neurohw.learning.continual import program
from neurohw.mappings import chip_specification
from neurohw.networks.feedforward import FeedforwardNetwork
from neurohw.update import Update

NETWORK = FeedforwardNetwork(sizes=(4, 3, 2), hidden="sigmoid", output="sigmoid", cost="squared")


def make():
    """Return a chip with a group of two arrays beside those of its layers."""
    specification = chip_specification.load(
        {"device": {"law": "ideal", "g_min": 0.0, "g_max": float("inf")}}
    )
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(3, 4)), rng.normal(size=(2, 3))]
    chip = FeedforwardChip(specification, NETWORK, weights, seed=0, dtype="float64")
    beside = [rng.normal(size=(3, 2)), rng.normal(size=(2, 2))]
    chip.add("feedback", beside, [1e-6, 1e-6])
    return chip, [1e-6 * weights for weights in beside]


def nothing(chip):
    return [
        Update(presynaptic=np.zeros((1, 1, n)), postsynaptic=np.zeros((1, 1, m)))
        for m, n in (array.shape for array in chip.arrays)
    ]


def test_arrays_beside_hold_what_was_written_and_move_only_by_updates_of_their_own():
    chip, beside = make()
    inputs = np.zeros((1, 4))
    program(chip, nothing(chip), [], 0, inputs)
    for array, wanted in zip(chip.beside["feedback"], beside, strict=True):
        assert_allclose(array.values(), wanted, rtol=1e-12)
    change = Update(
        presynaptic=np.array([[[1.0, 2.0]]]), postsynaptic=1e-6 * np.array([[[1.0, 0.0, -1.0]]])
    )
    still = Update(presynaptic=np.zeros((1, 1, 2)), postsynaptic=np.zeros((1, 1, 2)))
    program(chip, nothing(chip), [], 1, inputs, {"feedback": [change, still]})
    moved = 1e-6 * np.outer([1.0, 0.0, -1.0], [1.0, 2.0])
    assert_allclose(chip.beside["feedback"][0].values(), beside[0] + moved, rtol=1e-12)
    assert_allclose(chip.beside["feedback"][1].values(), beside[1], rtol=1e-12)
