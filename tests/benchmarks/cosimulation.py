"""Trains the exclusive or inside one ngspice transient: `python tests/benchmarks/cosimulation.py`.

Prints the share of wrong cases and the cost as it learns, beside the steady-state engine's, and
how long both took.
"""

import time

import click
import numpy as np

from neurohw.experiments import configuration, cosimulation, trainer
from neurohw.experiments.machine import build, computing, dataset_of


@click.command()
@click.option("--epochs", default=200, show_default=True)
@click.option("--duration", default=10e-6, show_default=True, help="Of each phase, in seconds.")
@click.option("--seed", default=0, show_default=True)
def main(epochs: int, duration: float, seed: int) -> None:
    """Train the recipe drn-xor both ways."""
    experiment = configuration.load("drn-xor", epochs=epochs, seed=seed)
    dataset = dataset_of(experiment)
    with computing():
        machine = build(experiment, dataset)
        started = time.perf_counter()
        learnt = cosimulation.train(machine, dataset, epochs=epochs, duration=duration)
        seconds = time.perf_counter() - started
    reference = trainer.train(experiment)
    click.echo("epoch  wrong  cost        steady state: wrong  cost")
    for epoch in np.unique(np.geomspace(1, epochs, 12).astype(int)) - 1:
        error, cost = (reference.history[key][epoch] for key in ("train_error", "cost"))
        click.echo(
            f"{epoch + 1:5}  {learnt.error[epoch]:4.0%}   {learnt.cost[epoch]:.6f}"
            f"    {error:4.0%}   {cost:.6f}"
        )
    apart = [
        np.abs(array.values() - other["conductance"]).max() / np.abs(other["conductance"]).max()
        for array, other in zip(machine.chip.arrays, reference.arrays, strict=True)
    ]
    click.echo(
        f"{epochs} epochs of {duration:g} s phases in {seconds:.1f} s;"
        f" conductances apart by {max(apart):.2g} of the largest"
    )


if __name__ == "__main__":
    main()
