"""The update of nonlinear cells: the co-content F = ∫ f of each, in products of two lines.

With i = g·f(x − y) the circuit minimises Σ g·F(x − y), F = ∫₀^u f, so that a cell's contrast of two
phases is F(x − y)|_a − F(x − y)|_b. With F(x − y) = Σ_pq B_pq·x^p·y^q, m and d the mean and the
difference of a signal's two values, and Q_p = Σ_q≥1 B_pq·y^q, it is

    Σ_p≥1 [m(x^p)·d(Q_p) + d(x^p)·m(Q_p)] + Σ_p B_p0·d(x^p) + Σ_q B_0q·d(y^q)

one outer product a power and phase, and two line sums. Resistors, F = ½u², have one power.
"""

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.synapse import Synapse
from neurohw.update import Update

Array = NDArray[np.floating]


def update(
    synapse: Synapse,
    inputs: tuple[Array, Array],
    units: tuple[Array, Array],
    scale: float,
    *,
    driven: bool,
    by_sample: bool = False,
) -> Update:
    """Return scale·Σ_samples [F(x − y)|_upper − F(x − y)|_lower] of every cell of an array.

    Parameters
    ----------
    synapse : Synapse
        With a polynomial law.
    inputs, units : pairs of (batch, lines) arrays [V]
        Upper and lower phase; of all input lines, also where they are paired.
    scale : float [S/V²]
    driven : bool
        Whether the inputs are the same in both phases.
    by_sample : bool
        Whether each sample is an event of its own.
    """
    dtype = units[0].dtype
    weights = synapse.co_content.astype(dtype)
    highest = len(weights) - 1
    # Powers of x that meet some power of y.
    powers = 1 + np.flatnonzero(weights[1:, 1:].any(axis=1))
    x_mean, x_moved = _powers(*inputs, highest)
    y_mean, y_moved = _powers(*units, highest)
    pre, post = x_mean[powers], _mix(weights[powers, 1:], y_moved[1:])
    row = None
    if not driven:
        pre = np.concatenate((pre, x_moved[powers]))
        post = np.concatenate((post, _mix(weights[powers, 1:], y_mean[1:])))
        row = dtype.type(scale) * np.einsum("p,pbi->bi", weights[:, 0], x_moved)
    column = dtype.type(scale) * np.einsum("q,qbj->bj", weights[0], y_moved)
    update = Update(
        presynaptic=pre.reshape(1, -1, pre.shape[2]),
        postsynaptic=dtype.type(scale) * post.reshape(1, -1, post.shape[2]),
        row=None if row is None else row.sum(axis=0)[None],
        column=column.sum(axis=0)[None],
    )
    return update.by_sample(len(column), row, column) if by_sample else update


def _powers(upper: Array, lower: Array, highest: int) -> tuple[Array, Array]:
    """Return mean and difference of both phases' powers, (highest + 1, batch, lines) each."""
    mean = np.ones((highest + 1, *upper.shape), upper.dtype)
    moved = np.zeros_like(mean)
    difference, power, other = upper - lower, np.ones_like(upper), np.ones_like(lower)
    for p in range(1, highest + 1):
        # Of powers that nearly agree, the difference by factors loses no digits.
        moved[p] = upper * moved[p - 1] + difference * other
        power, other = power * upper, other * lower
        mean[p] = upper.dtype.type(0.5) * (power + other)
    return mean, moved


def _mix(weights: Array, signals: Array) -> Array:
    """Return Σ_q weights_pq·signals_q, (powers, batch, lines)."""
    mixed = weights @ signals.reshape(len(signals), -1)
    return np.asarray(mixed.reshape(len(weights), *signals.shape[1:]))
