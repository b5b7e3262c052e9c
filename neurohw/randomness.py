"""Counter-based random numbers: a draw is a function of (seed, purpose, array, cell, event).

Nothing here has a state, so results do not depend on the order of calls, on the number of threads
or on where a run was interrupted. A *stream* (64 bits) stands for seed, purpose and array; with
the number of the event it gives the two 32-bit words of a *key*; with a key every cell has its
own word. `neurohw.devices.kernels` computes the same integers inside its loops.

References
----------
Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3", for the idea;
Steele et al. (2014), "Fast splittable pseudorandom number generators", for `mix`;
Wellons (2018), "Prospecting for hash functions", for the multipliers of `words`.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Words = NDArray[np.uint32]

_MASK = (1 << 64) - 1

PURPOSES = {
    "initial": 1,
    "nonlinearity_up": 2,
    "nonlinearity_down": 3,
    "g_min": 4,
    "g_max": 5,
    "cycle": 6,
    "rounding": 7,
    "shuffle": 8,
    "sign": 9,
    "gain": 10,
    "offset": 11,
    "saturation_current": 12,
    "low_voltage": 13,
    "high_voltage": 14,
    "nudging_offset": 15,
    "hold": 16,
    "step": 17,
    "asymmetry": 18,
    "low": 19,
    "high": 20,
    "slope_up": 21,
    "slope_down": 22,
    "stuck": 23,
    "stuck_at": 24,
    "write": 25,
    "sample": 26,
    "reset": 28,
    "levels": 27,
    "converter_gain": 40,
    "converter_offset": 41,
    "converter_step": 42,
    "converter_noise": 43,
    "sampling_offset": 44,
    "transposed_gain": 45,
    "capacitance": 46,
    "read": 50,
    "trap": 51,
    "telegraph": 52,
    "drift": 53,
    "lifetime": 54,
    "diffusion": 55,
    "programming_error": 56,
    "disturb": 57,
    "train_inputs": 60,
    "train_units": 61,
    "fluctuation": 70,
    "spike": 71,
    "membrane": 80,
    "feedback": 90,
    "feedback_spread": 91,
    "mirror": 92,
    "choice": 93,
    "gibbs": 96,
    "lateral": 94,
    "dendrite_noise": 110,
    "top_down": 111,
    "microcircuit": 112,
}

# Of the odd polynomial that makes the sum of four bytes normal: least squares weighted by the
# probability of each sum, then scaled to a variance of 1.
NORMAL = (0.00648107296, 5.14888911e-09, -2.86779481e-14, 2.04836129e-19)


def mix(word: int) -> int:
    """Return 64 well-mixed bits of a 64-bit integer (the finaliser of SplitMix64)."""
    word = (word + 0x9E3779B97F4A7C15) & _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def stream(seed: int, purpose: str, array: int = 0) -> int:
    """Return the 64-bit stream of a purpose (one of `PURPOSES`) on one array."""
    return mix(mix(mix(seed & _MASK) ^ PURPOSES[purpose]) ^ array)


def key(stream: int, event: int = 0) -> tuple[int, int]:
    """Return the two 32-bit words that one event of a stream gives to all cells."""
    bits = mix(stream ^ event)
    return bits & 0xFFFFFFFF, bits >> 32


def words(key: tuple[int, int], cells: NDArray[np.integer]) -> Words:
    """Return one 32-bit word a cell; `cells` are indices below 2**32, any shape."""
    first, second = np.uint32(key[0]), np.uint32(key[1])
    with np.errstate(over="ignore"):
        x = cells.astype(np.uint32) ^ first
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x21F0AAAD)
        x ^= x >> np.uint32(15)
        x += second
        x *= np.uint32(0x735A2D97)
        x ^= x >> np.uint32(15)
    return x


def derived(word: Words) -> Words:
    """Return a second word of each cell, for draws that need two."""
    with np.errstate(over="ignore"):
        x = word * np.uint32(0x85EBCA6B)
    return x ^ (x >> np.uint32(16))


def next_words(word: Words) -> Words:
    """Return the word after each, where a cell takes several draws in one event."""
    with np.errstate(over="ignore"):
        return derived(word + np.uint32(0x9E3779B9))


def fractions(word: Words) -> NDArray[np.float32]:
    """Map 32-bit words to float32 in (0, 1]; 1 itself, by rounding, once in 2**24 draws."""
    return (word >> np.uint32(8)).astype(np.float32) * np.float32(2**-24) + np.float32(2**-25)


def uniforms(key: tuple[int, int], cells: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return one uniform draw in (0, 1] a cell."""
    return fractions(words(key, cells))


def roundings(key: tuple[int, int], cells: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return one draw in [0, 1) a cell, for stochastic rounding: 0 never rounds up."""
    return (words(key, cells) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def normals(key: tuple[int, int], cells: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return one standard normal draw a cell; see `normal`."""
    return normal(words(key, cells))


def normal_pairs(
    key: tuple[int, int], cells: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return two independent standard normal draws a cell."""
    word = words(key, cells)
    with np.errstate(over="ignore"):
        other = word * np.uint32(0x85EBCA6B)
        other ^= other >> np.uint32(13)
        other *= np.uint32(0xC2B2AE35)
    return normal(word), normal(other ^ (other >> np.uint32(16)))


def normal(word: Words) -> NDArray[np.float32]:
    """Map 32-bit words to standard normal draws: a polynomial of the sum of their four bytes.

    The sum, with the lower half of the word as its fraction, is nearly normal; the polynomial
    `NORMAL` of its distance from the mean makes it so: variance 1, kurtosis 3 less 5e-4, a
    distribution function within 7e-4 of the normal one, and no draw beyond 4.85.
    """
    both = (word & np.uint32(0x00FF00FF)) + ((word >> np.uint32(8)) & np.uint32(0x00FF00FF))
    x = ((both + (both >> np.uint32(16))) & np.uint32(0x7FF)).astype(np.float32)
    x += (word & np.uint32(0xFFFF)).astype(np.float32) * np.float32(2**-16) - np.float32(510.5)
    square = x * x
    found = np.full_like(x, NORMAL[3])
    for coefficient in NORMAL[2::-1]:
        found = found * square + np.float32(coefficient)
    return np.asarray(found * x)


def permutation(seed: int, purpose: str, event: int, count: int) -> NDArray[np.intp]:
    """Return a random order of `count` things, a function of seed, purpose and event."""
    cells = np.arange(count)
    order_key = key(stream(seed, purpose), event)
    first = words(order_key, cells).astype(np.uint64)
    second = derived(words((order_key[1], order_key[0]), cells)).astype(np.uint64)
    return np.argsort((first << np.uint64(32)) | second, kind="stable")
