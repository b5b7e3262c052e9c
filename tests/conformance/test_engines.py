"""Every engine finds the same equilibrium as the readable one, by the same sweeps."""

import msgspec
import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw import engines
from neurohw.engines.equilibrium import Nudging, require_settled
from neurohw.errors import ConvergenceError, NumericalError, UnsupportedError

ENGINES = ["numba"]
SHARE = {"float64": 1e-10, "float32": 2e-4}
HIDDEN = [(5,), (7, 6), (9, 4, 5), (6, 5, 7, 3)]


def assert_same(found, expected, dtype):
    assert found.iterations == expected.iterations
    assert found.result == expected.result
    largest = max(np.abs(v).max() for v in expected.state)
    assert largest > 0
    assert len(found.state) == len(expected.state)
    for ours, theirs in zip(found.state, expected.state, strict=True):
        assert ours.dtype == theirs.dtype == dtype
        assert_allclose(ours, theirs, rtol=0, atol=SHARE[dtype] * largest)


def nudged_both_ways(problem, strength=2e-6):
    """Return the input current and the nudging of +β and −β phases in one batch."""
    batch, dtype = len(problem.inputs), problem.inputs.dtype
    return np.concatenate([problem.input_current] * 2), Nudging(
        strength=np.repeat(np.array([strength, -strength], dtype), batch),
        target=np.concatenate([problem.target] * 2),
    )


def assert_engines_agree(problem, engine, dtype):
    oracle = problem.relax("numpy", sweeps=3)
    free = problem.relax(engine, sweeps=3)
    assert_same(free, oracle, dtype)
    current, nudging = nudged_both_ways(problem)
    expected = problem.relax("numpy", current=current, start=oracle, nudging=nudging, sweeps=3)
    held = [v.copy() for v in free.state]
    for start in (free, msgspec.structs.replace(free, carry=None)):
        found = problem.relax(engine, current=current, start=start, nudging=nudging, sweeps=3)
        assert_same(found, expected, dtype)
    for before, after in zip(held, free.state, strict=True):
        assert_array_equal(after, before)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 7, 8, 10])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree(make_problem, engine, hidden, batch, dtype):
    seed = 100 * len(hidden) + batch
    assert_engines_agree(make_problem(hidden, batch=batch, seed=seed, dtype=dtype), engine, dtype)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree_on_any_width(make_problem, engine, seed):
    rng = np.random.default_rng(seed)
    hidden = tuple(int(n) for n in rng.integers(1, 40, size=rng.integers(1, 5)))
    pixels, outputs, batch = (int(n) for n in rng.integers(1, 20, size=3))
    problem = make_problem(hidden, pixels=pixels, outputs=outputs, batch=batch, seed=seed)
    assert_engines_agree(problem, engine, "float64")


@pytest.mark.kernels
@pytest.mark.parametrize("hidden", [(5,), (3, 4)], ids=str)
@pytest.mark.parametrize("batch", [3, 4])
@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree_on_tiny_networks(make_problem, engine, batch, hidden):
    assert_engines_agree(make_problem(hidden, batch=batch, seed=batch), engine, "float64")


@pytest.mark.kernels
@pytest.mark.parametrize("engine", ENGINES)
def test_engines_stop_at_the_same_sweep(make_problem, engine):
    problem = make_problem((5, 4), seed=3)
    options = {"sweeps": 200, "tolerance": 1e-6}
    expected = problem.relax("numpy", **options)
    assert expected.result == "converged"
    assert 2 < expected.iterations < 200
    found = problem.relax(engine, **options)
    assert_same(found, expected, "float64")
    assert_allclose(found.residual, expected.residual, rtol=1e-6)
    assert found.residual < 1e-6
    current, nudging = nudged_both_ways(problem)
    options |= {"current": current, "nudging": nudging}
    nudged = problem.relax(engine, start=found, **options)
    assert_same(nudged, problem.relax("numpy", start=expected, **options), "float64")


@pytest.mark.parametrize("engine", ["numpy", *ENGINES])
def test_a_converged_state_does_not_depend_on_the_start(make_problem, engine):
    problem = make_problem((7, 6), batch=4, seed=5)
    options = {"sweeps": 5000, "tolerance": 1e-13}
    from_zero = problem.relax(engine, **options)
    other = make_problem((7, 6), batch=4, seed=6).relax(engine, sweeps=2)
    from_other = problem.relax(engine, start=msgspec.structs.replace(other, carry=None), **options)
    for ours, theirs in zip(from_other.state, from_zero.state, strict=True):
        assert_allclose(ours, theirs, rtol=0, atol=1e-9 * np.abs(theirs).max())


@pytest.mark.parametrize("engine", ["numpy", *ENGINES])
def test_nodes_without_conductance_stay_at_zero(make_problem, engine):
    problem = make_problem((5, 4), seed=2)
    problem.conductances[1][1] = 0
    problem.conductances[2][:, 1] = 0
    problem.sources[1].conductance[1] = 0
    state = problem.relax(engine, sweeps=4).state
    assert_array_equal(state[1][:, 1], 0)
    assert np.abs(state[0]).min(axis=1).max() == 0
    assert np.abs(state[2]).min() > 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("engine", ENGINES)
def test_large_arrays_in_blocks(make_problem, engine, dtype):
    """The second array has more than 2**17 cells, so it is cut into blocks of units."""
    problem = make_problem((403, 337), pixels=3, outputs=5, seed=8, dtype=dtype)
    assert problem.conductances[1].size > 2**17
    assert_engines_agree(problem, engine, dtype)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_one_and_two_threads_give_the_same_bits(make_problem):
    problem = make_problem((403, 337), pixels=3, outputs=5, seed=8, dtype="float32")
    current, nudging = nudged_both_ways(problem)
    states = []
    before = numba.get_num_threads()
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            free = problem.relax("numba", sweeps=3)
            nudged = problem.relax("numba", current=current, start=free, nudging=nudging, sweeps=3)
            states.append([*free.state, *nudged.state])
    finally:
        numba.set_num_threads(before)
    for one, two in zip(*states, strict=True):
        assert_array_equal(one, two)


@pytest.mark.parametrize("engine", ["numpy", *ENGINES])
def test_too_few_sweeps_are_an_error(make_problem, engine):
    equilibrium = make_problem((7, 6), seed=1).relax(engine, sweeps=2, tolerance=1e-12)
    assert (equilibrium.result, equilibrium.iterations) == ("not converged", 2)
    with pytest.raises(ConvergenceError) as failure:
        require_settled(equilibrium, "free", 1e-12)
    message = str(failure.value)
    assert "relaxation.tolerance = 1e-12" in message
    assert "free phase" in message
    assert f"{equilibrium.residual:.3g} after 2 sweeps" in message
    assert "\n" not in message


@pytest.mark.parametrize("engine", ["numpy", *ENGINES])
def test_a_settled_relaxation_is_no_error(make_problem, engine):
    problem = make_problem((7, 6), seed=1)
    require_settled(problem.relax(engine, sweeps=2), "free", 0.0)
    require_settled(problem.relax(engine, sweeps=500, tolerance=1e-9), "free", 1e-9)


@pytest.mark.parametrize("engine", ["numpy", *ENGINES])
@pytest.mark.parametrize("unit", [0, 6], ids=["held from below", "held from above"])
@pytest.mark.parametrize("sweeps", [1, 4])
def test_nan_at_an_input_is_found(make_problem, engine, unit, sweeps):
    problem = make_problem((7, 6), seed=1)
    current = problem.input_current
    current[2, unit] = np.nan
    equilibrium = problem.relax(engine, current=current, sweeps=sweeps, tolerance=1e-3)
    assert (equilibrium.result, equilibrium.iterations) == ("not finite", 1)
    with pytest.raises(NumericalError) as failure:
        require_settled(equilibrium, "free", 1e-3)
    for part in ("layer 1", f"unit {unit} is nan", "free phase", "sample 2"):
        assert part in str(failure.value)


@pytest.mark.parametrize("engine", ["numpy", *ENGINES])
@pytest.mark.parametrize("hidden", [(5,), (7, 6)], ids=str)
def test_nan_in_a_target_is_found(make_problem, engine, hidden):
    problem = make_problem(hidden, seed=1)
    problem.target[1, 2] = np.nan
    nudging = Nudging(strength=np.full(4, 1e-6), target=problem.target)
    equilibrium = problem.relax(engine, nudging=nudging, sweeps=1)
    assert equilibrium.result == "not finite"
    # With two hidden layers the outputs come first, and the NaN spreads to the second of them.
    where = "layer 2, unit 2" if len(hidden) == 1 else "layer 2, unit 0"
    with pytest.raises(NumericalError, match=f"{where} is nan in the nudged phase, sample 1"):
        require_settled(equilibrium, "nudged", 0.0)


@pytest.mark.parametrize("engine", ["numpy", *ENGINES])
def test_an_infinite_current_is_found(make_problem, engine):
    problem = make_problem((4,), seed=1, diodes=False)
    current = problem.input_current
    current[0, 1] = np.inf
    assert problem.relax(engine, current=current, sweeps=1).result == "not finite"


def test_an_unknown_engine_is_refused():
    with pytest.raises(UnsupportedError, match="engine = spyce: known engines are numba, numpy"):
        engines.load("spyce")


@pytest.mark.parametrize("engine", ["numpy", *ENGINES])
@pytest.mark.parametrize("strength", [1e-3, 1e-9])
def test_a_nudged_phase_is_settled_by_how_far_it_has_moved(make_problem, engine, strength):
    """However weak the nudging, the difference of the phases is found to the tolerance."""
    problem = make_problem((7, 6, 5), seed=1)
    free = problem.relax(engine, sweeps=20_000, tolerance=1e-15)
    nudging = Nudging(strength=np.full(4, strength * 10e-6), target=problem.target)
    options = {"start": free, "nudging": nudging, "sweeps": 20_000}
    exact = problem.relax(engine, **options, tolerance=1e-15)
    found = problem.relax(engine, **options, tolerance=1e-3)
    assert found.result == "converged"
    assert len(problem.network.layers) <= found.iterations < exact.iterations
    assert found.residual < 1e-3
    for v, w, begun in zip(found.state, exact.state, free.state, strict=True):
        moved = np.abs(w - begun).max()
        assert 0 < moved < 10 * strength * np.abs(w).max()
        assert np.abs(v - w).max() < 0.05 * moved


@pytest.mark.parametrize("engine", ["numpy", *ENGINES])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_difference_that_the_precision_cannot_hold_is_not_settled(make_problem, engine, dtype):
    problem = make_problem((7, 6), seed=1, dtype=dtype)
    free = problem.relax(engine, sweeps=500)
    nudging = Nudging(strength=np.full(4, 1e-11, dtype), target=problem.target)
    found = problem.relax(engine, start=free, nudging=nudging, sweeps=500, tolerance=1e-3)
    assert found.result == ("converged" if dtype == "float64" else "not converged")
    words = r"training\.precision = float64$" if dtype == "float32" else r"larger tolerance$"
    with pytest.raises(ConvergenceError, match=words):
        require_settled(problem.relax(engine, sweeps=1, tolerance=1e-9), "free", 1e-9)
