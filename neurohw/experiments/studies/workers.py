"""What runs jobs: this process, worker processes of joblib's loky, or a Dask scheduler's workers.

A worker has one thread for BLAS and one for Numba. Kernels are compiled here once, before worker
processes start, which find them in Numba's cache.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import BrokenProcessPool
from msgspec.structs import replace

from neurohw.errors import StudyError
from neurohw.experiments import configuration, trainer
from neurohw.experiments.studies import jobs
from neurohw.experiments.studies.jobs import Job, Outcome, Result

# A job whose worker died so often while nothing else ran is given up.
ATTEMPTS = 3
# Times that a worker may die with several jobs on their way, until each is tried by itself.
_TOGETHER = 2


def in_turn(waiting: Sequence[Job], folder: Path | None) -> Iterator[Result]:
    """Run jobs one after the other in this process."""
    for job in waiting:
        yield jobs.perform(job, folder)


def on_processes(waiting: Sequence[Job], folder: Path | None, workers: int) -> Iterator[Result]:
    """Run jobs on so many worker processes, and yield results as they come.

    What a worker had on its way when it died is run again, a few times.
    """
    _compile(waiting)
    left = {job.name: job for job in waiting}
    deaths = dict.fromkeys(left, 0)
    while left:
        suspects = [job for name, job in left.items() if deaths[name] >= _TOGETHER]
        alone = not any(deaths[name] < _TOGETHER for name in left)
        batch = (
            suspects[:1]
            if alone
            else [job for job in left.values() if deaths[job.name] < _TOGETHER]
        )
        taken: list[str] = []
        try:
            for result in _pool(batch, folder, workers, taken):
                left.pop(result.job, None)
                yield result
        except BrokenProcessPool:
            lost = [left[name] for name in taken if name in left]
            known = {} if folder is None else jobs.load(folder, lost)
            for name, result in known.items():
                del left[name]
                yield result
            for name in taken:
                if name in left:
                    deaths[name] += 1
                    if deaths[name] >= _TOGETHER + ATTEMPTS:
                        yield _given_up(left.pop(name), folder)


def _pool(
    batch: Sequence[Job], folder: Path | None, workers: int, taken: list[str]
) -> Iterator[Result]:
    """Yield the results of a pool of processes; `taken` gets the names of the jobs it was given."""

    def given() -> Iterator[Any]:
        for job in batch:
            taken.append(job.name)
            yield delayed(jobs.perform)(job, folder)

    # With one worker joblib would stay in this process, which a job may take down with it.
    count = max(2, min(workers, len(batch)))
    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(
            n_jobs=count, return_as="generator_unordered", batch_size=1, pre_dispatch="1.5*n_jobs"
        )
        yield from pool(given())


def _given_up(job: Job, folder: Path | None) -> Result:
    line = f"its worker process died {_TOGETHER + ATTEMPTS} times; short of memory?"
    result = jobs.of(job, Outcome(status="failed", message=line), 0.0, {})
    if folder is not None:
        jobs.save(folder, result)
    return result


def _compile(waiting: Sequence[Job]) -> None:
    """Train one mini-batch of each kind of experiment among jobs, so that kernels are cached."""
    kinds = {_kind(json.loads(configuration.to_json(job.experiment))): job for job in waiting}
    for job in kinds.values():
        experiment = job.experiment
        few = replace(experiment.training, epochs=1, images_per_epoch=experiment.training.batch)
        try:
            trainer.train(replace(experiment, training=few))
        except Exception:
            continue  # the job itself fails the same way, and says so


def _kind(value: Any) -> str:
    """Text of a configuration that leaves out the size of its numbers: which code runs."""
    if isinstance(value, dict):
        return ",".join(f"{key}:{_kind(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ",".join(map(_kind, value))
    if isinstance(value, int | float):
        return str(value != 0)
    return str(value)


def on_cluster(waiting: Sequence[Job], folder: Path | None, scheduler: str) -> Iterator[Result]:
    """Run jobs on the workers of a Dask scheduler, and yield results as they come.

    Workers that have the folder write results there themselves; those of others are written here.

    Raises
    ------
    StudyError
        Dask is not installed, the scheduler cannot be reached or has no workers.
    """
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError:
        raise StudyError(
            "--scheduler: Dask is not installed; pip install 'neurohw[cluster]'"
        ) from None
    try:
        client = Client(scheduler, timeout=_PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        line = " ".join(str(error).split()) or "no answer"
        raise StudyError(f"--scheduler {scheduler}: cannot be reached: {line}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError:
            raise StudyError(f"--scheduler {scheduler}: it has no workers") from None
        client.run(_one_thread())
        feed = iter(waiting)
        running: dict[Any, Job] = {}

        def submit() -> Any:
            job = next(feed, None)
            if job is None:
                return None
            future = client.submit(jobs.perform, job, folder, pure=False)
            running[future] = job
            return future

        # No more on their way than keep every thread busy, so that memory stays flat.
        threads = sum(client.nthreads().values())
        first = [future for _ in range(2 * threads) if (future := submit()) is not None]
        arriving = as_completed(first)
        for future in arriving:
            job = running.pop(future)
            reason = future.exception() if future.status == "error" else None
            if isinstance(reason, KilledWorker):
                yield _given_up(job, folder)
            elif future.status != "finished":
                raise StudyError(f"--scheduler {scheduler}: {job.name}: {reason or future.status}")
            else:
                result = future.result()
                if folder is not None and not jobs.path_of(folder, result.job).exists():
                    jobs.save(folder, result)
                yield result
            if (another := submit()) is not None:
                arriving.add(another)


# Seconds until a scheduler, or its first worker, must have answered.
_PATIENCE = 10


def _one_thread() -> Any:
    """Return what limits a worker to one thread; a closure, so that it brings its own code."""

    def limit() -> None:
        import os
        import sys

        if "numba" not in sys.modules:
            os.environ["NUMBA_NUM_THREADS"] = "1"
        if "numpy" not in sys.modules:
            os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

    return limit
