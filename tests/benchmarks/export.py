"""Export the map of a network of the size of drn-xl; print times, rates and peak memory.

python tests/benchmarks/export.py [--chip NAME] [--tile N] [--formats hdf5 npz ...]

Cells hold random conductances: what is measured is the export. Each format is written in a process
of its own, whose peak memory includes the run; its time includes the way to the disk (fsync).
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from neurohw import datasets
from neurohw.experiments import configuration, run_file
from neurohw.experiments.run_file import Run
from neurohw.export import formats, writing
from neurohw.export.mapping import weight_map
from neurohw.mappings.scale import physical_scale


def random_run(chip: str, tile: int) -> Run:
    """Return a run of drn-xl that was never built: random cells within the device's window."""
    experiment = configuration.load("drn-xl", chip=chip, settings=[f"chip.mapping.tile={tile}"])
    dataset = datasets.load("mnist")
    sizes = (2 * dataset.train_images.shape[1], *experiment.network.hidden, dataset.classes)
    scale = physical_scale(experiment.chip, sizes[:-1], experiment.input_gain)
    rng, arrays = np.random.default_rng(0), []
    for k, (inputs, units) in enumerate(pairwise(sizes)):
        low, high = scale.window(k)
        span = (high if np.isfinite(high) else scale.unit_conductance) - low
        g = rng.random((units, inputs), np.float32)
        g *= np.float32(span)
        g += np.float32(low)
        limits = {"g_min": np.array([[low]]), "g_max": np.array([[high]])}
        arrays.append({"conductance": g, "unit_sums": g.sum(axis=1), **limits})
        if k:
            arrays[-1]["input_sums"] = g.sum(axis=0)
    return Run(
        experiment=experiment,
        dataset={"name": dataset.name, "checksum": dataset.checksum},
        arrays=arrays,
        biases=[{"current": np.zeros(units, np.float32)} for units in sizes[1:]],
        state={},
        counters={"epoch": 0},
        history={"test_error": np.zeros(0)},
        physical={},
        times={},
        versions={},
    )


def size_of(path: Path) -> int:
    """Return the bytes of a file or of a folder's files."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files)


def peak() -> int:
    """Return the peak memory of this process [bytes].

    Where Linux says it, that since it began: the other count goes on from its parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(each for each in status.read_text().splitlines() if "VmHWM" in each)
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def written_at(folder: Path) -> float:
    """Return how fast the disk takes 256 MB and has them for good [bytes/s]."""
    block, path = np.random.default_rng(0).bytes(1 << 28), folder / "probe"
    begun = time.perf_counter()
    with path.open("wb") as file:
        file.write(block)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begun
    path.unlink()
    return len(block) / seconds


def main(chip: str, tile: int, wanted: list[str]) -> None:
    """Print a JSON object a format."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = random_run(chip, tile)
        cells = sum(array["conductance"].size for array in run.arrays)
        run_file.save(folder / "run.h5", run)
        del run
        print(json.dumps({"cells": cells, "disk_MB_per_s": round(written_at(folder) / 1e6)}))
        for form in wanted:
            words = [sys.executable, __file__, "--write", form, str(folder)]
            subprocess.run(words, check=True)


def write(form: str, folder: Path) -> None:
    """Load the run and write its map, in this process; print time, rate and peak memory."""
    begun = time.perf_counter()
    run = run_file.load(folder / "run.h5")
    loaded, out = time.perf_counter() - begun, folder / "map"
    begun, used = time.perf_counter(), time.process_time()
    writing.write(formats.load(form), weight_map(run), out)
    seconds, size = time.perf_counter() - begun, size_of(out)
    facts = {
        "format": form,
        "load_seconds": round(loaded, 1),
        "write_seconds": round(seconds, 1),
        "processor_seconds": round(time.process_time() - used, 1),
        "bytes": size,
        "MB_per_s": round(size / seconds / 1e6, 1),
        "peak_MB": round(peak() / 1e6),
    }
    print(json.dumps(facts), flush=True)
    shutil.rmtree(out) if out.is_dir() else out.unlink()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chip", default="ideal")
    parser.add_argument("--tile", type=int, default=0)
    parser.add_argument("--formats", nargs="+", default=["hdf5", "npz"])
    parser.add_argument("--write", nargs=2, metavar=("FORMAT", "FOLDER"), help="One, here.")
    given = parser.parse_args()
    if given.write:
        write(given.write[0], Path(given.write[1]))
    else:
        main(given.chip, given.tile, given.formats)
