"""Systems of layers, solved by eliminating every other one, against the dense solution."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.engines.layered import solve


def make(sizes, seed=0):
    """Return a system's parts and its dense matrix."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum([0, *sizes])
    diagonal = [rng.uniform(5, 9, n) for n in sizes]
    matrix = np.diag(np.concatenate(diagonal))
    rising, falling = [], []
    for k in range(1, len(sizes)):
        rising.append(rng.normal(size=(sizes[k], sizes[k - 1])))
        falling.append(rng.normal(size=(sizes[k - 1], sizes[k])))
        here, below = slice(ends[k], ends[k + 1]), slice(ends[k - 1], ends[k])
        matrix[here, below], matrix[below, here] = rising[-1], falling[-1]
    right = [rng.normal(size=n) for n in sizes]
    return diagonal, rising, falling, right, matrix


@pytest.mark.parametrize("sizes", [(6, 3), (2, 9), (5, 4, 3), (3, 9, 2, 4)], ids=str)
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_the_solution_is_the_dense_one(sizes, share):
    diagonal, rising, falling, right, matrix = make(sizes)
    rng = np.random.default_rng(1)
    free = [rng.uniform(size=n) < share for n in sizes]
    found = np.concatenate(solve(diagonal, rising, falling, right, free))
    mask = np.concatenate(free)
    wanted = np.zeros(len(mask))
    wanted[mask] = np.linalg.solve(matrix[np.ix_(mask, mask)], np.concatenate(right)[mask])
    assert_allclose(found, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_nothing_free_is_nothing_moved():
    diagonal, rising, falling, right, _ = make((3, 2, 4))
    found = solve(diagonal, rising, falling, right, [np.zeros(n, bool) for n in (3, 2, 4)])
    assert [part.tolist() for part in found] == [[0.0] * n for n in (3, 2, 4)]


@pytest.mark.parametrize("layer", [0, 1])
def test_a_node_that_nothing_holds_is_refused(layer):
    diagonal, rising, falling, right, _ = make((4, 3))
    diagonal[layer][1] = 0
    rising[0][1 if layer else slice(None), slice(None) if layer else 1] = 0
    falling[0][slice(None) if layer else 1, 1 if layer else slice(None)] = 0
    with pytest.raises(np.linalg.LinAlgError):
        solve(diagonal, rising, falling, right, [np.ones(4, bool), np.ones(3, bool)])
