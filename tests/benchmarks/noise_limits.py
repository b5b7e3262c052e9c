"""Accuracy against read and write noise: `python tests/benchmarks/noise_limits.py [table figure]`.

Agarwal et al. (2016), IJCNN, "Resistive memory device requirements for a neural algorithm
accelerator", trained by backpropagation and found that reads may have noise of 5 % of the range of
a weight, and updates noise of 0.4 % of it. Here a device is linear, of any increment; absolute read
noise is of its range, redrawn with every reading or frozen within an event; write noise is that of
an update by 1/750 of the range, of which 0.4 % are three times as much, and grows as the root of
its size. What the range of a cell stands for is chosen by one epoch of 10,000 images, tested on the
last 10,000 training images, with read noise at its limit (part ``windows``); all other settings are
the recipes'. Then 10,000 images an epoch, three epochs. Run files lie in runs/noise-limits;
finished ones are not repeated.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from neurohw.experiments import configuration, run_file, trainer

matplotlib.use("Agg")

FOLDER = Path("runs/noise-limits")
SEEDS = (0,)
EPOCHS = 3
IMAGES = "training.images_per_epoch=10000"
READ = (0.0, 0.025, 0.05, 0.1, 0.2)
WRITE = (0.0, 0.002, 0.004, 0.008, 0.016)
LIMITS = {"read": 0.05, "write": 0.004}
CHIP = f"""
name = "linear"

[device]
law = "linear"
g_min = "1 uS"
g_max = "101 uS"
step = {1 / 750:.6g}
whole_pulses = false
"""
# What the range of a cell stands for, by recipe: tried, and chosen.
RANGES = (0.0625, 0.125, 0.25, 0.5, 1.0)
SCALES = (0.5, 1.0, 2.0, 4.0, 8.0)
WINDOWS = {
    "mlp-1h": ("chip.mapping.weight_range", RANGES, 0.125),
    "ep-1h": ("chip.mapping.weight_range", RANGES, 0.0625),
    "drn-xs": ("chip.mapping.conductance_scale", SCALES, 1.0),
}
# Recipe, and how long a draw of read noise lasts.
CURVES = {
    "backpropagation": ("mlp-1h", "phase"),
    "EP, resistors": ("drn-xs", "phase"),
    "EP, resistors, frozen": ("drn-xs", "frozen"),
    "EP, Hopfield": ("ep-1h", "phase"),
    "EP, Hopfield, frozen": ("ep-1h", "frozen"),
}
STYLES = ("^-", "o-", "o--", "s-", "s--")
COLORS = ("black", "#0072b2", "#0072b2", "#d55e00", "#d55e00")


def settings(kind: str, noise: float, correlation: str) -> list[str]:
    """Return what gives a chip so much noise."""
    if kind == "write":
        return [f"chip.device.cycle_to_cycle={noise:g}"]
    reading = "chip.device.reading"
    return [f"{reading}.absolute={noise:g}", f"{reading}.correlation={correlation}"]


def path(kind: str, noise: float, recipe: str, correlation: str, seed: int) -> Path:
    """Return where a run lies; without noise there is one of each recipe and seed."""
    if noise == 0:
        return FOLDER / f"{recipe}-seed{seed}.h5"
    name = f"{kind}-{correlation}" if kind == "read" else kind
    return FOLDER / f"{recipe}-{name}-{noise:g}-seed{seed}.h5"


def points() -> list[tuple[str, float, str, str]]:
    """Return kind, noise, recipe and correlation of every point, the first seed's order."""
    found = []
    for recipe, correlation in CURVES.values():
        found += [("read", noise, recipe, correlation) for noise in READ]
        if correlation == "phase":
            found += [("write", noise, recipe, correlation) for noise in WRITE[1:]]
    return found


def fresh_chip() -> Path:
    """Write the chip without noise, and return where."""
    chip = FOLDER / "linear.toml"
    chip.write_text(CHIP)
    return chip


def windows() -> None:
    """Print held-out errors against what the range of a cell stands for."""
    chip = fresh_chip()
    for recipe, (key, tried, _) in WINDOWS.items():
        correlation = "phase" if recipe == "mlp-1h" else "frozen"
        noises = ("read", 0.0), ("read", LIMITS["read"]), ("write", LIMITS["write"])
        for kind, noise in noises:
            few = ["data.validation=10000", "training.images_per_epoch=10000"]
            given = [*few, *(settings(kind, noise, correlation) if noise else [])]
            found = []
            for size in tried:
                experiment = configuration.load(
                    recipe, chip=str(chip), settings=[*given, f"{key}={size:g}"], seed=100, epochs=1
                )
                found.append(100 * trainer.train(experiment).history["test_error"][-1])
            row = ", ".join(f"{size:g}: {e:.2f}" for size, e in zip(tried, found, strict=True))
            print(f"{recipe}, {kind} noise {100 * noise:g} %: {row}", flush=True)


def train() -> None:
    """Train every point."""
    chip = fresh_chip()
    for seed in SEEDS:
        for kind, noise, recipe, correlation in points():
            key, _, chosen = WINDOWS[recipe]
            given = [
                IMAGES,
                f"{key}={chosen:g}",
                *(settings(kind, noise, correlation) if noise else []),
            ]
            experiment = configuration.load(
                recipe, chip=str(chip), settings=given, seed=seed, epochs=EPOCHS
            )
            out = path(kind, noise, recipe, correlation, seed)
            run = trainer.train(experiment, out=out, resume=True)
            print(f"{out.stem}: {100 * run.history['test_error'][-1]:.2f} %", flush=True)


def errors(kind: str, recipe: str, correlation: str) -> np.ndarray:
    """Return test errors in %, (noise, seeds), of the seeds that are there in full."""
    levels = READ if kind == "read" else WRITE
    rows = [[path(kind, n, recipe, correlation, s) for n in levels] for s in SEEDS]
    files = zip(*(row for row in rows if all(file.exists() for file in row)), strict=True)
    return np.array(
        [[100 * run_file.load(f).history["test_error"][-1] for f in row] for row in files]
    )


def curves(kind: str) -> dict[str, np.ndarray]:
    """Return the errors of each curve; write noise has no correlation."""
    known = {label: c for label, c in CURVES.items() if kind == "read" or c[1] == "phase"}
    return {label: errors(kind, *curve) for label, curve in known.items()}


def table() -> None:
    """Print the mean errors."""
    for kind, levels in (("read", READ), ("write", WRITE)):
        print(f"\n| {kind} noise | " + " | ".join(f"{100 * n:g} %" for n in levels) + " |")
        print("| --- |" + " --- |" * len(levels))
        for label, found in curves(kind).items():
            print(f"| {label} | " + " | ".join(f"{e:.2f}" for e in found.mean(axis=1)) + " |")


def draw(axes: Axes, kind: str, levels: tuple[float, ...]) -> None:
    """Draw the penalty of one kind of noise, a line a curve, against the limit."""
    for label, style, color in zip(CURVES, STYLES, COLORS, strict=True):
        if label in (known := curves(kind)):
            penalty = known[label] - known[label][:1]
            axes.plot(
                100 * np.array(levels[1:]),
                penalty.mean(axis=1)[1:],
                style,
                color=color,
                label=label,
            )
    axes.axvline(100 * LIMITS[kind], color="grey", ls=":")
    axes.axhline(0, color="grey", lw=0.5)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_yticks([0, 1, 3, 10, 30, 90], ["0", "1", "3", "10", "30", "90"])
    axes.set_xticks(100 * np.array(levels[1:]), [f"{100 * n:g}" for n in levels[1:]])
    axes.minorticks_off()
    axes.set_xlabel(f"{kind} noise [% of range]")


def figure(out: Path = Path("docs/noise-limits.png")) -> None:
    """Draw docs/noise-limits.png."""
    canvas, (left, right) = pyplot.subplots(
        1, 2, figsize=(9, 3.8), sharey=True, layout="constrained"
    )
    draw(left, "read", READ)
    draw(right, "write", WRITE)
    left.set_ylabel("test error less that without noise [points]")
    left.legend(frameon=False, fontsize=8)
    canvas.savefig(out, dpi=110)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for part in sys.argv[1:] or ["train"]:
        {"windows": windows, "train": train, "table": table, "figure": figure}[part]()
