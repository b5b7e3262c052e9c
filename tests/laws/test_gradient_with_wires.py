"""With wires, terminal voltages give the gradient up to what the wires lose between the cells.

Each cell's true gradient is that of the whole circuit, all wire nodes included. Equilibrium
propagation gives it exactly from the cells' own voltages; from those of the terminals it lacks the
share of each voltage that reaches the cell, which is one minus about the loading.
"""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw import engines
from neurohw.chip import Chip
from neurohw.circuits.interconnect import loading
from neurohw.learning.resistive import ResistivePropagation
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network, encode

PIXELS, HIDDEN, OUTPUTS, BATCH = 6, 8, 3, 3


def make(resistance):
    """Make a network without zeros, with wires of a resistance [Ω], its inputs and targets [V]."""
    table = {"device": "ideal", "wires": {"word_line": resistance, "bit_line": resistance}}
    specification = chip_specification.load(table)
    network = deep_resistive_network(PIXELS, [HIDDEN], OUTPUTS)
    chip = Chip(specification, network, 10.0, seed=0, dtype="float64")
    rng = np.random.default_rng(0)
    chip.write([rng.uniform(0.05, 1.0, array.values().shape) for array in chip.arrays], [])
    inputs = encode(rng.uniform(size=(BATCH, PIXELS)), 0.2, "float64")
    target = chip.scale.unit_voltage * rng.normal(size=(BATCH, OUTPUTS))
    return chip, inputs, target


def rule(chip):
    return ResistivePropagation(
        chip.network,
        engines.load("numpy"),
        chip,
        variant="centered",
        nudging=1e-3,
        free_sweeps=500,
        nudged_sweeps=500,
        tolerance=1e-9,
    )


def estimate(chip, inputs, target):
    """Return the gradient by each cell as the rule takes it from the terminals [V²/S]."""
    contrast = rule(chip).contrast(chip.arrays[0].read(inputs), target, None, 0)
    rates = [1.0] * len(chip.arrays)
    updates, _ = rule(chip).updates(contrast, inputs, rates, [])
    unit = chip.scale.unit_conductance
    return np.concatenate(
        [
            -update.dense(array.values(), 0).ravel() / unit
            for update, array in zip(updates, chip.arrays, strict=True)
        ]
    )


def cost(chip, inputs, target):
    """Return the mean cost of the free state, exact in every wire [V²]."""
    free = engines.load("numpy").relax(
        chip.network,
        chip.seen(0),
        chip.sources(0),
        chip.arrays[0].read(inputs),
        sweeps=500,
        tolerance=1e-14,
    )
    return 0.5 * np.mean(np.sum((free.state[-1] - target) ** 2, axis=1))


def true_gradient(chip, inputs, target):
    """Return ∂C/∂g of every cell by central differences, each end reduced anew [V²/S]."""
    step, found = 1e-4 * chip.scale.unit_conductance, []
    for array in chip.arrays:
        held = array.values()
        for place in np.ndindex(held.shape):
            costs = []
            for sign in (1, -1):
                moved = held.copy()
                moved[place] += sign * step
                array.write(moved)
                costs.append(cost(chip, inputs, target))
            found.append((costs[0] - costs[1]) / (2 * step))
        array.write(held)
    return np.array(found)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Loading of the first array, 1 − cosine and relative length of the estimate."""

    load: float
    gap: float
    length: float


def compare(resistance):
    case = make(resistance)
    found, true = estimate(*case), true_gradient(*case)
    sizes = np.linalg.norm(found), np.linalg.norm(true)
    gap = 0.5 * np.sum((found / sizes[0] - true / sizes[1]) ** 2)
    array = case[0].arrays[0]
    return Comparison(loading(array.values(), array.seen(0).wires), gap, sizes[0] / sizes[1])


@pytest.mark.parametrize("resistance", [1.0, 100.0])
def test_the_estimate_points_along_the_gradient_up_to_the_loading(resistance):
    """Voltages that lack a share of up to the loading turn the gradient by about that angle."""
    found = compare(resistance)
    assert found.load < 0.06
    assert found.gap <= 0.5 * found.load**2
    assert_allclose(found.length, 1.0, rtol=2 * found.load)


def test_strong_wires_turn_the_estimate():
    """Past a loading of 1 it still points downhill, but no longer along the gradient."""
    found = compare(3e3)
    assert found.load > 1
    assert 0.05 < found.gap < 0.25
    assert found.length > 2
