"""The transient engine against ngspice: `python tests/benchmarks/transient.py`.

Random networks with Shockley diodes, or with measured elements and nonlinear cells ("curves", on
which ngspice takes up to a minute), a free phase of six slowest time constants: the largest
distance at any time that ngspice prints, and how long both took. ngspice's longest step is a
400th of the phase; the engine's tolerance is 1e-6.
"""

import time
from dataclasses import replace
from itertools import product

import click
import numpy as np

from neurohw.circuits.curves import Curve
from neurohw.circuits.neuron import Neuron, fabricate
from neurohw.circuits.synapse import Synapse
from neurohw.engines.equilibrium import SeenArray, Source
from neurohw.engines.spice import deck
from neurohw.engines.spice.session import session
from neurohw.engines.spice.transient import waveform
from neurohw.engines.transient.circuit import circuit
from neurohw.engines.transient.engine import integrate
from neurohw.networks.resistive import deep_resistive_network

KNEES = np.linspace(-0.5, 0.4, 19)
POINTS = Curve(voltage=tuple(KNEES), current=tuple(1e-9 * np.expm1(KNEES / 0.04)))
NEURONS = {"diodes": Neuron(kind="diode"), "curves": Neuron(kind="measured", curve=POINTS)}
CELL = Curve(voltage=(-9.0, 9.0), coefficients=(1.0, 0.03, 0.02))
NETWORKS = {"8": ((5,), 3), "64": ((54,), 10), "64 in 2 layers": ((32, 26), 6)}
STEPS, TOLERANCE, REPEATS = 400, 1e-6, 5


@click.command()
@click.option("--seeds", default=3, show_default=True)
def main(seeds: int) -> None:
    """Print a row a network and seed."""
    click.echo(f"ngspice {session().version}; neurons, largest distance, ngspice [s], ours [s]")
    for name, (hidden, outputs) in NETWORKS.items():
        for kind, seed in product(NEURONS, range(seeds)):
            apart, theirs, ours = compare(hidden, outputs, kind, seed)
            click.echo(
                f"{name:>14} {kind}  {apart:.1e}  {theirs:.3f}  {ours:.5f}"
                f"  {theirs / ours:.0f} times"
            )


def compare(
    hidden: tuple[int, ...], outputs: int, kind: str, seed: int
) -> tuple[float, float, float]:
    """Return the largest distance, of the largest voltage, and both times [s]."""
    rng = np.random.default_rng(seed)
    network = deep_resistive_network(8, hidden, outputs)
    neuron, last = NEURONS[kind], len(network.layers) - 1
    neurons = tuple(
        fabricate(neuron, n, temperature=300.0, seed=seed, layer=k, output=k == last)
        for k, n in enumerate(network.layers)
    )
    free = tuple(np.full(n, np.inf) for n in network.layers)
    synapse = Synapse(CELL) if kind == "curves" else None
    low = tuple(-v for v in free)
    network = replace(network, low=low, high=free, neurons=neurons, synapse=synapse)
    shapes = zip(network.layers, network.fan_in, strict=True)
    cells = [1e-5 * np.maximum(rng.uniform(-0.3, 1, shape), 0) for shape in shapes]
    arrays = [SeenArray(conductance=g, unit_sums=g.sum(1), input_sums=g.sum(0)) for g in cells]
    sources = [Source(current=np.zeros(n), conductance=np.full(n, 1e-6)) for n in network.layers]
    inputs = rng.uniform(-4, 4, (1, network.inputs))
    equation = circuit(network, arrays, sources, inputs @ cells[0].T, None, inputs)
    duration, start = 6 * equation.slowest, [np.zeros(n) for n in network.layers]
    (drive,) = deck.drives(network, inputs, 1, None)
    begun = time.perf_counter()
    times, voltages = waveform(
        network, arrays, sources, drive, start=start, duration=duration, step=duration / STEPS
    )
    theirs = time.perf_counter() - begun
    zero, end = np.zeros((1, len(equation.capacitance))), times[-1:]
    found = integrate(equation, zero, times[times > 0], TOLERANCE).voltages[0]
    ours = np.inf
    for _ in range(REPEATS):
        begun = time.perf_counter()
        integrate(equation, zero, end, TOLERANCE)
        ours = min(ours, time.perf_counter() - begun)
    return np.abs(found - voltages[times > 0]).max() / np.abs(voltages).max(), theirs, ours


if __name__ == "__main__":
    main()
