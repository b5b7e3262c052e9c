"""Variants whose cells move while the nudged phase runs, against those whose cells wait."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.chip import HopfieldChip
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.experiments import configuration
from neurohw.experiments.machine import build, dataset_of
from neurohw.experiments.step import Batch
from neurohw.learning.continual import learn, program
from neurohw.learning.hopfield import HopfieldPropagation
from neurohw.mappings import chip_specification
from neurohw.networks.hopfield import energy

SMALL = (
    *("data.name=digits", "data.train=20", "network.hidden=[6]", "training.batch=4"),
    *("training.precision=float64", "training.engine=numpy", "learning.nudging=0.02"),
    *("relaxation.free_sweeps=40", "relaxation.nudged_sweeps=40"),
)
OWN = {"ep-1h": ("relaxation.dynamics=sweeps", "relaxation.nudged_sweeps=80"), "drn-digits": ()}


def movement(recipe, variant, factor, *settings):
    """Return how cells and biases move in a mini-batch, over the factor on the learning rates.

    Without cells at 0 S, of resistive networks, which cannot move down, and so sum up otherwise.
    """
    experiment = configuration.load(
        recipe, settings=[*SMALL, *OWN[recipe], f"learning.variant={variant}", *settings]
    )
    dataset = dataset_of(experiment)
    machine = build(experiment, dataset)
    chip, samples = machine.chip, np.arange(4)
    before = [array.values() for array in chip.arrays], [b.values.copy() for b in chip.biases]
    inputs = machine.encode(dataset.train_images[samples])
    batch = Batch(
        inputs=inputs,
        pending=chip.arrays[0].read(inputs),
        targets=machine.targets(dataset.train_labels[samples]),
        samples=samples,
    )
    rates = [[factor * rate for rate in kind] for kind in machine.learning_rates(0)]
    step = machine.step(batch, 0, *rates)
    program(chip, step.updates, step.bias_updates, step.programmed, inputs)
    after = [array.values() for array in chip.arrays], [b.values for b in chip.biases]
    changes = [
        (new - old)[np.abs(old) > 1e-3 * np.abs(old).max()] / np.abs(old).max()
        for olds, news in zip(before, after, strict=True)
        for old, new in zip(olds, news, strict=True)
        if np.abs(old).max() > 0
    ]
    return np.concatenate(changes) / factor


@pytest.mark.parametrize("recipe", ["ep-1h", "drn-digits"])
@pytest.mark.parametrize("moving, waiting", [("continual", "positive"), ("agnostic", "centered")])
def test_small_rates_lead_to_the_contrast_with_an_error_of_their_order(recipe, moving, waiting):
    contrast = movement(recipe, waiting, 1e-5)
    size = np.linalg.norm(contrast)
    assert size > 0
    large, small = (
        np.linalg.norm(movement(recipe, moving, factor) - contrast) / size
        for factor in (1e-5, 1e-6)
    )
    # Cells that moved are seen: ten times the rate is ten times the difference, to its square.
    assert 0 < small < 1e-2
    assert_allclose(large / small, 10, rtol=0.1)


def test_each_sweep_moves_cells_in_the_sum_to_the_whole():
    """With sample by sample programming too; an event is a sample of a sweep then."""
    found = [
        movement("ep-1h", "continual", 1e-4, f"chip.programming.events={events}")
        for events in ("batch", "sample")
    ]
    assert_allclose(found[1], found[0], rtol=0, atol=1e-6 * np.abs(found[0]).max())


class Recorded(HopfieldPropagation):
    """Keeps the cells that each part of a phase saw, and the states that it led to."""

    def nudged_phase(self, *words, **options):
        cells = [array.values() for array in self.chip.arrays]
        at = super().nudged_phase(*words, **options)
        self.log.append((cells, at.state))
        return at


def test_the_total_energy_falls_while_states_and_cells_settle_together(make_hopfield):
    """By every sweep and by every move of the cells, to rounding; and what it ends at is at rest.

    E and C are means over the mini-batch; the rate is large enough to see cells move.
    """
    problem = make_hopfield((5, 4), spread=0.0)
    weights = [g / problem.leak[0][0] for g in problem.conductances]
    chip = HopfieldChip(
        chip_specification.load({"device": "ideal"}),
        problem.network,
        weights,
        seed=0,
        dtype="float64",
    )
    rule = Recorded(
        problem.network,
        HopfieldEngine(),
        chip,
        variant="agnostic",
        nudging=0.4,
        free_sweeps=300,
        nudged_sweeps=60,
    )
    rule.log = []
    rates = [chip.scale.learning_rate(1.0, k) for k in range(3)]
    none = [0.0] * 3
    current = chip.arrays[0].read(problem.inputs)
    learn(rule, current, problem.target, None, 0, problem.inputs, rates, none)
    (begun, minus), *rest = rule.log
    leak, no_current = ([getattr(s, k) for s in chip.sources()] for k in ("conductance", "current"))

    def mean_energy(cells, state):
        miss = problem.network.forward(2, state[-1]) - problem.target
        total = energy(problem.network, cells, problem.inputs, state, leak, no_current)
        return (total + 0.5 * rule.strength * (miss**2).sum(axis=1)).mean()

    def products(state):
        lines = [problem.inputs, *state]
        return [b.T @ a / len(a) for a, b in pairwise(lines)]

    epsilon = [rate / (2 * rule.nudging) for rate in rates]
    control = [g - e * p for g, e, p in zip(begun, epsilon, products(minus), strict=True)]

    def total(cells, state):
        apart = zip(cells, control, epsilon, strict=True)
        return mean_energy(cells, state) + sum(((g - u) ** 2).sum() / (2 * e) for g, u, e in apart)

    # As they were for the first sweep; then after each sweep, and after each move that follows.
    values, state = [total(begun, minus)], None
    for cells, found in rest:
        values += [] if state is None else [total(cells, state)]
        values.append(total(cells, found))
        state = found
    falls = -np.diff(values)
    assert values[0] - values[-1] > 0
    assert (falls > -1e-12 * abs(values[0])).all()
    # Moves lower it too, not only sweeps, and cells end where states and controls have them.
    assert falls[1] > 1e-6 * (values[0] - values[-1])
    for g, u, e, p, old in zip(rest[-1][0], control, epsilon, products(state), begun, strict=True):
        assert np.abs(g - old).max() > 1e-3 * np.abs(old).max()
        assert_allclose(g, u + e * p, rtol=0, atol=1e-9 * np.abs(g).max())
