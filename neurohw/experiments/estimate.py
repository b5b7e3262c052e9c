"""What a chip takes to learn and to infer: energy, latency and area by class of circuits.

The states of the first training images are simulated on the chip as the run leaves it. A relaxing
network's phase lasts until the slowest time constant of the circuit has died down to half a step of
the ADC, a read of a feed-forward one as long as a read pulse; both dissipate what they do at their
end. Pulses are those that the run counted. What depends on the kind of network is `phases.Usage`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip import CrossbarArray
from neurohw.circuits.costs import Costs
from neurohw.errors import InvalidValueError
from neurohw.experiments import (
    boltzmann_phases,
    feedforward_phases,
    hopfield_phases,
    resistive_phases,
    trainer,
)
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.machine import build, computing, dataset_of, require_same_data
from neurohw.experiments.phases import BITS, Phase, Times, Usage, Use, repeated
from neurohw.experiments.programming import Writing, writing
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import crossbars_of
from neurohw.mappings.signed_scale import memory as signed_memory
from neurohw.units import show

Array = NDArray[np.floating]

CLASSES = ("array read", "programming", "DAC", "ADC", "neurons", "wires", "memory", "leakage")
SCOPES = ("inference", "training sample", "training run")
NOT_COUNTED = (
    "digital control and data movement",
    "what drivers lose between their supply and a line",
    "the making of write voltages",
    "the first programming of the chip",
    "evaluations during training",
)
# Images of a training that only counts pulses, at least.
_BRIEF = 256
# One a value of network.kind: of a machine, images, labels and lengths of phases that are given.
_USAGES: dict[str, Callable[[Any, Array, NDArray[np.integer], Times], Usage]] = {
    "resistive": resistive_phases.usage,
    "feedforward": feedforward_phases.usage,
    "hopfield": hopfield_phases.usage,
    "boltzmann": boltzmann_phases.usage,
}


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Costs of one chip with one network.

    energy, by `SCOPES` and `CLASSES` [J]; latency, by `SCOPES` and part: DAC, phases, ADC,
    programming [s]; area, by part: cells, DAC, ADC, neurons, and amplifiers where lines are held
    at 0 V [m²]. phases, of a training sample, as they follow each other; settling says how their
    lengths were found. slowest, the longest time constant of a relaxation [s], and imbalance, mean
    of power delivered less dissipated over the latter: how far from rest the simulated states are;
    both None where nothing relaxes. trained, samples of the training run, of which `short` were
    trained to count pulses where not all were; pulses, of the whole run, None where the device has
    none.
    """

    energy: Mapping[str, Mapping[str, float]]
    latency: Mapping[str, Mapping[str, float]]
    area: Mapping[str, float]
    phases: Mapping[str, Phase]
    settling: str
    slowest: float | None
    samples: int
    trained: int
    short: int | None = None
    pulses: float | None
    imbalance: float | None
    not_counted: Sequence[str]

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the numbers, in sentences."""
        times = ", ".join(f"{name} {show(p.time, 's')}" for name, p in self.phases.items())
        ends = self.slowest is not None and np.isfinite(self.slowest)
        found = [
            f"Phases: {times}; {self.settling}"
            + (f" ({show(self.slowest, 's')})." if ends and self.slowest else "."),
            f"States of {self.samples} training images; training run: {self.trained} samples.",
        ]
        if self.short is not None and self.pulses is not None:
            found.append(f"Pulses are extrapolated from the first {self.short} samples.")
        return [*found, f"Not counted: {'; '.join(self.not_counted)}."]


class _Share(msgspec.Struct, frozen=True, kw_only=True):
    """The share of one sample in the pulses of a run: time [s], energy of cells and lines [J]."""

    time: float = 0.0
    cells: float = 0.0
    lines: float = 0.0


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
    learning, epochs = experiment.learning, 1
    if learning.competition is not None and learning.competition.epochs != 0:
        # One for each layer, and one for the readout.
        epochs = experiment.layers
        competition = msgspec.structs.replace(learning.competition, epochs=1)
        learning = msgspec.structs.replace(learning, competition=competition)
    brief = msgspec.structs.replace(
        experiment,
        data=msgspec.structs.replace(experiment.data, train=images, validation=0),
        learning=learning,
        training=msgspec.structs.replace(training, epochs=epochs, images_per_epoch=None),
    )
    found = estimate(
        trainer.train(brief, start=run),
        trained=training.epochs * experiment.steps(count) * training.batch,
        samples=samples,
        free_time=free_time,
        nudged_time=nudged_time,
    )
    return msgspec.structs.replace(
        found, short=epochs * (images // training.batch * training.batch)
    )


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
        machine = build(experiment, dataset)
        crossbars = crossbars_of(machine.chip)
        fabricated = [(array.main_values(), array.pulses.copy()) for array in crossbars]
        machine.restore(run)
        images, labels = dataset.train_images[:samples], dataset.train_labels[:samples]
        given = _given(experiment, free_time, nudged_time)
        usage = _USAGES[experiment.network.kind](machine, images, labels, given)
        usage = repeated(usage, experiment.chip.device.reading.reads)
        steps = experiment.steps(len(dataset.train_images))
        updates = run.counters["epoch"] * steps + run.counters.get("step", 0)
        by_sample = experiment.chip.programming.events == "sample"
        events = updates * (experiment.training.batch if by_sample else 1)
        written = _written(experiment, crossbars, fabricated, events, started=bool(run.start))
    done = updates * experiment.training.batch
    costs, share = experiment.chip.built_costs, 1 / done if done else 0.0
    pulsed = _Share(
        time=share * max((w.time for w in written), default=0.0),
        cells=share * sum(w.cells + w.half_selected for w in written),
        lines=share * sum(w.lines for w in written),
    )
    scopes = {"inference": (usage.inference, _Share()), "training sample": (usage.training, pulsed)}
    latency = {name: _latency(*parts) for name, parts in scopes.items()}
    chip_area = sum(usage.area.values())
    energy = {
        name: _energy(costs, *parts)
        | {"leakage": costs.leakage_density * chip_area * sum(latency[name].values())}
        for name, parts in scopes.items()
    }
    count = done if trained is None else trained
    for table in (energy, latency):
        table["training run"] = {k: count * v for k, v in table["training sample"].items()}
    return Estimate(
        energy=energy,
        latency=latency,
        area=usage.area,
        phases=usage.phases,
        settling=usage.settling,
        slowest=usage.slowest,
        samples=len(images),
        trained=count,
        pulses=sum(w.pulses for w in written) / max(done, 1) * count if written else None,
        imbalance=usage.imbalance,
        not_counted=[*_not_counted(experiment, bool(written)), *usage.not_counted],
    )


def rows(
    table: Mapping[str, Mapping[str, float]], unit: str, text: Callable[[float, str], str] = show
) -> list[tuple[str, ...]]:
    """Rows of a table for people: each class or part and the total, one column a scope."""
    found = [
        (name, *(text(table[scope][name], unit) for scope in SCOPES)) for name in table[SCOPES[0]]
    ]
    return [*found, ("total", *(text(sum(table[scope].values()), unit) for scope in SCOPES))]


def _given(experiment: Experiment, free_time: float | None, nudged_time: float | None) -> Times:
    """Return the lengths of phases that are given, here or by the run [s]."""
    settings = experiment.relaxation
    if settings is None:
        return free_time, nudged_time
    return free_time or settings.free_time, nudged_time or settings.nudged_time


def _latency(use: Use, pulsed: _Share) -> dict[str, float]:
    """Return the time of each part of a sample [s]."""
    return {
        "DAC": use.dac_time,
        "phases": sum(phase.time for phase in use.phases),
        "ADC": use.adc_time,
        "programming": pulsed.time,
    }


def _energy(costs: Costs, use: Use, pulsed: _Share) -> dict[str, float]:
    """Return the energy of each class but leakage [J]."""
    return {
        "array read": sum(phase.time * phase.arrays for phase in use.phases),
        "programming": pulsed.cells,
        "DAC": use.dacs * costs.dac_energy,
        "ADC": use.adcs * costs.adc_energy,
        "neurons": sum(phase.time * phase.neurons + phase.charging for phase in use.phases),
        "wires": sum(p.time * p.wires for p in use.phases) + use.charging + pulsed.lines,
        "memory": 2 * use.numbers * (costs.adc_bits or BITS) * costs.memory_energy_per_bit,
    }


def _written(
    experiment: Experiment,
    crossbars: Sequence[CrossbarArray],
    fabricated: Sequence[tuple[Array, NDArray[Any]]],
    events: int,
    *,
    started: bool,
) -> list[Writing]:
    """Return the costs of the pulses of each crossbar; none where the device counts none.

    fabricated, conductances and pulses of each fresh one; started, whether the run began with
    other conductances, which no one knows.
    """
    chip = experiment.chip
    if not all(array.cells.whole for array in crossbars):
        return []
    return [
        writing(
            chip.built_costs,
            chip.device,
            array.cells,
            array.main_values() if started else start,
            array.main_values(),
            array.pulses - before,
            events=events,
            tile=chip.tile,
        )
        for array, (start, before) in zip(crossbars, fabricated, strict=True)
    ]


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
    resistive = experiment.network.kind == "resistive"
    bits, _ = chip.programming.memory if resistive else signed_memory(chip)
    if bits:
        found.append(f"{bits} bits of digital memory a weight, which the update scheme keeps")
    if chip.programming.memory[1] > 1:
        found.append("pulses and area of the update scheme's further cells (accumulate)")
    return found
