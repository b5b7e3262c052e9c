"""What machines have in common whose chip has converters."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.datasets import Dataset
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.step import CALIBRATION

Array = NDArray[np.floating]


class ConvertedMachine:
    """A base of machines with a `chip` and a `rule` that calibrates it; see `step.Machine`."""

    experiment: Experiment
    chip: Any
    rule: Any

    def prepare(self, event: int, dataset: Dataset) -> None:
        """Calibrate the converters where that is due before a mini-batch."""
        interval = self.chip.specification.converters.calibration_interval
        if self.chip.calibrated and (event % interval == 0 if interval else event == 0):
            self.calibrate(dataset)

    @property
    def classes(self) -> int:
        """Number of classes, and so of outputs."""
        raise NotImplementedError

    def calibrate(self, dataset: Dataset) -> None:
        """Set the ranges of the converters that the chip calibrates, with the first images."""
        samples = slice(0, self.chip.specification.converters.calibration_samples)
        inputs = self.encode(dataset.train_images[samples], CALIBRATION)
        targets = self.targets(dataset.train_labels[samples])
        self.rule.calibrate(self.chip.arrays[0].read(inputs), targets, inputs)

    def warnings(self) -> list[str]:
        """Return what there is to say of the epoch that ends: nothing."""
        return []

    def measures(self, dataset: Dataset) -> dict[str, float]:
        """Return what else to note of the epoch that ends: nothing."""
        return {}

    def encode(self, images: Array, event: int = 0) -> Array:
        """Return the voltages that the first array takes for (n, pixels) images in [0, 1] [V]."""
        raise NotImplementedError

    def targets(self, labels: NDArray[np.integer]) -> Array:
        """Return the outputs' targets, (n, outputs): one-hot, or between two other levels [V]."""
        low, high = self.experiment.network.targets or (0.0, 1.0)
        table = np.eye(self.classes, dtype=self.experiment.training.precision)
        table = table.dtype.type(low) + table.dtype.type(high - low) * table
        return np.asarray(table[labels] * table.dtype.type(self.chip.scale.unit_voltage))

    def outputs(self, images: Array) -> Array:
        """Return the outputs of images, (n, outputs), in any unit."""
        raise NotImplementedError

    def error(self, images: Array, labels: NDArray[np.integer]) -> float:
        """Return the share of images whose largest output is not the label's."""
        return float(np.mean(self.outputs(images).argmax(axis=1) != labels))

    def converted(self, voltages: Array, event: int) -> Array:
        """Return the voltages of word lines as the chip's DACs give them, (n, lines) [V].

        event numbers the mini-batch for their noise.
        """
        dac = self.chip.input_dac
        if dac is None:
            return voltages
        full_scale = self.chip.specification.input.full_scale
        return np.asarray(dac.convert(voltages, dac.converter.range_or(full_scale), event))


def joined(parts: Iterable[Sequence[Array]]) -> list[Array]:
    """Return states, (n, units) a layer, of those of some images after the other."""
    return [np.concatenate(layer) for layer in zip(*parts, strict=True)]
