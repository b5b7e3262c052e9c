"""The converters of a chip, as both kinds of relaxing networks have them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits import readout
from neurohw.circuits.readout import Readout
from neurohw.mappings.chip_specification import ChipSpecification

Array = NDArray[np.floating]


class ConvertedChip:
    """A base of chips.

    Attributes
    ----------
    input_dac, nudge_dac : Channels or None
        Of the word lines that are given, and of the outputs.
    readout : Readout
        What reads the nodes for learning.
    """

    def fit_converters(
        self, specification: ChipSpecification, lines: int, layers: Sequence[int], seed: int
    ) -> None:
        """Fabricate the converters of so many input lines and layers of units.

        Raises
        ------
        UnsupportedError
            A converter of feed-forward networks only.
        """
        converters = specification.converters
        converters.refuse("relaxing", *readout.OF_FEEDFORWARD)
        self.input_dac = readout.input_channels(converters, lines, seed)
        signed = specification.nudging.built != "conductance"
        self.nudge_dac = readout.nudging_channels(converters, layers[-1], seed, signed=signed)
        self.readout = Readout(converters, layers, seed)

    @property
    def calibrated(self) -> bool:
        """Whether a converter has a range that is calibrated."""
        dac = self.nudge_dac
        nudged = dac is not None and dac.signed and dac.converter.calibrated
        return nudged or self.readout.calibrated

    @property
    def ranges(self) -> dict[str, Array]:
        """Calibrated full scales by name [V]; see `Readout`."""
        return self.readout.ranges
