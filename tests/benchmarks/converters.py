"""What converters do to learning: `converters.py train`, then `table`, `cosines` and `figure`.

MNIST, drn-xs on the ideal memory, errors on the last 10,000 training images, held out. Run files
lie in runs/results; finished runs are not repeated. `ablation` switches the effects of one chip
off and on, one at a time.
"""

import sys
from pathlib import Path

import matplotlib
import msgspec
import numpy as np
from matplotlib import pyplot
from numpy.typing import NDArray

from neurohw.circuits.converters import Converter
from neurohw.circuits.readout import Converters, Readout
from neurohw.experiments import run_file
from neurohw.experiments.machine import build, computing, dataset_of

sys.path.insert(0, str(Path(__file__).parent))

from results import FOLDER, train

matplotlib.use("Agg")

BITS = (4, 6, 8, 10, 12, 14, 16)
EPOCHS = 2
HELD_OUT = ["data.validation=10000"]
WAYS = ("states", "difference")
COLORS = {"states": "#d55e00", "difference": "#0072b2"}
# A chip with every effect; each entry is a switch, and its settings turn it on.
EFFECTS = {
    "7 bits on word lines": ["input_dac.bits=7"],
    "8 bits for the nudging, over 10 mV": [
        "nudge_dac.bits=8",
        'nudge_dac.full_scale="10 mV"',
    ],
    "9 bits of the mean": ["state_adc.bits=9"],
    "8 bits of the difference": ["difference_adc.bits=8"],
    "DNL 0.5 LSB of the difference": ["difference_adc.dnl_spread=0.5"],
    "noise 0.5 LSB of the difference": ["difference_adc.noise_lsb=0.5"],
    "gain spread 2 % of the difference": ["difference_adc.gain_spread=2 %"],
    "sampling offsets 0.2 uV, a circuit a phase": [
        'sampling_offset_spread="0.2 uV"',
        "sampling=separate",
    ],
}


def converters(way: str, bits: int) -> list[str]:
    """Return the settings of a chip whose ADCs have these bits."""
    keys = [f"state_adc.bits={bits}", f"read={way}"]
    if way == "difference":
        keys.append(f"difference_adc.bits={bits}")
    return [f"chip.converters.{key}" for key in keys]


def train_all() -> None:
    """Train with every number of bits both ways, and without converters."""
    train("converters-ideal", "drn-xs", settings=HELD_OUT, epochs=EPOCHS)
    for way in WAYS:
        for bits in BITS:
            settings = [*HELD_OUT, *converters(way, bits)]
            train(f"converters-{way}-{bits}", "drn-xs", settings=settings, epochs=EPOCHS)


def table() -> None:
    """Print held-out errors by bits."""
    ideal = run_file.load(FOLDER / "converters-ideal.h5").history["test_error"][-1]
    print(f"no converters: {100 * ideal:.2f} %")
    print(f"| bits | {' | '.join(WAYS)} |")
    print("| --- " * (1 + len(WAYS)) + "|")
    for bits in BITS:
        runs = [run_file.load(FOLDER / f"converters-{way}-{bits}.h5") for way in WAYS]
        errors = [f"{100 * run.history['test_error'][-1]:.2f}" for run in runs]
        print(f"| {bits} | {' | '.join(errors)} |")


def ablation() -> None:
    """Train the chip with every effect, with all but one, and with one alone."""
    chosen = {"all": list(EFFECTS)}
    for off in EFFECTS:
        chosen[f"all but {off}"] = [name for name in EFFECTS if name != off]
    for on in EFFECTS:
        chosen[f"only {on}"] = [on]
    for number, (name, effects) in enumerate(chosen.items()):
        alone = name.startswith("only")
        keys = [key for effect in effects for key in EFFECTS[effect]]
        if any(map(counted_in_steps, keys)) and "difference_adc.bits=8" not in keys:
            # What is counted in steps needs them, or goes with them.
            keys = [k for k in keys if alone or not counted_in_steps(k)]
            keys += EFFECTS["8 bits of the difference"] if alone else []
        settings = [f"chip.converters.{key}" for key in ("read=difference", *keys)]
        print(name, end=": ")
        options = [*HELD_OUT, *settings]
        train(f"converters-ablation-{number}", "drn-xs", settings=options, epochs=EPOCHS)


def counted_in_steps(key: str) -> bool:
    """Tell whether a setting counts in LSB."""
    return key.partition("=")[0].endswith(("noise_lsb", "dnl_spread"))


def cosines() -> dict[tuple[str, int], NDArray[np.float64]]:
    """Return the cosine with the ideal gradient of each array, over 64 mini-batches of 4.

    Of the network that was trained without converters; ranges are calibrated on the first 64
    images, as a chip does.
    """
    run = run_file.load(FOLDER / "converters-ideal.h5")
    dataset = dataset_of(run.experiment)
    with computing():
        machine = build(run.experiment, dataset)
        machine.restore(run)
        inputs = machine.encode(dataset.train_images[:256])
        targets = machine.targets(dataset.train_labels[:256])
        current = machine.chip.arrays[0].read(inputs)
        all_phases = machine.rule.phases(current, targets, None, 0)
    sides = all_phases.upper, all_phases.lower
    readouts = {}
    for way in WAYS:
        for bits in BITS:
            adc = Converter(bits=bits)
            circuits = Converters(read=way, state_adc=adc, difference_adc=adc)
            readouts[way, bits] = Readout(circuits, machine.network.layers, 0)
            readouts[way, bits].read(*([v[:64] for v in side] for side in sides), 0)
    found: dict[tuple[str, int], list[list[float]]] = {key: [] for key in readouts}
    for start in range(0, 256, 4):
        part = slice(start, start + 4)
        upper, lower = ([v[part] for v in side] for side in sides)
        ideal = gradients(machine, all_phases, upper, lower, inputs[part])
        for key, readout in readouts.items():
            ours = gradients(machine, all_phases, *readout.read(upper, lower, start), inputs[part])
            found[key].append([cosine(a, b) for a, b in zip(ours, ideal, strict=True)])
    return {key: np.mean(values, axis=0) for key, values in found.items()}


def gradients(machine, phases, upper, lower, inputs):
    """Return the update of every array as dense matrices."""
    contrast = msgspec.structs.replace(phases, upper=upper, lower=lower)
    updates = machine.rule.updates(contrast, inputs, [1.0, 1.0], [1.0, 1.0])[0]
    shapes = [array.values().shape for array in machine.chip.arrays]
    return [
        update.dense(np.zeros((n, m // (1 + update.paired))), 0)
        for update, (n, m) in zip(updates, shapes, strict=True)
    ]


def cosine(a, b) -> float:
    """Return the cosine of two matrices; 0 where one is 0."""
    size = np.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / size if size else 0.0


def figure(folder: str) -> None:
    """Draw cosine and held-out error against bits."""
    means = cosines()
    canvas, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for way in WAYS:
        for layer, style in ((0, "o-"), (1, "s--")):
            values = [means[way, bits][layer] for bits in BITS]
            print(way, f"array {layer + 1}", [round(float(v), 3) for v in values])
            label = f"{way}, array {layer + 1}"
            left.plot(BITS, values, style, color=COLORS[way], label=label)
        runs = [run_file.load(FOLDER / f"converters-{way}-{bits}.h5") for bits in BITS]
        errors = [100 * run.history["test_error"][-1] for run in runs]
        right.plot(BITS, errors, "o-", color=COLORS[way], label=way)
    ideal = run_file.load(FOLDER / "converters-ideal.h5").history["test_error"][-1]
    right.axhline(100 * ideal, color="black", linestyle="--", linewidth=1, label="no converters")
    left.set_ylabel("cosine with the ideal gradient")
    right.set_ylabel(f"held-out error after {EPOCHS} epochs [%]")
    right.set_yscale("log")
    right.set_yticks([5, 10, 20, 50, 90], ["5", "10", "20", "50", "90"])
    right.minorticks_off()
    for axes in (left, right):
        axes.set_xlabel("bits of the ADCs")
        axes.set_xticks(BITS)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    canvas.savefig(Path(folder) / "converters.png", dpi=120)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for part in sys.argv[1:]:
        match part.partition(":"):
            case "train", _, _:
                train_all()
            case "table", _, _:
                table()
            case "ablation", _, _:
                ablation()
            case "figure", _, folder:
                figure(folder or "docs")
            case _:
                sys.exit(f"{part}: known parts are train, table, ablation, figure")
