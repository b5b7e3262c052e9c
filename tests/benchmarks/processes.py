"""What is measured from outside: the largest network's memory, the command line's start."""

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from table import Row, row

EPOCH = 15_000


def largest_network(*, steps: int) -> list[Row]:
    """Measure a part of an epoch of drn-xl and the memory that the process took."""
    script = Path(__file__).parent / "large_network.py"
    command = [sys.executable, str(script), str(steps)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured = json.loads(done.stdout)
    return [
        row(f"drn-xl: fused, from {steps} mini-batches", measured["seconds"] * EPOCH, "s/epoch"),
        row("drn-xl: start, first ten mini-batches", measured["built"], "s"),
        row("drn-xl: peak memory", measured["peak_bytes"] / 1e9, "GB", below=3),
    ]


def help_time(*, rounds: int) -> list[Row]:
    """Measure `neurohw --help`, from start to end of the process."""
    command = [str(Path(sys.executable).parent / "neurohw"), "--help"]
    seconds = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - begun)
    return [row("neurohw --help", median(seconds[1:]), "s", below=0.3)]
