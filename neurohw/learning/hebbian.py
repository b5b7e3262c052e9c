"""Hebb's rule, two that keep it from growing, and the associator: in dense algebra and on chips.

With inputs x (batch, inputs), y = x·Wᵀ and C the mean of x·xᵀ, the mean change of W a sample is

    Hebb        ΔW = η·⟨y·xᵀ⟩ = η·W·C: grows as exp(η·λ_max·n) over n steps, along the largest
                component of the inputs
    Oja         ΔW = η·⟨y·xᵀ − y²·W⟩: each unit ends at that component, with |W| = 1
    Sanger      ΔW = η·⟨y·xᵀ − LT(y·yᵀ)·W⟩, with LT the lower triangle: unit k ends at the k-th
    associator  ΔW = η·⟨t·xᵀ⟩: targets t in place of y

None needs errors that travel back. Inputs are not centred here: where their mean is not 0, as of
most images, the first component is near the mean.

On a chip, hidden units have their states for y; the outputs are clamped to the targets, one-hot, so
by Hebb's rule each comes to the sum of its class's inputs, and by the others to their mean. Sums of
W in Sanger's rule are reads of the array from its units, a read a unit for each mini-batch, and no
converter is modelled there. Layers whose rate is 0 rest.

References
----------
Hebb (1949), The Organization of Behavior; Oja (1982), J. Math. Biol. 15, 267; Sanger (1989),
Neural Networks 2, 459.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip import Moment
from neurohw.learning.feedforward import Activity, FeedforwardRule, Learnt, Read
from neurohw.update import Update, bias_update

Array = NDArray[np.floating]

# Magnitude from which weights count as diverged, where cells have no limits.
DIVERGED = 100.0


def hebb(weights: Array, inputs: Array, states: Array | None = None) -> Array:
    """Return ⟨y·xᵀ⟩ (units, inputs) of inputs (batch, inputs).

    states (batch, units) stand for y where they are not linear, or for the targets of an
    associator.
    """
    y = inputs @ weights.T if states is None else states
    return np.asarray(y.T @ inputs / len(inputs))


def oja(weights: Array, inputs: Array, states: Array | None = None) -> Array:
    """Return ⟨y·xᵀ − y²·W⟩ (units, inputs); arguments as for `hebb`."""
    y = inputs @ weights.T if states is None else states
    return np.asarray(hebb(weights, inputs, y) - (y * y).mean(axis=0)[:, None] * weights)


def sanger(weights: Array, inputs: Array, states: Array | None = None) -> Array:
    """Return ⟨y·xᵀ − LT(y·yᵀ)·W⟩ (units, inputs); arguments as for `hebb`."""
    y = inputs @ weights.T if states is None else states
    return np.asarray(hebb(weights, inputs, y) - np.tril(y.T @ y / len(inputs)) @ weights)


class Hebb(FeedforwardRule):
    """Hebb's rule on a chip, the outputs clamped to the targets.

    Signals may be taken less their mean over the mini-batch, so that weights learn covariances
    (Sejnowski 1977, J. Math. Biol. 4, 303).

    Nothing but the limits of cells keeps weights from growing; those that stand there, or that have
    grown beyond any use, are counted.
    """

    def _prepare(self) -> None:
        self.centred = bool(self.learning.centred)

    def learn(
        self,
        inputs: Array,
        activity: Activity,
        targets: Array,
        event: int,
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> Learnt:
        """Return the updates of the layers whose rate is above 0, none of the others."""
        signals = self.errors(activity, targets, event)
        unit, batch = self.chip.scale.unit_voltage, len(inputs)
        below = [inputs, *(a * inputs.dtype.type(unit) for a in activity.states[:-1])]
        updates: list[Update | None] = [None] * len(rates)
        for k, (x, y, rate) in enumerate(zip(below, signals, rates, strict=True)):
            if rate > 0:
                share = rate / self.chip.scale.learning_rate(1.0, k)
                updates[k] = self._held(k, self.outer(x, y, rate * unit), y, share, event)
        by_sample = self.chip.specification.programming.by_sample
        self.disturb(inputs, activity, signals, event)
        return Learnt(
            updates=updates,
            bias_updates=[
                bias_update(y, rate * unit / batch, by_sample=by_sample)
                for _, y, rate in zip(self.chip.biases, signals, bias_rates, strict=False)
            ],
        )

    def errors(self, activity: Activity, targets: Array, event: int) -> list[Array]:
        """Return y of each layer, (batch, units): of the outputs, the targets."""
        signals = [*activity.states[:-1], targets]
        return [y - y.mean(axis=0) for y in signals] if self.centred else signals

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return no reads: learning takes none."""
        return []

    def warnings(self) -> list[str]:
        """Return how many weights of each layer have grown as far as they can, or further."""
        found = []
        for k, (weights, most) in enumerate(
            zip(self.chip.logical()[0], self.chip.scale.weight_ranges, strict=True)
        ):
            limited = math.isfinite(most)
            limit = (1 - 1e-6) * most if limited else DIVERGED
            count = int((np.abs(weights) >= limit).sum())
            if count:
                what = "at the limits of their cells" if limited else f"beyond {DIVERGED:g}"
                found.append(f"layer {k + 1}: {count} of {weights.size} weights {what} (diverging)")
        return found

    def _held(self, layer: int, update: Update, y: Array, share: float, event: int) -> Update:
        """Return an update with what keeps weights from growing: nothing.

        y (batch, units) are the signals, share the rate without units.
        """
        return update


class Oja(Hebb):
    """Oja's rule on a chip: every weight decays by the square of its unit's signal."""

    def _held(self, layer: int, update: Update, y: Array, share: float, event: int) -> Update:
        decay = y * y * y.dtype.type(share / len(y))
        if not self.chip.specification.programming.by_sample:
            decay = decay.sum(axis=0)[None]
        return msgspec.structs.replace(update, decay=decay)


class Sanger(Hebb):
    """Sanger's rule on a chip: units also lose what those before them stand for."""

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return the reads from the units, one a unit; see the module."""
        return [
            Read(
                name=f"backward {k + 1}",
                array=array,
                voltages=self._overlaps(y)[0],
                layer=k,
                transposed=True,
                times=y.shape[1],
                shared=True,
            )
            for k, (array, y) in enumerate(zip(self.chip.arrays, errors, strict=True))
        ]

    def _held(self, layer: int, update: Update, y: Array, share: float, event: int) -> Update:
        lines, per_volt = self._overlaps(y)
        lost = self.chip.arrays[layer].read_transposed(lines, Moment(event, phase=1))
        # A read a unit, so the other line is 1 for that unit alone.
        only = np.eye(len(lines), dtype=y.dtype)[None]
        lost = lost[None] * y.dtype.type(-share * per_volt)
        return msgspec.structs.replace(
            update,
            presynaptic=np.concatenate((update.presynaptic, lost), axis=1),
            postsynaptic=np.concatenate((update.postsynaptic, only), axis=1),
        )

    def _overlaps(self, y: Array) -> tuple[Array, float]:
        """Return LT⟨y·yᵀ⟩ (units, units) as voltages of unit lines, and what 1 V stands for."""
        found = np.tril(y.T @ y / y.dtype.type(len(y)))
        largest = float(np.abs(found).max()) or 1.0
        unit = self.chip.scale.unit_voltage
        return found * found.dtype.type(unit / largest), largest / unit
