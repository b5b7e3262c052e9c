"""Nudging circuits and sample-and-hold: their errors are what they say."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw import engines
from neurohw.chip import Chip
from neurohw.circuits.periphery import NudgingCircuit, SampleAndHold
from neurohw.errors import InvalidValueError
from neurohw.learning.resistive import ResistivePropagation
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network, encode


class Recorder:
    """The NumPy engine, which notes what it is nudged with."""

    def __init__(self):
        self.nudging = []

    def relax(self, *arguments, nudging=None, **options):
        self.nudging.append(nudging)
        return engines.load("numpy").relax(*arguments, nudging=nudging, **options)


def rule_of(variant, nudging, table):
    """Return a rule on a chip with these keys, its engine, and the chip."""
    chip = Chip(
        chip_specification.load({"device": "ideal"} | (table or {})),
        deep_resistive_network(4, (6,), 3),
        10.0,
        seed=1,
        dtype="float64",
    )
    engine = Recorder()
    rule = ResistivePropagation(
        chip.network,
        engine,
        chip,
        variant=variant,
        nudging=nudging,
        free_sweeps=30,
        nudged_sweeps=30,
        seed=1,
    )
    return rule, engine, chip


def contrast(variant="centered", nudging=0.5, table=None):
    rule, engine, chip = rule_of(variant, nudging, table)
    inputs = encode(np.random.default_rng(0).uniform(size=(2, 4)), 0.2)
    target = np.array([[0.02, 0.0, 0.0], [0.0, 0.02, 0.0]])
    found = rule.contrast(chip.arrays[0].read(inputs), target, None, 0)
    return found, engine.nudging[1], target, chip


def circuit(**keys):
    return {"nudging": keys}


def test_a_conductor_to_the_target_with_gain_error_and_offset():
    errors = {"gain_error": 0.1, "offset": 1e-3, "offset_spread": 1e-4}
    _, nudging, target, chip = contrast(table=circuit(**errors))
    assert_allclose(nudging.strength, chip.scale.nudging(0.55) * np.array([1, 1, -1, -1]))
    offsets = nudging.target - np.concatenate((target, target))
    assert_allclose(offsets, np.broadcast_to(offsets[0], offsets.shape), atol=1e-15)
    assert 0 < np.abs(offsets[0] - 1e-3).max() < 5e-4
    assert nudging.current is None


def test_a_held_current():
    found, nudging, target, chip = contrast(variant="positive", table=circuit(kind="current"))
    expected = chip.scale.nudging(0.5) * (target - found.free.state[-1])
    assert_allclose(nudging.current, expected)
    assert not nudging.strength.any()


def test_clamped_outputs():
    found, nudging, target, _ = contrast(nudging=0.25, table=circuit(kind="clamp"))
    free = found.free.state[-1]
    assert np.isinf(nudging.strength).all()
    assert_allclose(nudging.target[:2], free + 0.25 * (target - free))
    assert_allclose(nudging.target[2:], free - 0.25 * (target - free))
    assert_array_equal(found.upper[-1], nudging.target[:2])
    assert found.span == 0.5


@pytest.mark.parametrize(("nudging", "gain_error"), [(1.5, 0.0), (0.95, 0.1)])
def test_clamps_beyond_the_targets_are_refused(nudging, gain_error):
    table = circuit(kind="clamp", gain_error=gain_error)
    with pytest.raises(InvalidValueError, match=rf"learning\.nudging = {nudging}: where the chip"):
        rule_of("positive", nudging, table)[0].check_stability()


def test_one_sided_nudging_reads_what_is_compared():
    """The outputs are sampled once: clamped, they move by β of their way, noise and all."""
    table = circuit(kind="clamp") | {"hold": {"noise": 1e-3}}
    found, _, target, _ = contrast("positive", 0.02, table)
    moved = found.upper[-1] - found.lower[-1]
    assert_allclose(moved, 0.02 * (target - found.lower[-1]), rtol=1e-9)


@pytest.mark.parametrize("variant", ["positive", "centered"])
def test_the_phase_that_comes_first_is_held(variant):
    clean, *_ = contrast(variant=variant)
    held, *_ = contrast(variant=variant, table={"hold": {"droop": 0.1}})
    kept, lost = ("upper", "lower") if variant == "positive" else ("lower", "upper")
    for a, b in zip(getattr(held, kept), getattr(clean, kept), strict=True):
        assert_array_equal(a, b)
    for a, b in zip(getattr(held, lost), getattr(clean, lost), strict=True):
        assert_allclose(a, 0.9 * b)


def test_a_held_current_comes_from_the_held_outputs():
    clean, first, *_ = contrast(table=circuit(kind="current"))
    table = circuit(kind="current") | {"hold": {"droop": 0.1}}
    _, second, _, chip = contrast(table=table)
    lost = chip.scale.nudging(0.5) * 0.1 * clean.free.state[-1]
    assert_allclose((second.current - first.current)[:2], lost, atol=1e-18)


def test_noise_of_the_hold():
    voltage = np.zeros((50, 80))
    hold = SampleAndHold(noise=2e-3)
    keys = {"temperature": 300.0, "seed": 0, "layer": 0, "event": 0}
    first = hold.held(voltage, **keys)
    assert_allclose(first.std(), 2e-3, rtol=0.05)
    assert_allclose(first.mean(), 0, atol=2e-4)
    assert_array_equal(first, hold.held(voltage, **keys))
    for other in ({"seed": 1}, {"layer": 1}, {"event": 1}):
        assert not np.any(hold.held(voltage, **keys | other) == first)
    assert SampleAndHold().held(voltage, **keys) is voltage


@pytest.mark.parametrize(("temperature", "deviation"), [(300.0, 64.4e-6), (75.0, 32.2e-6)])
def test_thermal_noise_of_the_holding_capacitor(temperature, deviation):
    """64 uV on 1 pF at 300 K, as textbooks have it."""
    hold = SampleAndHold(capacitance=1e-12)
    assert_allclose(hold.deviation(temperature), deviation, rtol=1e-3)
    both = SampleAndHold(capacitance=1e-12, noise=100e-6)
    assert_allclose(both.deviation(temperature), np.hypot(deviation, 100e-6), rtol=1e-3)
    held = hold.held(np.zeros((50, 80)), temperature=temperature, seed=0, layer=0, event=0)
    assert_allclose(held.std(), deviation, rtol=0.05)


def test_offsets_are_the_chips_own():
    nudging = NudgingCircuit(offset=0.01, offset_spread=2e-3)
    offsets = nudging.offsets(4000, 0)
    assert_allclose([offsets.mean(), offsets.std()], [0.01, 2e-3], rtol=0.05)
    assert_array_equal(offsets, nudging.offsets(4000, 0))
    assert not np.any(offsets == nudging.offsets(4000, 1))


def dac(**keys):
    return {"converters": {"nudge_dac": keys}}


def test_a_dac_drives_the_targets():
    """Over 1 V, 8 bits know no target of 20 mV but by five steps."""
    _, nudging, target, chip = contrast(table=dac(bits=8, full_scale=1.0))
    wanted = np.where(target > 0, 5 / 255, 0.0)
    assert_allclose(nudging.target, np.concatenate((wanted, wanted)), atol=1e-15)
    # Without a range of its own it has the one that the targets need.
    _, exact, *_ = contrast(table=dac(bits=3))
    assert_allclose(exact.target, np.concatenate((target, target)))
    assert "nudge" not in chip.readout.ranges


def test_a_dac_drives_the_voltage_that_a_held_current_stands_for():
    table = circuit(kind="current") | dac(bits=4)
    found, nudging, target, chip = contrast(variant="positive", table=table)
    way = target - found.free.state[-1]
    (full_scale,) = chip.readout.ranges["nudge"]
    assert_allclose(full_scale, np.abs(way).max())
    step = full_scale / 8
    expected = np.clip(np.rint(way / step), -8, 7) * step
    assert_allclose(nudging.current, chip.scale.nudging(0.5) * expected)


def test_a_dac_drives_clamps():
    table = circuit(kind="clamp") | dac(bits=4, full_scale=0.05)
    found, nudging, target, _ = contrast(nudging=0.25, table=table)
    free, step = found.free.state[-1], 0.05 / 8
    wanted = np.concatenate((free + 0.25 * (target - free), free - 0.25 * (target - free)))
    assert_allclose(nudging.target, np.rint(wanted / step) * step, atol=1e-15)


def test_learning_reads_through_the_adcs_and_the_circuit_stays_as_it_is():
    table = {"converters": {"state_adc": {"bits": 4}}}
    found, *_ = contrast(table=table)
    clean, *_ = contrast()
    for k, v in enumerate(clean.upper):
        assert len(np.unique(np.concatenate((found.upper[k], found.lower[k])))) <= 16
        assert np.any(found.upper[k] != v)
        assert_array_equal(found.free.state[k], clean.free.state[k])
