"""Backpropagation on a chip: errors travel back through the same cells as the states came.

Units are currents into virtual grounds, turned into states by the neurons; a state of 1, and an
error of 1, are the chip's unit of voltage. Both directions are reads of the same arrays, so what
cells and wires do to a read acts in both. Sums and errors are numbers, as the ADCs of the chip
give them, and so are the states that are computed of the sums: updates take these, and not what
DACs then drive. Inputs are as their DACs drive them.

References
----------
Rumelhart, Hinton, Williams (1986), Nature 323, 533; Burr et al. (2015), IEEE TED 62, 3498, for
training through the arrays.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip import FeedforwardChip, Moment
from neurohw.errors import NumericalError
from neurohw.networks.feedforward import FeedforwardNetwork
from neurohw.update import Update, bias_update

Array = NDArray[np.floating]


class Activity(msgspec.Struct, frozen=True, eq=False):
    """z, as converted, and a of each layer, (batch, units) each, dimensionless."""

    totals: list[Array]
    states: list[Array]


class Backpropagation:
    """Forward and backward reads, outer products.

    Parameters
    ----------
    network : FeedforwardNetwork
    chip : FeedforwardChip
    """

    def __init__(self, network: FeedforwardNetwork, chip: FeedforwardChip) -> None:
        self.network = network
        self.chip = chip

    def forward(self, input_current: Array, event: int, inputs: Array) -> Activity:
        """Return the activity for the first array's currents, (batch, units) [A].

        Where cells are noisy they are read anew, for inputs (batch, inputs) [V].

        Raises
        ------
        NumericalError
            A sum is NaN or infinite; names layer and unit.
        """
        scale, moment = self.chip.scale, Moment(event)
        sources = self.chip.sources(moment)
        if self.chip.noisy:
            input_current = self.chip.arrays[0].read(inputs, moment)
        totals: list[Array] = []
        states: list[Array] = []
        current, dtype = input_current, input_current.dtype.type
        for k, array in enumerate(self.chip.arrays):
            if k:
                current = array.read(self._driven("state_dac", states[-1], k - 1, event), moment)
            if sources:
                current = current + sources[k].current
            total = current * dtype(1 / scale.current(k))
            _require_finite(total, k)
            totals.append(self._read("state_adc", total, k, event))
            states.append(self.network.activate(k, totals[-1]))
        return Activity(totals, states)

    def errors(self, activity: Activity, targets: Array, event: int) -> list[Array]:
        """Return δ of each layer, (batch, units), for (batch, outputs) targets, dimensionless.

        The reads backwards are the second phase of an event.
        """
        moment = Moment(event, phase=1)
        z, a = activity.totals, activity.states
        delta = self.network.output_error(z[-1], a[-1], targets)
        deltas = [delta]
        scale, dtype = self.chip.scale, delta.dtype.type
        for k in range(len(self.chip.arrays) - 1, 0, -1):
            driven = self._driven("error_dac", delta, k - 1, event)
            current = self.chip.arrays[k].read_transposed(driven, moment)
            back = self._read("error_adc", current * dtype(1 / scale.current(k)), k - 1, event)
            delta = back * self.network.slope(k - 1, z[k - 1], a[k - 1])
            deltas.insert(0, delta)
        return deltas

    def calibrate(self, input_current: Array, target: Array, inputs: Array) -> None:
        """Set the ranges of converters that have none of their own, for these samples.

        input_current (batch, units) [A] and inputs (batch, inputs) [V] as `forward` takes them;
        target (batch, outputs) [V].
        """
        self.chip.ranges.clear()
        activity = self.forward(input_current, 0, inputs)
        self.errors(activity, target * target.dtype.type(1 / self.chip.scale.unit_voltage), 0)

    def _driven(self, key: str, numbers: Array, layer: int, event: int) -> Array:
        """Return the voltages of lines that a DAC drives with dimensionless numbers [V]."""
        volts = numbers * numbers.dtype.type(self.chip.scale.unit_voltage)
        return self.chip.passes.convert(key, volts, layer, event)

    def _read(self, key: str, values: Array, layer: int, event: int) -> Array:
        """Return dimensionless sums behind an ADC."""
        if key not in self.chip.passes:
            return values
        unit = self.chip.scale.unit_voltage
        read = self.chip.passes.convert(key, values * values.dtype.type(unit), layer, event)
        return np.asarray(read * values.dtype.type(1 / unit))

    def disturb(
        self, inputs: Array, activity: Activity, errors: Sequence[Array], event: int
    ) -> int:
        """Let the reads of both directions move cells that they stress; return the steps taken.

        Arguments as for `updates`.
        """
        if not self.chip.disturbed:
            return 0
        driven = [
            self._driven("state_dac", a, k, event) for k, a in enumerate(activity.states[:-1])
        ]
        backward = [
            self._driven("error_dac", delta, k, event) for k, delta in enumerate(errors[1:])
        ]
        return self.chip.disturb_lines([inputs, *driven], backward, event)

    def updates(
        self,
        inputs: Array,
        activity: Activity,
        errors: Sequence[Array],
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> tuple[list[Update], list[Update]]:
        """Return the updates of the arrays, and of the biases where the chip has them.

        Each is minus the rate times the mean gradient.

        Parameters
        ----------
        inputs : (batch, inputs) array [V]
        activity, errors
            As `forward` and `errors` return them.
        rates : sequence of float [S/V²]
            One an array.
        bias_rates : sequence of float [A/V]
            One a layer.
        """
        dtype, batch = inputs.dtype.type, len(inputs)
        unit = self.chip.scale.unit_voltage
        below = [inputs, *(a * dtype(unit) for a in activity.states[:-1])]
        updates = [
            Update(presynaptic=x[None], postsynaptic=(delta * dtype(-rate * unit / batch))[None])
            for x, delta, rate in zip(below, errors, rates, strict=True)
        ]
        by_sample = self.chip.specification.programming.by_sample
        if by_sample:
            updates = [update.by_sample(batch) for update in updates]
        bias_updates = [
            bias_update(delta, -rate * unit / batch, by_sample=by_sample)
            for _, delta, rate in zip(self.chip.biases, errors, bias_rates, strict=False)
        ]
        return updates, bias_updates


def _require_finite(total: Array, layer: int) -> None:
    if not np.isfinite(total).all():
        sample, unit = np.argwhere(~np.isfinite(total))[0]
        raise NumericalError(
            f"input of layer {layer + 1}, unit {unit} is {total[sample, unit]}, sample {sample}"
        )
