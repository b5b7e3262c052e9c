"""Linear systems of layers that each see only the layers beside them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def solve(
    diagonal: Sequence[Array],
    rising: Sequence[Array],
    falling: Sequence[Array],
    right: Sequence[Array],
    free: Sequence[NDArray[np.bool_]],
) -> list[Array]:
    """Return x of A·x = right over the free nodes, 0 at the others, a (units,) array a layer.

    Within a layer A is diagonal, so that the layers of one parity, those with more free nodes, are
    eliminated, and a dense system of the others is left.

    Parameters
    ----------
    diagonal, right : (units,) of each layer
    rising : (units, units below) of each layer but the first
        A's rows of a layer, in the columns of the one below.
    falling : (units below, units) of each layer but the first
        A's rows of the layer below, in the columns of a layer.
    free : (units,) of each layer

    Raises
    ------
    numpy.linalg.LinAlgError
        A is singular.
    """
    kept = [np.flatnonzero(mask) for mask in free]
    layers = range(len(kept))
    gone, left = layers[::2], layers[1::2]
    if sum(len(kept[k]) for k in gone) < sum(len(kept[k]) for k in left):
        gone, left = left, gone

    def some(vectors: Sequence[Array], which: range) -> Array:
        return np.concatenate([np.empty(0), *(vectors[k][kept[k]] for k in which)])

    def block(rows: range, columns: range) -> Array:
        found = np.zeros((sum(len(kept[k]) for k in rows), sum(len(kept[k]) for k in columns)))
        top = 0
        for row in rows:
            first, below = 0, top + len(kept[row])
            for column in columns:
                after = first + len(kept[column])
                if row == column + 1:
                    found[top:below, first:after] = rising[column][np.ix_(kept[row], kept[column])]
                elif row == column - 1:
                    found[top:below, first:after] = falling[row][np.ix_(kept[row], kept[column])]
                first = after
            top = below
        return found

    pivot = some(diagonal, gone)
    if not pivot.all():
        raise np.linalg.LinAlgError("a node that nothing holds")
    forward, back = block(left, gone) / pivot, block(gone, left)
    over = some(right, gone)
    system = np.diag(some(diagonal, left)) - forward @ back
    held = np.linalg.solve(system, some(right, left) - forward @ over)
    solved = dict.fromkeys(layers, np.empty(0))
    for which, values in ((left, held), (gone, (over - back @ held) / pivot)):
        ends = np.cumsum([len(kept[k]) for k in which])
        solved |= dict(zip(which, np.split(values, ends[:-1]), strict=True))
    found: list[Array] = [np.zeros(len(mask)) for mask in free]
    for k in layers:
        found[k][kept[k]] = solved[k]
    return found
