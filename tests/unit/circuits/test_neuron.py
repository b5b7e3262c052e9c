"""Neurons as a chip describes them, and as they are fabricated."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits.neuron import BOLTZMANN_OVER_CHARGE, Neuron, fabricate
from neurohw.errors import ConfigurationError
from neurohw.mappings import chip_specification


def make(units=1000, output=False, temperature=300.0, seed=0, layer=0, **keys):
    return fabricate(
        Neuron(**keys), units, temperature=temperature, seed=seed, layer=layer, output=output
    )


def test_halves_of_a_layer_are_held_from_opposite_sides():
    neurons = make(5, kind="diode", low_voltage=0.3, high_voltage=-0.2)
    assert neurons.low.tolist() == [0.3, 0.3, -np.inf, -np.inf, -np.inf]
    assert neurons.high.tolist() == [np.inf, np.inf, -0.2, -0.2, -0.2]
    both = make(3, kind="diode", arrangement="antiparallel", low_voltage=-0.1, high_voltage=0.2)
    assert both.low.tolist() == [-0.1] * 3
    assert both.high.tolist() == [0.2] * 3


def test_outputs_and_linear_neurons_have_no_diodes():
    for neurons in (make(output=True, kind="diode", gain=4.0), make(kind="linear")):
        assert np.all(np.isinf(neurons.low) & np.isinf(neurons.high))
        assert neurons.ideal
        assert not neurons.amplified


def test_an_integrator_saturates():
    linear = make(4, kind="linear", saturation=0.5)
    assert (linear.low.tolist(), linear.high.tolist()) == ([-0.5] * 4, [0.5] * 4)
    ideal = make(4, saturation=0.5)
    assert ideal.low.tolist() == [0, 0, -0.5, -0.5]
    assert ideal.high.tolist() == [0.5, 0.5, 0, 0]


def test_the_diode_follows_the_temperature():
    for temperature in (250.0, 350.0):
        neurons = make(3, kind="diode", ideality=1.5, temperature=temperature)
        assert_allclose(neurons.slope, 1.5 * BOLTZMANN_OVER_CHARGE * temperature)


def test_spread():
    keys = {
        "kind": "diode",
        "gain": 4.0,
        "gain_spread": 0.05,
        "offset": 0.01,
        "offset_spread": 0.02,
        "low_voltage": 0.3,
        "voltage_spread": 0.03,
        "saturation_current_spread": 0.4,
    }
    neurons = make(4000, **keys)
    n = 4000**-0.5
    assert_allclose(neurons.gain.mean(), 4.0, atol=4 * 0.2 * n)
    assert_allclose(neurons.gain.std(), 0.2, rtol=4 * n)
    assert_allclose(neurons.backward_gain, 1 / neurons.gain)
    offset = neurons.shift / neurons.gain
    assert_allclose([offset.mean(), offset.std()], [0.01, 0.02], atol=4 * 0.02 * n)
    low = neurons.low[:2000]
    assert_allclose([low.mean(), low.std()], [0.3, 0.03], atol=6 * 0.03 * n)
    logarithm = np.log(neurons.saturation_current)
    assert_allclose([logarithm.mean(), logarithm.std()], [np.log(1e-12), 0.4], atol=4 * 0.4 * n)
    again, other = make(4000, **keys), make(4000, layer=1, **keys)
    assert np.array_equal(again.gain, neurons.gain)
    assert not np.any(other.gain == neurons.gain)


def test_the_amplifier_hands_on_another_voltage():
    neurons = make(2, gain=3.0, offset=0.1)
    assert_allclose(neurons.forward(np.array([[1.0, -2.0]])), [[3.3, -5.7]])
    plain = make(2)
    voltage = np.array([1.0, 2.0])
    assert plain.forward(voltage) is voltage


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"kind": "diod"}, 'neuron.kind = "diod": unknown value; did you mean diode?'),
        ({"gain": 0.0}, "neuron.gain = 0.0: must be finite, above 0"),
        ({"backward_gain": -1.0}, "neuron.backward_gain = -1.0: must be finite, above 0"),
        (
            {"saturation_current": "0 A"},
            "neuron.saturation_current = 0.0: must be finite, above 0",
        ),
        ({"saturation_current": "1 V"}, '"1 V": its unit must be A, not V'),
        ({"leak": "-1 uS"}, "neuron.leak = -1e-06: must be finite, 0 or more"),
        ({"saturation": "0 V"}, "neuron.saturation = 0.0: must be above 0"),
        ({"offset": "inf"}, "neuron.offset = inf: must be finite"),
        (
            {"kind": "diode", "saturation": "1 V"},
            "neuron.saturation = 1.0 V: diodes hold these nodes; leave it out",
        ),
        (
            {"arrangement": "antiparallel", "low_voltage": "1 V"},
            "neuron.low_voltage = 1.0 V: with ideal antiparallel diodes it must be below",
        ),
        (
            {"arrangement": "antiparallel"},
            "neuron.low_voltage = 0.0 V: with ideal antiparallel diodes it must be below"
            " high_voltage = 0.0 V, or no node can move",
        ),
    ],
)
def test_bad_values(table, line):
    with pytest.raises(ConfigurationError) as failure:
        chip_specification.load({"device": "ideal", "neuron": table})
    assert line in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"nudging": {"kind": "voltage"}}, 'nudging.kind = "voltage": unknown value'),
        ({"nudging": {"gain_error": -1.0}}, "nudging.gain_error = -1.0: must be finite, above -1"),
        (
            {"nudging": {"offset_spread": "-1 mV"}},
            "nudging.offset_spread = -0.001: must be finite, 0 or more",
        ),
        ({"hold": {"noise": "-1 mV"}}, "hold.noise = -0.001: must be finite, 0 or more"),
        ({"hold": {"capacitance": "0 F"}}, "hold.capacitance = 0.0: must be above 0"),
        ({"hold": {"droop": "100 %"}}, "hold.droop = 1.0: must be 0 or more, below 1"),
        ({"temperature": "0 K"}, "temperature = 0.0: must be finite, above 0"),
    ],
)
def test_bad_values_of_the_periphery(table, line):
    with pytest.raises(ConfigurationError, match=r"^chip: ") as failure:
        chip_specification.load({"device": "ideal"} | table)
    assert line in str(failure.value)


def test_time_constants_differ_from_node_to_node():
    neurons = make(4000, capacitance=2e-12, capacitance_spread=0.1)
    logarithm = np.log(neurons.capacitance / 2e-12)
    assert abs(logarithm.mean()) < 4 * 0.1 / np.sqrt(4000)
    assert abs(logarithm.std() / 0.1 - 1) < 4 / np.sqrt(8000)
    assert make(3, output=True, capacitance_spread=0.1).capacitance.std() > 0
    assert make(3, capacitance=2e-12).capacitance.tolist() == [2e-12] * 3
