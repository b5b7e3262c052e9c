"""Compiled course of a dendritic microcircuit; the oracle is `neurohw.engines.dendritic`."""

import numpy as np
from numba import njit

FAST = {"reassoc", "contract", "nsz", "arcp"}
inner = njit(fastmath=FAST, error_model="numpy")


@inner
def rate_of(u, soft):
    """Return φ: 0.1·ln(1 + e^(u − 3)) where soft, else the logistic function."""
    if soft:
        x = u - 3.0
        return 0.1 * (max(x, 0.0) + np.log1p(np.exp(-abs(x))))
    return 0.5 + 0.5 * np.tanh(0.5 * u)


# Each loop stands once, over lists of what it does: compiled in seconds, whatever the layers.
@njit(cache=True, fastmath=FAST, error_model="numpy")
def present(
    firing,
    products,
    apical,
    pulls,
    errors,
    moves,
    mixes,
    speeds,
    follows,
    gains,
    share,
    soft,
    steps,
    held,
    noise,
    square,
    outputs,
):
    """Show one pattern; membranes, weights and filtered changes move.

    Tuples of tuples of arrays, (units,) and, weights, (units, inputs); written into are

    firing (membrane, its rate); products (weights, rates, their product); apical (top-down,
    lateral, sum, minus the sum as an error); pulls (ahead, behind, difference); errors (rate,
    prediction, difference of the rates); moves (membrane, prediction, pull), with mixes, speeds
    and noise (steps, all membranes) or (0, ·) in this order; follows (weights, filtered, error,
    rates), with gains.

    Adds the mean square of each sum to square, and the last soma, moves[0], to outputs, over the
    later half of the steps. share is that of the filter; nothing is learnt in the first `held`.
    """
    for step in range(steps):
        late, gate = step >= steps // 2, 1.0 if step >= held else 0.0
        for u, r in firing:
            for i in range(u.shape[0]):
                r[i] = rate_of(u[i], soft)
        for w, x, y in products:
            for i in range(w.shape[0]):
                total, row = 0.0, w[i]
                for j in range(w.shape[1]):
                    total += row[j] * x[j]
                y[i] = total
        for k in range(len(apical)):
            above, beside, v, error = apical[k]
            total = 0.0
            for i in range(v.shape[0]):
                v[i] = above[i] + beside[i]
                error[i] = -gate * v[i]
                total += v[i] * v[i]
            if late:
                square[k] += total / v.shape[0]
        for ahead, behind, difference in pulls:
            for i in range(ahead.shape[0]):
                difference[i] = ahead[i] - behind[i]
        for r, b, error in errors:
            for i in range(r.shape[0]):
                error[i] = gate * (r[i] - rate_of(b[i], soft))
        if late:
            for i in range(outputs.shape[0]):
                outputs[i] += moves[0][0][i]
        first = 0
        for k in range(len(moves)):
            u, b, pull = moves[k]
            for i in range(u.shape[0]):
                u[i] += speeds[k] * (b[i] + mixes[k] * pull[i] - u[i])
                if noise.shape[0] > 0:
                    u[i] += noise[step, first + i]
            first += u.shape[0]
        for k in range(len(follows)):
            w, filtered, error, x = follows[k]
            for i in range(w.shape[0]):
                e, row, line = error[i], w[i], filtered[i]
                for j in range(w.shape[1]):
                    line[j] += share * (e * x[j] - line[j])
                    row[j] += gains[k] * line[j]
