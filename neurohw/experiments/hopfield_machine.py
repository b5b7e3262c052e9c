"""A machine whose network is a deep Hopfield network, trained by equilibrium propagation."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw import engines, randomness
from neurohw.chip import HopfieldChip
from neurohw.datasets import Dataset, picture_axes
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.errors import InvalidValueError
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.relaxing_machine import RelaxingMachine, start_from
from neurohw.experiments.run_file import Run
from neurohw.experiments.settings import ConvolutionSettings
from neurohw.experiments.step import Batch, Step, ranges_of, restore_chip
from neurohw.experiments.watch import Watch
from neurohw.learning.continual import learn
from neurohw.learning.hopfield import HopfieldPropagation
from neurohw.learning.stdp import SpikeTimingPropagation
from neurohw.learning.variants import POINTS
from neurohw.networks.connections import Convolution, convolution, square_map
from neurohw.networks.hopfield import HopfieldNetwork, deep_hopfield_network, initial_weights
from neurohw.networks.resistive import encode

Array = NDArray[np.floating]

# Half precision: a start needs no more.
_STORED = np.dtype(np.float16)
# As published, where the configuration says none.
_STEP = 0.5

# One a value of learning.rule.
_RULES: dict[str, type[HopfieldPropagation]] = {
    "equilibrium-propagation": HopfieldPropagation,
    "contrastive-hebbian": HopfieldPropagation,
    "stdp": SpikeTimingPropagation,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class HopfieldMachine(RelaxingMachine):
    """A deep Hopfield network on its chip; see `neurohw.experiments.step`.

    stored holds, if anything, the last free equilibrium of each training image: (images, units)
    membranes a layer, in units of the unit voltage.
    """

    experiment: Experiment
    chip: HopfieldChip
    engine: HopfieldEngine
    rule: HopfieldPropagation
    stored: list[Array] = field(default_factory=list)
    watch: Watch = field(default_factory=Watch)

    @property
    def network(self) -> HopfieldNetwork:
        """What relaxes."""
        return self.chip.network

    def encode(self, images: Array, event: int = 0) -> Array:
        """Return the word lines' voltages, (n, pixels) or, of patches, (n, positions, lines) [V].

        The converters are those of pixels.
        """
        full_scale = self.chip.specification.input.full_scale
        pixels = encode(images, full_scale, self.experiment.training.precision)
        return self.network.connections[0].lines(self.converted(pixels, event))

    def signal(self, layer: int, nodes: Array) -> Array:
        """Return what the integrators of a layer put out at membranes (n, units) [V]."""
        return self.network.forward(layer, nodes)

    def learning_rates(self, epoch: int) -> tuple[Sequence[float], Sequence[float]]:
        """Return the rates of arrays [S/V²] and of biases [S] in an epoch counted from 0."""
        experiment, scale = self.experiment, self.chip.scale
        factor = experiment.learning.learning_rate_decay**epoch
        rates, bias_rates = experiment.learning_rates, experiment.bias_learning_rates
        return (
            [scale.learning_rate(rate * factor, k) for k, rate in enumerate(rates)],
            [scale.bias_learning_rate(rate * factor, k) for k, rate in enumerate(bias_rates)],
        )

    def step(
        self, batch: Batch, event: int, rates: Sequence[float], bias_rates: Sequence[float]
    ) -> Step:
        """Relax both phases of a mini-batch, from 0 V or from the images' stored equilibria."""
        start, unit = None, batch.inputs.dtype.type(self.chip.scale.unit_voltage)
        if self.stored:
            start = start_from([layer[batch.samples] * unit for layer in self.stored])
        words = batch.pending, batch.targets, start, event, batch.inputs
        learnt = learn(self.rule, *words, rates, bias_rates, leave_out=True)
        contrast = learnt.contrast
        for layer, membranes in zip(self.stored, contrast.free.state, strict=False):
            layer[batch.samples] = membranes / unit
        self.disturb(contrast, batch.inputs, event)
        last = len(self.network.layers) - 1
        outputs = self.network.forward(last, contrast.free.state[-1])
        self.watch.take(contrast, outputs, batch.targets, batch.samples)
        return Step(
            updates=learnt.updates,
            bias_updates=learnt.bias_updates,
            outputs=outputs,
            cost=float(self.network.costs(outputs, batch.targets).sum()),
            programmed=learnt.programmed,
        )

    def carried(self) -> dict[str, Array]:
        """Return counts, the stored equilibria, a layer each, and ranges of converters [V]."""
        counts: dict[str, Any] = {
            "watch": self.watch.record(),
            "watch_rests": self.watch.rests(),
        }
        layers = {f"membrane_{k}": layer for k, layer in enumerate(self.stored)}
        return counts | ranges_of(self.chip) | layers

    def restore(self, run: Run) -> None:
        """Take over the arrays, biases, ranges of converters and stored equilibria of a run."""
        restore_chip(self.chip, run)
        if "watch" in run.state:
            self.watch.restore(run.state["watch"])
        if "watch_rests" in run.state:
            self.watch.restore_rests(run.state["watch_rests"])
        if "membrane_0" in run.state:
            for k, layer in enumerate(self.stored):
                layer[:] = run.state[f"membrane_{k}"]


def build(experiment: Experiment, dataset: Dataset) -> HopfieldMachine:
    """Fabricate the chip of an experiment and put its network on it."""
    settings, training, phases = experiment.network, experiment.training, experiment.phases
    network = deep_hopfield_network(
        dataset.train_images.shape[1],
        settings.hidden,
        dataset.classes,
        activation_name=str(settings.activation),
        unit_voltage=experiment.chip.input.full_scale,
        convolutions=_convolutions(settings.convolutions or (), dataset),
        softmax=settings.output == "softmax",
    )
    if phases.start == "stored":
        _require_memory(len(dataset.train_images), sum(network.layers))
    weights = []
    for k, connection in enumerate(network.connections):
        cells = np.arange(np.prod(connection.shape)).reshape(connection.shape)
        key = randomness.key(randomness.stream(training.seed, "initial", k))
        draws = randomness.uniforms(key, cells)
        weights.append(initial_weights(draws, *connection.fans, experiment.initial_ranges[k]))
    chip = HopfieldChip(
        experiment.circuit, network, weights, seed=training.seed, dtype=training.precision
    )
    step = (phases.step or _STEP) if phases.dynamics == "steps" else None
    engine = engines.load_hopfield(training.engine, step, phases.overrelaxation or 1.0)
    rule = _RULES[experiment.learning.rule](
        network,
        engine,
        chip,
        variant=experiment.learning.variant,
        points=experiment.learning.points or POINTS,
        averaged_sweeps=experiment.learning.averaged_sweeps,
        nudging=experiment.nudging,
        free_sweeps=phases.free_sweeps,
        nudged_sweeps=phases.nudged_sweeps,
        tolerance=phases.tolerance,
        accelerator=phases.accelerator,
        seed=training.seed,
    )
    stored = []
    if phases.start == "stored":
        stored = [np.zeros((len(dataset.train_images), n), _STORED) for n in network.layers]
    specification = experiment.circuit
    reads = specification.device.reading
    restless = specification.neuron.noise > 0 or (chip.noisy and reads.correlation == "sweep")
    return HopfieldMachine(
        experiment=experiment,
        chip=chip,
        engine=engine,
        rule=rule,
        stored=stored,
        watch=Watch(noisy=restless),
    )


def _convolutions(settings: Sequence[ConvolutionSettings], dataset: Dataset) -> list[Convolution]:
    """Return the convolutions of a network over the images of a data set."""
    found: list[Convolution] = []
    for k, each in enumerate(settings):
        if found:
            side, depth, first = found[-1].above, found[-1].channels, False
        else:
            shape = dataset.image_shape
            side, depth, first = square_map(shape, picture_axes(shape))
        found.append(
            convolution(
                side,
                depth,
                each.channels,
                each.kernel,
                padding=each.padding,
                pool=each.pool,
                channels_first=first,
                where=f"network.convolutions[{k}]",
            )
        )
    return found


def _require_memory(images: int, units: int) -> None:
    """Raise `InvalidValueError` if the stored equilibria do not fit in the machine's memory."""
    needed = images * units * _STORED.itemsize
    present = memory()
    if needed > present:
        raise InvalidValueError(
            f"relaxation.start = stored: {images} images of {units} nodes take"
            f" {needed / 1e9:.1f} GB, and there are at most {present / 1e9:.1f} GB of memory; take"
            " relaxation.start = zero or a smaller data.train"
        )


def memory(system: Path = Path("/")) -> float:
    """Return the memory that a process may still take [bytes], infinity where nothing says.

    The least of what Linux has available and of the limit of the group of processes (cgroup v2), of
    which the files that it has read take a share that is given back.
    """
    found = [np.inf]
    with suppress(OSError, ValueError, KeyError):
        lines = (system / "proc/meminfo").read_text().splitlines()
        words = dict(line.split(":") for line in lines)
        found.append(1024.0 * int(words["MemAvailable"].split()[0]))
    with suppress(OSError, ValueError):
        found.append(float((system / "sys/fs/cgroup/memory.max").read_text()))
    return min(found)
