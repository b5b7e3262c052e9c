"""Draw docs/neuron-noise.png, training with noise: `python tests/benchmarks/neuron_noise.py`.

In kind what Laborieux and Zenke (2022), NeurIPS 35, 12950, show: 784-256-256-10 of sigmoid
neurons on MNIST, free and nudged states with noise of 0.04, one-sided equilibrium propagation at
β = 0.1 and 0.4 and holomorphic with 10 points. Ours are 3000 images and 6 epochs where theirs were
all and 50. Runs are in runs/neuron-noise; a run that was interrupted goes on.
"""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neurohw.experiments import configuration, trainer

FOLDER, EPOCHS = Path("runs/neuron-noise"), 6
RATES = "[0.1, 0.03, 0.01]"
SETTINGS = (
    *("data.train=3000", "network.hidden=[256, 256]", "network.activation=sigmoid"),
    *("relaxation.dynamics=sweeps", "relaxation.free_sweeps=30", "relaxation.nudged_sweeps=10"),
    *("relaxation.start=zero", "learning.points=10"),
    *(f"learning.learning_rate={RATES}", f"learning.bias_learning_rate={RATES}"),
)
# Name of a run, its label and what it is run with; 8 mV are 0.04 of the unit voltage.
WAYS = {
    "positive-0.1": ("one-sided, β = 0.1", ("learning.variant=positive", "learning.nudging=0.1")),
    "positive-0.4": ("one-sided, β = 0.4", ("learning.variant=positive", "learning.nudging=0.4")),
    "holomorphic": (
        "holomorphic, N = 10, β = 0.4",
        ("learning.variant=holomorphic", "learning.nudging=0.4"),
    ),
}
NOISES = {"0 V": "no noise", "8 mV": "noise of 8 mV, 0.04 of the unit voltage"}


def main() -> None:
    """Train where that is not done, print a table and draw it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(8.0, 3.6), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (noise, title) in zip(panels, NOISES.items(), strict=True):
        for style, (name, (label, settings)) in zip(("o-", "s-", "x--"), WAYS.items(), strict=True):
            experiment = configuration.load(
                "ep-2h",
                settings=[*SETTINGS, *settings, f"chip.neuron.noise={noise}"],
                epochs=EPOCHS,
            )
            path = FOLDER / f"{name}-{noise.replace(' ', '')}.h5"
            history = trainer.train(experiment, out=path, resume=True).history
            errors = 100 * history["test_error"]
            print(f"{title}, {label}: test error {errors[-1]:.1f} %", flush=True)
            axes.plot(history["epoch"], errors, style, label=label)
        axes.set(title=title, xlabel="epoch", ylim=(0, 95))
    panels[0].set(ylabel="test error (%)")
    panels[0].legend()
    canvas.print_png(Path("docs/neuron-noise.png"))


if __name__ == "__main__":
    main()
