"""How errors come down: through the same arrays, or through arrays of their own.

A map takes the lines of the layer above to sums of the layer below,

    s_k−1 = W_kᵀ · y_k            the arrays themselves, read backwards
    s_k−1 = B_k · y_k             arrays of feedback, read forwards

The cells of feedback arrays have their own spread, noise, wires and limits, and, where no rule
programs them, only what time does to them.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip import FeedforwardChip, Moment, SignedArray
from neurohw.learning.feedforward import Activity, FeedforwardRule, Read
from neurohw.learning.settings import FeedbackSettings
from neurohw.networks.feedforward import initial_weights

Array = NDArray[np.floating]


class FeedbackMap(Protocol):
    """What takes lines of one layer to sums of the one below."""

    transposed: bool

    def array(self, layer: int) -> SignedArray:
        """Return the array that leads down to a hidden layer counted from 0."""
        ...

    def sums(self, volts: Array, layer: int, moment: Moment) -> Array:
        """Return dimensionless sums (batch, units) of a hidden layer.

        volts (batch, units above) [V] are those of the lines above.
        """
        ...


class Transposed:
    """The arrays of the layers, read from their other side."""

    transposed = True

    def __init__(self, chip: FeedforwardChip) -> None:
        self.chip = chip

    def array(self, layer: int) -> SignedArray:
        """See `FeedbackMap`."""
        return self.chip.arrays[layer + 1]

    def sums(self, volts: Array, layer: int, moment: Moment) -> Array:
        """See `FeedbackMap`."""
        current = self.array(layer).read_transposed(volts, moment)
        return np.asarray(current * volts.dtype.type(1 / self.chip.scale.current(layer + 1)))


class FeedbackArrays:
    """Arrays of their own, the group ``feedback`` of a chip.

    Parameters
    ----------
    chip : FeedforwardChip
        To which they are added.
    weights : sequence of (units, units above) arrays
        Dimensionless, one a hidden layer.
    learned : bool
        Whether they will follow the arrays of the layers: a weight of 1 is then the same
        conductance, and what cells cannot hold is cut off. Otherwise the unit is as small as the
        largest weight asks.
    """

    transposed = False

    def __init__(self, chip: FeedforwardChip, weights: Sequence[Array], *, learned: bool) -> None:
        self.chip = chip
        self.units = []
        for k, each in enumerate(weights, start=1):
            unit, largest = chip.scale.unit_conductances[k], chip.scale.weight_ranges[k]
            reach = float(np.abs(each).max())
            self.units.append(unit if learned else unit * min(1.0, largest / reach))
        self.arrays = chip.add("feedback", weights, self.units)

    def array(self, layer: int) -> SignedArray:
        """See `FeedbackMap`."""
        return self.arrays[layer]

    def sums(self, volts: Array, layer: int, moment: Moment) -> Array:
        """See `FeedbackMap`."""
        current = self.arrays[layer].read(volts, moment)
        unit = self.units[layer] * self.chip.scale.unit_voltage
        return np.asarray(current * volts.dtype.type(1 / unit))

    def rate(self, rate: float, layer: int) -> float:
        """Return the learning rate [S/V²] that is worth as much as one of the array above."""
        return rate * self.units[layer] / self.chip.scale.unit_conductances[layer + 1]

    def weights(self) -> list[Array]:
        """Return the dimensionless weights by a digital read-out."""
        return [array.values() / u for array, u in zip(self.arrays, self.units, strict=True)]


class LayeredFeedback(FeedforwardRule):
    """A base of rules whose errors go down layer by layer through a map, `back`."""

    back: FeedbackMap

    def errors(self, activity: Activity, targets: Array, event: int) -> list[Array]:
        """Return δ of each layer, (batch, units), for (batch, outputs) targets, dimensionless.

        The reads downwards are the second phase of an event.
        """
        z, a = activity.totals, activity.states
        return self.downwards(activity, self.network.output_error(z[-1], a[-1], targets), event)

    def downwards(self, activity: Activity, delta: Array, event: int) -> list[Array]:
        """Return δ of each layer, given that of the outputs (batch, outputs)."""
        z, a = activity.totals, activity.states
        deltas, moment = [delta], Moment(event, phase=1)
        for k in range(len(self.chip.arrays) - 2, -1, -1):
            driven = self._driven("error_dac", delta, k, event)
            back = self._read("error_adc", self.back.sums(driven, k, moment), k, event)
            delta = back * self.network.slope(k, z[k], a[k])
            deltas.insert(0, delta)
        return deltas

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return the reads that lead to each hidden layer, from the outputs down."""
        return [
            Read(
                name=f"backward {k + 2}",
                array=self.back.array(k),
                voltages=self._driven("error_dac", errors[k + 1], k, event),
                layer=k,
                transposed=self.back.transposed,
            )
            for k in range(len(self.chip.arrays) - 2, -1, -1)
        ]


def drawn(
    shapes: Sequence[tuple[int, int]], settings: FeedbackSettings | None, seed: int
) -> list[Array]:
    """Return random weights of feedback arrays (units, units above), uniform in their range."""
    settings = settings or FeedbackSettings()
    key = [randomness.key(randomness.stream(seed, "feedback", k)) for k in range(len(shapes))]
    return [
        spread(
            initial_weights(randomness.uniforms(key[k], _cells(shape)), settings.range),
            k,
            settings,
            seed,
        )
        for k, shape in enumerate(shapes)
    ]


def spread(weights: Array, k: int, settings: FeedbackSettings, seed: int) -> Array:
    """Return weights of the feedback array k as they come out, each off by a share of itself."""
    if settings.spread == 0:
        return weights
    key = randomness.key(randomness.stream(seed, "feedback_spread", k))
    off = settings.spread * randomness.normals(key, _cells(weights.shape))
    return np.asarray(weights * (1 + off))


def _cells(shape: tuple[int, ...]) -> NDArray[np.intp]:
    return np.arange(shape[0] * shape[1]).reshape(shape)
