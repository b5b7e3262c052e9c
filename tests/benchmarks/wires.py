"""Crossbars with wires: the fast solver against one sparse LU, against badcrossbar, in training."""

import logging
import time
from functools import partial
from statistics import median
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from table import Row, interleaved, row

from neurohw.circuits import tiles
from neurohw.circuits.crossbar import WiredCrossbar, exact_currents
from neurohw.circuits.interconnect import Interconnect, loading
from neurohw.experiments import configuration
from neurohw.experiments.machine import computing, dataset_of
from neurohw.experiments.trainer import _Training

Array = NDArray[np.floating]

INPUTS_AT_ONCE = 8
_REFRESH = 4000
# The first refresh comes after the timed mini-batches, and is counted apart.
_WIRES = (
    f"chip.wires.refresh={_REFRESH}",
    'chip.wires.word_line="1 Ohm"',
    'chip.wires.bit_line="1 Ohm"',
    "chip.wires.tile=128",
)


def against_lu(side: int, *, rounds: int) -> list[Row]:
    """Compare both on an array of 1 to 100 µS with 2 Ω a segment; they must agree to 1e-9."""
    crossbar, inputs, units = _problem(side, 2.0)
    tasks = {
        "LU": partial(exact_currents, crossbar, inputs, units),
        "fast": partial(crossbar.currents, inputs, units),
    }
    off = _difference(tasks["LU"](), tasks["fast"]())
    seconds = interleaved(tasks, rounds=rounds)
    ratios = [a / b for a, b in zip(seconds["LU"], seconds["fast"], strict=True)]
    name = f"wires, {side}², {INPUTS_AT_ONCE} inputs"
    return [
        row(f"{name}: fast", 1e3 * min(seconds["fast"]), "ms"),
        row(f"{name}: LU / fast", median(ratios), "×"),
        row(f"{name}: fast − LU", off, "of largest", below=1e-9),
        row(f"{name}: loading", loading(crossbar.conductance, crossbar.wires), ""),
    ]


def accuracy() -> list[Row]:
    """Compare with LU from 16² to 256² at 1, 3 and 10 Ω, and with cells that differ 1e6 times."""
    usual = max(
        _off(side, resistance, decades=2)
        for side in (16, 32, 64, 128, 256)
        for resistance in (1.0, 3.0, 10.0)
    )
    extreme = max(_off(side, 10.0, decades=6) for side in (16, 64, 256))
    return [
        row("wires, 16²–256², 1–10 Ω: fast − LU", usual, "of largest", below=1e-9),
        row("wires, cells 1e6 apart: fast − LU", extreme, "of largest", below=1e-9),
    ]


def against_badcrossbar(side: int, *, rounds: int) -> list[Row]:
    """Compare speed and output currents on the same array; nothing where it is not installed."""
    other = _badcrossbar()
    if other is None:
        return [row(f"wires, {side}²: badcrossbar is not installed", float("nan"), "")]
    crossbar, inputs, units = _problem(side, 2.0)
    wires = crossbar.wires

    def theirs() -> Array:
        solution = other.compute(
            inputs.T,
            1 / crossbar.conductance.T,
            r_i_word_line=wires.word_line,
            r_i_bit_line=wires.bit_line,
            node_voltages=False,
            all_currents=False,
        )
        return np.asarray(solution.currents.output)

    tasks = {"badcrossbar": theirs, "fast": partial(crossbar.currents, inputs, units)}
    _, ours = tasks["fast"]()
    off = np.abs(theirs() - ours).max() / np.abs(ours).max()
    seconds = interleaved(tasks, rounds=rounds)
    ratios = [a / b for a, b in zip(seconds["badcrossbar"], seconds["fast"], strict=True)]
    name = f"wires, {side}², {INPUTS_AT_ONCE} inputs"
    return [
        row(f"{name}: badcrossbar", 1e3 * min(seconds["badcrossbar"]), "ms"),
        row(f"{name}: badcrossbar / fast", median(ratios), "×", at_least=50),
        row(f"{name}: fast − badcrossbar", off, "of largest", below=1e-9),
    ]


def training_step(recipe: str, chip: str, *, steps: int) -> list[Row]:
    """Compare a recipe's mini-batch with 1 Ω in tiles of 128 with one of ideal wires.

    Exact means a reduction each mini-batch; its cost is that of a refresh on top of a step.
    """
    plain, wired = (_started(recipe, chip, settings) for settings in ((), _WIRES))
    arrays = wired.machine.chip.arrays
    with computing():
        seconds = interleaved(
            {"plain": _step(plain), "wired": _step(wired)}, rounds=5, repeats=steps // 5
        )
        base, step = (min(seconds[key]) for key in ("plain", "wired"))
        for _ in range(_REFRESH - wired.step % _REFRESH - 1):
            _step(wired)()
        exact = [
            tiles.reduce(a.values(), wired.machine.chip.specification.interconnect, driven=a.driven)
            for a in arrays
        ]
        reduced = []
        for _ in range(3):
            begun = time.perf_counter()
            for a in arrays:
                tiles.reduce(a.values(), a.seen(0).wires, driven=a.driven)
            reduced.append(time.perf_counter() - begun)
    seen = [a.seen(0).conductance for a in arrays]
    off = max(
        np.abs(s - e.transfer).max() / e.transfer.max() for s, e in zip(seen, exact, strict=True)
    )
    lost = max(
        np.abs(a.values() - e.transfer).max() / e.transfer.max()
        for a, e in zip(arrays, exact, strict=True)
    )
    ratio = (step + min(reduced) / _REFRESH) / base
    most = 3 if recipe == "drn-xs" else None
    name = f"{recipe} on {chip}, 1 Ω, tiles of 128"
    return [
        row(f"{name}: a reduction", 1e3 * min(reduced), "ms"),
        row(f"{name}: step / ideal wires, exact", (step + min(reduced)) / base, "×"),
        row(f"{name}: refreshed every {_REFRESH}", ratio, "×", below=most),
        row(f"{name}: deviation before a refresh", off, "of largest"),
        row(f"{name}: what the wires change", lost, "of largest"),
    ]


def _started(recipe: str, chip: str, settings: tuple[str, ...]) -> _Training:
    experiment = configuration.load(recipe, chip=chip, settings=settings)
    return _Training(experiment, dataset_of(experiment), None, None)


def _step(training: _Training) -> partial[None]:
    return partial(training._train_batch, *training.machine.learning_rates(0))


def _problem(
    side: int, resistance: float, decades: float = 2
) -> tuple[WiredCrossbar, Array, Array]:
    """Return an array of up to 100 µS over some decades, and voltages of its terminals."""
    rng = np.random.default_rng(0)
    conductance = 10 ** rng.uniform(-4 - decades, -4, (side, side))
    wires = Interconnect(word_line=resistance, bit_line=resistance)
    inputs = rng.random((INPUTS_AT_ONCE, side))
    return WiredCrossbar(conductance, wires), inputs, np.zeros((INPUTS_AT_ONCE, side))


def _off(side: int, resistance: float, *, decades: float) -> float:
    crossbar, inputs, units = _problem(side, resistance, decades)
    return _difference(exact_currents(crossbar, inputs, units), crossbar.currents(inputs, units))


def _difference(exact: tuple[Array, Array], fast: tuple[Array, Array]) -> float:
    """Return the largest difference of a current, over the largest current."""
    off = max(np.abs(a - b).max() for a, b in zip(exact, fast, strict=True))
    return float(off / np.abs(exact[0]).max())


def _badcrossbar() -> ModuleType | None:
    try:
        import badcrossbar
    except ImportError:
        return None
    logging.disable(logging.INFO)
    return badcrossbar if hasattr(badcrossbar, "compute") else None
