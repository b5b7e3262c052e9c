"""Competing hidden units: sweeps with pictures, controls, speed.

`python tests/benchmarks/krotov_hopfield.py` takes some minutes with 100 units and 20000 images, of
which the last quarter is held out, and draws docs/competing-hidden-units.png; `--units 2000
--images 60000 --epochs 100 --readout 30 --power 3 --rank 7` takes hours. Errors are those on the
images held out.
"""

import time
from pathlib import Path

import click
import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from neurohw.experiments import configuration, trainer
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import Batch
from neurohw.learning.continual import program
from neurohw.reports.figures import receptive_fields

matplotlib.use("Agg")

BLUE, ORANGE = "#0072b2", "#d55e00"
POWERS, STRENGTHS = (2.0, 3.0, 4.0, 5.0), (0.0, 0.2, 0.4, 0.6)


@click.command()
@click.option("--units", default=100)
@click.option("--images", default=20000)
@click.option("--epochs", default=40, help="Without labels.")
@click.option("--readout", default=10, help="Epochs of the readout.")
@click.option("--power", default=2.0, help="Of the sweep of strengths, and of the controls.")
@click.option("--rank", default=2)
@click.option("--sweeps/--no-sweeps", default=True)
@click.option("--controls/--no-controls", default=True)
def main(
    units: int,
    images: int,
    epochs: int,
    readout: int,
    power: float,
    rank: int,
    sweeps: bool,
    controls: bool,
) -> None:
    """Train and draw, then time a mini-batch of krotov-hopfield."""
    settings = (
        f"network.hidden=[{units}]",
        f"data.train={images}",
        f"data.validation={images // 4}",
    )
    settings = (*settings, f"learning.competition.rank={rank}")

    def trained(p: float, strength: float, stage: int = epochs) -> Run:
        one = unit_sum(p)
        if stage == 0:
            # Random weights of the norm that learnt ones have; their sums are that much smaller.
            mean = np.mean(np.abs(np.random.default_rng(0).normal(size=100000)) ** p)
            deviation = float((784 * mean) ** (-1 / p))
            one = 13.5 * deviation
        competition = (
            f"learning.competition.power={p}",
            f"learning.competition.anti_hebbian={strength}",
            f"learning.competition.epochs={stage}",
            f"network.initial_deviation={1.0 if stage else deviation}",
            f"network.power.unit_sum={one}",
        )
        run = trainer.train(
            configuration.load(
                "krotov-hopfield-demo", settings=(*settings, *competition), epochs=stage + readout
            )
        )
        return told(run, f"p = {p:g}, anti-Hebbian {strength:g}, {stage} epochs without labels")

    if sweeps:
        by_power = {p: trained(p, 0.4) for p in POWERS}
        by_strength = {d: trained(power, d) for d in STRENGTHS}
        draw(by_power, by_strength)
    if controls:
        trained(power, 0.4, 0)
        own = (*settings[:-1], "learning.learning_rate_decay=0.9")
        end = configuration.load("krotov-hopfield-end-to-end", settings=own, epochs=readout)
        told(trainer.train(end), "end to end by backpropagation")
    speed()


def unit_sum(p: float) -> float:
    """Return the sum at which a state is 1: 5, and more where a norm of 1 leaves weights larger.

    Of about 64 weights that count, in a unit of |W| of power p.
    """
    return float(5.0 * 64 ** (0.5 - 1 / p))


def told(run: Run, name: str) -> Run:
    """Print how a run ended and return it."""
    errors = ", ".join(
        f"{key.removesuffix('_error')} error {100 * run.history[key][-1]:.2f} %"
        for key in ("train_error", "test_error")
    )
    noted = {
        key: run.history[key][-1] for key in ("dead_units", "settled_units") if key in run.history
    }
    units = "".join(f", {key.removesuffix('_units')} {100 * v:.1f} %" for key, v in noted.items())
    seconds = np.sum(run.times["seconds_per_epoch"])
    print(f"{name}: {errors}{units}, {seconds:.0f} s", flush=True)
    return run


def draw(by_power: dict[float, Run], by_strength: dict[float, Run]) -> None:
    """Draw the weights for each power, and what both sweeps give."""
    canvas = pyplot.figure(figsize=(9, 5.2), layout="constrained")
    top, bottom = canvas.subfigures(2, 1, height_ratios=(1.25, 1))
    for axes, (p, run) in zip(top.subplots(1, len(by_power)), by_power.items(), strict=True):
        weights = run.arrays[0]["conductance"]
        weights = weights / np.abs(weights).max(axis=1, keepdims=True)
        image, _ = receptive_fields(weights, (28, 28), 36, 6)
        axes.imshow(image, cmap="PuOr_r", vmin=-1, vmax=1, interpolation="none")
        axes.set_title(f"p = {p:g}")
        axes.set_axis_off()
    panels = bottom.subplots(1, 2)
    curves(panels[0], by_power, "power p")
    curves(panels[1], by_strength, "anti-Hebbian strength Δ")
    canvas.savefig(Path("docs/competing-hidden-units.png"), dpi=110)


def curves(axes: Axes, runs: dict[float, Run], name: str) -> None:
    """Draw the error, and the shares of units, against what was swept."""
    for key, colour, label in (
        ("test_error", BLUE, "error, held out"),
        ("dead_units", ORANGE, "dead units"),
    ):
        values = [100 * run.history[key][-1] for run in runs.values()]
        axes.plot(list(runs), values, "o-", color=colour, label=label)
    axes.set_xlabel(name)
    axes.set_ylabel("%")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def speed(batches: int = 20) -> None:
    """Print what a mini-batch of krotov-hopfield takes, and the floor of its products."""
    experiment = configuration.load("krotov-hopfield")
    dataset, batch = dataset_of(experiment), experiment.training.batch
    with computing():
        machine = build(experiment, dataset)
        targets = machine.targets(dataset.train_labels)
        array = machine.chip.arrays[0]
        for name, epoch in (("without labels", 0), ("readout", experiment.training.epochs - 1)):
            rates, bias_rates = machine.learning_rates(epoch)
            inputs = machine.encode(dataset.train_images[:batch])
            pending, taken = array.read(inputs), []
            for k in range(batches):
                samples = np.arange(k * batch, (k + 1) * batch)
                started = time.perf_counter()
                given = Batch(
                    inputs=inputs, pending=pending, targets=targets[samples], samples=samples
                )
                step = machine.step(given, k, rates, bias_rates)
                inputs = machine.encode(dataset.train_images[samples])
                middle = time.perf_counter()
                pending = program(machine.chip, step.updates, step.bias_updates, k, inputs)
                taken.append((middle - started, time.perf_counter() - middle))
            learning, programming = 1e3 * np.median(taken[2:], axis=0)
            whole = len(dataset.train_images) / batch * (learning + programming) / 6e4
            print(
                f"krotov-hopfield, {name}: {learning:.1f} + {programming:.1f} ms a mini-batch of"
                f" {batch} (learning, programming), {whole:.2f} min an epoch"
            )
        weights, products = array.values(), []
        for _ in range(batches):
            started = time.perf_counter()
            inputs @ weights.T
            products.append(time.perf_counter() - started)
        print(f"the product of inputs and weights alone: {1e3 * np.median(products):.1f} ms")


if __name__ == "__main__":
    main()
