"""Feedback that learns to be the transpose of the forward weights, without seeing them.

*Kolen–Pollack*: both arrays take the same change and decay at the same rate,

    ΔW = −η·(δ·aᵀ + λ·W),   ΔB = −η·(a·δᵀ + λ·B)

so that W − Bᵀ shrinks by 1 − η·λ a mini-batch, whatever is learnt. *Weight mirror*: between
mini-batches the units fire signs ξ at random, layer after layer, the array above is read with
them, and feedback follows the correlation,

    ΔB = κ·(ξ·(W·ξ)ᵀ − B)

whose mean is κ·(Wᵀ − B), as ⟨ξ·ξᵀ⟩ = 1. That κ is both rate and decay, and signs in place of
normal noise, are our choices.

References
----------
Kolen, Pollack (1994), IEEE ICNN, 1375; Akrout, Wilson, Humphreys, Lillicrap, Tweed (2019),
NeurIPS, arXiv:1904.05391, both, on deep networks.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip import Moment
from neurohw.learning.feedback import FeedbackArrays
from neurohw.learning.feedback_alignment import FeedbackAlignment
from neurohw.learning.feedforward import Activity, FeedforwardRule, Read
from neurohw.update import Update

Array = NDArray[np.floating]


class KolenPollack(FeedbackAlignment):
    """Feedback programmed with the same products as the forward weights, and the same decay."""

    learned = True

    def beside_updates(
        self, activity: Activity, errors: Sequence[Array], rates: Sequence[float], event: int
    ) -> Mapping[str, Sequence[Update]]:
        """Return the updates of the feedback arrays."""
        return {"feedback": reciprocal(self, self.back, activity, errors, rates)}


class WeightMirror(FeedbackAlignment):
    """Feedback that follows what random signals make of the forward weights."""

    learned = True

    def beside_updates(
        self, activity: Activity, errors: Sequence[Array], rates: Sequence[float], event: int
    ) -> Mapping[str, Sequence[Update]]:
        """Return the updates of the feedback arrays, after reads with random signs."""
        moment, unit = Moment(event, phase=2), self.chip.scale.unit_voltage
        batch, dtype = activity.states[0].shape[0], activity.states[0].dtype
        updates = []
        for k, volts in enumerate(self._signs(batch, event, dtype)):
            current = self.chip.arrays[k + 1].read(volts, moment)
            sums = current * dtype.type(1 / self.chip.scale.current(k + 1))
            answer = self._read("state_adc", sums, k + 1, event)
            rate, factor = self.feedback.mirrored, self.back.units[k] / unit
            updates.append(self.outer(answer, volts, rate * factor, rate))
        return {"feedback": updates}

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return the reads of the errors, then those of the signs."""
        batch, dtype = activity.states[0].shape[0], activity.states[0].dtype
        mirrored = [
            Read(name=f"mirror {k + 2}", array=self.chip.arrays[k + 1], voltages=volts, layer=k + 1)
            for k, volts in enumerate(self._signs(batch, event, dtype))
        ]
        return [*super().error_reads(activity, errors, event), *mirrored]

    def _signs(self, batch: int, event: int, dtype: np.dtype[np.floating]) -> list[Array]:
        """Return what the units of each hidden layer fire, (batch, units) [V]."""
        unit = self.chip.scale.unit_voltage
        signs = []
        for k, units in enumerate(self.network.sizes[1:-1]):
            key = randomness.key(randomness.stream(self.seed, "mirror", k), event)
            draws = randomness.uniforms(key, np.arange(batch * units).reshape(batch, units))
            signs.append(np.where(draws > 0.5, unit, -unit).astype(dtype))
        return signs


def reciprocal(
    rule: FeedforwardRule,
    back: FeedbackArrays,
    activity: Activity,
    errors: Sequence[Array],
    rates: Sequence[float],
) -> list[Update]:
    """Return the updates of feedback arrays that take what the arrays of the layers take."""
    unit = activity.states[0].dtype.type(rule.chip.scale.unit_voltage)
    return [
        rule.outer(
            errors[k + 1] * unit,
            activity.states[k],
            -back.rate(rates[k + 1], k) * float(unit),
            rule.shrinking(rates[k + 1], k + 1),
        )
        for k in range(len(errors) - 1)
    ]
