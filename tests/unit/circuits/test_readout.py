"""What is read of two phases, as states or as their difference."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.circuits.converters import Converter
from neurohw.circuits.readout import Converters, Readout
from neurohw.errors import InvalidValueError

LAYERS = (30, 4)


def phases(moved=1e-4, seed=0):
    rng = np.random.default_rng(seed)
    lower = [rng.normal(size=(6, units)) for units in LAYERS]
    return [v + moved * rng.normal(size=v.shape) for v in lower], lower


def readout(seed=0, **keys):
    return Readout(Converters(**keys), LAYERS, seed)


def test_ideal_unless_something_is_said():
    assert readout().ideal
    assert readout(read="difference", difference_adc=None).ideal
    assert readout(difference_adc=Converter(bits=4)).ideal
    assert not readout(state_adc=Converter()).ideal
    assert not readout(sampling_offset_spread=1e-3).ideal


def test_states_are_converted_one_by_one():
    upper, lower = phases()
    found = readout(state_adc=Converter(bits=8)).read(upper, lower, 0)
    for k in range(2):
        full_scale = max(np.abs(upper[k]).max(), np.abs(lower[k]).max())
        step = full_scale / 128
        for ours, given in zip(found, (upper, lower), strict=True):
            expected = np.clip(np.rint(given[k] / step), -128, 127) * step
            assert_allclose(ours[k], expected, atol=1e-15)


def test_a_difference_has_a_range_of_its_own():
    upper, lower = phases()
    adc = Converter(bits=8, full_scale=(4e-4, 8e-4))
    means = Converter(bits=6)
    found = readout(read="difference", difference_adc=adc, state_adc=means).read(upper, lower, 0)
    for k, step in enumerate((4e-4 / 128, 8e-4 / 128)):
        moved = np.clip(np.rint((upper[k] - lower[k]) / step), -128, 127) * step
        assert_allclose(found[0][k] - found[1][k], moved, atol=1e-15)
        mean = 0.5 * (upper[k] + lower[k])
        read = 0.5 * (found[0][k] + found[1][k])
        coarse = np.abs(mean).max() / 32
        assert np.abs(read - np.clip(mean, None, 31 * coarse)).max() <= 0.5 * coarse * (1 + 1e-9)


@pytest.mark.parametrize("read", ["states", "difference"])
def test_offsets_cancel_where_one_circuit_takes_both_phases(read):
    upper, lower = phases()
    keys = {"read": read, "sampling_offset_spread": 1e-2}
    shared = readout(sampling="shared", **keys).read(upper, lower, 0)
    separate = readout(sampling="separate", **keys).read(upper, lower, 0)
    moved = upper[0] - lower[0]
    assert_allclose(shared[0][0] - shared[1][0], moved, atol=1e-15)
    error = separate[0][0] - separate[1][0] - moved
    assert_allclose(error, np.broadcast_to(error[0], error.shape), atol=1e-15)
    # The difference of two draws; 30 of them.
    assert abs(error[0].std() / (np.sqrt(2) * 1e-2) - 1) < 4 / np.sqrt(60)
    mean = 0.5 * (shared[0][0] + shared[1][0]) - 0.5 * (upper[0] + lower[0])
    assert abs(mean[0].std() / 1e-2 - 1) < 4 / np.sqrt(60)


def test_both_phases_have_noise_of_their_own():
    zero = [np.zeros((50, units)) for units in LAYERS]
    upper, lower = readout(state_adc=Converter(noise=1e-3)).read(zero, zero, 0)
    assert abs((upper[0] - lower[0]).std() / (np.sqrt(2) * 1e-3) - 1) < 4 / np.sqrt(3000)
    assert not np.array_equal(upper[0][:, :4], upper[1])


def test_a_range_is_calibrated_once_until_it_is_cleared():
    circuit = readout(
        read="difference", state_adc=Converter(bits=8), difference_adc=Converter(bits=8)
    )
    assert circuit.calibrated
    circuit.read(*phases(), 0)
    before = {name: values.copy() for name, values in circuit.ranges.items()}
    assert sorted(before) == ["difference", "state"]
    circuit.read(*phases(moved=1e-2), 1)
    for name, values in before.items():
        assert_array_equal(circuit.ranges[name], values)
    circuit.ranges.clear()
    circuit.read(*phases(moved=1e-2), 2)
    assert (circuit.ranges["difference"] > 50 * before["difference"]).all()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"sampling_offset_spread": -1.0}, "sampling_offset_spread"),
        ({"transposed_gain_error": -1.0}, "transposed_gain_error"),
        ({"calibration_samples": 0}, "calibration_samples"),
        ({"calibration_interval": -1}, "calibration_interval"),
        ({"state_adc": Converter(bits=1)}, r"state_adc\.bits = 1"),
        ({"nudge_dac": Converter(full_scale=(0.1, 0.2))}, r"nudge_dac\.full_scale"),
    ],
)
def test_what_is_refused(keys, words):
    with pytest.raises(InvalidValueError, match=words):
        Converters(**keys)


def test_a_full_scale_a_layer():
    with pytest.raises(InvalidValueError, match=r"state_adc\.full_scale = \[1\.0\]: .* 2, one a"):
        readout(state_adc=Converter(full_scale=(1.0,)))
