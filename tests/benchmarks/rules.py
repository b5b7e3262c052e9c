"""Rules of feed-forward networks: a training step against its products and its programming.

`python tests/benchmarks/rules.py` prints the table alone.
"""

import numpy as np
from table import Row, interleaved, row, show
from threadpoolctl import threadpool_limits

from neurohw.experiments import configuration
from neurohw.experiments.machine import build, dataset_of
from neurohw.experiments.step import Batch
from neurohw.learning.continual import program

RECIPES = (
    *("mlp-1h", "fa-1h-relu", "dfa-1h", "sign-symmetric-1h", "kolen-pollack-1h"),
    *("weight-mirror-1h", "brainprop-1h", "brainprop-reciprocal-1h", "burst-1h"),
    *("two-site-1h", "segregated-1h", "dendritic-2h", "predictive-coding-1h"),
)


def against_products(recipe: str, *, steps: int, rounds: int) -> list[Row]:
    """Compare steps with the products of their reads, as BLAS does them, and one programming."""
    experiment = configuration.load(recipe, settings=["data.train=1000"])
    dataset = dataset_of(experiment)
    machine = build(experiment, dataset)
    samples = np.arange(experiment.training.batch)
    inputs = machine.encode(dataset.train_images[samples])
    batch = Batch(
        inputs=inputs,
        pending=machine.chip.arrays[0].read(inputs),
        targets=machine.targets(dataset.train_labels[samples]),
        samples=samples,
    )
    # So small that the network stays what it is.
    rates, bias_rates = ([1e-9 * r for r in each] for each in machine.learning_rates(0))
    taken = machine.step(batch, 0, rates, bias_rates)
    activity = machine.rule.forward(batch.pending, 0, inputs)
    unit = machine.chip.scale.unit_voltage
    errors = machine.rule.errors(activity, batch.targets / unit, 0)
    # The first array was read as it was programmed.
    reads = machine.rule.forward_reads(inputs, activity, 0)[1:]
    reads += machine.rule.error_reads(activity, errors, 0)
    products = []
    for read in reads:
        units, lines = read.array.shape
        drives = (units, lines) if read.transposed else (lines, units)
        # One product for each of the reads that follow each other.
        shapes = (len(read.voltages) // read.times, drives[0]), drives
        products += [[np.ones(s, "f4") for s in shapes]] * read.times

    def write(step) -> None:
        program(machine.chip, step.updates, step.bias_updates, 0, inputs, step.beside)

    def floor() -> None:
        for _ in range(steps):
            for x, g in products:
                x @ g
            write(taken)

    def whole() -> None:
        for _ in range(steps):
            write(machine.step(batch, 0, rates, bias_rates))

    with threadpool_limits(limits=1, user_api="blas"):
        seconds = interleaved({"floor": floor, "step": whole}, rounds=rounds)
    ratios = [a / b for a, b in zip(seconds["step"], seconds["floor"], strict=True)]
    label = f"{recipe}, step of {len(samples)} images"
    return [
        row(label, 1e3 * min(seconds["step"]) / steps, "ms"),
        row(f"{label}: of its products and programming", float(np.median(ratios)), "×", below=2),
    ]


if __name__ == "__main__":
    found = [each for name in RECIPES for each in against_products(name, steps=20, rounds=5)]
    print(show(found))
