"""Jobs of a study: each trains one experiment, and leaves one small file, whole or not at all.

A file is named by the hash of what the configuration says, seed included, so a study finds what it,
or an earlier form of it, has already run; what stands at its default is left out, so that a later
version with more keys finds it too. Times and versions stand apart from the outcome: files of
equal runs have equal outcomes.
"""

import hashlib
import os
import platform
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import msgspec

from neurohw.errors import NeurohwError, StudyError
from neurohw.experiments import configuration, recording, trainer
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.machine import dataset_of
from neurohw.experiments.recording import Recorder
from neurohw.experiments.studies.study import Stopping
from neurohw.experiments.trainer import HISTORY, History

SCHEMA_VERSION = 1
FORMAT = "neurohw job"

Status = Literal["done", "paused", "stopped", "failed", "interrupted"]


@dataclass(frozen=True)
class Job:
    """An experiment to train, all of its epochs or fewer of them.

    epochs, how many; stopping, what ends it earlier; times, at how many the network is recorded, in
    a file beside the result.
    """

    experiment: Experiment
    epochs: int
    stopping: Stopping | None = None
    times: int = 0

    @classmethod
    def whole(cls, experiment: Experiment) -> "Job":
        """Return the job of all epochs of an experiment."""
        return cls(experiment, experiment.training.epochs)

    @cached_property
    def run(self) -> str:
        """Hash of what is trained, however long; 20 hex digits."""
        return hashlib.sha256(configuration.key(self.experiment).encode()).hexdigest()[:20]

    @cached_property
    def name(self) -> str:
        """Name of its result: the run, with what ends it before its last epoch, if anything does.

        The epoch of a part of a run, or the rule of early stopping; and the times of a recording.
        """
        words = [self.run]
        if self.epochs < self.experiment.training.epochs:
            words.append(f"epoch{self.epochs}")
        if self.stopping is not None:
            words.append(f"stop{self.stopping.error:g}after{self.stopping.after}")
        if self.times:
            words.append(f"times{self.times}")
        return "-".join(words)


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What came of a job.

    Parameters
    ----------
    status : {"done", "paused", "stopped", "failed", "interrupted"}
        ``paused``: the part that was asked for is done; ``stopped``: early, as hopeless;
        ``interrupted`` is never written.
    test_errors, train_errors : tuple of float
        After each epoch, as fractions.
    measures : dict of tuples of float
        What else was noted after each epoch, such as angles; None for what is not a number; see
        `Run.history`.
    message : str
        Why it failed.
    dataset : str
        Checksum of the data.
    """

    status: Status
    test_errors: tuple[float, ...] = ()
    train_errors: tuple[float, ...] = ()
    measures: dict[str, tuple[float | None, ...]] = {}
    message: str = ""
    dataset: str = ""

    @property
    def test_error(self) -> float:
        """After the last epoch; NaN where there is none."""
        return self.test_errors[-1] if self.test_errors else float("nan")


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file of a job.

    Parameters
    ----------
    job : str
        Its name.
    seed : int
    outcome : Outcome
    experiment : object
        The resolved configuration.
    seconds : float
        That the job took.
    versions : dict of str
        Of the software.
    """

    format: str = FORMAT
    schema_version: int = SCHEMA_VERSION
    job: str
    seed: int
    outcome: Outcome
    experiment: msgspec.Raw
    seconds: float
    versions: dict[str, str] = {}


def perform(job: Job, folder: Path | None = None) -> Result:
    """Train a job and return its result; what goes wrong with it is a result too.

    Parameters
    ----------
    job : Job
    folder : Path, optional
        Of results. The file is written there, unless another machine has no such folder; runs
        that are to go on later have their checkpoints there.

    Raises
    ------
    StudyError
        The result cannot be written.
    """
    folder = folder if folder is not None and folder.is_dir() else None
    in_part = job.epochs < job.experiment.training.epochs
    checkpoint = None
    # Of a run that goes on from a checkpoint a recording would miss the beginning.
    if folder is not None and not job.times:
        path = folder / f"{job.run}.h5"
        checkpoint = path if in_part or path.exists() else None
    started = time.perf_counter()
    versions: dict[str, str] = {}
    recorder = None
    try:
        if job.times:
            recorder = _recorder(job)
        run = trainer.train(
            job.experiment,
            out=checkpoint,
            resume=True,
            stop=lambda history: _ends(job, history),
            observe=recorder,
        )
        epochs = len(run.history["test_error"])
        whole: Status = "paused" if in_part else "done"
        outcome = Outcome(
            status=whole if epochs == job.epochs else "stopped",
            test_errors=tuple(run.history["test_error"].tolist()),
            train_errors=tuple(run.history["train_error"].tolist()),
            measures={
                key: tuple(value if isfinite(value) else None for value in values.tolist())
                for key, values in run.history.items()
                if key not in HISTORY
            },
            dataset=run.dataset["checksum"],
        )
        versions = run.versions
    except KeyboardInterrupt:
        outcome = Outcome(status="interrupted")
    except NeurohwError as error:
        outcome = Outcome(status="failed", message=str(error))
    except Exception as error:  # the study goes on; the row says what to look for
        place = traceback.extract_tb(error.__traceback__)[-1]
        line = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        outcome = Outcome(status="failed", message=" ".join(line.split()))
    result = of(job, outcome, time.perf_counter() - started, versions)
    if folder is not None and outcome.status != "interrupted":
        if recorder is not None and outcome.status == "done":
            replace(recording_of(folder, job.name), recording.to_bytes(recorder.recording()))
        save(folder, result)
        if checkpoint is not None and outcome.status != "paused":
            checkpoint.unlink(missing_ok=True)
    return result


def of(job: Job, outcome: Outcome, seconds: float, versions: dict[str, str]) -> Result:
    """Return the result of a job with an outcome."""
    return Result(
        job=job.name,
        seed=job.experiment.training.seed,
        outcome=outcome,
        experiment=msgspec.Raw(configuration.to_json(job.experiment).encode()),
        seconds=seconds,
        versions=versions,
    )


def path_of(folder: Path, name: str) -> Path:
    """Return where the result of a job lies."""
    return folder / f"{name}.json"


def recording_of(folder: Path, name: str) -> Path:
    """Return where the recording of a job lies."""
    return folder / f"{name}.h5"


def save(folder: Path, result: Result) -> None:
    """Write a result, whole or not at all; `StudyError` if that fails."""
    replace(path_of(folder, result.job), msgspec.json.encode(result))


def replace(path: Path, content: bytes) -> None:
    """Write a file so that whoever opens it finds the old or the new content, whole.

    Raises
    ------
    StudyError
        It cannot be written, for example because the disk is full.
    """
    # Two machines may have the same job when one was thought lost.
    temporary = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.unfinished")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StudyError(f"{path}: cannot be written: {reason}; what is finished is kept") from None
    finally:
        temporary.unlink(missing_ok=True)


def load(folder: Path, wanted: Iterable[Job]) -> dict[str, Result]:
    """Return those results of jobs that are there, with their recordings, by name.

    Raises
    ------
    StudyError
        A file is none of a result, is of another schema, or has another job's name or experiment.
    """
    present = {path.name for path in folder.glob("*.json")}
    found = {}
    for job in wanted:
        path = path_of(folder, job.name)
        if path.name in present:
            found[job.name] = read(path)
            _require_same(path, found[job.name], job)
            done = found[job.name].outcome.status == "done"
            if job.times and done and not recording_of(folder, job.name).exists():
                del found[job.name]
    return found


def sweep_up(folder: Path) -> None:
    """Remove what killed writers of this machine left unfinished."""
    for path in folder.glob(f".*.{platform.node()}-*.unfinished"):
        number = path.name.rpartition("-")[2].partition(".")[0]
        if number.isdecimal() and not _alive(int(number)):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    if process == os.getpid():
        return False
    try:
        # What has ended stays in the table until its parent asks, in containers often for ever.
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return not Path("/proc/self/stat").exists()
    return state not in "ZX"


def read(path: Path) -> Result:
    """Read the file of a result; `StudyError` if it is none, of another schema or another job."""
    try:
        content = path.read_bytes()
        head: Any = msgspec.json.decode(content)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise StudyError(
                f"{path}: is no result of a job; move it away, or choose another --out"
            )
        if head.get("schema_version") != SCHEMA_VERSION:
            raise StudyError(
                f"{path}: schema_version = {head.get('schema_version')}: this neurohw reads"
                f" {SCHEMA_VERSION}; choose another --out"
            )
        result = msgspec.json.decode(content, type=Result)
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise StudyError(f"{path}: is no result of a job: {error}") from None
    if result.job != path.stem:
        raise StudyError(f"{path}: job = {result.job}: is another job's result")
    return result


def _require_same(path: Path, result: Result, job: Job) -> None:
    """Refuse the result of an experiment that has the name of another one."""
    text = bytes(result.experiment).decode()
    if text == configuration.to_json(job.experiment):
        return
    if configuration.from_json(text, str(path)) != job.experiment:
        raise StudyError(
            f"{path}: is of an experiment that this version of neurohw takes otherwise; choose"
            " another --out"
        )


def _recorder(job: Job) -> Recorder:
    dataset = dataset_of(job.experiment)
    steps = job.epochs * job.experiment.steps(len(dataset.train_images))
    return Recorder(recording.log_times(steps, job.times), dataset)


def _ends(job: Job, history: History) -> bool:
    """Say whether a job is at its end, or hopeless."""
    errors = history["test_error"]
    if len(errors) >= job.epochs:
        return True
    rule = job.stopping
    return rule is not None and len(errors) >= rule.after and errors[-1] >= rule.error
