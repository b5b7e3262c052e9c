"""Draw docs/read-noise.png, gradients against read noise: `python tests/benchmarks/read_noise.py`.

1568-100-10 of `drn-xs` after a few hundred mini-batches: cosine of the first layer's estimated
gradient with that of noiseless reads, for every correlation, over mini-batches of 4.
"""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from msgspec.structs import replace

from neurohw import datasets
from neurohw.devices.reading.specification import Reading
from neurohw.experiments import configuration, trainer
from neurohw.experiments.machine import build, computing
from neurohw.experiments.run_file import Run

CORRELATIONS = {"frozen": "o-", "sample": "x--", "spectrum": "s-", "sweep": "o-", "phase": "x--"}
NOISE = np.logspace(-6, -1, 6)
EVENTS = 8
# 1/f noise between 1 Hz and 1 MHz, phases 1 us apart.
SPECTRUM = {"bandwidth": 1e6, "flicker_corner": 1.0, "phase_time": 1e-6}


def reading(correlation: str, noise: float) -> Reading:
    """Return a device's noise of a standard deviation `noise`, relative to the conductance."""
    if correlation == "spectrum":
        # Between the corner and the bandwidth there are so many factors of e.
        flicker = float(noise / np.sqrt(np.log(1e6)))
        return Reading(correlation=correlation, flicker=flicker, **SPECTRUM)
    return Reading(correlation=correlation, relative=float(noise))


def gradients(run: Run, noise: Reading) -> list[np.ndarray]:
    """Return the first layer's gradients of mini-batches on the chip of a run, with such reads."""
    chip = run.experiment.chip
    device = replace(chip.device, reading=noise)
    dataset = datasets.load("mnist")
    machine = build(replace(run.experiment, chip=replace(chip, device=device)), dataset)
    machine.restore(run)
    found = []
    for event in range(EVENTS):
        rows = slice(4 * event, 4 * event + 4)
        inputs = machine.encode(dataset.train_images[rows])
        targets = machine.targets(dataset.train_labels[rows])
        array = machine.chip.arrays[0]
        contrast = machine.rule.contrast(array.read(inputs), targets, None, event, inputs)
        updates, _ = machine.rule.updates(contrast, inputs, [1.0, 1.0], [0.0, 0.0])
        found.append(updates[0].dense(array.values(), 0).astype(np.float64))
    return found


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Return the cosine of the angle between two gradients."""
    return float(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b))


def main() -> None:
    """Train, measure, print a table and draw it."""
    run = trainer.train(configuration.load("drn-xs", settings=["data.train=4000"], epochs=1))
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
    with computing():
        exact = gradients(run, Reading())
        for correlation, style in CORRELATIONS.items():
            rows = [gradients(run, reading(correlation, noise)) for noise in NOISE]
            means = [np.mean([cosine(*p) for p in zip(row, exact, strict=True)]) for row in rows]
            print(correlation, *(f"{mean:.3f}" for mean in means))
            axes.plot(NOISE, means, style, label=correlation)
    axes.set(
        xscale="log",
        xlabel="read noise, standard deviation relative to G",
        ylabel="cosine with the noiseless gradient",
        ylim=(-0.1, 1.05),
    )
    axes.axhline(0, color="grey", lw=0.5)
    axes.legend(title="correlation")
    canvas.print_png(Path("docs/read-noise.png"))


if __name__ == "__main__":
    main()
