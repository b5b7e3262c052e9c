"""Training: mini-batches through the chip, progress, checkpoints, exact resume."""

import json
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.datasets import Dataset
from neurohw.errors import ConvergenceError, InvalidValueError, NumericalError, RunFileError
from neurohw.experiments import cells, configuration, physics, run_file, transfer, wiring
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.machine import build, computing, dataset_of, require_same_data
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import Batch, Machine, beside_of, beside_records
from neurohw.learning.continual import program

Array = NDArray[np.floating]

CHECKPOINT_SECONDS = 30.0
_PROGRESS_SECONDS = 0.2
History = Mapping[str, Sequence[float]]
# What the history of every run has.
HISTORY = ("epoch", "train_error", "test_error", "learning_rate", "cost")


@dataclass(frozen=True)
class Progress:
    """How a training run stands.

    epoch counts from 1; train_error is that of the epoch so far, test_error that of the last
    finished epoch.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    samples_per_second: float
    seconds_left: float
    train_error: float
    test_error: float | None
    phase: Literal["training", "evaluating"]


def train(
    experiment: Experiment,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    start: Run | str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    warn: Callable[[str], None] | None = None,
    stop: Callable[[History], bool] | None = None,
    observe: Callable[[int, Machine], None] | None = None,
) -> Run:
    """Train an experiment, and write its run file as it goes.

    Parameters
    ----------
    experiment : Experiment
    out : path, optional
        Run file, replaced atomically at every checkpoint; nothing is written without.
    resume : bool
        Go on from the checkpoint in `out`; the result is bitwise that of an uninterrupted run.
    start : Run or path, optional
        Run whose network is written into the fresh chip, each cell as near as it can come, and
        goes on learning there; a checkpoint to resume must have begun with the same.
    progress : callable, optional
        Called a few times a second with a `Progress`.
    warn : callable, optional
        Called before training with a line for each array that is too large for its wires, or has
        cells that are stuck or whose limits crossed; after an epoch, with how many of its images
        did not settle, or taught a layer nothing.
    stop : callable, optional
        Asked before each epoch, with the history so far; True leaves the run as it then stands,
        unfinished, to be resumed.
    observe : callable, optional
        Called before the first mini-batch and after each with how many there were and the machine,
        which it must leave as it is. Of a resumed run it sees only what is still trained.

    Raises
    ------
    RunFileError
        `out` exists and is not to be resumed, cannot be written, or holds another experiment;
        or `start` has another network.
    InvalidValueError
        Negative nudging leaves the nudged network without a minimum, at the start of an epoch.
    NumericalError
        NaN or infinity in a state; names epoch, mini-batch, layer and unit.
    KeyboardInterrupt
        Ctrl-C or a termination signal; the checkpoint was written at the end of the mini-batch.
    """
    path = None if out is None else Path(out)
    checkpoint = _open(path, experiment, resume)
    origin = None if start is None else transfer.opened(start)
    dataset = dataset_of(experiment)
    if checkpoint is not None:
        require_same_data(checkpoint, dataset, str(path))
        if origin is not None:
            transfer.require_same(checkpoint, origin, str(path))
        if checkpoint.physical:
            return checkpoint
    with computing(), _interrupts() as interrupted:
        training = _Training(experiment, dataset, path, progress, warn, observe)
        if checkpoint is not None:
            training.restore(checkpoint)
        else:
            training.begin(origin)
        if warn is not None:
            crossbars = training.machine.chip.crossbars
            lines = wiring.warnings(wiring.measure(crossbars))
            for line in (*lines, *cells.warnings(crossbars)):
                warn(line)
        while training.epoch < experiment.training.epochs:
            if stop is not None and stop(training.history):
                return training.snapshot()
            training.run_epoch(interrupted)
        return training.finish()


class _Training:
    """A training run between two mini-batches."""

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        path: Path | None,
        progress: Callable[[Progress], None] | None,
        warn: Callable[[str], None] | None = None,
        observe: Callable[[int, Machine], None] | None = None,
    ) -> None:
        self.experiment = experiment
        self.dataset = dataset
        self.path = path
        self.report = progress
        self.warn = warn
        self.observe = observe
        self.machine = build(experiment, dataset)
        self.steps = experiment.steps(len(dataset.train_images))
        self.targets = self.machine.targets(dataset.train_labels)
        self.epoch = self.step = self.errors = 0
        self.cost = 0.0
        self.history: dict[str, list[float]] = {key: [] for key in HISTORY}
        self.seconds: list[float] = []
        self.seconds_before = 0.0
        self.physical: dict[str, Array] = {}
        self.start: dict[str, str] = {}
        self.order, self.following = self._order(0), self._order(1)
        self.inputs = self._encoded()
        self.pending = self.machine.chip.arrays[0].read(self.inputs)
        self.saved = time.perf_counter()

    def begin(self, origin: transfer.Start | None) -> None:
        """Start afresh, or with the network of another run, and see how well that does."""
        if origin is not None:
            where = origin.path or "the run to start from"
            transfer.program(origin.run, self.machine, self.dataset, where)
            self.pending = self.machine.chip.arrays[0].read(self.inputs)
        self.machine.check()
        if origin is not None:
            with _located("as programmed"):
                self.start = transfer.start(self.machine, self.dataset, origin)
        if self.observe is not None:
            self.observe(0, self.machine)

    def run_epoch(self, interrupted: Callable[[], bool]) -> None:
        """Train to the end of the epoch, evaluate, and write a checkpoint."""
        machine, training = self.machine, self.experiment.training
        if self.step == 0:
            with _located(f"epoch {self.epoch + 1}"):
                machine.check()
        rates, bias_rates = machine.learning_rates(self.epoch)
        shown = time.perf_counter()
        started = shown - self.seconds_before
        while self.step < self.steps:
            with _located(f"epoch {self.epoch + 1}, mini-batch {self.step + 1}"):
                self._train_batch(rates, bias_rates)
                if self.observe is not None:
                    self.observe(self._event, self.machine)
            now = time.perf_counter()
            if now - shown > _PROGRESS_SECONDS:
                shown = now
                self._show(now - started, "training")
            if interrupted() or now - self.saved > CHECKPOINT_SECONDS:
                self.seconds_before = now - started
                self.save()
                if interrupted():
                    raise KeyboardInterrupt
        self._refresh_wires()
        self.seconds.append(time.perf_counter() - started)
        self._show(self.seconds[-1], "evaluating")
        with _located(f"epoch {self.epoch + 1}, evaluation"):
            test_error = machine.error(self.dataset.test_images, self.dataset.test_labels)
        for line in machine.warnings():
            if self.warn is not None:
                self.warn(f"epoch {self.epoch + 1}: {line}")
        samples = self.steps * training.batch
        values = {
            "epoch": self.epoch + 1,
            "train_error": self.errors / samples,
            "test_error": test_error,
            "learning_rate": rates[0],
            "cost": self.cost / samples,
        }
        with _located(f"epoch {self.epoch + 1}, evaluation"):
            values |= machine.measures(self.dataset)
        for key, value in values.items():
            self.history.setdefault(key, []).append(float(value))
        self.epoch, self.step, self.errors = self.epoch + 1, 0, 0
        self.cost = self.seconds_before = 0.0
        self.order, self.following = self.following, self._order(self.epoch + 1)
        self.save()

    def finish(self) -> Run:
        """Measure what the trained network asks of its chip, and write the final run file."""
        with _located("after the last epoch"):
            self.machine.check()
            self.physical = physics.measure(self.machine, self.dataset)
        return self.save()

    def save(self) -> Run:
        """Return the run as it stands, written to its file if it has one."""
        run = self.snapshot()
        if self.path is not None:
            run_file.save(self.path, run)
        self.saved = time.perf_counter()
        return run

    def snapshot(self) -> Run:
        """Return the run as it stands."""
        chip = self.machine.chip
        state: dict[str, Array] = {"pending": self.pending, "cost": np.array(self.cost)}
        # No one goes on with a run that is finished; ranges of its converters are results.
        state |= {
            key: values
            for key, values in self.machine.carried().items()
            if not self.physical or key.endswith("_range")
        }
        return Run(
            experiment=self.experiment,
            dataset=run_file.about(self.dataset),
            arrays=[array.record() for array in chip.arrays],
            biases=[bias.record() for bias in chip.biases],
            beside=beside_records(chip),
            state=state,
            counters={"epoch": self.epoch, "step": self.step, "errors": self.errors},
            history={key: np.array(values) for key, values in self.history.items()},
            physical=self.physical,
            times={
                "seconds_per_epoch": np.array(self.seconds),
                "seconds_in_epoch": self.seconds_before,
            },
            versions=versions(),
            start=self.start,
        )

    def restore(self, run: Run) -> None:
        """Take over a checkpoint."""
        self.machine.restore(run)
        self.start = run.start
        self.epoch, self.step = run.counters["epoch"], run.counters["step"]
        self.errors, self.cost = run.counters["errors"], float(run.state["cost"])
        self.history = {key: [float(v) for v in values] for key, values in run.history.items()}
        self.seconds = [float(v) for v in np.atleast_1d(run.times["seconds_per_epoch"])]
        self.seconds_before = float(run.times["seconds_in_epoch"])
        self.order, self.following = self._order(self.epoch), self._order(self.epoch + 1)
        self.inputs = self._encoded()
        self.pending = run.state["pending"]

    def _refresh_wires(self) -> None:
        """Make exact what evaluation, checkpoint and the next epoch start from."""
        chip = self.machine.chip
        if chip.specification.interconnect is not None:
            for array in (*chip.arrays, *chain(*beside_of(chip).values())):
                array.refresh()
            self.pending = chip.arrays[0].read(self.inputs)

    def _train_batch(self, rates: Sequence[float], bias_rates: Sequence[float]) -> None:
        machine, chip, event = self.machine, self.machine.chip, self._event
        machine.prepare(event, self.dataset)
        samples = self._batch(self.step)
        step = machine.step(
            Batch(
                inputs=self.inputs,
                pending=self.pending,
                targets=self.targets[samples],
                samples=samples,
            ),
            event,
            rates,
            bias_rates,
        )
        self.step += 1
        self.inputs = self._encoded()
        # Where a mini-batch is several events, they have numbers of their own.
        events = step.programmed + step.events
        first = event * events + step.programmed
        self.pending = program(
            chip, step.updates, step.bias_updates, first, self.inputs, step.beside
        )
        self.cost += step.cost
        labels = self.dataset.train_labels[samples]
        self.errors += int(np.count_nonzero(step.outputs.argmax(axis=1) != labels))

    def _encoded(self) -> Array:
        """Return the inputs of the mini-batch that comes next."""
        images = self.dataset.train_images[self._batch(self.step)]
        return self.machine.encode(images, self._event)

    @property
    def _event(self) -> int:
        return self.epoch * self.steps + self.step

    def _order(self, epoch: int) -> NDArray[np.intp]:
        """Return the order of the training images in an epoch, which may leave some out."""
        count = len(self.dataset.train_images)
        return randomness.permutation(self.experiment.training.seed, "shuffle", epoch, count)

    def _batch(self, step: int) -> NDArray[np.intp]:
        """Return the images of a mini-batch; the one after the last is the next epoch's first."""
        batch = self.experiment.training.batch
        if step == self.steps:
            return self.following[:batch]
        return self.order[step * batch : (step + 1) * batch]

    def _show(self, seconds: float, phase: Literal["training", "evaluating"]) -> None:
        if self.report is None:
            return
        training = self.experiment.training
        per_second = self.step / max(seconds, 1e-9)
        steps_left = (training.epochs - self.epoch) * self.steps - self.step
        self.report(
            Progress(
                epoch=self.epoch + 1,
                epochs=training.epochs,
                step=self.step,
                steps=self.steps,
                samples_per_second=per_second * training.batch,
                seconds_left=steps_left / per_second,
                train_error=self.errors / max(self.step * training.batch, 1),
                test_error=self.history["test_error"][-1] if self.epoch else None,
                phase=phase,
            )
        )


def _open(path: Path | None, experiment: Experiment, resume: bool) -> Run | None:
    """Return the checkpoint to go on from, after every check that needs no computing."""
    if path is None:
        return None
    run_file.check_writable(path)
    if not path.exists():
        return None
    if not resume:
        raise RunFileError(f"{path}: exists; go on with --resume, or choose another --out")
    run = run_file.load(path)
    both = [msgspec.structs.replace(e, chip=e.circuit) for e in (experiment, run.experiment)]
    ours, theirs = (json.loads(configuration.to_json(e)) for e in both)
    for key, wanted, held in _differences(ours, theirs):
        raise RunFileError(
            f"{path}: was made with another configuration: it has {key} = {held}, not {wanted}"
        )
    return run


def _differences(ours: Any, theirs: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield path, our value and theirs of every setting that is not the same in both."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in ours:
            yield from _differences(ours[name], theirs[name], f"{key}.{name}".strip("."))
    elif ours != theirs:
        yield key, ours, theirs


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Say in the errors of a relaxation where the training stood."""
    try:
        yield
    except (ConvergenceError, InvalidValueError, NumericalError) as error:
        raise type(error)(f"{where}: {error}") from None


def versions() -> dict[str, str]:
    """Return the versions of what computes, as a run file holds them."""
    packages = ("neurohw", "numpy", "numba", "h5py")
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in packages
    }


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and termination into a flag, asked between mini-batches and at the end."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # It came after the last mini-batch; what called the training is to end all the same.
    if received:
        raise KeyboardInterrupt
