"""Train what RESULTS.md reports, and print its tables: `python tests/benchmarks/results.py PART`.

Parts: xs, 1h, 2h, 3h, devices, ablations; `tables` and `figures` show what is there; a part may
carry an argument, as in 1h:2 (seed), 2h:15 (epochs) or devices:epiram. Finished runs are not
repeated, interrupted ones go on. Run files lie in runs/results. Parts may run side by side.
"""

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot

from neurohw.experiments import configuration, run_file, trainer
from neurohw.experiments.run_file import Run

matplotlib.use("Agg")

FOLDER = Path("runs/results")
DEVICES = (
    "ag-a-si",
    "taox-hfox",
    "taox-tio2",
    "pcmo",
    "alox-hfo2",
    "gst-pcm",
    "epiram",
    "hzo-fefet",
)
SEEDS = (0, 1, 2)
SEARCH_SEED = 100
RATE = 0.006
ABLATIONS = {
    "as it is": [],
    "levels off": ["chip.device.whole_pulses=false"],
    "noise off": ["chip.device.cycle_to_cycle=0.0"],
    "nonlinearity off": [
        "chip.device.nonlinearity_up=0.0",
        "chip.device.nonlinearity_down=0.0",
    ],
    "window down to 0": ['chip.device.g_min="0 S"'],
}


def train(name: str, recipe: str, **choices: object) -> Run:
    """Return a run, trained or read from its file."""
    path = FOLDER / f"{name}.h5"
    experiment = configuration.load(recipe, **choices)
    run = trainer.train(experiment, out=path, resume=True)
    times = run.times["seconds_per_epoch"]
    print(
        f"{name}: test {100 * run.history['test_error'][-1]:.2f} %"
        f" train {100 * run.history['train_error'][-1]:.2f} % {np.sum(times):.0f} s",
        flush=True,
    )
    return run


def settings(chip: str, first: float, second: float, rate: float) -> list[str]:
    """Return the options that put conductance scales and a rate into a configuration."""
    options = [f"learning.learning_rate={rate}"]
    if chip != "ideal":
        options.append(f"chip.mapping.conductance_scale=[{first}, {second}]")
    return options


def search(chip: str) -> list[str]:
    """Choose conductance scales and learning rate on the last 10,000 training images.

    One epoch each on the other 50,000. First one scale for both layers (1, 2, 4, 8) times the
    published rate (a third, once, three times); then, from the best, each layer's scale halved
    or doubled and the rate a third or three times, one at a time, until none of them helps.
    """
    path = FOLDER / f"search-{chip}.json"
    if path.exists():
        return json.loads(path.read_text())["chosen"]
    tried: dict[tuple[float, float, float], float] = {}

    def attempt(first: float, second: float, rate: float) -> float:
        point = (first, second, round(rate, 6))
        if point not in tried:
            options = [*settings(chip, *point), "data.validation=10000"]
            experiment = configuration.load(
                "drn-xs", chip=chip, epochs=1, seed=SEARCH_SEED, settings=options
            )
            tried[point] = float(trainer.train(experiment).history["test_error"][-1])
        return tried[point]

    for scale in (4.0,) if chip == "ideal" else (1.0, 2.0, 4.0, 8.0):
        for factor in (1 / 3, 1.0, 3.0):
            attempt(scale, scale, RATE * factor)
    best = None
    while best != min(tried, key=tried.__getitem__):
        best = first, second, rate = min(tried, key=tried.__getitem__)
        for factor in (1 / 3, 3.0):
            attempt(first, second, rate * factor)
        for factor in () if chip == "ideal" else (0.5, 2.0):
            attempt(first * factor, second, rate)
            attempt(first, second * factor, rate)
    chosen = settings(chip, *best)
    rows = [[*point, error] for point, error in tried.items()]
    path.write_text(json.dumps({"chosen": chosen, "tried": rows}, indent=1))
    print(f"search {chip}: {chosen} at {100 * min(tried.values()):.2f} %", flush=True)
    return chosen


def devices(chips: tuple[str, ...] = ("ideal", *DEVICES)) -> None:
    """Train on every chip at the published setting and at the chosen one."""
    for chip in chips:
        for seed in SEEDS:
            train(f"published-{chip}-seed{seed}", "drn-xs", chip=chip, seed=seed)
        chosen = search(chip)
        for seed in SEEDS:
            train(f"chosen-{chip}-seed{seed}", "drn-xs", chip=chip, seed=seed, settings=chosen)


def ablations(chips: tuple[str, ...] = DEVICES) -> None:
    """Take one property away at a time, at the published setting, for three epochs."""
    for chip in chips:
        for label, options in ABLATIONS.items():
            name = f"ablation-{chip}-{label.replace(' ', '-')}"
            train(name, "drn-xs", chip=chip, seed=0, epochs=3, settings=options)


def finished(run: Run) -> bool:
    """Return whether a run has had all its epochs."""
    return run.counters["epoch"] == run.experiment.training.epochs


def tables() -> None:
    """Print the tables of RESULTS.md from the run files that are there."""

    def errors(names: list[str]) -> str:
        runs = [run_file.load(FOLDER / f"{n}.h5") for n in names if (FOLDER / f"{n}.h5").exists()]
        values = [100 * float(r.history["test_error"][-1]) for r in runs if finished(r)]
        if not values:
            return "–"
        spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
        return f"{np.mean(values):.2f}{spread} ({len(values)})"

    print("| run | test error % | train error % | epochs | seconds | run-file checksum |")
    print("| --- | --- | --- | --- | --- | --- |")
    for path in sorted(FOLDER.glob("drn-*.h5")):
        run = run_file.load(path)
        if run.counters["epoch"] < 1:
            continue
        print(
            f"| {path.stem} | {100 * run.history['test_error'][-1]:.2f}"
            f" | {100 * run.history['train_error'][-1]:.2f} | {run.counters['epoch']}"
            f" | {np.sum(run.times['seconds_per_epoch']):.0f}"
            f" | `{run_file.checksum(run)[:16]}` |"
        )
    print("\n| device | published setting | chosen setting | chosen |")
    print("| --- | --- | --- | --- |")
    for chip in ("ideal", *DEVICES):
        found = FOLDER / f"search-{chip}.json"
        chosen = "; ".join(json.loads(found.read_text())["chosen"]) if found.exists() else "–"
        columns = [errors([f"{kind}-{chip}-seed{s}" for s in SEEDS]) for kind in KINDS]
        print(f"| {chip} | {columns[0]} | {columns[1]} | `{chosen}` |")
    print("\n| device | " + " | ".join(ABLATIONS) + " |")
    print("| --- " * (1 + len(ABLATIONS)) + "|")
    for chip in DEVICES:
        names = [f"ablation-{chip}-{label.replace(' ', '-')}" for label in ABLATIONS]
        print(f"| {chip} | " + " | ".join(errors([name]) for name in names) + " |")


def curves_figure(path: Path) -> None:
    """Draw the test error of the published networks against the epoch, one line a seed."""
    canvas, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    colors = {"xs": "#d55e00", "1h": "#0072b2", "2h": "#009e73", "3h": "#cc79a7"}
    for depth, color in colors.items():
        for number, found in enumerate(sorted(FOLDER.glob(f"drn-{depth}-seed?.h5"))):
            error = 100 * run_file.load(found).history["test_error"]
            label = None if number else f"drn-{depth}"
            axes.plot(np.arange(1, len(error) + 1), error, color=color, label=label, linewidth=1)
    axes.set_yscale("log")
    axes.set_yticks([1.5, 2, 3, 5, 10, 20, 50], ["1.5", "2", "3", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.set_xlabel("epoch")
    axes.set_ylabel("MNIST test error [%]")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    canvas.savefig(path, dpi=120)


def devices_figure(path: Path) -> None:
    """Draw the test error of every device at both settings, one dot a seed."""
    chips = ("ideal", *DEVICES)
    canvas, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    for kind, shift, color in (("published", -0.15, "#d55e00"), ("chosen", 0.15, "#0072b2")):
        points = []
        for place, chip in enumerate(chips):
            for seed in SEEDS:
                found = FOLDER / f"{kind}-{chip}-seed{seed}.h5"
                run = run_file.load(found) if found.exists() else None
                if run is not None and finished(run):
                    points.append((place + shift, 100 * float(run.history["test_error"][-1])))
        axes.plot(*zip(*points, strict=True), "o", color=color, label=f"{kind} setting", alpha=0.8)
    axes.set_xticks(range(len(chips)), chips, rotation=30, ha="right")
    axes.set_yscale("log")
    axes.set_yticks([3, 5, 10, 20, 50, 90], ["3", "5", "10", "20", "50", "90"])
    axes.minorticks_off()
    axes.set_ylabel("MNIST test error [%]")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False)
    canvas.savefig(path, dpi=120)


KINDS = ("published", "chosen")

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for part in sys.argv[1:]:
        match part.partition(":"):
            case "xs", _, _:
                for seed in range(5):
                    train(f"drn-xs-seed{seed}", "drn-xs", seed=seed)
            case "1h", _, seed:
                for number in (int(seed),) if seed else SEEDS:
                    train(f"drn-1h-seed{number}", "drn-1h", seed=number)
            case ("2h" | "3h") as depth, _, epochs:
                train(f"drn-{depth}-seed0", f"drn-{depth}", seed=0, epochs=int(epochs or 15))
            case "devices", _, chip:
                devices((chip,) if chip else ("ideal", *DEVICES))
            case "ablations", _, chip:
                ablations((chip,) if chip else DEVICES)
            case "tables", _, _:
                tables()
            case "figures", _, folder:
                devices_figure(Path(folder or "docs") / "devices.png")
                curves_figure(Path(folder or "docs") / "curves.png")
            case _:
                sys.exit(
                    f"{part}: known parts are xs, 1h, 2h, 3h, devices, ablations, tables, figures"
                )
