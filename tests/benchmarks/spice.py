"""Equilibria by the compiled engine, batched, against operating points by ngspice."""

import time
from dataclasses import replace

import numpy as np
from table import Row, row

from neurohw import engines
from neurohw.circuits.neuron import Neuron, fabricate
from neurohw.engines.equilibrium import Equilibrium, SeenArray, Source
from neurohw.engines.spice import deck
from neurohw.engines.spice.session import session
from neurohw.networks.resistive import ResistiveNetwork, deep_resistive_network
from neurohw.update import pairs

# Name: pixels, hidden layers, kind of the diodes, samples at once, sweeps at most, bar.
NETWORKS = {
    "1568-100-10, ideal diodes": (784, (100,), "ideal", 1000, 100, 50_000),
    "1568-100-10, Shockley diodes": (784, (100,), "diode", 1000, 100, 50_000),
    "128-64-64-64-10, Shockley diodes": (64, (64, 64, 64), "diode", 200, 2000, 100),
    "128-512-512-10, Shockley diodes": (64, (512, 512), "diode", 40, 2000, 5_000),
}
RESIDUAL = 1e-6
OUTPUTS, FULL_SCALE, SIEMENS = 10, 5.0, 1e-5


class Problem:
    """A network at random as at the start of training, with Shockley diodes or ideal ones."""

    def __init__(self, pixels: int, hidden: tuple[int, ...], kind: str, batch: int) -> None:
        rng = np.random.default_rng(0)
        plain = deep_resistive_network(pixels, hidden, OUTPUTS)
        self.network = plain if kind == "ideal" else _with_diodes(plain)
        self.arrays = []
        for inputs, units in zip(plain.fan_in, plain.layers, strict=True):
            g = np.maximum(rng.uniform(-1, 1, (units, inputs)), 0) * SIEMENS / np.sqrt(inputs)
            self.arrays.append(
                SeenArray(conductance=g, unit_sums=g.sum(axis=1), input_sums=g.sum(axis=0))
            )
        self.sources = [Source(current=np.zeros(n), conductance=np.zeros(n)) for n in plain.layers]
        self.inputs = pairs(FULL_SCALE * rng.uniform(size=(batch, pixels)))
        self.current = self.inputs @ self.arrays[0].conductance.T

    def relax(self, sweeps: int) -> Equilibrium:
        """Return the equilibria of all samples, to the residual."""
        found = engines.load("numba").relax(
            self.network,
            self.arrays,
            self.sources,
            self.current,
            sweeps=sweeps,
            tolerance=RESIDUAL,
        )
        assert found.result == "converged"
        return found

    def spice(self) -> tuple[np.ndarray, float]:
        """Return the voltages of the first sample and the seconds of one operating point."""
        (drive,) = deck.drives(self.network, self.inputs[:1], 1, None)
        ngspice = session()
        ngspice.load(deck.build(self.network, self.arrays, self.sources, drive))
        layers = range(1, len(self.network.layers) + 1)
        nodes = [node for layer in layers for node in deck.nodes(self.network, layer)]
        started = time.perf_counter()
        voltages = ngspice.operating_point(nodes)
        seconds = time.perf_counter() - started
        ngspice.unload()
        return voltages, seconds


def _with_diodes(network: ResistiveNetwork) -> ResistiveNetwork:
    last = len(network.layers) - 1
    neurons = tuple(
        fabricate(Neuron(kind="diode"), n, temperature=300.0, seed=0, layer=k, output=k == last)
        for k, n in enumerate(network.layers)
    )
    none = tuple(np.full(n, np.inf) for n in network.layers)
    return replace(network, low=tuple(-v for v in none), high=none, neurons=neurons)


def against_ngspice(name: str, *, rounds: int) -> list[Row]:
    """Return the time of an equilibrium, ngspice's over it, and how far the two are apart."""
    pixels, hidden, kind, batch, sweeps, bar = NETWORKS[name]
    problem = Problem(pixels, hidden, kind, batch)
    problem.relax(sweeps)
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        found = problem.relax(sweeps)
        times.append((time.perf_counter() - started) / batch)
    theirs, seconds = problem.spice()
    ours = np.concatenate([v[0] for v in found.state])
    apart = np.abs(ours - theirs).max() / np.abs(ours).max()
    label = f"{name}, {batch} samples"
    return [
        row(f"{label}: an equilibrium", 1e6 * float(np.median(times)), "us"),
        row(f"ngspice {session().version}, one operating point", seconds, "s"),
        row(f"{label}: ngspice / neurohw", seconds / float(np.median(times)), "x", at_least=bar),
        row(f"{label}: largest difference of a voltage", apart, "of the largest"),
    ]
