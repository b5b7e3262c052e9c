import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.circuits.membrane import MembraneNoise
from neurohw.engines.equilibrium import Equilibrium, Nudging, SeenArray, Source, left_out
from neurohw.engines.hopfield import Dynamics, HopfieldEngine
from neurohw.engines.hopfield_samples import Samples
from neurohw.errors import ConvergenceError, InvalidValueError, UnsupportedError
from neurohw.networks.hopfield import deep_hopfield_network

TOLERANCE = 1e-9


class Counting(HopfieldEngine):
    """Counts the samples of every sweep."""

    def __init__(self, **options):
        super().__init__(**options)
        self.counts = counts = []

        class Counted(Dynamics):
            def sweep(self, state):
                counts.append(len(state[0]))
                return super().sweep(state)

        self.dynamics = Counted


@pytest.mark.parametrize("nudged", [False, True])
def test_samples_at_rest_cost_nothing_more(make_hopfield, nudged):
    problem = make_hopfield((6, 5), batch=12)
    options = {"sweeps": 500, "tolerance": TOLERANCE}
    if nudged:
        strength = problem.leak[0][0] * np.linspace(-0.5, 0.5, 12)
        options["nudging"] = Nudging(strength=strength, target=problem.target)
        options["start"] = problem.relax(HopfieldEngine(), sweeps=500, tolerance=1e-13)
    engine = Counting()
    found = problem.relax(engine, **options)
    together = problem.relax(HopfieldEngine(), keep_path=True, **options)
    assert found.result == together.result == "converged"
    assert engine.counts[0] == 12
    assert engine.counts == sorted(engine.counts, reverse=True)
    assert engine.counts[-1] < 6
    assert found.residuals.shape == (12,)
    assert found.residuals.max() == found.residual < TOLERANCE
    for ours, all_of_the_way in zip(found.state, together.state, strict=True):
        # Changes below the tolerance, of a contraction by less than 0.99.
        assert_allclose(ours, all_of_the_way, rtol=0, atol=100 * TOLERANCE * problem.network.high)


@pytest.mark.parametrize("factor", [1.3, 1.8])
def test_overrelaxed_sweeps_go_further_and_end_at_the_same_place(make_hopfield, factor):
    problem = make_hopfield((6, 5))
    start = Equilibrium(
        state=tuple(problem.some_state()), residual=0, iterations=0, result="fixed sweeps"
    )
    one = problem.relax(HopfieldEngine(), start=start, sweeps=1)
    further = problem.relax(HopfieldEngine(overrelaxation=factor), start=start, sweeps=1)
    first = start.state[0] + factor * (one.state[0] - start.state[0])
    inside = (one.state[0] > 0) & (one.state[0] < problem.network.high)
    assert inside.any()
    expected = np.clip(first, 0, problem.network.high)[inside]
    assert_allclose(further.state[0][inside], expected, rtol=1e-12)
    options = {"sweeps": 2000, "tolerance": 1e-12}
    ends = [problem.relax(HopfieldEngine(overrelaxation=w), **options) for w in (1.0, factor)]
    for ours, theirs in zip(*(end.state for end in ends), strict=True):
        assert_allclose(ours, theirs, rtol=0, atol=1e-9 * problem.network.high)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"overrelaxation": 2.0}, "at least 1, below 2"),
        ({"overrelaxation": 0.5}, "at least 1, below 2"),
        ({"overrelaxation": 1.5, "step": 0.5}, "not with steps"),
    ],
)
def test_factors_are_checked(options, words):
    with pytest.raises(InvalidValueError, match=words):
        HopfieldEngine(**options)


def test_smooth_neurons_are_not_overrelaxed(make_hopfield):
    problem = make_hopfield((5,), activation="tanh")
    with pytest.raises(UnsupportedError, match="not with the activation tanh"):
        problem.relax(HopfieldEngine(overrelaxation=1.5), sweeps=1)


def test_noisy_neurons_are_not_overrelaxed(make_hopfield):
    """A way that goes too far by 1 − ω would widen what they are distributed as, 1/(ω·(2 − ω))."""
    noise = MembraneNoise(deviation=1e-3, seed=0, event=0, phase=0)
    with pytest.raises(UnsupportedError, match=r"overrelaxation = 1\.5: not with noise"):
        make_hopfield((5,)).relax(HopfieldEngine(overrelaxation=1.5), sweeps=1, noise=noise)


def swinging(step):
    """Relax two nodes that push each other away from where both are, in two samples.

    u₁ = 1 − 2·u₂ and u₂ = 1 − 2·u₁, clipped: full steps from (0, 0) lead to (1, 1) and back. The
    second sample has no input and rests at once.
    """
    network = deep_hopfield_network(1, (1,), 1)
    one = np.ones(1)
    arrays = [SeenArray(conductance=np.array([[g]]), unit_sums=np.array([g])) for g in (1.0, -2.0)]
    sources = [Source(current=0 * one, conductance=one), Source(current=one, conductance=one)]
    current = np.array([[1.0], [-3.0]])
    return HopfieldEngine(step).relax(network, arrays, sources, current, sweeps=51, tolerance=1e-6)


def test_an_oscillation_of_period_two_is_named():
    found = swinging(1.0)
    assert found.result == "oscillating"
    assert_array_equal(found.residuals >= 1e-6, [True, False])
    assert_array_equal(left_out(found, "free", 1e-6), [True, False])
    found = swinging(0.5)
    assert found.result == "converged"
    assert_allclose([u[0, 0] for u in found.state], 1 / 3, rtol=1e-5)


def test_more_than_half_unsettled_is_an_error_with_sample_and_remedy():
    options = {"state": (np.zeros((3, 1)),), "iterations": 51, "residual": 0.7}
    residuals = np.array([0.2, 0.0, 0.7])
    found = Equilibrium(result="oscillating", residuals=residuals, **options)
    words = r"residual of sample 2, which swings between two states, is still 0.7 .* smaller relax"
    with pytest.raises(ConvergenceError, match=words):
        left_out(found, "free", 1e-3)
    found = Equilibrium(result="not converged", residuals=residuals, **options)
    with pytest.raises(ConvergenceError, match=r"of sample 2 is still 0.7 .* allow more sweeps"):
        left_out(found, "free", 1e-3)
    assert_array_equal(left_out(found, "free", 0.5), [False, False, True])
    # Samples 0 and 1 with two nudgings: one nudging of each is too much.
    both = {**options, "residual": 0.8}
    found = Equilibrium(result="not converged", residuals=np.array([0.1, 0, 0, 0.8]), **both)
    with pytest.raises(ConvergenceError, match=r"of sample 1 is still 0.8"):
        left_out(found, "nudged", 1e-3, copies=2)
    assert_array_equal(left_out(found, "nudged", 0.5, copies=2), [False, True])
    # One of two is left out already: with the other one it is more than half.
    with pytest.raises(ConvergenceError, match=r"of sample 1 is still 0.8"):
        left_out(found, "nudged", 0.5, copies=2, lost=np.array([True, False]))


def test_changes_within_rounding_are_none():
    """Of a nudged phase that hardly leaves the free one."""
    begun = [np.full((2, 3), 0.5, np.float32)]
    moved = [begun[0] * np.float32([[1 + 2e-7], [1 + 1e-3]])]
    samples = Samples(begun, nudged=True, step=1.0)
    samples.measure(begun, moved)
    assert_array_equal(samples.residuals, [0.0, 1.0])
