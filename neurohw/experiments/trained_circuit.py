"""The circuit of a trained run with what drives it, whole or cut to what ngspice can hold."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import engines
from neurohw.circuits import tiles
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.periphery import NudgingKind
from neurohw.engines.equilibrium import (
    Equilibrium,
    Nudging,
    SeenArray,
    Source,
    joined_ideally,
    nudge,
    require_settled,
)
from neurohw.engines.kirchhoff import couplings, total_conductances
from neurohw.engines.spice import deck
from neurohw.errors import DataError
from neurohw.experiments.machine import build_resistive, dataset_of, require_same_data
from neurohw.experiments.run_file import Run
from neurohw.networks.resistive import ResistiveNetwork, nudging_bound
from neurohw.update import pairs

Array = NDArray[np.floating]

_SWEEPS, _TOLERANCE = 1000, 1e-12
# Without an accelerator, which nonlinear cells have none of.
_PLAIN_SWEEPS = 100_000


class Circuit(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A network, its arrays and sources, and what drives it, in float64.

    Wires are reduced exactly, from the cells as they are, however old the chip's reduction is.
    inputs (samples, lines) [V] of all word lines; target (samples, outputs) [V], as the nudging
    circuit has them; strengths, the nudging of the two phases that learning compares, of which
    one may be 0, the free phase: [S], or, where outputs are clamped, shares of their way.
    """

    network: ResistiveNetwork
    arrays: Sequence[SeenArray]
    sources: Sequence[Source]
    inputs: Array
    target: Array
    strengths: tuple[float, float]
    kind: NudgingKind = "conductance"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Lines of the inputs and units of each free layer."""
        return (self.network.inputs, *self.network.layers)

    def nudging(self, strength: float, outputs: Array) -> Nudging:
        """Return what acts on free outputs (samples, outputs) [V]; nothing at strength 0."""
        kind = self.kind if strength else "conductance"
        return nudge(kind, np.full(len(self.target), strength), self.target, outputs)

    def relax(self, engine: str, nudging: Nudging | None = None) -> Equilibrium:
        """Return the equilibrium of all samples.

        Raises
        ------
        NeurohwError
            The engine does not settle, or cannot take the circuit.
        """
        linear = self.network.synapse is None
        equilibrium = engines.load(engine).relax(
            self.network,
            self.arrays,
            self.sources,
            self.inputs @ self.arrays[0].conductance.T,
            nudging=nudging,
            sweeps=_SWEEPS if linear else _PLAIN_SWEEPS,
            tolerance=_TOLERANCE,
            accelerator="newton" if linear else "none",
            inputs=self.inputs,
        )
        require_settled(equilibrium, "free" if nudging is None else "nudged", _TOLERANCE)
        return equilibrium

    def deck(self, strength: float) -> str:
        """Return the SPICE deck of the first sample at one nudging, as `strengths` has them."""
        nudging = None
        if strength:
            nudging = self.nudging(strength, self.relax("numba").state[-1])
        drive = deck.drives(self.network, self.inputs, len(self.inputs), nudging)[0]
        return deck.build(self.network, self.arrays, self.sources, drive).text()


def trained(run: Run, samples: slice) -> Circuit:
    """Return the circuit of a run as its chip holds it, for some test images.

    Raises
    ------
    DataError
        There are no such images.
    RunFileError
        The run's data set is now another one.
    """
    experiment = run.experiment
    dataset = dataset_of(experiment)
    require_same_data(run, dataset, experiment.data.name)
    images, labels = dataset.test_images[samples], dataset.test_labels[samples]
    if len(images) == 0:
        raise DataError(
            f"{dataset.name}: there is no sample {samples.start}: it has"
            f" {len(dataset.test_images)} test images, counted from 0"
        )
    machine = build_resistive(experiment, dataset)
    machine.restore(run)
    beta = machine.rule.strength
    strengths = {
        **dict.fromkeys(("centered", "agnostic"), (beta, -beta)),
        "negative": (-beta, 0.0),
    }
    return Circuit(
        network=machine.network,
        arrays=[
            _seen(_cells(array).astype(np.float64), array.wires, driven=k == 0)
            for k, array in enumerate(machine.chip.seen())
        ],
        sources=[
            Source(
                current=source.current.astype(np.float64),
                conductance=source.conductance.astype(np.float64),
            )
            for source in machine.chip.sources()
        ],
        inputs=pairs(machine.encode(images).astype(np.float64)),
        target=machine.targets(labels).astype(np.float64) + machine.rule.offsets,
        strengths=strengths.get(experiment.learning.variant, (beta, 0.0)),
        kind=experiment.circuit.nudging.built,
    )


def cut(circuit: Circuit, most_inputs: int, most_units: int) -> Circuit:
    """Return a circuit with at most so many input lines, and units in each layer.

    What is left are the units that most conductance meets, joined as before, and the input lines
    that most conductance joins to them. Where that leaves too little to hold the outputs against
    negative nudging, all nudging is weakened to half of what it may be. Wires are those of
    crossbars as small as what is left.
    """
    if circuit.network.inputs <= most_inputs and max(circuit.network.layers) <= most_units:
        return circuit
    g = [_cells(array) for array in circuit.arrays]
    kept = []
    for k, array in enumerate(g):
        met = array.sum(axis=1) + (g[k + 1].sum(axis=0) if k + 1 < len(g) else 0.0)
        kept.append(_largest(met, most_units))
    lines = _largest(g[0][kept[0]].sum(axis=0), most_inputs)
    arrays = [
        _seen(g[k][np.ix_(units, below)], circuit.arrays[k].wires, driven=k == 0)
        for k, (units, below) in enumerate(zip(kept, [lines, *kept[:-1]], strict=True))
    ]
    sources = [
        Source(current=source.current[units], conductance=source.conductance[units])
        for source, units in zip(circuit.sources, kept, strict=True)
    ]
    network = _part(circuit.network, len(lines), kept)
    softest = arrays
    if network.synapse is not None:
        slope = network.synapse.smallest_slope
        softest = [joined_ideally(slope * array.conductance) for array in arrays]
    totals = total_conductances(network, softest, sources)
    bound = nudging_bound(
        network, [array.conductance for array in softest], totals, couplings(network, softest)
    )
    weaker = 1.0
    if circuit.kind == "conductance":
        weaker = min(1.0, 0.5 * bound / max(-min(circuit.strengths), 1e-300))
    return Circuit(
        network=network,
        arrays=arrays,
        sources=sources,
        inputs=circuit.inputs[:, lines],
        target=circuit.target[:, kept[-1]],
        strengths=(weaker * circuit.strengths[0], weaker * circuit.strengths[1]),
        kind=circuit.kind,
    )


def _cells(array: SeenArray) -> Array:
    """Return the conductances of an array's cells, (units, inputs) [S]."""
    return array.conductance if array.cells is None else array.cells


def _seen(cells: Array, wires: Wires | None, *, driven: bool) -> SeenArray:
    """Return an array of cells as the physics sees it, its wires reduced exactly."""
    if wires is None:
        return joined_ideally(cells)
    terminals = tiles.reduce(cells, wires, driven=driven)
    return SeenArray(
        conductance=terminals.transfer,
        unit_sums=terminals.unit_sums,
        input_sums=terminals.input_sums,
        unit_coupling=terminals.unit_coupling,
        input_coupling=terminals.input_coupling,
        cells=cells,
        wires=wires,
    )


def _largest(values: Array, most: int) -> NDArray[np.intp]:
    """Return the places of the largest values, in order of place."""
    return np.sort(np.argsort(-values, kind="stable")[:most])


def _part(
    network: ResistiveNetwork, inputs: int, kept: Sequence[NDArray[np.intp]]
) -> ResistiveNetwork:
    neurons = network.neurons
    return replace(
        network,
        inputs=inputs,
        layers=tuple(len(units) for units in kept),
        low=tuple(v[units] for v, units in zip(network.low, kept, strict=True)),
        high=tuple(v[units] for v, units in zip(network.high, kept, strict=True)),
        neurons=None
        if neurons is None
        else tuple(n[units] for n, units in zip(neurons, kept, strict=True)),
    )
