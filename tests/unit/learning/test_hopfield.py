import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.chip import HopfieldChip
from neurohw.engines.equilibrium import Equilibrium
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.errors import InvalidValueError
from neurohw.learning.equilibrium_propagation import Contrast
from neurohw.learning.hopfield import HopfieldPropagation
from neurohw.mappings import chip_specification


def rule_of(problem, *, step=None, variant="centered", nudging=0.5, chip="ideal", seed=0):
    weights = [g / problem.leak[0][0] for g in problem.conductances]
    chip = HopfieldChip(
        chip_specification.load(chip), problem.network, weights, seed=0, dtype="float64"
    )
    return HopfieldPropagation(
        problem.network,
        HopfieldEngine(step),
        chip,
        variant=variant,
        nudging=nudging,
        free_sweeps=20,
        nudged_sweeps=4,
        seed=seed,
    )


@pytest.mark.parametrize("activation", ["hard-sigmoid", "tanh"])
def test_updates_are_differences_of_products(make_hopfield, activation):
    """−rate · mean of (ρ_i·ρ_j|_b − ρ_i·ρ_j|_a)/(a − b), written out sample by sample."""
    problem = make_hopfield((4,), activation=activation)
    rule, rho = rule_of(problem), problem.network.forward
    upper, lower = problem.some_state(), [0.8 * u for u in problem.some_state()]
    free = Equilibrium(state=tuple(upper), residual=0, iterations=1, result="converged")
    rates, bias_rates, span = [2.0, 3.0], [0.5, 0.7], 1.6
    updates, bias_updates = rule.updates(
        Contrast(free, upper, lower, span), problem.inputs, rates, bias_rates
    )
    lines = [[problem.inputs, *(rho(k, u) for k, u in enumerate(s))] for s in (upper, lower)]
    for k in range(2):
        expected = np.zeros_like(problem.conductances[k])
        bias = np.zeros(len(expected))
        for b in range(4):
            for sign, line in zip((1, -1), lines, strict=True):
                expected += sign * np.outer(line[k + 1][b], line[k][b])
                bias += sign * line[k + 1][b]
        found = updates[k].dense(problem.conductances[k], 0)
        size = np.abs(expected).max()
        assert_allclose(
            found, rates[k] * expected / (4 * span), atol=1e-13 * rates[k] * size, rtol=1e-12
        )
        change = bias_updates[k].dense(np.zeros((len(bias), 1)), 0)[:, 0]
        assert_allclose(change, bias_rates[k] * bias / (4 * span), rtol=1e-12)


def test_a_chip_without_biases_gets_no_updates_of_them(make_hopfield):
    problem = make_hopfield((4,))
    rule = rule_of(problem, chip="epiram")
    contrast = rule.contrast(problem.inputs @ problem.conductances[0].T, problem.target, None, 0)
    updates, bias_updates = rule.updates(contrast, problem.inputs, [1.0, 1.0], [1.0, 1.0])
    assert (len(updates), len(bias_updates)) == (2, 0)


def test_the_sign_is_drawn_for_each_mini_batch(make_hopfield):
    problem = make_hopfield((4,))
    rule, current = rule_of(problem, variant="random_sign"), problem.conductances[0]
    spans = {
        rule.contrast(problem.inputs @ current.T, problem.target, None, event).span
        for event in range(12)
    }
    assert spans == {0.5, -0.5}


def test_sweeps_refuse_a_negative_nudging_above_the_leak(make_hopfield):
    problem = make_hopfield((4,))
    for allowed in (
        rule_of(problem, nudging=0.99),
        rule_of(problem, nudging=1.0, variant="positive"),
        rule_of(problem, nudging=1.0, step=0.5),
    ):
        allowed.check_stability()
    with pytest.raises(InvalidValueError, match=r"nudging = 1: .* must be below 1, the leak"):
        rule_of(problem, nudging=1.0).check_stability()


@pytest.mark.parametrize(
    ("kind", "nudging", "within", "beyond"),
    [
        ("conductance", 0.9, 1 / (1 - 0.9**2), 0.0),
        ("current", 0.9, 1.0, 0.0),
        ("current", 3, 1, 1 / 6),
    ],
)
def test_held_currents_count_errors_alike_and_reach_beyond_limits(
    make_hopfield, kind, nudging, within, beyond
):
    """Contrast over span of outputs alone: of errors of ± 0.02 in units of them, and from −1.2."""
    problem = make_hopfield((), outputs=4, batch=1)
    chip = {"device": "ideal", "nudging": {"kind": kind}}
    rule = rule_of(problem, nudging=nudging, chip=chip)
    rule.check_stability()
    unit, leak = rule.chip.scale.unit_voltage, rule.chip.scale.leak
    drives = np.array([[0.5, 0.5, 1.5, -1.2]])
    targets = np.array([[0.52, 0.48, 1.0, 1.0]])
    contrast = rule.contrast(drives * unit * leak, targets * unit, None, 0)
    upper, lower = (problem.network.forward(0, u[-1]) for u in (contrast.upper, contrast.lower))
    found = (upper - lower)[0] / (contrast.span * unit)
    error = targets[0] - drives[0]
    assert_allclose(found[:2] / error[:2], within, rtol=1e-9)
    assert_allclose(found[2:], [0, beyond], atol=1e-12)
