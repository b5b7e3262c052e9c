"""Hebbian rules on a chip are the dense ones, the outputs clamped; what diverges is counted."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import FeedforwardChip
from neurohw.errors import ConfigurationError, NumericalError
from neurohw.experiments import configuration, trainer
from neurohw.learning import hebbian
from neurohw.learning.settings import LearningSettings
from neurohw.mappings import chip_specification
from neurohw.networks.feedforward import FeedforwardNetwork

SIZES, BATCH, RATE = (8, 6, 3), 7, 0.03


def rule_of(name, *, most=float("inf"), table=None):
    rng = np.random.default_rng(0)
    network = FeedforwardNetwork(sizes=SIZES, hidden="relu", output="linear", cost="squared")
    shapes = zip(SIZES[1:], SIZES[:-1], strict=True)
    weights = [rng.normal(0.2, 0.3, shape) for shape in shapes]
    device = {"law": "ideal", "g_min": 0.0, "g_max": most}
    chip = FeedforwardChip(
        chip_specification.load({"device": device, "bias": {"kind": "current"}, **(table or {})}),
        network,
        weights,
        seed=0,
        dtype="float64",
    )
    learning = LearningSettings(rule=name, learning_rate=RATE, bias_learning_rate=RATE)
    rule = getattr(hebbian, name.capitalize())(network, chip, learning)
    inputs = rng.uniform(size=(BATCH, SIZES[0]))
    return rule, inputs, np.eye(SIZES[-1])[rng.integers(SIZES[-1], size=BATCH)]


def learnt(rule, inputs, targets, rates):
    chip = rule.chip
    volts = inputs * chip.scale.unit_voltage
    activity = rule.forward(chip.arrays[0].read(volts), 0, volts)
    before = chip.logical()
    found = rule.learn(
        volts,
        activity,
        targets,
        0,
        [chip.scale.learning_rate(rate, k) for k, rate in enumerate(rates)],
        [chip.scale.bias_learning_rate(rate, k) for k, rate in enumerate(rates)],
    )
    for array, update in zip(chip.arrays, found.updates, strict=True):
        if update is not None:
            array.program(update, 0)
    for bias, update in zip(chip.biases, found.bias_updates, strict=True):
        bias.program(update, 0)
    return activity, before, chip.logical()


@pytest.mark.parametrize("most", [float("inf"), 2e-5])
@pytest.mark.parametrize("name", ["hebb", "oja", "sanger"])
def test_an_exact_chip_learns_as_the_dense_rule(name, most):
    rule, inputs, targets = rule_of(name, most=most)
    activity, before, after = learnt(rule, inputs, targets, (RATE, RATE))
    dense = getattr(hebbian, name)
    for k, (below, y) in enumerate([(inputs, activity.states[0]), (activity.states[0], targets)]):
        wanted = RATE * dense(before[0][k], below, y)
        assert_allclose(after[0][k] - before[0][k], wanted, rtol=0, atol=1e-12)
        if name == "hebb":  # the others teach no biases
            wanted = before[1][k] + RATE * y.mean(axis=0)
            assert_allclose(after[1][k], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("recipe", "setting", "message"),
    [
        ("oja-1h", "learning.bias_learning_rate=0.1", "teaches no biases; take 0"),
        ("sanger-1h", "learning.bias_learning_rate=0.1", "teaches no biases; take 0"),
        ("hebb-1h", "chip.programming.events=sample", "takes the mean of a mini-batch"),
    ],
)
def test_what_a_rule_has_no_form_for_is_refused(recipe, setting, message):
    with pytest.raises(ConfigurationError, match=message):
        configuration.load(recipe, settings=[setting])


def test_centred_signals_teach_covariances():
    rule, inputs, targets = rule_of("hebb")
    rule.centred = True
    activity, before, after = learnt(rule, inputs, targets, (RATE, RATE))
    y = activity.states[0]
    covariance = np.cov(np.hstack((y, inputs)).T, bias=True)[: SIZES[1], SIZES[1] :]
    assert_allclose(after[0][0] - before[0][0], RATE * covariance, rtol=0, atol=1e-12)
    assert_allclose(after[1][0], before[1][0], rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", ["hebb", "oja"])
def test_samples_may_be_learnt_one_by_one(name):
    rule, inputs, targets = rule_of(name, table={"programming": {"events": "sample"}})
    activity, before, after = learnt(rule, inputs, targets, (RATE, 0.0))
    weights = before[0][0].copy()
    for line, y in zip(inputs, activity.states[0], strict=True):
        weights += RATE / BATCH * getattr(hebbian, name)(weights, line[None], y[None])
    assert_allclose(after[0][0], weights, rtol=0, atol=1e-12)
    assert_array_equal(after[0][1], before[0][1])


def test_the_outputs_of_oja_come_to_the_mean_of_their_class():
    rule, inputs, targets = rule_of("oja")
    for _ in range(150):
        activity, _, after = learnt(rule, inputs, targets, (0.0, 1.5))
    hidden = activity.states[0]
    means = [hidden[targets[:, c] > 0].mean(axis=0) for c in range(3) if targets[:, c].any()]
    found = [after[0][1][c] for c in range(3) if targets[:, c].any()]
    # Each step goes at least 1.5/7 of the way, and less than twice the way.
    assert_allclose(found, means, rtol=0, atol=1e-9)


def test_weights_that_diverge_are_counted_and_then_stop_the_training():
    told = []
    settings = ("data.name=digits", "data.train=200", "network.hidden=[8]", "training.batch=20")
    experiment = configuration.load(
        "hebb-1h",
        settings=(
            *(*settings, "network.activation=relu", "learning.centred=false"),
            "learning.learning_rate=[0.1, 0.1]",
        ),
        epochs=40,
    )
    with pytest.raises(NumericalError, match="input of layer"):
        trainer.train(experiment, warn=told.append)
    first = next(line for line in told if "diverging" in line)
    assert "beyond 100" in first
    assert 0 < int(first.split(": ")[2].split(" of ")[0]) <= 64 * 8


def test_limits_of_cells_hold_weights_and_are_counted():
    rule, inputs, targets = rule_of("hebb", most=2e-5)
    assert rule.warnings() == []
    learnt(rule, inputs, targets, (0.0, 1e4))
    (line,) = rule.warnings()
    assert line.startswith("layer 2: ")
    assert line.endswith("of 18 weights at the limits of their cells (diverging)")


def test_deflation_needs_reads_from_the_units_and_one_event():
    for setting, message in {
        "chip.transposed_read=false": "take learning.rule = oja",
        "chip.programming.events=sample": "not with chip.programming.events = sample",
    }.items():
        with pytest.raises(ConfigurationError, match=message):
            configuration.load("sanger-1h", settings=[setting])
