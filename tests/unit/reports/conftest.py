"""Runs made up for reports: no training, the shapes and ranges of real ones."""

from collections.abc import Callable

import numpy as np
import pytest

from neurohw.experiments.configuration import load
from neurohw.experiments.run_file import Run
from neurohw.mappings.scale import physical_scale

MakeRun = Callable[..., Run]


def _conductances(
    rng: np.random.Generator, units: int, inputs: int, low: float, high: float
) -> np.ndarray:
    """Blobs on a floor, some cells beyond the limits, clipped to them."""
    side = int(np.sqrt(inputs / 2))
    y, x = np.mgrid[:side, :side] / side
    top = high if np.isfinite(high) else 1e-5
    values = low + (top - low) * 0.25 * np.abs(rng.standard_normal((units, inputs)))
    if 2 * side * side == inputs:
        places = rng.uniform(0.2, 0.8, (units, 4))
        for half in (0, 1):
            cx, cy = places[:, 2 * half, None, None], places[:, 2 * half + 1, None, None]
            blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.02).reshape(units, -1)
            values[:, half * side * side : (half + 1) * side * side] += (top - low) * blob
    return np.clip(values, low, high).astype(np.float32)


def build_run(
    recipe: str = "drn-digits",
    chip: str | None = None,
    *,
    epochs: int = 5,
    excess: float = 0.0,
    seed: int = 0,
    inputs: int = 128,
    outputs: int = 10,
    rails: bool = False,
) -> Run:
    """Make up a run of any recipe on any chip; `excess` is what its errors come to lie higher.

    With `rails` it has bias cells to two rails in place of bias currents.
    """
    rng = np.random.default_rng(seed)
    settings = ("chip.bias.kind=rails",) if rails else ()
    experiment = load(recipe, chip=chip, settings=settings, epochs=epochs, seed=seed)
    sizes = (inputs, *experiment.network.hidden, outputs)
    scale = physical_scale(experiment.chip, sizes[:-1], experiment.network.input_gain)
    device, count = experiment.chip.device, len(sizes) - 1

    def crossbar(units: int, inputs: int, width: float) -> dict[str, np.ndarray]:
        low, high = device.g_min * width, device.g_max * width
        array = {"conductance": _conductances(rng, units, inputs, low, high)}
        if device.law != "ideal":
            array["pulses"] = rng.geometric(0.001, (units, inputs)).astype(np.uint32)
        return array

    arrays = list(map(crossbar, sizes[1:], sizes[:-1], scale.cell_scale))
    biases = [{"current": np.zeros(units)} for units in sizes[1:]]
    bias_physical = {}
    if rails:
        biases = list(map(crossbar, sizes[1:], [2] * count, scale.cell_scale))
        bias_physical = {
            "bias_power": 3e-8 / 7.0 ** np.arange(count),
            "bias_above_write_threshold": np.linspace(0.31, 0.0, count),
            "bias_saturated_low": np.linspace(0.23, 0.11, count),
            "bias_saturated_high": np.linspace(0.041, 0.037, count),
        }
    epoch = np.arange(1, epochs + 1)
    test = 0.03 + 0.09 / epoch + excess * (1 - np.exp(-epoch / 3))
    voltage = 5e-3 / 4.0 ** np.arange(count)
    return Run(
        experiment=experiment,
        dataset={"name": experiment.data.name, "checksum": "5d" * 32},
        arrays=arrays,
        biases=biases,
        state={},
        counters={"epoch": epochs, "step": 450 * epochs},
        history={
            "epoch": epoch,
            "test_error": test,
            "train_error": 0.002 + 0.12 / epoch**1.5 + excess,
            "learning_rate": 0.006 * 0.99 ** (epoch - 1.0),
            "cost": 0.1 / epoch,
        },
        physical={
            "voltage": voltage,
            "voltage_p90": 2.2 * voltage,
            "difference": voltage / 3e4,
            "bits": np.log2(np.full(count, 3e4)),
            "power": 2e-4 / 9.0 ** np.arange(count),
            "above_write_threshold": np.array([2e-6] + [0.0] * (count - 1)),
            "saturated_low": np.array([(a["conductance"] <= 0).mean() for a in arrays]),
            "saturated_high": np.linspace(0.07, 0.013, count),
            **bias_physical,
        },
        times={"seconds_per_epoch": 1.5 + 0.1 * rng.random(epochs)},
        versions={"neurohw": "0.1.0", "numpy": np.__version__},
    )


@pytest.fixture
def make_run() -> MakeRun:
    return build_run
