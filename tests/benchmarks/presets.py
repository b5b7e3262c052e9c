"""Accuracy of equilibrium propagation on every device: `python tests/benchmarks/presets.py PART`.

Parts: drn-xs, ep-1h (each with :DEVICE for one device only), ablations, tables, figure. Window and
learning rate are chosen by one seed on 10,000 images, tested on the last 10,000 training images;
the chosen point is trained for five epochs with three seeds. Finished runs are not repeated,
interrupted ones go on. Run files lie in runs/presets.
"""

import json
import sys
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot

from neurohw.devices import memory
from neurohw.errors import InvalidValueError
from neurohw.experiments import configuration, run_file, trainer

matplotlib.use("Agg")

FOLDER = Path("runs/presets")
SEEDS = (0, 1, 2)
SEARCH = ("data.validation=10000", "training.images_per_epoch=10000")
SEARCH_SEED = 100
EPOCHS = 5
# What stands for the window of a layer's cells, and where the search of it starts.
WINDOWS = {
    "drn-xs": ("chip.mapping.conductance_scale", (1.0, 2.0, 4.0, 8.0)),
    "ep-1h": ("chip.mapping.weight_range", (0.25, 0.5, 1.0, 2.0)),
}
FACTORS = (1 / 3, 1.0, 3.0)
COLORS = {"drn-xs": "#0072b2", "ep-1h": "#d55e00"}

NOISE = ("cycle_to_cycle", "step_noise", "write_noise", "noise_offset", "noise_slope")
SPREAD = (
    "range_spread",
    "nonlinearity_spread",
    "step_spread",
    "asymmetry_spread",
    "slope_spread",
    "low_spread",
    "high_spread",
)
CURVATURE = (
    "nonlinearity_up",
    "nonlinearity_down",
    "slope_up",
    "slope_down",
    "amplitude_up",
    "amplitude_down",
    "up_down",
)


def possible(recipe: str) -> list[str]:
    """Return the devices that a recipe's network can have, the ideal one first.

    Cells without an update law, programmed once, are for inference; one-sided ones need pairs.
    """
    without = {"ideal"} if recipe == "ep-1h" else {"ideal", "one-sided"}
    return ["ideal", *(r["name"] for r in memory.available() if r["law"] not in without)]


def error(
    recipe: str, device: str, settings: list[str], *, seed: int, epochs: int, name: str = ""
) -> float:
    """Return the test error of a training, read from its run file if it is there."""
    experiment = configuration.load(
        recipe, chip=device, settings=settings, seed=seed, epochs=epochs
    )
    out = FOLDER / f"{name}.h5" if name else None
    run = trainer.train(experiment, out=out, resume=True)
    found = float(run.history["test_error"][-1])
    if name:
        print(f"{name}: {100 * found:.2f} %", flush=True)
    return found


def search(recipe: str, device: str) -> list[str]:
    """Choose window and learning rate: a grid, then half and double, a third and three times."""
    path = FOLDER / f"search-{recipe}-{device}.json"
    if path.exists():
        return json.loads(path.read_text())["chosen"]
    rates = configuration.load(recipe).learning_rates
    window, windows = WINDOWS[recipe]
    bounded = np.isfinite(memory.load(device).g_max)
    tried: dict[tuple[float, float], float] = {}

    def options(size: float, factor: float) -> list[str]:
        rate = f"learning.learning_rate={[float(f'{rate * factor:.4g}') for rate in rates]}"
        return [rate, *([f"{window}={size:g}"] if bounded else [])]

    def attempt(size: float, factor: float) -> float:
        point = (size, float(f"{factor:.4g}"))
        if point not in tried:
            settings = [*options(*point), *SEARCH]
            try:
                tried[point] = error(recipe, device, settings, seed=SEARCH_SEED, epochs=1)
            except InvalidValueError as refused:
                # A range so narrow that its conductances hold less than negative nudging takes.
                print(f"{recipe} {device} {point}: {refused}", flush=True)
                tried[point] = 1.0
        return tried[point]

    for size, factor in product(windows if bounded else windows[-1:], FACTORS):
        attempt(size, factor)
    best = None
    while best != min(tried, key=tried.__getitem__):
        best = size, factor = min(tried, key=tried.__getitem__)
        for change in (1 / 3, 3.0):
            attempt(size, factor * change)
        for change in (0.5, 2.0) if bounded else ():
            attempt(size * change, factor)
    chosen = options(*best)
    rows = [[*point, found] for point, found in tried.items()]
    path.write_text(json.dumps({"chosen": chosen, "tried": rows}, indent=1))
    print(f"search {recipe} {device}: {chosen} at {100 * min(tried.values()):.2f} %", flush=True)
    return chosen


def presets(recipe: str, devices: list[str]) -> None:
    """Search and train every device."""
    for device in devices:
        chosen = search(recipe, device)
        for seed in SEEDS:
            name = f"{recipe}-{device}-seed{seed}"
            error(recipe, device, chosen, seed=seed, epochs=EPOCHS, name=name)


def ablation_settings(device: str) -> dict[str, list[str]]:
    """Return the settings that take one property of a device away."""
    known = memory.load(device)
    off = {
        "noise off": NOISE,
        "spread off": SPREAD,
        "curvature off": CURVATURE,
    }
    found = {"as it is": [], "levels off": ["chip.device.whole_pulses=false"]}
    for label, keys in off.items():
        present = [key for key in keys if getattr(known, key, 0) != 0]
        if present:
            found[label] = [f"chip.device.{key}=0.0" for key in present]
    return found | {"window down to 0": ['chip.device.g_min="0 S"']}


def means(recipe: str) -> dict[str, np.ndarray]:
    """Return the test errors in % of every device that has runs, best first."""
    found = {}
    for device in possible(recipe):
        paths = [FOLDER / f"{recipe}-{device}-seed{seed}.h5" for seed in SEEDS]
        runs = [run_file.load(path) for path in paths if path.exists()]
        errors = [100 * r.history["test_error"][-1] for r in runs if r.counters["epoch"] == EPOCHS]
        if errors:
            found[device] = np.array(errors)
    return dict(sorted(found.items(), key=lambda item: item[1].mean()))


def ablations(recipe: str, count: int = 3) -> None:
    """Take one property away at a time from the worst devices, at their chosen points."""
    for device in list(means(recipe))[-count:]:
        chosen = search(recipe, device)
        for label, settings in ablation_settings(device).items():
            name = f"ablation-{recipe}-{device}-{label.replace(' ', '-')}"
            error(recipe, device, [*chosen, *settings], seed=0, epochs=3, name=name)


def tables() -> None:
    """Print what there is as tables."""
    for recipe in WINDOWS:
        print(f"\n| {recipe}: device | test error % | window | learning rate |")
        print("| --- | --- | --- | --- |")
        for device, errors in means(recipe).items():
            chosen = json.loads((FOLDER / f"search-{recipe}-{device}.json").read_text())["chosen"]
            values = dict(setting.split("=") for setting in chosen)
            spread = f" ± {errors.std(ddof=1):.2f}" if len(errors) > 1 else ""
            print(
                f"| {device} | {errors.mean():.2f}{spread} ({len(errors)})"
                f" | {values.get(WINDOWS[recipe][0], '–')}"
                f" | {values['learning.learning_rate']} |"
            )
        for device in list(means(recipe))[-3:]:
            for label in ablation_settings(device):
                path = FOLDER / f"ablation-{recipe}-{device}-{label.replace(' ', '-')}.h5"
                if path.exists():
                    run = run_file.load(path)
                    print(f"{recipe} {device} {label}: {100 * run.history['test_error'][-1]:.2f} %")


def figure(path: Path = Path("docs/presets.png")) -> None:
    """Draw the test error of every device, one dot a seed."""
    order = list(means("drn-xs") or means("ep-1h"))
    order += [device for device in means("ep-1h") if device not in order]
    canvas, axes = pyplot.subplots(figsize=(9, 4), layout="constrained")
    for shift, recipe in ((-0.15, "drn-xs"), (0.15, "ep-1h")):
        for number, (device, errors) in enumerate(means(recipe).items()):
            places = np.full(len(errors), order.index(device) + shift)
            label = None if number else recipe
            axes.plot(places, errors, "o", color=COLORS[recipe], alpha=0.8, label=label)
    axes.set_yscale("log")
    axes.set_yticks([2, 5, 10, 20, 50, 90], ["2", "5", "10", "20", "50", "90"])
    axes.minorticks_off()
    axes.set_xticks(range(len(order)), order, rotation=45, ha="right")
    axes.set_ylabel(f"MNIST test error after {EPOCHS} epochs [%]")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    canvas.savefig(path, dpi=110)


def main(part: str) -> None:
    """Do a part."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    name, _, argument = part.partition(":")
    if name in WINDOWS:
        presets(name, [argument] if argument else possible(name))
    elif name == "ablations":
        ablations(argument or "drn-xs")
    else:
        {"tables": tables, "figure": figure}[name]()


if __name__ == "__main__":
    for each in sys.argv[1:]:
        main(each)
