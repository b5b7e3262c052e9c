"""DACs and ADCs: codes, ranges and errors are what they say."""

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.circuits.converters import Converter, fabricate
from neurohw.errors import InvalidValueError

RANGE = 0.3


def made(channels=1, *, to="digital", signed=True, seed=0, number=0, **keys):
    return fabricate(Converter(**keys), channels, to=to, signed=signed, seed=seed, number=number)


@pytest.mark.parametrize("to", ["analog", "digital"])
@pytest.mark.parametrize(("bits", "signed"), [(1, False), (3, False), (3, True), (8, True)])
def test_error_of_a_quantiser_is_uniform(bits, signed, to):
    """Closed form: mean 0, variance LSB²/12, fourth moment LSB⁴/80."""
    channel = made(to=to, signed=signed, bits=bits)
    step, count = channel.converter.step(RANGE, signed=signed), 100_000
    low, high = (-RANGE, RANGE - step) if signed else (0.0, RANGE)
    values = np.random.default_rng(0).uniform(low, high, (count, 1))
    error = channel.convert(values, RANGE, 0) - values
    assert np.abs(error).max() <= 0.5 * step * (1 + 1e-9)
    assert abs(error.mean()) < 4 * step / np.sqrt(12 * count)
    deviation = step**2 * np.sqrt((1 / 80 - 1 / 144) / count)
    assert abs(np.mean(error**2) - step**2 / 12) < 4 * deviation


def test_codes_of_both_kinds():
    ramp = np.linspace(-2 * RANGE, 2 * RANGE, 4001)[:, None]
    signed = made(bits=3).convert(ramp, RANGE, 0)
    assert_allclose(np.unique(signed), RANGE / 4 * np.arange(-4, 4), atol=1e-15)
    unsigned = made(bits=3, signed=False).convert(ramp, RANGE, 0)
    assert_allclose(np.unique(unsigned), RANGE / 7 * np.arange(8), atol=1e-15)


def test_8_bits_keep_the_pixels_of_an_8_bit_image():
    pixels = np.arange(256, dtype=np.float32)[:, None] / np.float32(255) * np.float32(RANGE)
    driven = made(to="analog", signed=False, bits=8).convert(pixels, RANGE, 0)
    assert driven.dtype == np.float32
    assert_allclose(driven, pixels, rtol=2e-7)


def test_infinite_resolution_only_clips():
    values = np.linspace(-1, 1, 50)[:, None]
    assert_array_equal(made().convert(values, np.inf, 0), values)
    assert_array_equal(made().convert(values, 0.4, 0), np.clip(values, -0.4, 0.4))
    assert not made(bits=4).convert(values, 0.0, 0).any()


@pytest.mark.parametrize("signed", [False, True])
def test_a_table_of_codes_is_reproduced(signed):
    inl = np.random.default_rng(1).uniform(-0.3, 0.3, 8)
    step = Converter(bits=3).step(RANGE, signed=signed)
    levels = (np.arange(8) - 4 * signed) * step
    dac = made(to="analog", signed=signed, bits=3, inl=tuple(inl))
    assert_allclose(dac.convert(levels[:, None], RANGE, 0)[:, 0], levels + inl * step, atol=1e-15)
    adc = made(signed=signed, bits=3, inl=tuple(inl))
    between = levels[1:] - 0.5 * step + 0.5 * (inl[1:] + inl[:-1]) * step
    for shift, expected in ((-1e-9, levels[:-1]), (1e-9, levels[1:])):
        assert_allclose(adc.convert(between[:, None] + shift, RANGE, 0)[:, 0], expected)


def test_a_bow_is_interpolated():
    dac = made(to="analog", signed=False, bits=6, inl=(0.0, 2.0, 0.0))
    step = RANGE / 63
    codes = step * np.arange(64.0)[:, None]
    bow = (dac.convert(codes, RANGE, 0) - codes)[:, 0] / step
    assert_allclose(bow, 2 - 2 * np.abs(np.arange(64) / 31.5 - 1), atol=1e-12)


def test_drawn_steps_have_their_spread_and_no_gain():
    table = Converter(bits=12, dnl_spread=0.2).table(seed=3, number=0)
    steps, count = np.diff(table), 2**12 - 1
    assert_allclose(table[[0, -1]], 0, atol=1e-9)
    assert abs(steps.std() - 0.2) < 4 * 0.2 / np.sqrt(2 * count)
    assert steps.min() >= -1
    for other in ({"seed": 4, "number": 0}, {"seed": 3, "number": 1}):
        assert not np.array_equal(table, Converter(bits=12, dnl_spread=0.2).table(**other))


def test_drawn_steps_add_up_to_a_bridge():
    """In mid-range the deviation is that of a Brownian bridge, spread·√codes/2."""
    converter = Converter(bits=8, dnl_spread=0.2)
    middle = np.array([converter.table(seed=seed, number=0)[128] for seed in range(400)])
    assert abs(middle.std() / (0.2 * np.sqrt(256) / 2) - 1) < 4 / np.sqrt(800)


def test_wild_tables_keep_the_order_of_codes():
    adc = made(bits=8, dnl_spread=2.0)
    ramp = np.linspace(-RANGE, RANGE, 5000)[:, None]
    assert np.diff(adc.convert(ramp, RANGE, 0)[:, 0]).min() >= 0


@pytest.mark.parametrize("to", ["analog", "digital"])
def test_noise(to):
    step = Converter(bits=16).step(RANGE, signed=True)
    adc = made(80, to=to, bits=16, noise=1e-3, noise_lsb=1e-3 / step)
    first, zero = adc.convert(np.zeros((50, 80)), RANGE, 0), np.zeros((50, 80))
    assert abs(first.std() / (np.sqrt(2) * 1e-3) - 1) < 4 / np.sqrt(2 * 4000)
    assert_array_equal(first, adc.convert(zero, RANGE, 0))
    assert np.mean(first == adc.convert(zero, RANGE, 1)) < 0.1
    other = made(80, to=to, bits=16, noise=1e-3, noise_lsb=1e-3 / step, number=1)
    assert np.mean(first == other.convert(zero, RANGE, 0)) < 0.1


@pytest.mark.parametrize("to", ["analog", "digital"])
def test_gains_and_offsets_are_the_channels_own(to):
    keys = {"gain_error": 0.1, "gain_spread": 0.02, "offset": 5e-3, "offset_spread": 1e-3}
    channels = made(3000, to=to, **keys)
    at_zero = channels.convert(np.zeros((2, 3000)), np.inf, 0)
    gains = (channels.convert(np.full((2, 3000), 0.1), np.inf, 0) - at_zero) / 0.1
    assert_array_equal(at_zero[0], at_zero[1])
    limit = 4 / np.sqrt(3000)
    assert abs(at_zero.mean() - 5e-3) < limit * 1e-3
    assert abs(gains.mean() - 1.1) < limit * 0.022
    assert abs(at_zero[0].std() / 1e-3 - 1) < limit
    assert abs(gains[0].std() / 0.022 - 1) < limit


def test_calibrated_range():
    values = np.linspace(-1.0, 0.5, 1001)
    assert Converter(bits=8).calibrate(values) == 1.0
    assert_allclose(Converter(bits=8, headroom=2.0).calibrate(values), 2.0)
    share = np.mean(np.abs(values) <= Converter(bits=8, percentile=0.9).calibrate(values))
    assert_allclose(share, 0.9, atol=2e-3)
    assert Converter(bits=8).calibrated
    assert not Converter(bits=8, full_scale=1.0).calibrated
    assert not Converter().calibrated


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"bits": 23}, r"bits = 23: .* 22; float32 resolves no more"),
        ({"bits": -1}, "bits = -1"),
        ({"full_scale": 0.0}, r"full_scale = 0\.0"),
        ({"full_scale": (1.0, np.inf)}, "full_scale"),
        ({"percentile": 0.0}, "percentile"),
        ({"headroom": 0.0}, "headroom"),
        ({"noise": -1.0}, r"noise = -1\.0"),
        ({"gain_error": -1.0}, "gain_error"),
        ({"offset": np.inf}, "offset = inf"),
        ({"noise_lsb": 0.1}, "noise_lsb = 0.1: needs bits"),
        ({"bits": 17, "dnl_spread": 0.1}, "bits = 17: with inl or dnl_spread at most 16"),
        ({"bits": 2, "inl": (0.0,) * 5}, "inl: 5 points; 2 bits take 2 to 4"),
        ({"bits": 2, "inl": (0.0, 1.5, 0.0, 0.0)}, "inl: falls by more than 1 LSB"),
    ],
)
def test_what_is_refused(keys, words):
    with pytest.raises(InvalidValueError, match=words):
        Converter(**keys)


def test_keys_come_from_a_table():
    table = {"bits": 8, "full_scale": [0.1, 0.2], "inl": [0.0, 0.5]}
    converter = msgspec.convert(table, Converter)
    assert (converter.full_scale, converter.inl) == ((0.1, 0.2), (0.0, 0.5))
