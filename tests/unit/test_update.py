import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.errors import InvalidValueError
from neurohw.update import Update


def test_dense_is_the_formula_of_each_cell():
    rng = np.random.default_rng(0)
    x, a = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 5))
    row, column, decay = (rng.normal(size=(2, n)) for n in (4, 5, 5))
    g = rng.normal(size=(5, 4))
    update = Update(presynaptic=x, postsynaptic=a, row=row, column=column, decay=decay)
    bare = Update(presynaptic=x, postsynaptic=a)
    for event in range(2):
        for j in range(5):
            for i in range(4):
                product = sum(x[event, r, i] * a[event, r, j] for r in range(3))
                rest = row[event, i] + column[event, j] - decay[event, j] * g[j, i]
                assert_allclose(bare.dense(g, event)[j, i], product, rtol=1e-12)
                assert_allclose(update.dense(g, event)[j, i], product + rest, rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 3, 5), (2, 2, 5)])
def test_events_and_ranks_must_agree(shape):
    with pytest.raises(InvalidValueError, match="differ in events or rank"):
        Update(presynaptic=np.zeros((2, 3, 4)), postsynaptic=np.zeros(shape))
