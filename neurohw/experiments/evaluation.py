"""Evaluation: the errors of a trained run, on its chip or written into another."""

import msgspec

from neurohw.chip import Chip
from neurohw.datasets import Dataset
from neurohw.errors import DataError, UnsupportedError
from neurohw.experiments.machine import build, computing, dataset_of, require_same_data
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import Machine
from neurohw.mappings.chip_specification import ChipSpecification


def evaluate(
    run: Run, *, chip: ChipSpecification | None = None, dataset: Dataset | None = None
) -> dict[str, float]:
    """Measure the errors of a trained run, on its chip or written into a fresh other one.

    Bias currents for which the other chip has no sources are left out.

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
    experiment = run.experiment
    if dataset is None:
        dataset = dataset_of(experiment)
        require_same_data(run, dataset, experiment.data.name)
    _require_fit(run, dataset)
    with computing():
        machine = build(experiment, dataset)
        machine.restore(run)
        if chip is not None:
            machine = _on_chip(machine, chip, dataset)
        return {
            "train_error": machine.error(dataset.train_images, dataset.train_labels),
            "test_error": machine.error(dataset.test_images, dataset.test_labels),
        }


def _require_fit(run: Run, dataset: Dataset) -> None:
    pixels, classes = dataset.train_images.shape[1], dataset.classes
    inputs, outputs = run.arrays[0]["conductance"].shape[1], len(run.arrays[-1]["conductance"])
    lines = run.experiment.lines_per_pixel
    if (lines * pixels, classes) != (inputs, outputs):
        raise DataError(
            f"{dataset.name}: {pixels} pixels and {classes} classes do not fit a network of"
            f" {inputs // lines} pixels and {outputs} outputs"
        )


def _on_chip(machine: Machine, chip: ChipSpecification, dataset: Dataset) -> Machine:
    """Return a machine with another chip, into which this one's network is written."""
    old = machine.chip
    if chip == old.specification:
        return machine
    if isinstance(old, Chip) and "rails" in (old.specification.bias.kind, chip.bias.kind):
        raise UnsupportedError(
            f"chip.bias.kind = {chip.bias.kind}: bias cells on rails cannot be written into"
            f" another chip (the run has {old.specification.bias.kind})"
        )
    other = build(msgspec.structs.replace(machine.experiment, chip=chip), dataset)
    other.chip.write(*old.logical())
    return other
