"""What the rules of feed-forward networks share: the forward pass, converters, outer products.

Units are currents into virtual grounds, turned into states by the neurons; a state of 1, and an
error of 1, are the chip's unit of voltage. Sums and errors are numbers, as the ADCs of the chip
give them, and so are the states that are computed of the sums: updates take these, and not what
DACs then drive. Inputs are as their DACs drive them.

A rule gives every layer errors δ, which its chip's weights follow as ΔW = −η·δ·aᵀ, the mean over a
mini-batch; with them it says which reads it takes, for what they cost and disturb. One that learns
otherwise has a `learn` of its own.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip import FeedforwardChip, Moment, SignedArray
from neurohw.errors import NumericalError
from neurohw.learning.settings import LearningSettings
from neurohw.networks.feedforward import FeedforwardNetwork
from neurohw.update import Update, bias_update

Array = NDArray[np.floating]


class Activity(msgspec.Struct, frozen=True, eq=False):
    """z, as converted, and a of each layer, (batch, units) each, dimensionless."""

    totals: list[Array]
    states: list[Array]


class Read(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A read of an array.

    voltages (batch, lines) [V] are those of its inputs or, `transposed`, of its units; layer is
    that of the units whose sums or errors come of it, counted from 0. `times` of them follow each
    other, whose voltages are all here, (times·batch, lines). biased, whether its layer's biases are
    added; converted, whether ADCs read it, and not only the read that follows and adds to it;
    shared, whether all samples of a mini-batch take it together, once.
    """

    name: str
    array: SignedArray
    voltages: Array
    layer: int
    transposed: bool = False
    times: int = 1
    biased: bool = False
    converted: bool = True
    shared: bool = False


class Learnt(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a mini-batch gave: updates of the arrays, of the biases, and of arrays beside them.

    Arrays with None for an update rest. beside has an update an array, by the name of their group;
    see `SignedChip.add`. programmed are events that cells took already.
    """

    updates: Sequence[Update | None]
    bias_updates: Sequence[Update]
    beside: Mapping[str, Sequence[Update]] = msgspec.field(default_factory=dict)
    programmed: int = 0


# Without settings a rule's own keys are left out.
_DEFAULTS = LearningSettings(learning_rate=0.0, bias_learning_rate=0.0, learning_rate_decay=1.0)


class FeedforwardRule:
    """A base of rules, which override `_prepare` for what they need.

    Parameters
    ----------
    network : FeedforwardNetwork
    chip : FeedforwardChip
        To which a rule adds the arrays that it needs beside those of the layers.
    learning : LearningSettings, optional
        Rates of one rule; `rates` are given to each mini-batch.
    seed : int
        Of what the rule draws.
    """

    def __init__(
        self,
        network: FeedforwardNetwork,
        chip: FeedforwardChip,
        learning: LearningSettings | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self.network = network
        self.chip = chip
        self.learning = _DEFAULTS if learning is None else learning
        self.seed = seed
        self._prepare()

    def _prepare(self) -> None:
        """Make what the rule needs beside the layers."""

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

        The reads that it takes are the second phase of an event.
        """
        raise NotImplementedError

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return the reads that `errors` took, in their order."""
        raise NotImplementedError

    def forward_reads(self, inputs: Array, activity: Activity, event: int) -> list[Read]:
        """Return the reads that `forward` took of inputs (batch, inputs) [V], in their order."""
        below = [
            inputs,
            *(self._driven("state_dac", a, k, event) for k, a in enumerate(activity.states[:-1])),
        ]
        return [
            Read(name=f"forward {k + 1}", array=array, voltages=lines, layer=k, biased=True)
            for k, (array, lines) in enumerate(zip(self.chip.arrays, below, strict=True))
        ]

    def learn(
        self,
        inputs: Array,
        activity: Activity,
        targets: Array,
        event: int,
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> Learnt:
        """Return what a mini-batch teaches; arguments as `forward`, `errors` and `updates` take.

        Reads move cells that they stress.
        """
        errors = self.errors(activity, targets, event)
        updates, bias_updates = self.updates(inputs, activity, errors, rates, bias_rates)
        self.disturb(inputs, activity, errors, event)
        return Learnt(
            updates=updates,
            bias_updates=bias_updates,
            beside=self.beside_updates(activity, errors, rates, event),
        )

    def beside_updates(
        self, activity: Activity, errors: Sequence[Array], rates: Sequence[float], event: int
    ) -> Mapping[str, Sequence[Update]]:
        """Return the updates of arrays beside those of the layers, by group; see `Learnt`."""
        return {}

    def calibrate(self, input_current: Array, target: Array, inputs: Array) -> None:
        """Set the ranges of converters that have none of their own, for these samples.

        input_current (batch, units) [A] and inputs (batch, inputs) [V] as `forward` takes them;
        target (batch, outputs) [V].
        """
        self.chip.ranges.clear()
        activity = self.forward(input_current, 0, inputs)
        self.errors(activity, target * target.dtype.type(1 / self.chip.scale.unit_voltage), 0)

    def begin(self) -> None:
        """Fit arrays beside the layers' to weights that another rule learnt, just written."""

    def factors(self, epoch: int, epochs: int) -> list[float]:
        """Return the factors on the layers' rates in an epoch, of so many, counted from 0."""
        return [self.learning.learning_rate_decay**epoch] * len(self.chip.arrays)

    def warnings(self) -> list[str]:
        """Return lines to warn of after an epoch, and begin another."""
        return []

    def measures(self) -> dict[str, float]:
        """Return what to note of an epoch that ends, by name: always the same names."""
        return {}

    def carried(self) -> dict[str, Array]:
        """Return what one mini-batch leaves to the next, beside the chip: for the run file."""
        return {}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `carried` returned."""

    def disturb(
        self, inputs: Array, activity: Activity, errors: Sequence[Array], event: int
    ) -> int:
        """Let the reads of both passes move cells that they stress; return the steps taken.

        Arguments as for `updates`.
        """
        if not self.chip.disturbed:
            return 0
        passes = (
            self.forward_reads(inputs, activity, event),
            self.error_reads(activity, errors, event),
        )
        return sum(
            read.array.disturb(read.voltages, event, phase, transposed=read.transposed)
            for phase, reads in enumerate(passes)
            for read in reads
        )

    def updates(
        self,
        inputs: Array,
        activity: Activity,
        errors: Sequence[Array],
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> tuple[list[Update], list[Update]]:
        """Return the updates of the arrays, and of the biases where the chip has them.

        Each is minus the rate times the mean of δ·aᵀ, and the weights' decay.

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
        unit, batch = self.chip.scale.unit_voltage, len(inputs)
        below = [inputs, *(a * inputs.dtype.type(unit) for a in activity.states[:-1])]
        updates = [
            self.outer(x, delta, -rate * unit, self.shrinking(rate, k))
            for k, (x, delta, rate) in enumerate(zip(below, errors, rates, strict=True))
        ]
        by_sample = self.chip.specification.programming.by_sample
        bias_updates = [
            bias_update(delta, -rate * unit / batch, by_sample=by_sample)
            for _, delta, rate in zip(self.chip.biases, errors, bias_rates, strict=False)
        ]
        return updates, bias_updates

    def outer(self, x: Array, d: Array, factor: float, shrinking: float = 0.0) -> Update:
        """Return the update of an array by the mean of its lines' products over a mini-batch.

        x (batch, inputs) and d (batch, units) times factor; shrinking, the share of each weight
        that is lost.
        """
        dtype, batch = x.dtype.type, len(x)
        update = Update(presynaptic=x[None], postsynaptic=(d * dtype(factor / batch))[None])
        events = 1
        if self.chip.specification.programming.by_sample:
            update, events = update.by_sample(batch), batch
        if shrinking == 0:
            return update
        decay = np.full((events, d.shape[1]), shrinking / events, x.dtype)
        return msgspec.structs.replace(update, decay=decay)

    def shrinking(self, rate: float, layer: int) -> float:
        """Return the share of a layer's weights that decays at its rate [S/V²]."""
        return (
            (self.learning.weight_decay or 0.0) * rate / self.chip.scale.learning_rate(1.0, layer)
        )

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


def _require_finite(total: Array, layer: int) -> None:
    if not np.isfinite(total).all():
        sample, unit = np.argwhere(~np.isfinite(total))[0]
        raise NumericalError(
            f"input of layer {layer + 1}, unit {unit} is {total[sample, unit]}, sample {sample}"
        )
