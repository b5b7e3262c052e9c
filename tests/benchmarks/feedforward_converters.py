"""What converters and gains do to networks of signed weights: parts `bits`, `gains` and `figure`.

The first 10,000 images of MNIST, 100 hidden units, 2 epochs, the ideal memory, seed 0; errors on
the next 2000 images, held out. Ranges are calibrated every 50 mini-batches.
"""

import sys
from functools import cache

import matplotlib
from matplotlib import pyplot

from neurohw.experiments import configuration, trainer

matplotlib.use("Agg")

FEW = ("data.train=12000", "data.validation=2000", "network.hidden=[100]")
BITS = (1, 2, 3, 4, 5, 6, 8)
COLORS = {
    "state_adc": "#0072b2",
    "state_dac": "#56b4e9",
    "error_dac": "#e69f00",
    "error_adc": "#d55e00",
}
# Of ep-1h, whose own are twice as large.
HALF = ("learning.learning_rate=[0.1,0.05]", "learning.bias_learning_rate=[0.1,0.05]")
GAINS = {
    "none": (),
    "error −20 %": ("transposed_gain_error=-20 %",),
    "error +20 %": ("transposed_gain_error=20 %",),
    "spread 10 %": ("transposed_gain_spread=10 %",),
    "spread 30 %": ("transposed_gain_spread=30 %",),
    "spread 100 %": ("transposed_gain_spread=100 %",),
}


@cache
def error(recipe: str, *keys: str) -> float:
    """Return the held-out error with these keys of the converters, percent."""
    every = ("calibration_interval=50", *keys)
    rates = HALF if recipe == "ep-1h" else ()
    settings = (*FEW, *rates, *(f"chip.converters.{key}" for key in every))
    run = trainer.train(configuration.load(recipe, settings=settings, epochs=2))
    return 100 * float(run.history["test_error"][-1])


def by_bits(key: str) -> dict[int, float]:
    """Return errors with so many bits of one kind of converter, all others ideal."""
    both_signs = key != "state_dac"
    return {bits: error("mlp-1h", f"{key}.bits={bits}") for bits in BITS if bits > both_signs}


def bits() -> None:
    print(f"no converters: {error('mlp-1h'):.2f} %")
    print(f"| bits | {' | '.join(map(str, BITS))} |\n{'| --- ' * (1 + len(BITS))}|")
    for key in COLORS:
        found = by_bits(key)
        cells = [f"{found[n]:.1f}" if n in found else "–" for n in BITS]
        print(f"| `{key}` | {' | '.join(cells)} |", flush=True)
    for each in (4, 6, 8):
        keys = [f"{key}.bits={each}" for key in COLORS]
        print(f"all four {each} bits: {error('mlp-1h', *keys):.2f} %", flush=True)
    once = error("mlp-1h", "state_adc.bits=8", "calibration_interval=0")
    wide = error("mlp-1h", "state_adc.bits=8", "state_adc.headroom=8", "calibration_interval=0")
    print(f"state_adc of 8 bits, calibrated once: {once:.1f} %; with headroom 8: {wide:.1f} %")


def gains() -> None:
    print("| transposed gain | mlp-1h | ep-1h |\n| --- | --- | --- |")
    for name, keys in GAINS.items():
        found = [f"{error(recipe, *keys):.1f}" for recipe in ("mlp-1h", "ep-1h")]
        print(f"| {name} | {' | '.join(found)} |", flush=True)


def figure(path: str = "docs/feedforward-converters.png") -> None:
    canvas, axes = pyplot.subplots(figsize=(5.2, 3.6), layout="constrained")
    for key, color in COLORS.items():
        found = by_bits(key)
        axes.plot(list(found), list(found.values()), "o-", color=color, label=key)
    axes.axhline(error("mlp-1h"), color="black", linestyle="--", linewidth=1, label="none")
    axes.set_xlabel("bits")
    axes.set_ylabel("held-out error after 2 epochs [%]")
    axes.set_yscale("log")
    axes.set_yticks([5, 10, 20, 50, 90], ["5", "10", "20", "50", "90"])
    axes.minorticks_off()
    axes.set_xticks(BITS)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    canvas.savefig(path, dpi=120)


if __name__ == "__main__":
    parts = {"bits": bits, "gains": gains, "figure": figure}
    for part in sys.argv[1:]:
        if part not in parts:
            sys.exit(f"{part}: known parts are {', '.join(parts)}")
        parts[part]()
