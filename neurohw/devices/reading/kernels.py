"""Compiled reading of an array: noisy cells of two readings, their line sums, what they project.

One pass writes both copies; a pair of normal draws serves a cell in both. Its oracle is
`neurohw.devices.reading.noise`; the draws are those of `neurohw.randomness`. A unit's numbers do
not depend on the thread that computes them.
"""

from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Array = NDArray[np.floating]

FAST = {"reassoc", "contract", "nsz", "arcp"}
# See `neurohw.devices.kernels` for why; and for the functions of single draws, which stand here
# too because a cache does not see edits in another file.
inner = njit(fastmath=FAST, error_model="numpy", forceinline=True)

TILE = 512
# Below this many cells waking a second thread costs more than it saves.
SMALL = 1 << 16

f32 = np.float32
u32 = np.uint32
i32 = np.int32


@inner
def _word(cell, first, second):
    x = u32(cell ^ first)
    x = u32(x ^ u32(x >> u32(16)))
    x = u32(x * u32(0x21F0AAAD))
    x = u32(x ^ u32(x >> u32(15)))
    x = u32(x + second)
    x = u32(x * u32(0x735A2D97))
    return u32(x ^ u32(x >> u32(15)))


@inner
def _log(u):
    """Natural logarithm of a positive float32, relative error 1e-7."""
    bits = f32(u).view(i32)
    exponent = i32((bits - i32(0x3F3504F3)) >> i32(23))
    f = i32(bits - i32(exponent << i32(23))).view(f32) - f32(1)
    p = f32(0.09272214)
    p = p * f + f32(-0.14118425)
    p = p * f + f32(0.14676397)
    p = p * f + f32(-0.16592856)
    p = p * f + f32(0.19985128)
    p = p * f + f32(-0.25000922)
    p = p * f + f32(0.3333341)
    z = f * f
    return f32(exponent) * f32(0.6931471805599453) + (f - f32(0.5) * z + f * z * p)


@inner
def _exp(x):
    """Return e^x for |x| < 85, relative error 2e-7."""
    k = np.rint(x * f32(1.4426950408889634))
    r = x - k * f32(0.693359375) + k * f32(2.12194440e-4)
    p = f32(1 / 5040)
    p = p * r + f32(1 / 720)
    p = p * r + f32(1 / 120)
    p = p * r + f32(1 / 24)
    p = p * r + f32(1 / 6)
    p = p * r + f32(0.5)
    p = p * r * r + r + f32(1)
    return p * i32((i32(k) + i32(127)) << i32(23)).view(f32)


@inner
def _normal(word):
    """Return the standard normal draw of a word; see `randomness.normal`."""
    both = u32(u32(word & u32(0x00FF00FF)) + u32(u32(word >> u32(8)) & u32(0x00FF00FF)))
    x = f32(i32(u32(u32(both + u32(both >> u32(16))) & u32(0x7FF)))) - f32(510.5)
    x += f32(i32(word & u32(0xFFFF))) * f32(2**-16)
    z = x * x
    p = f32(2.04836129e-19)
    p = p * z + f32(-2.86779481e-14)
    p = p * z + f32(5.14888911e-09)
    return (p * z + f32(0.00648107296)) * x


@inner
def _normal_pair(cell, first, second):
    """Two independent draws; see `randomness.normal_pairs`."""
    word = _word(cell, first, second)
    other = u32(word * u32(0x85EBCA6B))
    other = u32(u32(other ^ u32(other >> u32(13))) * u32(0xC2B2AE35))
    return _normal(word), _normal(u32(other ^ u32(other >> u32(16))))


@inner
def _flicker(g, shape):
    """Variance of 1/f noise of a cell whose amplitude follows its conductance."""
    amount, exponent, most, per_siemens, band = shape
    share = max(f32(g * per_siemens), f32(1e-30))
    relative = min(amount * _exp(-exponent * _log(share)), most)
    return band * (relative * g) * (relative * g)


@inner
def _white(g, variance):
    constant, linear, quadratic = variance
    size = abs(g)
    return constant + (linear + quadratic * size) * size


@inner
def _one(g, out, cell, first, second, variance):
    """Write one reading of a tile whose variance is a polynomial."""
    for i in range(g.shape[0]):
        v = g[i]
        draw = _normal(_word(u32(cell + u32(i)), first, second))
        out[i] = v + np.sqrt(_white(v, variance)) * draw


@inner
def _two(g, out, other, cell, first, second, variance):
    """Write two readings of a tile whose variance is a polynomial."""
    for i in range(g.shape[0]):
        v = g[i]
        s, c = _normal_pair(u32(cell + u32(i)), first, second)
        size = np.sqrt(_white(v, variance))
        out[i] = v + size * s
        other[i] = v + size * c


@inner
def _two_shaped(g, out, other, cell, first, second, variance, shape):
    """Write two readings of a tile with 1/f noise that follows the conductance."""
    for i in range(g.shape[0]):
        v = g[i]
        s, c = _normal_pair(u32(cell + u32(i)), first, second)
        size = np.sqrt(_white(v, variance) + _flicker(v, shape))
        # The first draw stays where both are the same reading.
        other[i] = v + size * c
        out[i] = v + size * s


@inner
def _mixed(g, out, cell, keys, mixture, variance, shape):
    """Write one reading of a tile whose 1/f noise mixes the draws of several phases."""
    for i in range(g.shape[0]):
        out[i] = g[i] * f32(0)
    last = keys.shape[0] - 1
    for q in range(last + 1):
        first, second, part = keys[q, 0], keys[q, 1], mixture[q]
        for i in range(g.shape[0]):
            s, c = _normal_pair(u32(cell + u32(i)), first, second)
            v = g[i]
            size = np.sqrt(_flicker(v, shape)) * part * s
            if q == last:
                size += np.sqrt(_white(v, variance)) * c + v
            out[i] += size


@inner
def _project(g, y, b, start, stop):
    """Project samples b to b + 3 through a tile of one line."""
    y0, y1 = y[b, start:stop], y[b + 1, start:stop]
    y2, y3 = y[b + 2, start:stop], y[b + 3, start:stop]
    zero = g[0] * f32(0)
    s0, s1, s2, s3 = zero, zero, zero, zero
    for i in range(g.shape[0]):
        u = g[i]
        s0 += u * y0[i]
        s1 += u * y1[i]
        s2 += u * y2[i]
        s3 += u * y3[i]
    return s0, s1, s2, s3


@inner
def _sum(g):
    s = g[0] * f32(0)
    for i in range(g.shape[0]):
        s += g[i]
    return s


@inner
def _line(j, g, taken, keys, mixture, variance, shape, coming):
    """Read one unit's cells; see `take`."""
    y, projection, sums = coming
    inputs, readings = g.shape[1], taken.shape[0]
    for k in range(readings):
        sums[k, j] = 0
        for b in range(y.shape[0]):
            projection[k, b, j] = 0
    for start in range(0, inputs, TILE):
        stop = min(start + TILE, inputs)
        held, out, other = g[j, start:stop], taken[0, j, start:stop], taken[-1, j, start:stop]
        cell = u32(j * inputs + start)
        if mixture.shape[0] > 0:
            _mixed(held, out, cell, keys, mixture, variance, shape)
        elif shape[0] > f32(0):
            _two_shaped(held, out, other, cell, keys[0, 0], keys[0, 1], variance, shape)
        elif readings == 1:
            _one(held, out, cell, keys[0, 0], keys[0, 1], variance)
        else:
            _two(held, out, other, cell, keys[0, 0], keys[0, 1], variance)
        for k in range(readings):
            line = taken[k, j, start:stop]
            sums[k, j] += _sum(line)
            for b in range(0, y.shape[0], 4):
                s = _project(line, y, b, start, stop)
                projection[k, b, j] += s[0]
                projection[k, b + 1, j] += s[1]
                projection[k, b + 2, j] += s[2]
                projection[k, b + 3, j] += s[3]


@njit(cache=True, fastmath=FAST, parallel=True)
def _take(g, taken, keys, mixture, variance, shape, coming):
    for j in prange(g.shape[0]):
        _line(j, g, taken, keys, mixture, variance, shape, coming)


def take(
    g: Array,
    taken: Array,
    keys: NDArray[np.uint32],
    mixture: Array,
    variance: Any,
    shape: Any,
    coming: Any,
) -> None:
    """Write one reading of an array, or two of independent noise, and what they add up to.

    Parameters
    ----------
    g : (units, inputs) array [S]
    taken : (readings, units, inputs) array [S]
        Written; one or two readings.
    keys : (draws, 2) uint32 array
        Keys of the pairs of draws; one, unless there is a mixture.
    mixture : (draws,) float32 array, or (0,)
        Weights of the draws in the 1/f noise of the one reading; without it each reading takes one
        draw of each pair.
    variance : tuple
        constant [S²], linear [S], quadratic: of all noise, or, of 1/f noise apart.
    shape : tuple of float32
        flicker, exponent, most, 1/g_max [1/S] and width of the band of 1/f noise that is no part
        of `variance`; flicker is 0 without it.
    coming : tuple
        y (batch, inputs) [V], the batch a multiple of 4; results projection (readings, batch,
        units) [A], sums (readings, units) [S].
    """
    threads = numba.get_num_threads()
    if g.size < SMALL:
        numba.set_num_threads(1)
    try:
        _take(g, taken, keys, mixture, variance, shape, coming)
    finally:
        numba.set_num_threads(threads)
