"""Draw docs/predictive-coding.png and print the tables of docs/predictive-coding.md.

`python tests/benchmarks/predictive_coding.py` trains networks 64-64-64-10 on the digits for some
minutes; validation is on the last 300 of their training images.
"""

from itertools import product
from pathlib import Path

import click
import matplotlib
import msgspec
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from neurohw.experiments import configuration, trainer
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.experiments.run_file import Run

matplotlib.use("Agg")

MODES = {"strict": "#0072b2", "fixed-prediction": "#d55e00", "incremental": "#009e73"}
STEPS = (1, 2, 3, 5, 10, 20)
RATES = (0.1, 0.3, 1.0)
SEEDS = (0,)
NOISE = (0.0, 0.01, 0.03)
BASE = (
    *("data.name=digits", "data.validation=300", "network.hidden=[64, 64]", "training.batch=10"),
    *("network.initial_range=0.43", "chip.programming.adam_step=2.5e-4"),
)


@click.command()
@click.option("--epochs", default=5)
@click.option("--figure/--no-figure", default=True, help="Draw the figure, too.")
def main(epochs: int, figure: bool) -> None:
    """Draw both panels, then train with read noise."""
    if figure:
        canvas, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        draw_answers(left, epochs)
        draw_training(right, epochs)
        canvas.savefig(Path("docs/predictive-coding.png"), dpi=110)
    ways = {
        "backpropagation": backpropagation,
        "strict": inference(mode="strict"),
        "strict, every step taken": inference(mode="strict", halving=False),
        "fixed-prediction": inference(mode="fixed-prediction"),
        "every step, variance 100": inference(halving=False, output_variance=100.0),
    }
    for (name, way), noise in product(ways.items(), NOISE):
        # Weights in ± 1, so that noise is not that of a range they do not use.
        settings = ["chip.mapping.weight_range=1.0", "chip.programming.adam_step=1e-3"]
        if noise:
            settings.append(f"chip.device.reading.absolute={noise}")
            settings.append("chip.device.reading.correlation=sweep")
        errors = [error(train(way(load(epochs, *settings, seed=seed)))) for seed in SEEDS]
        click.echo(f"{name:>34}, noise {noise:.0%}: {100 * np.mean(errors):.1f} %")


def load(epochs: int, *settings: str, seed: int = 0) -> Experiment:
    """Return the recipe on few images."""
    return configuration.load(
        "predictive-coding", epochs=epochs, seed=seed, settings=(*BASE, *settings)
    )


def inference(**keys):
    """Return what gives an experiment other keys of learning.inference."""

    def changed(experiment: Experiment) -> Experiment:
        given = {"steps": 8, "rate": 0.3} | keys
        found = msgspec.structs.replace(experiment.learning.inference, **given)
        learning = msgspec.structs.replace(experiment.learning, inference=found)
        return msgspec.structs.replace(experiment, learning=learning)

    return changed


def backpropagation(experiment: Experiment) -> Experiment:
    """Return the same network with backpropagation."""
    learning = msgspec.structs.replace(experiment.learning, rule="backpropagation", inference=None)
    return msgspec.structs.replace(experiment, learning=learning)


def train(experiment: Experiment) -> Run:
    """Train in silence."""
    return trainer.train(experiment)


def error(run: Run) -> float:
    """Return the validation error at the end."""
    return float(run.history["test_error"][-1])


def draw_answers(panel: Axes, epochs: int) -> None:
    """Draw how right a trained network is whose values relax from 0 and are stopped."""
    run = train(load(epochs))
    data = dataset_of(run.experiment)
    with computing():
        machine = build(run.experiment, data)
        machine.restore(run)
        inputs = machine.encode(data.test_images)
        activity = machine.rule.forward(machine.chip.arrays[0].read(inputs), 0, inputs)
        start = [np.zeros_like(z) for z in activity.totals[:-1]]
        for rate, colour in zip(RATES, MODES.values(), strict=True):
            right = []
            counts = range(1, 61)
            for steps in counts:
                settings = machine.rule.inference
                machine.rule.inference = msgspec.structs.replace(
                    settings, steps=steps, rate=rate, halving=False
                )
                found = machine.rule.infer(activity, None, 0, start=start).end
                right.append(np.mean(found.states[-1].argmax(axis=1) == data.test_labels))
            panel.plot(counts, right, color=colour, label=f"rate {rate:g}")
            enough = next(n for n, r in zip(counts, right, strict=True) if r > right[-1] - 0.01)
            click.echo(f"answers, rate {rate:g}: {right[0]:.2f}, {right[-1]:.3f} from {enough}")
    panel.axhline(1 - error(run), color="gray", linestyle=":", label="forward pass")
    panel.set_xlabel("steps from values of 0 to the answer")
    panel.set_ylabel("right, of validation images")
    panel.legend(frameon=False, fontsize=8)


def draw_training(panel: Axes, epochs: int) -> None:
    """Draw what so many steps of inference in training make of the network."""
    for mode, colour in MODES.items():
        found = [
            1 - error(train(inference(mode=mode, steps=steps, rate=0.3)(load(epochs))))
            for steps in STEPS
        ]
        panel.plot(STEPS, found, "o-", markersize=3, color=colour, label=mode)
        click.echo(
            f"{mode}: " + ", ".join(f"{n}: {r:.3f}" for n, r in zip(STEPS, found, strict=True))
        )
    reference = 1 - error(train(backpropagation(load(epochs))))
    click.echo(f"backpropagation: {reference:.3f}")
    panel.axhline(reference, color="gray", linestyle=":", label="backpropagation")
    panel.set_xscale("log")
    panel.set_xticks(STEPS, [str(n) for n in STEPS])
    panel.minorticks_off()
    panel.set_xlabel(f"steps of an inference in {epochs} epochs of training")
    panel.legend(frameon=False, fontsize=8)


if __name__ == "__main__":
    main()
