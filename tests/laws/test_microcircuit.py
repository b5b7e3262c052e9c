"""The dendritic microcircuit is silent without a teacher, and near backpropagation with one."""

import numpy as np
import pytest

from neurohw.networks.microcircuit import Mixes, changes, logistic, self_predicting, two_sweeps

SIZES, BATCH = (20, 15, 12, 5), 8


def problem(seed):
    """Weights as they start, inputs, and the somas asked of the outputs (rates 0.1 and 0.8)."""
    rng = np.random.default_rng(seed)
    shapes = list(zip(SIZES[1:], SIZES[:-1], strict=True))
    weights = [rng.uniform(-1, 1, s) * np.sqrt(6 / sum(s)) for s in shapes]
    thresholds = [rng.normal(0, 0.3, n) for n, _ in shapes]
    inputs = rng.uniform(size=(BATCH, SIZES[0]))
    wanted = np.where(np.eye(SIZES[-1])[rng.integers(SIZES[-1], size=BATCH)] > 0, 0.8, 0.1)
    return weights, thresholds, inputs, np.log(wanted / (1 - wanted)), rng


@pytest.mark.parametrize("seed", range(3))
def test_apical_dendrites_are_silent_without_a_teacher(seed):
    weights, thresholds, inputs, teaching, rng = problem(seed)
    top_down = [rng.uniform(-1, 1, w.T.shape) for w in weights[1:]]
    circuit = self_predicting(weights, top_down, thresholds)
    sweep = two_sweeps(circuit, Mixes(), logistic, inputs, None)
    for v in sweep.apical:
        assert np.abs(v).max() <= 1e-10
    for found in changes(circuit, logistic, inputs, sweep).items():
        if found[0] != "top_down":
            assert max(np.abs(c).max() for c in found[1]) <= 1e-10
    taught = two_sweeps(circuit, Mixes(), logistic, inputs, teaching)
    assert all(np.abs(v).max() > 1e-4 for v in taught.apical)


@pytest.mark.parametrize("seed", range(5))
def test_with_symmetric_weights_the_change_is_near_that_of_backpropagation(seed):
    """Of the same errors at the outputs; what is left is of the order of λ squared."""
    weights, thresholds, inputs, teaching, _ = problem(seed)
    circuit = self_predicting(weights, [w.T for w in weights[1:]], thresholds)
    left = []
    for mix, least in ((0.3, 0.998), (0.1, 0.9998), (0.01, 1 - 1e-6)):
        mixes = Mixes(hidden=mix, interneuron=mix, output=mix)
        sweep = two_sweeps(circuit, mixes, logistic, inputs, teaching)
        found = changes(circuit, logistic, inputs, sweep)["basal"]
        states = [logistic(b) for b in sweep.predictions]
        delta = logistic(sweep.somas[-1]) - states[-1]
        cosines = []
        for k in range(len(weights) - 1, -1, -1):
            wanted = delta.T @ (states[k - 1] if k else inputs)
            both = np.linalg.norm(wanted) * np.linalg.norm(found[k])
            cosines.append((wanted * found[k]).sum() / both)
            if k:
                delta = (delta @ weights[k]) * states[k - 1] * (1 - states[k - 1])
        assert min(cosines) >= least
        left.append(1 - min(cosines))
    assert left[0] > left[1] > left[2]
