"""The dendritic microcircuit is silent without a teacher, and near backpropagation with one."""

import numpy as np
import pytest

from neurohw.engines.dendritic import DendriticEngine, LearningRates, Membranes, State
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


def silent_state(membranes, seed=0):
    """A circuit in the raw units of the paper, self-predicting by its formula, and its input."""
    rng = np.random.default_rng(seed)
    pairs = list(zip(SIZES[1:], SIZES[:-1], strict=True))
    raw = [rng.normal(size=s) for s in pairs]
    down = [rng.normal(size=w.T.shape) for w in raw[1:]]
    m = membranes
    hidden, output = m.hidden_rate, m.output_rate(taught=False)
    inter = m.leak + m.dendrite
    basal = [w * m.basal / (hidden if k < len(raw) - 1 else output) for k, w in enumerate(raw)]
    to_interneurons = [
        # (g_leak + g_dendrite)/(g_leak + g_basal + g_apical)·g_basal/g_dendrite, no apical above.
        w * inter / (hidden if k < len(raw) - 1 else output) * m.basal / m.dendrite
        for k, w in enumerate(raw[1:], start=1)
    ]
    circuit = self_predicting(basal, down)
    for k, w in enumerate(to_interneurons):
        # The paper's weights, counted at the interneurons' somas.
        circuit.to_interneurons[k][:] = w * m.dendrite / inter
    return circuit, rng.uniform(size=SIZES[0])


def test_the_self_predicting_state_of_the_paper_is_silent_and_stays_so_while_learning():
    membranes = Membranes(rate="logistic")
    rates = LearningRates(
        basal=(1.0,) * 3, top_down=(0.0,) * 2, from_interneurons=(1.0,) * 2,
        to_interneurons=(1.0,) * 2,
    )  # fmt: skip
    circuit, inputs = silent_state(membranes)
    state = State(circuit)
    before = [w.copy() for w in circuit.basal]
    shown = DendriticEngine(membranes, rates).present(state, inputs, None, time=0.05, gate=0.02)
    assert shown.apical.max() <= 1e-10
    # Until the gate opened the membranes had 20 ms, some forty time constants.
    for w, old in zip(circuit.basal, before, strict=True):
        assert np.abs(w - old).max() <= 1e-10


def test_two_sweeps_are_the_course_in_time_as_apical_conductance_vanishes():
    """What apical dendrites do to the somas: the difference is a share in proportion to g_A."""
    left = []
    for apical in (80.0, 8.0, 0.8):
        membranes = Membranes(rate="logistic", apical=apical)
        still = LearningRates(
            basal=(0.0,) * 3, top_down=(0.0,) * 2, from_interneurons=(0.0,) * 2,
            to_interneurons=(0.0,) * 2,
        )  # fmt: skip
        circuit, inputs = silent_state(membranes, seed=1)
        teaching = np.array([1.4, -2.2, -2.2, -2.2, -2.2])
        state = State(circuit)
        DendriticEngine(membranes, still).present(state, inputs, teaching, time=0.08)
        sweep = two_sweeps(circuit, membranes.mixes, logistic, inputs[None], teaching[None])
        for u, b, swept in zip(
            state.somas[:-1], sweep.predictions[:-1], sweep.somas[:-1], strict=True
        ):
            moved, wanted = u - b[0], (swept - b)[0]
            left.append(np.abs(moved - wanted).max() / np.abs(wanted).max())
    for layer in (0, 1):
        first, second, third = left[layer::2]
        assert first < 0.3
        assert 0.05 < second / first < 0.2
        assert 0.05 < third / second < 0.2
