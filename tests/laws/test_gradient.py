"""Equilibrium propagation gives the true gradient of the cost, as nudging goes to zero."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw import engines
from neurohw.chip import Chip
from neurohw.errors import InvalidValueError
from neurohw.learning.reference import cost_gradient
from neurohw.learning.resistive import ResistivePropagation
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network, encode, nudging_bound
from neurohw.update import pairs

# With these seeds no diode switches between the phases, where the gradient has a kink.
SEEDS = {(6,): 0, (7, 6): 1, (6, 5, 8): 0}
HIDDEN = list(SEEDS)
PIXELS, OUTPUTS, BATCH, GAIN = 4, 3, 3, 10.0
VARIANTS = ["positive", "negative", "random_sign", "centered"]
SWEEPS = 3000


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """A network on an ideal chip, with a mini-batch: inputs [V] and targets [V]."""

    network: object
    chip: Chip
    inputs: np.ndarray
    target: np.ndarray
    engine: str

    def rule(self, variant, nudging):
        return ResistivePropagation(
            self.network,
            engines.load(self.engine),
            self.chip,
            variant=variant,
            nudging=nudging,
            free_sweeps=SWEEPS,
            nudged_sweeps=SWEEPS,
        )

    @property
    def input_current(self):
        return self.chip.arrays[0].read(self.inputs)

    def free_state(self):
        equilibrium = engines.load(self.engine).relax(
            self.network,
            self.chip.seen(0),
            self.chip.sources(0),
            self.input_current,
            sweeps=SWEEPS,
        )
        assert equilibrium.residual < 1e-15
        return equilibrium.state

    def cost(self):
        """Mean cost of the batch [V²]."""
        return 0.5 * np.mean(np.sum((self.free_state()[-1] - self.target) ** 2, axis=1))

    def true_gradient(self):
        """Return ∂C/∂g of every array [V²/S], then ∂C/∂I of every layer [V²/A]."""
        return cost_gradient(
            self.network,
            [array.values() for array in self.chip.arrays],
            [source.conductance for source in self.chip.sources(0)],
            pairs(self.inputs),
            self.free_state(),
            self.target,
        )

    def estimate(self, variant, nudging):
        """Return what the rule takes for ∂C/∂g, times the unit of conductance [V²]."""
        rule = self.rule(variant, nudging)
        contrast = rule.contrast(self.input_current, self.target, None, 0)
        for k, low in enumerate(self.network.low):
            same = (contrast.upper[k] == low) == (contrast.lower[k] == low)
            high = self.network.high[k]
            same &= (contrast.upper[k] == high) == (contrast.lower[k] == high)
            assert same.all(), "a diode switches between the phases"
        rates = 0.5 + np.arange(len(self.chip.arrays))
        updates, biases = rule.updates(contrast, self.inputs, rates, 2 * rates)
        values = [array.values() for array in self.chip.arrays]
        return (
            [-u.dense(g, 0) / rate for u, g, rate in zip(updates, values, rates, strict=True)],
            [
                -u.dense(np.zeros(1), 0)[:, 0] / (2 * rate)
                for u, rate in zip(biases, rates, strict=True)
            ],
        )


@pytest.fixture(params=HIDDEN, ids=str)
def case(request):
    return make_case(request.param)


def make_case(hidden, bias="current", engine="numba"):
    """Make a case with conductances without zeros, so that every one has a gradient."""
    seed = SEEDS[hidden]
    specification = chip_specification.load({"device": "ideal", "bias": {"kind": bias}})
    network = deep_resistive_network(PIXELS, hidden, OUTPUTS)
    chip = Chip(specification, network, GAIN, seed=seed, dtype="float64")
    rng = np.random.default_rng(seed)
    chip.write(
        [rng.uniform(0.05, 1.0, array.values().shape) for array in chip.arrays],
        [0.3 * rng.normal(size=units) for units in network.layers],
    )
    if bias == "rails":
        for cells in chip.biases:
            shape = cells.array.values().shape
            cells.array.write(rng.uniform(0.05, 0.3, shape) * chip.scale.unit_conductance)
    full_scale = specification.input.full_scale
    return Case(
        network=network,
        chip=chip,
        inputs=encode(rng.uniform(size=(BATCH, PIXELS)), full_scale, "float64"),
        target=chip.scale.unit_voltage * rng.normal(size=(BATCH, OUTPUTS)),
        engine=engine,
    )


def flat(arrays):
    return np.concatenate([a.ravel() for a in arrays])


def cosine_gap(a, b):
    """Return 1 − cos of the angle, without cancellation."""
    return 0.5 * np.sum((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2)


def relative_error(case, variant, nudging):
    found, _ = case.estimate(variant, nudging)
    true, _ = case.true_gradient()
    true = flat(true) * case.chip.scale.unit_conductance
    return np.linalg.norm(flat(found) - true) / np.linalg.norm(true)


def test_reference_gradient_agrees_with_finite_differences(case):
    by_conductance, by_current = case.true_gradient()
    state = np.concatenate(case.free_state(), axis=1)
    assert np.any(state == 0)
    unit = case.chip.scale.unit_conductance
    rng = np.random.default_rng(0)
    for array, gradient in zip(case.chip.arrays, by_conductance, strict=True):
        held = array.values()
        for _ in range(4):
            j, i = (int(rng.integers(size)) for size in held.shape)
            costs = []
            for sign in (1, -1):
                moved = held.copy()
                moved[j, i] += sign * 1e-4 * unit
                array.write(moved)
                costs.append(case.cost())
            array.write(held)
            difference = (costs[0] - costs[1]) / (2e-4 * unit)
            scale = np.abs(gradient).max()
            assert_allclose(gradient[j, i], difference, rtol=1e-5, atol=1e-6 * scale)
            assert scale > 0
    for layer, (bias, gradient) in enumerate(zip(case.chip.biases, by_current, strict=True)):
        held, step = bias.values.copy(), 1e-4 * case.chip.scale.unit_current
        for j in range(case.network.layers[layer]):
            costs = []
            for sign in (1, -1):
                bias.values = held.copy()
                bias.values[j] += sign * step
                costs.append(case.cost())
            bias.values = held
            difference = (costs[0] - costs[1]) / (2 * step)
            assert_allclose(gradient[j], difference, rtol=1e-5, atol=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize(
    ("hidden", "engine"), [*((hidden, "numba") for hidden in HIDDEN), (HIDDEN[1], "numpy")]
)
def test_centered_estimate_is_the_true_gradient(hidden, engine):
    case = make_case(hidden, engine=engine)
    arrays, biases = case.estimate("centered", 1e-3)
    true_arrays, true_biases = case.true_gradient()
    unit = case.chip.scale.unit_conductance
    for found, true in [
        *zip(arrays, true_arrays, strict=True),
        *zip(biases, true_biases, strict=True),
    ]:
        assert cosine_gap(found, true) <= 1e-8
        assert_allclose(np.linalg.norm(found), unit * np.linalg.norm(true), rtol=1e-4)


@pytest.mark.parametrize(("variant", "order"), [("centered", 2), ("positive", 1), ("negative", 1)])
def test_error_vanishes_with_its_order_in_nudging(case, variant, order):
    strengths = np.array([0.04, 0.02, 0.01, 0.005])
    errors = [relative_error(case, variant, strength) for strength in strengths]
    slopes = np.diff(np.log(errors)) / np.diff(np.log(strengths))
    assert_allclose(slopes[-1], order, rtol=0.01)
    assert_allclose(slopes, order, rtol=0.05)


def test_all_variants_point_the_same_way(case):
    true, true_biases = case.true_gradient()
    for variant in VARIANTS:
        arrays, biases = case.estimate(variant, 1e-2)
        assert cosine_gap(flat(arrays), flat(true)) < 1e-3
        assert cosine_gap(flat(biases), flat(true_biases)) < 1e-3


def test_the_random_sign_takes_both_signs():
    case = make_case((6,))
    rule = case.rule("random_sign", 1e-2)
    spans = [
        rule.contrast(case.input_current, case.target, None, event).span for event in range(30)
    ]
    assert set(np.round(spans, 12)) == {0.01, -0.01}
    positive, negative = (case.rule(v, 1e-2) for v in ("positive", "negative"))
    one_sided = {
        0.01: positive.contrast(case.input_current, case.target, None, 0),
        -0.01: negative.contrast(case.input_current, case.target, None, 0),
    }
    for event in range(4):
        found = rule.contrast(case.input_current, case.target, None, event)
        expected = one_sided[round(spans[event], 12)]
        assert found.span == expected.span
        for ours, theirs in zip(found.upper, expected.upper, strict=True):
            assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())


def test_bias_cells_follow_the_gradient():
    """A cell to a rail is a conductance with a driven input: the chain rule gives its gradient."""
    case = make_case((7, 6), bias="rails")
    rule = case.rule("centered", 1e-3)
    contrast = rule.contrast(case.input_current, case.target, None, 0)
    _, updates = rule.updates(contrast, case.inputs, [3.0] * 3, [1.0] * 3)
    unit = case.chip.scale.unit_conductance
    rng = np.random.default_rng(1)
    for bias, update in zip(case.chip.biases, updates, strict=True):
        held = bias.array.values()
        found = -update.dense(held, 0) / unit
        for _ in range(6):
            j, i = int(rng.integers(len(held))), int(rng.integers(2))
            costs = []
            for sign in (1, -1):
                moved = held.copy()
                moved[j, i] += sign * 1e-4 * unit
                bias.array.write(moved)
                costs.append(case.cost())
            bias.array.write(held)
            difference = (costs[0] - costs[1]) / (2e-4 * unit)
            assert_allclose(found[j, i], difference, rtol=1e-4, atol=1e-4 * np.abs(found).max())


def test_a_step_against_the_gradient_lowers_the_cost(case):
    rule = case.rule("centered", 1e-2)
    before = case.cost()
    contrast = rule.contrast(case.input_current, case.target, None, 0)
    true, _ = case.true_gradient()
    rate = 1e-3 * before / np.sum((case.chip.scale.unit_conductance * flat(true)) ** 2)
    rate *= case.chip.scale.unit_conductance
    rates = [rate] * len(case.chip.arrays)
    updates, _ = rule.updates(contrast, case.inputs, rates, [0.0] * len(rates))
    for array, update in zip(case.chip.arrays, updates, strict=True):
        array.program(update, 0)
    assert_allclose(case.cost() - before, -1e-3 * before, rtol=0.05)


@pytest.mark.parametrize("variant", VARIANTS)
def test_nudging_past_the_bound_is_refused(case, variant):
    arrays = case.chip.seen(0)
    totals = [source.conductance for source in case.chip.sources(0)]
    for k, array in enumerate(case.chip.arrays):
        totals[k] = totals[k] + array.values().sum(axis=1)
        if k > 0:
            totals[k - 1] = totals[k - 1] + array.values().sum(axis=0)
    bound = nudging_bound(case.network, [array.conductance for array in arrays], totals)
    dimensionless = bound / case.chip.scale.unit_conductance
    case.rule(variant, 0.999 * dimensionless).check_stability()
    above = case.rule(variant, 1.001 * dimensionless)
    if variant == "positive":
        above.check_stability()
        return
    with pytest.raises(InvalidValueError) as failure:
        above.check_stability()
    message = str(failure.value)
    assert f"learning.nudging = {above.nudging:g}" in message
    assert f"{dimensionless:.4g}" in message
    assert f"{bound:.3g} S" in message
    assert "\n" not in message
