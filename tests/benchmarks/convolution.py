"""Draw docs/convolution.png: `python tests/benchmarks/convolution.py runs/ep/ep-conv.h5`.

What a run of `ep-conv` has learnt: the kernels of its first array, one image of the data set that
it is evaluated on, and what the units of both layers of maps put out after the free phase.
"""

from pathlib import Path

import click
import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.figure import SubFigure

from neurohw.experiments import run_file
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.experiments.step import restore_chip

matplotlib.use("Agg")

GAP = 1


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--image", default=0, help="Number of the image.")
@click.option("--out", default="docs/convolution.png", type=click.Path(path_type=Path))
def main(path: Path, image: int, out: Path) -> None:
    """Relax the run's network on one image, and draw."""
    run = run_file.load(path)
    dataset = dataset_of(run.experiment)
    with computing():
        machine = build(run.experiment, dataset)
        restore_chip(machine.chip, run)
        inputs = machine.encode(dataset.test_images[image : image + 1])
        network, chip, phases = machine.network, machine.chip, run.experiment.phases
        current = chip.arrays[0].read(inputs)
        words = network, chip.seen(), chip.sources(), current
        state = machine.engine.relax(*words, sweeps=phases.free_sweeps).state
    first, second, *_ = network.connections
    kernels = chip.logical()[0][0].reshape(-1, first.kernel, first.kernel)
    canvas = pyplot.figure(figsize=(9, 2.9), layout="constrained")
    panels = canvas.subfigures(1, 4, width_ratios=(1, 0.9, 1, 1.6))
    largest = np.abs(kernels).max()
    draw(panels[0], tiled(kernels, 4), "kernels of the first layer", -largest, largest, "PuOr_r")
    picture = dataset.test_images[image].reshape(dataset.image_shape)
    draw(panels[1], picture, "an image", 0, 1)
    layers = zip(panels[2:], (first, second), state, (4, 8), strict=False)
    for number, (panel, connection, membranes, across) in enumerate(layers, start=1):
        outputs = network.forward(number - 1, membranes) / network.unit_voltage
        side = connection.above
        maps = np.moveaxis(outputs.reshape(side, side, connection.channels), 2, 0)
        draw(panel, tiled(maps, across), f"maps of layer {number}", 0, maps.max())
    canvas.savefig(out, dpi=110)


def tiled(pictures: np.ndarray, across: int) -> np.ndarray:
    """Return square pictures side by side, gaps are NaN."""
    side, down = pictures.shape[1], -(-len(pictures) // across)
    step = side + GAP
    found = np.full((down * step - GAP, across * step - GAP), np.nan)
    for place, picture in enumerate(pictures):
        row, column = (step * part for part in divmod(place, across))
        found[row : row + side, column : column + side] = picture
    return found


def draw(
    panel: SubFigure, picture: np.ndarray, title: str, low: float, high: float, cmap: str = "gray"
) -> None:
    """Draw one picture with its scale."""
    axes = panel.subplots()
    colours = matplotlib.colormaps[cmap].with_extremes(bad="lightsteelblue")
    shown = axes.imshow(picture, cmap=colours, vmin=low, vmax=high, interpolation="none")
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)
    panel.colorbar(shown, ax=axes, location="bottom", shrink=0.7).ax.tick_params(labelsize=7)


if __name__ == "__main__":
    main()
