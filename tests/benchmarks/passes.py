"""One pass over an array: how near it comes to the memory's speed, and what a device costs."""

import itertools
from collections.abc import Iterator
from functools import partial
from statistics import median

import msgspec
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from table import Row, interleaved, row

from neurohw import datasets
from neurohw.chip import CrossbarArray
from neurohw.chip.reading import Moment
from neurohw.devices import kernels, memory
from neurohw.devices.device import MemoryDevice
from neurohw.devices.fabrication import fabricate
from neurohw.devices.laws import Exponential
from neurohw.devices.programming import first_write
from neurohw.devices.reading.fabrication import fabricate as fabricate_reading
from neurohw.devices.reading.specification import Reading
from neurohw.mappings.programming import Programming
from neurohw.update import Update

INPUTS, RANK = 1568, 4
SIZES = {"1024×1568": 1024, "100×1568": 100, "21504×1568, 135 MB": 21504}
PROGRAMMED = {"1024×1568": (1024, 1568), "500×784": (500, 784), "100×1568": (100, 1568)}
SAMPLED = {"500×784": (500, 784), "1024×1568": (1024, 1568)}
WHOLE = "whole pulses, per-cell parameters"
NOISY = ", read noise in both phases"
_CHUNK = 1 << 14

# How many cells take a pulse: as in training, and in a first, violent mini-batch.
SHARES = {", 1 cell in 100": 2e-9, ", 1 cell in 10": 2e-8}

Array = NDArray[np.floating]


@njit(parallel=True, fastmath=True)
def read_and_rewrite(g, c):
    """Add a number to every cell: the least that a pass must move."""
    for chunk in prange((g.size + _CHUNK - 1) // _CHUNK):
        part = g[chunk * _CHUNK : (chunk + 1) * _CHUNK]
        for i in range(part.size):
            part[i] += c


def against_bandwidth(name: str, *, cells: float, rounds: int) -> list[Row]:
    """Compare the fused ideal pass with reading and rewriting the same array.

    cells: how many are to be passed in a turn.
    """
    units = SIZES[name]
    g, arguments = ideal_pass(units)
    flat = g.reshape(-1)
    zero = np.float32(0)
    tasks = {
        "rewrite": lambda: read_and_rewrite(flat, zero),
        "pass": lambda: kernels.program_ideal(g, *arguments),
    }
    repeats = max(3, int(cells / g.size))
    seconds = interleaved(tasks, rounds=rounds, repeats=repeats)
    moved = 2 * g.nbytes
    ratios = [a / b for a, b in zip(seconds["rewrite"], seconds["pass"], strict=True)]
    return [
        row(f"rewriting {name}", moved / min(seconds["rewrite"]) / 1e9, "GB/s"),
        row(f"fused pass {name}", moved / min(seconds["pass"]) / 1e9, "GB/s"),
        row(f"fused pass / rewriting, {name}", 100 * median(ratios), "%", at_least=70, aim=True),
    ]


def ideal_pass(units: int) -> tuple[np.ndarray, tuple[object, ...]]:
    """Return an array and the other arguments of `kernels.program_ideal`."""
    rng = np.random.default_rng(0)
    g = rng.random((units, INPUTS), np.float32)
    update, following = small_update(units, INPUTS, 1e-6)
    none = np.zeros((1, 0), np.float32)
    results = np.empty((RANK, units), np.float32), np.empty(units, np.float32)
    limits = np.float32(0), np.float32(np.inf)
    change = update.presynaptic, update.postsynaptic, none, update.column, none
    return g, (change, limits, (following, *results))


def device_cost(name: str, *, cells: float, rounds: int) -> list[Row]:
    """Compare what programming costs a cell of three devices."""
    units, inputs = PROGRAMMED[name]
    event = itertools.count()
    tasks = {}
    for label, device in devices().items():
        array = fresh_array(device, units, inputs)
        for share, size in SHARES.items() if array.cells.whole else [("", 1e-8)]:
            update, following = small_update(units, inputs, size)
            tasks[label + share] = partial(program, array, update, event, following)
            tasks[label + share + NOISY] = partial(
                program_and_read,
                fresh_array(device, units, inputs, noisy=True),
                *tasks[label + share].args[1:],
            )
    repeats = max(3, int(cells / (units * inputs)))
    seconds = interleaved(tasks, rounds=rounds, repeats=repeats)
    bars = {"cycle-to-cycle noise": 0.6}
    bars |= dict.fromkeys((f"{WHOLE}{s}" for s in SHARES), 1.0)
    return [
        row(f"{label}, {name}", min(times) / (units * inputs) * 1e9, "ns/weight",
            below=bars.get(label))
        for label, times in seconds.items()
    ]  # fmt: skip


def per_sample_cost(name: str, *, cells: float, rounds: int) -> list[Row]:
    """Measure pulse trains sample by sample, of images on the word lines, by pulses a cell."""
    units, inputs = SAMPLED[name]
    images = datasets.load("mnist").train_images[:RANK].astype(np.float32)
    lines = np.tile(images, (1, inputs // images.shape[1]))
    cells_of = fabricate(devices()[WHOLE], units, inputs, width=1.0, seed=0, array=0)
    start = np.full((units, inputs), 6e-6, np.float32)
    scheme = Programming(events="sample", pulses="train")
    array = CrossbarArray(start, cells_of, driven=True, programming=scheme)
    signals = np.random.default_rng(2).standard_normal((RANK, 1, units), np.float32)
    event, tasks = itertools.count(step=RANK), {}
    for share in (0.01, 0.1):
        # Pixels that are not black are 19 %, at 0.55 in the mean; the mean of |signal| is 0.8.
        size = np.float32(share * cells_of.law.step_up / (0.19 * 0.55 * 0.8))
        update = Update(presynaptic=lines[:, None], postsynaptic=signals * size)
        tasks[f"{share:g} pulses a cell"] = partial(program, array, update, event, None)
    repeats = max(3, int(cells / (units * inputs * RANK)))
    seconds = interleaved(tasks, rounds=rounds, repeats=repeats)
    return [
        row(f"pulse trains of images, {label}, {name}", min(times) / (units * inputs * RANK) * 1e9,
            "ns/weight", below=0.33 if label.startswith("0.01") else None)
        for label, times in seconds.items()
    ]  # fmt: skip


def program(
    array: CrossbarArray, update: Update, event: Iterator[int], following: Array | None
) -> None:
    """Program an array as the next event of its life."""
    array.program(update, next(event), following)


def program_and_read(
    array: CrossbarArray, update: Update, event: Iterator[int], following: Array
) -> None:
    """Program an array whose reads are noisy, and read it in both phases of what comes next."""
    number = next(event)
    array.program(update, number)
    for phase in range(2):
        array.read(following, Moment(number + 1, phase))


def devices() -> dict[str, MemoryDevice]:
    """Return the devices whose costs are compared."""
    linear = Exponential(
        g_min=0.25e-6,
        g_max=12.5e-6,
        pulses_up=64,
        pulses_down=64,
        whole_pulses=False,
        cycle_to_cycle=0.02,
    )
    every_effect = msgspec.structs.replace(
        linear,
        whole_pulses=True,
        nonlinearity_up=0.5,
        nonlinearity_down=-0.5,
        nonlinearity_spread=0.1,
        range_spread=0.05,
    )
    return {
        "ideal device": memory.load("ideal"),
        "cycle-to-cycle noise": linear,
        WHOLE: every_effect,
    }


def fresh_array(
    device: MemoryDevice, units: int, inputs: int, *, noisy: bool = False
) -> CrossbarArray:
    """Return an array of a device, written to random conductances [S].

    noisy says whether each phase reads it with noise of 1 % of its own.
    """
    cells = fabricate(device, units, inputs, width=1.0, seed=0, array=0)
    wanted = np.random.default_rng(0).random((units, inputs)) * 10e-6
    reading = None
    if noisy:
        relative = Reading(correlation="phase", relative=0.01)
        limits = cells.low, cells.high, units, inputs
        reading = fabricate_reading(
            msgspec.structs.replace(device, reading=relative), *limits,
            width=1.0, temperature=300.0, seed=0, array=0,
        )  # fmt: skip
    start = first_write(cells, wanted).astype(np.float32)
    return CrossbarArray(start, cells, driven=True, paired=True, reading=reading)


def small_update(units: int, inputs: int, size: float) -> tuple[Update, np.ndarray]:
    """Return an update of rank 4 with changes of about `size`, and a next mini-batch.

    Word lines come in pairs, as in the networks' first arrays.
    """
    rng = np.random.default_rng(1)
    lines = rng.random((RANK, inputs // 2), np.float32)
    signals = rng.standard_normal((1, RANK, units), np.float32)
    column = rng.standard_normal((1, units), np.float32)
    size = np.float32(size)
    update = Update(
        presynaptic=lines[None], postsynaptic=signals * size, column=column * size, paired=True
    )
    return update, lines[::-1].copy()
