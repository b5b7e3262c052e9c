"""Draw docs/dendritic.png: `python tests/benchmarks/dendritic_ode.py`.

A dendritic microcircuit in time, one seed, no noise: some five minutes.
"""

from pathlib import Path

import click
import matplotlib
import numpy as np
from matplotlib import pyplot

from neurohw.engines.numba.dendritic.engine import NumbaDendriticEngine
from neurohw.experiments.dendritic_regression import Task, learn

matplotlib.use("Agg")

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"


@click.command()
@click.option("--taught", default=Task().taught, show_default=True, help="Patterns with a teacher.")
def main(taught: int) -> None:
    """Run the course, print its numbers and draw it."""
    task = Task(taught=taught)
    total = task.alone + task.taught
    with click.progressbar(length=total, label="patterns") as bar:
        course = learn(NumbaDendriticEngine, task, progress=lambda k: bar.update(1))
    # One look at the weights every 100 patterns, and the mean voltage of these.
    apical = np.sqrt(np.mean(np.square(course.apical).reshape(-1, 100), axis=1))
    seen = np.array(course.patterns) / 1000
    canvas, panels = pyplot.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    alone, learning, weights = panels
    alone.semilogy(seen[1:], apical, color=BLUE, linewidth=1)
    alone.set_ylabel("apical dendrites, rms [voltage unit]")
    learning.plot(seen, course.error, color=ORANGE)
    learning.set_ylabel("squared error / variance of targets")
    learning.set_ylim(0, 1.5)
    weights.plot(seen, course.angle, color=GREEN)
    weights.axhline(45, color="gray", linewidth=0.8, linestyle="--")
    weights.set_ylabel("angle, forward to feedback weights [°]")
    for panel in panels:
        panel.axvline(task.alone / 1000, color="gray", linewidth=0.8)
        panel.set_xlabel("patterns [thousands]")
    canvas.savefig(Path("docs/dendritic.png"), dpi=110)
    first, last = course.mismatch[0], course.mismatch[task.alone // 100]
    click.echo(
        f"apical rms: {apical[0]:.2g}, after {task.alone} {apical[task.alone // 100 - 1]:.2g}"
    )
    click.echo(f"mismatch: {first[0]:.2f}, {first[1]:.2f} to {last[0]:.2f}, {last[1]:.2f}")
    click.echo(f"error: {course.error[task.alone // 100]:.2f} to {course.error[-1]:.3f}")
    click.echo(f"angle: {course.angle[0]:.1f}° to {course.angle[-1]:.1f}°")


if __name__ == "__main__":
    main()
