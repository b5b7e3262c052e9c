"""Rules with a feedback map against the gradient: equal where theory says so, at an angle else."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.chip import FeedforwardChip
from neurohw.learning import rules
from neurohw.learning.settings import (
    BrainPropSettings,
    BurstSettings,
    FeedbackSettings,
    LearningSettings,
)
from neurohw.mappings import chip_specification
from neurohw.networks.feedforward import FeedforwardNetwork, forward, gradient

SIZES, BATCH = (6, 9, 8, 3), 7
IDEAL = {"device": {"law": "ideal", "g_min": 0.0, "g_max": float("inf")}}


def problem(rule, *, hidden="sigmoid", output="sigmoid", cost="squared", chip=None, **learning):
    """Return a rule on an exact chip, its weights and biases, and a mini-batch."""
    rng = np.random.default_rng(0)
    network = FeedforwardNetwork(sizes=SIZES, hidden=hidden, output=output, cost=cost)
    shapes = list(zip(SIZES[1:], SIZES[:-1], strict=True))
    weights = [rng.uniform(-0.7, 0.7, shape) for shape in shapes]
    biases = [np.zeros(units) for units in SIZES[1:]]
    built = FeedforwardChip(
        chip_specification.load(chip or IDEAL), network, weights, seed=0, dtype="float64"
    )
    settings = LearningSettings(rule=rule, learning_rate=1.0, bias_learning_rate=0.0, **learning)
    made = rules.RULES[rule].load()(network, built, settings, seed=0)
    inputs = rng.uniform(size=(BATCH, SIZES[0]))
    targets = np.eye(SIZES[-1])[rng.integers(SIZES[-1], size=BATCH)]
    return made, weights, biases, inputs, targets


def run(rule, inputs, event=0):
    volts = inputs * rule.chip.scale.unit_voltage
    return volts, rule.forward(rule.chip.arrays[0].read(volts), event, volts)


def learn(rule, inputs, targets, rate, event=0):
    """Return what a mini-batch teaches at a dimensionless rate."""
    volts, activity = run(rule, inputs, event)
    rates = [rule.chip.scale.learning_rate(rate, k) for k in range(len(SIZES) - 1)]
    return rule.learn(volts, activity, targets, event, rates, [])


def program(rule, learnt, event=0):
    for array, update in zip(rule.chip.arrays, learnt.updates, strict=True):
        array.program(update, event)
    for name, updates in learnt.beside.items():
        for array, update in zip(rule.chip.beside[name], updates, strict=True):
            array.program(update, event)


def changes(rule, learnt):
    """Return the dimensionless change that each array takes, (units, inputs)."""
    held = rule.chip.logical()[0]
    program(rule, learnt)
    return [after - w for after, w in zip(rule.chip.logical()[0], held, strict=True)]


def angle(x, y):
    """Return the angle between two arrays taken as vectors [deg]."""
    x, y = x.ravel(), y.ravel()
    return np.degrees(np.arccos(x @ y / np.sqrt((x @ x) * (y @ y))))


@pytest.mark.parametrize("rule", ["feedback-alignment", "kolen-pollack", "weight-mirror"])
def test_feedback_that_is_the_transpose_gives_the_gradient(rule):
    made, weights, biases, inputs, targets = problem(rule, weight_decay=1e-9)
    for array, unit, w in zip(made.back.arrays, made.back.units, weights[1:], strict=True):
        array.write(w.T * unit)
    expected = gradient(made.network, weights, biases, inputs, targets)[0]
    for found, wanted in zip(
        changes(made, learn(made, inputs, targets, 1.0)), expected, strict=True
    ):
        # The decay takes 1e-9 of weights below 1.
        assert_allclose(found, -wanted, rtol=1e-8, atol=2e-9)


def test_feedback_alignment_learns_in_the_direction_of_its_own_feedback():
    made, weights, biases, inputs, targets = problem("feedback-alignment")
    _, states = forward(made.network, weights, biases, inputs)
    delta = (states[2] - targets) * states[2] * (1 - states[2])
    expected = [delta.T @ states[1]]
    for k, b in ((1, made.back.weights()[1]), (0, made.back.weights()[0])):
        delta = (delta @ b.T) * states[k] * (1 - states[k])
        expected.insert(0, delta.T @ (states[k - 1] if k else inputs))
    for found, wanted in zip(
        changes(made, learn(made, inputs, targets, 0.3)), expected, strict=True
    ):
        assert_allclose(found, -0.3 * wanted / BATCH, rtol=1e-9, atol=1e-15)


def test_direct_feedback_takes_the_error_of_the_outputs_to_every_layer():
    made, weights, biases, inputs, targets = problem("direct-feedback-alignment")
    _, states = forward(made.network, weights, biases, inputs)
    delta = (states[2] - targets) * states[2] * (1 - states[2])
    found = changes(made, learn(made, inputs, targets, 1.0))
    for k, below in ((0, inputs), (1, states[0])):
        error = (delta @ made.back.weights()[k].T) * states[k] * (1 - states[k])
        assert_allclose(found[k], -error.T @ below / BATCH, rtol=1e-9, atol=1e-15)


def test_sign_symmetric_feedback_has_the_signs_and_the_size_of_the_weights():
    made, weights, *_ = problem("sign-symmetric")
    for b, w in zip(made.back.weights(), weights[1:], strict=True):
        assert_allclose(b, np.sign(w.T) * np.sqrt(np.mean(w**2)), rtol=1e-12)


def test_fixed_feedback_stays_as_it_was_written_with_its_own_spread():
    """A standard deviation of 0.2 over 96 weights is found within 4 of its errors, 0.2/√192."""
    made, _, _, inputs, targets = problem("feedback-alignment")
    off = problem("feedback-alignment", feedback=FeedbackSettings(spread=0.2))[0]
    before = [w.copy() for w in made.back.weights()]
    program(made, learn(made, inputs, targets, 1.0))
    for array in made.back.arrays:
        array.rest(1)
    shares = []
    for now, was, other in zip(made.back.weights(), before, off.back.weights(), strict=True):
        assert (now == was).all()
        shares.append((other / was - 1).ravel())
    assert abs(np.concatenate(shares).std() - 0.2) < 4 * 0.2 / np.sqrt(2 * 96)


@pytest.mark.parametrize("rule", ["kolen-pollack", "burst"])
def test_feedback_that_takes_the_same_updates_meets_the_weights_at_the_rate_of_the_decay(rule):
    """W − Bᵀ shrinks by 1 − η·λ a mini-batch, whatever the errors are, so their angle goes to 0."""
    decay, rate = 0.5, 0.1
    made, _, _, inputs, targets = problem(rule, weight_decay=decay)

    def apart():
        held = made.chip.logical()[0][1:]
        return [w - b.T for w, b in zip(held, made.back.weights(), strict=True)]

    before = apart()
    for event in range(3):
        program(made, learn(made, inputs, targets, rate, event), event)
    for now, was in zip(apart(), before, strict=True):
        assert_allclose(now, (1 - rate * decay) ** 3 * was, rtol=1e-9, atol=1e-15)


def test_a_weight_mirror_turns_feedback_towards_the_transpose():
    """Of N = 2·BATCH/κ independent samples a weight has noise |w_j|/√N: about 11 degrees here."""
    made, weights, _, inputs, targets = problem(
        "weight-mirror", feedback=FeedbackSettings(mirror_rate=0.05)
    )
    before = [angle(b, w.T) for b, w in zip(made.back.weights(), weights[1:], strict=True)]
    for event in range(200):
        program(made, learn(made, inputs, targets, 0.0, event), event)
    after = [angle(b, w.T) for b, w in zip(made.back.weights(), weights[1:], strict=True)]
    assert min(before) > 60
    assert max(after) < 20


def brainprop(rule="brainprop", exploration=1.0, **learning):
    return problem(
        rule,
        hidden="tanh",
        output="linear",
        brainprop=BrainPropSettings(exploration=exploration),
        **learning,
    )


def test_brainprop_descends_the_squared_prediction_error_of_its_action():
    """By finite differences of 1e-5: their error is 1e-10 of third derivatives below 1."""
    made, weights, biases, inputs, targets = brainprop()
    action = made.choose(run(made, inputs)[1].states[-1], 0)
    assert len(set(action)) > 1
    rows, step = np.arange(BATCH), 1e-5

    def cost():
        values = forward(made.network, weights, biases, inputs)[1][-1]
        return 0.5 * np.mean((targets[rows, action] - values[rows, action]) ** 2)

    found = changes(made, learn(made, inputs, targets, 1.0))
    for w, change in zip(weights, found, strict=True):
        numeric = np.empty_like(w)
        for place in np.ndindex(w.shape):
            kept = w[place]
            w[place] = kept + step
            above = cost()
            w[place] = kept - step
            numeric[place] = (above - cost()) / (2 * step)
            w[place] = kept
        assert_allclose(change, -numeric, rtol=0, atol=1e-9)


def test_brainprop_takes_the_best_action_without_exploring_and_else_draws_from_the_softmax():
    made = brainprop(exploration=0.0)[0]
    values = np.tile([0.0, np.log(3.0), 0.0], (4000, 1))
    assert (made.choose(values, 0) == 1).all()
    share = np.mean(brainprop()[0].choose(values, 0) == 1)
    # A probability of 3/5, four standard errors.
    assert abs(share - 0.6) < 4 * np.sqrt(0.24 / 4000)


def test_reciprocal_brainprop_is_brainprop_once_its_feedback_is_the_transpose():
    made, weights, _, inputs, targets = brainprop("brainprop-reciprocal", weight_decay=1e-9)
    for array, unit, w in zip(made.back.arrays, made.back.units, weights[1:], strict=True):
        array.write(w.T * unit)
    plain = brainprop()[0]
    ours, theirs = (changes(r, learn(r, inputs, targets, 1.0)) for r in (made, plain))
    for found, wanted in zip(ours, theirs, strict=True):
        assert_allclose(found, wanted, rtol=1e-8, atol=2e-9)
    for b, w in zip(made.back.weights(), made.chip.logical()[0][1:], strict=True):
        assert_allclose(b, w.T, rtol=1e-9)


def burst(**learning):
    made, *rest = problem("burst", **learning)
    for array in made.lateral:
        array.write(np.zeros(array.shape))
    return made, *rest


def test_a_teacher_that_agrees_teaches_nothing():
    made, _, _, inputs, _ = burst()
    _, activity = run(made, inputs)
    for error in made.errors(activity, activity.states[-1], 0):
        assert_allclose(error, 0, atol=1e-16)


def test_output_bursts_carry_the_error_of_backpropagation():
    made, _, _, inputs, targets = burst()
    _, activity = run(made, inputs)
    y = activity.states[-1]
    delta = (y - targets) * y * (1 - y)
    assert_allclose(made.errors(activity, targets, 0)[-1], 0.2 * delta, rtol=1e-12)


def test_bursts_near_linear_dendrites_follow_backpropagation():
    """With Y = Wᵀ, small, dendrites stay where the sigmoid is straight: cosine above 0.9999."""
    made, weights, biases, inputs, targets = burst()
    small = [weights[0], *(0.05 * w for w in weights[1:])]
    made.chip.write(small, biases)
    for array, unit, w in zip(made.back.arrays, made.back.units, small[1:], strict=True):
        array.write(w.T * unit)
    _, activity = run(made, inputs)
    errors = made.errors(activity, targets, 0)
    exact = rules.RULES["backpropagation"].load()(made.network, made.chip)
    for ours, theirs in zip(errors, exact.errors(activity, targets, 0), strict=True):
        cosine = (ours * theirs).sum() / np.sqrt((ours**2).sum() * (theirs**2).sum())
        assert cosine > 0.9999


def test_lateral_connections_bring_dendrites_back_to_the_middle():
    made, _, _, inputs, targets = burst(burst=BurstSettings(lateral_rate=0.5))
    size = []
    for event in range(100):
        _, activity = run(made, inputs, event)
        size.append([np.abs(u).mean() for u in made.bursts(activity, targets, event).dendrite])
        program(made, learn(made, inputs, targets, 0.0, event), event)
    assert (np.array(size[-1]) < 0.5 * np.array(size[0])).all()
