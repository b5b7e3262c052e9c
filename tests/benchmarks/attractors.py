"""Draw docs/attractors.png: `python tests/benchmarks/attractors.py`, in about a minute.

A Hopfield network 64-64-64-10 of the digits, untrained and after some epochs of contrastive Hebbian
learning: in how many images a second phase ends in the basin of another minimum than its first.
"""

import math
from pathlib import Path

import click
import matplotlib
import numpy as np
from matplotlib import pyplot

from neurohw.experiments import attractors, configuration, trainer
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.experiments.step import restore_chip

matplotlib.use("Agg")

NUDGINGS = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
EPOCHS = {0: "#0072b2", 1: "#d55e00", 4: "#009e73", 8: "#cc79a7"}
CLAMPED_AT = 30.0
IMAGES, SEEDS = 300, (0, 1)
RATES = "[0.1, 0.05, 0.02]"
GLOROT = [math.sqrt(6 / fans) for fans in (64 + 64, 64 + 64, 64 + 10)]
BASE = (
    *("data.name=digits", "network.hidden=[64, 64]", "training.batch=10"),
    f"network.initial_range={GLOROT}",
    *("relaxation.overrelaxation=1.0", "relaxation.start=zero", "relaxation.tolerance=0.0"),
    *("relaxation.free_sweeps=60", "relaxation.nudged_sweeps=20"),
    *("learning.variant=contrastive_hebbian", "learning.nudging=1.0"),
    *(f"learning.learning_rate={RATES}", f"learning.bias_learning_rate={RATES}"),
    "learning.learning_rate_decay=1.0",
)


@click.command()
def main() -> None:
    """Draw shares against β, those of clamped outputs at the right."""
    canvas, panel = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    for epochs, colour in EPOCHS.items():
        found = [course(epochs, seed) for seed in SEEDS]
        apart, answers = np.mean(found, axis=0)
        name = f"after epoch {epochs}" if epochs else "untrained"
        panel.plot(NUDGINGS, apart[:-1], "o-", markersize=3, color=colour, label=name)
        panel.plot([CLAMPED_AT], apart[-1:], "s", color=colour)
        shares = zip((*NUDGINGS, np.inf), apart, answers, strict=True)
        click.echo(f"{name}: " + ", ".join(f"{b:g}: {a:.3f} ({w:.3f})" for b, a, w in shares))
    panel.set_xscale("log")
    panel.set_yscale("symlog", linthresh=0.005)
    ticks = (0.01, 0.1, 1.0, 10.0)
    panel.set_xticks([*ticks, CLAMPED_AT], [*(f"{b:g}" for b in ticks), "clamped"])
    panel.minorticks_off()
    shares = (0, 0.005, 0.01, 0.03, 0.1, 0.3)
    panel.set_ylim(-0.0005, 0.33)
    panel.set_yticks(shares, [f"{100 * share:g} %" for share in shares])
    panel.set_xlabel("nudging β of equilibrium propagation; clamped: contrastive Hebbian")
    panel.set_ylabel("images, other minimum")
    panel.legend(frameon=False, fontsize=8)
    canvas.savefig(Path("docs/attractors.png"), dpi=110)


def course(epochs: int, seed: int) -> list[list[float]]:
    """Return the shares of images in another minimum, and with another answer, for each β."""
    exact = ("training.precision=float64", "training.engine=numpy")
    experiment = configuration.load("ep-2h-fast", seed=seed, settings=(*BASE, *exact))
    data = dataset_of(experiment)
    machine = build(experiment, data)
    if epochs:
        run = trainer.train(
            configuration.load("ep-2h-fast", epochs=epochs, seed=seed, settings=BASE)
        )
        restore_chip(machine.chip, run)
        click.echo(f"seed {seed}, {epochs} epochs: test error {run.history['test_error'][-1]:.3f}")
    images, labels = data.train_images[:IMAGES], data.train_labels[:IMAGES]
    with computing():
        found = [
            attractors.switching(machine, images, labels, nudging)
            for nudging in (*NUDGINGS, np.inf)
        ]
    return [[each.apart for each in found], [each.answers for each in found]]


if __name__ == "__main__":
    main()
