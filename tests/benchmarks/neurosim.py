"""NeuroSim's benchmark of devices: accuracy of 400-100-10 beside the published one, and the order.

    python tests/benchmarks/neurosim.py --epochs 10 --out runs/neurosim

Each device trains by backpropagation on its own crossbars, by whole pulses, image by image; every
run goes on from its file where that has fewer epochs finished. Published: manual V3.0, pp. 23-25,
after 125 epochs of 8000 images.

NeuroSim reads its arrays with word lines of one bit, on or off, hidden states included, and turns
the currents of a column and of its reference into 8 bits each, over the range of a column with all
cells on; its errors go back through weights that are read out. So do these with `--converters
fixed`: the difference of two codes is one of 9 bits. `--converters calibrated` spends 8 bits on
the range of sums that there really are.
"""

import argparse
from pathlib import Path

from scipy.stats import spearmanr

from neurohw.experiments import configuration, trainer

RECIPE = "neurosim-400-100-10"
# Share of test images right, percent; None: no number for V3.0.
PUBLISHED = {
    "ideal": 96.5,
    "epiram": 92.0,
    "gst-pcm": 89.0,
    "hzo-fefet": 88.0,
    "taox-hfox": 80.0,
    "ag-a-si": 72.0,
    "pcmo": 33.0,
    "alox-hfo2": 20.0,
    "taox-tio2": None,
}
SIZES, FULL_SCALE = (400, 100), 0.2
# A code of 8 bits of all cells on is 255; 256 such steps make one side of 9 bits.
RANGES = [256 / 255 * size * FULL_SCALE for size in SIZES]
CONVERTERS = {
    "none": [],
    "fixed": ["state_adc.bits=9", f"state_adc.full_scale={RANGES}"],
    "calibrated": ["state_adc.bits=8"],
}


def accuracy(given: argparse.Namespace, device: str) -> float:
    """Train on a device, or go on, and return the share of test images right, percent."""
    settings = [f"training.images_per_epoch={given.images}"]
    if device != "ideal":
        settings += [f"chip.device={device}", f"chip.programming.rounding={given.rounding}"]
    name = f"{device}-{given.rounding}-{given.images}x{given.epochs}-seed{given.seed}"
    if given.converters != "none":
        keys = ["input_dac.bits=1", "state_dac.bits=1", *CONVERTERS[given.converters]]
        settings += [f"chip.converters.{key}" for key in keys]
        name += f"-{given.converters}"
    experiment = configuration.load(RECIPE, settings=settings, epochs=given.epochs, seed=given.seed)
    run = trainer.train(experiment, out=given.out / f"{name}.h5", resume=True)
    return 100 * (1 - float(run.history["test_error"][-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=125)
    parser.add_argument("--images", type=int, default=8000, help="of an epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounding", choices=("nearest", "stochastic"), default="nearest")
    parser.add_argument("--converters", choices=tuple(CONVERTERS), default="none")
    parser.add_argument("--devices", nargs="*", default=list(PUBLISHED))
    parser.add_argument("--out", type=Path, default=Path("runs/neurosim"))
    given = parser.parse_args()
    print(
        f"{given.epochs} epochs of {given.images} images, seed {given.seed}, pulses rounded:"
        f" {given.rounding}, converters: {given.converters}\n"
    )
    print("| device | here % | published % | here less published |")
    print("| --- | --- | --- | --- |")
    found = {}
    for device in given.devices:
        found[device] = accuracy(given, device)
        known = PUBLISHED[device]
        rest = "– | –" if known is None else f"{known:g} | {found[device] - known:+.1f}"
        print(f"| {device} | {found[device]:.1f} | {rest} |", flush=True)
    ranked = [d for d in found if d != "ideal" and PUBLISHED[d] is not None]
    if len(ranked) > 2:
        rho = spearmanr([found[d] for d in ranked], [PUBLISHED[d] for d in ranked]).statistic
        print(f"Spearman's rank correlation of {len(ranked)} devices: {rho:.2f}")


if __name__ == "__main__":
    main()
