"""Training inside one ngspice transient: all samples, phases and updates one after the other."""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip import BiasRails
from neurohw.circuits.periphery import NudgingCircuit, SampleAndHold
from neurohw.circuits.readout import Converters
from neurohw.datasets import Dataset
from neurohw.engines.equilibrium import Equilibrium
from neurohw.engines.spice.cosimulation import Phase, Phases, cosimulate
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.experiments.machine import ResistiveMachine
from neurohw.learning.equilibrium_propagation import Contrast
from neurohw.update import pairs

_SIGNS = {"centered": (1.0, -1.0), "positive": (1.0,), "negative": (-1.0,)}

Array = NDArray[np.floating]


class Learnt(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Share of wrong samples and mean cost of the free phases of each epoch, (epochs,)."""

    error: Array
    cost: Array


def train(machine: ResistiveMachine, dataset: Dataset, *, epochs: int, duration: float) -> Learnt:
    """Train a machine's chip on its data set, each phase of a given length.

    A sample has a free phase and then its nudged ones, each from where the circuit is; the chip
    is updated after every mini-batch, in the order of `neurohw.experiments.trainer`.

    Raises
    ------
    UnsupportedError
        What the circuit of external sources lacks: wires, cells on bias rails, nudging other than
        by an exact conductor, errors of the sample-and-hold, converters, the variant random_sign,
        a limit to the neurons' current.
    InvalidValueError
        No epoch, a length that is not above 0, a nonlinear cell out of its range, or negative
        nudging without a minimum; see `ResistivePropagation.check_stability`.
    ConvergenceError
        ngspice does not follow the circuit.
    """
    if epochs < 1:
        raise InvalidValueError(f"epochs = {epochs}: must be at least 1")
    _require_supported(machine)
    training = machine.experiment.training
    steps = len(dataset.train_images) // training.batch
    signs = _signs(machine)
    found: dict[str, list[float]] = {"error": [], "cost": []}
    cosimulate(
        machine.network,
        [source.conductance.astype(np.float64) for source in machine.chip.sources()],
        _phases(machine, dataset, epochs, found),
        count=epochs * steps * training.batch * (1 + len(signs)),
        duration=duration,
    )
    machine.rule.check_stability()
    error, cost = (np.array(found[key]).reshape(epochs, -1).mean(axis=1) for key in found)
    return Learnt(error=error, cost=cost)


def _phases(
    machine: ResistiveMachine, dataset: Dataset, epochs: int, found: dict[str, list[float]]
) -> Phases:
    """Yield the phases of a training, and update the chip in between."""
    rule, chip, signs = machine.rule, machine.chip, _signs(machine)
    targets = machine.targets(dataset.train_labels)
    steps = len(targets) // machine.experiment.training.batch
    for event, batch, epoch in _batches(machine, dataset, epochs):
        if event % steps == 0:
            rule.check_stability()
        inputs = machine.encode(dataset.train_images[batch])
        cells = [array.values() for array in chip.arrays]
        currents = [source.current for source in chip.sources(event)]
        states: list[list[Sequence[Array]]] = []
        for lines, target in zip(pairs(inputs), targets[batch], strict=True):
            states.append([])
            for sign in (0.0, *signs):
                state = yield Phase(
                    inputs=lines,
                    target=target,
                    strength=sign * rule.strength,
                    cells=cells,
                    currents=currents,
                )
                states[-1].append(state)
        free, *nudged = (_stacked([sample[k] for sample in states]) for k in range(len(states[0])))
        contrast = Contrast(
            Equilibrium(state=free, residual=np.inf, iterations=1, result="fixed time"),
            nudged[0],
            nudged[1] if len(nudged) == 2 else free,
            rule.nudging * (signs[0] - (signs[1] if len(signs) == 2 else 0.0)),
        )
        updates, bias_updates = rule.updates(contrast, inputs, *machine.learning_rates(epoch))
        for array, update in zip(chip.arrays, updates, strict=True):
            array.program(update, event)
        for bias, update in zip(chip.biases, bias_updates, strict=True):
            bias.program(update, event)
        miss = (free[-1] - targets[batch]) / chip.scale.unit_voltage
        found["cost"] += (0.5 * (miss**2).sum(axis=1)).tolist()
        wrong = free[-1].argmax(axis=1) != dataset.train_labels[batch]
        found["error"] += wrong.astype(float).tolist()


def _batches(
    machine: ResistiveMachine, dataset: Dataset, epochs: int
) -> Iterator[tuple[int, NDArray[np.intp], int]]:
    """Yield number, samples and epoch of each mini-batch, as the trainer orders them."""
    training, count = machine.experiment.training, len(dataset.train_images)
    steps = count // training.batch
    for epoch in range(epochs):
        order = randomness.permutation(training.seed, "shuffle", epoch, count)
        for step in range(steps):
            yield (
                epoch * steps + step,
                order[step * training.batch : (step + 1) * training.batch],
                epoch,
            )


def _signs(machine: ResistiveMachine) -> tuple[float, ...]:
    return _SIGNS[machine.rule.variant]


def _stacked(states: Sequence[Sequence[Array]]) -> tuple[Array, ...]:
    """Return a (batch, units) array a layer of the layers of each sample."""
    return tuple(np.stack(layer) for layer in zip(*states, strict=True))


def _require_supported(machine: ResistiveMachine) -> None:
    chip = machine.chip.specification
    reasons = {
        "chip.nudging": replace(chip.nudging, kind=chip.nudging.built)
        != NudgingCircuit(kind="conductance"),
        "chip.hold": chip.hold != SampleAndHold(),
        "chip.converters": chip.converters != Converters(),
        f"learning.variant = {machine.rule.variant}": machine.rule.variant not in _SIGNS,
        "training.precision = float32": machine.experiment.training.precision != "float64",
        "chip.bias.kind = rails": any(isinstance(b, BiasRails) for b in machine.chip.biases),
        "chip.wires": any(array.wires is not None for array in machine.chip.seen()),
        "chip.device.reading": machine.chip.noisy,
        "chip.neuron.current_limit": np.isfinite(chip.neuron.current_limit),
    }
    for what, wrong in reasons.items():
        if wrong:
            raise UnsupportedError(f"{what}: co-simulation in time cannot do it")
