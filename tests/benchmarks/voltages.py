"""Train with real diodes at real voltages: `voltages.py train`, then `table` and `figure`.

Shockley diodes at 300 K (1 pA), input full scale 0.2, 1 and 5 V, on the ideal memory, so that
the diodes alone decide. Run files lie in runs/results; finished runs are not repeated.
"""

import sys
from pathlib import Path

import matplotlib
from matplotlib import pyplot

from neurohw.experiments import run_file
from neurohw.experiments.run_file import Run

sys.path.insert(0, str(Path(__file__).parent))

from results import FOLDER, finished, train

matplotlib.use("Agg")

FULL_SCALES = (0.2, 1.0, 5.0)
EPOCHS, DEEP_EPOCHS = 5, 3
TO_GROUND = ["chip.neuron.kind=diode"]
# 0.357 V is the drop of these diodes at 1 uA, what a conductor of 10 uS carries at 0.1 V.
CANCELLED = [
    *TO_GROUND,
    "chip.neuron.low_voltage=0.357 V",
    "chip.neuron.high_voltage=-0.357 V",
]
NETWORKS = {
    "drn-xs, diodes to ground": ("drn-xs", TO_GROUND),
    "drn-xs, on-voltage cancelled": ("drn-xs", CANCELLED),
    "kendall": ("kendall", []),
}
# Input gain and rates for two layers of 100 were chosen with ideal diodes on held-out images.
DEEP = [
    "network.hidden=[100, 100]",
    "network.input_gain=500.0",
    "learning.learning_rate=[0.006, 0.02, 0.06]",
    "learning.bias_learning_rate=[0.006, 0.02, 0.06]",
]
# The same network in units of its layers' voltages; only the second layer's diodes see more.
GAINS = {
    1: [],
    4: [
        "chip.neuron.gain=4.0",
        "network.input_gain=31.25",
        "learning.bias_learning_rate=[2.34375e-5, 1.25e-3, 0.06]",
    ],
}


def named(network: str, full_scale: float | str) -> str:
    """Return the stem of a run's file."""
    return f"voltage-{network.replace(', ', '-').replace(' ', '-')}-{full_scale}"


def runs() -> dict[str, tuple[str, dict[str, object]]]:
    """Return recipe and choices of every run by its file's stem."""
    found: dict[str, tuple[str, dict[str, object]]] = {}
    for network, (recipe, options) in NETWORKS.items():
        for volts in FULL_SCALES:
            settings = [*options, f"chip.input.full_scale={volts} V"]
            found[named(network, volts)] = recipe, {"settings": settings, "epochs": EPOCHS}
    linear = ["chip.neuron.kind=linear"]
    found[named("drn-xs", "ideal")] = "drn-xs", {"epochs": EPOCHS}
    found[named("drn-xs", "linear")] = "drn-xs", {"settings": linear, "epochs": EPOCHS}
    found[named("two-layers", "ideal")] = "drn-2h", {"settings": DEEP, "epochs": DEEP_EPOCHS}
    for gain, options in GAINS.items():
        for volts in (1.0, 5.0):
            settings = [*DEEP, *CANCELLED, *options, f"chip.input.full_scale={volts} V"]
            choices = {"settings": settings, "epochs": DEEP_EPOCHS}
            found[named(f"two-layers-gain-{gain}", volts)] = "drn-2h", choices
    return found


def load(name: str) -> Run | None:
    """Return a finished run, or None."""
    path = FOLDER / f"{name}.h5"
    run = run_file.load(path) if path.exists() else None
    return run if run is not None and finished(run) else None


def table() -> None:
    """Print the rows of RESULTS.md."""
    print("| run | test error % | train error % | epochs | hidden p90, mV |", end="")
    print(" outputs p90, mV | difference of the phases, uV | seconds | checksum |")
    print("| --- " * 9 + "|")
    for name in runs():
        run = load(name)
        if run is None:
            continue
        p90, difference = run.physical["voltage_p90"], run.physical["difference"]
        print(
            f"| {name.removeprefix('voltage-')} | {100 * run.history['test_error'][-1]:.2f}"
            f" | {100 * run.history['train_error'][-1]:.2f} | {run.counters['epoch']}"
            f" | {', '.join(f'{1e3 * v:.1f}' for v in p90[:-1])} | {1e3 * p90[-1]:.1f}"
            f" | {', '.join(f'{1e6 * v:.1f}' for v in difference)}"
            f" | {run.times['seconds_per_epoch'].sum():.0f}"
            f" | `{run_file.checksum(run)[:16]}` |"
        )


def figure(path: Path) -> None:
    """Draw test error against full scale, with ideal and without diodes as lines."""
    canvas, axes = pyplot.subplots(figsize=(9, 4), layout="constrained")
    colors = ("#d55e00", "#0072b2", "#009e73")
    for network, color in zip(NETWORKS, colors, strict=True):
        errors = [(v, load(named(network, v))) for v in FULL_SCALES]
        points = [(v, 100 * r.history["test_error"][-1]) for v, r in errors if r is not None]
        axes.plot(*zip(*points, strict=True), "o-", color=color, label=network)
    for kind, style in (("linear", ":"), ("ideal", "--")):
        run = load(named("drn-xs", kind))
        if run is not None:
            error = 100 * run.history["test_error"][-1]
            label = "drn-xs, no diodes" if kind == "linear" else "drn-xs, ideal diodes"
            axes.axhline(error, color="black", linestyle=style, linewidth=1, label=label)
    axes.set_xscale("log")
    axes.set_xticks(FULL_SCALES, [f"{v:g}" for v in FULL_SCALES])
    axes.set_yscale("log")
    axes.set_yticks([3, 5, 10, 15], ["3", "5", "10", "15"])
    axes.minorticks_off()
    axes.set_xlabel("input full scale [V]")
    axes.set_ylabel(f"MNIST test error after {EPOCHS} epochs [%]")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    canvas.savefig(path, dpi=120)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for part in sys.argv[1:]:
        match part.partition(":"):
            case "train", _, _:
                for name, (recipe, choices) in runs().items():
                    train(name, recipe, **choices)
            case "table", _, _:
                table()
            case "figure", _, folder:
                figure(Path(folder or "docs") / "voltages.png")
            case _:
                sys.exit(f"{part}: known parts are train, table, figure")
