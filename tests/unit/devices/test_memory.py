import math

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.devices.fabrication import fabricate
from neurohw.devices.law import moved
from neurohw.devices.laws import Ideal
from neurohw.devices.laws.label import curvature
from neurohw.devices.memory import PRESETS, available, load
from neurohw.errors import ConfigurationError, InvalidValueError

# On-resistance [Ohm], on/off ratio, pulses, labels, A, noise, pulse voltages, widths.
# NeuroSim MLP manual V3.0, pp. 23-25; A from the labels.
PUBLISHED = {
    "ag-a-si": (26e6, 12.5, (97, 97), (2.4, -4.88), (0.499, -0.200), 0.035, (3.2, -2.8), 300e-6),
    "taox-hfox": (100e3, 10, (128, 128), (0.04, -0.63), (31.57, -1.997), 0.037, (1.6, -1.6), 50e-9),
    "taox-tio2": (
        5e6,
        2,
        (102, 102),
        (1.85, -1.79),
        (0.662, -0.686),
        0.01,
        (3, -3),
        (40e-3, 10e-3),
    ),
    "pcmo": (23e6, 6.84, (50, 50), (3.68, -6.76), (0.301, -0.100), 0.01, (-2, 2), 1e-3),
    "alox-hfo2": (16.9e3, 4.43, (40, 40), (1.94, -0.61), (0.629, -2.063), 0.05, (0.9, -1), 100e-6),
    "gst-pcm": (
        4.71e3,
        19.8,
        (100, 120),
        (0.105, 2.4),
        (12.02, 0.499),
        0.015,
        (0.7, 3),
        (6e-6, 125e-9),
    ),
    "epiram": (81e3, 50.2, (64, 64), (0.5, -0.5), (2.520, -2.520), 0.02, (5, -3), 5e-6),
    "hzo-fefet": (
        559.28e3,
        45,
        (32, 32),
        (1.75, 1.46),
        (0.702, 0.849),
        0.005,
        (3.65, -2.95),
        75e-9,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_hold_the_published_numbers(name):
    resistance, ratio, pulses, labels, _, noise, voltages, widths = PUBLISHED[name]
    device = load(name)
    assert (device.name, device.law, device.whole_pulses) == (name, "exponential", True)
    assert "NeuroSim MLP manual V3.0" in device.source
    assert_allclose(device.g_max, 1 / resistance, rtol=1e-8)
    assert_allclose(device.g_max / device.g_min, ratio, rtol=1e-8)
    assert (device.pulses_up, device.pulses_down) == pulses
    assert (device.nonlinearity_up, device.nonlinearity_down) == labels
    assert_allclose(device.cycle_to_cycle, noise, rtol=1e-12)
    assert (device.pulse_voltage_up, device.pulse_voltage_down) == voltages
    widths = np.broadcast_to(widths, 2)
    assert_allclose((device.pulse_width_up, device.pulse_width_down), widths, rtol=1e-12)
    assert_allclose(device.write_threshold, min(np.abs(voltages)) / 2, rtol=1e-12)


@pytest.mark.parametrize("name", PUBLISHED)
def test_curvature_gives_the_published_a(name):
    _, _, _, labels, a, *_ = PUBLISHED[name]
    assert_allclose(1 / curvature(labels), a, rtol=5e-4, atol=5e-4)


def test_the_ideal_device_has_no_limits():
    device = load("ideal")
    assert (device.law, device.g_min, device.g_max) == ("ideal", 0.0, math.inf)


def test_every_preset_is_listed():
    listed = available()
    known = {"ideal", *PUBLISHED, *WEIGHTS, "pcm-inference", "reram-inference"}
    assert {row["name"] for row in listed} == known == set(PRESETS.names())
    assert all(row["description"] for row in listed)


# aihwkit's presets: law, dw_min, weights from and to, D2D of steps, of lower and upper bound, of
# up against down, C2C, write noise in dw_min (Rasch et al. 2021, section 3.2 of its tables).
WEIGHTS = {
    "reram-es": ("exponential-step", 0.00135, -1, 1, 0.2, 0.3, 0.3, 0.05, 5.0, 75),
    "reram-sb": ("soft-bounds", 0.002, -0.75, 1.25, 0.3, 0.40, 0.24, 0.01, 3.75, 56),
    "capacitor": ("linear", 0.005, -1, 1, 0.1, 0.07, 0.07, 0.06, 0.3, 0),
    "ecram": ("linear", 0.002, -0.8276, 1.1724, 0.1, 0.05, 0.05, 0.01, 0.3, 0),
    "ecram-mo": ("linear", 2.8214e-4, -0.8286, 1.1714, 0.1, 0.05, 0.05, 0.01, 2.0, 0),
    "idealized": ("constant-step", 0.0002, -1, 1, 0.3, 0.3, 0.3, 0, 0.3, 0),
    "gokmen-vlasov": ("constant-step", 0.0016, -1, 1, 0.3, 0.3, 0.3, 0.01, 0.3, 0),
    "pcm": ("one-sided", 0.01, 0, 2, 0.2, 0, 0.1, 0.05, 0.6, 0),
    "reram-om-array": ("soft-bounds", 0.0949, -1, 1, 0.7829, 0.5695, 0.3499, 0.01, 0.4158, 1.4113),
    "reram-hfo2-array": (
        "soft-bounds", 0.4622, -1, 1, 0.7125, 0.599, 0.4295, 0.01, 0.2174, 0.5841,
    ),
}  # fmt: skip

# Steps in dw_min by the formulas of the source: up and down at weight w, as (w, up, down).
STEPS = {
    "reram-es": lambda w: (
        1 + 1.18445 * np.exp(5 * (-0.5 * w - 0.5)),
        (1 - 0.259359) * (1 + 0.081404 * np.exp(-5 * (-0.5 * w - 0.5))),
    ),
    "reram-sb": lambda w: (1 - w / 1.25, 1 + w / 0.75),
    "capacitor": lambda w: (1 - 0.05 * w, 1 + 0.05 * w),
    "ecram": lambda w: (1 - 0.1153 * w / 1.1724, 1 + 0.5085 * w / 0.8276),
    "ecram-mo": lambda w: (1 - 0.4152 * w / 1.1714, 1 + 0.7342 * w / 0.8286),
    "idealized": lambda w: (1.0, 1.0),
    "gokmen-vlasov": lambda w: (1.0, 1.0),
    "pcm": lambda w: (1 + 27.235 * np.exp(-2.5 * w), 0.0),
    "reram-om-array": lambda w: (1 - w, 1 + w),
    "reram-hfo2-array": lambda w: (1 - w, 1 + w),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_presets_of_weights(name):
    law, dw, low, high, step, low_spread, high_spread, asymmetry, noise, write = WEIGHTS[name]
    device, size = load(name), high - low
    assert (device.law, device.whole_pulses) == (law, True)
    assert_allclose(device.step, dw / size, rtol=1e-9)
    assert_allclose(device.centre, -low / size, rtol=1e-9)
    spreads = device.step_spread, device.low_spread, device.high_spread, device.asymmetry_spread
    assert_allclose(spreads, (step, low_spread, high_spread, asymmetry), rtol=1e-9)
    assert_allclose(device.step_noise, noise, rtol=1e-9)
    assert_allclose(device.write_noise, write * dw / size, rtol=1e-7)
    assert device.source


@pytest.mark.parametrize("name", WEIGHTS)
def test_steps_of_the_presets_are_those_of_the_formulas(name):
    _, dw, low, high, *_ = WEIGHTS[name]
    quiet = {"step_spread": 0.0, "low_spread": 0.0, "high_spread": 0.0, "asymmetry_spread": 0.0}
    device = msgspec.structs.replace(load(name), **quiet, whole_pulses=False)
    weights = np.linspace(low + 0.1 * (high - low), high - 0.1 * (high - low), 7)
    cells = fabricate(device, 1, 7, width=1.0, seed=0, array=0)
    siemens = (device.g_max - device.g_min) / (high - low)
    g = (device.g_min + (weights - low) * siemens)[None]
    for sign, steps in zip((1, -1), zip(*map(STEPS[name], weights), strict=True), strict=True):
        if name == "pcm" and sign < 0:
            assert cells.law.limit_down == 0
            continue
        pulses = np.full((1, 7), float(sign))
        found = moved(cells.law, cells.low, cells.high, g, pulses)[0] - g
        # One pulse of an affine law is exact; tables are read between 513 places.
        assert_allclose(found[0], sign * dw * siemens * np.array(steps), rtol=3e-4)


def normalised(share, label):
    """Conductance, 0 to 1, after a share of the pulses; the falling curve if label belongs to it.

    (G - g_min) / (g_max - g_min) = (1 - exp(-c p)) / (1 - exp(-c)), with c = 1/A.
    """
    c = curvature(label)
    return np.expm1(-c * share) / np.expm1(-c)


@pytest.mark.parametrize(
    ("name", "up", "down"),
    [
        ("ag-a-si", 0.7314, 0.0761),
        ("pcmo", 0.8407, 0.0068),
        ("epiram", 0.5494, 0.4506),
        ("hzo-fefet", 0.6709, 0.6432),
    ],
)
def test_conductance_at_half_the_pulses(name, up, down):
    device = load(name)
    assert_allclose(normalised(0.5, device.nonlinearity_up), up, rtol=0, atol=1e-4)
    assert_allclose(normalised(0.5, device.nonlinearity_down), down, rtol=0, atol=1e-4)


def test_curvature_inverts_the_label():
    labels = np.linspace(0.01, 9, 2000)
    a = 1 / curvature(labels)
    b = 1 / (1 - np.exp(-1 / a))
    assert_allclose(10.10152545 * (b - a - a * np.log(b / a)), labels, rtol=1e-6)


def test_curvature_is_odd_increasing_and_linear_near_zero():
    labels = np.linspace(-9, 9, 1801)
    c = curvature(labels)
    assert_allclose(c, -c[::-1], rtol=1e-12)
    assert np.all(np.diff(c) >= 0)
    assert np.all(curvature([0.0, 0.0099, -0.0099]) == 0)


def test_curvature_clamps_and_keeps_the_shape():
    assert curvature(12.0) == curvature(9.0)
    assert curvature(np.ones((3, 4), dtype=np.float32)).shape == (3, 4)


PULSES = {"pulses_up": 9, "pulses_down": 9}


def device(**changes):
    return {"law": "exponential", "g_min": "1 uS", "g_max": "9 uS"} | changes


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (device(g_min="-1 uS", **PULSES), "g_min = -1 uS: must be finite, 0 or more"),
        (device(g_min="inf", **PULSES), "g_min = inf S: must be finite, 0 or more"),
        (device(g_min="9 uS", **PULSES), "g_min = 9 uS: must be below g_max = 9 uS"),
        (device(g_max=math.nan), "g_max = nan: not a number"),
        (device(g_max="inf S", **PULSES), "g_max = inf: must be finite unless the law is ideal"),
        (device(), "pulses_up: is missing"),
        (device(pulses_up=0, pulses_down=1), "pulses_up = 0: must be 1 or more"),
        (device(pulses_up=9, pulses_down=-1), "pulses_down = -1: must be 1 or more"),
        (device(law="lineal"), 'law = "lineal": unknown value; did you mean linear?'),
        (device(nonlinearity_up=9.5, **PULSES), "nonlinearity_up = 9.5: a label lies between"),
        (device(cycle_to_cycle=3.5, **PULSES), 'a percentage is written "3.5 %"'),
        (device(law="ideal", range_spread="-1 %"), "range_spread = -0.01: must lie between"),
        (device(nonlinearity_spread=-1, **PULSES), "nonlinearity_spread = -1.0: must be"),
        (device(law="ideal", pulse_width_up="-1 s"), "pulse_width_up = -1.0: must be finite"),
        (device(law="ideal", pulse_voltage_up="inf V"), "pulse_voltage_up = inf: must be finite"),
        (device(law="ideal", write_threshold="0 V"), "write_threshold = 0.0: must be above 0"),
        (device(law="ideal", endurance=-3), "endurance = -3.0: must be above 0"),
        (device(pulse_up=3), "pulse_up = 3: unknown key; did you mean pulses_up?"),
    ],
)
def test_impossible_devices_are_refused(table, fault):
    with pytest.raises(ConfigurationError) as caught:
        load(table)
    assert str(caught.value).startswith("device: ")
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_device_built_in_python_is_checked_too():
    with pytest.raises(InvalidValueError, match="g_min = 2 uS: must be below"):
        Ideal(g_min=2e-6, g_max=1e-6)
    with pytest.raises(InvalidValueError, match="g_min = nan S: must be finite"):
        Ideal(g_min=math.nan, g_max=1e-6)
