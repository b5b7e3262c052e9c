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

CHUNK = 4

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
def _down(inverse, segment, own, x, j, out):
    """Write own·x plus what comes down the word lines to node row j of currents `out`."""
    before = out[max(j - 1, 0)]
    for i in range(x.shape[0]):
        c = segment * inverse[j - 1, i] if j > 0 else 0.0
        g = own[i]
        v0, v1, v2, v3 = x[i, 0], x[i, 1], x[i, 2], x[i, 3]
        w0, w1, w2, w3 = before[i, 0], before[i, 1], before[i, 2], before[i, 3]
        line = out[j, i]
        line[0], line[1] = g * v0 + c * w0, g * v1 + c * w1
        line[2], line[3] = g * v2 + c * w2, g * v3 + c * w3


@inner
def _up(inverse, segment, w, j, i):
    """Turn the current at a node into its voltage, eliminating upwards; return the voltage."""
    after, line = w[min(j + 1, inverse.shape[0] - 1), i], w[j, i]
    c = segment if j < inverse.shape[0] - 1 else 0.0
    own = inverse[j, i]
    w0, w1 = (line[0] + c * after[0]) * own, (line[1] + c * after[1]) * own
    w2, w3 = (line[2] + c * after[2]) * own, (line[3] + c * after[3]) * own
    line[0], line[1], line[2], line[3] = w0, w1, w2, w3
    return w0, w1, w2, w3


@inner
def _solve_bit(inverse, segment, r, z):
    """Write the voltages that currents r cause on a bit line by itself; return r·z."""
    inputs = r.shape[0]
    z0, z1, z2, z3, c = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(inputs):
        z0, z1 = r[i, 0] + c * z0, r[i, 1] + c * z1
        z2, z3 = r[i, 2] + c * z2, r[i, 3] + c * z3
        z[i, 0], z[i, 1], z[i, 2], z[i, 3] = z0, z1, z2, z3
        c = segment * inverse[i]
    q0, q1, q2, q3 = 0.0, 0.0, 0.0, 0.0
    z0, z1, z2, z3 = 0.0, 0.0, 0.0, 0.0
    for i in range(inputs - 1, -1, -1):
        own = inverse[i]
        z0, z1 = (z[i, 0] + segment * z0) * own, (z[i, 1] + segment * z1) * own
        z2, z3 = (z[i, 2] + segment * z2) * own, (z[i, 3] + segment * z3) * own
        z[i, 0], z[i, 1], z[i, 2], z[i, 3] = z0, z1, z2, z3
        q0, q1 = q0 + r[i, 0] * z0, q1 + r[i, 1] * z1
        q2, q3 = q2 + r[i, 2] * z2, q3 + r[i, 3] * z3
    return q0, q1, q2, q3


@inner
def _words(g, words, inverse, driven, b, w):
    """Write the voltages of the word lines, bit lines at voltages b."""
    units, inputs = g.shape
    for j in range(units):
        _down(inverse, words[0], g[j], b[j], j, w)
        near, far = words[1] if j == 0 else 0.0, words[2] if j == units - 1 else 0.0
        if near > 0 or far > 0:
            for i in range(inputs):
                for k in range(CHUNK):
                    w[j, i, k] += (near + far) * driven[i, k]
    for j in range(units - 1, -1, -1):
        for i in range(inputs):
            _up(inverse, words[0], w, j, i)


@inner
def _direct(g, inverse, segment, step, z, r, p, tp, w):
    """Take the next search directions, and start to eliminate along the word lines."""
    s0, s1, s2, s3 = step[0], step[1], step[2], step[3]
    for j in range(g.shape[0]):
        for i in range(g.shape[1]):
            line, image = p[j, i], tp[j, i]
            v0, v1 = z[j, i, 0] + s0 * line[0], z[j, i, 1] + s1 * line[1]
            v2, v3 = z[j, i, 2] + s2 * line[2], z[j, i, 3] + s3 * line[3]
            t0, t1 = r[j, i, 0] + s0 * image[0], r[j, i, 1] + s1 * image[1]
            t2, t3 = r[j, i, 2] + s2 * image[2], r[j, i, 3] + s3 * image[3]
            line[0], line[1], line[2], line[3] = v0, v1, v2, v3
            image[0], image[1], image[2], image[3] = t0, t1, t2, t3
        _down(inverse, segment, g[j], p[j], j, w)


@inner
def _curvature(g, inverse, segment, p, tp, w, out):
    """Finish the word lines' voltages; write p times the currents that leave the bit lines."""
    q0, q1, q2, q3 = 0.0, 0.0, 0.0, 0.0
    for j in range(g.shape[0] - 1, -1, -1):
        for i in range(g.shape[1]):
            own = g[j, i]
            w0, w1, w2, w3 = _up(inverse, segment, w, j, i)
            q0, q1 = (
                q0 + p[j, i, 0] * (tp[j, i, 0] - own * w0),
                q1 + p[j, i, 1] * (tp[j, i, 1] - own * w1),
            )
            q2, q3 = (
                q2 + p[j, i, 2] * (tp[j, i, 2] - own * w2),
                q3 + p[j, i, 3] * (tp[j, i, 3] - own * w3),
            )
    out[0], out[1], out[2], out[3] = q0, q1, q2, q3


@inner
def _advance(g, inverse, segment, step, p, tp, w, b, r, z, rz):
    """Step along the directions; the bit lines by themselves turn the new residual into z."""
    s0, s1, s2, s3 = step[0], step[1], step[2], step[3]
    rz[:] = 0
    for j in range(g.shape[0]):
        for i in range(g.shape[1]):
            own, line, left = g[j, i], b[j, i], r[j, i]
            b0, b1 = line[0] + s0 * p[j, i, 0], line[1] + s1 * p[j, i, 1]
            b2, b3 = line[2] + s2 * p[j, i, 2], line[3] + s3 * p[j, i, 3]
            r0 = left[0] - s0 * (tp[j, i, 0] - own * w[j, i, 0])
            r1 = left[1] - s1 * (tp[j, i, 1] - own * w[j, i, 1])
            r2 = left[2] - s2 * (tp[j, i, 2] - own * w[j, i, 2])
            r3 = left[3] - s3 * (tp[j, i, 3] - own * w[j, i, 3])
            line[0], line[1], line[2], line[3] = b0, b1, b2, b3
            left[0], left[1], left[2], left[3] = r0, r1, r2, r3
        q0, q1, q2, q3 = _solve_bit(inverse[j], segment, r[j], z[j])
        rz[0], rz[1], rz[2], rz[3] = rz[0] + q0, rz[1] + q1, rz[2] + q2, rz[3] + q3


@inner
def _chunk(g, words, bits, inverse_words, inverse_bits, driven, sensed, tolerance, most, into, out):
    """Solve for one chunk of voltages; return (iterations, residual).

    Three passes over the array an iteration. With the bit lines' own matrix T, p is a search
    direction and tp = T·p, which follows from the residual r as p does from z = T⁻¹·r.
    """
    units, inputs = g.shape
    shape = (units, inputs, CHUNK)
    w, b, r = np.empty(shape), np.zeros(shape), np.empty(shape)
    p, tp, z = np.zeros(shape), np.zeros(shape), np.empty(shape)
    rz, before, pq = np.zeros(CHUNK), np.ones(CHUNK), np.empty(CHUNK)
    step = np.zeros(CHUNK)
    w[0] = 0
    _words(g, words, inverse_words, driven, b, w)
    for j in range(units):
        for i in range(inputs):
            for k in range(CHUNK):
                r[j, i, k] = g[j, i] * w[j, i, k]
        for k in range(CHUNK):
            r[j, 0, k] += bits[1] * sensed[j, k]
            r[j, inputs - 1, k] += bits[2] * sensed[j, k]
        q0, q1, q2, q3 = _solve_bit(inverse_bits[j], bits[0], r[j], z[j])
        rz[0], rz[1], rz[2], rz[3] = rz[0] + q0, rz[1] + q1, rz[2] + q2, rz[3] + q3
    begun = rz.copy()
    done = 0
    while True:
        residual = 0.0
        for k in range(CHUNK):
            if begun[k] > 0:
                residual = max(residual, np.sqrt(abs(rz[k]) / begun[k]))
        if residual <= tolerance or done == most:
            break
        for k in range(CHUNK):
            step[k] = rz[k] / before[k] if done > 0 and before[k] > 0 else 0.0
        done += 1
        _direct(g, inverse_words, words[0], step, z, r, p, tp, w)
        _curvature(g, inverse_words, words[0], p, tp, w, pq)
        for k in range(CHUNK):
            step[k] = rz[k] / pq[k] if pq[k] > 0 else 0.0
        before[:] = rz
        _advance(g, inverse_bits, bits[0], step, p, tp, w, b, r, z, rz)
    _words(g, words, inverse_words, driven, b, w)
    into[:] = 0
    out[:] = 0
    for j in range(units):
        for i in range(inputs):
            for k in range(CHUNK):
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


@njit(cache=True, fastmath=FAST, error_model="numpy")
def pass_lines(g, words, bits, tiles, passed):
    """Write the share of a terminal's voltage that reaches each cell along both of its lines.

    Along its word line, bit lines at 0 V, times along its bit line, word lines at 0 V. g and passed
    (units, inputs); words and bits as in `solve`; tiles (tiles, 4): first unit and the one after
    the last, and so for the inputs. Sums of positive numbers only, as in `take_word_line`.
    """
    pivot, feed, one = np.empty_like(g), np.empty_like(g), g.dtype.type(1)
    for t in range(tiles.shape[0]):
        j0, j1, i0, i1 = tiles[t, 0], tiles[t, 1], tiles[t, 2], tiles[t, 3]
        behind, fed = np.full(i1 - i0, words[1]), np.full(i1 - i0, words[1])
        for j in range(j0, j1):
            # Past the last node comes the far driver, or nothing.
            ahead = words[0] if j < j1 - 1 else words[2]
            for i in range(i1 - i0):
                own = behind[i] + g[j, i0 + i]
                pivot[j, i0 + i], feed[j, i0 + i] = own + ahead, fed[i]
                fed[i] = ahead * fed[i] / (own + ahead)
                behind[i] = ahead * own / (own + ahead)
        for j in range(j1 - 1, j0 - 1, -1):
            ahead = words[0] if j < j1 - 1 else words[2]
            below = j + 1 if j < j1 - 1 else j
            for i in range(i0, i1):
                after = passed[below, i] if j < j1 - 1 else one
                passed[j, i] = (feed[j, i] + ahead * after) / pivot[j, i]
        for j in range(j0, j1):
            near, flow = bits[1], bits[1]
            for i in range(i0, i1):
                ahead = bits[0] if i < i1 - 1 else bits[2]
                own = near + g[j, i]
                pivot[j, i], feed[j, i] = own + ahead, flow
                flow = ahead * flow / (own + ahead)
                near = ahead * own / (own + ahead)
            voltage = one
            for i in range(i1 - 1, i0 - 1, -1):
                ahead = bits[0] if i < i1 - 1 else bits[2]
                voltage = (feed[j, i] + ahead * voltage) / pivot[j, i]
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
