"""A run whose network was written into a chip, or found on it, rather than learnt there."""

from collections.abc import Mapping

import msgspec
import numpy as np

from neurohw.datasets import Dataset
from neurohw.experiments import physics, run_file, transfer
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.machine import build, computing, dataset_of, require_same_data
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import Machine, beside_records, ranges_of, restore_chip
from neurohw.experiments.trainer import HISTORY, versions
from neurohw.mappings.chip_specification import ChipSpecification


def machine_of(
    network: Run | Experiment, chip: ChipSpecification | None = None
) -> tuple[Machine, Dataset]:
    """Return a machine with the network of a run, or an untrained one, and its data set.

    With another chip the network is written into fresh cells of it, as `evaluate` does.

    Raises
    ------
    RunFileError
        The run's data set is now another one.
    UnsupportedError
        The run's bias cells cannot be written into the other chip.
    """
    experiment = network.experiment if isinstance(network, Run) else network
    dataset = dataset_of(experiment)
    if isinstance(network, Run):
        require_same_data(network, dataset, experiment.data.name)
    other = experiment if chip is None else msgspec.structs.replace(experiment, chip=chip)
    with computing():
        machine = build(other, dataset)
        if isinstance(network, Run) and other.circuit == experiment.circuit:
            restore_chip(machine.chip, network)
            return machine, dataset
        if isinstance(network, Run):
            transfer.program(network, machine, dataset)
        machine.prepare(0, dataset)
    return machine, dataset


def on_chip(run: Run, chip: ChipSpecification) -> Run:
    """Return a run with its network written into a fresh chip; itself if that is its own."""
    other = msgspec.structs.replace(run.experiment, chip=chip)
    if other.circuit == run.experiment.circuit:
        return run
    machine, dataset = machine_of(run, chip)
    return snapshot(machine, dataset, {"checksum": run_file.checksum(run)}, measured=False)


def snapshot(
    machine: Machine, dataset: Dataset, start: Mapping[str, str], *, measured: bool = True
) -> Run:
    """Return the run of a machine that has learnt nothing since it was programmed.

    start as `Run.start` has it, to which chip and errors as programmed are added. measured says
    whether errors and voltages are: it takes an evaluation.
    """
    experiment = machine.experiment
    found = {"run": "", **start, "chip": experiment.chip.name}
    physical = {}
    with computing():
        if measured:
            for key, images, labels in (
                ("train_error", dataset.train_images, dataset.train_labels),
                ("test_error", dataset.test_images, dataset.test_labels),
            ):
                found[key] = repr(machine.error(images, labels))
            physical = physics.measure(machine, dataset)
    none = np.zeros(0)
    return Run(
        experiment=msgspec.structs.replace(
            experiment, training=msgspec.structs.replace(experiment.training, epochs=0)
        ),
        dataset=run_file.about(dataset),
        arrays=[array.record() for array in machine.chip.arrays],
        biases=[bias.record() for bias in machine.chip.biases],
        beside=beside_records(machine.chip),
        state=ranges_of(machine.chip),
        counters={"epoch": 0, "step": 0, "errors": 0},
        history={key: none for key in HISTORY},
        physical=physical,
        times={"seconds_per_epoch": none, "seconds_in_epoch": 0.0},
        versions=versions(),
        start=found,
    )
