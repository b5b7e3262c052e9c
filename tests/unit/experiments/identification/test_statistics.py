"""The statistics of layers against SciPy's, and slopes of what is known."""

import numpy as np
import pytest
from scipy import stats

from neurohw.experiments.identification import statistics


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_there_are_24_statistics_of_activities_and_21_of_weights():
    assert len(statistics.ACTIVITIES) == len(set(statistics.ACTIVITIES)) == 24
    assert len(statistics.WEIGHTS) == 21


def test_statistics_are_those_of_scipy(rng):
    values = rng.gamma(2.0, size=(3, 20, 11)) - 1
    found = statistics.of_values(values)
    assert found.shape == (3, 21)
    for row, part in zip(found, values.reshape(3, -1), strict=True):
        wanted = []
        for kind in (part, part**2, np.abs(part)):
            wanted += [np.linalg.norm(kind), kind.mean(), np.median(kind)]
            wanted += [np.quantile(kind, 0.75), kind.var(), stats.skew(kind), stats.kurtosis(kind)]
        assert row == pytest.approx(wanted, rel=1e-10)


def test_values_that_are_all_equal_have_no_skewness():
    found = statistics.of_values(np.full((2, 6), 0.1, np.float32))
    assert np.isfinite(found).all()
    assert found[:, [5, 6, 12, 13, 19, 20]] == pytest.approx(0)


def test_slopes_of_a_linear_layer_are_its_weights(rng):
    weights = rng.normal(size=(4, 5))
    # Columns that do not go with each other: then each slope is a weight.
    below, _ = np.linalg.qr(rng.normal(size=(40, 6)) + np.eye(40, 6))
    below = below - below.mean(axis=0)
    below, _ = np.linalg.qr(below)
    below = below[:, :5]
    below -= below.mean(axis=0)
    states = (below @ weights.T + 3.0)[None]
    found = statistics.of_slopes(states, below)
    wanted = [weights.mean(), (weights**2).mean(), np.abs(weights).mean()]
    assert found[0] == pytest.approx(wanted, rel=1e-9)
    # Of layers that move, one has them at each time; units that stand still are left out.
    both = np.concatenate([below, np.full((40, 1), 7.0)], axis=1)
    again = statistics.of_slopes(np.repeat(states, 2, axis=0), np.stack([both, both]))
    assert again == pytest.approx(np.tile(found, (2, 1)), rel=1e-9)


def test_a_layer_above_nothing_that_moves_has_no_slopes():
    found = statistics.of_slopes(np.ones((2, 5, 3)), np.ones((5, 4)))
    assert np.array_equal(found, np.zeros((2, 3)))
