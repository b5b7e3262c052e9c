"""Accuracy against the length of the phases: `python tests/benchmarks/phase_lengths.py`.

drn-digits, one epoch by the engine ``transient``, both phases of the same length, on a chip of 1 pF
a node; and ep-1h, three epochs of 10,000 images, its phases counted in steps of half a time
constant, free phases from the images' stored states: the nudged phase varied at 20 free steps, and
the free phase at 4 nudged ones; its test errors are after 50 free steps from 0 V, whatever it was
trained with. Prints tables and draws docs/phase-lengths.png. Run files lie in
runs/phase-lengths; finished ones are not repeated.
"""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot

from neurohw.experiments import configuration, trainer
from neurohw.experiments.evaluation import evaluate
from neurohw.experiments.run_file import Run

matplotlib.use("Agg")

FOLDER = Path("runs/phase-lengths")
SEEDS = (0, 1, 2)
NANOSECONDS = (20, 50, 100, 200, 500, 3000)
STEPS = (1, 2, 4, 8, 16, 32)
FREE, NUDGED, SETTLED = 20, 4, 50


def trained(recipe: str, settings: list[str], name: str, seed: int, epochs: int) -> Run:
    """Train, if that is not done."""
    experiment = configuration.load(recipe, settings=settings, seed=seed, epochs=epochs)
    return trainer.train(experiment, out=FOLDER / f"{name}-seed{seed}.h5", resume=True)


def transient(nanoseconds: int) -> list[float]:
    """Return test errors, one a seed, with phases of a length; 0 for a network at rest."""
    settings = []
    if nanoseconds:
        times = [f"relaxation.{key}_time={nanoseconds} ns" for key in ("free", "nudged")]
        settings = ["training.engine=transient", *times]
    runs = [trained("drn-digits", settings, f"digits-{nanoseconds}", s, 1) for s in SEEDS]
    return [100 * float(run.history["test_error"][-1]) for run in runs]


def stepped(free: int, nudged: int) -> list[float]:
    """Return test errors, one a seed, with phases of so many steps."""
    settings = [
        "training.images_per_epoch=10000",
        "learning.learning_rate=[0.1,0.05]",
        "learning.bias_learning_rate=[0.1,0.05]",
        f"relaxation.free_sweeps={free}",
        f"relaxation.nudged_sweeps={nudged}",
    ]
    errors = []
    for seed in SEEDS:
        run = trained("ep-1h", settings, f"ep-1h-{free}-{nudged}", seed, 3)
        settled = configuration.load(run.experiment, settings=[f"relaxation.free_sweeps={SETTLED}"])
        run = replace(run, experiment=settled)
        errors.append(100 * evaluate(run)["test_error"])
    return errors


def table(title: str, rows: dict[str, list[float]]) -> None:
    """Print one row a length."""
    print(f"\n| {title} | test error, {len(SEEDS)} seeds |\n| --- | --- |")
    for label, errors in rows.items():
        print(f"| {label} | {np.mean(errors):.1f} ± {np.std(errors, ddof=1):.1f} % |")


def main() -> None:
    """Train, print, draw."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    at_rest = transient(0)
    digits = {n: transient(n) for n in NANOSECONDS}
    nudged = {n: stepped(FREE, n) for n in STEPS}
    free = {n: stepped(n, NUDGED) for n in STEPS}
    table(
        "drn-digits, both phases",
        {f"{n} ns": errors for n, errors in digits.items()} | {"at rest": at_rest},
    )
    table(f"ep-1h, nudged steps ({FREE} free)", {str(n): e for n, e in nudged.items()})
    table(f"ep-1h, free steps ({NUDGED} nudged)", {str(n): e for n, e in free.items()})
    canvas, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for panel, curves in (
        (left, {"both phases": digits}),
        (right, {f"nudged phase ({FREE} free)": nudged, f"free phase ({NUDGED} nudged)": free}),
    ):
        for marker, color, (label, points) in zip(
            "os", ("#0072b2", "#d55e00"), curves.items(), strict=False
        ):
            panel.plot(list(points), [np.mean(e) for e in points.values()], "-", color=color)
            for n, errors in points.items():
                shown = label if n == next(iter(points)) else None
                panel.plot([n] * len(errors), errors, marker, color=color, ms=4, label=shown)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.grid(alpha=0.3)
    left.axhline(np.mean(at_rest), color="black", lw=1, ls="--", label="at rest")
    left.set(title="drn-digits, engine transient", xlabel="length of both phases [ns]")
    left.set_ylabel("test error [%]")
    right.set(title="ep-1h, steps of half a time constant", xlabel="steps")
    right.set_xticks(STEPS, [str(n) for n in STEPS])
    left.set_xticks(NANOSECONDS, [str(n) for n in NANOSECONDS])
    for panel, ticks in ((left, (15, 20, 30, 50, 90)), (right, (3, 5, 10, 20, 50, 90))):
        panel.minorticks_off()
        panel.set_yticks(ticks, [str(n) for n in ticks])
        panel.legend(frameon=False)
    canvas.savefig("docs/phase-lengths.png", dpi=120)


if __name__ == "__main__":
    main()
