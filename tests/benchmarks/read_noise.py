"""Draw docs/read-noise.png, gradients against read noise: `python tests/benchmarks/read_noise.py`.

1568-100-10 of `drn-xs` after a few hundred mini-batches: cosine of the first layer's estimated
gradient with that of noiseless reads, for every correlation, over mini-batches of 4.
"""

from pathlib import Path

import msgspec
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neurohw import datasets
from neurohw.experiments import configuration, trainer
from neurohw.experiments.machine import build, computing
from neurohw.experiments.run_file import Run

CORRELATIONS = ["frozen", "sample", "spectrum", "sweep", "phase"]
NOISE = np.logspace(-6, -1, 6)
EVENTS = 8
# 1/f noise between 1 Hz and 1 MHz, phases 1 us apart.
SPECTRUM = {"bandwidth": "1 MHz", "flicker_corner": "1 Hz", "phase_time": "1 us"}


def reading(correlation: str, noise: float) -> dict[str, object]:
    """Return a device's noise of a standard deviation `noise`, relative to the conductance."""
    if correlation == "spectrum":
        # Between the corner and the bandwidth there are so many factors of e.
        return {"correlation": correlation, "flicker": noise / np.sqrt(np.log(1e6)), **SPECTRUM}
    return {"correlation": correlation, "relative": noise}


def gradients(run: Run, keys: dict[str, object]) -> list[np.ndarray]:
    """Return the first layer's gradients of mini-batches on the chip of a run, with such reads."""
    chip = msgspec.to_builtins(run.experiment.chip)
    chip["device"]["reading"] = keys
    settings = {**msgspec.to_builtins(run.experiment), "chip": chip}
    experiment = configuration.load(settings)
    dataset = datasets.load("mnist")
    machine = build(experiment, dataset)
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
        exact = gradients(run, {})
        for correlation in CORRELATIONS:
            rows = [gradients(run, reading(correlation, noise)) for noise in NOISE]
            means = [np.mean([cosine(*p) for p in zip(row, exact, strict=True)]) for row in rows]
            print(correlation, *(f"{mean:.3f}" for mean in means))
            axes.plot(NOISE, means, "o-", label=correlation)
    axes.set(
        xscale="log",
        xlabel="read noise, standard deviation relative to G",
        ylabel="cosine with the noiseless gradient",
        ylim=(-0.1, 1.05),
    )
    axes.axhline(0, color="grey", lw=0.5)
    axes.legend(title="a draw lasts for")
    canvas.print_png(Path("docs/read-noise.png"))


if __name__ == "__main__":
    main()
