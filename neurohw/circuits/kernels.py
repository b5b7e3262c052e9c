"""Compiled solver of crossbars with wires: many voltages at once.

Voltages of the word lines are eliminated line by line, and conjugate gradients find those of the
bit lines, with the bit lines by themselves as preconditioner. Both are tridiagonal. Arrays are
(units, inputs), with the right-hand sides of a chunk as the last axis, along which all streams.
"""

import numpy as np
from numba import get_num_threads, njit, prange

FAST = {"reassoc", "contract", "nsz", "arcp"}
# As in `neurohw.devices.kernels`.
inner = njit(fastmath=FAST, error_model="numpy", forceinline=True)

CHUNK = 8

threads = get_num_threads


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


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def take_word_line(cells, words, segment, front, profile):
    """Add to the conductances between the nodes of all bit lines what one word line does to them.

    cells (units,) along the word line and words, see `solve` [S]; its driver is at 0 V. front
    (units, units), in units of `segment` [S]; only its upper triangle is read. profile (units,)
    becomes the voltages along the word line, its driver at 1 V and all bit lines at 0 V. Sums of
    positive numbers only, so that weak cells on strong wires lose no digits.
    """
    units, line = cells.shape[0], words[0]
    up, down, z = np.empty_like(cells), np.empty_like(cells), np.empty_like(cells)
    up[0], down[units - 1] = words[1], words[2]
    for j in range(1, units):
        behind = up[j - 1] + cells[j - 1]
        up[j] = line * behind / (line + behind)
    for j in range(units - 2, -1, -1):
        behind = down[j + 1] + cells[j + 1]
        down[j] = line * behind / (line + behind)
    for j in range(units - 1, -1, -1):
        own, rest = cells[j], up[j] + down[j]
        share, weight = line / (line + up[j] + own), own / segment
        # z_k becomes the voltage of node j for a current of 1 A into node k.
        z[j] = 1 / (own + rest)
        front[j, j] += weight * rest * z[j]
        row = front[j]
        for k in range(j + 1, units):
            z[k] *= share
            row[k] -= weight * cells[k] * z[k]
        profile[j] = words[2] * z[units - 1]
    for j in range(units):
        profile[j] += words[1] * z[j]
        for k in range(j):
            front[j, k] = front[k, j]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def pass_bit_lines(g, bits, passed):
    """Multiply by the share of a terminal's voltage that reaches each cell along its bit line.

    g and passed (units, inputs), bits as in `solve`; word lines at 0 V. Sums of positive numbers
    only, as in `take_word_line`.
    """
    units, inputs = g.shape
    pivot, feed = np.empty_like(g[0]), np.empty_like(g[0])
    for j in range(units):
        behind, fed = bits[1], bits[1]
        for i in range(inputs):
            segment = bits[0] if i < inputs - 1 else bits[2]
            pivot[i], feed[i] = behind + g[j, i] + segment, fed
            fed = segment * fed / pivot[i]
            behind = segment * (behind + g[j, i]) / pivot[i]
        voltage = bits[0] / bits[0]
        for i in range(inputs - 1, -1, -1):
            segment = bits[0] if i < inputs - 1 else bits[2]
            voltage = (feed[i] + segment * voltage) / pivot[i]
            passed[j, i] *= voltage


@njit(cache=True, fastmath=FAST, error_model="numpy")
def follow(g, share, rest, inputs, transfer, sums, projection):
    """Write transfer = rest + share·g (units, inputs), its sums over the inputs and its products.

    inputs (batch, inputs) [V], the batch a multiple of 4; projection (batch, units) [A].
    """
    zero = g.dtype.type(0)
    for j in range(g.shape[0]):
        line, own, part, left = transfer[j], g[j], share[j], rest[j]
        total = zero
        for i in range(g.shape[1]):
            line[i] = left[i] + part[i] * own[i]
            total += line[i]
        sums[j] = total
        for b in range(0, inputs.shape[0], 4):
            x0, x1, x2, x3 = inputs[b], inputs[b + 1], inputs[b + 2], inputs[b + 3]
            p0, p1, p2, p3 = zero, zero, zero, zero
            for i in range(g.shape[1]):
                p0 += x0[i] * line[i]
                p1 += x1[i] * line[i]
                p2 += x2[i] * line[i]
                p3 += x3[i] * line[i]
            projection[b, j], projection[b + 1, j] = p0, p1
            projection[b + 2, j], projection[b + 3, j] = p2, p3
