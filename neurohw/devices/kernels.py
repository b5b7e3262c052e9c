"""Compiled pass over an array: wanted change, device law with noise, limits, and what comes next.

One pass reads and writes every cell once. It adds the update, applies the law, clips, and on the
way sums the conductances of each unit and projects the next mini-batch. Cells are stored unit by
unit, `(units, inputs)`: along a unit's line everything streams, and the learning signals of the
unit are scalars in registers. Two units go together so that each load of an input serves both.
The readable equivalent is `neurohw.devices.programming.program`; the draws are those of
`neurohw.randomness`.

Rank and next batch are multiples of 4 here (the caller pads with zeros). A unit's numbers do not
depend on the thread that computes them.
"""

import os
from typing import Any

# Threads that wait must not spin for long: on a busy machine they would stop the ones that work.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

import numpy as np
from numba import get_num_threads, njit, prange, set_num_threads
from numpy.typing import NDArray

Array = NDArray[np.floating]

FAST = {"reassoc", "contract", "nsz", "arcp"}
# Inlined, because a process that compiles and one that loads from the cache would otherwise call
# unlike copies, which round unlike. Errors as in NumPy, because a check for zero in a loop that
# divides would keep it from being vectorised.
inner = njit(fastmath=FAST, error_model="numpy", forceinline=True)

# Half of the widest usual array: short tiles cost bookkeeping, long ones leave the L1 cache.
TILE = 784
IDEAL_TILE = 2 * TILE
# Cells in which pulses are looked for together, and a multiple of which are programmed at once.
VECTOR = 16
# Units that pulses reach one after the other with one set of scratch lines.
BLOCK = 16
# Below this many cells waking a second thread costs more than it saves.
SMALL = 1 << 18

f32 = np.float32
u32 = np.uint32
u64 = np.uint64
i32 = np.int32


@inner
def _key(stream, event):
    """Two 32-bit words of one event of a stream; see `randomness.key`."""
    x = u64(u64(stream ^ u64(event)) + u64(0x9E3779B97F4A7C15))
    x = u64(u64(x ^ (x >> u64(30))) * u64(0xBF58476D1CE4E5B9))
    x = u64(u64(x ^ (x >> u64(27))) * u64(0x94D049BB133111EB))
    x = u64(x ^ (x >> u64(31)))
    return u32(x & u64(0xFFFFFFFF)), u32(x >> u64(32))


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
def _derived(word):
    x = u32(word * u32(0x85EBCA6B))
    return u32(x ^ u32(x >> u32(16)))


@inner
def _fraction(word):
    return f32(i32(word >> u32(8))) * f32(2**-24) + f32(2**-25)


@inner
def _expm1(x):
    """Return e^x − 1 for |x| < 85, relative error 2e-7 also near 0."""
    k = np.rint(x * f32(1.4426950408889634))
    r = x - k * f32(0.693359375) + k * f32(2.12194440e-4)
    p = f32(1 / 5040)
    p = p * r + f32(1 / 720)
    p = p * r + f32(1 / 120)
    p = p * r + f32(1 / 24)
    p = p * r + f32(1 / 6)
    p = p * r + f32(0.5)
    p = p * r * r + r
    scale = i32((i32(k) + i32(127)) << i32(23)).view(f32)
    return scale * p + (scale - f32(1))


@inner
def _normal(cell, first, second):
    """One standard normal draw of the sum of a word's bytes; see `randomness.normals`."""
    word = _word(cell, first, second)
    both = u32(u32(word & u32(0x00FF00FF)) + u32(u32(word >> u32(8)) & u32(0x00FF00FF)))
    x = f32(i32(u32(u32(both + u32(both >> u32(16))) & u32(0x7FF)))) - f32(510.5)
    x += f32(i32(word & u32(0xFFFF))) * f32(2**-16)
    z = x * x
    p = f32(2.04836129e-19)
    p = p * z + f32(-2.86779481e-14)
    p = p * z + f32(5.14888911e-09)
    return (p * z + f32(0.00648107296)) * x


@inner
def _first_ranks(w0, w1, x, a0, a1, c0, c1, start, stop):
    """Write column + Σ x·a over the first four ranks as the wanted changes of two units."""
    p0, p1, p2, p3 = a0[0], a0[1], a0[2], a0[3]
    q0, q1, q2, q3 = a1[0], a1[1], a1[2], a1[3]
    x0, x1, x2, x3 = x[0, start:stop], x[1, start:stop], x[2, start:stop], x[3, start:stop]
    for i in range(stop - start):
        w0[i] = c0 + p0 * x0[i] + p1 * x1[i] + p2 * x2[i] + p3 * x3[i]
        w1[i] = c1 + q0 * x0[i] + q1 * x1[i] + q2 * x2[i] + q3 * x3[i]


@inner
def _other_ranks(w0, w1, x, a0, a1, start, stop):
    """Add Σ x·a over the ranks from the fifth on, four at a time."""
    for r in range(4, x.shape[0], 4):
        p0, p1, p2, p3 = a0[r], a0[r + 1], a0[r + 2], a0[r + 3]
        q0, q1, q2, q3 = a1[r], a1[r + 1], a1[r + 2], a1[r + 3]
        x0, x1 = x[r, start:stop], x[r + 1, start:stop]
        x2, x3 = x[r + 2, start:stop], x[r + 3, start:stop]
        for i in range(stop - start):
            w0[i] += p0 * x0[i] + p1 * x1[i] + p2 * x2[i] + p3 * x3[i]
            w1[i] += q0 * x0[i] + q1 * x1[i] + q2 * x2[i] + q3 * x3[i]


@inner
def _row_and_decay(w, g, row, decay):
    """Add what is not a product of two lines: row − decay · G."""
    for i in range(row.shape[0]):
        w[i] += row[i]
    if decay != f32(0):
        for i in range(g.shape[0]):
            w[i] -= decay * g[i]


@inner
def _rounded(v, per_siemens_up, per_siemens_down, up, down, cell, first, second):
    """Whole number of pulses for a wanted change, rounded stochastically."""
    rounding = f32(i32(_word(cell, first, second) >> u32(8))) * f32(2**-24)
    v = np.floor(v * (per_siemens_up if v > f32(0) else per_siemens_down) + rounding)
    return min(max(v, -down), up)


@inner
def _whole_pulses(n, length, per_siemens_up, per_siemens_down, up, down, cell, first, second, busy):
    """Replace wanted changes by whole numbers of pulses; add those of every VECTOR cells up."""
    vectors = length // VECTOR
    for c in range(vectors):
        total = f32(0)
        for k in range(VECTOR):
            i = c * VECTOR + k
            v = _rounded(
                n[i], per_siemens_up, per_siemens_down, up, down, u32(cell + u32(i)), first, second
            )
            n[i] = v
            total += abs(f32(v))
        busy[c] = total
    for i in range(vectors * VECTOR, length):
        n[i] = _rounded(
            n[i], per_siemens_up, per_siemens_down, up, down, u32(cell + u32(i)), first, second
        )


@inner
def _places(n, length, busy, vectors, places):
    """Write where the cells are that take pulses; return how many. No branch to mispredict."""
    whole = length // VECTOR
    count = 0
    for c in range(whole):
        vectors[count] = c
        count += 1 if busy[c] > f32(0) else 0
    found = 0
    for k in range(count):
        first = vectors[k] * VECTOR
        for i in range(first, first + VECTOR):
            places[found] = i
            found += 1 if n[i] != f32(0) else 0
    for i in range(whole * VECTOR, length):
        places[found] = i
        found += 1 if n[i] != f32(0) else 0
    return found


@inner
def _analog_pulses(w, length, per_siemens_up, per_siemens_down, up, down):
    """Replace wanted changes by the strengths, in pulses, of analog increments."""
    for i in range(length):
        n = w[i]
        n = n * (per_siemens_up if n > f32(0) else per_siemens_down)
        w[i] = min(max(n, -down), up)


@inner
def _select_alike(parameters, n, first, rate):
    """Write the law's parameters in the direction of each cell's pulses, all cells alike."""
    a, b = parameters[0, 2], parameters[0, 4]
    r, s = parameters[0, 3], parameters[0, 5]
    for i in range(n.shape[0]):
        up = n[i] > f32(0)
        first[i] = a if up else b
        rate[i] = r if up else s


@inner
def _select_each(parameters, place, n, low, high, first, rate):
    """Copy limits, and the law's parameters in the direction of the pulses, to lines."""
    for i in range(n.shape[0]):
        up = n[i] > f32(0)
        low[i], high[i] = parameters[place + i, 0], parameters[place + i, 1]
        first[i] = parameters[place + i, 2] if up else parameters[place + i, 4]
        rate[i] = parameters[place + i, 3] if up else parameters[place + i, 5]


@inner
def _moved_alike(parameters, g, n, family, variance):
    """Move cells that are all alike by n signed pulses; write the variance of their noise to n."""
    a, b = parameters[0, 2], parameters[0, 4]
    r, s = parameters[0, 3], parameters[0, 5]
    if family == 0:
        for i in range(g.shape[0]):
            v = n[i]
            g[i] += v * (a if v > f32(0) else b)
            n[i] = abs(v) * variance
    else:
        for i in range(g.shape[0]):
            v = n[i]
            target = a if v > f32(0) else b
            rate = r if v > f32(0) else s
            g[i] += (g[i] - target) * _expm1(max(-abs(v) * rate, f32(-80)))
            n[i] = abs(v) * variance


@inner
def _looked_up(table, place, column):
    """Column of a table at a place between 0 and 1, by straight lines."""
    at = place * f32(table.shape[0] - 1)
    k = min(i32(at), i32(table.shape[0] - 2))
    share = at - f32(k)
    return table[k, column] + (table[k + 1, column] - table[k, column]) * share


@inner
def _place(g, low, high):
    """Where between its limits a cell is, 0 to 1; 0 of one that is stuck."""
    span = high - low
    share = (g - low) / (span if span > f32(0) else f32(1))
    return min(max(share, f32(0)), f32(1))


@inner
def _sampled(table, place, column, word):
    """Step of the distribution at a place, of a uniform draw."""
    quantiles = (table.shape[1] - 2) // 2
    at = _fraction(word) * f32(quantiles - 1)
    k = min(i32(at), i32(quantiles - 2))
    share = at - f32(k)
    at_k = 2 + column * quantiles + k
    low, high = _looked_up(table, place, at_k), _looked_up(table, place, at_k + 1)
    return low + (high - low) * share


@inner
def _stepped(g, pulses, low, high, unit, table, sampled, word):
    """Change by signed pulses, looked up at every one of them."""
    zero = g * f32(0)
    column = 0 if pulses > f32(0) else 1
    steps = i32(np.ceil(abs(pulses)))
    size = abs(pulses) / f32(max(steps, i32(1)))
    unit = unit if pulses > f32(0) else -unit
    v = g + zero
    for _ in range(steps):
        place = _place(v, low, high)
        step = _looked_up(table, place, column)
        change = size * step
        if sampled:
            change += np.sqrt(size) * (_sampled(table, place, column, word) - step)
            word = _derived(u32(word + u32(0x9E3779B9)))
        v = min(max(v + unit * change, low), high)
    return v - g


@inner
def _changes(g, n, low, high, first, rate, change, family, table, words):
    """Write what n signed pulses change, and of tables the variance of a pulse for the rate."""
    if family == 0:
        for i in range(g.shape[0]):
            change[i] = n[i] * first[i]
    elif family == 1:
        for i in range(g.shape[0]):
            change[i] = (g[i] - first[i]) * _expm1(max(-abs(n[i]) * rate[i], f32(-80)))
    else:
        for i in range(g.shape[0]):
            unit = first[i]
            if family == 2:
                column = 2 if n[i] > f32(0) else 3
                deviation = unit * _looked_up(table, _place(g[i], low[i], high[i]), column)
                rate[i] = deviation * deviation
            change[i] = _stepped(g[i], n[i], low[i], high[i], unit, table, family == 3, words[i])


@inner
def _add_changes(g, n, change, rate, noise, family):
    """Add the changes; replace pulse counts by the variance of their noise."""
    variance, relative = noise
    if family == 2:
        for i in range(g.shape[0]):
            rate[i] += variance
    for i in range(g.shape[0]):
        g[i] += change[i]
    if family == 2:
        for i in range(g.shape[0]):
            size = abs(n[i])
            part = relative * change[i] * change[i] / (size if size > f32(0) else f32(1))
            n[i] = size * rate[i] + part
    elif relative > f32(0):
        for i in range(g.shape[0]):
            size = abs(n[i])
            part = relative * change[i] * change[i] / (size if size > f32(0) else f32(1))
            n[i] = size * variance + part
    else:
        for i in range(g.shape[0]):
            n[i] = abs(n[i]) * variance


@inner
def _limit(g, low, high):
    for i in range(g.shape[0]):
        g[i] = min(max(g[i], low[i]), high[i])


@inner
def _limit_with_noise(g, variance, low, high, cell, first, second):
    """Add noise to each cell, within its limits."""
    for i in range(g.shape[0]):
        v = g[i] + np.sqrt(variance[i]) * _normal(u32(cell + u32(i)), first, second)
        g[i] = min(max(v, low[i]), high[i])


@inner
def _written(g, n, low, high, write, variance):
    """Write the variance of the write noise of each cell that is to move."""
    for i in range(g.shape[0]):
        moves = n[i] != f32(0) and low[i] < high[i]
        write[i] = variance if moves else n[i] * f32(0)


@inner
def _read_anew(read, g, write, cell, first, second):
    """Write what is read of cells that moved: their state and the noise of writing."""
    for i in range(g.shape[0]):
        if write[i] > f32(0):
            v = g[i] + np.sqrt(write[i]) * _normal(u32(cell + u32(i)), first, second)
            read[i] = max(v, v * f32(0))


@inner
def _take(places, found, n, pulses):
    """Copy the pulses at places side by side."""
    for k in range(found):
        pulses[k] = n[places[k]]


@inner
def _gather(places, found, g, counts, cells, first, step, gathered):
    """Copy what the pulsed cells need, side by side; return their number, rounded up to vectors."""
    pulses, held, low, high, level, rate = gathered
    for k in range(found):
        i = places[k]
        v = pulses[k]
        c = first + i * step
        held[k] = g[i]
        low[k] = cells[c, 0]
        high[k] = cells[c, 1]
        column = 2 if v > f32(0) else 4
        level[k] = cells[c, column]
        rate[k] = cells[c, column + 1]
        if counts.shape[0] > 0:
            counts[i] += u32(i32(abs(v)))
    full = (found + VECTOR - 1) // VECTOR * VECTOR
    for k in range(found, full):
        places[k] = 0
        pulses[k], held[k], low[k], high[k], level[k], rate[k] = 0, 0, 0, 0, 0, 0
    return full


@inner
def _add_gathered_noise(full, places, held, variance, cell, first, second):
    """Add noise to gathered cells; the draws are those of dense ones."""
    for k in range(full):
        held[k] += np.sqrt(variance[k]) * _normal(u32(cell + u32(places[k])), first, second)


@inner
def _scatter(places, found, g, held, low, high):
    """Write gathered cells back, within their limits."""
    for k in range(found):
        g[places[k]] = min(max(held[k], low[k]), high[k])


@inner
def _scatter_read(places, found, read, g, write, cell, first, second):
    """As `_read_anew` for gathered cells, their states written back before."""
    for k in range(found):
        i = places[k]
        if write[k] > f32(0):
            v = g[i] + np.sqrt(write[k]) * _normal(u32(cell + u32(i)), first, second)
            read[i] = max(v, v * f32(0))


@inner
def _ideal_last_ranks(g0, g1, w0, w1, x, a0, a1, c0, c1, y, start, stop, low, high):
    """Add four ranks and the rest of the wanted change, clip, sum and project four samples."""
    p0, p1, p2, p3 = a0[0], a0[1], a0[2], a0[3]
    q0, q1, q2, q3 = a1[0], a1[1], a1[2], a1[3]
    x0, x1, x2, x3 = x[0, start:stop], x[1, start:stop], x[2, start:stop], x[3, start:stop]
    y0, y1, y2, y3 = y[0, start:stop], y[1, start:stop], y[2, start:stop], y[3, start:stop]
    zero = g0[0] * f32(0)
    s, s0, s1, s2, s3 = zero, zero, zero, zero, zero
    t, t0, t1, t2, t3 = zero, zero, zero, zero, zero
    for i in range(stop - start):
        u = g0[i] + w0[i] + c0 + p0 * x0[i] + p1 * x1[i] + p2 * x2[i] + p3 * x3[i]
        v = g1[i] + w1[i] + c1 + q0 * x0[i] + q1 * x1[i] + q2 * x2[i] + q3 * x3[i]
        u = min(max(u, low), high)
        v = min(max(v, low), high)
        g0[i] = u
        g1[i] = v
        s += u
        s0 += u * y0[i]
        s1 += u * y1[i]
        s2 += u * y2[i]
        s3 += u * y3[i]
        t += v
        t0 += v * y0[i]
        t1 += v * y1[i]
        t2 += v * y2[i]
        t3 += v * y3[i]
    return s, s0, s1, s2, s3, t, t0, t1, t2, t3


@inner
def _ideal_mirrored(g0, g1, h0, h1, x, a0, a1, c0, c1, y, start, stop, low, high):
    """As `_ideal_last_ranks` where inputs come in pairs of opposite voltage, h after g."""
    p0, p1, p2, p3 = a0[0], a0[1], a0[2], a0[3]
    q0, q1, q2, q3 = a1[0], a1[1], a1[2], a1[3]
    x0, x1, x2, x3 = x[0, start:stop], x[1, start:stop], x[2, start:stop], x[3, start:stop]
    y0, y1, y2, y3 = y[0, start:stop], y[1, start:stop], y[2, start:stop], y[3, start:stop]
    zero = g0[0] * f32(0)
    s, s0, s1, s2, s3 = zero, zero, zero, zero, zero
    t, t0, t1, t2, t3 = zero, zero, zero, zero, zero
    for i in range(stop - start):
        p = p0 * x0[i] + p1 * x1[i] + p2 * x2[i] + p3 * x3[i]
        q = q0 * x0[i] + q1 * x1[i] + q2 * x2[i] + q3 * x3[i]
        u = min(max(g0[i] + (c0 + p), low), high)
        v = min(max(h0[i] + (c0 - p), low), high)
        g0[i] = u
        h0[i] = v
        s += u + v
        u -= v
        s0 += u * y0[i]
        s1 += u * y1[i]
        s2 += u * y2[i]
        s3 += u * y3[i]
        u = min(max(g1[i] + (c1 + q), low), high)
        v = min(max(h1[i] + (c1 - q), low), high)
        g1[i] = u
        h1[i] = v
        t += u + v
        u -= v
        t0 += u * y0[i]
        t1 += u * y1[i]
        t2 += u * y2[i]
        t3 += u * y3[i]
    return s, s0, s1, s2, s3, t, t0, t1, t2, t3


@inner
def _project(g0, g1, y, start, stop):
    """Sum two units' tiles and project four samples through them."""
    y0, y1, y2, y3 = y[0, start:stop], y[1, start:stop], y[2, start:stop], y[3, start:stop]
    zero = g0[0] * f32(0)
    s, s0, s1, s2, s3 = zero, zero, zero, zero, zero
    t, t0, t1, t2, t3 = zero, zero, zero, zero, zero
    for i in range(stop - start):
        u, v = g0[i], g1[i]
        s += u
        s0 += u * y0[i]
        s1 += u * y1[i]
        s2 += u * y2[i]
        s3 += u * y3[i]
        t += v
        t0 += v * y0[i]
        t1 += v * y1[i]
        t2 += v * y2[i]
        t3 += v * y3[i]
    return s, s0, s1, s2, s3, t, t0, t1, t2, t3


@inner
def _store(sums, projection, b, j0, j1, s):
    """Add a tile's sums (for b = 0) and its projections of samples b to b + 3."""
    if b == 0:
        sums[j0] += s[0]
    projection[b, j0] += s[1]
    projection[b + 1, j0] += s[2]
    projection[b + 2, j0] += s[3]
    projection[b + 3, j0] += s[4]
    if j1 > j0:
        if b == 0:
            sums[j1] += s[5]
        projection[b, j1] += s[6]
        projection[b + 1, j1] += s[7]
        projection[b + 2, j1] += s[8]
        projection[b + 3, j1] += s[9]


@inner
def _ideal_pair(pair, g, nothing, lines, limits, coming):
    """Program two units of ideal cells; see `program_ideal`."""
    x, a, row, column, decay = lines
    low, high = limits
    y, projection, sums = coming
    units, inputs = g.shape
    events = x.shape[0]
    simple = _is_simple(lines)
    j0 = np.intp(2 * pair)
    j1 = min(j0 + 1, units - 1)
    g0 = g[j0]
    # The last of an odd number of units goes with a copy of itself, thrown away.
    g1 = g[j1] if j1 > j0 else g[j1].copy()
    w = nothing if simple else np.empty((2, IDEAL_TILE), g.dtype)
    w0, w1 = w[0], w[1]
    sums[j0] = 0
    sums[j1] = 0
    for b in range(y.shape[0]):
        projection[b, j0] = 0
        projection[b, j1] = 0
    lines_given = x.shape[2]
    if lines_given < inputs:
        c0, c1 = column[0, j0], column[0, j1]
        a0, a1 = a[0, :, j0], a[0, :, j1]
        for start in range(0, lines_given, TILE):
            stop = min(start + TILE, lines_given)
            u0, u1 = g0[start:stop], g1[start:stop]
            v0 = g0[lines_given + start : lines_given + stop]
            v1 = g1[lines_given + start : lines_given + stop]
            s = _ideal_mirrored(u0, u1, v0, v1, x[0], a0, a1, c0, c1, y, start, stop, low, high)
            _store(sums, projection, 0, j0, j1, s)
        return
    for start in range(0, inputs, IDEAL_TILE):
        stop = min(start + IDEAL_TILE, inputs)
        h0, h1 = g0[start:stop], g1[start:stop]
        for e in range(events):
            c0, c1 = column[e, j0], column[e, j1]
            if not simple:
                w0[:] = 0
                w1[:] = 0
                _other_ranks(w0, w1, x[e], a[e, :, j0], a[e, :, j1], start, stop)
                d0 = decay[e, j0] if decay.shape[1] > 0 else c0 * f32(0)
                d1 = decay[e, j1] if decay.shape[1] > 0 else c1 * f32(0)
                r = row[e, start:stop] if row.shape[1] > 0 else row[e]
                _row_and_decay(w0, h0, r, d0)
                _row_and_decay(w1, h1, r, d1)
            a0, a1 = a[e, :, j0], a[e, :, j1]
            s = _ideal_last_ranks(h0, h1, w0, w1, x[e], a0, a1, c0, c1, y, start, stop, low, high)
        _store(sums, projection, 0, j0, j1, s)
        for b in range(4, y.shape[0], 4):
            s = _project(h0, h1, y[b : b + 4], start, stop)
            _store(sums, projection, b, j0, j1, s)


@inner
def _is_simple(lines):
    """Whether an update is one event of four ranks and column sums, as most are."""
    x, _, row, _, decay = lines
    return x.shape[0] == 1 and x.shape[1] == 4 and row.shape[1] == 0 and decay.shape[1] == 0


@inner
def _device_pair(pair, g, read, pulses, lines, cells, first_event, coming):
    """Program two units of real cells; see `program_device`."""
    x, a, row, column, decay = lines
    parameters, table, family, whole, noisy = cells[:5]
    per_siemens_up, per_siemens_down, limit_up, limit_down = cells[5:9]
    noise, write_variance = cells[9:11], cells[11]
    cycle_stream, rounding_stream, write_stream, sample_stream = cells[12:]
    y, projection, sums = coming
    units, inputs = g.shape
    events = x.shape[0]
    # All cells alike: one set of parameters, which every index multiplied by 0 finds.
    stride = np.intp(0) if parameters.shape[0] == 1 else np.intp(1)
    # Most analog devices: what they do fits into one loop.
    short = not whole and stride == 0 and family < 2
    short = short and noise[1] == f32(0) and write_variance == f32(0)
    j0 = np.intp(2 * pair)
    j1 = min(j0 + 1, units - 1)
    w = np.empty((10, TILE + VECTOR), g.dtype)
    words = np.empty(TILE + VECTOR, np.uint32)
    places = np.empty(TILE + VECTOR, np.int32)
    vectors = np.empty(TILE // VECTOR + 1, np.int32)
    busy = np.empty(TILE // VECTOR + 1, np.float32)
    if stride == 0:
        w[2] = parameters[0, 0]
        w[3] = parameters[0, 1]
    sums[j0] = 0
    sums[j1] = 0
    for b in range(y.shape[0]):
        projection[b, j0] = 0
        projection[b, j1] = 0
    for start in range(0, inputs, TILE):
        stop = min(start + TILE, inputs)
        length = stop - start
        for e in range(events):
            first, second = _key(cycle_stream, first_event + e)
            round_first, round_second = _key(rounding_stream, first_event + e)
            write_first, write_second = _key(write_stream, first_event + e)
            sample_first, sample_second = _key(sample_stream, first_event + e)
            r = row[e, start:stop] if row.shape[1] > 0 else row[e]
            a0, a1 = a[e, :, j0], a[e, :, j1]
            c0, c1 = column[e, j0], column[e, j1]
            _first_ranks(w[0], w[1], x[e], a0, a1, c0, c1, start, stop)
            _other_ranks(w[0], w[1], x[e], a0, a1, start, stop)
            for k in range(j1 - j0 + 1):
                j = j0 + k
                n, line = w[k], g[j, start:stop]
                cell = u32(j * inputs + start)
                d = decay[e, j] if decay.shape[1] > 0 else column[e, j] * f32(0)
                _row_and_decay(n, line, r, d)
                place = (j * inputs + start) * stride
                found = 0
                if whole:
                    _whole_pulses(
                        n,
                        length,
                        per_siemens_up,
                        per_siemens_down,
                        limit_up,
                        limit_down,
                        cell,
                        round_first,
                        round_second,
                        busy,
                    )
                    found = _places(n, length, busy, vectors, places)
                    _take(places, found, n, w[8])
                    full = _gather(
                        places,
                        found,
                        line,
                        pulses[j, start:stop],
                        parameters,
                        place,
                        stride,
                        (w[8], w[9], w[4], w[5], w[6], w[7]),
                    )
                    taken, held = w[8, :full], w[9, :full]
                    low, high = w[4, :full], w[5, :full]
                else:
                    full = length
                    _analog_pulses(
                        n, length, per_siemens_up, per_siemens_down, limit_up, limit_down
                    )
                    taken, held = n[:full], line
                    if stride == 0:
                        low, high = w[2, :full], w[3, :full]
                        if not short:
                            _select_alike(parameters, taken, w[6], w[7])
                    else:
                        low, high = w[4, :full], w[5, :full]
                        _select_each(parameters, place, taken, low, high, w[6], w[7])
                level, rate = w[6, :full], w[7, :full]
                change = n[:full] if whole else w[8, :full]
                if family == 3:
                    for i in range(full):
                        at = places[i] if whole else i
                        words[i] = _word(u32(cell + u32(at)), sample_first, sample_second)
                if short:
                    _moved_alike(parameters, held, taken, family, noise[0])
                else:
                    _changes(held, taken, low, high, level, rate, change, family, table, words)
                    if write_variance > f32(0):
                        _written(held, taken, low, high, level, write_variance)
                    _add_changes(held, taken, change, rate, noise, family)
                if whole:
                    if noisy:
                        _add_gathered_noise(full, places, held, taken, cell, first, second)
                    _scatter(places, found, line, held, low, high)
                elif noisy:
                    _limit_with_noise(held, taken, low, high, cell, first, second)
                else:
                    _limit(held, low, high)
                if write_variance > f32(0):
                    seen = read[j, start:stop]
                    if whole:
                        _scatter_read(
                            places, found, seen, line, level, cell, write_first, write_second
                        )
                    else:
                        _read_anew(seen, line, level, cell, write_first, write_second)
        h0, h1 = read[j0, start:stop], read[j1, start:stop]
        for b in range(0, y.shape[0], 4):
            s = _project(h0, h1, y[b : b + 4], start, stop)
            _store(sums, projection, b, j0, j1, s)


@inner
def _apply_sparse(places, found, j, g, read, counts, cells, number, w, words):
    """Move the cells of unit j at places by the pulses in w[0]."""
    parameters, table, family, _, noisy = cells[:5]
    noise, write_variance = cells[9:11], cells[11]
    cycle_stream, _, write_stream, sample_stream = cells[12:]
    inputs = g.shape[1]
    stride = np.intp(0) if parameters.shape[0] == 1 else np.intp(1)
    cell = u32(j * inputs)
    line = g[j]
    counted = counts[j] if counts.shape[0] > 0 else counts[:0].reshape(-1)
    gathered = w[0], w[1], w[2], w[3], w[4], w[5]
    full = _gather(places, found, line, counted, parameters, j * inputs * stride, stride, gathered)
    taken, held, low, high = w[0, :full], w[1, :full], w[2, :full], w[3, :full]
    level, rate, change = w[4, :full], w[5, :full], w[6, :full]
    if family == 3:
        first, second = _key(sample_stream, number)
        for k in range(full):
            words[k] = _word(u32(cell + u32(places[k])), first, second)
    _changes(held, taken, low, high, level, rate, change, family, table, words)
    if write_variance > f32(0):
        _written(held, taken, low, high, level, write_variance)
    _add_changes(held, taken, change, rate, noise, family)
    if noisy:
        first, second = _key(cycle_stream, number)
        _add_gathered_noise(full, places, held, taken, cell, first, second)
    _scatter(places, found, line, held, low, high)
    if write_variance > f32(0):
        first, second = _key(write_stream, number)
        _scatter_read(places, found, read[j], line, level, cell, first, second)


@inner
def _busy_vectors(n, length, busy):
    """Add the magnitudes of every VECTOR numbers up."""
    for c in range(length // VECTOR):
        total = f32(0)
        for k in range(VECTOR):
            total += abs(f32(n[c * VECTOR + k]))
        busy[c] = total


@inner
def _ones(x):
    """Count the bits that are set."""
    x = u32(x - u32(u32(x >> u32(1)) & u32(0x55555555)))
    x = u32(u32(x & u32(0x33333333)) + u32(u32(x >> u32(2)) & u32(0x33333333)))
    x = u32(u32(x + u32(x >> u32(4))) & u32(0x0F0F0F0F))
    return u32(u32(x * u32(0x01010101)) >> u32(24))


@inner
def _coincide(n, length, slots, signs, above, below, sign, fresh, busy):
    """Count, or add to the count, where trains of input lines meet those of a unit, with sign."""
    vectors = length // VECTOR
    for c in range(vectors):
        total = f32(0)
        for k in range(VECTOR):
            i = c * VECTOR + k
            s = signs[i]
            met = f32(i32(_ones(u32(slots[i] & (above if s > f32(0) else below)))))
            v = sign * s * met + (f32(0) if fresh else f32(n[i]))
            n[i] = v
            total += abs(v)
        busy[c] = total
    for i in range(vectors * VECTOR, length):
        s = signs[i]
        met = f32(i32(_ones(u32(slots[i] & (above if s > f32(0) else below)))))
        n[i] = sign * s * met + (f32(0) if fresh else f32(n[i]))


@inner
def _pulse_unit(j, g, read, counts, wanted, trains, cells, first_number, scratch):
    """Give unit j's cells the pulses in wanted, or one for each coincidence where it is empty."""
    lines, count, slots, signs, above, below, unit_signs = trains
    limit_up, limit_down = cells[7], cells[8]
    given, terms = wanted.shape[0] > 0, slots.shape[1]
    inputs = g.shape[1]
    w, words, places, vectors, busy = scratch
    n = w[7]
    for e in range(1 if given else slots.shape[0]):
        length, fresh = inputs, True
        if given:
            n[:inputs] = wanted[j]
            _busy_vectors(n, inputs, busy)
            fresh = False
        else:
            length = count[e]
            for t in range(terms):
                up, down = above[e, t, j], below[e, t, j]
                if u32(up | down) != u32(0):
                    sign = unit_signs[e, t, j]
                    _coincide(n, length, slots[e, t], signs[e, t], up, down, sign, fresh, busy)
                    fresh = False
        if fresh:
            continue
        found = _places(n, length, busy, vectors, places)
        if found == 0:
            continue
        for k in range(found):
            v = n[places[k]]
            w[0, k] = min(max(v, -limit_down), limit_up)
            if not given:
                places[k] = lines[e, places[k]]
        _apply_sparse(places, found, j, g, read, counts, cells, first_number + e, w, words)


@njit(cache=True, fastmath=FAST, parallel=True)
def _pulse_units(g, read, counts, wanted, trains, cells, first_number):
    units, inputs = g.shape
    for block in prange((units + BLOCK - 1) // BLOCK):
        scratch = (
            np.empty((8, inputs + VECTOR), g.dtype),
            np.empty(inputs + VECTOR, np.uint32),
            np.empty(inputs + VECTOR, np.int32),
            np.empty(inputs // VECTOR + 1, np.int32),
            np.empty(inputs // VECTOR + 1, np.float32),
        )
        for j in range(block * BLOCK, min((block + 1) * BLOCK, units)):
            _pulse_unit(j, g, read, counts, wanted, trains, cells, first_number, scratch)


@njit(cache=True, fastmath=FAST)
def draw_trains(chances, lengths, stream, first_number, slots):
    """Draw the pulses of trains: bit k of slots[e, t, i] is set with chances[e, t, i].

    chances and slots (groups, terms, lines) float32 and uint32; lengths (groups, terms) int32,
    slots in use, at most 31. Oracle: `neurohw.devices.trains.drawn`.
    """
    groups, terms, lines = chances.shape
    for e in range(groups):
        for t in range(terms):
            first, second = _key(stream, (first_number + e) * terms + t)
            p, out = chances[e, t], slots[e, t]
            out[:] = 0
            for k in range(lengths[e, t]):
                for i in range(lines):
                    draw = f32(i32(_word(u32(k * lines + i), first, second) >> u32(8)))
                    out[i] |= u32(u32(1 if draw * f32(2**-24) < p[i] else 0) << u32(k))


@njit(cache=True)
def drop_silent(slots, signs, lines, count):
    """Move the lines of each group that have a pulse to its front, in place.

    slots and signs (groups, terms, lines); results lines (groups, lines) int32 and count (groups,)
    int32, which lines they are and how many.
    """
    groups, terms, inputs = slots.shape
    for e in range(groups):
        found = 0
        for i in range(inputs):
            any_slot = u32(0)
            for t in range(terms):
                slot, sign = slots[e, t, i], signs[e, t, i]
                slots[e, t, found], signs[e, t, found] = slot, sign
                any_slot = u32(any_slot | slot)
            lines[e, found] = i
            found += 1 if any_slot != u32(0) else 0
        count[e] = found


@njit(cache=True, fastmath=FAST)
def _program_ideal_one(g, lines, limits, coming):
    nothing = np.zeros((2, IDEAL_TILE), g.dtype)
    for pair in range((g.shape[0] + 1) // 2):
        _ideal_pair(pair, g, nothing, lines, limits, coming)


@njit(cache=True, fastmath=FAST, parallel=True)
def _program_ideal_all(g, lines, limits, coming):
    nothing = np.zeros((2, IDEAL_TILE), g.dtype)
    for pair in prange((g.shape[0] + 1) // 2):
        _ideal_pair(pair, g, nothing, lines, limits, coming)


@njit(cache=True, fastmath=FAST)
def _program_device_one(g, read, pulses, lines, cells, first_event, coming):
    for pair in range((g.shape[0] + 1) // 2):
        _device_pair(pair, g, read, pulses, lines, cells, first_event, coming)


@njit(cache=True, fastmath=FAST, parallel=True)
def _program_device_all(g, read, pulses, lines, cells, first_event, coming):
    for pair in prange((g.shape[0] + 1) // 2):
        _device_pair(pair, g, read, pulses, lines, cells, first_event, coming)


@njit(cache=True, fastmath=FAST, parallel=True)
def _input_sums(g, partial):
    units, inputs = g.shape
    blocks = partial.shape[0]
    for block in prange(blocks):
        out = partial[block]
        for i in range(inputs):
            out[i] = 0
        for j in range(block * units // blocks, (block + 1) * units // blocks):
            line = g[j]
            for i in range(inputs):
                out[i] += line[i]


def program_ideal(g: Array, lines: Any, limits: Any, coming: Any) -> None:
    """Add an update to an array of ideal cells, clip it, and project the next mini-batch.

    Parameters
    ----------
    g : (units, inputs) array [S]
        Changed in place.
    lines : tuple
        x (event, rank, inputs), a (event, rank, units), row (event, inputs or 0), column (event,
        units) and decay (event, units or 0), as in `neurohw.update.Update`.
    limits : tuple
        low, high [S].
    coming : tuple
        y (next batch, inputs) [V]; results projection (next batch, units) [A], sums (units,) [S].

    x and y may cover the first half of the inputs only; the others then carry the opposite. Such
    an update has one event, ranks and next batch of 4, and neither row nor decay.
    """
    (_program_ideal_one if g.size < SMALL else _program_ideal_all)(g, lines, limits, coming)


def program_device(
    g: Array, read: Array, pulses: Any, lines: Any, cells: Any, first_event: int, coming: Any
) -> None:
    """Program an array of real cells, pulse by pulse, and project the next mini-batch.

    g, lines, coming as in `program_ideal`; read (units, inputs) [S] is what is read of the cells,
    g itself where writing has no noise. The wanted change times `per_siemens` [1/S] is a number of
    pulses, rounded stochastically where `whole`, held within the limits, and counted in pulses
    (units, inputs). Cells move along their law, then by its noise, within low and high [S].

    cells : tuple
        parameters (cells, 6), in the order of g or one for all: low [S], high [S], and for up and
        down the two of `neurohw.devices.law.Law`; its table; number of the family in
        `law.FAMILIES`; whole; noisy; for up and down `per_siemens`, then limits of pulses;
        variances of a pulse's noise [S²], of its relative noise, of the write noise [S²]; streams
        of cycle, rounding, write and sample.
    """
    program = _program_device_one if g.size < SMALL else _program_device_all
    program(g, read, pulses, lines, cells, first_event, coming)


def pulse(g: Array, read: Array, counts: Any, wanted: Array, cells: Any, number: int) -> None:
    """Give each cell a number of pulses, in one event, through its law.

    g, read, counts, cells as in `program_device` (counts without entries where none are kept);
    wanted (units, inputs) signed pulses, of the dtype of g; number the event's.
    """
    lines, slots = np.zeros((1, 1), np.int32), np.zeros((1, 1, 1), np.uint32)
    signs = np.zeros((1, 1, 1), np.float32)
    silent = lines, lines[0], slots, signs, slots, slots, signs
    _on_threads(g, read, counts, wanted, silent, cells, number)


def coincide(
    g: Array, read: Array, counts: Any, trains: Any, cells: Any, first_number: int
) -> None:
    """Give each cell a pulse for each slot in which the trains of both its lines have one.

    g, read, counts, cells as in `pulse`. Groups follow one another, each an event with a number
    of its own; the terms of a group are added up in every cell before it takes pulses.

    trains : tuple
        lines (group, inputs) and count (group,) as from `drop_silent`; slots and signs (group,
        term, inputs) of input lines; for units (group, term, units) slots against lines of
        positive sign, slots against lines of negative sign, and signs.
    """
    _on_threads(g, read, counts, g[:0], trains, cells, first_number)


def _on_threads(g: Array, *arguments: Any) -> None:
    """Run `_pulse_units`, a small array on one thread."""
    threads = get_num_threads()
    set_num_threads(1 if g.size < SMALL else threads)
    try:
        _pulse_units(g, *arguments)
    finally:
        set_num_threads(threads)


def input_sums(g: Array, partial: Array) -> None:
    """Sum an array's conductances over its units, block by block: partial (blocks, inputs) [S]."""
    _input_sums(g, partial)
