"""A chip whose one array of signed weights joins the layers of a restricted Boltzmann machine."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.chip.signed_chip import SignedChip
from neurohw.circuits import readout
from neurohw.circuits.periphery import SampleAndHold
from neurohw.errors import UnsupportedError
from neurohw.mappings.chip_specification import ChipSpecification

Array = NDArray[np.floating]

_CONVERTERS = (
    *("state_adc", "state_dac", "error_dac", "error_adc"),
    *("nudge_dac", "difference_adc", "read", "sampling_offset_spread"),
)


class BoltzmannChip(SignedChip):
    """An array read both ways, with biases of the hidden units, and of the visible ones behind.

    Parameters
    ----------
    specification : ChipSpecification
    weights : (units, inputs) array
        Dimensionless initial weights; the last inputs are the classes.
    pixels : int
        Inputs that are none.
    seed : int
    dtype : {"float32", "float64"}

    Raises
    ------
    InvalidValueError, UnsupportedError
        As `SignedChip`, or for converters other than those of the pixels: the other lines carry
        nothing but 0 and 1.
    """

    def __init__(
        self,
        specification: ChipSpecification,
        weights: Array,
        pixels: int,
        *,
        seed: int,
        dtype: str,
    ) -> None:
        specification.converters.refuse("boltzmann", *_CONVERTERS)
        if specification.hold != SampleAndHold():
            raise UnsupportedError("chip.hold: boltzmann networks have none")
        super().__init__(specification, [weights], seed=seed, dtype=dtype)
        self.input_dac = readout.input_channels(specification.converters, pixels, seed)
        self._add_bias(1, weights.shape[1])
        self.ranges: dict[str, Array] = {}

    @property
    def calibrated(self) -> bool:
        """Whether a converter has a range that is calibrated: none has."""
        return False

    def write(self, weights: Sequence[Array], biases: Sequence[Array]) -> None:
        """Program a trained machine: weights, and biases of hidden and visible units, or none."""
        super().write(weights, [])
        for bias, wanted in zip(self.biases, biases, strict=False):
            bias.write(wanted * self.scale.current(0))

    def logical(self) -> tuple[list[Array], list[Array]]:
        """Return what `write` takes, by a digital read-out."""
        unit = self.scale.unit_conductances[0]
        biases = [bias.source().current / self.scale.current(0) for bias in self.biases]
        return [self.arrays[0].values() / unit], biases
