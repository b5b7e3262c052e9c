"""Predictive coding: units hold values that relax until they agree with what they are predicted.

Every hidden unit holds a value x_l, where inference has the sum z_l, and is predicted by the layer
below, μ_l = W_l·φ(x_{l−1}) + b_l; outputs are held by their targets. With δ_l = μ_l − x_l, and the
cost C of the predicted outputs over their variance Σ, the values go down the free energy

    F = ½·Σ_l |δ_l|² + C(μ_L)/Σ,   dx_l/dt = δ_l − φ'(x_l) ⊙ W_{l+1}ᵀ·δ_{l+1},   δ_L = ∂C/∂μ_L / Σ

from the forward pass, where all δ but that of the outputs are 0. A step is a read of each array but
the first for the predictions, whose differences from the values are δ, and one backwards. Then
ΔW_l = −η·Σ·δ_l·φ(x_{l−1})ᵀ; all that a synapse takes is at its two ends. For a linear output and
the squared cost, C/Σ is what an output of variance Σ adds that is clamped to its target.

*strict* is this. A step that raises the free energy of a sample is taken back, and its rate halved
from there on. Where reads are noisy nearly every step does, because the first point is that of one
reading, which it fits: without `halving` every step is taken. δ is the error of backpropagation
only as Σ grows: as the nudging of equilibrium propagation falls. At Σ = 1 the directions differ
however small the error of the outputs is.

*fixed-prediction* keeps μ, φ(x) and φ'(x) as the forward pass had them, in a sample-and-hold of
each unit, and takes reads backwards alone. δ settles at backpropagation's errors; at a rate of 1,
one layer a step: after as many steps as there are arrays it has them to rounding.

*incremental* programs all arrays after every step, with the δ of that step, while values settle;
it takes every step, at the rate given, and reads the first array anew each time, too.

n steps take n sets of errors, the first of which need no read beyond the forward pass, and move the
values n − 1 times.

References
----------
Whittington and Bogacz (2017), Neural Comput. 29, 1229, and the authors' code, which fixes rate,
halving and tolerance (halved for all samples of a mini-batch there, and not taken back); Millidge,
Tschantz and Buckley (2022), Neural Comput. 34, 1329; Rosenbaum (2022), PLoS ONE 17, e0266102, for
fixed predictions; Salvatori et al. (2024), ICLR, for incremental predictive coding.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip import FeedforwardChip, Moment
from neurohw.errors import NumericalError
from neurohw.learning.continual import program
from neurohw.learning.feedforward import Activity, FeedforwardRule, Learnt, Read
from neurohw.learning.settings import InferenceSettings
from neurohw.update import Update

Array = NDArray[np.floating]

# Steps of one event have numbers of their own for the noise of converters, beyond all events.
_STEP = 1 << 44


class Presented(Activity, frozen=True, eq=False):
    """The forward pass, with the inputs (batch, inputs) that it is of [V]."""

    inputs: Array


class Point(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Where values are, and what they miss, (batch, units) a layer each, dimensionless.

    values and slopes, φ', of the hidden layers; states, φ of them and the predicted outputs;
    errors, δ of all layers; energy (batch,), the free energy.
    """

    values: list[Array]
    slopes: list[Array]
    states: list[Array]
    errors: list[Array]
    energy: Array


class Inferred(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """An inference: its end, the free energy (steps, batch) along it, and the reads it took."""

    end: Point
    energies: Array
    reads: list[Read]


class PredictiveCoding(FeedforwardRule):
    """Inference by reads of both directions, and outer products of errors and states.

    See `FeedforwardRule`; how values relax is `learning.inference`.
    """

    def _prepare(self) -> None:
        self.inference = self.learning.inference or InferenceSettings()
        self._reads: list[Read] = []

    def forward(self, input_current: Array, event: int, inputs: Array) -> Presented:
        """Return the activity, from which values start; see `FeedforwardRule.forward`."""
        found = super().forward(input_current, event, inputs)
        return Presented(found.totals, found.states, inputs)

    def errors(self, activity: Activity, targets: Array, event: int) -> list[Array]:
        """Return Σ·δ of each layer after inference, (batch, units), while no cell moves."""
        assert isinstance(activity, Presented)
        found = self.infer(activity, targets, event)
        self._reads = found.reads
        return self._weighed(found.end)

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return the reads of the inference that gave the errors last."""
        return self._reads

    def learn(
        self,
        inputs: Array,
        activity: Activity,
        targets: Array,
        event: int,
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> Learnt:
        """Return what a mini-batch teaches; incremental inference programs cells on its way."""
        assert isinstance(activity, Presented)
        programmed = 0

        def updates(point: Point) -> tuple[list[Update], list[Update]]:
            there = Activity(activity.totals, point.states)
            return self.updates(inputs, there, self._weighed(point), rates, bias_rates)

        def teach(point: Point) -> None:
            nonlocal programmed
            wanted, bias_wanted = updates(point)
            events = len(wanted[0].presynaptic)
            first = event * self.inference.steps * events + programmed
            program(self.chip, wanted, bias_wanted, first, inputs)
            programmed += events

        incremental = self.inference.mode == "incremental"
        found = self.infer(activity, targets, event, teach if incremental else None)
        self._reads = found.reads
        wanted, bias_wanted = updates(found.end)
        self.disturb(inputs, activity, found.end.errors, event)
        return Learnt(updates=wanted, bias_updates=bias_wanted, programmed=programmed)

    def infer(
        self,
        activity: Presented,
        targets: Array | None,
        event: int,
        teach: Callable[[Point], None] | None = None,
        start: Sequence[Array] | None = None,
    ) -> Inferred:
        """Let the values relax towards (batch, outputs) targets; without, with outputs left free.

        teach is called with every point but the last. start, (batch, units) values of the hidden
        layers, those of the forward pass without it.

        Raises
        ------
        NumericalError
            A free energy is NaN or infinite.
        """
        settings, log = self.inference, _Log(self.chip)
        predicted: Sequence[Array] = activity.totals
        if start is not None:
            predicted = self._predictions(activity, start, event, 0, log)
        here = self._point(activity, start or activity.totals[:-1], predicted, targets)
        dtype = here.energy.dtype.type
        rate = np.full(len(here.energy), settings.rate, dtype)
        units = sum(self.network.sizes[1:])
        least = dtype(settings.tolerance / units / settings.output_variance)
        settled = np.zeros(len(rate), bool)
        energies = [here.energy]
        for step in range(1, settings.steps):
            back = self._back(here, event, step, log)
            if teach is not None:
                teach(here)
            values = [
                x + rate[:, None] * (d - b)
                for x, d, b in zip(here.values, here.errors, back, strict=False)
            ]
            predicted = self._predictions(activity, values, event, step, log)
            there = self._point(activity, values, predicted, targets)
            if settings.mode == "strict" and settings.halving:
                fallen = here.energy - there.energy
                kept = ~settled & (fallen >= 0)
                settled |= kept & (fallen < least * rate)
                rate = np.where(kept | settled, rate, rate / 2)
                there = _chosen(kept, there, here)
            here = there
            energies.append(here.energy)
            if settled.all():
                break
        _require_finite(here.energy)
        return Inferred(end=here, energies=np.array(energies), reads=log.reads())

    def _back(self, point: Point, event: int, step: int, log: "_Log") -> list[Array]:
        """Return φ' ⊙ Wᵀ·δ of each hidden layer, by reads backwards."""
        moment, conversion = Moment(event, phase=1, sweep=2 * step - 1), event + step * _STEP
        found: list[Array] = []
        for k, (delta, slope) in enumerate(zip(point.errors[1:], point.slopes, strict=True)):
            driven = self._driven("error_dac", delta, k, conversion)
            log.take(k + 1, driven, transposed=True)
            current = self.chip.arrays[k + 1].read_transposed(driven, moment)
            total = current * current.dtype.type(1 / self.chip.scale.current(k + 1))
            found.append(self._read("error_adc", total, k, conversion) * slope)
        return found

    def _predictions(
        self, activity: Presented, values: Sequence[Array], event: int, step: int, log: "_Log"
    ) -> list[Array]:
        """Return μ of each layer for values of the hidden ones."""
        if self.inference.mode == "fixed-prediction":
            return activity.totals
        moment, conversion = Moment(event, phase=1, sweep=2 * step), event + step * _STEP
        sources, found = self.chip.sources(moment), list(activity.totals[:1])
        moving = self.inference.mode == "incremental"
        for k in range(0 if moving else 1, len(self.chip.arrays)):
            driven = activity.inputs
            if k:
                state = self.network.activate(k - 1, values[k - 1])
                driven = self._driven("state_dac", state, k - 1, conversion)
            log.take(k, driven)
            current = self.chip.arrays[k].read(driven, moment if self.chip.noisy else None)
            if sources:
                current = current + sources[k].current
            total = current * current.dtype.type(1 / self.chip.scale.current(k))
            found[k:] = [self._read("state_adc", total, k, conversion)]
        return found

    def _point(
        self,
        activity: Presented,
        values: Sequence[Array],
        predicted: Sequence[Array],
        targets: Array | None,
    ) -> Point:
        """Return what values miss of their predictions."""
        network, z = self.network, predicted[-1]
        at = activity.totals[:-1] if self.inference.mode == "fixed-prediction" else values
        states = [network.activate(k, x) for k, x in enumerate(at)]
        slopes = [network.slope(k, x, a) for k, (x, a) in enumerate(zip(at, states, strict=True))]
        outputs = network.activate(len(values), z)
        errors = [mu - x for mu, x in zip(predicted, values, strict=False)]
        energy, last = np.zeros(len(z), z.dtype), np.zeros_like(z)
        if targets is not None:
            weight = z.dtype.type(1 / self.inference.output_variance)
            energy = weight * network.costs(outputs, targets)
            last = weight * network.output_error(z, outputs, targets)
        for delta in errors:
            energy = energy + (delta * delta).sum(axis=1) / 2
        return Point(
            values=list(values),
            slopes=slopes,
            states=[*states, outputs],
            errors=[*errors, last],
            energy=energy,
        )

    def _weighed(self, point: Point) -> list[Array]:
        """Return Σ·δ of each layer: what is learnt does not shrink with the variance."""
        variance = self.inference.output_variance
        return [delta * delta.dtype.type(variance) for delta in point.errors]


class _Log:
    """Notes the reads of an inference, those of one array and direction together."""

    def __init__(self, chip: FeedforwardChip) -> None:
        self._chip = chip
        self._lines: dict[tuple[int, bool], list[Array]] = {}

    def take(self, array: int, voltages: Array, *, transposed: bool = False) -> None:
        self._lines.setdefault((array, transposed), []).append(voltages)

    def reads(self) -> list[Read]:
        return [
            Read(
                name=f"{'error' if transposed else 'prediction'} {k + 1}",
                array=self._chip.arrays[k],
                voltages=np.concatenate(lines),
                layer=k - transposed,
                transposed=transposed,
                times=len(lines),
                biased=not transposed,
            )
            for (k, transposed), lines in self._lines.items()
        ]


def _chosen(kept: NDArray[np.bool_], new: Point, old: Point) -> Point:
    """Return the new point, whose arrays are written to, with the old one where it is not kept."""
    back = np.flatnonzero(~kept)
    for key in ("values", "slopes", "states", "errors"):
        for a, b in zip(getattr(new, key), getattr(old, key), strict=True):
            a[back] = b[back]
    new.energy[back] = old.energy[back]
    return new


def _require_finite(energy: Array) -> None:
    if not np.isfinite(energy).all():
        sample = np.flatnonzero(~np.isfinite(energy))[0]
        raise NumericalError(
            f"learning.inference: the free energy of sample {sample} is {energy[sample]}; take a"
            " lower rate"
        )
