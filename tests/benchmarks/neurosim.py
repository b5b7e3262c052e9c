"""NeuroSim's benchmark of devices: accuracy of 400-100-10 beside the published one, and the order.

    python tests/benchmarks/neurosim.py --epochs 10 --out runs/neurosim

Each device trains by backpropagation on its own crossbars, by whole pulses, image by image; every
run goes on from its file where that has fewer epochs finished. Published: manual V3.0, pp. 23-25,
after 125 epochs of 8000 images.
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


def accuracy(
    device: str, epochs: int, images: int, seed: int, rounding: str, folder: Path
) -> float:
    """Train on a device, or go on, and return the share of test images right, percent."""
    settings = [f"training.images_per_epoch={images}"]
    if device != "ideal":
        settings += [f"chip.device={device}", f"chip.programming.rounding={rounding}"]
    experiment = configuration.load(RECIPE, settings=settings, epochs=epochs, seed=seed)
    out = folder / f"{device}-{rounding}-{images}x{epochs}-seed{seed}.h5"
    run = trainer.train(experiment, out=out, resume=True)
    return 100 * (1 - float(run.history["test_error"][-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=125)
    parser.add_argument("--images", type=int, default=8000, help="of an epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounding", choices=("nearest", "stochastic"), default="nearest")
    parser.add_argument("--devices", nargs="*", default=list(PUBLISHED))
    parser.add_argument("--out", type=Path, default=Path("runs/neurosim"))
    given = parser.parse_args()
    print(
        f"{given.epochs} epochs of {given.images} images, seed {given.seed}, pulses rounded:"
        f" {given.rounding}\n"
    )
    print("| device | here % | published % | here less published |")
    print("| --- | --- | --- | --- |")
    found = {}
    for device in given.devices:
        found[device] = accuracy(
            device, given.epochs, given.images, given.seed, given.rounding, given.out
        )
        known = PUBLISHED[device]
        rest = "– | –" if known is None else f"{known:g} | {found[device] - known:+.1f}"
        print(f"| {device} | {found[device]:.1f} | {rest} |", flush=True)
    ranked = [d for d in found if d != "ideal" and PUBLISHED[d] is not None]
    if len(ranked) > 2:
        rho = spearmanr([found[d] for d in ranked], [PUBLISHED[d] for d in ranked]).statistic
        print(f"Spearman's rank correlation of {len(ranked)} devices: {rho:.2f}")


if __name__ == "__main__":
    main()
