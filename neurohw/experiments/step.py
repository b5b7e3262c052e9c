"""What the trainer asks of a machine, whatever the kind of its network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import (
    BoltzmannChip,
    Chip,
    CrossbarArray,
    FeedforwardChip,
    HopfieldChip,
    SignedArray,
    SignedChip,
)
from neurohw.datasets import Dataset
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.run_file import Run
from neurohw.update import Update

Array = NDArray[np.floating]
AnyChip = Chip | FeedforwardChip | HopfieldChip | BoltzmannChip

_RANGE = "_range"
# Events of evaluation are numbered from here, apart from the mini-batches of training.
EVALUATION = 1 << 40
# Of calibrations, which all have the same.
CALIBRATION = 1 << 41
# Of looks at the states of a machine, apart from evaluations, which they must not touch.
OBSERVATION = 1 << 42


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """A mini-batch at the chip's lines.

    Parameters
    ----------
    inputs : (batch, inputs) array [V]
        As `encode` returns them.
    pending : (batch, units) array [A]
        The first array's currents for them.
    targets : (batch, outputs) array [V]
    samples : (batch,) array of int
        Which training images they are.
    """

    inputs: Array
    pending: Array
    targets: Array
    samples: NDArray[np.intp]


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """What a mini-batch gave: an update an array, one a bias, and how far the outputs are.

    Arrays with None for an update rest.
    beside are the updates of arrays beside those of the layers, by group; those without are at
    rest.
    outputs (batch, outputs) are in any unit, the largest is the answer; cost is the sum over the
    mini-batch, dimensionless; programmed, the events that cells took while it ran, before these.
    """

    updates: Sequence[Update | None]
    bias_updates: Sequence[Update]
    outputs: Array
    cost: float
    programmed: int = 0
    beside: Mapping[str, Sequence[Update]] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """Events of the updates, which those of all arrays share; 1 where all rest."""
        return next((len(each.presynaptic) for each in self.updates if each is not None), 1)


class Machine(Protocol):
    """The network of an experiment on its chip, and its learning rule."""

    @property
    def experiment(self) -> Experiment:
        """What it was built from."""
        ...

    @property
    def chip(self) -> AnyChip:
        """The chip, whose arrays and biases the trainer programs."""
        ...

    def check(self) -> None:
        """Raise `InvalidValueError` if the next epoch cannot work with the weights as they are."""
        ...

    def prepare(self, event: int, dataset: Dataset) -> None:
        """Do what is due before a mini-batch, such as calibrating converters."""
        ...

    def encode(self, images: Array, event: int = 0) -> Array:
        """Return the voltages that the first array takes for (n, pixels) images in [0, 1] [V]."""
        ...

    def targets(self, labels: NDArray[np.integer]) -> Array:
        """Return what the outputs are to be, (n, outputs) [V]."""
        ...

    def outputs(self, images: Array) -> Array:
        """Return the outputs of images, (n, outputs), in any unit; NaN where none were found."""
        ...

    def states(self, images: Array) -> list[Array]:
        """Return what all units put out for images, (n, units) a layer, dimensionless.

        NaN where nothing was found. The machine stays as it is.
        """
        ...

    def error(self, images: Array, labels: NDArray[np.integer]) -> float:
        """Return the share of images whose largest output is not the label's."""
        ...

    def warnings(self) -> list[str]:
        """Return lines to warn of after an epoch and its evaluation, and begin another."""
        ...

    def learning_rates(self, epoch: int) -> tuple[Sequence[float], Sequence[float]]:
        """Return the rates of arrays [S/V²] and of biases in an epoch counted from 0."""
        ...

    def step(
        self, batch: Batch, event: int, rates: Sequence[float], bias_rates: Sequence[float]
    ) -> Step:
        """Run a mini-batch through the chip; its arrays are not changed yet, or not for good."""
        ...

    def measures(self, dataset: Dataset) -> dict[str, float]:
        """Return what else to note of an epoch that ends, by name; always the same names."""
        ...

    def carried(self) -> dict[str, Array]:
        """Return what one mini-batch leaves to the next, beside the chip: for the run file."""
        ...

    def restore(self, run: Run) -> None:
        """Take over the arrays, biases and what is carried of a run."""
        ...


def crossbars_of(chip: AnyChip, *, beside: bool = True) -> list[CrossbarArray]:
    """Return all crossbars of a chip, those of bias cells last, with arrays beside or without."""
    others = [array for group in beside_of(chip).values() for array in group]
    count = 0 if beside else sum(len(array.every_crossbar) for array in others)
    layers = chip.crossbars[: len(chip.crossbars) - count]
    return [*layers, *(array for bias in chip.biases for array in bias.crossbars)]


def restore_chip(chip: AnyChip, run: Run) -> None:
    """Give a chip the arrays, biases and ranges of converters of a run."""
    for k, record in enumerate(run.arrays):
        chip.arrays[k].restore(record)
    for k, record in enumerate(run.biases):
        chip.biases[k].restore(record)
    for name, group in beside_of(chip).items():
        for k, array in enumerate(group):
            array.restore(run.beside[f"{name}_{k}"])
    restore_ranges(chip, run)


def restore_ranges(chip: AnyChip, run: Run) -> None:
    """Give a chip the ranges of converters of a run."""
    chip.ranges.clear()
    for key, values in run.state.items():
        if key.endswith(_RANGE):
            chip.ranges[key.removesuffix(_RANGE)] = values


def beside_of(chip: AnyChip) -> Mapping[str, Sequence[SignedArray]]:
    """Return the arrays beside those of the layers, by group; none of a resistive network."""
    return chip.beside if isinstance(chip, SignedChip) else {}


def beside_records(chip: AnyChip) -> dict[str, dict[str, Array]]:
    """Return what a run file holds of the arrays beside those of the layers."""
    return {
        f"{name}_{k}": array.record()
        for name, group in beside_of(chip).items()
        for k, array in enumerate(group)
    }


def ranges_of(chip: AnyChip) -> dict[str, Array]:
    """Return the ranges of calibrated converters as a run file holds them [V]."""
    return {name + _RANGE: values for name, values in chip.ranges.items()}
