"""Train the Hopfield networks of the founding paper: `python tests/benchmarks/founding.py PART...`.

A part is the name of a recipe, with the number of epochs where it is not the recipe's: ep-1h,
ep-1h-fast, ep-2h:3, ep-2h-fast and so on, drn-1h-fashion, ep-conv-fashion. With `last` for the
number, as in ep-1h-fast:last, its trained network goes on with held currents as nudging, which
outputs at their limits answer, too. `table` and `figure` show what is there. Finished runs are not
repeated, interrupted ones go on. Run files lie in runs/founding. The figure is that of Scellier
and Bengio (2017), figure 3.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib import pyplot

from neurohw.experiments import configuration, run_file, trainer
from neurohw.experiments.experiment import Experiment

matplotlib.use("Agg")

FOLDER = Path("runs/founding")
PANELS = {"ep-1h": "one hidden layer", "ep-2h": "two", "ep-3h": "three"}
COLORS = {"published": "#d55e00", "fast": "#0072b2"}


class Part(NamedTuple):
    """A continuation with held currents of a nudging; rates are a share of the recipe's."""

    epochs: int
    nudging: float
    share: float = 1.0
    decay: float = 0.97


# One continuation after the other.
LAST = {
    "ep-1h-fast": [Part(30, 3, decay=0.985)],
    "ep-2h-fast": [Part(25, 3), Part(18, 2, decay=0.95)],
    "ep-3h-fast": [
        Part(35, 1, share=0.5, decay=0.98),
        Part(30, 1, share=0.6, decay=0.98),
        Part(18, 1, share=0.75, decay=0.95),
        Part(13, 2, share=0.75, decay=0.95),
    ],
}


def continued(recipe: str, part: Part) -> Experiment:
    """Return the experiment of a part that continues a recipe."""
    learning = configuration.load(recipe).learning
    settings = [
        "chip.nudging.kind=current",
        f"learning.nudging={part.nudging}",
        f"learning.learning_rate_decay={part.decay}",
    ]
    for key in ("learning_rate", "bias_learning_rate"):
        rates = ", ".join(f"{part.share * rate:g}" for rate in getattr(learning, key))
        settings.append(f"learning.{key}=[{rates}]")
    return configuration.load(recipe, epochs=part.epochs, settings=settings)


def train(experiment: Experiment, path: Path, start: Path | None = None) -> None:
    """Train an experiment, from a run's network if one is given, or go on with its run file."""
    run = trainer.train(experiment, out=path, resume=True, start=start, warn=print)
    print(f"{path.stem}: {run.counters['epoch']} epochs", flush=True)


def show(folder: Path) -> None:
    """Print the errors after the last epoch of every run in a folder that has one."""
    print("| recipe | epochs | training error % | test error % | minutes | checksum |")
    print("| --- | --- | --- | --- | --- | --- |")
    for path in sorted(folder.glob("*.h5")):
        run = run_file.load(path)
        if not run.counters["epoch"]:
            continue
        errors = [100 * run.history[key][-1] for key in ("train_error", "test_error")]
        minutes = np.sum(run.times["seconds_per_epoch"]) / 60
        print(
            f"| `{path.stem}` | {run.counters['epoch']} | {errors[0]:.3f} | {errors[1]:.2f}"
            f" | {minutes:.0f} | `{run_file.checksum(run)[:16]}` |"
        )


def figure(path: Path) -> None:
    """Draw training and test errors against the epoch, one panel a depth.

    Right of each dotted line a network goes on with held currents.
    """
    canvas, panels = pyplot.subplots(1, 3, figsize=(10, 3.6), sharey=True, layout="constrained")
    for (name, title), axes in zip(PANELS.items(), panels, strict=True):
        for kind, color in COLORS.items():
            recipe = f"{name}{'-fast' if kind == 'fast' else ''}"
            parts = [FOLDER / f"{recipe}.h5", *sorted(FOLDER.glob(f"{recipe}-last-*.h5"))]
            histories = [run_file.load(part).history for part in parts if part.exists()]
            if not histories:
                continue
            for end in np.cumsum([len(history["test_error"]) for history in histories[:-1]]):
                axes.axvline(end, color="gray", linestyle=":")
            for key, style in (("train_error", "--"), ("test_error", "-")):
                error = 100 * np.concatenate([history[key] for history in histories])
                place = np.arange(1, len(error) + 1)
                label = f"{kind}, {'training' if style == '--' else 'test'}"
                axes.plot(place, error, style, color=color, label=label, linewidth=1.2)
        axes.set_title(title, fontsize=10)
        axes.set_yscale("symlog", linthresh=0.1)
        axes.set_yticks([0, 0.1, 1, 2, 3, 10, 50], ["0", "0.1", "1", "2", "3", "10", "50"])
        axes.minorticks_off()
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    panels[-1].legend(frameon=False, fontsize=8, loc="lower left")
    panels[0].set_ylabel("MNIST error [%]")
    canvas.savefig(path, dpi=120)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for part in sys.argv[1:]:
        match part.partition(":"):
            case "table", _, _:
                show(FOLDER)
            case "figure", _, folder:
                figure(Path(folder or "docs") / "founding.png")
            case recipe, _, "last":
                start = FOLDER / f"{recipe}.h5"
                for k, continuation in enumerate(LAST[recipe], start=1):
                    path = FOLDER / f"{recipe}-last-{k}.h5"
                    train(continued(recipe, continuation), path, start)
                    start = path
            case recipe, _, epochs:
                length = int(epochs) if epochs else None
                train(configuration.load(recipe, epochs=length), FOLDER / f"{recipe}.h5")
