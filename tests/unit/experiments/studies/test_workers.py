"""Studies on worker processes and on a cluster: same results, whatever is killed meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from neurohw.errors import StudyError
from neurohw.experiments.studies import jobs, study, workers
from neurohw.experiments.studies.sweep import Workshop, sweep


def workers_of(process):
    """Return the worker processes of a study that runs."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process.pid and b"popen_loky" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def has_ended(number):
    """Return whether a process is gone, or only waits for its parent to ask."""
    try:
        stat = (Path("/proc") / str(number) / "stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_killed_workers_and_killed_studies_lose_nothing(real, tmp_path):
    real = real | {"seeds": 16}
    expected = sweep(real)
    folder = tmp_path / "jobs"

    def wait_for(count):
        until = time.monotonic() + 120
        while len(list(folder.glob("*.json"))) < count:
            assert time.monotonic() < until and running.poll() is None
            time.sleep(0.002)

    program = (
        "import json, sys; from neurohw.experiments.studies.sweep import sweep;"
        "sweep(json.loads(sys.argv[1]), out=sys.argv[2], workers=2)"
    )
    words = [sys.executable, "-c", program, json.dumps(real), str(tmp_path)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as running:
        wait_for(3)
        os.kill(workers_of(running)[0], signal.SIGKILL)
        wait_for(8)
        running.send_signal(signal.SIGSTOP)  # it starts no more
        left = workers_of(running)
        running.kill()
        for number in left:
            os.kill(number, signal.SIGKILL)
    until = time.monotonic() + 60
    while not all(map(has_ended, left)):
        assert time.monotonic() < until
        time.sleep(0.002)
    done = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert 8 <= len(done) < 32
    found = sweep(real, out=tmp_path, resume=True)
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values)
    assert {name: (folder / name).stat().st_mtime_ns for name in done} == done
    assert sorted(path.suffix for path in folder.iterdir()) == [".json"] * 32


def test_a_job_whose_worker_dies_every_time_is_a_row(real, monkeypatch):
    waiting = [jobs.Job(p.at(s), 1) for p in study.points(study.load(real)) for s in (0, 1, 2)]
    bad = waiting[2].name

    def pool(batch, folder, count, taken):
        for job in batch:
            taken.append(job.name)
            if job.name == bad:
                raise workers.BrokenProcessPool
            yield jobs.of(job, jobs.Outcome(status="done", test_errors=(0.1,)), 0.0, {})

    monkeypatch.setattr(workers, "_pool", pool)
    monkeypatch.setattr(workers, "_compile", lambda waiting: None)
    found = {r.job: r.outcome for r in workers.on_processes(waiting, None, 2)}
    assert len(found) == 6
    assert found[bad].status == "failed" and "died 5 times" in found[bad].message
    assert sum(o.status == "done" for o in found.values()) == 5


def test_kernels_are_compiled_once_for_each_kind_of_code(real, monkeypatch):
    trained = []
    monkeypatch.setattr(workers.trainer, "train", lambda experiment: trained.append(experiment))
    axes = [{"kind": "list", "key": "device.reading.relative", "values": [0, 0.01, 0.1]}]
    points = study.points(study.load(real | {"axes": axes}))
    workers._compile([jobs.Job(point.at(1), 1) for point in points])
    assert [e.chip.device.reading.relative for e in trained] == [0, 0.1]
    assert {e.training.images_per_epoch for e in trained} == {4}


def test_workers_must_be_some():
    with pytest.raises(StudyError, match="workers = 0: must be 1 or more"):
        Workshop(workers=0)


def test_an_unreachable_scheduler_is_said(real, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "_PATIENCE", 0.5)
    with pytest.raises(StudyError, match=r"--scheduler tcp://127\.0\.0\.1:9: cannot be reached"):
        sweep(real, scheduler="tcp://127.0.0.1:9")


@pytest.fixture
def cluster(tmp_path):
    """Start a scheduler and two workers as processes of their own; returns its address."""
    pytest.importorskip("distributed")
    address = tmp_path / "scheduler.json"
    scheduler = ["dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    worker = ["dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    programs = [[*scheduler, "--scheduler-file"], *2 * [[*worker, "--scheduler-file"]]]
    running = []
    try:
        for module, *words in programs:
            command = [sys.executable, "-m", f"distributed.cli.{module}", *words, str(address)]
            running.append(
                subprocess.Popen(
                    command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
        until = time.monotonic() + 60
        # The file is there before it is written.
        while not (address.exists() and address.read_text().rstrip().endswith("}")):
            assert time.monotonic() < until and running[0].poll() is None
            time.sleep(0.05)
        yield json.loads(address.read_text())["address"]
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()


def test_a_scheduler_and_two_workers_give_the_same(real, tmp_path, cluster):
    expected = sweep(real)
    found = sweep(real, out=tmp_path / "study", scheduler=cluster)
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values)
    assert len(list((tmp_path / "study" / "jobs").glob("*.json"))) == 6
    in_memory = sweep(real, scheduler=cluster)
    np.testing.assert_array_equal(in_memory["test_error"], expected["test_error"])
