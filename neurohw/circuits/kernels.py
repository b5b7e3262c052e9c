"""Compiled solver of crossbars with wires: many voltages at once.

Voltages of the word lines are eliminated line by line, and conjugate gradients find those of the
bit lines, with the bit lines by themselves as preconditioner. Both are tridiagonal. Arrays are
(units, inputs), with the right-hand sides of a chunk as the last axis, along which all streams.
"""

import numpy as np
from numba import njit, prange

FAST = {"reassoc", "contract", "nsz", "arcp"}
# As in `neurohw.devices.kernels`.
inner = njit(fastmath=FAST, error_model="numpy", forceinline=True)

CHUNK = 8


@inner
def _factor(g, segment, first, last, inverse):
    """Eliminate along every word line, or, of the transposes, along every bit line.

    `inverse` (units, inputs) becomes that of each pivot [Ω].
    """
    units, inputs = g.shape
    for j in range(units):
        for i in range(inputs):
            pivot = g[j, i]
            pivot += first if j == 0 else segment - segment * segment * inverse[j - 1, i]
            pivot += last if j == units - 1 else segment
            inverse[j, i] = 1.0 / pivot


@inner
def _solve_words(inverse, segment, x):
    """Replace currents into the nodes of word lines by their voltages."""
    units, inputs, batch = x.shape
    for j in range(1, units):
        for i in range(inputs):
            c = segment * inverse[j - 1, i]
            for k in range(batch):
                x[j, i, k] += c * x[j - 1, i, k]
    for i in range(inputs):
        for k in range(batch):
            x[units - 1, i, k] *= inverse[units - 1, i]
    for j in range(units - 2, -1, -1):
        for i in range(inputs):
            for k in range(batch):
                x[j, i, k] = (x[j, i, k] + segment * x[j + 1, i, k]) * inverse[j, i]


@inner
def _solve_bits(inverse, segment, x):
    """Replace currents into the nodes of bit lines by their voltages."""
    units, inputs, batch = x.shape
    for j in range(units):
        for i in range(1, inputs):
            c = segment * inverse[j, i - 1]
            for k in range(batch):
                x[j, i, k] += c * x[j, i - 1, k]
        for k in range(batch):
            x[j, inputs - 1, k] *= inverse[j, inputs - 1]
        for i in range(inputs - 2, -1, -1):
            for k in range(batch):
                x[j, i, k] = (x[j, i, k] + segment * x[j, i + 1, k]) * inverse[j, i]


@inner
def _bits_times(g, segment, first, last, p, q):
    """Write the currents that leave the nodes of bit lines at voltages p, word lines at 0 V."""
    units, inputs, batch = p.shape
    for j in range(units):
        for i in range(inputs):
            own = g[j, i]
            own += first if i == 0 else segment
            own += last if i == inputs - 1 else segment
            for k in range(batch):
                q[j, i, k] = own * p[j, i, k]
            if i > 0:
                for k in range(batch):
                    q[j, i, k] -= segment * p[j, i - 1, k]
            if i < inputs - 1:
                for k in range(batch):
                    q[j, i, k] -= segment * p[j, i + 1, k]


@inner
def _dot(a, b, out):
    units, inputs, batch = a.shape
    out[:] = 0
    for j in range(units):
        for i in range(inputs):
            for k in range(batch):
                out[k] += a[j, i, k] * b[j, i, k]


@inner
def _scale(g, x, out):
    units, inputs, batch = x.shape
    for j in range(units):
        for i in range(inputs):
            for k in range(batch):
                out[j, i, k] = g[j, i] * x[j, i, k]


@inner
def _drive(words, driven, w):
    """Add the currents that the drivers feed into word lines at 0 V."""
    units, inputs, batch = w.shape
    for i in range(inputs):
        for k in range(batch):
            w[0, i, k] += words[1] * driven[i, k]
            w[units - 1, i, k] += words[2] * driven[i, k]


@inner
def _chunk(g, words, bits, inverse_words, inverse_bits, driven, sensed, tolerance, most, into, out):
    """Solve for one chunk of voltages; return (iterations, residual)."""
    units, inputs = g.shape
    batch = driven.shape[1]
    shape = (units, inputs, batch)
    w, b = np.zeros(shape), np.zeros(shape)
    r, p, q = np.empty(shape), np.empty(shape), np.empty(shape)
    _drive(words, driven, w)
    _solve_words(inverse_words, words[0], w)
    _scale(g, w, r)
    for j in range(units):
        for k in range(batch):
            r[j, 0, k] += bits[1] * sensed[j, k]
            r[j, inputs - 1, k] += bits[2] * sensed[j, k]
    rz, before, pq = np.empty(batch), np.empty(batch), np.empty(batch)
    begun, alpha = np.empty(batch), np.empty(batch)
    done, residual = 0, 0.0
    for iteration in range(most + 1):
        q[:] = r
        _solve_bits(inverse_bits, bits[0], q)
        before[:] = rz
        _dot(r, q, rz)
        if iteration == 0:
            begun[:] = rz
            before[:] = 1
            p[:] = 0
        residual = 0.0
        for k in range(batch):
            if begun[k] > 0:
                residual = max(residual, np.sqrt(abs(rz[k]) / begun[k]))
        if residual <= tolerance or iteration == most:
            break
        done += 1
        for k in range(batch):
            alpha[k] = rz[k] / before[k] if before[k] > 0 else 0.0
        for j in range(units):
            for i in range(inputs):
                for k in range(batch):
                    p[j, i, k] = q[j, i, k] + alpha[k] * p[j, i, k]
        # From what leaves the bit lines goes what the word lines bring back from other cells.
        _scale(g, p, w)
        _solve_words(inverse_words, words[0], w)
        _bits_times(g, bits[0], bits[1], bits[2], p, q)
        for j in range(units):
            for i in range(inputs):
                for k in range(batch):
                    q[j, i, k] -= g[j, i] * w[j, i, k]
        _dot(p, q, pq)
        for k in range(batch):
            alpha[k] = rz[k] / pq[k] if pq[k] > 0 else 0.0
        for j in range(units):
            for i in range(inputs):
                for k in range(batch):
                    b[j, i, k] += alpha[k] * p[j, i, k]
                    r[j, i, k] -= alpha[k] * q[j, i, k]
    _scale(g, b, w)
    _drive(words, driven, w)
    _solve_words(inverse_words, words[0], w)
    into[:] = 0
    out[:] = 0
    for j in range(units):
        for i in range(inputs):
            for k in range(batch):
                current = g[j, i] * (w[j, i, k] - b[j, i, k])
                into[i, k] += current
                out[j, k] += current
    return done, residual


@njit(cache=True, fastmath=FAST, error_model="numpy", parallel=True)
def solve(g, words, bits, driven, sensed, tolerance, most, into, out, iterations, residuals):
    """Find the currents of a crossbar with wires.

    g (units, inputs) [S]; words and bits, of each kind of line: conductance of a segment, of the
    connection of its first and of its last node to the terminal [S], 0 where there is none;
    driven (chunks, inputs, CHUNK) and sensed (chunks, units, CHUNK), terminal voltages [V];
    tolerance of the residual, over that at the start; most iterations. Results: into, from the
    word lines' terminals (chunks, inputs, CHUNK), and out, to those of the bit lines (chunks,
    units, CHUNK) [A]; iterations and residuals of each chunk.
    """
    inverse_words, inverse_bits = np.empty(g.shape), np.empty(g.shape)
    _factor(g, words[0], words[1], words[2], inverse_words)
    _factor(g.T, bits[0], bits[1], bits[2], inverse_bits.T)
    for c in prange(driven.shape[0]):
        iterations[c], residuals[c] = _chunk(
            g,
            words,
            bits,
            inverse_words,
            inverse_bits,
            driven[c],
            sensed[c],
            tolerance,
            most,
            into[c],
            out[c],
        )
