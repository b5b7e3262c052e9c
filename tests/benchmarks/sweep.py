"""Speed of studies: `python tests/benchmarks/sweep.py`, on a machine with two free cores.

Prints how much faster two workers are than one on a study of 40 short runs, both as worker
processes of one thread, their start included; and what a study adds to each job, from 200 jobs one
after the other in this process against the same trainings without a study.
"""

import os
import sys
import tempfile
import time

os.environ["NUMBA_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

from neurohw.experiments import trainer
from neurohw.experiments.studies import study as studies
from neurohw.experiments.studies.sweep import sweep

SHORT = {
    "name": "short",
    "recipe": "drn-digits",
    "chip": "epiram",
    "epochs": 30,
    "seeds": 10,
    "axes": [{"kind": "list", "key": "device.cycle_to_cycle", "values": [0, 0.01, 0.02, 0.05]}],
}
TINY = SHORT | {
    "name": "tiny",
    "epochs": 1,
    "seeds": 50,
    "settings": ["data.train=40", "training.images_per_epoch=8", "learning.variant=positive"],
}


def timed(table: dict, workers: int) -> float:
    """Return the seconds of a study in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        sweep(table, out=folder, workers=workers)
        return time.perf_counter() - started


def speed_up() -> None:
    """Print the gain of a second worker."""
    timed(SHORT | {"seeds": 1}, 1)  # compiles
    one, two = timed(SHORT, 1), timed(SHORT, 2)
    print(f"40 runs: one worker {one:.1f} s, two {two:.1f} s: {one / two:.2f} times as fast")


def overhead() -> None:
    """Print what a study adds to a job."""
    points = studies.points(studies.load(TINY))
    experiments = [point.at(seed) for point in points for seed in range(TINY["seeds"])]
    trainer.train(experiments[0])
    started = time.perf_counter()
    for experiment in experiments:
        trainer.train(experiment)
    alone = time.perf_counter() - started
    added = (timed(TINY, 1) - alone) / len(experiments)
    print(f"{len(experiments)} jobs: {1e3 * added:.1f} ms are added to each")


if __name__ == "__main__":
    for part in sys.argv[1:] or ["speed_up", "overhead"]:
        {"speed_up": speed_up, "overhead": overhead}[part]()
