"""Evaluation: the errors of a trained run, on its chip or written into another."""

import math
from collections.abc import Callable, Sequence

import msgspec

from neurohw.datasets import Dataset
from neurohw.errors import DataError, InvalidValueError
from neurohw.experiments import transfer
from neurohw.experiments.machine import build, computing, dataset_of, require_same_data
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import Machine, restore_chip
from neurohw.learning.settings import LearningSettings
from neurohw.mappings.chip_specification import ChipSpecification

# A rule that adds no array to a chip, and asks for nothing.
_NO_LEARNING = LearningSettings(rule="hebb", learning_rate=0.0, bias_learning_rate=0.0)


def evaluate(
    run: Run,
    *,
    chip: ChipSpecification | None = None,
    dataset: Dataset | None = None,
    warn: Callable[[str], None] | None = None,
) -> dict[str, float]:
    """Measure the errors of a trained run, on its chip or written into a fresh other one.

    Bias currents for which the other chip has no sources are left out. warn is called with a line
    for what a person should know, such as how many images did not settle.

    Returns
    -------
    dict
        train_error and test_error, as fractions, of the free equilibrium from 0 V.

    Raises
    ------
    RunFileError
        The run's data set is now another one; one of the same shape can be given as `dataset`.
    DataError
        `dataset` has not the pixels and classes of the network.
    UnsupportedError
        The run's bias cells cannot be written into a chip that has none.
    """
    dataset = _data_of(run, dataset)
    with computing():
        return _errors(_machine(run, chip, dataset), dataset, warn)


def evaluate_after(
    run: Run,
    times: Sequence[float],
    *,
    chip: ChipSpecification | None = None,
    dataset: Dataset | None = None,
    warn: Callable[[str], None] | None = None,
) -> list[dict[str, float]]:
    """Measure the errors of a run whose cells were left alone, for each of some times [s].

    The times count from the end of programming, each apart from the others. What time does to
    cells is in the device's `reading.drift`; see `evaluate` for the rest; warnings name the time.

    Returns
    -------
    list of dict
        seconds, train_error and test_error, one for each time, in the order given.

    Raises
    ------
    InvalidValueError
        A time below 0, or one that is not finite.
    """
    for seconds in times:
        if not 0 <= seconds < float("inf"):
            raise InvalidValueError(f"after = {seconds:g} s: must be finite, 0 or more")
    dataset = _data_of(run, dataset)
    rows = []
    with computing():
        for seconds in times:
            machine = _machine(run, chip, dataset)
            machine.chip.wait(seconds)
            name = f"after {seconds:g} s, "
            rows.append({"seconds": float(seconds)} | _errors(machine, dataset, warn, name))
    return rows


def _data_of(run: Run, dataset: Dataset | None) -> Dataset:
    if dataset is None:
        dataset = dataset_of(run.experiment)
        require_same_data(run, dataset, run.experiment.data.name)
    _require_fit(run, dataset)
    return dataset


def _machine(run: Run, chip: ChipSpecification | None, dataset: Dataset) -> Machine:
    machine = build(run.experiment, dataset)
    restore_chip(machine.chip, run)
    return machine if chip is None else _on_chip(machine, chip, dataset)


def _errors(
    machine: Machine,
    dataset: Dataset,
    warn: Callable[[str], None] | None,
    name: str = "",
) -> dict[str, float]:
    found = {}
    for key, what, images, labels in (
        ("train_error", "training", dataset.train_images, dataset.train_labels),
        ("test_error", "test", dataset.test_images, dataset.test_labels),
    ):
        found[key] = machine.error(images, labels)
        for line in machine.warnings():
            if warn is not None:
                warn(f"{name}{what} images: {line}")
    return found


def _require_fit(run: Run, dataset: Dataset) -> None:
    pixels, classes = dataset.train_images.shape[1], dataset.classes
    inputs, outputs = run.arrays[0]["conductance"].shape[1], len(run.arrays[-1]["conductance"])
    lines = run.experiment.lines_per_pixel
    if run.experiment.network.convolutions:
        # The lines of the first array carry patches.
        inputs = math.prod(run.image_shape)
    if run.experiment.network.kind == "boltzmann":
        outputs = inputs - math.prod(run.image_shape)
        inputs -= outputs
    if (lines * pixels, classes) != (inputs, outputs):
        raise DataError(
            f"{dataset.name}: {pixels} pixels and {classes} classes do not fit a network of"
            f" {inputs // lines} pixels and {outputs} outputs"
        )


def _on_chip(machine: Machine, chip: ChipSpecification, dataset: Dataset) -> Machine:
    """Return a machine with another chip, into which this one's network is written."""
    experiment = machine.experiment
    if experiment.network.kind == "feedforward":
        # The other chip is to read, not to learn: nothing that rules need is asked of it.
        experiment = msgspec.structs.replace(experiment, learning=_NO_LEARNING)
    experiment = msgspec.structs.replace(experiment, chip=chip)
    if experiment.circuit == machine.chip.specification:
        return machine
    other = build(experiment, dataset)
    transfer.write(machine, other)
    return other
