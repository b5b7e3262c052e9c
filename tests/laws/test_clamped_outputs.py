"""Coupled learning of one output goes down the cost: a driven output is one that a current moves.

With several outputs errors are weighed by the conductances that the outputs see.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw import engines
from neurohw.chip import Chip, HopfieldChip
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.learning import hopfield_reference, reference
from neurohw.learning.hopfield import HopfieldPropagation
from neurohw.learning.resistive import ResistivePropagation
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network
from neurohw.update import pairs

CLAMP = {"device": "ideal", "nudging": {"kind": "clamp"}}
OPTIONS = {"free_sweeps": 300, "nudged_sweeps": 300}


def resistive(nudging, variant):
    """Return the updates of one sample, minus the exact gradient, and the contrast."""
    chip = Chip(
        chip_specification.load(CLAMP),
        deep_resistive_network(5, (8, 8), 1, "float64"),
        20.0,
        seed=1,
        dtype="float64",
    )
    rule = ResistivePropagation(
        chip.network, engines.load("numpy"), chip, variant=variant, nudging=nudging, **OPTIONS
    )
    inputs = 0.2 * np.random.default_rng(0).uniform(size=(1, 5))
    target = np.array([[chip.scale.unit_voltage]])
    found = rule.phases(chip.arrays[0].read(inputs), target, None, 0, inputs)
    exact, _ = reference.cost_gradient(
        chip.network,
        [array.conductance for array in chip.seen()],
        [source.conductance for source in chip.sources()],
        pairs(inputs),
        found.free.state,
        target,
    )
    updates, _ = rule.updates(found, inputs, [1.0] * 3, [1.0] * 3)
    return [u.dense(np.zeros(()), 0) for u in updates], [-g for g in exact], found, target


def hopfield(make_hopfield, activation, nudging, variant):
    """Return the same of a Hopfield network."""
    problem = make_hopfield((5, 4), activation=activation, outputs=1, batch=1)
    weights = [g / problem.leak[0][0] for g in problem.conductances]
    chip = HopfieldChip(
        chip_specification.load(CLAMP), problem.network, weights, seed=0, dtype="float64"
    )
    rule = HopfieldPropagation(
        problem.network, HopfieldEngine(), chip, variant=variant, nudging=nudging, **OPTIONS
    )
    current = chip.arrays[0].read(problem.inputs)
    found = rule.phases(current, problem.target, None, 0, problem.inputs)
    exact, _ = hopfield_reference.cost_gradient(
        problem.network,
        [array.conductance for array in chip.seen()],
        [source.conductance for source in chip.sources()],
        problem.inputs,
        found.free.state,
        problem.target,
    )
    updates, _ = rule.updates(found, problem.inputs, [1.0] * 3, [1.0] * 3)
    return [u.dense(np.zeros(()), 0) for u in updates], [-g for g in exact], found, problem.target


def estimate(make_hopfield, kind, nudging, variant="coupled"):
    if kind == "resistive":
        return resistive(nudging, variant)
    return hopfield(make_hopfield, kind, nudging, variant)


def angle(ours, exact):
    """Return 1 − cosine over all arrays."""
    a, b = (np.concatenate([v.ravel() for v in arrays]) for arrays in (ours, exact))
    assert np.linalg.norm(b) > 0
    return 1 - a @ b / np.sqrt((a @ a) * (b @ b))


@pytest.mark.parametrize("kind", ["resistive", "sigmoid", "tanh"])
def test_one_output_that_is_driven_goes_down_its_cost(make_hopfield, kind):
    """From one side the error is of the order of η, its angle η², so 1 − cosine as η²."""
    far, near = (angle(*estimate(make_hopfield, kind, share)[:2]) for share in (0.02, 0.01))
    assert far < 1e-2
    assert_allclose(far / near, 4, rtol=0.2)


@pytest.mark.parametrize("kind", ["resistive", "hard-sigmoid", "sigmoid", "tanh"])
def test_outputs_are_driven_a_share_of_the_way_or_all_of_it(make_hopfield, kind):
    for variant, share in (("coupled", 0.25), ("contrastive_hebbian", 1.0)):
        *_, found, target = estimate(make_hopfield, kind, share, variant)
        put_out = found.free.state[-1], found.upper[-1]
        if kind != "resistive":
            network = make_hopfield((5, 4), activation=kind, outputs=1).network
            put_out = tuple(network.forward(2, u) for u in put_out)
        free, driven = put_out
        assert np.abs(target - free).max() > 0.01 * np.abs(target).max()
        assert_allclose(driven, free + share * (target - free), rtol=1e-9)
        assert found.span == share
        assert found.lower == found.free.state
