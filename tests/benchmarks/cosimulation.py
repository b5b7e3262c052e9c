"""Trains inside one ngspice transient: `python tests/benchmarks/cosimulation.py [--task digits]`.

The exclusive or, or the digits 0 and 1 with 4×4 pixels: 200 of them, 160 to test with. Prints the
share of wrong cases and the cost as it learns, beside the steady-state engine's, and how long it
took.
"""

import time
from pathlib import Path

import click
import numpy as np

from neurohw.experiments import configuration, cosimulation, trainer
from neurohw.experiments.machine import build, computing, dataset_of

# Epochs and changes to the recipe drn-xor; the digits' were chosen with 50 of the 200 held out.
TASKS = {
    "xor": (200, []),
    "digits": (3, ["network.hidden=[4]", "data.name=runs/digits-0-1.npz"]),
}


def write_digits(path: Path) -> None:
    """Write the digits 0 and 1 of scikit-learn's 8×8 images, blocks of four pixels averaged."""
    from sklearn.datasets import load_digits

    digits = load_digits(n_class=2)
    images = digits.images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16) / 16
    order = np.random.default_rng(0).permutation(len(images))
    parts = {"train": order[:200], "test": order[200:]}
    arrays = {f"{part}_images": images[some] for part, some in parts.items()}
    labels = {f"{part}_labels": digits.target[some] for part, some in parts.items()}
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **arrays, **labels)


@click.command()
@click.option("--task", type=click.Choice(list(TASKS)), default="xor", show_default=True)
@click.option("--epochs", type=int, help="Default: 200 of xor, 3 of digits.")
@click.option("--duration", default=10e-6, show_default=True, help="Of each phase, in seconds.")
@click.option("--seed", default=0, show_default=True)
def main(task: str, epochs: int | None, duration: float, seed: int) -> None:
    """Train both ways."""
    usual, settings = TASKS[task]
    epochs = epochs or usual
    if task == "digits":
        write_digits(Path("runs/digits-0-1.npz"))
    experiment = configuration.load("drn-xor", epochs=epochs, seed=seed, settings=settings)
    dataset = dataset_of(experiment)
    with computing():
        machine = build(experiment, dataset)
        started = time.perf_counter()
        learnt = cosimulation.train(machine, dataset, epochs=epochs, duration=duration)
        seconds = time.perf_counter() - started
        wrong = machine.error(dataset.test_images, dataset.test_labels)
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
        f" conductances apart by {max(apart):.2g} of the largest;"
        f" test error {wrong:.1%}, steady state {reference.history['test_error'][-1]:.1%}"
    )


if __name__ == "__main__":
    main()
