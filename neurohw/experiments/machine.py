"""A machine: the network of an experiment on its chip, with the learning rule."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from neurohw import datasets, engines
from neurohw.chip import Chip
from neurohw.datasets import Dataset
from neurohw.engines.equilibrium import Engine, Equilibrium
from neurohw.errors import DataError, RunFileError, UnsupportedError
from neurohw.experiments import boltzmann_machine, feedforward_machine, hopfield_machine
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.relaxing_machine import RelaxingMachine, start_from
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import Batch, Machine, Step, ranges_of, restore_chip
from neurohw.experiments.watch import Watch
from neurohw.learning.continual import learn
from neurohw.learning.resistive import ResistivePropagation
from neurohw.networks.resistive import ResistiveNetwork, deep_resistive_network, encode

Array = NDArray[np.floating]


@dataclass(eq=False, kw_only=True)
class ResistiveMachine(RelaxingMachine):
    """A deep resistive network on its chip, with its engine; see `neurohw.experiments.step`.

    start is where the next free phase starts from, 0 V if None.
    """

    experiment: Experiment
    chip: Chip
    engine: Engine
    rule: ResistivePropagation
    start: Equilibrium | None = None
    watch: Watch = field(default_factory=Watch)

    @property
    def network(self) -> ResistiveNetwork:
        """What relaxes, with the chip's neurons."""
        return self.chip.network

    @property
    def full_scale(self) -> float:
        """Word-line voltage of a pixel of 1 [V]."""
        return self.chip.specification.input.full_scale

    def encode(self, images: Array, event: int = 0) -> Array:
        """Return the voltages of the first word line of each pair, (n, pixels) [V].

        event numbers the mini-batch for the noise of the chip's DACs.
        """
        return self.converted(
            encode(images, self.full_scale, self.experiment.training.precision), event
        )

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

    def step(
        self, batch: Batch, event: int, rates: Sequence[float], bias_rates: Sequence[float]
    ) -> Step:
        """Relax both phases of a mini-batch, from the free phase of the one before."""
        targets, inputs = batch.targets, batch.inputs
        learnt = learn(
            self.rule, batch.pending, targets, self.start, event, inputs, rates, bias_rates
        )
        contrast = learnt.contrast
        self.disturb(contrast, inputs, event)
        self.start = start_from(contrast.free.state)
        outputs = contrast.free.state[-1]
        miss = (outputs - targets).ravel()
        cost = 0.5 * float(miss @ miss) / self.chip.scale.unit_voltage**2
        return Step(
            updates=learnt.updates,
            bias_updates=learnt.bias_updates,
            outputs=outputs,
            cost=cost,
            programmed=learnt.programmed,
        )

    def carried(self) -> dict[str, Array]:
        """Return the voltages of the last free phase, one array a layer, and ranges [V]."""
        state = () if self.start is None else self.start.state
        return ranges_of(self.chip) | {f"voltage_{k}": v for k, v in enumerate(state)}

    def restore(self, run: Run) -> None:
        """Take over the arrays, biases, ranges of converters and last free phase of a run."""
        restore_chip(self.chip, run)
        if "voltage_0" in run.state:
            layers = range(len(self.network.layers))
            self.start = start_from([run.state[f"voltage_{k}"] for k in layers])


def build(experiment: Experiment, dataset: Dataset) -> Machine:
    """Fabricate the chip of an experiment and put its network on it."""
    return _BUILDERS[experiment.network.kind](experiment, dataset)


def build_resistive(experiment: Experiment, dataset: Dataset) -> ResistiveMachine:
    """Build a machine of a deep resistive network, for those who need its engine and phases.

    Raises
    ------
    UnsupportedError
        The network is of another kind.
    """
    if experiment.network.kind != "resistive":
        raise UnsupportedError(
            f"network.kind = {experiment.network.kind}: only circuits of resistive networks settle"
        )
    settings, training = experiment.network, experiment.training
    network = deep_resistive_network(
        dataset.train_images.shape[1], settings.hidden, dataset.classes, training.precision
    )
    chip = Chip(
        experiment.circuit,
        network,
        experiment.input_gain,
        seed=training.seed,
        dtype=training.precision,
    )
    engine = engines.load(training.engine)
    rule = ResistivePropagation(
        chip.network,
        engine,
        chip,
        variant=experiment.learning.variant,
        nudging=experiment.nudging,
        free_sweeps=experiment.phases.free_sweeps,
        nudged_sweeps=experiment.phases.nudged_sweeps,
        tolerance=experiment.phases.tolerance,
        free_time=experiment.phases.free_time,
        nudged_time=experiment.phases.nudged_time,
        accelerator=experiment.phases.accelerator,
        seed=training.seed,
    )
    return ResistiveMachine(experiment=experiment, chip=chip, engine=engine, rule=rule)


# One a value of network.kind.
_BUILDERS: dict[str, Callable[[Experiment, Dataset], Machine]] = {
    "resistive": build_resistive,
    "feedforward": feedforward_machine.build,
    "hopfield": hopfield_machine.build,
    "boltzmann": boltzmann_machine.build,
}


def dataset_of(experiment: Experiment) -> Dataset:
    """Load the data of an experiment, cut as it says.

    Raises
    ------
    DataError
        The data cannot be read, or have fewer training images than a mini-batch.
    """
    settings = experiment.data
    try:
        dataset = datasets.load(settings.name)
    except DataError as error:
        raise DataError(f"data.name: {error}") from None
    if settings.crop > 0:
        dataset = datasets.cropped(dataset, settings.crop)
    if settings.threshold is not None:
        dataset = datasets.binarised(dataset, settings.threshold)
    if settings.train is not None:
        dataset = datasets.first(dataset, settings.train)
    if settings.validation > 0:
        dataset = datasets.hold_out(dataset, settings.validation)
    for key in ("batch", "images_per_epoch"):
        wanted = getattr(experiment.training, key)
        if wanted is not None and wanted > len(dataset.train_images):
            raise DataError(
                f"{settings.name}: training.{key} = {wanted}: there are only"
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
