import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.chip import HopfieldChip
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.engines.numba.hopfield.engine import NumbaHopfieldEngine
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.learning.holomorphic import half_circle, signals
from neurohw.learning.hopfield import HopfieldPropagation
from neurohw.mappings import chip_specification

SWEEPS = 500
IDEAL = {"device": "ideal", "bias": {"kind": "current"}}


def rule_of(problem, *, engine=None, points=6, nudging=0.3, table=None):
    weights = [g / problem.leak[0][0] for g in problem.conductances]
    specification = chip_specification.load(IDEAL | (table or {}))
    return HopfieldPropagation(
        problem.network,
        engine or HopfieldEngine(),
        HopfieldChip(specification, problem.network, weights, seed=0, dtype="float64"),
        variant="holomorphic",
        points=points,
        nudging=nudging,
        free_sweeps=SWEEPS,
        nudged_sweeps=SWEEPS,
    )


def phases(problem, **options):
    rule = rule_of(problem, **options)
    current = rule.chip.arrays[0].read(problem.inputs)
    return rule, rule.phases(current, problem.target, None, 0, problem.inputs)


def test_half_of_the_circle_runs_from_plus_to_minus():
    assert half_circle(2) == (1.0, -1.0)
    assert_allclose(half_circle(4), [1, 1j, -1], atol=1e-15)


@pytest.mark.parametrize("step", [None, 0.5], ids=["sweeps", "steps"])
@pytest.mark.parametrize("engine", [HopfieldEngine, NumbaHopfieldEngine])
def test_complex_states_are_at_rest(make_hopfield, engine, step):
    """Currents balance at every node: h·u = a + β·(t − ρ), at each point of the half circle."""
    problem = make_hopfield((5, 4), activation="tanh")
    rule, found = phases(problem, engine=engine(step))
    rho, leak = problem.network.forward, rule.chip.scale.leak
    seen = [array.conductance for array in rule.chip.seen()]
    currents = [source.current for source in rule.chip.sources()]
    for factor, point in zip(half_circle(6), found.points, strict=True):
        lines = [problem.inputs, *(rho(k, u) for k, u in enumerate(point))]
        for k, u in enumerate(point):
            arriving = lines[k] @ seen[k].T + currents[k]
            if k < 2:
                arriving = arriving + lines[k + 2] @ seen[k + 1]
            else:
                arriving = arriving + factor * rule.strength * (problem.target - lines[-1])
            assert_allclose(arriving, leak * u, rtol=0, atol=1e-12 * np.abs(leak * u).max())
    assert np.abs(found.points[1][0].imag).max() > 1e-6 * np.abs(found.points[1][0]).max()
    # Ends of the half circle are real.
    assert max(np.abs(u.imag).max() for u in (*found.points[0], *found.points[-1])) == 0


def test_signals_are_the_sum_over_the_whole_circle(make_hopfield):
    """Σ_k ρ_i·ρ_j|_k·e^(−2πik/N), written out with the conjugates of the other half."""
    problem = make_hopfield((5, 4), activation="sigmoid")
    rule, found = phases(problem)
    rho = problem.network.forward
    updates, biases = rule.updates(found, problem.inputs, [1.0] * 3, [1.0] * 3)
    half = [
        [problem.inputs + 0j, *(rho(k, u) for k, u in enumerate(point))] for point in found.points
    ]
    circle = [*half, *([np.conj(v) for v in half[k]] for k in (2, 1))]
    turns = np.exp(-2j * np.pi * np.arange(6) / 6)
    scale = 1 / (6 * rule.nudging * len(problem.inputs))
    for k, (update, bias) in enumerate(zip(updates, biases, strict=True)):
        wanted = scale * sum(w * p[k + 1].T @ p[k] for w, p in zip(turns, circle, strict=True))
        size = np.abs(wanted).max()
        assert np.abs(wanted.imag).max() < 1e-12 * size
        # Products of unit voltages: what is left of them after the sum is smaller by 1e-3 or so.
        assert_allclose(update.dense(np.zeros(()), 0), wanted.real, rtol=0, atol=1e-11 * size)
        change = scale * sum(w * p[k + 1].sum(axis=0) for w, p in zip(turns, circle, strict=True))
        found_change = bias.dense(np.zeros(()), 0)[:, 0]
        assert_allclose(found_change, change.real, rtol=0, atol=1e-11 * np.abs(change).max())


def test_signals_by_sample_add_up(make_hopfield):
    problem = make_hopfield((5, 4), activation="tanh")
    together, found = phases(problem)
    alone = rule_of(problem, table={"programming": {"events": "sample"}})
    rates = [1.0] * 3
    for a, b in zip(
        together.updates(found, problem.inputs, rates, rates)[0],
        alone.updates(found, problem.inputs, rates, rates)[0],
        strict=True,
    ):
        parts = sum(b.dense(np.zeros(()), event) for event in range(len(problem.inputs)))
        whole = a.dense(np.zeros(()), 0)
        assert_allclose(parts, whole, rtol=0, atol=1e-13 * np.abs(whole).max())


def test_single_precision_stays_single():
    free = [np.ones((2, 3), np.float32)]
    points = [[np.full((2, 3), 1 + w, np.complex64)] for w in (0.1, 0.1j, -0.1)]
    derivatives, products = signals(free, points)
    assert {v.dtype for v in (*derivatives, *products[0])} == {np.dtype(np.float32)}
    # Of ρ = 1 + 0.1·w on four points: Σ_k Re(0.1·w·w̄).
    assert_allclose(derivatives[0], 0.4, rtol=1e-6)


@pytest.mark.parametrize(
    ("activation", "table", "message"),
    [
        ("hard-sigmoid", {}, "network.activation = hard-sigmoid"),
        ("tanh", {"nudging": {"kind": "clamp"}}, "chip.nudging.kind = clamp"),
        ("tanh", {"hold": {"droop": 0.01}}, "chip.hold"),
        ("tanh", {"converters": {"nudge_dac": {"bits": 8}}}, "chip.converters.nudge_dac"),
        ("tanh", {"converters": {"state_adc": {"bits": 8}}}, "chip.converters: "),
        (
            "tanh",
            {"device": {"preset": "epiram", "reading": {"disturb": 0.01}}},
            "chip.device.reading.disturb",
        ),
    ],
)
def test_what_cannot_be_complex_is_refused(make_hopfield, activation, table, message):
    rule = rule_of(make_hopfield((4,), activation=activation), table=table)
    with pytest.raises(UnsupportedError, match=rf"not with {message}"):
        rule.check_stability()


def test_sweeps_refuse_a_circle_wider_than_the_leak(make_hopfield):
    problem = make_hopfield((4,), activation="tanh")
    rule_of(problem, nudging=0.99).check_stability()
    with pytest.raises(InvalidValueError, match="must be below 1, the leak"):
        rule_of(problem, nudging=1.0).check_stability()


def test_the_engine_refuses_kinks(make_hopfield):
    with pytest.raises(
        UnsupportedError, match=r"complex nudging: .* hard-sigmoid, which has kinks"
    ):
        phases(make_hopfield((4,)))
