"""A machine: the network of an experiment on its chip, with the engine and the learning rule."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from neurohw import datasets, engines
from neurohw.chip import Chip
from neurohw.datasets import Dataset
from neurohw.engines.equilibrium import Engine, require_settled
from neurohw.errors import DataError, RunFileError
from neurohw.experiments.configuration import Experiment
from neurohw.experiments.run_file import Run
from neurohw.learning.equilibrium_propagation import EquilibriumPropagation
from neurohw.learning.relaxation import relax
from neurohw.networks.resistive import ResistiveNetwork, deep_resistive_network, encode

Array = NDArray[np.floating]

_EVALUATED_AT_ONCE = 500
# Events of evaluation are numbered from here, apart from the mini-batches of training.
_EVALUATION = 1 << 40


@dataclass(frozen=True, eq=False, kw_only=True)
class Machine:
    """Everything that an experiment builds before it trains."""

    experiment: Experiment
    chip: Chip
    engine: Engine
    rule: EquilibriumPropagation

    @property
    def network(self) -> ResistiveNetwork:
        """What relaxes, with the chip's neurons."""
        return self.chip.network

    @property
    def full_scale(self) -> float:
        """Word-line voltage of a pixel of 1 [V]."""
        return self.chip.specification.input.full_scale

    def encode(self, images: Array) -> Array:
        """Return the voltages of the first word line of each pair, (n, pixels) [V]."""
        return encode(images, self.full_scale, self.experiment.training.precision)

    def targets(self, labels: NDArray[np.integer]) -> Array:
        """Return the outputs' target voltages, (n, outputs): one-hot [V]."""
        table = np.eye(self.network.layers[-1], dtype=self.experiment.training.precision)
        return np.asarray(table[labels] * table.dtype.type(self.chip.scale.unit_voltage))

    def outputs(self, images: Array) -> Array:
        """Return the output voltages of the free equilibrium from 0 V, (n, outputs) [V]."""
        settings = self.experiment.relaxation
        parts = []
        for first in range(0, len(images), _EVALUATED_AT_ONCE):
            voltages = self.encode(images[first : first + _EVALUATED_AT_ONCE])
            equilibrium = relax(
                self.engine,
                self.network,
                self.chip,
                self.chip.arrays[0].read(voltages),
                event=_EVALUATION + first,
                sweeps=settings.free_sweeps,
                tolerance=settings.tolerance,
                duration=settings.free_time,
                accelerator=settings.accelerator,
                inputs=voltages,
            )
            require_settled(equilibrium, "free", settings.tolerance)
            parts.append(equilibrium.state[-1])
        return np.concatenate(parts)

    def error(self, images: Array, labels: NDArray[np.integer]) -> float:
        """Return the share of images whose largest output is not the label's."""
        return float(np.mean(self.outputs(images).argmax(axis=1) != labels))

    def learning_rates(self, epoch: int) -> tuple[Sequence[float], Sequence[float]]:
        """Return the rates of arrays [S/V²] and of biases in an epoch counted from 0."""
        learning, scale = self.experiment.learning, self.chip.scale
        factor = learning.learning_rate_decay**epoch
        return (
            [scale.learning_rate(rate * factor) for rate in self.experiment.learning_rates],
            [
                scale.bias_learning_rate(rate * factor)
                for rate in self.experiment.bias_learning_rates
            ],
        )

    def restore(self, run: Run) -> None:
        """Take over the arrays and biases of a run."""
        for array, record in zip(self.chip.arrays, run.arrays, strict=True):
            array.restore(record)
        for bias, record in zip(self.chip.biases, run.biases, strict=True):
            bias.restore(record)


def build(experiment: Experiment, dataset: Dataset) -> Machine:
    """Fabricate the chip of an experiment and put its network on it."""
    settings, training = experiment.network, experiment.training
    network = deep_resistive_network(
        dataset.train_images.shape[1], settings.hidden, dataset.classes, training.precision
    )
    chip = Chip(
        experiment.chip,
        network,
        settings.input_gain,
        seed=training.seed,
        dtype=training.precision,
    )
    engine = engines.load(training.engine)
    rule = EquilibriumPropagation(
        chip.network,
        engine,
        chip,
        variant=experiment.learning.variant,
        nudging=experiment.learning.nudging,
        free_sweeps=experiment.relaxation.free_sweeps,
        nudged_sweeps=experiment.relaxation.nudged_sweeps,
        tolerance=experiment.relaxation.tolerance,
        free_time=experiment.relaxation.free_time,
        nudged_time=experiment.relaxation.nudged_time,
        accelerator=experiment.relaxation.accelerator,
        seed=training.seed,
    )
    return Machine(experiment=experiment, chip=chip, engine=engine, rule=rule)


def dataset_of(experiment: Experiment) -> Dataset:
    """Load the data of an experiment, cut as it says.

    Raises
    ------
    DataError
        The data cannot be read, or have fewer training images than a mini-batch.
    """
    settings = experiment.data
    dataset = datasets.load(settings.name)
    if settings.train is not None:
        dataset = datasets.first(dataset, settings.train)
    if settings.validation > 0:
        dataset = datasets.hold_out(dataset, settings.validation)
    if len(dataset.train_images) < experiment.training.batch:
        raise DataError(
            f"{settings.name}: training.batch = {experiment.training.batch}: there are only"
            f" {len(dataset.train_images)} training images"
        )
    return dataset


def require_same_data(run: Run, dataset: Dataset, where: str) -> None:
    """Raise `RunFileError`, naming `where`, unless `dataset` is what the run was trained on."""
    held = run.dataset["checksum"]
    if held != dataset.checksum:
        raise RunFileError(
            f"{where}: dataset.checksum = {held[:12]}… in the run: the data set {dataset.name}"
            f" is now another one ({dataset.checksum[:12]}…)"
        )


@contextmanager
def computing() -> Iterator[None]:
    """Give BLAS one thread, for results that do not depend on it, and let numbers overflow.

    What overflows is found in the voltages, where a message can say which.
    """
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        yield
