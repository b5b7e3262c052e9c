"""Running a study: what is missing of it, with progress, halving where asked for, and its table."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from neurohw.errors import StudyError
from neurohw.experiments.studies import jobs, workers
from neurohw.experiments.studies import study as studies
from neurohw.experiments.studies.jobs import Job, Outcome, Result
from neurohw.experiments.studies.study import Point, Study
from neurohw.experiments.studies.table import Table, tabulate

SCHEMA_VERSION = 1
FORMAT = "neurohw study"


@dataclass(frozen=True)
class Progress:
    """How a study stands: jobs, seconds left, and the best and the worst test error so far.

    seconds_left is NaN until a job is finished, the errors as long as none has one.
    """

    jobs: int
    done: int
    running: int
    failed: int
    seconds_left: float
    best: float
    worst: float


Told = Callable[[Progress], None]


@dataclass
class Workshop:
    """Where jobs run, and where their results lie.

    Parameters
    ----------
    folder : Path, optional
        Of results; without, they are kept in memory only.
    workers : int
        Processes; 1 is this one.
    scheduler : str, optional
        Address of a Dask scheduler, in place of processes.
    progress : callable, optional
        Called with a `Progress` when something changes.
    retry : bool
        Whether jobs that failed are run again.
    """

    folder: Path | None = None
    workers: int = 1
    scheduler: str | None = None
    progress: Told | None = None
    retry: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise StudyError(f"workers = {self.workers}: must be 1 or more")
        self._known: dict[str, Outcome] = {}

    def run(self, wanted: Sequence[Job]) -> dict[str, Outcome]:
        """Return the outcomes of jobs by name, those that have none yet after running them.

        Raises
        ------
        StudyError
            A result cannot be read or written, or the scheduler cannot be used.
        KeyboardInterrupt
            Ctrl-C; what is finished is kept.
        """
        unique = {job.name: job for job in wanted}
        if self.folder is not None:
            unknown = [job for name, job in unique.items() if name not in self._known]
            held = jobs.load(self.folder, unknown)
            found = {name: result.outcome for name, result in held.items()}
            self._known |= {
                name: o for name, o in found.items() if not (self.retry and o.status == "failed")
            }
        waiting = [job for name, job in unique.items() if name not in self._known]
        told = _Telling(self, unique, len(waiting))
        for result in self._results(waiting):
            if result.outcome.status == "interrupted":
                raise KeyboardInterrupt
            self._known[result.job] = result.outcome
            told.finished(result)
        return {name: self._known[name] for name in unique}

    def _results(self, waiting: Sequence[Job]) -> Iterator[Result]:
        if not waiting:
            return iter(())
        if self.scheduler is not None:
            return workers.on_cluster(waiting, self.folder, self.scheduler)
        if self.workers == 1:
            return workers.in_turn(waiting, self.folder)
        return workers.on_processes(waiting, self.folder, self.workers)


class _Telling:
    """Counts what comes of jobs."""

    def __init__(self, workshop: Workshop, unique: dict[str, Job], waiting: int) -> None:
        self.tell, self.at_once = workshop.progress, workshop.workers
        self.total, self.left, self.here = len(unique), waiting, 0
        known = [o for name, o in workshop._known.items() if name in unique]
        self.failed = sum(o.status == "failed" for o in known)
        errors = [o.test_error for o in known if o.test_errors]
        self.best = min(errors, default=float("nan"))
        self.worst = max(errors, default=float("nan"))
        self.started = time.perf_counter()
        self.show()

    def finished(self, result: Result) -> None:
        self.left, self.here = self.left - 1, self.here + 1
        self.failed += result.outcome.status == "failed"
        if result.outcome.test_errors:
            self.best = float(np.fmin(self.best, result.outcome.test_error))
            self.worst = float(np.fmax(self.worst, result.outcome.test_error))
        self.show()

    def show(self) -> None:
        if self.tell is None:
            return
        passed = time.perf_counter() - self.started
        self.tell(
            Progress(
                jobs=self.total,
                done=self.total - self.left,
                running=min(self.at_once, self.left),
                failed=self.failed,
                seconds_left=passed / self.here * self.left if self.here else float("nan"),
                best=self.best,
                worst=self.worst,
            )
        )


def sweep(
    source: str | Path | dict[str, Any] | Study,
    *,
    out: Path | str | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    retry: bool = False,
    progress: Told | None = None,
) -> Table:
    """Run a study, or what is missing of it, and return its table.

    Every point has the same budget of seeds and epochs, unless the study has early stopping or
    successive halving.

    Parameters
    ----------
    source : str, Path, dict or Study
        A shipped study's name, a TOML file, its table, or a study.
    out : path, optional
        Folder of the study; without, nothing is written.
    workers, scheduler, progress, retry
        See `Workshop`.
    resume : bool
        Go on with what is in the folder, of this study or of an earlier form of it.

    Returns
    -------
    dict of arrays
        One row for each point and seed; see `neurohw.experiments.studies.table.tabulate`.

    Raises
    ------
    ConfigurationError
        A point is no valid experiment; nothing has run.
    StudyError
        The folder holds something else, or cannot be written; or the scheduler is of no use.
    """
    study = studies.load(source)
    points = studies.points(study)
    folder = None if out is None else prepare(Path(out), study, resume=resume or retry)
    shop = Workshop(folder, workers, scheduler, progress, retry)
    table = tabulate(study, points, _outcomes(study, points, shop))
    return table


def prepare(out: Path, study: Study, *, resume: bool, kind: str = FORMAT) -> Path:
    """Return the folder of results below `out`, made ready for a study, or a search of limits.

    Raises
    ------
    StudyError
        A study is there, and is not to be resumed; or the folder cannot be written.
    """
    path, folder = out / "study.json", out / "jobs"
    if path.exists():
        require_schema(path, kind)
        if not resume:
            raise StudyError(f"{out}: holds results; go on with --resume, or choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{folder}: cannot be made: {error.strerror}") from None
    jobs.sweep_up(folder)
    head = {"format": kind, "schema_version": SCHEMA_VERSION, "study": study}
    jobs.replace(path, msgspec.json.format(msgspec.json.encode(head)))
    return folder


def read(out: Path) -> tuple[Study, Table]:
    """Return a study from its folder, with the table of what has run of it.

    Raises
    ------
    StudyError
        There is no study, or one of another schema.
    """
    head = require_schema(out / "study.json")
    try:
        study = msgspec.convert(head["study"], Study)
    except (KeyError, msgspec.ValidationError) as error:
        raise StudyError(f"{out / 'study.json'}: is no study: {error}") from None
    points = studies.points(study)
    wanted = [job for rung in _rungs(study, points) for job in _jobs(study, points, rung).values()]
    held = jobs.load(out / "jobs", wanted)
    if not held and any((out / "jobs").glob("*.json")):
        raise StudyError(f"{out}: no result there is of this study; neurohw sweep --resume runs it")
    found = {}
    for rung in _rungs(study, points):
        for place, job in _jobs(study, points, rung).items():
            if job.name in held:
                found[place] = held[job.name]
    return study, tabulate(study, points, {place: r.outcome for place, r in found.items()})


def require_schema(path: Path, kind: str = FORMAT) -> dict[str, Any]:
    """Return what the head of a folder of results holds.

    Raises
    ------
    StudyError
        There is none, or one of another kind or schema.
    """
    try:
        head: Any = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise StudyError(f"{path}: is no study: {error}") from None
    if not isinstance(head, dict) or head.get("format") != kind:
        found = f" but of a {head['format']}" if isinstance(head, dict) and "format" in head else ""
        raise StudyError(f"{path}: is not of a {kind}{found}")
    if head.get("schema_version") != SCHEMA_VERSION:
        raise StudyError(
            f"{path}: schema_version = {head.get('schema_version')}: this neurohw reads"
            f" {SCHEMA_VERSION}; choose another --out"
        )
    return head


Place = tuple[int, int]


def _rungs(study: Study, points: Sequence[Point]) -> list[int | None]:
    """Return the epochs of each rung of a halving; None stands for all of them."""
    if study.halving is None:
        return [None]
    longest = max(point.experiment.training.epochs for point in points)
    return [*study.halving.rungs(longest)[:-1], None]


def _jobs(study: Study, points: Sequence[Point], rung: int | None) -> dict[Place, Job]:
    """Return the jobs of a rung by the numbers of their points and their seeds."""
    found = {}
    for number, point in enumerate(points):
        for seed in study.seed_list:
            experiment = point.at(seed)
            epochs = experiment.training.epochs
            until = epochs if rung is None else min(rung, epochs)
            found[number, seed] = Job(experiment, until, study.stopping)
    return found


def _outcomes(study: Study, points: Sequence[Point], shop: Workshop) -> dict[Place, Outcome]:
    """Run all rungs; of each point the last outcome counts."""
    found: dict[Place, Outcome] = {}
    alive = set(range(len(points)))
    for rung in _rungs(study, points):
        part = {
            place: job for place, job in _jobs(study, points, rung).items() if place[0] in alive
        }
        outcomes = shop.run(list(part.values()))
        found |= {place: outcomes[job.name] for place, job in part.items()}
        if rung is not None:
            alive = _best(study, points, found, alive)
    if study.halving is not None and shop.folder is not None:
        for path in shop.folder.glob("*.h5"):
            path.unlink(missing_ok=True)
    return found


def _best(
    study: Study, points: Sequence[Point], found: dict[Place, Outcome], alive: set[int]
) -> set[int]:
    """Return the points that go on to the next rung: the best of them, and references."""
    assert study.halving is not None
    references = {number for number in alive if points[number].reference == number}
    rest = sorted(alive - references)

    def error(number: int) -> float:
        errors = [found[number, seed].test_error for seed in study.seed_list]
        return float(np.nan_to_num(np.mean(errors), nan=np.inf))

    kept = -(-len(rest) // study.halving.factor)
    return references | set(sorted(rest, key=error)[:kept])
