"""Compiled part of the learning rules: the signals on an array's lines from two equilibria."""

import numpy as np
from numba import njit

f32 = np.float32


@njit(cache=True)
def contrast(
    upper,
    lower,
    upper_lines,
    lower_lines,
    scales,
    presynaptic,
    postsynaptic,
    rows,
    columns,
    differences,
):
    """Write the factored updates of all arrays of a resistive network.

    upper, lower: a (batch, units) array a free layer [V], the nodes; upper_lines, lower_lines,
    what the lines of the next array carry, for each layer but the last; scales (layers,), one an
    array. With d = upper − lower, m their mean, i the inputs and j the units of array k, and s
    its scale:

    postsynaptic[k] (2 batch, units): −s·d_j and, but for the first array, −s·m_j;
    presynaptic[k − 1] (2 batch, inputs): m_i, then d_i;
    rows[k − 1] (inputs,): s·Σ m_i·d_i;  columns[k] (units,): s·Σ m_j·d_j;
    differences[k] (units,): Σ d_j.
    """
    layers = len(upper)
    for k in range(layers):
        batch, units = upper[k].shape
        s = scales[k]
        post, column, difference = postsynaptic[k], columns[k], differences[k]
        column[:] = 0
        difference[:] = 0
        for b in range(batch):
            u, v, out = upper[k][b], lower[k][b], post[b]
            for j in range(units):
                d = u[j] - v[j]
                out[j] = -s * d
                column[j] += s * (f32(0.5) * (u[j] + v[j])) * d
                difference[j] += d
        if k > 0:
            for b in range(batch):
                u, v, out = upper[k][b], lower[k][b], post[batch + b]
                for j in range(units):
                    out[j] = -s * (f32(0.5) * (u[j] + v[j]))
        if k + 1 < layers:
            s = scales[k + 1]
            pre, row = presynaptic[k], rows[k]
            row[:] = 0
            for b in range(batch):
                u, v, mean, moved = upper_lines[k][b], lower_lines[k][b], pre[b], pre[batch + b]
                for i in range(units):
                    d = u[i] - v[i]
                    m = f32(0.5) * (u[i] + v[i])
                    mean[i] = m
                    moved[i] = d
                    row[i] += s * m * d
