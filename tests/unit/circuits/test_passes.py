"""The converters between the arrays of a feed-forward network and its numbers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.circuits.converters import Converter
from neurohw.circuits.passes import Passes
from neurohw.circuits.readout import Converters
from neurohw.errors import InvalidValueError, UnsupportedError

LAYERS = (7, 5, 3)
EIGHT = Converter(bits=8)


def passes(low=0.0, high=0.2, **keys):
    return Passes(Converters(**keys), LAYERS, low, high, 0)


def values(size, units, seed=0):
    return size * np.random.default_rng(seed).uniform(-1, 1, (20, units))


def test_what_is_left_out_is_ideal():
    given = values(0.1, 7)
    circuits = passes(state_adc=EIGHT)
    assert "state_adc" in circuits
    assert "error_adc" not in circuits
    assert circuits.convert("error_adc", given, 0, 0) is given
    assert not passes().calibrated


def test_states_have_the_range_of_their_activation():
    given = np.array([[0.0, 0.09, 0.11, 0.2, 0.3, -0.1, 0.1999]])
    one = passes(state_dac=Converter(bits=1))
    assert not one.calibrated
    assert_array_equal(
        one.convert("state_dac", given, 0, 0), 0.2 * np.array([[0, 0, 1, 1, 1, 0, 1]])
    )
    both = passes(low=-0.2, state_dac=Converter(bits=3))
    # Codes -4 to 3 of 0.05 V.
    found = both.convert("state_dac", np.array([[-0.2, -0.12, 0.06, 0.2, 0, 0, 0]]), 0, 0)
    assert_allclose(found, [[-0.2, -0.1, 0.05, 0.15, 0, 0, 0]], atol=1e-15)
    assert passes(high=np.inf, state_dac=EIGHT).calibrated


def test_each_layer_and_direction_has_a_range_of_its_own():
    circuits = passes(
        high=np.inf, state_adc=EIGHT, state_dac=EIGHT, error_dac=EIGHT, error_adc=EIGHT
    )
    sizes = {"state_adc": (1, 2, 3), "state_dac": (0.5, 0.6), "error_dac": (1e-2, 2e-2)}
    sizes["error_adc"] = (1e-3, 3e-3)
    units = {"state_adc": LAYERS, "state_dac": LAYERS[:-1], "error_dac": LAYERS[1:]}
    for key, each in sizes.items():
        for k, size in enumerate(each):
            given = values(size, units.get(key, LAYERS[:-1])[k])
            found = circuits.convert(key, given, k, 0)
            full_scale = np.abs(given).max()
            assert circuits.ranges[key.removesuffix("_adc")][k] == full_scale
            step = full_scale / (255 if key == "state_dac" else 128)
            low, high = (0, 255) if key == "state_dac" else (-128, 127)
            expected = np.clip(np.rint(given / step), low, high) * step
            assert_allclose(found, expected, rtol=0, atol=1e-12 * size)
            # The range stays until it is cleared.
            larger = circuits.convert(key, 3 * given, k, 1)
            assert np.abs(larger).max() <= full_scale * (1 + 1e-12)
    assert {name: len(held) for name, held in circuits.ranges.items()} == {
        **{"state": 3, "state_dac": 2, "error_dac": 2, "error": 2}
    }


def test_converters_of_two_purposes_draw_apart():
    noisy = Converter(noise=1e-3)
    circuits, zero = passes(state_adc=noisy, error_dac=noisy, error_adc=noisy), np.zeros((200, 5))
    found = [
        circuits.convert(key, zero, layer, event).ravel()
        for key, layer in (("state_adc", 1), ("error_dac", 0), ("error_adc", 1))
        for event in (0, 1)
    ]
    correlation = np.corrcoef(found) - np.eye(6)
    # 15 pairs of 1000 draws.
    assert np.abs(correlation).max() < 4 / np.sqrt(1000)


@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        ({"nudge_dac": EIGHT}, UnsupportedError, r"chip\.converters\.nudge_dac: feed-forward"),
        ({"difference_adc": EIGHT}, UnsupportedError, "difference_adc: feed-forward"),
        ({"read": "difference"}, UnsupportedError, "read: feed-forward"),
        ({"sampling_offset_spread": 1e-3}, UnsupportedError, "sampling_offset_spread: feed-forw"),
        ({"state_dac": Converter(full_scale=(1.0,))}, InvalidValueError, r"= \[1\.0\]: .* 2, one"),
        ({"state_adc": Converter(full_scale=(1.0, 2.0))}, InvalidValueError, "or 3, one a layer"),
        ({"state_dac": Converter(bits=1), "low": -0.2}, InvalidValueError, r"state_dac\.bits = 1"),
        ({"error_adc": Converter(bits=1)}, InvalidValueError, r"error_adc\.bits = 1"),
        ({"error_dac": Converter(bits=1)}, InvalidValueError, r"error_dac\.bits = 1"),
    ],
)
def test_what_is_refused(keys, error, words):
    with pytest.raises(error, match=words):
        passes(**keys)
