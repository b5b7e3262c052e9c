"""Studies that are killed 20 times lose nothing; 2,000 jobs leave the parent's memory flat."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from neurohw.experiments.studies import jobs, study, sweep

KILLS = 20
STUDY = {
    "name": "soak",
    "recipe": "drn-digits",
    "settings": [
        "training.engine=numpy",
        "training.precision=float64",
        "training.images_per_epoch=16",
        "data.train=24",
        "network.hidden=[4]",
        "learning.variant=positive",
    ],
    "epochs": 1,
    "seeds": 400,
    "axes": [
        {"kind": "list", "key": "nudging", "values": [0.5, 0.6, 0.7, 0.8, 0.9]},
    ],
}
PROGRAM = """
import json, sys
from neurohw.experiments.studies.sweep import sweep
sweep(json.loads(sys.argv[1]), out=sys.argv[2], workers=2, resume=True)
"""

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc"),
]


def workers_of(process: subprocess.Popen) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process.pid and b"popen_loky" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def finished(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "jobs").glob("*.json")}


def test_killed_at_random_moments(tmp_path: Path) -> None:
    chance, out = random.Random(0), tmp_path / "study"
    points, seeds = study.points(study.load(STUDY)), range(STUDY["seeds"])
    every = [jobs.Job(point.at(seed), 1) for point in points for seed in seeds]
    known: dict[str, int] = {}
    kills = 0
    while kills < KILLS:
        words = [sys.executable, "-c", PROGRAM, json.dumps(STUDY), str(out)]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as running:
            # A few workers die, then the study itself.
            for _ in range(1 + chance.randrange(3)):
                count = len(finished(out))
                while len(finished(out)) <= count and running.poll() is None:
                    time.sleep(0.01)
                assert running.poll() is None, "the study ended before it was killed often enough"
                time.sleep(chance.uniform(0.0, 0.3))
                if left := workers_of(running):
                    os.kill(chance.choice(left), signal.SIGKILL)
                    kills += 1
            left = workers_of(running)
            running.kill()
            kills += 1
        for number in left:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        now = finished(out)
        assert {name: now[name] for name in known} == known
        assert len(jobs.load(out / "jobs", every)) == len(now)
        known = now
    found = sweep.sweep(STUDY, out=out, workers=2, resume=True)
    assert set(found["status"]) == {"done"} and len(found["seed"]) == 2000
    assert sorted(path.suffix for path in (out / "jobs").iterdir()) == [".json"] * 2000
    expected = sweep.sweep(STUDY)
    np.testing.assert_array_equal(found["test_error"], expected["test_error"])


def resident() -> float:
    """Memory of this process [MB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_the_parent_keeps_its_memory_over_two_thousand_jobs(tmp_path: Path) -> None:
    seen: list[float] = []

    def told(progress: sweep.Progress) -> None:
        if progress.done % 100 == 0:
            seen.append(resident())

    sweep.sweep(STUDY, out=tmp_path, workers=2, progress=told)
    # What is kept of a job is a row of a few hundred bytes.
    assert seen[-1] - seen[3] < 10, seen
