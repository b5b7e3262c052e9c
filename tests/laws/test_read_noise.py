"""Read noise spares equilibrium propagation while it lasts through both phases, and only then."""

import numpy as np
import pytest

from neurohw import engines
from neurohw.chip import Chip
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.learning.resistive import ResistivePropagation
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network, encode

PIXELS, HIDDEN, OUTPUTS, BATCH, SWEEPS = 8, 12, 3, 4, 40
EVENTS = 8


def make_rule(reading, variant="positive", **options):
    """Return a rule on a random network of ideal cells with read noise, and its mini-batch."""
    device = {"preset": "ideal", "reading": reading}
    network = deep_resistive_network(PIXELS, [HIDDEN], OUTPUTS, "float32")
    chip = Chip(chip_specification.load({"device": device}), network, 10.0, seed=0, dtype="float32")
    # With this seed no diode is so near to 0 V that such noise makes it switch.
    rng = np.random.default_rng(3)
    chip.write([rng.uniform(0.05, 1.0, array.values().shape) for array in chip.arrays], [])
    inputs = encode(rng.uniform(size=(BATCH, PIXELS)), 0.2, "float32")
    target = np.float32(chip.scale.unit_voltage) * np.eye(3, dtype=np.float32)[[0, 2, 1, 1]]
    settings = {"free_sweeps": SWEEPS, "nudged_sweeps": SWEEPS, "nudging": 0.1, **options}
    rule = ResistivePropagation(network, engines.load("numba"), chip, variant=variant, **settings)
    return rule, inputs, target


def gradient(rule, inputs, target, event):
    """Return the estimated gradient by the first layer's conductances."""
    current = rule.chip.arrays[0].read(inputs)
    contrast = rule.contrast(current, target, None, event, inputs)
    updates, _ = rule.updates(contrast, inputs, [1.0, 1.0], [])
    return updates[0].dense(rule.chip.arrays[0].values(), 0).astype(float)


def cosine(reading, variant="positive"):
    """Return the mean cosine of noisy gradients with the noiseless one."""
    exact = gradient(*make_rule({}, variant), 0)
    case = make_rule(reading, variant)
    found = [gradient(*case, event) for event in range(EVENTS)]
    return np.mean([np.sum(g * exact) / np.linalg.norm(g) / np.linalg.norm(exact) for g in found])


@pytest.mark.parametrize("variant", ["positive", "centered"])
@pytest.mark.parametrize("correlation", ["frozen", "sample"])
def test_noise_that_lasts_through_both_phases_is_harmless(correlation, variant):
    found = cosine({"correlation": correlation, "relative": "1 %"}, variant)
    assert 0.99 < found < 1 - 1e-6


@pytest.mark.parametrize("variant", ["positive", "centered"])
@pytest.mark.parametrize("correlation", ["phase", "sweep"])
def test_noise_that_is_redrawn_between_the_phases_destroys_the_gradient(correlation, variant):
    assert cosine({"correlation": correlation, "relative": "1 %"}, variant) < 0.5


@pytest.mark.parametrize("correlation", ["phase", "sweep"])
def test_the_harm_vanishes_with_the_noise(correlation):
    assert cosine({"correlation": correlation, "relative": 1e-5}) > 0.99


def test_flicker_harms_by_what_phases_far_apart_do_not_share():
    # Nearly a frozen draw, because most of the noise is below 1/phase_time = 10 MHz ...
    flicker = {"correlation": "spectrum", "flicker": 0.002, "flicker_corner": 1.0}
    near = cosine({**flicker, "bandwidth": 1e3, "phase_time": 1e-7})
    # ... and phases later than the noise is slow share nothing.
    far = cosine({**flicker, "bandwidth": 1e3, "phase_time": 1e3})
    assert near > 0.99
    assert far < 0.6


def test_slow_traps_are_harmless_and_fast_ones_are_not():
    telegraph = {"share": 1.0, "amplitude": 0.01, "capture_time": 1e-3, "emission_time": 1e-3}
    assert cosine({"telegraph": telegraph, "phase_time": 1e-9}) > 0.97
    assert cosine({"telegraph": telegraph, "phase_time": 1e-1}) < 0.5


def test_without_noise_nothing_changes():
    plain, inputs, target = make_rule({})
    quiet, *_ = make_rule({"correlation": "sweep", "phase_time": 1e-3})
    assert np.array_equal(gradient(plain, inputs, target, 3), gradient(quiet, inputs, target, 3))
    assert not quiet.chip.noisy


def test_a_relaxation_among_cells_that_change_does_not_converge():
    rule, inputs, target = make_rule({"correlation": "sweep", "relative": 0.01}, tolerance=1e-6)
    with pytest.raises(InvalidValueError, match=r"relaxation.tolerance = 1e-06: .*sweep"):
        gradient(rule, inputs, target, 0)
    rule, inputs, target = make_rule({"correlation": "sweep", "relative": 0.01}, free_time=1e-6)
    with pytest.raises(UnsupportedError, match=r"device.reading.correlation = sweep"):
        gradient(rule, inputs, target, 0)
    rule, inputs, target = make_rule({"relative": 0.01})
    with pytest.raises(InvalidValueError, match=r"inputs: .* read"):
        rule.contrast(rule.chip.arrays[0].read(inputs), target, None, 0)
