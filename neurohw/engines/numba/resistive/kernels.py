"""Compiled relaxation of a deep resistive network; the oracle is `neurohw.engines.numpy`.

Units are set block by block. While a block's lines are at hand, the current that its units feed
back into the layer below is added up from the lines of those that conduct. So the feedback into a
layer always belongs to the present voltages above it.

Batches are multiples of 4 (the caller pads). Large arrays are cut into blocks of units, always
the same ones, so that sums come out bitwise equal on any number of threads.
"""

import numpy as np
from numba import njit, prange

FAST = {"reassoc", "contract", "nsz", "arcp"}
# See `neurohw.devices.kernels` for why.
inner = njit(fastmath=FAST, error_model="numpy", forceinline=True)

f32 = np.float32


@inner
def _held(v, low, high):
    """Voltage of a node, held by its diodes.

    Comparisons, because `min` and `max` would turn a NaN into a limit.
    """
    v = low if v < low else v
    return high if v > high else v


@inner
def _along(coupling, j, v, b, out):
    """Write what unit j gets along its wires from the units of its tile, for samples b to b + 3."""
    line, tile = coupling[j], coupling.shape[1]
    first = j // tile * tile
    stop = min(first + tile, v.shape[1])
    x0, x1 = v[b, first:stop], v[b + 1, first:stop]
    x2, x3 = v[b + 2, first:stop], v[b + 3, first:stop]
    zero = line[0] * f32(0)
    p0, p1, p2, p3 = zero, zero, zero, zero
    for i in range(stop - first):
        p0 += line[i] * x0[i]
        p1 += line[i] * x1[i]
        p2 += line[i] * x2[i]
        p3 += line[i] * x3[i]
    out[0], out[1], out[2], out[3] = p0, p1, p2, p3


@inner
def _update_first(projection, back, current, inverse, low, high, coupling, v):
    """Set the layer above the driven array."""
    if coupling is None:
        for b in range(v.shape[0]):
            line, feed, out = projection[b], back[0, b], v[b]
            for i in range(out.shape[0]):
                out[i] = _held((line[i] + feed[i] + current[i]) * inverse[i], low[i], high[i])
    else:
        along = np.empty(4, v.dtype)
        for b in range(0, v.shape[0], 4):
            for i in range(v.shape[1]):
                _along(coupling, i, v, b, along)
                for row in range(b, b + 4):
                    c = projection[row, i] + back[0, row, i] + current[i] + along[row - b]
                    v[row, i] = _held(c * inverse[i], low[i], high[i])


@inner
def _dots(g0, g1, g2, g3, v, b, out):
    """Write the products of four units' lines with samples b to b + 3 to out (units, samples)."""
    x0, x1, x2, x3 = v[b], v[b + 1], v[b + 2], v[b + 3]
    zero = g0[0] * f32(0)
    p0, p1, p2, p3 = zero, zero, zero, zero
    q0, q1, q2, q3 = zero, zero, zero, zero
    s0, s1, s2, s3 = zero, zero, zero, zero
    t0, t1, t2, t3 = zero, zero, zero, zero
    for i in range(g0.shape[0]):
        a0, a1, a2, a3 = x0[i], x1[i], x2[i], x3[i]
        p0 += g0[i] * a0
        p1 += g0[i] * a1
        p2 += g0[i] * a2
        p3 += g0[i] * a3
        q0 += g1[i] * a0
        q1 += g1[i] * a1
        q2 += g1[i] * a2
        q3 += g1[i] * a3
        s0 += g2[i] * a0
        s1 += g2[i] * a1
        s2 += g2[i] * a2
        s3 += g2[i] * a3
        t0 += g3[i] * a0
        t1 += g3[i] * a1
        t2 += g3[i] * a2
        t3 += g3[i] * a3
    out[0, 0], out[0, 1], out[0, 2], out[0, 3] = p0, p1, p2, p3
    out[1, 0], out[1, 1], out[1, 2], out[1, 3] = q0, q1, q2, q3
    out[2, 0], out[2, 1], out[2, 2], out[2, 3] = s0, s1, s2, s3
    out[3, 0], out[3, 1], out[3, 2], out[3, 3] = t0, t1, t2, t3


@inner
def _add_lines(g0, g1, g2, g3, u, out, b):
    """Add what four units at voltages u (samples, units) feed back for samples b to b + 3."""
    y0, y1, y2, y3 = out[b], out[b + 1], out[b + 2], out[b + 3]
    p0, p1, p2, p3 = u[0, 0], u[0, 1], u[0, 2], u[0, 3]
    q0, q1, q2, q3 = u[1, 0], u[1, 1], u[1, 2], u[1, 3]
    s0, s1, s2, s3 = u[2, 0], u[2, 1], u[2, 2], u[2, 3]
    t0, t1, t2, t3 = u[3, 0], u[3, 1], u[3, 2], u[3, 3]
    for i in range(g0.shape[0]):
        a0, a1, a2, a3 = g0[i], g1[i], g2[i], g3[i]
        y0[i] += a0 * p0 + a1 * p1 + a2 * p2 + a3 * p3
        y1[i] += a0 * q0 + a1 * q1 + a2 * q2 + a3 * q3
        y2[i] += a0 * s0 + a1 * s1 + a2 * s2 + a3 * s3
        y3[i] += a0 * t0 + a1 * t1 + a2 * t2 + a3 * t3


@inner
def _feed_back(g, v, out, first, stop):
    """Write the current that the units first to stop feed into the layer below."""
    u = np.zeros((4, 4), g.dtype)
    lines = np.zeros(4, np.intp)
    out[:] = 0
    for b in range(0, v.shape[0], 4):
        found = 0
        for j in range(first, stop):
            u0, u1, u2, u3 = v[b, j], v[b + 1, j], v[b + 2, j], v[b + 3, j]
            # Most hidden units are held at 0 V, and feed back nothing.
            if u0 != f32(0) or u1 != f32(0) or u2 != f32(0) or u3 != f32(0):
                lines[found] = j
                u[0, found], u[1, found], u[2, found], u[3, found] = u0, u1, u2, u3
                found += 1
            if found == 4 or (j == stop - 1 and found > 0):
                u[:, found:] = 0
                _add_lines(g[lines[0]], g[lines[1]], g[lines[2]], g[lines[3]], u, out, b)
                found = 0


@inner
def _update_block(
    g, below, back, current, total, low, high, strength, target, coupling, v, out, first, stop
):
    """Set the units first to stop, and write to `out` what they feed into the layer below."""
    sums = np.empty((4, 4), g.dtype)
    if coupling is not None:
        along = np.empty(4, g.dtype)
    for j in range(first, stop, 4):
        units = min(4, stop - j)
        g0, g1 = g[j], g[min(j + 1, stop - 1)]
        g2, g3 = g[min(j + 2, stop - 1)], g[min(j + 3, stop - 1)]
        for b in range(0, v.shape[0], 4):
            _dots(g0, g1, g2, g3, below, b, sums)
            for k in range(units):
                if coupling is not None:
                    _along(coupling, j + k, v, b, along)
                for row in range(b, b + 4):
                    c = sums[k, row - b] + back[0, row, j + k] + current[j + k]
                    if coupling is not None:
                        c += along[row - b]
                    t = total[j + k]
                    if strength.shape[0] > 0:
                        c += strength[row] * target[row, j + k]
                        t += strength[row]
                    c = c / t if t != f32(0) else c * f32(0)
                    v[row, j + k] = _held(c, low[j + k], high[j + k])
    _feed_back(g, v, out, first, stop)


@njit(fastmath=FAST, parallel=True)
def _update_blocks(g, below, back, current, total, low, high, strength, target, v, out):
    units, blocks = g.shape[0], out.shape[0]
    for block in prange(blocks):
        first, stop = block * units // blocks, (block + 1) * units // blocks
        _update_block(
            g,
            below,
            back,
            current,
            total,
            low,
            high,
            strength,
            target,
            None,
            v,
            out[block],
            first,
            stop,
        )


@inner
def _update(g, below, back, current, total, low, high, strength, target, coupling, v, out):
    """Set a layer and what it feeds back, large arrays block by block on all threads."""
    if out.shape[0] == 1 or coupling is not None:
        units = g.shape[0]
        _update_block(
            g,
            below,
            back,
            current,
            total,
            low,
            high,
            strength,
            target,
            coupling,
            v,
            out[0],
            0,
            units,
        )
    else:
        _update_blocks(g, below, back, current, total, low, high, strength, target, v, out)
        _gather(out)


@njit(fastmath=FAST, parallel=True)
def _feed_back_blocks(g, v, out):
    units, blocks = g.shape[0], out.shape[0]
    for block in prange(blocks):
        _feed_back(g, v, out[block], block * units // blocks, (block + 1) * units // blocks)


@inner
def _gather(back):
    """Add the blocks' shares of the feedback into the first, in order."""
    for block in range(1, back.shape[0]):
        for b in range(back.shape[1]):
            total, share = back[0, b], back[block, b]
            for i in range(total.shape[0]):
                total[i] += share[i]


@inner
def _repeat(few, many, batch):
    """Fill the first `batch` lines of `many` with copies of `few`, the rest with zeros."""
    for b in range(many.shape[0]):
        if b < batch:
            many[b] = few[b % few.shape[0]]
        else:
            many[b] = 0


@njit(cache=True, fastmath=FAST)
def relax(
    arrays,
    projection,
    currents,
    conductances,
    unit_sums,
    input_sums,
    couplings,
    lows,
    highs,
    strength,
    target,
    start,
    carry,
    batch,
    from_zero,
    fresh,
    state,
    backs,
    sweeps,
    tolerance,
    rounding,
):
    """Sweep until done; return (sweeps done, residual, whether every voltage is finite).

    arrays: for each free layer but the first, its (units, inputs) array [S], and input_sums their
    sums over units; unit_sums of every array [S]; couplings, (units, tile) a free layer, what
    wires couple its nodes with, each with those of its own tile [S], each layer then in one block,
    or all None; projection (rows, units) into the first layer [A]; currents [A] and conductances
    [S] of sources, lows and highs [V], (units,) a free layer;
    strength (rows,) [S] and target (rows, outputs) [V], or empty; start (few, units) a free layer
    [V], repeated, unless `from_zero`; carry, likewise, the feedback at `start`, unless `fresh`;
    state (rows, units) a free layer [V], the result; backs (blocks, rows, units) [A] a free
    layer, workspace that ends with the feedback at `state` in its first block; rounding, the
    share of the largest voltage below which no change counts in a nudged phase. Rows from `batch`
    on are padding. The collections are tuples of arrays of equal type.
    """
    layers = len(state)
    nothing_strength, nothing_target = strength[:0], target[:0]
    size = 0
    for k in range(layers):
        size = max(size, state[k].shape[1])
        if from_zero:
            state[k][:] = 0
        else:
            _repeat(start[k], state[k], batch)
    totals = np.zeros((layers, size), projection.dtype)
    for k in range(layers):
        for i in range(state[k].shape[1]):
            totals[k, i] = unit_sums[k][i] + conductances[k][i]
            if k + 1 < layers:
                totals[k, i] += input_sums[k][i]
    # Where no conductance meets a node, it rests at 0 V.
    inverse = np.zeros(state[0].shape[1], projection.dtype)
    for i in range(inverse.shape[0]):
        if totals[0, i] != f32(0):
            inverse[i] = f32(1) / totals[0, i]
    backs[layers - 1][:] = 0
    for k in range(1, layers):
        back = backs[k - 1]
        if not fresh:
            _repeat(carry[k - 1], back[0], batch)
        elif from_zero:
            back[0][:] = 0
        elif back.shape[0] == 1:
            _feed_back(arrays[k - 1], state[k], back[0], 0, state[k].shape[1])
        else:
            _feed_back_blocks(arrays[k - 1], state[k], back)
            _gather(back)
    nudging = strength.shape[0] > 0
    before = np.empty((layers, state[0].shape[0], size), projection.dtype)
    done = 0
    residual = np.inf
    while done < sweeps:
        done += 1
        watched = tolerance > 0 or done == sweeps
        if watched:
            for k in range(layers):
                before[k, :, : state[k].shape[1]] = state[k]
        for parity in range(2):
            for k in range(parity, layers, 2):
                if k == 0:
                    _update_first(
                        projection,
                        backs[0],
                        currents[0],
                        inverse,
                        lows[0],
                        highs[0],
                        couplings[0],
                        state[0],
                    )
                    continue
                nudged = k == layers - 1
                _update(
                    arrays[k - 1],
                    state[k - 1],
                    backs[k],
                    currents[k],
                    totals[k],
                    lows[k],
                    highs[k],
                    strength if nudged else nothing_strength,
                    target if nudged else nothing_target,
                    couplings[k],
                    state[k],
                    backs[k - 1],
                )
        if watched:
            residual = 0.0
            for k in range(layers):
                change, largest, gone, finite = _extent(before[k], state[k], start[k], batch)
                if not finite:
                    return done, np.inf, False
                if nudging:
                    change = max(change, rounding * largest)
                    largest = largest if from_zero else gone
                if largest > 0:
                    residual = max(residual, change / largest)
            if tolerance > 0 and residual < tolerance and done >= layers:
                break
    return done, residual, True


@inner
def _extent(before, v, start, batch):
    """Return the largest change of a voltage, the largest |v|, the largest distance from the start.

    Last, whether all are finite: what is not shows in a sum of zeros, which, unlike a maximum or
    isfinite, reassociation leaves alone.
    """
    zero = v[0, 0] * f32(0)
    change, largest, gone, zeros = zero, zero, zero, zero
    for b in range(batch):
        line, old, first = v[b], before[b], start[b % start.shape[0]]
        for i in range(line.shape[0]):
            zeros += line[i] * f32(0)
            size, moved, away = abs(line[i]), abs(line[i] - old[i]), abs(line[i] - first[i])
            largest = size if size > largest else largest
            change = moved if moved > change else change
            gone = away if away > gone else gone
    return float(change), float(largest), float(gone), zeros == f32(0)
