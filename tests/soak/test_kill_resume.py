"""Killed 20 times at random moments, a training still ends as if it had never stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurohw.experiments.run_file import checksum, load

KILLS = 20
PROGRAM = """
from neurohw.experiments import trainer
trainer.CHECKPOINT_SECONDS = 0.02
from neurohw.cli import main
main(prog_name="neurohw")
"""
NETWORK = ("--recipe", "drn-digits", "--epochs", "60", "--set", "network.hidden=[300]")
CHIPS = {
    "ideal": ("--chip", "ideal"),
    "epiram": ("--chip", "epiram", "--set", "chip.device.range_spread=5 %"),
}

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL"),
]


def start(out: Path, words: tuple[str, ...], threads: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "train", *NETWORK, *words, "--out", out, "--resume"],
        env=os.environ | {"NUMBA_NUM_THREADS": str(threads)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def finish(out: Path, words: tuple[str, ...], threads: int) -> str:
    with start(out, words, threads) as training:
        assert training.wait(timeout=3600) == 0
    return checksum(load(out))


def wait_for_checkpoints(training: subprocess.Popen, out: Path, count: int) -> None:
    last = out.stat().st_mtime_ns if out.exists() else 0
    while count > 0:
        assert training.poll() is None, "the training ended before it was killed often enough"
        time.sleep(0.0005)
        now = out.stat().st_mtime_ns if out.exists() else 0
        count, last = count - (now != last), now


@pytest.mark.parametrize("chip", list(CHIPS))
def test_killed_at_random_moments(tmp_path: Path, chip: str) -> None:
    words, chance, out = CHIPS[chip], random.Random(chip), tmp_path / "killed.h5"
    finished = 0
    for kill in range(KILLS):
        with start(out, words, threads=1 + kill % 2) as training:
            if kill % 5 == 4:
                time.sleep(chance.uniform(0.0, 1.0))
            else:
                wait_for_checkpoints(training, out, chance.randint(1, 10))
                time.sleep(chance.uniform(0.0, 0.04))
            training.kill()
        assert training.returncode == -signal.SIGKILL
        if out.exists():
            counters = load(out).counters
            assert finished <= counters["epoch"] < 60
            finished = counters["epoch"]
    expected = finish(tmp_path / "whole.h5", words, threads=2)
    assert finish(out, words, threads=1) == expected
    assert sorted(os.listdir(tmp_path)) == ["killed.h5", "whole.h5"]
