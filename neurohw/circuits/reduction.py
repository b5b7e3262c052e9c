"""One tile of a crossbar with wires, reduced to its terminals by elimination.

The front, the nodes of all bit lines at one input, moves along them from input to input. What lies
behind it are terminals, and a network that the front sees as a matrix of conductances F. Behind
the next segment s it is F' = F − F·(F + s)⁻¹·F = s·X with X = A·(1 + A)⁻¹ and A = F/s, and what
joins front and terminals shrinks by the factor 1 − X. X differs little from one input to the next,
and is found by Newton's steps, which are products of matrices.
"""

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits import kernels

Array = NDArray[np.floating]

# Largest imbalance, as the norm of a matrix, from which Newton's steps are fast.
_NEAR = 0.1
# From there as many lead to rounding.
_STEPS = 5


def reduce_tile(
    conductance: Array, words: Array, bits: Array, tolerance: float, *, driven: bool
) -> tuple[Array, Array, Array | None]:
    """Return the conductances between the terminals of a tile [S].

    Parameters
    ----------
    conductance : (units, inputs) array [S]
        C order; the results have its precision.
    words, bits : (3,) arrays [S]
        See `neurohw.circuits.crossbar.line_ends`; of the same precision.
    tolerance : float
        Error of an entry of X, over the largest cell of the input.
    driven : bool
        Whether to leave out the inputs' own side.

    Returns
    -------
    transfer : (units, inputs) array
        −Y_ui.
    unit_matrix, input_matrix : (units, units) and (inputs, inputs) arrays
        Y_uu and, unless `driven`, Y_ii.
    """
    g = conductance
    (units, inputs), dtype = g.shape, g.dtype
    near = units if bits[1] > 0 else 0
    full = near > 0 or not driven
    terminals = near + inputs
    matrix = np.zeros((terminals, terminals) if full else (0, 0), dtype)
    joined, moved = np.zeros((terminals, units), dtype), np.empty((terminals, units), dtype)
    x, profile = np.zeros((units, units), dtype), np.empty(units, dtype)
    lost = np.zeros_like(x)
    # Amplifiers at the near ends are terminals behind the front from the start.
    for diagonal, value in ((x, bits[1] / bits[0]), (matrix, bits[1]), (joined, bits[1])):
        diagonal[range(near), range(near)] = value
    for i, cells in enumerate(np.ascontiguousarray(g.T)):
        segment = bits[0] if i < inputs - 1 else bits[2]
        ratio = bits[0] / segment
        front = x * ratio
        kernels.take_word_line(cells, words, segment, front, profile)
        joined[near + i] = cells * profile
        x = _divide(front, front - ratio * ratio * lost, tolerance * cells.max() / segment)
        lost = front - x
        behind = near + i + 1
        np.matmul(joined[:behind], x, out=moved[:behind])
        if full:
            matrix[near + i, near + i] = joined[near + i].sum()
            left = joined[:behind] - moved[:behind]
            matrix[:behind, :behind] -= left @ joined[:behind].T / segment
            joined[:behind] = left
        else:
            joined[:behind] -= moved[:behind]
    unit_matrix, transfer = bits[2] * x, joined[near:].T
    if near:
        across = joined[:near]
        unit_matrix += matrix[:near, :near] - across - across.T
        transfer = transfer - matrix[:near, near:]
        # The lines' own large conductances from end to end cancel; rows add up to 0.
        np.fill_diagonal(unit_matrix, 0)
        np.fill_diagonal(unit_matrix, transfer.sum(axis=1) - unit_matrix.sum(axis=1))
    return transfer, unit_matrix, None if driven else matrix[near:, near:]


def _divide(a: Array, x: Array, enough: float) -> Array:
    """Return A·(1 + A)⁻¹ from a guess; enough, the largest error of an entry."""
    for _ in range(_STEPS):
        miss = a - x - a @ x
        size = np.abs(miss)
        norm = size.sum(axis=1).max()
        if not norm < _NEAR:
            return np.asarray(np.linalg.solve(a + np.eye(len(a), dtype=a.dtype), a))
        x = x + miss - x @ miss
        # Newton's step leaves the product of two errors.
        if norm * size.max() <= enough:
            break
    return x
