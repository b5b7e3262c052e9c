"""Backpropagation on a chip: errors travel back through the same cells as the states came.

Both directions are reads of the same arrays, so what cells and wires do to a read acts in both.

References
----------
Rumelhart, Hinton, Williams (1986), Nature 323, 533; Burr et al. (2015), IEEE TED 62, 3498, for
training through the arrays.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import Moment
from neurohw.learning.feedforward import Activity, FeedforwardRule, Read

Array = NDArray[np.floating]


class Backpropagation(FeedforwardRule):
    """Forward and backward reads, outer products."""

    def errors(self, activity: Activity, targets: Array, event: int) -> list[Array]:
        """Return δ of each layer, (batch, units), for (batch, outputs) targets, dimensionless.

        The reads backwards are the second phase of an event.
        """
        return self.backward(
            activity,
            self.network.output_error(activity.totals[-1], activity.states[-1], targets),
            event,
        )

    def backward(self, activity: Activity, delta: Array, event: int) -> list[Array]:
        """Return δ of each layer, given that of the outputs (batch, outputs)."""
        z, a = activity.totals, activity.states
        deltas, moment = [delta], Moment(event, phase=1)
        scale, dtype = self.chip.scale, delta.dtype.type
        for k in range(len(self.chip.arrays) - 1, 0, -1):
            driven = self._driven("error_dac", delta, k - 1, event)
            current = self.chip.arrays[k].read_transposed(driven, moment)
            back = self._read("error_adc", current * dtype(1 / scale.current(k)), k - 1, event)
            delta = back * self.network.slope(k - 1, z[k - 1], a[k - 1])
            deltas.insert(0, delta)
        return deltas

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return the reads of all arrays but the first, backwards from the outputs."""
        return [
            Read(
                name=f"backward {k + 1}",
                array=self.chip.arrays[k],
                voltages=self._driven("error_dac", errors[k], k - 1, event),
                layer=k - 1,
                transposed=True,
            )
            for k in range(len(self.chip.arrays) - 1, 0, -1)
        ]
