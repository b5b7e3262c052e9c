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

from neurohw.chip import SignedChip
from neurohw.networks.feedforward import FeedforwardNetwork
from neurohw.update import Update

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

    def forward(self, input_current: Array, event: int) -> Activity:
        """Return the activity for the first array's currents, (batch, units) [A]."""
        scale, sources = self.chip.scale, self.chip.sources(event)
        totals: list[Array] = []
        states: list[Array] = []
        current, dtype = input_current, input_current.dtype.type
        for k, array in enumerate(self.chip.arrays):
            if k:
                current = array.read(states[-1] * dtype(scale.unit_voltage))
            if sources:
                current = current + sources[k].current
            totals.append(current * dtype(1 / scale.current(k)))
            states.append(self.network.activate(k, totals[-1]))
        return Activity(totals, states)

    def errors(self, activity: Activity, targets: Array) -> list[Array]:
        """Return δ of each layer, (batch, units), for (batch, outputs) targets, dimensionless."""
        z, a = activity.totals, activity.states
        delta = self.network.output_error(z[-1], a[-1], targets)
        deltas = [delta]
        scale, dtype = self.chip.scale, delta.dtype.type
        for k in range(len(self.chip.arrays) - 1, 0, -1):
            volts = delta * dtype(scale.unit_voltage)
            back = self.chip.arrays[k].read_transposed(volts) * dtype(1 / scale.current(k))
            delta = back * self.network.slope(k - 1, z[k - 1], a[k - 1])
            deltas.insert(0, delta)
        return deltas

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
        one = np.ones((1, 1, 1), inputs.dtype)
        bias_updates = [
            Update(
                presynaptic=one,
                postsynaptic=(delta.sum(axis=0) * dtype(-rate * unit / batch))[None, None],
            )
            for _, delta, rate in zip(self.chip.biases, errors, bias_rates, strict=False)
        ]
        return updates, bias_updates
