"""Transfer: the network of a trained run, written into a chip that another run goes on with."""

from pathlib import Path

import msgspec

from neurohw.chip import Chip
from neurohw.datasets import Dataset
from neurohw.errors import RunFileError, UnsupportedError
from neurohw.experiments import run_file
from neurohw.experiments.feedforward_machine import FeedforwardMachine
from neurohw.experiments.machine import build
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import Machine, restore_chip


class Start(msgspec.Struct, frozen=True, eq=False):
    """A run to start from, and the file that it was read from; empty where it was none."""

    run: Run
    path: str = ""


def opened(source: Run | str | Path) -> Start:
    """Return a run, given as such or as the path of its file; `RunFileError` if it is none."""
    return Start(source) if isinstance(source, Run) else Start(run_file.load(source), str(source))


def program(run: Run, machine: Machine, dataset: Dataset, where: str = "the run") -> None:
    """Write the network of a run into a fresh chip, each cell as near as it can come.

    Bias currents for which the chip has no sources are left out.

    Raises
    ------
    RunFileError
        The run's network is another one; names `where` it is from.
    UnsupportedError
        The run's bias cells cannot be written, or those of the chip.
    """
    held = [array["conductance"].shape for array in run.arrays]
    wanted = [array.values().shape for array in machine.chip.arrays]
    if held != wanted:
        sizes = ["-".join(map(str, (s[0][1], *(n for n, _ in s)))) for s in (held, wanted)]
        raise RunFileError(
            f"{where}: network: its lines and units are {sizes[0]}, those to train {sizes[1]}"
        )
    kinds = run.experiment.network.kind, machine.experiment.network.kind
    if kinds[0] != kinds[1]:
        raise RunFileError(f"{where}: network.kind = {kinds[0]}: the one to train is {kinds[1]}")
    old = build(run.experiment, dataset)
    restore_chip(old.chip, run)
    write(old, machine)
    if isinstance(old, FeedforwardMachine) and isinstance(machine, FeedforwardMachine):
        _write_beside(old, machine)


def write(old: Machine, machine: Machine) -> None:
    """Write the network of a machine into the fresh chip of another; errors as `program`."""
    before, after = old.chip.specification, machine.chip.specification
    if isinstance(old.chip, Chip) and "rails" in (before.bias.kind, after.bias.kind):
        raise UnsupportedError(
            f"chip.bias.kind = {after.bias.kind}: bias cells on rails cannot be written into"
            f" another chip (the run has {before.bias.kind})"
        )
    machine.chip.write(*old.chip.logical())


def _write_beside(old: FeedforwardMachine, machine: FeedforwardMachine) -> None:
    """Write what the same rule learnt beside the layers; another one begins there."""
    if old.experiment.rule is not machine.experiment.rule:
        machine.rule.begin()
        return
    for name in machine.chip.beside:
        machine.chip.write_beside(name, old.chip.logical_beside(name))


def start(machine: Machine, dataset: Dataset, origin: Start) -> dict[str, str]:
    """Return what a run file holds of a start from a run whose network was just programmed.

    Its file, checksum and chip, and the errors as programmed, before any training.
    """
    return {
        "run": origin.path,
        "checksum": run_file.checksum(origin.run),
        "chip": origin.run.experiment.chip.name,
        "train_error": repr(machine.error(dataset.train_images, dataset.train_labels)),
        "test_error": repr(machine.error(dataset.test_images, dataset.test_labels)),
    }


def require_same(run: Run, origin: Start, where: str) -> None:
    """Raise `RunFileError`, naming `where`, unless a checkpoint was started from that run."""
    held, given = run.start.get("checksum"), run_file.checksum(origin.run)
    if held != given:
        was = f"from {run.start['run']} ({held[:12]}…)" if held else "from no run"
        raise RunFileError(
            f"{where}: start: it began {was}, not from {origin.path} ({given[:12]}…)"
        )
