"""Energy: what sources deliver is dissipated or stored, and each class is what it says."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits.curves import Curve
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.neuron import Neuron, fabricate
from neurohw.circuits.synapse import Synapse
from neurohw.engines.equilibrium import Nudging
from neurohw.engines.transient.settling import settling
from neurohw.networks.resistive import dissipation

NEURONS = {
    "ideal": Neuron(low_voltage=0.02, high_voltage=-0.01),
    "diode": Neuron(kind="diode", low_voltage=0.3, high_voltage=-0.3),
    "amplifier": Neuron(
        kind="diode",
        arrangement="antiparallel",
        low_voltage=-0.1,
        high_voltage=0.1,
        series_resistance=1e3,
        gain=3.0,
        backward_gain=0.5,
        offset=0.01,
    ),
    "limit": Neuron(kind="linear", current_limit=3e-7, leak=1e-6),
    "measured": Neuron(
        kind="measured",
        arrangement="antiparallel",
        low_voltage=-0.01,
        high_voltage=0.02,
        curve=Curve(voltage=(-0.02, 0.0, 0.01), current=(-1e-8, 0.0, 1e-7)),
        saturation_current_spread=0.2,
    ),
}


CELLS = Synapse(Curve(voltage=(-1.0, 1.0), coefficients=(1.0, 0.5, 8.0, 0.0, 20.0)))


def phases(problem, neuron, *, duration=3e-7, points=50, synapse=None):
    """Return the settling of a free phase from 0 V and of a nudged one."""
    layers = problem.network.layers
    neurons = tuple(
        fabricate(neuron, n, temperature=300.0, seed=0, layer=k, output=k == len(layers) - 1)
        for k, n in enumerate(layers)
    )
    low, high = zip(*(n.clamps(np.dtype(np.float64)) for n in neurons), strict=True)
    network = replace(problem.network, low=low, high=high, neurons=neurons, synapse=synapse)
    words = network, problem.arrays, problem.sources, problem.inputs
    free = settling(*words, duration=duration, points=points)
    nudging = Nudging(
        strength=np.array([5e-6, -2e-6, np.inf, 0.0]),
        target=problem.target,
        current=1e-7 * problem.target,
    )
    return free, settling(*words, duration=duration, points=points, start=free.end, nudging=nudging)


@pytest.mark.parametrize(
    ("neuron", "synapse"),
    [*((name, None) for name in NEURONS), ("diode", CELLS)],
    ids=[*NEURONS, "nonlinear cells"],
)
def test_what_is_delivered_is_dissipated_or_stored(make_problem, neuron, synapse):
    for phase in phases(make_problem((5, 4), seed=1), NEURONS[neuron], synapse=synapse):
        delivered = sum(np.abs(e) for e in phase.energy.delivered.values())
        assert (phase.energy.stored != 0).all()
        # Errors of steps, 1e-6 each, add up while voltages move: to at most 20 of them here.
        assert_allclose(phase.energy.imbalance / delivered, 0, atol=2e-5)


def test_wires_dissipate_too(make_problem):
    problem = make_problem((5, 4), seed=1)
    wires = Wires(word_line=500.0, bit_line=300.0, source=1e3)
    words = problem.network, problem.wired(wires), problem.sources, problem.inputs
    phase = settling(*words, duration=3e-7)
    delivered = sum(np.abs(e) for e in phase.energy.delivered.values())
    assert_allclose(phase.energy.imbalance / delivered, 0, atol=2e-5)
    bare = settling(problem.network, problem.arrays, *words[2:], duration=3e-7)
    less = phase.energy.delivered["inputs"] / bare.energy.delivered["inputs"]
    assert (less > 0.8).all()
    assert (less < 0.99).all()


@pytest.mark.parametrize("synapse", [None, CELLS], ids=["resistors", "nonlinear"])
def test_arrays_dissipate_what_their_cells_do(make_problem, synapse):
    """Σ g·u·f(u) of the waveform by the trapezoidal rule, after the fast beginning."""
    problem = make_problem((5, 4), seed=1)
    _, phase = phases(problem, NEURONS["diode"], points=3000, synapse=synapse)
    lines = [
        np.repeat(problem.inputs[:, None], len(phase.times), axis=1),
        *phase.voltages,
    ]
    for k, g in enumerate(problem.conductances):
        power = [
            dissipation(g, below, units, synapse)
            for below, units in zip(lines[k][0][None], lines[k + 1][0][None], strict=True)
        ]
        expected = np.trapezoid(power[0], phase.times) + power[0][0] * phase.times[0]
        found = phase.energy.dissipated[f"array {k + 1}"][0]
        # The first of 3000 intervals counts with its end's power: below a thousandth.
        assert_allclose(found, expected, rtol=2e-3)


def test_every_class_takes_part(make_problem):
    """Each neuron has what the others lack; no diode or limit ever delivers."""
    seen = set()
    for neuron in NEURONS.values():
        for phase in phases(make_problem((5, 4), seed=1), neuron):
            both = [*phase.energy.delivered.items(), *phase.energy.dissipated.items()]
            seen |= {name for name, e in both if np.abs(e).max() > 1e-18}
            for name in ("array 1", "array 2", "array 3", "leaks", "diodes"):
                assert (phase.energy.dissipated[name] >= 0).all()
    assert seen == {
        *("inputs", "biases", "nudging", "diode sources", "amplifiers"),
        *("array 1", "array 2", "array 3", "leaks", "diodes", "current limits"),
    }


def test_a_settled_circuit_only_dissipates(make_problem):
    problem = make_problem((5,), seed=2)
    words = problem.network, problem.arrays, problem.sources, problem.inputs
    first = settling(*words, duration=2e-5)
    later = settling(*words, duration=1e-6, start=first.end)
    delivered = sum(later.energy.delivered.values())
    assert (delivered > 0).all()
    assert_allclose(later.energy.stored / delivered, 0, atol=1e-9)
    power = dissipation(problem.conductances[1], *(v[:, -1] for v in first.voltages))
    assert_allclose(later.energy.dissipated["array 2"], 1e-6 * power, rtol=1e-6)
