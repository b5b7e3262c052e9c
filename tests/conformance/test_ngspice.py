"""ngspice, given the same circuit and the same law of the diodes, finds the engines' voltages.

`circuit(number)` and `measured_circuit(number)` make the random networks;
tests/benchmarks/spice_agreement.py compares 100 of the first and 32 of the second. Run as a
program, this file writes the deck and the result in tests/golden anew.
"""

import json
import resource
from dataclasses import replace
from itertools import product
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw import engines
from neurohw.circuits.crossbar import WiredCrossbar
from neurohw.circuits.curves import Curve
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.neuron import Neuron, fabricate
from neurohw.circuits.synapse import Synapse
from neurohw.engines.equilibrium import Nudging, SeenArray, Source
from neurohw.engines.spice import deck
from neurohw.engines.spice.session import session
from neurohw.experiments import verification
from neurohw.experiments.trained_circuit import Circuit
from neurohw.networks.resistive import ResistiveNetwork, deep_resistive_network

GOLDEN = Path(__file__).parents[1] / "golden" / "resistive-6-5-3-nudged"
REGENERATE = "python tests/conformance/test_ngspice.py"
NETWORKS = 100

MEASURED_NETWORKS = 32

KINDS = list(product([1e-3, 1.0], [False, True], [False, True], ["single", "antiparallel"]))


def circuit(number: int, samples: int = 2) -> Circuit:
    """Return a random network of microsiemens, its volts such that some diodes conduct.

    Some cells are 0 S. Sixteen in a row differ in emission coefficient, wires, amplifiers and
    arrangement of diodes.
    """
    ideality, wired, amplified, arrangement = KINDS[number % len(KINDS)]
    rng = np.random.default_rng(number)
    hidden = rng.permutation(np.arange(3, 12))[: 1 + number // len(KINDS) % 3]
    inputs, outputs = 2 * int(rng.integers(2, 6)), int(rng.integers(2, 6))
    layers = (*hidden.tolist(), outputs)
    neuron = Neuron(
        kind="diode",
        arrangement=arrangement,
        low_voltage=-0.05,
        high_voltage=0.05,
        ideality=ideality,
        series_resistance=float(rng.choice([0.0, 50.0])),
        saturation_current_spread=0.3,
        voltage_spread=0.01,
        gain=3.0 if amplified else 1.0,
        gain_spread=0.1 if amplified else 0.0,
        offset_spread=0.01 if amplified else 0.0,
    )
    neurons = tuple(
        fabricate(neuron, n, temperature=300, seed=number, layer=k, output=k == len(hidden))
        for k, n in enumerate(layers)
    )
    free = tuple(np.full(n, np.inf) for n in layers)
    network = ResistiveNetwork(
        inputs=inputs, layers=layers, low=tuple(-v for v in free), high=free, neurons=neurons
    )
    wires = Wires(
        word_line=float(rng.uniform(1, 20)),
        bit_line=float(rng.uniform(1, 20)),
        source=float(rng.choice([0.0, 100.0])),
        sense=float(rng.choice([0.0, 100.0])),
        driven_from=str(rng.choice(["one end", "both ends"])),
        sensed_at=str(rng.choice(["one end", "both ends"])),
        tile=int(rng.choice([4, 128])),
    )
    cells = [
        1e-5 * np.maximum(rng.uniform(-0.3, 1, (n, m)), 0)
        for n, m in zip(layers, network.fan_in, strict=True)
    ]
    volts = 5.0 if ideality == 1 else 1.0
    return Circuit(
        network=network,
        arrays=[seen(g, wires if wired else None) for g in cells],
        sources=[
            Source(
                current=3e-6 * volts * rng.normal(size=n), conductance=2e-6 * rng.uniform(size=n)
            )
            for n in layers
        ],
        inputs=volts * rng.uniform(-1, 1, (samples, inputs)),
        target=volts * rng.normal(size=(samples, outputs)),
        strengths=(3e-7, -3e-7),
    )


LAWS = [None, "lines", "polynomial"]
# Of the nodes and of the cells.
MEASURED_KINDS = list(product(LAWS, LAWS))[1:]
KNEES = np.array([-0.3, -0.05, 0.0, 0.02, 0.04, 0.05, 0.1])
ELEMENTS = {
    "lines": Curve(
        voltage=tuple(KNEES), current=tuple(1e-7 * (np.expm1(KNEES / 0.02) + KNEES / 0.5))
    ),
    "polynomial": Curve(voltage=(-0.1, 0.1), coefficients=(2e-6, 2e-5, 3e-3, 0.0, 0.02)),
}


def measured_circuit(number: int, samples: int = 2) -> Circuit:
    """Return a random network with measured elements at its nodes, nonlinear cells, or both.

    Eight in a row differ in what is measured and how; of those without nonlinear cells some have
    wires and amplifiers.
    """
    nodes, cells = MEASURED_KINDS[number % len(MEASURED_KINDS)]
    turn, rng = number // len(MEASURED_KINDS) % 4, np.random.default_rng(number)
    kind = [0, 9, 1, 8][turn] if cells else [2, 13, 7, 8][turn]
    this = circuit(len(KINDS) * number + kind, samples)
    network = this.network
    if nodes is not None:
        neurons = []
        for k, here in enumerate(network.neurons[:-1]):
            scale = np.exp(0.3 * rng.normal(size=network.layers[k]))
            element = ELEMENTS[nodes].characteristic()
            none = np.zeros_like(scale)
            neurons.append(replace(here, slope=none, curve=element, curve_scale=scale))
        network = replace(network, neurons=(*neurons, network.neurons[-1]))
    if cells is not None:
        volts = 5.0 if KINDS[kind][0] == 1 else 1.0
        law = cell(volts, rng, lines=cells == "lines")
        network = replace(network, synapse=Synapse(law))
    return msgspec.structs.replace(this, network=network)


def cell(volts: float, rng: np.random.Generator, *, lines: bool) -> Curve:
    """Return the curve of a cell up to four times the volts of a network, stiffening or softening.

    Half of the cells carry more at high voltages than their conductance says, half less.
    """
    reach = 4.0
    third = float(rng.choice([0.2, -0.8 / (3 * reach**2)]) * rng.uniform(0.5, 1))
    second = 0.3 * float(rng.uniform(-1, 1)) * np.sqrt(3 * max(third, 0.0))
    x = np.array([-reach, -2.0, -1.0, -0.3, 0.0, 0.2, 0.5, 1.5, reach])
    if lines:
        current = x + second * x**2 + third * x**3
        return Curve(voltage=tuple(volts * x), current=tuple(volts * current))
    return Curve(
        voltage=(-volts * reach, volts * reach),
        coefficients=(1.0, second / volts, third / volts**2),
    )


def seen(cells: np.ndarray, wires: Wires | None) -> SeenArray:
    """Return an array as the physics sees it, with wires reduced tile by tile to its terminals."""
    units, inputs = cells.shape
    if wires is None:
        return SeenArray(conductance=cells, unit_sums=cells.sum(1), input_sums=cells.sum(0))
    matrix = np.zeros((inputs + units, inputs + units))
    for first in range(0, units, wires.tile):
        for start in range(0, inputs, wires.tile):
            tile = cells[first : first + wires.tile, start : start + wires.tile]
            lines = start + np.arange(tile.shape[1]), inputs + first + np.arange(tile.shape[0])
            place = np.concatenate(lines)
            matrix[np.ix_(place, place)] += WiredCrossbar(tile, wires).terminals
    sums = np.diag(matrix)
    coupling = np.diag(sums) - matrix
    return SeenArray(
        conductance=coupling[inputs:, :inputs].copy(),
        unit_sums=sums[inputs:].copy(),
        input_sums=sums[:inputs].copy(),
        unit_coupling=coupling[inputs:, inputs:].copy(),
        input_coupling=coupling[:inputs, :inputs].copy(),
        cells=cells,
        wires=wires,
    )


def test_a_hundred_networks_have_the_same_voltages_and_updates():
    found = [verification.compare(circuit(number)) for number in range(NETWORKS)]
    states = np.array([agreement.state_error.max() for agreement in found])
    updates = np.array([agreement.update_error.max() for agreement in found])
    assert np.quantile(states, 0.9) <= 1e-6
    assert np.quantile(updates, 0.9) <= 1e-5
    # A circuit that is another one is off by a percent or more.
    assert states.max() <= 1e-5
    assert updates.max() <= 1e-3


# The oracle alone relaxes cells of lines, and takes seconds where layers are many.
QUICK = [n for n in range(MEASURED_NETWORKS) if MEASURED_KINDS[n % 8][1] != "lines"] + [6, 27]


@pytest.mark.parametrize("number", QUICK)
def test_measured_networks_have_the_same_voltages_and_updates(number):
    this = measured_circuit(number)
    agreement = verification.compare(this, oracle(this))
    assert agreement.state_error.max() <= 1e-6
    assert agreement.update_error.max() <= 1e-5


@pytest.mark.parametrize("number", [13, 26])
def test_measured_networks_leave_the_measured_range(number):
    this = measured_circuit(number)
    state = verification.solve(this, "numba")[0]
    across = [
        sign * (v - source)
        for neurons, v in zip(this.network.neurons[:-1], state[:-1], strict=True)
        for source, sign in ((neurons.high, 1), (neurons.low, -1))
    ]
    across = np.concatenate(across, axis=1)
    across = across[np.isfinite(across)]
    nodes, _ = MEASURED_KINDS[number % len(MEASURED_KINDS)]
    assert across.min() < 3 * ELEMENTS[nodes].voltage[0]
    assert across.max() > 2 * ELEMENTS[nodes].voltage[-1]


def oracle(this: Circuit) -> str:
    """Return the engine that has the circuit's cells."""
    synapse = this.network.synapse
    return "numpy" if synapse is not None and synapse.coefficients is None else "numba"


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_some_diode_of_these_networks_conducts(number):
    this = circuit(number)
    state = verification.solve(this, "numba")[0]
    currents = [
        neurons.current(v)[0]
        for neurons, v in zip(this.network.neurons[:-1], state[:-1], strict=True)
    ]
    assert max(np.abs(current).max() for current in currents) > 1e-7


@pytest.mark.parametrize("number", [0, 7])
def test_clamped_outputs_and_held_currents(number):
    this = circuit(number, samples=3)
    rng = np.random.default_rng(number)
    nudging = Nudging(
        strength=np.array([np.inf, 2e-6, np.inf]),
        target=this.target,
        current=1e-6 * rng.normal(size=this.target.shape),
    )
    states = [
        engines.load(engine).relax(
            this.network,
            this.arrays,
            this.sources,
            this.inputs @ this.arrays[0].conductance.T,
            nudging=nudging,
            sweeps=1000,
            tolerance=1e-12,
            accelerator="newton",
            inputs=this.inputs,
        )
        for engine in ("numpy", "spice")
    ]
    for ours, theirs in zip(states[0].state, states[1].state, strict=True):
        assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())
    assert_allclose(states[1].state[-1][::2], this.target[::2], rtol=1e-12)


@pytest.mark.parametrize("hidden", [(5,), (6, 4), (5, 4, 3)])
def test_ideal_clamps_are_nearly_ideal_diodes(make_problem, hidden):
    """No voltage is further off than a diode's drop: a node is a mean of its neighbours."""
    problem = make_problem(hidden, diodes=True)
    ours = problem.relax("numpy", sweeps=100_000, tolerance=1e-13)
    theirs = problem.relax("spice", sweeps=1, inputs=problem.inputs)
    largest = max(np.abs(problem.inputs).max(), *(np.abs(v).max() for v in ours.state))
    current = 2 * largest * max(g.sum(1).max() + g.sum(0).max() for g in problem.conductances)
    current += max(np.abs(source.current).max() for source in problem.sources)
    slope = deck.shockley(problem.network).neurons[0].slope[0]
    drop = slope * np.log1p(current / deck.IDEAL_SATURATION_CURRENT)
    assert drop < 6e-4
    for a, b in zip(ours.state, theirs.state, strict=True):
        assert_allclose(a, b, rtol=0, atol=drop)
    assert max(np.abs(a - b).max() for a, b in zip(ours.state, theirs.state, strict=True)) > 0


def test_paired_inputs_drive_both_lines_of_a_pair(make_problem):
    problem = make_problem((4,))
    lines = problem.inputs.shape[1] // 2
    full = problem.relax("spice", sweeps=1, inputs=problem.inputs)
    half = problem.relax("spice", sweeps=1, inputs=problem.inputs[:, :lines])
    for a, b in zip(full.state, half.state, strict=True):
        assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("number", [5, 14])
def test_an_altered_circuit_is_the_circuit_loaded_anew(number):
    this = circuit(number)
    changed = msgspec.structs.replace(
        this,
        arrays=[
            seen(1.3 * (a.conductance if a.cells is None else a.cells), a.wires)
            for a in this.arrays
        ],
        inputs=-0.7 * this.inputs,
    )
    session().unload()
    anew = verification.solve(changed, "spice")
    verification.solve(this, "spice")
    altered = verification.solve(changed, "spice")
    for one, other in zip(anew, altered, strict=True):
        for a, b in zip(one, other, strict=True):
            assert_allclose(a, b, rtol=0, atol=1e-9 * np.abs(a).max())


def test_ten_thousand_solves_take_no_more_memory():
    this = circuit(0, samples=100)

    def solve(times: int) -> None:
        for k in range(times):
            engines.load("spice").relax(
                this.network,
                this.arrays,
                this.sources,
                np.zeros((100, this.network.layers[0])),
                sweeps=1,
                inputs=this.inputs * (1 + k / times),
            )

    solve(10)
    before = resident()
    solve(100)
    # What one solve leaves behind without `destroy all` is 15 kB, 150 MB in all.
    assert resident() - before < 8e6


def resident() -> int:
    """Return what this process holds in memory [bytes]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def golden_circuit() -> Circuit:
    """Return 6-5-3 with nearly ideal diodes, in round numbers, nudged."""
    rng = np.random.default_rng(0)
    network = deep_resistive_network(3, [5], 3)
    cells = [
        np.round(1e-5 * np.maximum(rng.uniform(-0.3, 1, (n, m)), 0), 7)
        for n, m in zip(network.layers, network.fan_in, strict=True)
    ]
    return Circuit(
        network=deck.shockley(network),
        arrays=[seen(g, None) for g in cells],
        sources=[
            Source(current=np.round(3e-6 * rng.normal(size=n), 7), conductance=np.full(n, 1e-6))
            for n in network.layers
        ],
        inputs=np.round(rng.uniform(-1, 1, (1, 6)), 2),
        target=np.round(rng.uniform(0, 1, (1, 3)), 1),
        strengths=(1e-5, -1e-6),
    )


def golden_deck() -> str:
    this = golden_circuit()
    nudging = Nudging(strength=np.array(this.strengths[:1]), target=this.target)
    drive = deck.drives(this.network, this.inputs, 1, nudging)[0]
    return deck.build(this.network, this.arrays, this.sources, drive).text()


def test_golden_deck():
    assert GOLDEN.with_suffix(".cir").read_text() == golden_deck(), REGENERATE


@pytest.mark.parametrize("engine", ["numpy", "numba", "spice"])
def test_golden_result_is_the_engines(engine):
    result = json.loads(GOLDEN.with_suffix(".json").read_text())
    found = verification.solve(golden_circuit(), engine)[1]
    for a, b in zip(found, result["voltages"], strict=True):
        # Nine digits are written.
        assert_allclose(a[0], b, rtol=1e-8, atol=1e-9)


def regenerate() -> None:
    """Write the golden deck and ngspice's result."""
    states = verification.solve(golden_circuit(), "spice")[1]
    result = {
        "regenerate": REGENERATE,
        "ngspice": session().version,
        "unit": "V, one list a free layer",
        "voltages": [[float(f"{v:.9g}") for v in state[0]] for state in states],
    }
    GOLDEN.with_suffix(".cir").write_text(golden_deck())
    GOLDEN.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    regenerate()


@pytest.mark.parametrize(("kind", "strength"), [("current", 2e-6), ("clamp", 0.1)])
def test_nudging_circuits_have_the_same_updates(kind, strength):
    this = msgspec.structs.replace(circuit(1), kind=kind, strengths=(strength, -strength))
    agreement = verification.compare(this)
    assert agreement.state_error.max() < 1e-6
    assert agreement.update_error.max() < 1e-5
    conductor = msgspec.structs.replace(this, kind="conductance", strengths=(2e-6, -2e-6))
    states = [verification.solve(each, "numba")[1][-1] for each in (this, conductor)]
    assert np.abs(states[0] - states[1]).max() > 1e-6 * np.abs(states[0]).max()
