"""Read noise, drift, disturb: means and variances against closed forms, and bad input."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.constants import Boltzmann
from scipy.integrate import quad

from neurohw.devices.memory import load
from neurohw.devices.reading.noise import ReadNoise, flicker_correlation
from neurohw.devices.reading.retention import Retention
from neurohw.devices.reading.specification import Drift, Reading, Telegraph
from neurohw.devices.reading.wear import Disturb
from neurohw.errors import ConfigurationError

LOW, HIGH, TEMPERATURE = 1e-6, 20e-6, 300.0
SHAPE = (400, 500)


def noise_of(units=SHAPE[0], inputs=SHAPE[1], seed=0, **keys):
    size = {"g_max": HIGH, "span": HIGH - LOW, "temperature": TEMPERATURE}
    return ReadNoise(Reading(**keys), units, inputs, seed=seed, array=1, **size)


def require_normal(draws, variance):
    """Mean and variance lie within 4 standard errors of 0 and of what they should be."""
    n = draws.size
    assert abs(draws.mean()) < 4 * math.sqrt(variance / n)
    assert abs(draws.var() / variance - 1) < 4 * math.sqrt(2 / n)


@pytest.mark.parametrize(
    ("keys", "variance"),
    [
        ({"relative": 0.03}, (0.03 * 5e-6) ** 2),
        ({"absolute": 0.05}, (0.05 * (HIGH - LOW)) ** 2),
        (
            {"thermal": True, "bandwidth": 1e6, "read_voltage": 0.05},
            4 * Boltzmann * TEMPERATURE * 5e-6 * 1e6 / 0.05**2,
        ),
        (
            {"flicker": 0.01, "bandwidth": 1e6, "flicker_corner": 10.0},
            (0.01 * 5e-6) ** 2 * math.log(1e5),
        ),
        (
            {
                "flicker": 0.01,
                "bandwidth": 1e6,
                "flicker_exponent": 0.65,
                "flicker_corner": 10.0,
            },
            (0.01 * 0.25**-0.65 * 5e-6) ** 2 * math.log(1e5),
        ),
        (
            {"flicker": 0.01, "bandwidth": 1e6, "flicker_exponent": 9.0, "flicker_most": 0.02},
            (0.02 * 5e-6) ** 2 * math.log(1e6),
        ),
        ({"relative": 0.03, "absolute": 0.05}, (0.03 * 5e-6) ** 2 + (0.05 * (HIGH - LOW)) ** 2),
        # The mean of readings: of white noise only.
        (
            {"relative": 0.03, "absolute": 0.05, "reads": 16},
            ((0.03 * 5e-6) ** 2 + (0.05 * (HIGH - LOW)) ** 2) / 16,
        ),
        (
            {"thermal": True, "bandwidth": 1e6, "flicker": 0.01, "reads": 4},
            Boltzmann * TEMPERATURE * 5e-6 * 1e6 / 0.1**2 + (0.01 * 5e-6) ** 2 * math.log(1e6),
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
@pytest.mark.parametrize("correlation", ["phase", "spectrum"])
def test_noise_has_its_mean_and_variance(keys, variance, correlation):
    noise = noise_of(correlation=correlation, **keys)
    g = np.full(SHAPE, 5e-6)
    first, second = (noise.noisy(g, 7, noise.number(phase, 0, 0)) - g for phase in (0, 1))
    require_normal(first, variance)
    require_normal(second, variance)
    shared = 0.0
    if correlation == "spectrum":
        slow = noise.flicker_variance(g[:1, :1]).item()
        shared = slow / variance * flicker_correlation(noise.corner, 1e6, 1e-6)
    found = np.mean(first * second) / variance
    assert abs(found - shared) < 4 * math.sqrt((1 + shared**2) / g.size)


def test_flicker_correlates_as_its_spectrum_says():
    low, high = 50.0, 2e4
    for seconds in (0.0, 1e-6, 1e-4, 3e-3):
        # Over the logarithm of the frequency every band weighs the same.
        whole, _ = quad(
            lambda x, t=seconds: math.cos(2 * math.pi * math.exp(x) * t),
            math.log(low),
            math.log(high),
            limit=1000,
        )
        found = flicker_correlation(low, high, seconds)
        assert_allclose(found, whole / math.log(high / low), rtol=1e-7)


def test_three_phases_of_flicker_correlate_by_their_distance():
    noise = noise_of(
        correlation="spectrum", flicker=0.01, bandwidth=1e6, flicker_corner=1.0, phase_time=1e-5
    )
    g = np.full(SHAPE, 5e-6)
    draws = np.array([noise.noisy(g, 3, phase).ravel() for phase in range(3)])
    found = np.corrcoef(draws)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        expected = flicker_correlation(1.0, 1e6, 1e-5 * (b - a))
        assert abs(found[a, b] - expected) < 4 * (1 - expected**2) / math.sqrt(g.size)


@pytest.mark.parametrize(
    ("correlation", "same"),
    [
        ("frozen", {"phase", "sample", "sweep"}),
        ("sample", {"phase", "sweep"}),
        ("phase", {"sample", "sweep"}),
        ("spectrum", {"sample", "sweep"}),
        ("sweep", {"sample"}),
    ],
)
def test_a_draw_lasts_as_declared(correlation, same):
    noise = noise_of(3, 4, correlation=correlation, relative=0.1)
    g = np.full((3, 4), 5e-6)
    start = {"phase": 0, "sample": 0, "sweep": 0}
    reference = noise.noisy(g, 5, noise.number(**start))
    for key in start:
        other = noise.noisy(g, 5, noise.number(**start | {key: 1}))
        assert np.array_equal(other, reference) == (key in same)
        assert np.all(other != reference) == (key not in same)
    assert np.all(noise.noisy(g, 6, 0) != noise.noisy(g, 5, 0))


def test_traps_fill_and_empty_with_their_times():
    telegraph = Telegraph(share=0.3, amplitude=0.2, capture_time=2e-6, emission_time=6e-6)
    noise = noise_of(telegraph=telegraph, phase_time=1e-6)
    cells, n = math.prod(SHAPE), len(noise.traps)
    assert abs(n - 0.3 * cells) < 4 * math.sqrt(cells * 0.3 * 0.7)
    full = [np.rint((1 - noise.trapped(4, phase, 0)) / 0.2) for phase in range(3)]
    p = 0.75
    for state in full:
        assert set(np.unique(state)) == {0, 1}
        assert abs(state.mean() - p) < 4 * math.sqrt(p * (1 - p) / n)
    # Of a chain of two states: the rates of both add up.
    for lag in (1, 2):
        kept = math.exp(-lag * (1 / 2 + 1 / 6))
        together = np.mean(full[0] * full[lag])
        expected = p * (p + (1 - p) * kept)
        assert abs(together - expected) < 4 * math.sqrt(expected * (1 - expected) / n)
    assert np.mean(noise.trapped(5, 0, 0) != noise.trapped(4, 0, 0)) > 0.3
    assert np.mean(noise.trapped(4, 0, 1) != noise.trapped(4, 0, 0)) > 0.3


def retention_of(shape=SHAPE, low=LOW, high=HIGH, **keys):
    limits = np.full((1, 1), low), np.full((1, 1), high)
    size = {"g_max": HIGH, "span": HIGH - LOW, "seed": 0, "array": 1}
    return Retention(Drift(**keys), *limits, *shape, **size)


@pytest.mark.parametrize(
    ("target", "factor", "bounds"),
    [("zero", -1, (0, HIGH)), ("minimum", -1, (LOW, HIGH)), ("maximum", 1, (LOW, HIGH))],
)
def test_the_power_law_of_drift(target, factor, bounds):
    g = np.array([[LOW, 5e-6, HIGH]])
    retention = retention_of((1, 3), exponent=0.4, reference_time=20.0, target=target)
    expected = np.clip(g * ((300 + 20) / 20) ** (factor * 0.4), *bounds)
    assert_allclose(retention.waited(g, 300.0), expected, rtol=1e-14)
    assert_array_equal(retention.waited(g, 0.0), g)


def test_drift_to_random_ends_goes_both_ways():
    g = np.full(SHAPE, 5e-6)
    moved = retention_of(exponent=0.1, target="random").waited(g, 9.0)
    up = np.isclose(moved, 5e-6 * 10**0.1, rtol=1e-12)
    assert np.all(up | np.isclose(moved, 5e-6 * 10**-0.1, rtol=1e-12))
    assert abs(up.mean() - 0.5) < 4 * 0.5 / math.sqrt(g.size)


def test_steps_add_up_to_a_wait_and_pulses_start_anew():
    keys = {"exponent": 0.05, "exponent_spread": 0.01, "reference_time": 2.0, "step_time": 3.0}
    retention = retention_of((4, 5), **keys)
    g = np.full((4, 5), 5e-6)
    held = g.copy()
    held[:2] = 4e-6
    # The first mini-batch programs all cells, the third the first two units again.
    now = retention.step(np.zeros_like(g), held, 0)
    now = retention.step(now, now, 1)
    pulsed = now.copy()
    pulsed[:2] = 4e-6
    now = retention.step(now, pulsed, 2)
    fresh = retention_of((4, 5), **keys)
    assert_allclose(now[2:], fresh.waited(g, 9.0)[2:], rtol=1e-6)
    assert_allclose(now[:2], fresh.waited(held, 3.0)[:2], rtol=1e-6)
    assert np.ptp(now[2:]) > 0


def test_decay_and_diffusion_have_their_closed_form():
    g, low = np.full(SHAPE, 15e-6), 1e-6
    resting = low + 0.5 * (HIGH - LOW)
    decay = retention_of(lifetime=50.0, resting=0.5)
    now = g
    for event in range(3):
        now = decay.step(now, now, event)
    assert_allclose(now, resting + (g - resting) * (1 - 1 / 50) ** 3, rtol=1e-6)
    diffusion = retention_of(diffusion=0.01)
    draws = diffusion.step(g, g, 4) - g
    require_normal(draws, (0.01 * (HIGH - LOW)) ** 2)
    assert np.all(diffusion.step(g, g, 5) - g != draws)
    spread = retention_of(lifetime=1000.0, lifetime_spread=0.1)
    rates = 1 / ((g - spread.step(g, g, 0)) / (g - LOW))
    assert abs(rates.mean() - 1000) < 4 * 100 / math.sqrt(g.size)
    assert_allclose(rates.std(), 100, rtol=4 / math.sqrt(2 * g.size))


def test_phase_change_memory_drifts_and_flickers_as_published():
    """Aihwkit's model, G in µS and g = G/25: nu, its spread, programming error, read noise."""
    device = load("pcm-inference")
    drift, g_max = device.reading.drift, device.g_max
    limits = np.zeros((1, 1)), np.full((1, 1), g_max)
    size = {"g_max": g_max, "span": g_max, "seed": 0, "array": 0}
    for share in (0.05, 0.3, 1.0):
        g = np.full(SHAPE, share * g_max)
        retention = Retention(drift, *limits, *SHAPE, **size)
        mean = np.clip(-0.0155 * math.log(share) + 0.0244, 0.049, 0.1)
        spread = np.clip(-0.0125 * math.log(share) - 0.0059, 0.008, 0.045)
        nu = retention.exponents(g)
        # What would be below 0 is 0; the closed form of a normal variable cut there.
        z = mean / spread
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        expected = mean * 0.5 * (1 + math.erf(z / math.sqrt(2))) + spread * density
        assert abs(nu.mean() - expected) < 4 * spread / math.sqrt(g.size)
        error = 0.26348 + 1.9650 * share - 1.1731 * share**2
        assert_allclose(retention.programming_error(g, 60.0), 1e-6 * error, rtol=1e-12)
        noise = ReadNoise(device.reading, 1, 1, temperature=300.0, **size)
        noise.waited = 3600.0
        q = min(0.0088 / share**0.65, 0.2)
        # 250 ns beside 3620 s is nothing.
        relative = q * math.sqrt(math.log((3620 + 250e-9) / (2 * 250e-9)))
        variance = noise.flicker_variance(np.full((1, 1), share * g_max))
        assert_allclose(np.sqrt(variance) / (share * g_max), relative, rtol=1e-9)
        assert noise.white_variance(np.ones((1, 1))) == 0


def test_reram_relaxes_as_published():
    """Wan et al. (2022), G in µS and g = G/40, after 1 s, 1 and 2 days."""
    device = load("reram-inference")
    limits = np.zeros((1, 1)), np.full((1, 1), device.g_max)
    size = {"g_max": device.g_max, "span": device.g_max, "seed": 0, "array": 0}
    retention = Retention(device.reading.drift, *limits, *SHAPE, **size)
    g = np.full(SHAPE, 10e-6)
    rows = {
        1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
        86400.0: (0.701, 22.086, -50.773, 47.095, -16.458),
        172800.0: (0.782, 20.274, -43.507, 37.062, -11.934),
    }
    errors = {}
    for seconds, row in rows.items():
        errors[seconds] = 1e-6 * sum(c * 0.25**k for k, c in enumerate(row))
        assert_allclose(retention.programming_error(g, seconds)[0, 0], errors[seconds], rtol=1e-12)
        require_normal(retention.waited(g, seconds) - g, errors[seconds] ** 2)
    between = retention.programming_error(g, math.sqrt(86400.0))[0, 0]
    assert_allclose(between, 0.5 * (errors[1.0] + errors[86400.0]), rtol=1e-12)
    assert_allclose(retention.programming_error(g, 0.0)[0, 0], errors[1.0], rtol=1e-12)


def test_reads_above_the_threshold_move_cells():
    law = Disturb(threshold=0.5, step=1e-7, chance=1.0, stream=3)
    inputs, units = (
        np.array([[0.2, 0.6, -0.4], [0.1, 0.0, 0.2]]),
        np.array([[0.0, 0.2], [0.0, 0.1]]),
    )
    # Drops above 0.5 V in size: 0.6 − 0 upwards; −0.4 − 0.2 downwards.
    assert_array_equal(law.moves(inputs, units, 0), [[0, 1, 0], [0, 0, -1]])
    assert law.moves(0.5 * inputs, 0.5 * units, 0) is None
    many = np.ones((1, 100_000))
    rare = Disturb(threshold=0.5, step=1e-7, chance=0.1, stream=3)
    moves = rare.moves(many, np.zeros((1, 1)), 0)
    assert abs(moves.mean() - 0.1) < 4 * math.sqrt(0.09 / many.size)
    assert np.any(rare.moves(many, np.zeros((1, 1)), 1) != moves)


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        ({"relative": 3}, "reading.relative = 3"),
        ({"relative": "-1 %"}, "reading.relative = -0.01: must lie between 0 and 1"),
        ({"correlation": "frosen"}, 'reading.correlation = "frosen": unknown value; did you mean'),
        ({"thermal": True}, "reading.bandwidth = 0: must be above 0"),
        ({"bandwidth": "1 MS"}, "reading.bandwidth"),
        ({"flicker": "1 %"}, "reading.bandwidth = 0 Hz: must be above flicker_corner = 1 Hz"),
        ({"read_voltage": "0 V"}, "reading.read_voltage = 0.0: must be finite, above 0"),
        ({"telegraph": {"share": 2}}, "reading.telegraph.share = 2"),
        ({"telegraph": {"capture_time": "0 s"}}, "reading.telegraph.capture_time = 0.0"),
        ({"drift": {"lifetime": 1}}, "reading.drift.lifetime = 1"),
        ({"drift": {"exponent_limits": [0.2, 0.1]}}, "reading.drift.exponent_limits = [0.2, 0.1]"),
        (
            {"drift": {"programming_error": [[1e-6]]}},
            "reading.drift.programming_error_times = []: must be one for each row",
        ),
        (
            {"drift": {"programming_error": [[1e-6]] * 2, "programming_error_times": [2, 1]}},
            "reading.drift.programming_error_times = [2",
        ),
        ({"drift": {"tau": 1}}, "reading.drift.tau = 1: unknown key"),
    ],
)
def test_bad_keys_are_named(reading, words):
    with pytest.raises(ConfigurationError) as failure:
        load({"preset": "epiram", "reading": reading})
    assert words in str(failure.value)
    assert "\n" not in str(failure.value)


def test_shares_of_a_range_need_one():
    with pytest.raises(ConfigurationError, match=r"reading.absolute = 0.01: needs .* g_max"):
        load({"preset": "ideal", "reading": {"absolute": "1 %"}})
    assert load({"preset": "ideal", "reading": {"relative": "1 %"}}).reading.noisy
