"""A restricted Boltzmann machine on its chip, with contrastive divergence.

The array's inputs are the pixels and, behind them, a line for each class; what is learnt is how
images and labels go together, and an image is given the class of the least free energy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip import BoltzmannChip
from neurohw.datasets import Dataset
from neurohw.experiments.converted_machine import ConvertedMachine
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import EVALUATION, OBSERVATION, Batch, Step, restore_chip
from neurohw.learning.contrastive_divergence import ContrastiveDivergence
from neurohw.learning.settings import ChainSettings

Array = NDArray[np.floating]

# Hinton's guide (2012): standard deviation of the first weights, and the least share of images in
# which a pixel counts as on, or off, for its first bias ln(p/(1 − p)).
_FIRST_WEIGHTS, _LEAST_SHARE = 0.01, 0.01
_EVALUATED_AT_ONCE = 200


@dataclass(eq=False, kw_only=True)
class BoltzmannMachine(ConvertedMachine):
    """See `neurohw.experiments.step.Machine`."""

    experiment: Experiment
    chip: BoltzmannChip
    rule: ContrastiveDivergence

    def check(self) -> None:
        """Do nothing: any weights will do."""

    def encode(self, images: Array, event: int = 0) -> Array:
        """Return the voltages of all word lines, (n, inputs), those of the classes at 0 [V]."""
        precision = self.experiment.training.precision
        pixels = np.multiply(images, self.chip.scale.unit_voltage, dtype=precision)
        pixels = self.converted(pixels, event)
        return np.pad(pixels, ((0, 0), (0, self.rule.classes)))

    @property
    def classes(self) -> int:
        """See `ConvertedMachine`."""
        return self.rule.classes

    def outputs(self, images: Array) -> Array:
        """Return minus the free energy of each class for images, (n, classes)."""
        parts = []
        for first in range(0, len(images), _EVALUATED_AT_ONCE):
            part, event = slice(first, first + _EVALUATED_AT_ONCE), EVALUATION + first
            parts.append(-self.rule.free_energies(self.encode(images[part], event), event))
        return np.concatenate(parts)

    def states(self, images: Array) -> list[Array]:
        """Return the probabilities of the hidden units for images, [(n, units)]."""
        parts = []
        for first in range(0, len(images), _EVALUATED_AT_ONCE):
            part, event = slice(first, first + _EVALUATED_AT_ONCE), OBSERVATION + first
            parts.append(self.rule.hidden(self.encode(images[part], event), event))
        return [np.concatenate(parts)]

    def learning_rates(self, epoch: int) -> tuple[Sequence[float], Sequence[float]]:
        """Return the rate of the array [S/V²] and of both layers' biases [A/V] in an epoch."""
        experiment, scale = self.experiment, self.chip.scale
        factor = experiment.learning.learning_rate_decay**epoch
        bias_rate = scale.bias_learning_rate(experiment.bias_learning_rates[0] * factor, 0)
        return [scale.learning_rate(experiment.learning_rates[0] * factor, 0)], [bias_rate] * 2

    def step(
        self, batch: Batch, event: int, rates: Sequence[float], bias_rates: Sequence[float]
    ) -> Step:
        """Classify a mini-batch, and sample its phases; the cost is −ln p(label | image)."""
        energies = self.rule.free_energies(batch.inputs, event)
        inputs = batch.inputs.copy()
        inputs[:, -self.rule.classes :] = batch.targets
        phases = self.rule.phases(inputs, event)
        updates, bias_updates = self.rule.updates(phases, rates[0], bias_rates[0])
        self.rule.disturb(phases, event)
        own = np.where(batch.targets > 0, energies, 0).sum(axis=1)
        cost = own + np.logaddexp.reduce(-energies, axis=1)
        return Step(
            updates=updates, bias_updates=bias_updates, outputs=-energies, cost=float(cost.sum())
        )

    def carried(self) -> dict[str, Array]:
        """Return the hidden states of persistent chains."""
        chains = self.rule.chains
        return {} if chains is None else {"chains": chains}

    def restore(self, run: Run) -> None:
        """Take over the array, biases and persistent chains of a run."""
        restore_chip(self.chip, run)
        self.rule.chains = run.state.get("chains")


def build(experiment: Experiment, dataset: Dataset) -> BoltzmannMachine:
    """Fabricate the chip of an experiment and put its machine on it."""
    training, learning = experiment.training, experiment.learning
    pixels, units = dataset.train_images.shape[1], experiment.network.hidden[0]
    inputs = pixels + dataset.classes
    key = randomness.key(randomness.stream(training.seed, "initial"))
    cells = np.arange(units * inputs).reshape(units, inputs)
    weights = _FIRST_WEIGHTS * randomness.normals(key, cells).astype(np.float64)
    chip = BoltzmannChip(
        experiment.chip, weights, pixels, seed=training.seed, dtype=training.precision
    )
    if chip.biases:
        share = np.clip(dataset.train_images.mean(axis=0), _LEAST_SHARE, 1 - _LEAST_SHARE)
        visible = np.concatenate([np.log(share / (1 - share)), np.zeros(dataset.classes)])
        chip.biases[1].write(visible * chip.scale.current(0))
    rule = ContrastiveDivergence(
        chip,
        dataset.classes,
        learning.chain or ChainSettings(),
        weight_decay=learning.weight_decay or 0.0,
        seed=training.seed,
    )
    return BoltzmannMachine(experiment=experiment, chip=chip, rule=rule)
