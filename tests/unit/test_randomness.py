import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from neurohw import randomness
from neurohw.devices import kernels
from neurohw.randomness import (
    PURPOSES,
    key,
    normals,
    permutation,
    roundings,
    stream,
    uniforms,
    words,
)

COUNT = 40_000
CELLS = np.arange(COUNT)
SIGMAS = 4 / np.sqrt(COUNT)


def draw_key(seed=0, purpose="cycle", array=0, event=0):
    return key(stream(seed, purpose, array), event)


def correlations(rows):
    """Return the correlation coefficients of every pair of rows."""
    return np.corrcoef(rows)[np.triu_indices(len(rows), 1)]


def test_mix_is_splitmix64():
    """First outputs of the generator for seed 1234567, as its reference implementation prints."""
    state = 1234567
    for expected in (6457827717110365317, 3203168211198807973, 9817491932198370423):
        assert randomness.mix(state) == expected
        state = (state + 0x9E3779B97F4A7C15) % 2**64


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_uniforms_are_uniform(seed):
    draws = uniforms(draw_key(seed), CELLS)
    assert draws.dtype == np.float32
    assert 0 < draws.min() < 1e-3
    assert 1 - 1e-3 < draws.max() < 1
    assert stats.kstest(draws.astype(float), "uniform").pvalue > 1e-3


def test_extreme_words_have_finite_logarithms():
    ends = randomness.fractions(np.array([0, 2**32 - 1], np.uint32))
    assert 0 < ends[0] < 1e-7
    assert 1 - 1e-7 < ends[1] <= 1


def test_every_bit_of_a_word_is_fair():
    bits = (words(draw_key(), CELLS)[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.5 * SIGMAS
    assert np.abs(correlations(bits.T)).max() < 5 / np.sqrt(COUNT)


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_normals_are_normal(seed):
    draws = normals(draw_key(seed), CELLS).astype(float)
    assert abs(draws.mean()) < SIGMAS
    assert abs(draws.var() - 1) < np.sqrt(2) * SIGMAS
    assert abs(np.mean(draws**3)) < np.sqrt(15) * SIGMAS
    assert abs(np.mean(draws**4) - 3) < np.sqrt(96) * SIGMAS
    assert stats.kstest(draws, "norm").pvalue > 1e-3


def test_pairs_of_normals_are_independent():
    one, other = (draws.astype(float) for draws in randomness.normal_pairs(draw_key(), CELLS))
    assert_array_equal(one, normals(draw_key(), CELLS).astype(float))
    assert abs(other.var() - 1) < np.sqrt(2) * SIGMAS
    for a, b in [(one, other), (one**2, other**2), (one, other**2), (one**2, other)]:
        assert abs(np.corrcoef(a, b)[0, 1]) < SIGMAS


def test_normals_are_a_sum_of_bytes_made_normal():
    words = np.random.default_rng(0).integers(1 << 32, size=4_000_000, dtype=np.uint32)
    draws = np.sort(randomness.normal(words).astype(float))
    assert abs(draws.mean()) < 4 / 2000
    assert abs(draws.var() - 1) < np.sqrt(2) * 4 / 2000
    assert abs(np.mean(draws**4) - 3) < 5e-4 + np.sqrt(96) * 4 / 2000
    shares = (np.arange(len(draws)) + 0.5) / len(draws)
    assert np.abs(shares - stats.norm.cdf(draws)).max() < 1.5e-3
    ends = randomness.normal(np.array([0, 0xFFFFFFFF], np.uint32))
    assert_allclose(ends, [-4.85, 4.85], atol=0.01)


@pytest.mark.parametrize("draw", [uniforms, roundings, normals])
@pytest.mark.parametrize(
    "keys",
    [
        [draw_key(event=event) for event in range(8)],
        [draw_key(event=1 << bit) for bit in range(0, 40, 5)],
        [draw_key(array=array) for array in (0, 1, 2, 3, 1 << 16, (1 << 16) + 1)],
        [draw_key(purpose=purpose) for purpose in PURPOSES],
        [draw_key(seed=seed) for seed in range(8)],
        [draw_key(array=1, event=0), draw_key(array=0, event=1), draw_key(seed=1)],
    ],
    ids=["events", "far events", "arrays", "purposes", "seeds", "exchanged"],
)
def test_draws_do_not_depend_on_each_other(draw, keys):
    rows = np.array([draw(key, CELLS).astype(float) for key in keys])
    # Up to a thousand pairs: one of them is beyond five deviations once in 2000 times.
    assert np.abs(correlations(rows)).max() < 5 / np.sqrt(COUNT)
    assert np.abs(correlations((rows - rows.mean()) ** 2)).max() < 5 / np.sqrt(COUNT)


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 64, 100, 128, 1024, 1568])
def test_neighbours_are_independent(distance):
    draws = normals(draw_key(), np.arange(COUNT + distance)).astype(float)
    here, there = draws[:COUNT], draws[distance:]
    assert abs(np.corrcoef(here, there)[0, 1]) < SIGMAS
    assert abs(np.corrcoef(here**2, there**2)[0, 1]) < SIGMAS


def test_streams_of_purposes_arrays_and_seeds_differ():
    keys = {
        draw_key(seed, purpose, array, event)
        for seed, purpose, array, event in itertools.product(
            range(4), PURPOSES, (0, 1, 2, 1 << 16), range(4)
        )
    }
    assert len(keys) == 4 * len(PURPOSES) * 4 * 4
    assert len(set(PURPOSES.values())) == len(PURPOSES)


def test_a_draw_depends_on_its_cell_alone():
    order = np.random.default_rng(0).permutation(COUNT)
    whole = normals(draw_key(), CELLS)
    assert_array_equal(normals(draw_key(), order), whole[order])
    assert_array_equal(normals(draw_key(), CELLS[10:50].reshape(8, 5)).ravel(), whole[10:50])


def test_permutations():
    orders = [permutation(7, "shuffle", epoch, 1000) for epoch in range(5)]
    for order in orders:
        assert_array_equal(np.sort(order), np.arange(1000))
    together = np.abs(correlations(np.array(orders, float)))
    assert together.max() < 4 / np.sqrt(1000)
    assert abs(np.corrcoef(orders[0], np.arange(1000))[0, 1]) < 4 / np.sqrt(1000)
    assert_array_equal(permutation(7, "shuffle", 3, 1000), orders[3])
    assert np.any(permutation(8, "shuffle", 3, 1000) != orders[3])
    assert permutation(7, "shuffle", 0, 1).tolist() == [0]


def test_each_thing_comes_first_equally_often():
    first = [permutation(1, "shuffle", epoch, 5)[0] for epoch in range(2000)]
    assert stats.chisquare(np.bincount(first, minlength=5)).pvalue > 1e-3


@pytest.mark.kernels
@pytest.mark.parametrize("event", [0, 1, 2**31, 2**40])
def test_kernels_draw_the_same_integers(event):
    with np.errstate(over="ignore"):
        number = stream(5, "rounding", 3)
        first, second = kernels._key(np.uint64(number), event)
        assert (int(first), int(second)) == key(number, event)
        cells = np.array([0, 1, 2, 255, 2**16, 2**31, 2**32 - 1], np.uint32)
        found = [kernels._word(cell, np.uint32(first), np.uint32(second)) for cell in cells]
        expected = words((int(first), int(second)), cells)
        assert_array_equal(np.array(found, np.uint32), expected)
        derived = [kernels._derived(word) for word in expected]
        assert_array_equal(np.array(derived, np.uint32), randomness.derived(expected))


@pytest.mark.kernels
def test_kernels_round_alike():
    wanted = np.random.default_rng(3).uniform(-2, 2, 300).astype(np.float32)
    drawn = wanted + roundings(draw_key(), np.arange(1000, 1300))
    assert np.abs(drawn - np.rint(drawn)).min() > 1e-6
    found, one, limit = wanted.copy(), np.float32(1), np.float32(9)
    busy = np.empty(300 // kernels.VECTOR, np.float32)
    with np.errstate(over="ignore"):
        first, second = (np.uint32(word) for word in draw_key())
        kernels._whole_pulses(
            found, 300, one, one, limit, limit, np.uint32(1000), first, second, busy
        )
    assert_array_equal(found, np.floor(drawn))
    sums = np.abs(found)[: busy.size * kernels.VECTOR].reshape(busy.size, -1).sum(axis=1)
    assert_array_equal(busy, sums)


@pytest.mark.kernels
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("length", [1, 16, 21, 64, 300])
def test_kernels_find_every_cell_that_takes_pulses(length, share):
    pulses = np.zeros(length, np.float32)
    chosen = np.random.default_rng(length).random(length) < share
    pulses[chosen] = -2.0
    vectors = length // kernels.VECTOR
    busy = (
        pulses[: vectors * kernels.VECTOR]
        .reshape(vectors, kernels.VECTOR)
        .any(axis=1)
        .astype(np.float32)
    )
    places = np.empty(length + 1, np.int32)
    found = kernels._places(pulses, length, busy, np.empty(vectors + 1, np.int32), places)
    assert_array_equal(places[:found], np.flatnonzero(chosen))


def test_a_zero_change_is_never_rounded_up():
    draws = roundings(draw_key(), np.arange(1 << 20))
    assert draws.min() >= 0
    assert draws.max() < 1


@pytest.mark.kernels
@pytest.mark.parametrize("length", [2, 9, 256])
def test_kernels_draw_the_same_normals(length):
    found, variance = np.zeros(length, np.float32), np.ones(length, np.float32)
    low, high = np.full(length, -9, np.float32), np.full(length, 9, np.float32)
    with np.errstate(over="ignore"):
        first, second = (np.uint32(word) for word in draw_key(event=4))
        kernels._limit_with_noise(found, variance, low, high, np.uint32(0), first, second)
    expected = normals(draw_key(event=4), np.arange(length))
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected).max() > 0.1
