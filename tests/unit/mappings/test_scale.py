import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.errors import InvalidValueError
from neurohw.mappings.chip_specification import load
from neurohw.mappings.scale import physical_scale


def test_the_first_layer_is_built_of_the_device_as_measured():
    chip = load({"preset": "epiram", "mapping": {"conductance_scale": [4, 2]}})
    scale = physical_scale(chip, [1568, 100], 100.0)
    device = chip.device
    assert scale.window(0) == (device.g_min, device.g_max)
    assert_allclose(scale.unit_conductance, device.g_max * math.sqrt(1568) / 4, rtol=1e-12)
    assert_allclose(scale.unit_voltage, 0.2 / 100, rtol=1e-12)
    assert_allclose(scale.logical_window(0)[1], 4 / math.sqrt(1568), rtol=1e-12)


def test_other_layers_have_the_window_asked_for_in_the_same_unit():
    chip = load({"preset": "epiram", "mapping": {"conductance_scale": [4, 2, 3]}})
    fan_in = [1568, 100, 50]
    scale = physical_scale(chip, fan_in, 100.0)
    assert scale.cell_scale[0] == 1
    for layer, (factor, inputs) in enumerate(zip([4, 2, 3], fan_in, strict=True)):
        low, high = scale.logical_window(layer)
        assert_allclose(high, factor / math.sqrt(inputs), rtol=1e-12)
        assert_allclose(high / low, chip.device.g_max / chip.device.g_min, rtol=1e-12)


def test_a_device_without_limits_takes_the_unit_of_the_mapping():
    for changes, unit in [({}, 10e-6), ({"mapping": {"unit_conductance": "3 uS"}}, 3e-6)]:
        scale = physical_scale(load({"preset": "ideal"} | changes), [128, 64], 25.0)
        assert_allclose(scale.unit_conductance, unit, rtol=1e-12)
        assert scale.cell_scale == (1.0, 1.0)
        assert scale.window(1) == (0.0, math.inf)
    scale = physical_scale(load({"device": "ideal"}), [128, 64], 25.0)
    assert scale.unit_conductance == 10e-6


def test_an_update_in_siemens_and_volts_is_the_dimensionless_one():
    scale = physical_scale(load("pcmo"), [1568, 100], 100.0)
    rate, squares, bias_difference = 0.006, 0.37, 0.021
    in_siemens = scale.learning_rate(rate) * squares * scale.unit_voltage**2
    assert_allclose(in_siemens / scale.unit_conductance, rate * squares, rtol=1e-12)
    in_amperes = scale.bias_learning_rate(rate) * bias_difference * scale.unit_voltage
    assert_allclose(in_amperes, scale.current(rate * bias_difference), rtol=1e-12)


def test_kirchhoff_holds_in_both_descriptions():
    scale = physical_scale(load("gst-pcm"), [8, 4], 10.0)
    rng = np.random.default_rng(1)
    g, v, b, nudging = rng.random(8), rng.normal(size=8), 0.3, 0.7
    node = (g @ v + b + nudging) / (g.sum() + nudging)
    siemens, volts = g * scale.unit_conductance, v * scale.unit_voltage
    currents = siemens @ volts + scale.current(b) + scale.nudging(nudging) * scale.unit_voltage
    volts_of_node = currents / (siemens.sum() + scale.nudging(nudging))
    assert_allclose(volts_of_node, node * scale.unit_voltage, rtol=1e-12)


def test_rows_name_every_quantity_and_layer():
    scale = physical_scale(load("epiram"), [1568, 100], 100.0)
    rows = {name: (value, unit) for name, value, unit in scale.rows()}
    assert len(rows) == len(scale.rows()) == 5 + 3 * 2
    assert rows["conductance of 1"] == (scale.unit_conductance, "S")
    assert rows["learning rate of 1"] == (scale.learning_rate(1), "S/V²")
    assert rows["g_max of layer 2"] == (scale.window(1)[1], "S")


@pytest.mark.parametrize(("kind", "unit"), [("current", "S"), ("rails", "S/V²")])
def test_biases_learn_in_the_unit_of_their_kind(kind, unit):
    chip = load({"preset": "epiram", "bias": {"kind": kind}})
    scale = physical_scale(chip, [1568, 100], 100.0)
    value = scale.learning_rate(1.0) if kind == "rails" else scale.unit_conductance
    assert ("bias learning rate of 1", value, unit) in scale.rows()


def test_wrong_sizes_are_refused():
    chip = load({"preset": "epiram", "mapping": {"conductance_scale": [4, 2]}})
    with pytest.raises(InvalidValueError, match=r"conductance_scale = \[4.0, 2.0\]: must be one"):
        physical_scale(chip, [1568, 100, 100], 100.0)
    for fan_in, gain in [([], 1.0), ([0, 2], 1.0), ([4, 2], 0.0), ([4, 2], math.nan)]:
        with pytest.raises(InvalidValueError, match="must be positive"):
            physical_scale(chip, fan_in, gain)
