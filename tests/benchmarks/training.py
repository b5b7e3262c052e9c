"""Training: the fused path against plain NumPy, and where deeper networks spend their time."""

import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
from plain_numpy import OneHiddenLayer
from table import Row, interleaved, row
from threadpoolctl import threadpool_info, threadpool_limits

from neurohw.engines.equilibrium import Engine, Equilibrium
from neurohw.experiments import configuration
from neurohw.experiments.machine import dataset_of
from neurohw.experiments.trainer import _Training

EPOCH = 15_000
_AGREE_AFTER = 10


def against_numpy(recipe: str, ratio: float, aim: float, *, steps: int, rounds: int) -> list[Row]:
    """Compare both programs on mini-batches of an epoch of MNIST, taking turns."""
    training = started(recipe)
    plain = plain_network(training)
    compare(training, plain)
    fused, mini_batch = fused_steps(training), plain_steps(training, plain)

    def with_blas(threads: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(steps):
                mini_batch()

        return limited(run, threads)

    def run_fused() -> None:
        for _ in range(steps):
            fused()

    threads = sorted({1, max_blas_threads()})
    tasks: dict[str, Callable[[], object]] = {f"NumPy {n}": with_blas(n) for n in threads}
    tasks["fused"] = limited(run_fused, 1)
    seconds = interleaved(tasks, rounds=rounds, pause=0.1)
    best = min(threads, key=lambda n: median(seconds[f"NumPy {n}"]))
    ratios = [a / b for a, b in zip(seconds[f"NumPy {best}"], seconds["fused"], strict=True)]
    an_epoch = EPOCH / steps
    return [
        row(f"{recipe}: fused", min(seconds["fused"]) * an_epoch, "s/epoch", below=aim, aim=True),
        row(f"{recipe}: NumPy, BLAS threads {best}", min(seconds[f"NumPy {best}"]) * an_epoch,
            "s/epoch"),
        row(f"{recipe}: NumPy / fused", median(ratios), "×", at_least=ratio),
    ]  # fmt: skip


def deeper(recipe: str, *, steps: int, rounds: int) -> list[Row]:
    """Measure mini-batches of an epoch and the products between the hidden layers in them."""
    training = started(recipe)
    engine = Timed(training.machine.engine)
    training.machine.rule.engine = engine
    fused, flops = fused_steps(training), steps * hidden_flops(training)
    square = np.random.default_rng(0).random((2048, 2048), np.float32)
    result = np.empty_like(square)
    seconds, shares, speeds, sgemm = [], [], [], []
    for _ in range(rounds):
        time.sleep(0.1)
        with threadpool_limits(limits=1, user_api="blas"):
            fused()
            engine.seconds, begun = 0.0, time.perf_counter()
            for _ in range(steps):
                fused()
            seconds.append(time.perf_counter() - begun)
        shares.append(engine.seconds / seconds[-1])
        speeds.append(flops / engine.seconds)
        begun = time.perf_counter()
        np.dot(square, square, out=result)
        sgemm.append(2 * 2048**3 / (time.perf_counter() - begun))
    parts = [a / b for a, b in zip(speeds, sgemm, strict=True)]
    return [
        row(f"{recipe}: fused", min(seconds) * EPOCH / steps, "s/epoch"),
        row(f"{recipe}: share of time in relaxation", 100 * median(shares), "%"),
        row(f"{recipe}: products of hidden layers", max(speeds) / 1e9, "Gflop/s"),
        row(f"{recipe}: sgemm 2048³, all threads", max(sgemm) / 1e9, "Gflop/s"),
        row(f"{recipe}: products / sgemm", 100 * median(parts), "%"),
    ]


class Timed:
    """An engine, and the seconds spent in it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seconds = 0.0

    def relax(self, *arguments: object, **options: object) -> Equilibrium:
        begun = time.perf_counter()
        equilibrium = self.engine.relax(*arguments, **options)
        self.seconds += time.perf_counter() - begun
        return equilibrium


def started(recipe: str) -> _Training:
    """Return a training run of a recipe on MNIST before its first mini-batch."""
    experiment = configuration.load(recipe)
    return _Training(experiment, dataset_of(experiment), None, None)


def fused_steps(training: _Training) -> Callable[[], None]:
    """Return what trains on the next mini-batch, starting the epoch again at its end."""
    rates = training.machine.learning_rates(0)

    def step() -> None:
        if training.step == training.steps:
            training.step = 0
        training._train_batch(*rates)

    return step


def plain_network(training: _Training) -> OneHiddenLayer:
    """Return the plain program on the same conductances, not yet trained."""
    experiment, chip = training.experiment, training.machine.chip
    unit = chip.scale.unit_conductance
    return OneHiddenLayer(
        *((array.values() / unit).astype(np.float32) for array in chip.arrays),
        batch=experiment.training.batch,
        sweeps=experiment.relaxation.free_sweeps,
        nudging=experiment.learning.nudging,
        rates=experiment.learning_rates,
        bias_rates=experiment.bias_learning_rates,
    )


def plain_steps(training: _Training, plain: OneHiddenLayer) -> Callable[[], None]:
    """Return what trains the plain program on the next mini-batch of the same epoch."""
    dataset, gain = training.dataset, np.float32(training.experiment.network.input_gain)
    one_hot = np.eye(dataset.classes, dtype=np.float32)
    pixels = dataset.train_images.shape[1]
    lines = np.empty((training.experiment.training.batch, 2 * pixels), np.float32)

    def batches() -> Iterator[np.ndarray]:
        while True:
            yield from training.order.reshape(training.steps, -1)

    following = batches()

    def step() -> None:
        batch = next(following)
        np.multiply(dataset.train_images[batch], gain, out=lines[:, :pixels])
        np.negative(lines[:, :pixels], out=lines[:, pixels:])
        plain.step(lines, one_hot[dataset.train_labels[batch]])

    return step


def compare(training: _Training, plain: OneHiddenLayer) -> None:
    """Train both on the first mini-batches; they must end in the same conductances.

    Compared on average: rounding in float32 decides whether a few hidden units conduct.
    """
    fused, mini_batch = fused_steps(training), plain_steps(training, plain)
    before = [g.copy() for g in (plain.first, plain.second)]
    for _ in range(_AGREE_AFTER):
        fused()
        mini_batch()
    held = zip(training.machine.chip.arrays, (plain.first, plain.second), before, strict=True)
    for array, ours, old in held:
        theirs = array.values() / training.machine.chip.scale.unit_conductance
        off = np.abs(ours - theirs).mean() / np.abs(theirs - old).mean()
        if not off < 1e-2:
            raise SystemExit(f"plain NumPy and the fused path differ by {off:.2g} of the change")


def hidden_flops(training: _Training) -> float:
    """Return the operations of a mini-batch in the products between hidden layers.

    Each sweep multiplies every array once upwards and once downwards: for the batch in the free
    phase, for both nudged phases of it together in the nudged one.
    """
    relaxation, batch = training.experiment.relaxation, training.experiment.training.batch
    samples = batch * relaxation.free_sweeps + 2 * batch * relaxation.nudged_sweeps
    cells = sum(array.values().size for array in training.machine.chip.arrays[1:-1])
    return float(samples * 2 * 2 * cells)


def limited(task: Callable[[], object], threads: int) -> Callable[[], object]:
    """Return a task that holds BLAS to so many threads."""

    def run() -> None:
        with threadpool_limits(limits=threads, user_api="blas"):
            task()

    return run


def max_blas_threads() -> int:
    """Return the threads that BLAS takes when it is not held."""
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
