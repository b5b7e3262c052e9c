"""Segregated dendrites: plateaus of the apical dendrite set the target of each hidden unit.

An apical dendrite, electrically apart from the soma, hears the outputs through random weights Y of
its own, in a forward phase with a, and in a target phase in which a teacher drives the outputs to
t. At the end of each it fires a plateau potential of the size

    α_f = σ(Y·a),   α_t = σ(Y·t)

The target of a hidden unit is its rate + α_t − α_f, that of an output t, and each layer takes a
step down its own squared distance from its targets,

    ΔW_k = η·((α_t − α_f) ⊙ σ'(z_k))·a_{k−1}ᵀ,   ΔW_out = η·((t − a) ⊙ σ'(z))·a_belowᵀ

The paper's neurons spike at random, so that its α are of rates averaged over some 50 ms; here they
are of the rates themselves, and every hidden layer hears the outputs, as in its main figures.

References
----------
Guerguiev, Lillicrap, Richards (2017), "Towards deep learning with segregated dendrites", eLife
6:e22901: MNIST 784-500-10 3.28 %, 784-500-500-10 2.75 %; angle of the updates to those of
backpropagation from 65° to 40°.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import Moment
from neurohw.learning.feedback import FeedbackArrays, drawn
from neurohw.learning.feedforward import Activity, FeedforwardRule, Read
from neurohw.networks.microcircuit import logistic

Array = NDArray[np.floating]


class Segregated(FeedforwardRule):
    """Plateaus in two phases; see `FeedforwardRule` for the parameters."""

    def _prepare(self) -> None:
        *hidden, outputs = self.network.sizes[1:]
        shapes = [(units, outputs) for units in hidden]
        weights = drawn(shapes, self.learning.feedback, self.seed)
        self.back = FeedbackArrays(self.chip, weights, learned=False)

    def plateaus(self, outputs: Array, layer: int, event: int, phase: int) -> Array:
        """Return α of a hidden layer, (batch, units), while the outputs' rates are these."""
        last = len(self.chip.arrays) - 2
        driven = self._driven("error_dac", outputs, last, event)
        sums = self.back.sums(driven, layer, Moment(event, phase=phase))
        return logistic(self._read("error_adc", sums, layer, event))

    def errors(self, activity: Activity, targets: Array, event: int) -> list[Array]:
        """Return (α_f − α_t)·σ' of hidden layers and (a − t)·σ' of the outputs, (batch, units)."""
        z, a = activity.totals, activity.states
        targets = targets.astype(a[-1].dtype, copy=False)
        deltas = [
            (self.plateaus(a[-1], k, event, 1) - self.plateaus(targets, k, event, 2))
            * self.network.slope(k, z[k], a[k])
            for k in range(len(a) - 1)
        ]
        return [*deltas, self.network.output_error(z[-1], a[-1], targets)]

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return the reads of both phases; the target is what the outputs' errors say it is."""
        z, a, last = activity.totals[-1], activity.states[-1], len(activity.states) - 1
        slope = self.network.slope(last, z, a)
        # Where an output is saturated to the last bit its error says nothing of the target.
        away = np.divide(errors[-1], slope, out=np.zeros_like(a), where=slope > 0)
        return [
            Read(
                name=f"{name} {k + 1}",
                array=self.back.array(k),
                voltages=self._driven("error_dac", outputs, last - 1, event),
                layer=k,
            )
            for name, outputs in (("plateau", a), ("target", a - away))
            for k in range(last)
        ]
