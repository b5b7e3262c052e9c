"""Compiled relaxation of a deep resistive network; the oracle is `neurohw.engines.numpy`.

Every array between free layers is read once a sweep. When a unit's line is at hand its new
voltage is computed from it, and at once the current that the unit feeds back into the layer below
is added up. So the feedback into a layer always belongs to the present voltages above it.

Batches are multiples of 4 (the caller pads). Large arrays are cut into blocks of units, always
the same ones, so that sums come out bitwise equal on any number of threads.
"""

import numpy as np
from numba import njit, prange

FAST = {"reassoc", "contract", "nsz", "arcp"}

f32 = np.float32


@njit(fastmath=FAST, inline="always")
def _settle(current, total, low, high):
    """Voltage of a node, held by its diodes; 0 V where no conductance meets it.

    Comparisons, because `min` and `max` would turn a NaN into a limit.
    """
    v = current / total if total != f32(0) else current * f32(0)
    v = low if v < low else v
    return high if v > high else v


@njit(fastmath=FAST)
def _update_first(projection, back, current, total, low, high, v):
    """Set the layer above the driven array; return the largest change of voltage."""
    change = v[0, 0] * f32(0)
    for b in range(v.shape[0]):
        line, feed, out = projection[b], back[0, b], v[b]
        for i in range(out.shape[0]):
            new = _settle(line[i] + feed[i] + current[i], total[i], low[i], high[i])
            change = max(change, abs(new - out[i]))
            out[i] = new
    return change


@njit(fastmath=FAST)
def _dots(g0, g1, v, b, out):
    """Write the products of two units' lines with four samples to out[0:4], out[4:8]."""
    x0, x1, x2, x3 = v[b], v[b + 1], v[b + 2], v[b + 3]
    zero = g0[0] * f32(0)
    s0, s1, s2, s3 = zero, zero, zero, zero
    t0, t1, t2, t3 = zero, zero, zero, zero
    for i in range(g0.shape[0]):
        u, w = g0[i], g1[i]
        s0 += u * x0[i]
        s1 += u * x1[i]
        s2 += u * x2[i]
        s3 += u * x3[i]
        t0 += w * x0[i]
        t1 += w * x1[i]
        t2 += w * x2[i]
        t3 += w * x3[i]
    out[0], out[1], out[2], out[3] = s0, s1, s2, s3
    out[4], out[5], out[6], out[7] = t0, t1, t2, t3


@njit(fastmath=FAST)
def _feed_back(g0, g1, v, j0, j1, b, out):
    """Add the current that two units feed into the layer below, for four samples."""
    y0, y1, y2, y3 = out[b], out[b + 1], out[b + 2], out[b + 3]
    u0, u1, u2, u3 = v[b, j0], v[b + 1, j0], v[b + 2, j0], v[b + 3, j0]
    keep = f32(1) if j1 > j0 else f32(0)
    w0, w1, w2, w3 = v[b, j1] * keep, v[b + 1, j1] * keep, v[b + 2, j1] * keep, v[b + 3, j1] * keep
    # Most hidden units are held at 0 V, and feed back nothing.
    if max(abs(u0), abs(u1), abs(u2), abs(u3), abs(w0), abs(w1), abs(w2), abs(w3)) == f32(0):
        return
    for i in range(g0.shape[0]):
        p, q = g0[i], g1[i]
        y0[i] += p * u0 + q * w0
        y1[i] += p * u1 + q * w1
        y2[i] += p * u2 + q * w2
        y3[i] += p * u3 + q * w3


@njit(fastmath=FAST)
def _feed_back_block(g, v, out, first, stop):
    out[:] = 0
    for j in range(first, stop, 2):
        j1 = min(j + 1, stop - 1)
        for b in range(0, v.shape[0], 4):
            _feed_back(g[j], g[j1], v, j, j1, b, out)


@njit(fastmath=FAST)
def _update_block(g, below, back, current, total, low, high, strength, target, v, out, first, stop):
    """Set the units first to stop, and write to `out` what they feed into the layer below."""
    batch = v.shape[0]
    change = v[0, 0] * f32(0)
    sums = np.empty(8, g.dtype)
    out[:] = 0
    for j in range(first, stop, 2):
        j1 = min(j + 1, stop - 1)
        g0, g1 = g[j], g[j1]
        for b in range(0, batch, 4):
            _dots(g0, g1, below, b, sums)
            for k in range(8):
                unit = j if k < 4 else j1
                row = b + k % 4
                c = sums[k] + current[unit]
                t = total[unit]
                for block in range(back.shape[0]):
                    c += back[block, row, unit]
                if strength.shape[0] > 0:
                    c += strength[row] * target[row, unit]
                    t += strength[row]
                new = _settle(c, t, low[unit], high[unit])
                change = max(change, abs(new - v[row, unit]))
                v[row, unit] = new
            _feed_back(g0, g1, v, j, j1, b, out)
    return change


@njit(fastmath=FAST, parallel=True)
def _update_blocks(g, below, back, current, total, low, high, strength, target, v, out, changes):
    units, blocks = g.shape[0], out.shape[0]
    for block in prange(blocks):
        first, stop = block * units // blocks, (block + 1) * units // blocks
        changes[block] = _update_block(
            g, below, back, current, total, low, high, strength, target, v, out[block], first, stop
        )


@njit(fastmath=FAST, parallel=True)
def _feed_back_blocks(g, v, out):
    units, blocks = g.shape[0], out.shape[0]
    for block in prange(blocks):
        _feed_back_block(g, v, out[block], block * units // blocks, (block + 1) * units // blocks)


@njit(fastmath=FAST)
def _gather(back):
    """Add the blocks' shares of the feedback into the first, in order."""
    for block in range(1, back.shape[0]):
        for b in range(back.shape[1]):
            total, share = back[0, b], back[block, b]
            for i in range(total.shape[0]):
                total[i] += share[i]


@njit
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
):
    """Sweep until done; return (sweeps done, residual, whether every voltage is finite).

    arrays: for each free layer but the first, its (units, inputs) array [S], and input_sums their
    sums over units; unit_sums of every array [S]; projection (rows, units) into the first layer
    [A]; currents [A] and conductances [S] of sources, lows and highs [V], (units,) a free layer;
    strength (rows,) [S] and target (rows, outputs) [V], or empty; start (few, units) a free layer
    [V], repeated, unless `from_zero`; carry, likewise, the feedback at `start`, unless `fresh`;
    state (rows, units) a free layer [V], the result; backs (blocks, rows, units) [A] a free
    layer, workspace that ends with the feedback at `state` in its first block. Rows from `batch`
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
    backs[layers - 1][:] = 0
    for k in range(1, layers):
        back = backs[k - 1]
        if not fresh:
            _repeat(carry[k - 1], back[0], batch)
        elif from_zero:
            back[0][:] = 0
        elif back.shape[0] == 1:
            _feed_back_block(arrays[k - 1], state[k], back[0], 0, state[k].shape[1])
        else:
            _feed_back_blocks(arrays[k - 1], state[k], back)
            _gather(back)
    done = 0
    residual = np.inf
    largest = 0.0
    while done < sweeps:
        change = 0.0
        for parity in range(2):
            for k in range(parity, layers, 2):
                if k == 0:
                    c = _update_first(
                        projection, backs[0], currents[0], totals[0], lows[0], highs[0], state[0]
                    )
                    change = max(change, float(c))
                    continue
                s = strength if k == layers - 1 else nothing_strength
                t = target if k == layers - 1 else nothing_target
                out = backs[k - 1]
                if out.shape[0] == 1:
                    c = _update_block(
                        arrays[k - 1],
                        state[k - 1],
                        backs[k][:1],
                        currents[k],
                        totals[k],
                        lows[k],
                        highs[k],
                        s,
                        t,
                        state[k],
                        out[0],
                        0,
                        state[k].shape[1],
                    )
                    change = max(change, float(c))
                else:
                    changes = np.empty(out.shape[0], state[k].dtype)
                    _update_blocks(
                        arrays[k - 1],
                        state[k - 1],
                        backs[k][:1],
                        currents[k],
                        totals[k],
                        lows[k],
                        highs[k],
                        s,
                        t,
                        state[k],
                        out,
                        changes,
                    )
                    for block in range(changes.shape[0]):
                        change = max(change, float(changes[block]))
                    _gather(out)
        done += 1
        largest = 0.0
        for k in range(layers):
            largest = max(largest, _largest(state[k]))
        # Not isfinite, which reassociation folds to True.
        if largest == np.inf:
            return done, largest, False
        residual = change / largest if largest > 0 else 0.0
        if tolerance > 0 and residual < tolerance:
            break
    return done, residual, True


@njit(fastmath=FAST)
def _largest(v):
    """Return the largest |v|, infinite where a voltage is NaN or infinite."""
    largest = v[0, 0] * f32(0)
    finite = True
    for b in range(v.shape[0]):
        line = v[b]
        for i in range(line.shape[0]):
            size = abs(line[i])
            largest = max(largest, size)
            finite &= size < f32(np.inf)
    return float(largest) if finite else np.inf
