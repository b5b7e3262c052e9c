"""A feed-forward network of signed weights on its chip, with its learning rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip import FeedforwardChip
from neurohw.datasets import Dataset
from neurohw.experiments import alignment
from neurohw.experiments.converted_machine import ConvertedMachine, joined
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import EVALUATION, OBSERVATION, Batch, Step, ranges_of, restore_chip
from neurohw.learning.feedforward import FeedforwardRule
from neurohw.networks.feedforward import FeedforwardNetwork, initial_weights

Array = NDArray[np.floating]

_EVALUATED_AT_ONCE = 500


@dataclass(eq=False, kw_only=True)
class FeedforwardMachine(ConvertedMachine):
    """See `neurohw.experiments.step.Machine`."""

    experiment: Experiment
    chip: FeedforwardChip
    network: FeedforwardNetwork
    rule: FeedforwardRule
    activations: alignment.Activations

    def check(self) -> None:
        """Do nothing: any weights will do."""

    def encode(self, images: Array, event: int = 0) -> Array:
        """Return the voltages of the word lines, (n, pixels) [V]."""
        precision = self.experiment.training.precision
        voltages = np.multiply(images, self.chip.scale.unit_voltage, dtype=precision)
        return self.converted(voltages, event)

    @property
    def classes(self) -> int:
        """See `ConvertedMachine`."""
        return self.network.sizes[-1]

    def outputs(self, images: Array) -> Array:
        """Return the outputs of images, (n, outputs), dimensionless."""
        return np.concatenate([states[-1] for states in self._forward(images, EVALUATION)])

    def states(self, images: Array) -> list[Array]:
        """Return the states of images, (n, units) a layer, dimensionless."""
        return joined(self._forward(images, OBSERVATION))

    def _forward(self, images: Array, events: int) -> Iterator[list[Array]]:
        """Yield the states of some images after the other, in events numbered from there on."""
        for first in range(0, len(images), _EVALUATED_AT_ONCE):
            part, event = slice(first, first + _EVALUATED_AT_ONCE), events + first
            inputs = self.encode(images[part], event)
            current = self.chip.arrays[0].read(inputs)
            yield self.rule.forward(current, event, inputs).states

    def learning_rates(self, epoch: int) -> tuple[Sequence[float], Sequence[float]]:
        """Return the rates of arrays [S/V²] and of biases [A/V] in an epoch counted from 0."""
        experiment, scale = self.experiment, self.chip.scale
        factors = self.rule.factors(epoch, experiment.training.epochs)
        rates, bias_rates = experiment.learning_rates, experiment.bias_learning_rates
        return (
            [
                scale.learning_rate(rate * factor, k)
                for k, (rate, factor) in enumerate(zip(rates, factors, strict=True))
            ],
            [
                scale.bias_learning_rate(rate * factor, k)
                for k, (rate, factor) in enumerate(zip(bias_rates, factors, strict=True))
            ],
        )

    def step(
        self, batch: Batch, event: int, rates: Sequence[float], bias_rates: Sequence[float]
    ) -> Step:
        """Read a mini-batch forwards, and learn from it."""
        activity = self.rule.forward(batch.pending, event, batch.inputs)
        targets = batch.targets * batch.targets.dtype.type(1 / self.chip.scale.unit_voltage)
        self.activations.see(activity.states[:-1])
        learnt = self.rule.learn(batch.inputs, activity, targets, event, rates, bias_rates)
        outputs = activity.states[-1]
        return Step(
            updates=learnt.updates,
            bias_updates=learnt.bias_updates,
            outputs=outputs,
            cost=float(self.network.costs(outputs, targets).sum()),
            programmed=learnt.programmed,
            beside=learnt.beside,
        )

    def warnings(self) -> list[str]:
        """Return what the rule has to say of the epoch that ends."""
        return [*self.activations.lines(), *self.rule.warnings()]

    def measures(self, dataset: Dataset) -> dict[str, float]:
        """Return what the rule notes, and the angle of each hidden layer's errors [deg].

        That is their mean angle to the exact ones, of rules that give errors, other than
        backpropagation.
        """
        rule, noted = self.experiment.rule, self.rule.measures()
        if not rule.aligned or rule.name == "backpropagation":
            return noted
        found = self.angles(dataset)
        return noted | {f"angle_{k + 1}": angle for k, angle in enumerate(found)}

    def angles(self, dataset: Dataset) -> list[float]:
        """Return the angle of each hidden layer's errors on the first training images [deg]."""
        samples = slice(0, alignment.SAMPLES)
        inputs = self.encode(dataset.train_images[samples], EVALUATION)
        current = self.chip.arrays[0].read(inputs)
        activity = self.rule.forward(current, EVALUATION, inputs)
        targets = self.targets(dataset.train_labels[samples])
        unit = targets.dtype.type(self.chip.scale.unit_voltage)
        return alignment.angles(self.rule, activity, targets / unit, EVALUATION)

    def carried(self) -> dict[str, Array]:
        """Return the ranges of converters [V], and what the rule carries."""
        return ranges_of(self.chip) | self.rule.carried()

    def restore(self, run: Run) -> None:
        """Take over the arrays, biases, ranges of converters and rule of a run."""
        restore_chip(self.chip, run)
        self.rule.restore(run.state)


def build(experiment: Experiment, dataset: Dataset) -> FeedforwardMachine:
    """Fabricate the chip of an experiment and put its network on it."""
    settings, training = experiment.network, experiment.training
    assert settings.activation is not None  # the configuration asks for them
    assert settings.output is not None
    assert settings.cost is not None
    powers: dict[str, Any] = {}
    if settings.power is not None:
        powers = {
            "powers": settings.each(settings.power.hidden),
            "unit_sums": settings.each(settings.power.unit_sum),
            "output_gain": settings.power.output_gain,
            "cost_power": settings.power.cost,
        }
    network = FeedforwardNetwork(
        sizes=(dataset.train_images.shape[1], *settings.hidden, dataset.classes),
        hidden=settings.activation,
        output=settings.output,
        cost=settings.cost,
        **powers,
    )
    weights: list[Array] = []
    for k, (inputs, units) in enumerate(zip(network.sizes, network.sizes[1:], strict=False)):
        cells = np.arange(units * inputs).reshape(units, inputs)
        key = randomness.key(randomness.stream(training.seed, "initial", k))
        if settings.initial_deviation is not None and k < len(settings.hidden):
            normals = randomness.normals(key, cells).astype(np.float64)
            weights.append(np.asarray(settings.initial_deviation * normals))
        else:
            draws = randomness.uniforms(key, cells)
            weights.append(initial_weights(draws, experiment.initial_ranges[k]))
    chip = FeedforwardChip(
        experiment.chip, network, weights, seed=training.seed, dtype=training.precision
    )
    rule = experiment.rule.load()(network, chip, experiment.learning, seed=training.seed)
    return FeedforwardMachine(
        experiment=experiment,
        chip=chip,
        network=network,
        rule=rule,
        activations=alignment.Activations(network),
    )
