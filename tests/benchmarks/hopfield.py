"""Deep Hopfield networks: time to rest against the published schedule, and speed of a step."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from statistics import median

import numpy as np
from table import Row, interleaved, row
from threadpoolctl import threadpool_limits

from neurohw.engines.equilibrium import Equilibrium, require_settled
from neurohw.experiments import attractors, configuration, run_file
from neurohw.experiments.hopfield_machine import HopfieldMachine
from neurohw.experiments.machine import build, dataset_of
from neurohw.experiments.step import restore_chip

Task = Callable[[], Equilibrium]

TOLERANCE = 1e-3
_SWEPT = ("relaxation.dynamics=sweeps", "learning.variant=positive")
_LIMIT = 20_000
_SWEEPS = 20
# Best from 0 V at the published first weights; recipes have less, theirs are smaller.
_FROM_COLD = 1.8
# What the published network is relaxed with where its minima are compared.
_OVERRELAXED = {1: 1.3, 2: 1.7, 3: 1.7}


def to_rest(depth: int, *, rounds: int, images: int = 20) -> list[Row]:
    """Time the relaxation of a mini-batch from 0 V at initial weights to a residual of 1e-3."""
    name = f"ep-{depth}h"
    ways = {
        "steps": machine_of(name),
        "fast": machine_of(name, None, *_SWEPT, f"relaxation.overrelaxation={_FROM_COLD}"),
    }
    tasks = {
        way: relaxation(machine, images, sweeps=_LIMIT, tolerance=TOLERANCE)
        for way, machine in ways.items()
    }
    with threadpool_limits(limits=1, user_api="blas"):
        ends = {way: task() for way, task in tasks.items()}
        for found in ends.values():
            require_settled(found, "free", TOLERANCE)
        seconds = interleaved(tasks, rounds=rounds)
    ratios = [a / b for a, b in zip(seconds["steps"], seconds["fast"], strict=True)]
    label = f"{name} from 0 V to a residual of 1e-3"
    steps, sweeps = (ends[way].iterations for way in ("steps", "fast"))
    return [
        row(f"{label}: {steps} published steps", min(seconds["steps"]), "s"),
        row(f"{label}: {sweeps} sweeps times {_FROM_COLD}", min(seconds["fast"]), "s"),
        row(f"{label}: published / fast", median(ratios), "×",
            at_least=10 if depth == 3 else None),
    ]  # fmt: skip


def against_products(depth: int, *, rounds: int) -> list[Row]:
    """Compare sweeps of a mini-batch with nothing but their matrix products, as BLAS does them."""
    machine = machine_of(f"ep-{depth}h", None, *_SWEPT)
    batch = machine.experiment.training.batch
    rng = np.random.default_rng(0)
    lines = [rng.random((batch, n), np.float32) for n in machine.network.layers]
    arrays = [array.conductance for array in machine.chip.seen(0)[1:]]
    results = [(np.empty_like(above), np.empty_like(below)) for below, above in pairwise(lines)]

    def products() -> None:
        for _ in range(_SWEEPS):
            for k, g in enumerate(arrays):
                np.matmul(lines[k], g.T, out=results[k][0])
                np.matmul(lines[k + 1], g, out=results[k][1])

    tasks = {
        "products": products,
        "sweeps": relaxation(machine, batch, sweeps=_SWEEPS),
    }
    with threadpool_limits(limits=1, user_api="blas"):
        seconds = interleaved(tasks, rounds=rounds, repeats=5)
    shares = [a / b for a, b in zip(seconds["products"], seconds["sweeps"], strict=True)]
    flops = 4 * batch * sum(g.size for g in arrays) * _SWEEPS
    label = f"ep-{depth}h, sweeps of {batch} images"
    return [
        row(f"{label}: their products alone", flops / min(seconds["products"]) / 1e9, "Gflop/s"),
        row(f"{label}", 1e6 * min(seconds["sweeps"]) / _SWEEPS, "µs/sweep"),
        row(f"{label}: share of sgemm speed", 100 * median(shares), "%",
            at_least=60 if depth == 3 else None),
    ]  # fmt: skip


def partings(depth: int, images: int, path: str | None = None) -> list[Row]:
    """Report the images for which two schedules from 0 V end in different minima.

    At the published first weights, or with those of a run of the fast recipe.
    """
    double = "training.precision=float64"
    steps = machine_of(f"ep-{depth}h", None, double).engine
    plain = machine_of(f"ep-{depth}h", None, double, *_SWEPT).engine
    way = f"relaxation.overrelaxation={_OVERRELAXED[depth]}"
    fast = machine_of(f"ep-{depth}h", None, double, *_SWEPT, way)
    if path is not None:
        fast = machine_of(f"ep-{depth}h-fast", path, double)
    some = dataset_of(fast.experiment).test_images[:images]
    weights = "first" if path is None else "trained"
    rows = []
    with threadpool_limits(limits=1, user_api="blas"):
        for label, one, other in (
            ("steps of 0.5 and sweeps", steps, plain),
            ("sweeps and over-relaxed ones", plain, fast.engine),
        ):
            found = attractors.parting(fast, some, one, other)
            name = f"ep-{depth}h, {weights} weights, {label}"
            rows += [
                row(f"{name}: other minimum", 100 * found.apart, "% of images"),
                row(f"{name}: other answer", 100 * found.answers, "% of images"),
            ]
    return rows


def machine_of(recipe: str, path: str | None = None, *settings: str) -> HopfieldMachine:
    """Return the machine of a recipe, on few images, with the chip of a run if there is one."""
    few = ("data.train=1000", "relaxation.start=zero")
    experiment = configuration.load(recipe, settings=[*few, *settings])
    machine = build(experiment, dataset_of(experiment))
    assert isinstance(machine, HopfieldMachine)
    if path is not None:
        restore_chip(machine.chip, run_file.load(path))
    return machine


def relaxation(machine: HopfieldMachine, images: int, **options: float) -> Task:
    """Return what relaxes the first test images from 0 V."""
    chip, some = machine.chip, dataset_of(machine.experiment).test_images[:images]
    current = chip.arrays[0].read(machine.encode(some))
    parts = machine.network, chip.seen(0), chip.sources(0), current
    return partial(machine.engine.relax, *parts, **options)
