"""The compiled course of a dendritic microcircuit is that of the readable one."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.engines.dendritic import DendriticEngine, LearningRates, Membranes, State
from neurohw.engines.numba.dendritic.engine import NumbaDendriticEngine
from neurohw.networks.microcircuit import Microcircuit

SIZES = (5, 7, 6, 4)


def circuit():
    """Return weights of two hidden layers, far from the self-predicting state."""
    rng = np.random.default_rng(0)
    pairs = list(zip(SIZES[1:], SIZES[:-1], strict=True))

    def draw(shapes):
        return [2 * rng.normal(size=shape) for shape in shapes]

    down = [(n, m) for m, n in pairs[1:]]
    return Microcircuit(
        basal=draw(pairs),
        top_down=draw(down),
        from_interneurons=draw(down),
        to_interneurons=draw(pairs[1:]),
        thresholds=[],
        interneuron_thresholds=[],
    )


@pytest.mark.parametrize("rate", ["soft-plus", "logistic"])
def test_engines_agree_on_membranes_and_weights(rate):
    membranes = Membranes(noise=3.0, rate=rate)
    rates = LearningRates(
        basal=(3.0, 2.0, 1.0),
        top_down=(0.5, 0.4),
        from_interneurons=(0.3, 0.2),
        to_interneurons=(2.0, 1.0),
    )
    shown, states = [], []
    for engine in (DendriticEngine, NumbaDendriticEngine):
        state = State(copy.deepcopy(circuit()))
        patterns = np.random.default_rng(1).uniform(size=(2, SIZES[0]))
        teaching = (None, np.array([1.0, -1.0, 2.0, 0.0]))
        shown.append(
            [
                engine(membranes, rates).present(state, x, t, time=8e-3, gate=2e-3, event=k)
                for k, (x, t) in enumerate(zip(patterns, teaching, strict=True))
            ]
        )
        states.append(state)
    for found, wanted in zip(*shown, strict=True):
        assert_allclose(found.apical, wanted.apical, rtol=1e-9)
        assert_allclose(found.outputs, wanted.outputs, rtol=1e-9)
    first = State(circuit())
    for before, one, other in zip(first.weights, *(s.weights for s in states), strict=True):
        for w, a, b in zip(before, one, other, strict=True):
            assert_allclose(a - w, b - w, rtol=1e-9, atol=1e-12 * np.abs(a - w).max())
            assert np.abs(a - w).max() > 0
