"""Burst-dependent plasticity: bursts carry the teaching signal down while events carry the states.

A unit has an event rate e, its state, and a burst probability p; its burst rate is b = p·e. Outputs
burst with p₀, and with a teacher with

    p_t = p₀·((t − e)·(1 − e) + 1)

Apical dendrites of a hidden layer hear the bursts of the layer above through feedback Y, less what
lateral connections R make of their own,

    u = (Y·b_above) ⊙ (1 − e) − R·b₀,   b₀ = σ(Y·b_above) ⊙ e,   p = σ(u)

and with a teacher u_t, of the bursts b_t above and the same b₀. Synapses follow the change of their
unit's bursts,

    ΔW = η·(b_t − b)·e_belowᵀ

feedback takes the transpose of that (Kolen and Pollack 1994), and ΔR = η_R·u·b₀ᵀ keeps u near 0,
where σ is linear: with Y = Wᵀ the changes are then those of backpropagation through sigmoids with
a squared error, less by p₀ and by σ'(0) = ¼ a hidden layer.

References
----------
Payeur, Guerguiev, Zenke, Richards, Naud (2021), Nature Neuroscience 24, 1010: MNIST
784-500-500-500-10, 1.1 % in at most 500 epochs.
"""

import itertools
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip import Moment
from neurohw.learning.feedback import FeedbackArrays, drawn
from neurohw.learning.feedforward import Activity, FeedforwardRule, Learnt, Read
from neurohw.learning.learned_feedback import reciprocal
from neurohw.learning.settings import BurstSettings
from neurohw.networks.feedforward import initial_weights
from neurohw.update import Update

Array = NDArray[np.floating]

# Beyond this far from 0 the sigmoid of a dendrite has lost half of its slope.
_SATURATED = 1.76


class Bursts(msgspec.Struct, frozen=True, eq=False):
    """Burst rates b and b_t of each layer; u, b₀ of each hidden one; (batch, units), all."""

    baseline: list[Array]
    taught: list[Array]
    dendrite: list[Array]
    own: list[Array]


class BurstPropagation(FeedforwardRule):
    """The rate form; see `FeedforwardRule` for the parameters."""

    def _prepare(self) -> None:
        chip, seed = self.chip, self.seed
        self.settings = self.learning.burst or BurstSettings()
        sizes = self.network.sizes[1:]
        weights = drawn(list(itertools.pairwise(sizes)), self.learning.feedback, seed)
        self.back = FeedbackArrays(chip, weights, learned=True)
        lateral = []
        for k, units in enumerate(sizes[:-1]):
            key = randomness.key(randomness.stream(seed, "lateral", k))
            draws = randomness.uniforms(key, np.arange(units * units).reshape(units, units))
            lateral.append(initial_weights(draws, self.settings.lateral_range))
        self.lateral = chip.add("lateral", lateral, chip.scale.unit_conductances[1:])
        self._saturated = self._counted = 0

    def bursts(self, activity: Activity, targets: Array, event: int) -> Bursts:
        """Return the bursts of all layers; reads without the teacher come before those with it."""
        e = activity.states[-1]
        p0 = e.dtype.type(self.settings.probability)
        found = Bursts([p0 * e], [p0 * ((targets - e) * (1 - e) + 1) * e], [], [])
        for k in range(len(self.lateral) - 1, -1, -1):
            e = activity.states[k]
            heard = self._heard(found.baseline[0], k, event, 1)
            taught = self._heard(found.taught[0], k, event, 2)
            own = self.network.activate(k, heard) * e
            held = self._laterally(own, k, event)
            u, u_taught = heard * (1 - e) - held, taught * (1 - e) - held
            found.baseline.insert(0, self.network.activate(k, u) * e)
            found.taught.insert(0, self.network.activate(k, u_taught) * e)
            found.dendrite.insert(0, u)
            found.own.insert(0, own)
        return found

    def errors(self, activity: Activity, targets: Array, event: int) -> list[Array]:
        """Return b − b_t of each layer, (batch, units), for (batch, outputs) targets."""
        return _errors(self.bursts(activity, targets, event))

    def learn(
        self,
        inputs: Array,
        activity: Activity,
        targets: Array,
        event: int,
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> Learnt:
        """Return what a mini-batch teaches; see `FeedforwardRule.learn`."""
        bursts = self.bursts(activity, targets, event)
        errors = _errors(bursts)
        for u in bursts.dendrite:
            self._saturated += int(np.count_nonzero(np.abs(u) > _SATURATED))
            self._counted += u.size
        updates, bias_updates = self.updates(inputs, activity, errors, rates, bias_rates)
        if self.chip.disturbed:
            self.disturb(inputs, activity, errors, event)
        return Learnt(
            updates=updates,
            bias_updates=bias_updates,
            beside={
                "feedback": reciprocal(self, self.back, activity, errors, rates),
                "lateral": self._lateral_updates(bursts),
            },
        )

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return the reads of bursts from above, without and with a teacher, and those between."""
        reads = []
        e = activity.states[-1]
        p0 = e.dtype.type(self.settings.probability)
        baseline, taught = p0 * e, p0 * e - errors[-1]
        for k in range(len(self.lateral) - 1, -1, -1):
            heard = self._heard(baseline, k, event, 1)
            own = self.network.activate(k, heard) * activity.states[k]
            for name, array, driven in (
                ("baseline", self.back.array(k), self._driven("error_dac", baseline, k, event)),
                ("lateral", self.lateral[k], self._driven("error_dac", own, k, event)),
                ("taught", self.back.array(k), self._driven("error_dac", taught, k, event)),
            ):
                reads.append(Read(name=f"{name} {k + 2}", array=array, voltages=driven, layer=k))
            u = heard * (1 - activity.states[k]) - self._laterally(own, k, event)
            baseline = self.network.activate(k, u) * activity.states[k]
            taught = baseline - errors[k]
        return reads

    def warnings(self) -> list[str]:
        """Return whether bursts were saturated, and begin another epoch."""
        share = self._saturated / max(self._counted, 1)
        self._saturated = self._counted = 0
        if share <= 0.01:
            return []
        return [
            f"{100 * share:.2g} % of hidden burst probabilities were saturated (|u| >"
            f" {_SATURATED}): take a smaller learning.feedback.range, or a larger"
            " learning.burst.lateral_rate"
        ]

    def _heard(self, bursts: Array, layer: int, event: int, phase: int) -> Array:
        """Return Y·b, dimensionless, (batch, units) of a hidden layer."""
        driven = self._driven("error_dac", bursts, layer, event)
        sums = self.back.sums(driven, layer, Moment(event, phase=phase))
        return self._read("error_adc", sums, layer, event)

    def _laterally(self, own: Array, layer: int, event: int) -> Array:
        """Return R·b₀, likewise."""
        driven = self._driven("error_dac", own, layer, event)
        current = self.lateral[layer].read(driven, Moment(event, phase=1))
        sums = current * own.dtype.type(1 / self.chip.scale.current(layer + 1))
        return self._read("error_adc", sums, layer, event)

    def _lateral_updates(self, bursts: Bursts) -> list[Update]:
        unit = self.chip.scale.unit_voltage
        updates = []
        for k, (own, u) in enumerate(zip(bursts.own, bursts.dendrite, strict=True)):
            rate = self.chip.scale.learning_rate(self.settings.lateral_rate, k + 1)
            updates.append(self.outer(own * own.dtype.type(unit), u, rate * unit))
        return updates


def _errors(bursts: Bursts) -> list[Array]:
    return [b - taught for b, taught in zip(bursts.baseline, bursts.taught, strict=True)]
