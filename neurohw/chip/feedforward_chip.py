"""A chip whose arrays of signed weights stand between the layers of a feed-forward network."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.chip.signed_chip import SignedChip
from neurohw.circuits import readout
from neurohw.circuits.passes import Passes
from neurohw.circuits.periphery import SampleAndHold
from neurohw.errors import UnsupportedError
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.networks.feedforward import FeedforwardNetwork

Array = NDArray[np.floating]


class FeedforwardChip(SignedChip):
    """Arrays read both ways, with converters at their lines.

    Parameters
    ----------
    specification : ChipSpecification
    network : FeedforwardNetwork
    weights : sequence of (units, inputs) arrays
        Dimensionless initial weights.
    seed : int
    dtype : {"float32", "float64"}

    Attributes
    ----------
    input_dac : Channels or None
        Of the word lines of the first array.
    passes : Passes
        All other converters.

    Raises
    ------
    InvalidValueError, UnsupportedError
        As `SignedChip`, or for a circuit that only networks that relax have.
    """

    def __init__(
        self,
        specification: ChipSpecification,
        network: FeedforwardNetwork,
        weights: Sequence[Array],
        *,
        seed: int,
        dtype: str,
    ) -> None:
        if specification.hold != SampleAndHold():
            raise UnsupportedError("chip.hold: feed-forward networks have none")
        if specification.neuron.noise > 0:
            raise UnsupportedError("chip.neuron.noise: feed-forward networks have none")
        super().__init__(specification, weights, seed=seed, dtype=dtype)
        converters, unit = specification.converters, self.scale.unit_voltage
        self.input_dac = readout.input_channels(converters, network.sizes[0], seed)
        low, high = (limit * unit for limit in network.reach)
        self.passes = Passes(converters, network.sizes[1:], low, high, seed)

    @property
    def calibrated(self) -> bool:
        """Whether a converter has a range that is calibrated."""
        return self.passes.calibrated

    @property
    def ranges(self) -> dict[str, Array]:
        """Calibrated full scales by name [V]; see `Passes`."""
        return self.passes.ranges
