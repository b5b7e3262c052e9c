"""Draw docs/stdp.png and print the table of docs/stdp.md: `python tests/benchmarks/stdp.py`.

The curve takes half a minute, the table (ep-1h on 2000 images of MNIST, two epochs, two chips,
both rules) some minutes.
"""

from itertools import product
from pathlib import Path

import click
import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from neurohw.experiments import configuration, trainer
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.experiments.spike_timing import Neurons, timing_curve
from neurohw.learning.stdp import course

matplotlib.use("Agg")

BLUE, ORANGE = "#0072b2", "#d55e00"
CHIPS = {"ideal": (), "epiram": ("chip.mapping.weight_range=0.25",)}
RULES = ("equilibrium-propagation", "stdp")
RATES = ("learning.learning_rate=[0.1,0.05]", "learning.bias_learning_rate=[0.1,0.05]")
STEP, TIMES = 0.02, 8.0


@click.command()
@click.option("--table/--no-table", default=True, help="Train for the table, too.")
def main(table: bool) -> None:
    """Draw both panels, then train."""
    canvas, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    draw_curve(left)
    draw_transient(right)
    canvas.savefig(Path("docs/stdp.png"), dpi=110)
    for chip, rule in product(CHIPS, RULES) if table else ():
        settings = ("data.train=2000", f"learning.rule={rule}", *RATES, *CHIPS[chip])
        run = trainer.train(configuration.load("ep-1h", chip=chip, epochs=2, settings=settings))
        errors = " ".join(f"{100 * error:.2f} %" for error in run.history["test_error"])
        click.echo(f"{chip:>7} {rule:>24} {errors}, cost {run.history['cost'][-1]:.7f}")


def draw_curve(panel: Axes) -> None:
    """Draw changes by the time between two spikes."""
    neurons = Neurons(rate=100.0)
    found = timing_curve(neurons, synapses=40, duration=200.0, bins=16)
    times = np.linspace(-85e-3, 85e-3, 1001)
    panel.plot(1e3 * times, neurons.expected(times), color=ORANGE, label="closed form")
    panel.errorbar(
        1e3 * found.difference,
        found.change,
        found.error,
        fmt="o",
        markersize=3,
        color=BLUE,
        label="simulated spikes",
    )
    panel.axhline(0, color="gray", linewidth=0.5)
    panel.axvline(0, color="gray", linewidth=0.5)
    panel.set_xlabel("t_post − t_pre [ms]")
    panel.set_ylabel("mean change, dρ_post/dt [1/s]")
    miss = (found.change - found.expected) / found.error
    click.echo(f"{found.pairs.sum()} pairs; {np.sqrt((miss**2).mean()):.2f} standard errors rms")
    panel.legend(frameon=False, fontsize=8)


def draw_transient(panel: Axes) -> None:
    """Draw what synapses of a trained network have integrated while a nudged phase runs."""
    settings = ("data.name=digits", "network.hidden=[32]", "training.precision=float64")
    settings += ("learning.variant=positive", "learning.nudging=0.5", "learning.rule=stdp")
    run = trainer.train(configuration.load("ep-1h", epochs=3, settings=settings))
    slow = (f"relaxation.step={STEP}", f"relaxation.nudged_sweeps={round(TIMES / STEP)}")
    slow += ("relaxation.free_sweeps=2000", "relaxation.start=zero")
    experiment = configuration.load(run.experiment, settings=slow)
    data = dataset_of(experiment)
    with computing():
        machine = build(experiment, data)
        machine.restore(run)
        inputs = machine.encode(data.test_images[:1])
        current, target = machine.chip.arrays[0].read(inputs), machine.targets(data.test_labels[:1])
        contrast = machine.rule.phases(current, target, None, 0, inputs)
    unit = machine.chip.scale.unit_voltage
    hidden, outputs = (path[:, 0] / unit for path in contrast.path)
    upward = np.einsum("ti,tj->tji", course(hidden)[0], course(outputs)[1]).cumsum(axis=0)
    downward = np.einsum("ti,tj->tji", course(hidden)[1], course(outputs)[0]).cumsum(axis=0)
    whole = np.multiply.outer(outputs[-1], hidden[-1]) - np.multiply.outer(outputs[0], hidden[0])
    times = STEP * np.arange(1, len(hidden))
    wanted = whole.max(), 0.5 * whole.max(), whole.min()
    shown = [np.unravel_index(np.abs(whole - value).argmin(), whole.shape) for value in wanted]
    for k, (j, i) in enumerate(shown):
        labels = ["both directions", "hidden to output", "contrast"] if k == 0 else [None] * 3
        panel.plot(times, (upward + downward)[:, j, i], color=BLUE, label=labels[0])
        panel.plot(times, upward[:, j, i], color=BLUE, linewidth=1.5, ls=":", label=labels[1])
        panel.axhline(whole[j, i], color=ORANGE, linewidth=0.8, ls="--", label=labels[2])
    panel.set_xlabel("time since nudging began [time constants]")
    panel.set_ylabel("∫ρ_i·dρ_j, 3 synapses")
    panel.legend(frameon=False, fontsize=8, loc=(0.62, 0.32))


if __name__ == "__main__":
    main()
