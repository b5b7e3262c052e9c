import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw import engines
from neurohw.chip import Chip
from neurohw.engines.equilibrium import Equilibrium
from neurohw.errors import ConvergenceError, NumericalError
from neurohw.learning.equilibrium_propagation import Contrast
from neurohw.learning.resistive import ResistivePropagation
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network
from neurohw.update import pairs

HIDDEN, BATCH = (5, 4), 3


def make_rule(bias="current", dtype="float64", engine="numpy", **options):
    specification = chip_specification.load({"device": "ideal", "bias": {"kind": bias}})
    network = deep_resistive_network(3, HIDDEN, 2, dtype)
    chip = Chip(specification, network, 10.0, seed=1, dtype=dtype)
    options = {
        "variant": "centered",
        "nudging": 0.1,
        "free_sweeps": 4,
        "nudged_sweeps": 4,
    } | options
    return ResistivePropagation(network, engines.load(engine), chip, **options)


def random_contrast(rule, span, dtype="float64"):
    rng = np.random.default_rng(0)
    upper, lower = (
        [rng.normal(size=(BATCH, units)).astype(dtype) for units in rule.network.layers]
        for _ in range(2)
    )
    free = Equilibrium(state=tuple(lower), residual=0.0, iterations=4, result="fixed sweeps")
    return Contrast(free, upper, lower, span), rng.normal(size=(BATCH, 3)).astype(dtype)


def naive_gradient(below_upper, upper, below_lower, lower, span):
    """Return the batch mean of half the difference of squared drops, cell by cell."""
    units, inputs = upper.shape[1], below_upper.shape[1]
    gradient = np.zeros((units, inputs))
    for b in range(len(upper)):
        for j in range(units):
            for i in range(inputs):
                drop_upper = below_upper[b, i] - upper[b, j]
                drop_lower = below_lower[b, i] - lower[b, j]
                gradient[j, i] += 0.5 * (drop_upper**2 - drop_lower**2)
    return gradient / (len(upper) * span)


@pytest.mark.kernels
@pytest.mark.parametrize("span", [0.2, -0.1])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_updates_are_minus_the_rate_times_the_contrast(span, dtype):
    rule = make_rule(dtype=dtype)
    contrast, inputs = random_contrast(rule, span, dtype)
    rates = [0.5, 2.0, 3.0]
    updates, _ = rule.updates(contrast, inputs, rates, [1.0, 1.0, 1.0])
    upper, lower = [pairs(inputs), *contrast.upper], [pairs(inputs), *contrast.lower]
    for k, (update, rate) in enumerate(zip(updates, rates, strict=True)):
        assert update.presynaptic.dtype == update.postsynaptic.dtype == dtype
        assert update.presynaptic.shape[:2] == (1, BATCH if k == 0 else 2 * BATCH)
        assert (update.row is None) == (k == 0)
        found = update.dense(np.zeros((upper[k + 1].shape[1], upper[k].shape[1])), 0)
        expected = -rate * naive_gradient(upper[k], upper[k + 1], lower[k], lower[k + 1], span)
        share = {"float64": 1e-13, "float32": 2e-6}[dtype]
        assert_allclose(found, expected, rtol=0, atol=share * np.abs(expected).max())


@pytest.mark.parametrize("span", [0.2, -0.1])
def test_bias_currents_follow_the_difference_of_voltages(span):
    rule = make_rule("current")
    contrast, inputs = random_contrast(rule, span)
    rates = [0.5, 2.0, 3.0]
    _, updates = rule.updates(contrast, inputs, [1.0, 1.0, 1.0], rates)
    for k, (update, bias) in enumerate(zip(updates, rule.chip.biases, strict=True)):
        gradient = -(contrast.upper[k] - contrast.lower[k]).mean(axis=0) / span
        before = bias.values.copy()
        bias.program(update, 0)
        assert_allclose(bias.values - before, -rates[k] * gradient, rtol=1e-12)


@pytest.mark.parametrize("span", [0.2, -0.1])
def test_bias_cells_follow_the_contrast_of_their_drops(span):
    rule = make_rule("rails")
    contrast, inputs = random_contrast(rule, span)
    rates, rail = [0.5, 2.0, 3.0], rule.chip.scale.unit_voltage
    assert rail > 0
    _, updates = rule.updates(contrast, inputs, [1.0, 1.0, 1.0], rates)
    rails = np.tile([rail, -rail], (BATCH, 1))
    for k, update in enumerate(updates):
        upper, lower = contrast.upper[k], contrast.lower[k]
        expected = -rates[k] * naive_gradient(rails, upper, rails, lower, span)
        found = update.dense(np.zeros(expected.shape), 0)
        assert_allclose(found, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def test_a_chip_without_biases_has_no_bias_updates():
    rule = make_rule("off")
    contrast, inputs = random_contrast(rule, 0.2)
    updates, bias_updates = rule.updates(contrast, inputs, [1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    assert len(updates) == 3
    assert bias_updates == []


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("variant", "signs"), [("centered", (1, -1)), ("positive", (1, 0)), ("negative", (-1, 0))]
)
def test_phases_are_relaxed_from_the_free_state(variant, signs, engine):
    """Both nudged phases in one batch give what each gives alone."""
    rule = make_rule(variant=variant, engine=engine)
    rng = np.random.default_rng(2)
    chip = rule.chip
    current = chip.arrays[0].read(0.2 * rng.normal(size=(BATCH, 3)))
    target = 0.02 * rng.normal(size=(BATCH, 2))
    contrast = rule.contrast(current, target, None, 0)
    seen, sources, last = chip.seen(0), chip.sources(0), len(HIDDEN)
    free = rule.engine.relax(rule.network, seen, sources, current, sweeps=4)
    for v, w in zip(contrast.free.state, free.state, strict=True):
        assert_array_equal(v, w)
    assert_allclose(contrast.span, 0.1 * (signs[0] - signs[1]), rtol=1e-12)

    def alone(sign):
        """Nudge by a source of the same conductance and current at the outputs."""
        state = [v.copy() for v in free.state]
        strength = sign * 0.1 * chip.scale.unit_conductance
        for _ in range(4):
            for k in (0, 2, 1):
                below = current if k == 0 else state[k - 1] @ seen[k].conductance.T
                total = seen[k].unit_sums + sources[k].conductance
                total_current = below + sources[k].current
                if k < last:
                    total = total + seen[k + 1].input_sums
                    total_current = total_current + state[k + 1] @ seen[k + 1].conductance
                else:
                    total = total + strength
                    total_current = total_current + strength * target
                low, high = rule.network.low[k], rule.network.high[k]
                state[k] = np.clip(total_current / total, low, high)
        return state

    for found, sign in zip((contrast.upper, contrast.lower), signs, strict=True):
        for v, w in zip(found, alone(sign) if sign else free.state, strict=True):
            assert_allclose(v, w, rtol=0, atol=1e-12 * np.abs(w).max())


def test_a_phase_that_does_not_settle_is_named():
    current, target = np.full((BATCH, 5), 1e-6), np.full((BATCH, 2), 0.02)
    strict = {"tolerance": 1e-14, "free_sweeps": 2000}
    with pytest.raises(ConvergenceError, match="free phase"):
        make_rule(tolerance=1e-14).contrast(current, target, None, 0)
    with pytest.raises(ConvergenceError, match="nudged phase"):
        make_rule(**strict, nudged_sweeps=1).contrast(current, target, None, 0)
    with pytest.raises(NumericalError, match="nudged phase"):
        make_rule().contrast(current, target * np.nan, None, 0)


def test_random_signs_are_a_function_of_seed_and_event():
    current, target = np.full((BATCH, 5), 1e-6), np.full((BATCH, 2), 0.02)

    def signs(seed):
        rule = make_rule(variant="random_sign", seed=seed, free_sweeps=1, nudged_sweeps=1)
        return [rule.contrast(current, target, None, event).span > 0 for event in range(60)]

    assert signs(0) == signs(0) != signs(1)
    assert 15 < sum(signs(0)) < 45
