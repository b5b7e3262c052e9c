"""Backpropagation through converters: what the arrays carry, and what the updates take."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import FeedforwardChip
from neurohw.errors import NumericalError
from neurohw.learning.backpropagation import Backpropagation
from neurohw.mappings import chip_specification
from neurohw.networks.feedforward import FeedforwardNetwork, forward

SIZES, BATCH, RATE = (6, 5, 4, 3), 7, 0.01


def make(hidden="sigmoid", **converters):
    """Return a rule on an exact chip, its weights, and what a mini-batch brings."""
    rng = np.random.default_rng(0)
    network = FeedforwardNetwork(sizes=SIZES, hidden=hidden, output="sigmoid", cost="squared")
    shapes = zip(SIZES[1:], SIZES[:-1], strict=True)
    weights = [rng.uniform(-0.7, 0.7, shape) for shape in shapes]
    specification = chip_specification.load(
        {
            "device": {"law": "ideal", "g_min": 0.0, "g_max": float("inf")},
            "converters": converters,
        }
    )
    chip = FeedforwardChip(specification, network, weights, seed=0, dtype="float64")
    volts = rng.uniform(size=(BATCH, SIZES[0])) * chip.scale.unit_voltage
    return Backpropagation(network, chip), weights, volts, np.eye(3)[rng.integers(3, size=BATCH)]


def run(rule, volts, targets):
    activity = rule.forward(rule.chip.arrays[0].read(volts), 0, volts)
    return activity, rule.errors(activity, targets, 0)


def quantised(values, full_scale, bits):
    step = full_scale / 2 ** (bits - 1)
    return np.clip(np.rint(values / step), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * step


def test_both_passes_are_those_written_out():
    """Sums of 5 bits, states of 1 bit, errors out of 4 and back of 6 bits, all calibrated."""
    rule, weights, volts, targets = make(
        state_adc={"bits": 5}, state_dac={"bits": 1}, error_dac={"bits": 4}, error_adc={"bits": 6}
    )
    activity, errors = run(rule, volts, targets)
    unit = rule.chip.scale.unit_voltage
    driven, totals = volts / unit, []
    for w in weights:
        z = driven @ w.T
        totals.append(quantised(z, np.abs(z).max(), 5))
        driven = np.rint(1 / (1 + np.exp(-totals[-1])))
    for ours, theirs in zip(activity.totals, totals, strict=True):
        assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    states = [1 / (1 + np.exp(-z)) for z in totals]
    delta = (states[-1] - targets) * states[-1] * (1 - states[-1])
    assert_allclose(errors[-1], delta, rtol=0, atol=1e-12)
    for k in (2, 1):
        back = quantised(delta, np.abs(delta).max(), 4) @ weights[k]
        delta = quantised(back, np.abs(back).max(), 6) * states[k - 1] * (1 - states[k - 1])
        assert_allclose(errors[k - 1], delta, rtol=0, atol=1e-12)
    # Updates take the numbers: states that are not rounded to what the DACs then drive.
    updates, _ = rule.updates(volts, activity, errors, [RATE] * 3, [])
    assert_allclose(updates[1].presynaptic[0], states[0] * unit, rtol=1e-12)
    assert_allclose(updates[1].postsynaptic[0], -RATE * unit / BATCH * errors[1], rtol=1e-12)


def test_converters_without_errors_change_nothing():
    plain = run(*[part for k, part in enumerate(make()) if k != 1])
    keys = ("state_adc", "state_dac", "error_dac", "error_adc")
    found = run(*[part for k, part in enumerate(make(**{key: {} for key in keys})) if k != 1])
    # To a factor of the unit voltage and back.
    for ours, theirs in zip(found[0].totals + found[1], plain[0].totals + plain[1], strict=True):
        assert_allclose(ours, theirs, rtol=1e-13, atol=1e-16)


def test_calibration_is_what_the_samples_ask_for():
    bits = {"bits": 8, "headroom": 1.5}
    rule, weights, volts, targets = make("relu", state_adc=bits, state_dac=bits, error_adc=bits)
    unit = rule.chip.scale.unit_voltage
    rule.chip.ranges["state"] = np.ones(3)
    rule.calibrate(rule.chip.arrays[0].read(volts), unit * targets, volts)
    held = {name: ranges.copy() for name, ranges in rule.chip.ranges.items()}
    assert sorted(held) == ["error", "state", "state_dac"]
    first = forward(rule.network, weights, [0, 0, 0], volts / unit)[0][0]
    assert_allclose(held["state"][0], 1.5 * unit * np.abs(first).max(), rtol=1e-12)
    # Errors are smaller than sums here, and so are their steps.
    assert (held["error"] < 0.5 * held["state"][:2]).all()
    run(rule, 2 * volts, targets)
    for name, ranges in held.items():
        assert_array_equal(rule.chip.ranges[name], ranges)


@pytest.mark.parametrize("converters", [{}, {"state_adc": {"bits": 4, "inl": [0, 0.1, 0]}}])
def test_what_is_no_number_is_not_converted_away(converters):
    rule, _, volts, _ = make(**converters)
    volts[2, 1] = np.nan
    with pytest.raises(NumericalError, match=r"input of layer 1, unit 0 is nan, sample 2"):
        rule.forward(rule.chip.arrays[0].read(volts), 0, volts)
