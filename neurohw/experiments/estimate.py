"""What a chip takes to learn and to infer: energy, latency and area by class of circuits.

The states of the first training images are simulated on the chip as the run leaves it. Each phase
lasts until the slowest time constant of the circuit has died down to half a step of the ADC, and
dissipates what it does at its end. Pulses are those that the run counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip import BiasRails, CrossbarArray
from neurohw.circuits.costs import Costs
from neurohw.errors import InvalidValueError
from neurohw.experiments import trainer
from neurohw.experiments.configuration import Experiment
from neurohw.experiments.machine import (
    ResistiveMachine,
    build_resistive,
    computing,
    dataset_of,
    require_same_data,
)
from neurohw.experiments.phases import Phase, capacitances, lengths, simulate, slowest_time
from neurohw.experiments.programming import Writing, writing
from neurohw.experiments.run_file import Run
from neurohw.units import show
from neurohw.update import pairs

Array = NDArray[np.floating]

CLASSES = ("array read", "programming", "DAC", "ADC", "neurons", "wires", "leakage")
SCOPES = ("inference", "training sample", "training run")
NOT_COUNTED = (
    "digital control, memory and data movement",
    "what drivers lose between their supply and a line",
    "the making of write voltages",
    "the first programming of the chip",
    "evaluations during training",
)
# Images of a training that only counts pulses, at least.
_BRIEF = 256


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Costs of one chip with one network.

    energy, by `SCOPES` and `CLASSES` [J]; latency, by `SCOPES` and part: DAC, phases, ADC,
    programming [s]; area, by part: cells, DAC, ADC, neurons [m²]. phases, as they follow each
    other, free first; settling says how their lengths were found. trained, samples of the training
    run, of which `short` were trained to count pulses where not all were; pulses, of the whole
    run, None where the device has none. imbalance, mean of power
    delivered less dissipated over the latter: how far from rest the simulated states are.
    """

    energy: Mapping[str, Mapping[str, float]]
    latency: Mapping[str, Mapping[str, float]]
    area: Mapping[str, float]
    phases: Mapping[str, Phase]
    settling: str
    slowest: float
    samples: int
    trained: int
    short: int | None = None
    pulses: float | None
    imbalance: float
    not_counted: Sequence[str]

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the numbers, in sentences."""
        times = ", ".join(f"{name} {show(p.time, 's')}" for name, p in self.phases.items())
        found = [
            f"Phases: {times}; {self.settling}"
            + (f" ({show(self.slowest, 's')})." if np.isfinite(self.slowest) else "."),
            f"States of {self.samples} training images; training run: {self.trained} samples.",
        ]
        if self.short is not None and self.pulses is not None:
            found.append(f"Pulses are extrapolated from the first {self.short} samples.")
        return [*found, f"Not counted: {'; '.join(self.not_counted)}."]


class _Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What one sample takes of the chip: phases, conversions, and its share of the pulses."""

    phases: Sequence[Phase]
    dacs: int
    adcs: int
    reading: float
    programming: float = 0.0
    pulses: float = 0.0
    lines: float = 0.0

    def latency(self, costs: Costs) -> dict[str, float]:
        """Return the time of each part [s]."""
        return {
            # One for the inputs, one for each nudging.
            "DAC": len(self.phases) * costs.dac_time if costs.dac_bits else 0.0,
            "phases": sum(phase.time for phase in self.phases),
            "ADC": self.reading,
            "programming": self.programming,
        }

    def energy(self, costs: Costs, charging: float) -> dict[str, float]:
        """Return the energy of each class but leakage, `charging` that of the input lines [J]."""
        return {
            "array read": sum(phase.time * phase.arrays for phase in self.phases),
            "programming": self.pulses,
            "DAC": self.dacs * costs.dac_energy,
            "ADC": self.adcs * costs.adc_energy,
            "neurons": sum(phase.time * phase.neurons + phase.charging for phase in self.phases),
            "wires": sum(p.time * p.wires for p in self.phases) + charging + self.lines,
        }


def of(
    experiment: Experiment,
    run: Run | None,
    *,
    samples: int = 64,
    free_time: float | None = None,
    nudged_time: float | None = None,
) -> Estimate:
    """Estimate the costs of an experiment, given a run of it, or of its network on another chip.

    Without a run, or where it is one of another chip, its costs apart, pulses are those of a short
    training on the first images, which begins with the run's network; see `estimate`.
    """
    if run is not None:
        chip = msgspec.structs.replace(run.experiment.chip, costs=experiment.chip.costs)
        if msgspec.structs.replace(run.experiment, chip=chip) == experiment:
            return estimate(
                replace(run, experiment=experiment),
                samples=samples,
                free_time=free_time,
                nudged_time=nudged_time,
            )
    if samples < 1:
        raise InvalidValueError(f"samples = {samples}: must be at least 1")
    training, count = experiment.training, len(dataset_of(experiment).train_images)
    images = min(count, max(_BRIEF, samples, training.batch))
    brief = msgspec.structs.replace(
        experiment,
        data=msgspec.structs.replace(experiment.data, train=images, validation=0),
        training=msgspec.structs.replace(training, epochs=1, images_per_epoch=None),
    )
    found = estimate(
        trainer.train(brief, start=run),
        trained=training.epochs * experiment.steps(count) * training.batch,
        samples=samples,
        free_time=free_time,
        nudged_time=nudged_time,
    )
    return msgspec.structs.replace(found, short=images // training.batch * training.batch)


def estimate(
    run: Run,
    *,
    samples: int = 64,
    trained: int | None = None,
    free_time: float | None = None,
    nudged_time: float | None = None,
) -> Estimate:
    """Estimate the costs of a run on its chip, with the costs of `chip.costs`.

    Parameters
    ----------
    run : Run
    samples : int
        Training images whose states are simulated, from the first on.
    trained : int, optional
        Samples of the whole training, where the run is the beginning of a longer one.
    free_time, nudged_time : float, optional [s]
        Lengths of the phases; default those of the run, else from the circuit.

    Raises
    ------
    InvalidValueError
        No sample, or no times given where a node never settles.
    RunFileError
        The run's data set is now another one.
    """
    experiment = run.experiment
    if samples < 1:
        raise InvalidValueError(f"samples = {samples}: must be at least 1")
    dataset = dataset_of(experiment)
    require_same_data(run, dataset, experiment.data.name)
    with computing():
        machine = build_resistive(experiment, dataset)
        fabricated = [array.values() for array in _arrays(machine)]
        machine.restore(run)
        settings = experiment.phases
        slowest = slowest_time(machine)
        given = (free_time or settings.free_time, nudged_time or settings.nudged_time)
        times, settling = lengths(machine, slowest, given)
        images, labels = dataset.train_images[:samples], dataset.train_labels[:samples]
        phases, imbalance = simulate(machine, images, machine.targets(labels), times)
        steps = experiment.steps(len(dataset.train_images))
        events = run.counters["epoch"] * steps + run.counters.get("step", 0)
        written = _written(machine, run, fabricated, events)
    done = events * experiment.training.batch
    costs, network = experiment.chip.built_costs, machine.network
    area = _area(machine, costs)
    outputs, nodes = network.layers[-1], sum(network.layers)
    squares = pairs(machine.encode(images)).astype(np.float64) ** 2
    charging = costs.line_capacitance(network.layers[0]) * float(squares.sum(axis=1).mean())
    slowest_reading = max(costs.reading_time(units) for units in network.layers)
    share = 1 / done if done else 0.0
    scopes = {
        "inference": _Sample(
            phases=[phases["free"]],
            dacs=network.inputs,
            adcs=outputs,
            reading=costs.reading_time(outputs),
        ),
        "training sample": _Sample(
            phases=list(phases.values()),
            dacs=network.inputs + outputs * (len(phases) - 1),
            # Learning reads every node in the two phases that it compares.
            adcs=2 * nodes,
            reading=2 * slowest_reading,
            programming=share * max((w.time for w in written), default=0.0),
            pulses=share * sum(w.cells + w.half_selected for w in written),
            lines=share * sum(w.lines for w in written),
        ),
    }
    latency = {name: sample.latency(costs) for name, sample in scopes.items()}
    energy = {
        name: sample.energy(costs, charging)
        | {"leakage": costs.leakage_density * sum(area.values()) * sum(latency[name].values())}
        for name, sample in scopes.items()
    }
    count = done if trained is None else trained
    for table in (energy, latency):
        table["training run"] = {k: count * v for k, v in table["training sample"].items()}
    return Estimate(
        energy=energy,
        latency=latency,
        area=area,
        phases=phases,
        settling=settling,
        slowest=slowest,
        samples=len(images),
        trained=count,
        pulses=sum(w.pulses for w in written) / max(done, 1) * count if written else None,
        imbalance=imbalance,
        not_counted=_not_counted(experiment, bool(written)),
    )


def rows(
    table: Mapping[str, Mapping[str, float]], unit: str, text: Callable[[float, str], str] = show
) -> list[tuple[str, ...]]:
    """Rows of a table for people: each class or part and the total, one column a scope."""
    found = [
        (name, *(text(table[scope][name], unit) for scope in SCOPES)) for name in table[SCOPES[0]]
    ]
    return [*found, ("total", *(text(sum(table[scope].values()), unit) for scope in SCOPES))]


def _arrays(machine: ResistiveMachine) -> list[CrossbarArray]:
    """Return all arrays of cells of a chip, those of bias cells last."""
    biases = [b.array for b in machine.chip.biases if isinstance(b, BiasRails)]
    return [*machine.chip.arrays, *biases]


def _written(
    machine: ResistiveMachine, run: Run, fabricated: Sequence[Array], events: int
) -> list[Writing]:
    """Return the costs of the pulses of each array; none where the device counts none."""
    specification = machine.experiment.chip
    if not all(array.cells.whole for array in _arrays(machine)):
        return []
    return [
        writing(
            specification.built_costs,
            specification.device,
            array.cells,
            array.values() if run.start else start,
            array.values(),
            array.pulses,
            events=events,
            tile=specification.tile,
        )
        for array, start in zip(_arrays(machine), fabricated, strict=True)
    ]


def _area(machine: ResistiveMachine, costs: Costs) -> dict[str, float]:
    """Return the area of each kind of circuit [m²]."""
    network, chip = machine.network, machine.chip
    widths = list(chip.scale.cell_scale)
    biases = [b.array.values().size for b in chip.biases if isinstance(b, BiasRails)]
    cells = [array.values().size for array in chip.arrays]
    wide = sum(w * n for w, n in zip(widths, cells, strict=True))
    wide += sum(w * n for w, n in zip(widths, biases, strict=False))
    nodes = sum(network.layers)
    capacitors = sum(float(c.sum()) for c in capacitances(machine))
    return {
        "cells": costs.pitch**2 * wide,
        # Padding and spare lines of tiles; bias cells have neither.
        "unused cells": costs.pitch**2
        * sum(w * array.cells.unused for w, array in zip(widths, chip.arrays, strict=True)),
        "DAC": costs.dac_area * (network.inputs + network.layers[-1]),
        "ADC": costs.adc_area * sum(costs.adcs(units) for units in network.layers),
        "neurons": costs.neuron_area * nodes + capacitors / costs.capacitor_density,
    }


def _not_counted(experiment: Experiment, written: bool) -> list[str]:
    """Return what the estimate leaves out, and why."""
    chip = experiment.chip
    found = list(NOT_COUNTED)
    if not written:
        found.insert(0, f"programming: the device {chip.device.name} counts no pulses")
    elif 0 in (chip.device.pulse_voltage_up, chip.device.pulse_width_up):
        found.insert(0, f"programming: the device {chip.device.name} states no pulse")
    elif chip.costs.access == "transistor":
        found.append("half-selected cells, which transistors isolate (chip.costs.access)")
    if chip.bias.kind == "current":
        found.append("the programming of bias currents")
    return found
