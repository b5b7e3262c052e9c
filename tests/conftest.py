"""Random networks, resistive and Hopfield, that several folders of tests relax."""

from dataclasses import dataclass

import numpy as np
import pytest

from neurohw import engines
from neurohw.circuits.crossbar import WiredCrossbar
from neurohw.devices.fabrication import fabricate
from neurohw.devices.law import moved
from neurohw.engines.equilibrium import Equilibrium, SeenArray, Source
from neurohw.networks.hopfield import HopfieldNetwork, deep_hopfield_network, initial_weights
from neurohw.networks.resistive import ResistiveNetwork, deep_resistive_network, encode
from neurohw.update import pairs

SIEMENS, VOLTS = 10e-6, 0.2


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """A network, its conductances [S], sources, input voltages and targets [V]."""

    network: ResistiveNetwork
    conductances: list
    sources: list
    inputs: np.ndarray
    target: np.ndarray

    @property
    def arrays(self):
        first, *others = self.conductances
        return [
            SeenArray(conductance=first, unit_sums=first.sum(axis=1)),
            *(
                SeenArray(conductance=g, unit_sums=g.sum(axis=1), input_sums=g.sum(axis=0))
                for g in others
            ),
        ]

    @property
    def input_current(self):
        return self.inputs @ self.conductances[0].T

    def wired(self, wires):
        """Return the arrays behind wires with resistance, each in one tile."""
        arrays = []
        for k, g in enumerate(self.conductances):
            inputs = g.shape[1]
            terminals = WiredCrossbar(g, wires).terminals
            sums = np.diag(terminals)
            coupling = np.diag(sums) - terminals
            arrays.append(
                SeenArray(
                    conductance=coupling[inputs:, :inputs].copy(),
                    unit_sums=sums[inputs:].copy(),
                    input_sums=sums[:inputs].copy() if k else None,
                    unit_coupling=coupling[inputs:, inputs:].copy(),
                    input_coupling=coupling[:inputs, :inputs].copy() if k else None,
                    cells=g,
                    wires=wires,
                )
            )
        return arrays

    def relax(self, engine, *, current=None, **options) -> Equilibrium:
        return engines.load(engine).relax(
            self.network,
            self.arrays,
            self.sources,
            self.input_current if current is None else current,
            **options,
        )


@pytest.fixture
def make_problem():
    """Make a random problem: some conductances are 0, every node is met by some."""

    def make(hidden, *, pixels=4, outputs=3, batch=4, seed=0, dtype="float64", diodes=True):
        rng = np.random.default_rng(seed)
        network = deep_resistive_network(pixels, hidden, outputs, dtype)
        if not diodes:
            network = ResistiveNetwork(
                inputs=network.inputs,
                layers=network.layers,
                low=tuple(np.full_like(v, -np.inf) for v in network.low),
                high=tuple(np.full_like(v, np.inf) for v in network.high),
            )
        conductances, sources = [], []
        for units, inputs in zip(network.layers, network.fan_in, strict=True):
            g = np.maximum(rng.uniform(-0.3, 1.0, (units, inputs)), 0.0) * SIEMENS
            conductances.append(g.astype(dtype))
            sources.append(
                Source(
                    current=(0.3 * SIEMENS * VOLTS * rng.normal(size=units)).astype(dtype),
                    conductance=(0.2 * SIEMENS * rng.uniform(size=units)).astype(dtype),
                )
            )
        return Problem(
            network=network,
            conductances=conductances,
            sources=sources,
            inputs=pairs(encode(rng.uniform(size=(batch, pixels)), VOLTS, dtype)),
            target=(VOLTS * rng.normal(size=(batch, outputs))).astype(dtype),
        )

    return make


@dataclass(frozen=True, eq=False, kw_only=True)
class HopfieldProblem:
    """A Hopfield network, its signed conductances [S], sources, inputs and targets [V].

    gains, if any, those of transposed reads, (inputs,) or None an array.
    """

    network: HopfieldNetwork
    conductances: list
    leak: list
    current: list
    inputs: np.ndarray
    target: np.ndarray
    gains: list | None = None

    @property
    def arrays(self):
        gains = self.gains or [None] * len(self.conductances)
        return [
            SeenArray(conductance=g, unit_sums=g.sum(axis=1), transposed_gain=gain)
            for g, gain in zip(self.conductances, gains, strict=True)
        ]

    @property
    def sources(self):
        return [
            Source(current=b, conductance=h) for b, h in zip(self.current, self.leak, strict=True)
        ]

    def relax(self, engine, *, copies=1, **options) -> Equilibrium:
        inputs = np.concatenate([self.inputs] * copies)
        return engine.relax(
            self.network,
            self.arrays,
            self.sources,
            inputs @ self.conductances[0].T,
            **options,
        )

    def some_state(self):
        """Return membranes between 0.1 and 0.9 unit voltages."""
        rng = np.random.default_rng(1)
        shape, unit = len(self.inputs), self.network.unit_voltage
        return [unit * rng.uniform(0.1, 0.9, (shape, n)) for n in self.network.layers]


@pytest.fixture
def make_hopfield():
    """Make a random problem: weights as at the start of learning, biases, unequal leaks."""

    def make(
        hidden,
        *,
        activation="hard-sigmoid",
        pixels=5,
        outputs=3,
        batch=4,
        seed=0,
        dtype="float64",
        spread=0.3,
    ):
        rng = np.random.default_rng(seed)
        network = deep_hopfield_network(
            pixels, hidden, outputs, activation_name=activation, unit_voltage=VOLTS
        )
        conductances, leak, current = [], [], []
        for units, inputs in zip(network.layers, network.fan_in, strict=True):
            weights = initial_weights(rng.uniform(size=(units, inputs)), inputs, units)
            conductances.append((SIEMENS * weights).astype(dtype))
            leak.append((SIEMENS * rng.uniform(1, 1 + spread, units)).astype(dtype))
            current.append((SIEMENS * VOLTS * rng.normal(0.3, 0.2, units)).astype(dtype))
        return HopfieldProblem(
            network=network,
            conductances=conductances,
            leak=leak,
            current=current,
            inputs=encode(rng.uniform(size=(batch, pixels)), VOLTS, dtype),
            target=(VOLTS * rng.uniform(size=(batch, outputs))).astype(dtype),
        )

    return make


@pytest.fixture
def write_pulses():
    """Write a CSV of pulse trains of a device's cells, as they would be measured."""

    def write(path, device, *, devices=4, cycles=3, pulses=48, seed=0, spoil=None):
        """spoil(rng, rows) may change the rows: device, cycle, pulse, polarity, conductance."""
        rng = np.random.default_rng(seed)
        cells = fabricate(device, 1, devices, width=1.0, seed=seed, array=0)
        shape = (1, devices)
        low, high = (np.broadcast_to(limit, shape) for limit in (cells.low, cells.high))
        g, rows = low.copy(), []

        def record(cycle, pulse, polarity):
            seen = np.maximum(g + cells.law.write_sigma * rng.standard_normal(shape), 0.0)
            rows.extend([k, cycle, pulse, polarity, v] for k, v in enumerate(seen[0]))

        for cycle in range(cycles):
            record(cycle, 0, 1)
            for pulse in range(1, 2 * pulses + 1):
                polarity = 1 if pulse <= pulses else -1
                draws = rng.integers(0, 2**32, shape, dtype=np.uint32)
                signed = np.full(shape, float(polarity))
                g, deviation = moved(cells.law, low, high, g, signed, draws)
                g = np.clip(g + deviation * rng.standard_normal(shape), low, high)
                record(cycle, pulse, polarity)
        rows = rows if spoil is None else spoil(rng, rows)
        lines = [f"d{k},{c},{n},{p},{v:.7g}" for k, c, n, p, v in rows]
        path.write_text("\n".join(["device,cycle,pulse,polarity,conductance_S", *lines]) + "\n")
        return cells

    return write
