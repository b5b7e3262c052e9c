"""What the hardware holds: arrays of cells, biases, and the chip that binds them."""

from neurohw.chip.array import CrossbarArray
from neurohw.chip.biases import BiasCurrents, BiasRails
from neurohw.chip.chip import Chip
from neurohw.chip.reading import Moment

__all__ = ["BiasCurrents", "BiasRails", "Chip", "CrossbarArray", "Moment"]
