"""Neuron circuits obey Kirchhoff, descend in energy and give the gradient of the cost."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw import engines
from neurohw.chip import Chip
from neurohw.circuits import neuron
from neurohw.circuits.neuron import Neuron
from neurohw.engines.equilibrium import Source
from neurohw.engines.newton import Newton
from neurohw.engines.numba.neuron import kernels
from neurohw.learning.reference import cost_gradient
from neurohw.learning.resistive import ResistivePropagation
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network, encode
from neurohw.update import pairs

NEURONS = {
    "single": {"kind": "diode", "low_voltage": 0.3, "high_voltage": -0.3},
    "sharp": {"kind": "diode", "ideality": 1e-3},
    "antiparallel": {
        "kind": "diode",
        "arrangement": "antiparallel",
        "low_voltage": -0.1,
        "high_voltage": 0.05,
    },
    "resistance": {"kind": "diode", "arrangement": "antiparallel", "series_resistance": 1e5},
    "amplified": {"kind": "diode", "low_voltage": 0.3, "high_voltage": -0.3, "gain": 4.0},
    "unmatched": {"kind": "ideal", "gain": 3.0, "backward_gain": 0.5, "offset": 0.01},
    "spread": {
        "kind": "diode",
        "gain": 2.0,
        "gain_spread": 0.1,
        "offset_spread": 0.01,
        "voltage_spread": 0.02,
        "saturation_current_spread": 0.5,
        "leak": 1e-6,
    },
}
ENGINES = ["numpy", "numba"]


class Case:
    """A network of 5 pixels on a chip with the given neurons, without spread of its cells."""

    def __init__(self, keys, hidden=(7, 6), nudging=None, seed=2):
        table = {
            "device": "ideal",
            "bias": {"kind": "current"},
            "neuron": keys,
            "nudging": nudging or {},
            "input": {"full_scale": 1.0},
        }
        self.specification = chip_specification.load(table)
        plain = deep_resistive_network(5, hidden, 3)
        self.chip = Chip(self.specification, plain, 10.0, seed=seed, dtype="float64")
        self.network = self.chip.network
        rng = np.random.default_rng(seed)
        self.chip.write(
            [rng.uniform(0.05, 1.0, array.values().shape) for array in self.chip.arrays],
            [0.3 * rng.normal(size=units) for units in self.network.layers],
        )
        self.inputs = encode(rng.uniform(size=(3, 5)), 1.0, "float64")
        self.current = self.chip.arrays[0].read(self.inputs)
        self.target = 0.1 * rng.normal(size=(3, 3))

    def relax(self, engine="numba", **options):
        options = {"sweeps": 5000, "tolerance": 1e-14} | options
        return engines.load(engine).relax(
            self.network, self.chip.seen(0), self.chip.sources(0), self.current, **options
        )

    def rule(self, nudging, variant="centered"):
        return ResistivePropagation(
            self.network,
            engines.load("numba"),
            self.chip,
            variant=variant,
            nudging=nudging,
            free_sweeps=60,
            nudged_sweeps=60,
            accelerator="newton",
        )

    def estimate(self, nudging, variant="centered"):
        """Return what the rule takes for the gradient by every conductance [V²/S]."""
        rule = self.rule(nudging, variant)
        contrast = rule.contrast(self.current, self.target, None, 0)
        updates, _ = rule.updates(contrast, self.inputs, [1.0, 1.0, 1.0], [0.0] * 3)
        unit = self.chip.scale.unit_conductance
        values = [array.values() for array in self.chip.arrays]
        return [-u.dense(g, 0) / unit for u, g in zip(updates, values, strict=True)]

    def true_gradient(self):
        return cost_gradient(
            self.network,
            [array.values() for array in self.chip.arrays],
            [source.conductance for source in self.chip.sources(0)],
            pairs(self.inputs),
            self.relax(accelerator="newton", sweeps=60, tolerance=0).state,
            self.target,
        )[0]

    def newton(self):
        return Newton(self.network, self.chip.seen(0), self.chip.sources(0), self.current, None)


@pytest.fixture(params=NEURONS, ids=str)
def case(request):
    return Case(NEURONS[request.param])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("accelerator", ["none", "newton"])
def test_currents_balance_at_every_node(case, engine, accelerator):
    equilibrium = case.relax(engine, accelerator=accelerator)
    assert equilibrium.result == "converged"
    leaving, _, held = case.newton()._balance(np.concatenate(equilibrium.state, axis=1))
    largest = np.abs(case.current).max()
    assert np.abs(np.where(held, 0.0, leaving)).max() < 1e-9 * largest


def test_engines_agree(case):
    for options in ({"sweeps": 3, "tolerance": 0.0}, {"accelerator": "newton"}):
        ours, theirs = case.relax("numba", **options), case.relax("numpy", **options)
        assert ours.iterations == theirs.iterations
        for a, b in zip(ours.state, theirs.state, strict=True):
            assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


@pytest.mark.parametrize("coupled", [False, True])
def test_all_threads_settle_the_same(coupled):
    rng = np.random.default_rng(4)
    batch, units = 5, 30
    neurons = neuron.fabricate(
        Neuron(**NEURONS["antiparallel"]),
        units,
        temperature=300.0,
        seed=0,
        layer=0,
        output=False,
    )
    coupling = 1e-7 * rng.uniform(size=(units, units)) if coupled else np.zeros((0, 0))
    current, total = 1e-6 * rng.normal(size=(batch, units)), np.full((1, units), 1e-5)
    voltages = np.zeros((2, batch, units))
    for kernel, voltage in zip(
        (kernels.settle, kernels.settle_on_all_threads), voltages, strict=True
    ):
        kernel(current, total, coupling, neurons.parameters, voltage)
    assert np.array_equal(*voltages)
    if not coupled:
        assert_allclose(voltages[0], neuron.settle(current, total, neurons), rtol=1e-12)


def test_newton_needs_few_sweeps(case):
    plain, fast = case.relax(), case.relax(accelerator="newton")
    assert fast.iterations <= 8 < plain.iterations or fast.iterations <= plain.iterations <= 8
    for a, b in zip(plain.state, fast.state, strict=True):
        assert_allclose(a, b, rtol=0, atol=1e-11 * np.abs(b).max())


def energy(case, state):
    """Return the sum of all co-contents, weighted as amplifiers weigh them, (batch,) [W]."""
    weights = np.array(case.network.weights) / case.network.weights[0]
    total, lines = 0.0, pairs(case.inputs)
    for k, (array, source) in enumerate(zip(case.chip.arrays, case.chip.sources(0), strict=True)):
        v, n = state[k], case.network.neurons[k]
        drops = v[:, :, None] - lines[:, None, :]
        own = 0.5 * (array.values() * drops**2).sum(axis=(1, 2))
        own += (0.5 * source.conductance * v**2 - source.current * v).sum(axis=1)
        if not n.ideal:
            # Series resistance apart, the co-content of a diode is the integral of its current.
            for side, sign in ((n.high, 1.0), (n.low, -1.0)):
                held = np.isfinite(side)
                u = sign * (v[:, held] - side[held])
                i_s, s = n.saturation_current[held], n.slope[held]
                own += (i_s * (s * np.expm1(u / s) - u)).sum(axis=1)
        total = total + weights[k] * own
        lines = case.network.forward(k, v)
    return total


@pytest.mark.parametrize("name", ["single", "antiparallel", "amplified", "unmatched"])
def test_every_sweep_lowers_the_energy(name):
    case = Case(NEURONS[name])
    state = case.relax(sweeps=1, tolerance=0)
    before = energy(case, state.state)
    for _ in range(20):
        state = case.relax(sweeps=1, tolerance=0, start=state)
        after = energy(case, state.state)
        assert np.all(after <= before + 1e-13 * np.abs(before))
        before = after
    still = energy(case, case.relax(accelerator="newton").state)
    assert np.all(still <= before + 1e-13 * np.abs(before))


def flat(arrays):
    return np.concatenate([a.ravel() for a in arrays])


def cosine_gap(a, b):
    """Return 1 − cos of the angle, without cancellation."""
    return 0.5 * np.sum((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2)


@pytest.mark.parametrize("name", [name for name in NEURONS if name not in ("spread", "sharp")])
def test_centered_estimate_is_the_true_gradient(name):
    case = Case(NEURONS[name])
    for found, true in zip(case.estimate(1e-3), case.true_gradient(), strict=True):
        assert cosine_gap(found, true) <= 1e-8
        assert_allclose(np.linalg.norm(found), np.linalg.norm(true), rtol=1e-3)


def test_amplifiers_that_differ_cost_little_of_the_gradient():
    """Gains that spread make the circuit non-reciprocal: the estimate is off by their spread."""
    gaps = []
    for spread in (0.0, 0.05, 0.1):
        keys = {"kind": "ideal", "gain": 2.0, "backward_gain": 0.5, "gain_spread": spread}
        case = Case(keys)
        gaps.append(cosine_gap(flat(case.estimate(1e-3)), flat(case.true_gradient())))
    assert gaps[0] < 1e-8 < gaps[1] < gaps[2] < 0.02
    assert gaps[2] / gaps[1] == pytest.approx(4.0, rel=0.5)


def test_reference_gradient_agrees_with_finite_differences():
    case = Case(NEURONS["spread"])
    gradient = case.true_gradient()
    unit = case.chip.scale.unit_conductance
    rng = np.random.default_rng(0)
    for k, array in enumerate(case.chip.arrays):
        held = array.values()
        for _ in range(4):
            j, i = (int(rng.integers(size)) for size in held.shape)
            costs = []
            for sign in (1, -1):
                moved = held.copy()
                moved[j, i] += sign * 1e-4 * unit
                array.write(moved)
                case.current = case.chip.arrays[0].read(case.inputs)
                outputs = case.relax(accelerator="newton", sweeps=60, tolerance=0).state[-1]
                costs.append(0.5 * np.mean(np.sum((outputs - case.target) ** 2, axis=1)))
            array.write(held)
            case.current = case.chip.arrays[0].read(case.inputs)
            difference = (costs[0] - costs[1]) / (2e-4 * unit)
            scale = np.abs(gradient[k]).max()
            assert_allclose(gradient[k][j, i], difference, rtol=1e-4, atol=1e-5 * scale)


def test_an_amplifier_with_inverse_current_gain_only_rescales_voltages():
    """So with ideal diodes to ground it changes nothing but the voltages, by gain a layer."""
    plain, amplified = Case({"leak": 0.0, "capacitance": 2e-12}), Case({"gain": 4.0})
    for case in (plain, amplified):
        case.chip.write(
            [array.values() / case.chip.scale.unit_conductance for array in case.chip.arrays],
            [np.zeros(units) for units in case.network.layers],
        )
    ours, theirs = amplified.relax(), plain.relax()
    for k, (a, b) in enumerate(zip(ours.state, theirs.state, strict=True)):
        assert_allclose(a, 4.0**k * b, rtol=0, atol=1e-11 * np.abs(a).max())


def test_sharper_diodes_come_to_ideal_ones():
    ideal = np.concatenate(Case({"capacitance": 2e-12}).relax().state, axis=1)
    distances = []
    for ideality in (1e-1, 1e-2, 1e-3):
        real = Case({"kind": "diode", "ideality": ideality}).relax()
        distances.append(np.abs(np.concatenate(real.state, axis=1) - ideal).max())
    assert_allclose(distances[:-1], 10 * np.array(distances[1:]), rtol=0.1)


@pytest.mark.parametrize("resistance", [0.0, 1e4])
@pytest.mark.parametrize("low", [-np.inf, -0.2, 0.0])
@pytest.mark.parametrize("ideality", [1e-3, 1.0, 2.0])
def test_settled_nodes_balance(ideality, low, resistance):
    """Over seven decades of conductance and up to 50 V either way."""
    units = 4000
    rng = np.random.default_rng(3)
    neurons = neuron.fabricate(
        Neuron(
            kind="diode",
            arrangement="antiparallel",
            low_voltage=min(low, 0) if np.isfinite(low) else 0,
            high_voltage=0.1,
            ideality=ideality,
            series_resistance=resistance,
        ),
        units,
        temperature=300.0,
        seed=0,
        layer=0,
        output=False,
    )
    if np.isinf(low):
        neurons.low[:] = low
    total = 10.0 ** rng.uniform(-9, -2, (1, units))
    free = rng.uniform(-1, 1, (1, units)) * 10.0 ** rng.uniform(-4, 1.7, (1, units))
    v = neuron.settle(total * free, total, neurons)
    drawn, _ = neurons.current(v)
    # A change of v by one rounding changes the current by slope·eps·|v|.
    _, slope = neurons.current(v)
    rounding = 64 * np.finfo(float).eps * (total + slope) * (np.abs(free) + np.abs(v) + 1e-3)
    assert np.all(np.abs(total * (v - free) + drawn) <= rounding)


@pytest.mark.parametrize("kind", ["current", "clamp"])
def test_other_ways_of_nudging(kind):
    case = Case(NEURONS["single"], nudging={"kind": kind})
    true, found = case.true_gradient(), case.estimate(1e-4)
    if kind == "clamp":
        # The outputs' errors count by the conductance that holds the outputs.
        assert cosine_gap(flat(found), flat(true)) > 1e-4
        matrix = case.newton().matrix
        state = case.relax(accelerator="newton", sweeps=60, tolerance=0).state
        hidden = sum(case.network.layers[:-1])
        expected = [np.zeros_like(g) for g in found]
        for sample in range(3):
            one = [v[sample : sample + 1] for v in state]
            slopes = np.concatenate(
                [n.current(v)[1][0] for n, v in zip(case.network.neurons, one, strict=True)]
            )
            full = matrix + np.diag(slopes)
            moved = case.target[sample] - one[-1][0]
            response = np.concatenate(
                (-np.linalg.solve(full[:hidden, :hidden], full[:hidden, hidden:] @ moved), moved)
            )
            lines, moving = pairs(case.inputs)[sample], np.zeros(10)
            for k, part in enumerate(np.split(response, np.cumsum(case.network.layers)[:-1])):
                drop = one[k][0][:, None] - lines
                expected[k] += (part[:, None] - moving) * drop / 3
                lines, moving = one[k][0], part
        true = expected
        unit = case.chip.scale.unit_conductance
        found = [gradient * unit for gradient in found]
    for a, b in zip(found, true, strict=True):
        assert cosine_gap(a, b) <= 1e-7
    assert_allclose(np.linalg.norm(flat(found)), np.linalg.norm(flat(true)), rtol=1e-3)


def test_held_current_has_no_bound_on_negative_nudging():
    case = Case({}, nudging={"kind": "current"})
    case.rule(1e6).check_stability()


def test_leak_is_a_conductor_to_ground():
    case, leaky = Case({}), Case({"leak": 3e-6})
    sources = [
        Source(current=source.current, conductance=source.conductance + extra)
        for source, extra in zip(case.chip.sources(0), (3e-6, 3e-6, 0.0), strict=True)
    ]
    expected = engines.load("numpy").relax(
        case.network, case.chip.seen(0), sources, case.current, sweeps=5000, tolerance=1e-14
    )
    for a, b in zip(leaky.relax().state, expected.state, strict=True):
        assert_allclose(a, b, rtol=0, atol=1e-11 * np.abs(b).max())
