"""What the hardware holds: arrays of cells, biases, and the chips that bind them."""

from neurohw.chip.array import CrossbarArray
from neurohw.chip.biases import BiasCurrents, BiasLine, BiasRails
from neurohw.chip.boltzmann_chip import BoltzmannChip
from neurohw.chip.chip import Chip
from neurohw.chip.feedforward_chip import FeedforwardChip
from neurohw.chip.hopfield_chip import HopfieldChip
from neurohw.chip.reading import Moment
from neurohw.chip.signed import SignedArray
from neurohw.chip.signed_chip import SignedChip

__all__ = [
    "BiasCurrents",
    "BiasLine",
    "BiasRails",
    "BoltzmannChip",
    "Chip",
    "CrossbarArray",
    "FeedforwardChip",
    "HopfieldChip",
    "Moment",
    "SignedArray",
    "SignedChip",
]
