"""Backpropagation on a chip: errors travel back through the same cells as the states came.

Units are currents into virtual grounds, turned into states by the neurons; a state of 1, and an
error of 1, are the chip's unit of voltage. Both directions are reads of the same arrays, so what
cells and wires do to a read acts in both.

References
----------
Rumelhart, Hinton, Williams (1986), Nature 323, 533; Burr et al. (2015), IEEE TED 62, 3498, for
training through the arrays.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip import Moment, SignedChip
from neurohw.networks.feedforward import FeedforwardNetwork
from neurohw.update import Update, bias_update

Array = NDArray[np.floating]


class Activity(msgspec.Struct, frozen=True, eq=False):
    """z and a of each layer, (batch, units) each, dimensionless."""

    totals: list[Array]
    states: list[Array]


class Backpropagation:
    """Forward and backward reads, outer products.

    Parameters
    ----------
    network : FeedforwardNetwork
    chip : SignedChip
    """

    def __init__(self, network: FeedforwardNetwork, chip: SignedChip) -> None:
        self.network = network
        self.chip = chip

    def forward(self, input_current: Array, event: int, inputs: Array) -> Activity:
        """Return the activity for the first array's currents, (batch, units) [A].

        Where cells are noisy they are read anew, for inputs (batch, inputs) [V].
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
                current = array.read(states[-1] * dtype(scale.unit_voltage), moment)
            if sources:
                current = current + sources[k].current
            totals.append(current * dtype(1 / scale.current(k)))
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
            volts = delta * dtype(scale.unit_voltage)
            current = self.chip.arrays[k].read_transposed(volts, moment)
            back = current * dtype(1 / scale.current(k))
            delta = back * self.network.slope(k - 1, z[k - 1], a[k - 1])
            deltas.insert(0, delta)
        return deltas

    def disturb(
        self, inputs: Array, activity: Activity, errors: Sequence[Array], event: int
    ) -> int:
        """Let the reads of both directions move cells that they stress; return the steps taken.

        Arguments as for `updates`.
        """
        if not self.chip.disturbed:
            return 0
        unit = inputs.dtype.type(self.chip.scale.unit_voltage)
        forward = [inputs, *(a * unit for a in activity.states[:-1])]
        backward = [delta * unit for delta in errors[1:]]
        return self.chip.disturb_lines(forward, backward, event)

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
