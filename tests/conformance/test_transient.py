"""The compiled integrator follows SciPy's on the same equation, written in NumPy."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp

from neurohw.circuits.curves import Curve
from neurohw.circuits.neuron import Neuron, fabricate
from neurohw.circuits.synapse import Synapse
from neurohw.engines.equilibrium import Nudging
from neurohw.engines.transient.circuit import circuit
from neurohw.engines.transient.engine import integrate

NEURONS = {
    "without": Neuron(kind="linear"),
    "linear": Neuron(kind="linear", gain=2.0),
    "diode": Neuron(kind="diode", low_voltage=0.25, high_voltage=-0.25),
    "sharp": Neuron(kind="diode", ideality=0.01),
    "antiparallel": Neuron(
        kind="diode",
        arrangement="antiparallel",
        low_voltage=0.3,
        high_voltage=-0.3,
        series_resistance=1e3,
        gain=4.0,
        offset=0.01,
    ),
    "limit": Neuron(kind="diode", current_limit=1e-6),
    "lines": Neuron(
        kind="measured",
        curve=Curve(voltage=(-0.1, 0.0, 0.05, 0.1), current=(-1e-8, 0.0, 1e-6, 1e-4)),
        saturation_current_spread=0.2,
    ),
    "polynomial": Neuron(
        kind="measured",
        arrangement="antiparallel",
        low_voltage=-0.02,
        high_voltage=0.02,
        curve=Curve(voltage=(-0.1, 0.1), coefficients=(2e-5, 2e-4, 3e-2, 0.0, 0.2)),
        gain=2.0,
    ),
}


def oracle(equation, start, times):
    """Return (batch, times, nodes) voltages by SciPy's implicit Runge-Kutta method of order 5."""
    count, nodes = start.shape
    scale = equation.capacitance

    def everywhere(v):
        return np.broadcast_to(v, (count, nodes))

    def jacobian(sample, v):
        matrix = -equation.matrix - np.diag(equation.added[sample])
        if equation.network.neurons is not None:
            parts = np.split(v, equation.layers[1:-1])
            pairs = zip(equation.network.neurons, parts, strict=True)
            matrix -= np.diag(np.concatenate([n.current(part)[1] for n, part in pairs]))
        limited = np.abs(equation.current(everywhere(v))[sample]) >= equation.limit
        matrix[limited] = 0.0
        # Newton steps that go astray must not overflow.
        return np.clip(matrix, -1e3, 1e3) / scale[:, None]

    found = [
        solve_ivp(
            lambda t, v, b=b: np.clip(equation.current(everywhere(v))[b], -1, 1) / scale,
            (0, times[-1]),
            start[b],
            method="Radau",
            t_eval=times,
            jac=None if equation.among else lambda t, v, b=b: jacobian(b, v),
            first_step=1e-6 * times[-1],
            rtol=1e-7,
            atol=1e-10,
        ).y.T
        for b in range(count)
    ]
    return np.array(found)


CELLS = {
    "polynomial": Curve(voltage=(-1.0, 1.0), coefficients=(1.0, 0.5, 8.0, 0.0, 20.0)),
    "lines": Curve(voltage=(-1.0, -0.1, 0.0, 0.02, 1.0), current=(-2.0, -0.1, 0.0, 0.02, 3.0)),
}


@pytest.mark.parametrize(
    ("neuron", "cells"),
    [
        *((name, None) for name in NEURONS),
        *(("without", "polynomial"), ("without", "lines"), ("lines", "polynomial")),
    ],
)
def test_same_waveforms(make_problem, neuron, cells):
    problem = make_problem((5, 4), batch=2, seed=2)
    layers = problem.network.layers
    neurons = tuple(
        fabricate(
            NEURONS[neuron], n, temperature=300.0, seed=0, layer=k, output=k == len(layers) - 1
        )
        for k, n in enumerate(layers)
    )
    low, high = zip(*(n.clamps(np.dtype(np.float64)) for n in neurons), strict=True)
    synapse = None if cells is None else Synapse(CELLS[cells])
    network = replace(problem.network, low=low, high=high, neurons=neurons, synapse=synapse)
    words = network, problem.arrays, problem.sources, problem.input_current
    times = np.geomspace(1e-9, 1e-6, 25)
    free = circuit(*words, None, problem.inputs)
    start = np.zeros(free.injected.shape)
    nudging = Nudging(
        strength=np.array([5e-6, -1e-6]), target=problem.target, current=1e-7 * problem.target
    )
    for equation in (free, circuit(*words, nudging, problem.inputs)):
        found = integrate(equation, start, times, 1e-6).voltages
        largest = np.abs(found).max()
        # Errors of steps add up, to at most 20 of them in these circuits.
        assert_allclose(found, oracle(equation, start, times), rtol=0, atol=2e-5 * largest)
        start = found[:, -1]
