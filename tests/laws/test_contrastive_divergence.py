"""Contrastive divergence against the exact gradient of machines small enough to enumerate."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.chip import BoltzmannChip
from neurohw.errors import InvalidValueError
from neurohw.learning.contrastive_divergence import ContrastiveDivergence
from neurohw.learning.settings import ChainSettings
from neurohw.mappings import chip_specification
from neurohw.networks.boltzmann import (
    every_state,
    free_energies,
    free_energy,
    likelihood_gradient,
    log_likelihood,
)

PIXELS, UNITS = 6, 4
BATCH = 500


def problem(seed=0, classes=0, size=1.0, **chain):
    """Return a rule on a chip without imperfections, and data of a few states."""
    rng = np.random.default_rng(seed)
    inputs = PIXELS + classes
    weights = size * rng.normal(size=(UNITS, inputs))
    visible, hidden = 0.3 * rng.normal(size=inputs), 0.3 * rng.normal(size=UNITS)
    device = {"law": "ideal", "g_min": 0.0, "g_max": float("inf")}
    chip = chip_specification.load({"device": device, "bias": {"kind": "current"}})
    chip = BoltzmannChip(chip, weights, PIXELS, seed=0, dtype="float64")
    chip.write([weights], [hidden, visible])
    states = every_state(PIXELS, classes)
    data = states[rng.choice(len(states), 5, replace=False)]
    return ContrastiveDivergence(chip, classes, ChainSettings(**chain), seed=seed), data, states


def parameters(rule):
    (weights,), (hidden, visible) = rule.chip.logical()
    return weights, visible, hidden


def estimate(rule, data, batches):
    """Return the mean of what contrastive divergence estimates of the gradient, one vector."""
    unit = rule.chip.scale.unit_voltage
    lines = unit * np.tile(data, (BATCH // len(data), 1))
    total = 0.0
    for event in range(batches):
        phases = rule.phases(lines, event)
        (v, h), (dreamt, end) = phases.data, phases.model
        parts = (h.T @ v - end.T @ dreamt, (v - dreamt).sum(axis=0), (h - end).sum(axis=0))
        total = total + np.concatenate([part.ravel() for part in parts]) / len(v)
    return total / batches


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize("classes", [0, 3])
def test_the_exact_gradient_is_that_of_finite_differences(classes):
    rule, data, states = problem(classes=classes)
    held = parameters(rule)
    step = 1e-5
    for values, found in zip(held, likelihood_gradient(*held, data, states), strict=True):
        numeric = np.empty_like(values)
        for place in np.ndindex(values.shape):
            kept = values[place]
            values[place] = kept + step
            above = log_likelihood(*held, data, states)
            values[place] = kept - step
            numeric[place] = (above - log_likelihood(*held, data, states)) / (2 * step)
            values[place] = kept
        assert_allclose(found, numeric, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("chain", [{"steps": 1}, {"steps": 10}, {"steps": 5, "persistent": True}])
def test_what_is_learnt_points_along_the_exact_gradient(chain, classes):
    rule, data, states = problem(classes=classes, size=0.5, **chain)
    exact = likelihood_gradient(*parameters(rule), data, states)
    exact = np.concatenate([part.ravel() for part in exact])
    assert cosine(estimate(rule, data, 40), exact) > 0.99


def test_many_steps_sample_the_machine_itself():
    rule, data, states = problem(classes=3, steps=30)
    exact = likelihood_gradient(*parameters(rule), data, states)
    exact = np.concatenate([part.ravel() for part in exact])
    # 20,000 samples of numbers below 1: five standard errors of their differences.
    assert_allclose(estimate(rule, data, 40), exact, rtol=0, atol=5 / np.sqrt(40 * BATCH))


@pytest.mark.parametrize("persistent", [False, True])
def test_the_exact_likelihood_rises(persistent):
    rule, data, states = problem(size=0.1, persistent=persistent)
    chip = rule.chip
    unit = chip.scale.unit_voltage
    lines = unit * np.tile(data, (20, 1))
    course = [log_likelihood(*parameters(rule), data, states)]
    for event in range(600):
        phases = rule.phases(lines, event)
        rates = chip.scale.learning_rate(0.2, 0), chip.scale.bias_learning_rate(0.2, 0)
        updates, bias_updates = rule.updates(phases, *rates)
        chip.arrays[0].program(updates[0], event)
        for bias, update in zip(chip.biases, bias_updates, strict=True):
            bias.program(update, event)
        if event % 100 == 99:
            course.append(log_likelihood(*parameters(rule), data, states))
    # Later, what is sampled moves it as much as what is left to learn.
    assert (np.diff(course[:4]) > 0).all()
    # Nothing can do better than to give each of the five states a fifth.
    assert course[0] < -3.5
    assert np.log(1 / 5) - 0.6 < course[-1] < np.log(1 / 5)


def test_free_energies_of_classes_are_those_of_whole_states():
    rule, _, states = problem(classes=3)
    weights, visible, hidden = parameters(rule)
    images = states[::3, :PIXELS]
    whole = free_energy(weights, visible, hidden, states).reshape(-1, 3)
    lines = rule.chip.scale.unit_voltage * np.pad(images, ((0, 0), (0, 3)))
    found = rule.free_energies(lines, 0)
    assert_allclose(found - found[:, :1], whole - whole[:, :1], rtol=0, atol=1e-12)
    sums = images @ weights[:, :PIXELS].T + hidden
    dense = free_energies(sums, weights[:, PIXELS:].T, visible[PIXELS:])
    assert_allclose(found, dense, rtol=1e-12)


def test_persistent_chains_go_on_and_others_start_from_the_data():
    rule, data, _ = problem(persistent=True)
    lines = rule.chip.scale.unit_voltage * data
    first = rule.phases(lines, 0)
    held = rule.chains
    rule.phases(lines, 1)
    assert (rule.chains != held).any()
    rule.chains = held
    again = rule.phases(lines[::-1], 1)
    rule.chains = held
    assert_allclose(rule.phases(lines, 1).model[0], again.model[0], rtol=0)
    assert (first.model[0] != again.model[0]).any()


NOISY = {
    "device": {
        "law": "ideal",
        "g_min": 0.0,
        "g_max": 1e-5,
        "reading": {"absolute": 0.3, "correlation": "sweep"},
    },
    "mapping": {"scheme": "offset", "weight_range": 2.0},
    "bias": {"kind": "current"},
}


def test_read_noise_samples_units_with_nearly_the_logistic_probability():
    chip = BoltzmannChip(
        chip_specification.load(NOISY),
        np.full((200, 6), 0.4) * np.linspace(-1, 1, 200)[:, None],
        6,
        seed=0,
        dtype="float32",
    )
    rule = ContrastiveDivergence(chip, 0, ChainSettings(sampling="read-noise"), seed=0)
    inputs = np.full((300, 6), chip.scale.unit_voltage, np.float32)
    _, states = rule.phases(inputs, 0).data
    t = rule.temperature(inputs[:4], 0)
    # Noise of six cells, and of none in the reference, of 0.3 of the range, which is 4.
    assert t == pytest.approx(np.sqrt(6) * 0.3 * 4 / 1.702, rel=0.05)
    wanted = 1 / (1 + np.exp(-2.4 * np.linspace(-1, 1, 200) / t))
    # The largest distance of the two distributions is 0.01; standard errors are at most 0.03.
    assert np.abs(states.mean(axis=0) - wanted).max() < 0.01 + 4.5 * 0.03
    assert np.abs((states.mean(axis=0) - wanted).mean()) < 0.01 + 4.5 * 0.03 / np.sqrt(200)
    assert np.corrcoef(states, rowvar=False)[0, 1:].mean() == pytest.approx(0, abs=0.02)


def test_read_noise_that_is_missing_or_lasts_is_refused():
    for reading in ({}, {"absolute": 0.1}):
        device = {**NOISY["device"], "reading": reading}
        chip = chip_specification.load({**NOISY, "device": device})
        chip = BoltzmannChip(chip, np.zeros((4, 6)), 6, seed=0, dtype="float32")
        with pytest.raises(InvalidValueError, match="read-noise: needs chip"):
            ContrastiveDivergence(chip, 0, ChainSettings(sampling="read-noise"))
