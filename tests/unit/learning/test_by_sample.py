"""Updates sample by sample: together they are the update of the mini-batch."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw import engines
from neurohw.chip import Chip
from neurohw.learning.resistive import ResistivePropagation
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network

VOLTAGES = np.linspace(-1, 1, 11)
POINTS = {"voltage": VOLTAGES.tolist(), "current": (1e-6 * (VOLTAGES + VOLTAGES**3)).tolist()}
CHIPS = {
    "resistors": {"bias": {"kind": "current"}},
    "rails": {"bias": {"kind": "rails"}},
    "nonlinear cells": {"synapse": {**POINTS, "degree": 3}},
}


def updates_of(table, events):
    """Return array and bias updates of one mini-batch of a small network."""
    rng = np.random.default_rng(0)
    specification = chip_specification.load(
        {"device": "ideal", **table, "programming": {"events": events}}
    )
    network = deep_resistive_network(5, (6, 4), 3, "float64")
    chip = Chip(specification, network, 20.0, seed=1, dtype="float64")
    rule = ResistivePropagation(
        chip.network,
        engines.load("numpy"),
        chip,
        variant="positive",
        nudging=0.5,
        free_sweeps=30,
        nudged_sweeps=30,
    )
    voltages = 0.2 * rng.uniform(size=(4, 5))
    target = chip.scale.unit_voltage * np.eye(3)[[0, 1, 2, 0]]
    contrast = rule.contrast(chip.arrays[0].read(voltages), target, None, 0, voltages)
    return chip, *rule.updates(contrast, voltages, [1e-3, 2e-3, 3e-3], [1e-3, 2e-3, 3e-3])


@pytest.mark.parametrize("name", CHIPS)
def test_samples_add_up_to_the_mini_batch(name):
    chip, together, together_biases = updates_of(CHIPS[name], "batch")
    _, apart, apart_biases = updates_of(CHIPS[name], "sample")
    for k, (one, each) in enumerate(zip(together, apart, strict=True)):
        g = chip.arrays[k].values()
        assert len(each.presynaptic) == 4
        wanted = one.dense(g, 0)
        parts = [each.dense(g, event) for event in range(4)]
        assert_allclose(sum(parts), wanted, rtol=1e-9, atol=1e-12 * np.abs(wanted).max())
        assert np.abs(parts[0] - wanted / 4).max() > 0.1 * np.abs(wanted).max()
    for one, each in zip(together_biases, apart_biases, strict=True):
        assert_allclose(*(
            np.einsum("eri,eru->ui", u.presynaptic, u.postsynaptic)
            + (0 if u.column is None else u.column.sum(axis=0)[:, None])
            for u in (one, each)
        ), rtol=1e-9, atol=1e-20)  # fmt: skip


def test_terms_are_products_of_two_lines():
    chip, together, _ = updates_of(CHIPS["resistors"], "batch")
    for array, update in zip(chip.arrays, together, strict=True):
        x, d = update.products()
        wanted = update.dense(array.values(), 0)
        assert_allclose(np.einsum("ri,rj->ji", x[0], d[0]), wanted, rtol=1e-9, atol=1e-20)
        split = update.in_sequence()
        assert split.presynaptic.shape == (x.shape[1], 1, array.values().shape[1])
        assert_allclose(sum(split.dense(array.values(), e) for e in range(x.shape[1])), wanted,
                        rtol=1e-9, atol=1e-20)  # fmt: skip
