"""What a circuit with measured elements obeys: Kirchhoff, descent of the co-content."""

import dataclasses

import numpy as np
import pytest

from neurohw.circuits.curves import Curve
from neurohw.circuits.neuron import Neuron, fabricate
from neurohw.engines.equilibrium import Nudging
from neurohw.networks.resistive import co_content

HIDDEN = [(6,), (6, 5, 8)]
KNEES = np.array([-0.3, -0.05, 0.0, 0.02, 0.04, 0.05, 0.1])
DIODES = {
    "lines": Curve(
        voltage=tuple(KNEES), current=tuple(2e-6 * (np.expm1(KNEES / 0.015) + KNEES / 0.5))
    ),
    "polynomial": Curve(voltage=(-0.1, 0.1), coefficients=(2e-5, 2e-4, 3e-2, 0.0, 0.2)),
}


@pytest.fixture(params=[(c, a) for c in DIODES for a in ("single", "antiparallel")], ids=str)
def make_measured(make_problem, request):
    """Make a random problem whose hidden nodes have measured elements."""
    curve, arrangement = request.param
    neuron = Neuron(
        kind="measured",
        curve=DIODES[curve],
        arrangement=arrangement,
        low_voltage=-0.01,
        high_voltage=0.02,
        saturation_current_spread=0.2,
    )

    def make(hidden, **options):
        problem = make_problem(hidden, diodes=False, **options)
        layers = problem.network.layers
        neurons = tuple(
            fabricate(neuron, n, temperature=300.0, seed=3, layer=k, output=k + 1 == len(layers))
            for k, n in enumerate(layers)
        )
        return dataclasses.replace(
            problem, network=dataclasses.replace(problem.network, neurons=neurons)
        )

    return make


def leaving(problem, state, nudging=None):
    """Return the net current out of every free node, and the sum of magnitudes [A]."""
    net, size = [], []
    voltages = [problem.inputs, *state]
    for k, v in enumerate(state):
        branches = [problem.conductances[k].T * (v[:, None, :] - voltages[k][:, :, None])]
        if k + 1 < len(state):
            above = voltages[k + 2]
            branches.append(problem.conductances[k + 1] * (v[:, None, :] - above[:, :, None]))
        elif nudging is not None:
            branches.append((nudging.strength[:, None] * (v - nudging.target))[:, None, :])
        branches.append((problem.sources[k].conductance * v)[:, None, :])
        branches.append(np.broadcast_to(-problem.sources[k].current, v.shape)[:, None, :])
        branches.append(problem.network.neurons[k].current(v)[0][:, None, :])
        branches = np.concatenate(branches, axis=1)
        net.append(branches.sum(axis=1))
        size.append(np.abs(branches).sum(axis=1))
    return np.concatenate(net, axis=1), np.concatenate(size, axis=1)


def energy(problem, state, nudging=None):
    """Return the co-content of everything in the circuit, (batch,) [W]."""
    sources = problem.sources
    total = co_content(
        problem.conductances,
        problem.inputs,
        state,
        [source.conductance for source in sources],
        [source.current for source in sources],
    )
    if nudging is not None:
        total += 0.5 * nudging.strength * ((state[-1] - nudging.target) ** 2).sum(axis=1)
    for v, n in zip(state, problem.network.neurons, strict=True):
        for source, sign in ((n.high, 1.0), (n.low, -1.0)):
            held = np.isfinite(source)
            if n.curve is not None:
                across = sign * (v[:, held] - source[held])
                total += n.curve.co_content(across) @ n.curve_scale[held]
    return total


@pytest.mark.parametrize("accelerator", ["none", "newton"])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_kirchhoff(make_measured, hidden, accelerator):
    problem = make_measured(hidden, seed=4)
    nudging = Nudging(strength=np.full(4, 3e-6), target=problem.target)
    options = {"sweeps": 20_000, "tolerance": 1e-14, "accelerator": accelerator}
    for phase in (None, nudging):
        equilibrium = problem.relax("numba", nudging=phase, **options)
        assert equilibrium.result == "converged"
        net, size = leaving(problem, equilibrium.state, phase)
        assert np.all(np.abs(net) <= 1e-11 * size)
    hidden_layers = zip(problem.network.neurons[:-1], equilibrium.state[:-1], strict=True)
    drawn = np.concatenate([n.current(v)[0] for n, v in hidden_layers], axis=1)
    assert np.mean(np.abs(drawn) > 0.1 * size[:, : drawn.shape[1]]) > 0.1


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_every_sweep_lowers_the_co_content(make_measured, hidden, engine):
    problem = make_measured(hidden, seed=5)
    nudging = Nudging(strength=np.full(4, 3e-6), target=problem.target)
    start = make_measured(hidden, seed=6).relax(engine, sweeps=1)
    energies = [energy(problem, start.state, nudging)]
    for _ in range(8):
        start = problem.relax(engine, start=start, nudging=nudging, sweeps=1)
        energies.append(energy(problem, start.state, nudging))
    scale = np.abs(energies).max()
    assert np.all(np.diff(energies, axis=0) <= 1e-14 * scale)
    assert np.all(energies[1] < energies[0] - 1e-3 * scale)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_engines_take_the_same_path(make_measured, hidden, dtype):
    problem = make_measured(hidden, seed=7, dtype=dtype)
    expected, found = problem.relax("numpy", sweeps=4), problem.relax("numba", sweeps=4)
    largest = max(np.abs(v).max() for v in expected.state)
    for ours, theirs in zip(found.state, expected.state, strict=True):
        assert ours.dtype == dtype
        assert np.abs(ours - theirs).max() <= {"float64": 1e-12, "float32": 1e-5}[dtype] * largest
