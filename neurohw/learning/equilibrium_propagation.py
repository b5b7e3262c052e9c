"""Equilibrium propagation: the contrast of two equilibria is the gradient of the cost.

A mini-batch relaxes freely, then once or several times with its outputs nudged. What is made of
the difference depends on the network: `neurohw.learning.resistive`, `neurohw.learning.hopfield`.

References
----------
Scellier and Bengio (2017), Front. Comput. Neurosci. 11:24; Laborieux et al. (2021), Front.
Neurosci. 15:633674, for the centered variant; Stern et al. (2021), Phys. Rev. X 11, 021045,
coupled; Movellan (1991), contrastive Hebbian.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip import Chip, HopfieldChip
from neurohw.circuits.converters import Channels
from neurohw.circuits.periphery import SampleAndHold
from neurohw.engines.equilibrium import (
    Accelerator,
    Engine,
    Equilibrium,
    Nudging,
    left_out,
    nudge,
    require_settled,
)
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.errors import InvalidValueError
from neurohw.learning.relaxation import relax
from neurohw.learning.variants import Variant, require_circuit
from neurohw.networks.hopfield import HopfieldNetwork
from neurohw.networks.resistive import ResistiveNetwork
from neurohw.update import Update

Array = NDArray[np.floating]


class Contrast(msgspec.Struct, frozen=True, eq=False):
    """The free equilibrium of a mini-batch, and the two that are compared.

    upper and lower hold a (batch, units) array a free layer [V], as the circuit that forms the
    difference has them; span is the difference of their nudging strengths, in units of the chip's
    unit of conductance, or without unit where the outputs are clamped. Of the variant holomorphic
    they are those at both ends of the half circle, points holds all of its complex states, and
    span is their number on the whole circle times β. path, for rules that need it, is how the
    nudged phases ran, see `Equilibrium`; all samples of one sign before the others. target, which
    readouts learn from, is what the outputs are to be, (batch, outputs) [V]. unsettled (batch,)
    says of which samples a phase missed the tolerance: their nudged states are the free ones, so
    that nothing is learnt of them. nudged_residuals, of the nudged phases where they ran in one
    piece of fixed length, all samples of a nudging before those of another.
    """

    free: Equilibrium
    upper: Sequence[Array]
    lower: Sequence[Array]
    span: float
    path: Sequence[Array] | None = None
    points: Sequence[Sequence[NDArray[np.complexfloating]]] = ()
    target: Array | None = None
    unsettled: NDArray[np.bool_] | None = None
    nudged_residuals: NDArray[np.floating] | None = None


class EquilibriumPropagation(ABC):
    """Free phase, nudged phase or phases, local contrast.

    Parameters
    ----------
    network, engine, chip
        What relaxes, what finds the equilibrium, what holds the conductances.
    variant : str
        Nudged phases: ``positive``, +β; ``negative``, −β; ``random_sign``, one of the two drawn
        for each mini-batch; ``centered``, both; ``coupled``, outputs driven the share β of the way
        to the targets, and ``contrastive_hebbian``, all of it; of Hopfield networks also
        ``holomorphic``, see `neurohw.learning.holomorphic`, and ``langevin``, see
        `HopfieldPropagation`. ``continual`` and ``agnostic``: phases as of positive and of
        centered, between which cells move, see `neurohw.learning.continual`.
    nudging : float
        β, dimensionless.
    free_sweeps, nudged_sweeps, tolerance, accelerator
        See `neurohw.engines.equilibrium.Engine.relax`.
    free_time, nudged_time : float, optional [s]
        Durations of the phases, of an engine that has them.
    seed : int
        Of the random sign, and of what the nudging circuit and the sample-and-hold draw.
    """

    def __init__(
        self,
        network: ResistiveNetwork | HopfieldNetwork,
        engine: Engine | HopfieldEngine,
        chip: Chip | HopfieldChip,
        *,
        variant: Variant,
        nudging: float,
        free_sweeps: int,
        nudged_sweeps: int,
        tolerance: float = 0.0,
        free_time: float | None = None,
        nudged_time: float | None = None,
        accelerator: Accelerator = "none",
        seed: int = 0,
    ) -> None:
        self.network: Any = network
        self.engine = engine
        self.chip: Any = chip
        self.variant = variant
        self.nudging = nudging
        circuit = chip.specification.nudging
        unit = 1.0 if circuit.built == "clamp" else chip.scale.nudging(1.0)
        self.strength = nudging * unit * (1 + circuit.gain_error)
        self.offsets = circuit.offsets(network.layers[-1], seed)
        self.free_sweeps = free_sweeps
        self.nudged_sweeps = nudged_sweeps
        self.tolerance = tolerance
        self.free_time = free_time
        self.nudged_time = nudged_time
        self.accelerator: Accelerator = accelerator
        self._seed = seed
        self._sign_stream = randomness.stream(seed, "sign")

    def varied(
        self, *, variant: Variant, nudging: float, free_sweeps: int, nudged_sweeps: int
    ) -> Self:
        """Return the same rule with other nudging and lengths of its phases."""
        other = copy(self)
        other.variant, other.nudging = variant, nudging
        other.strength = self.strength * (nudging / self.nudging)
        other.free_sweeps, other.nudged_sweeps = free_sweeps, nudged_sweeps
        return other

    @abstractmethod
    def check_stability(self) -> None:
        """Refuse a nudging that leaves the nudged network without a minimum.

        Raises
        ------
        InvalidValueError
            Naming β and the bound that it broke.
        UnsupportedError
            A variant that the circuit cannot do.
        """

    @abstractmethod
    def updates(
        self,
        contrast: Contrast,
        inputs: Array,
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> tuple[list[Update], list[Update]]:
        """Return the updates of the arrays, and of the biases where the chip has them.

        Each is minus the rate times the mean estimated gradient.

        Parameters
        ----------
        contrast : Contrast
        inputs : (batch, inputs) array [V]
            As `CrossbarArray.read` of the first array takes them.
        rates : sequence of float [S/V²]
            One an array.
        bias_rates : sequence of float
            One a layer, as `rates` for bias cells, in [A/V] for bias currents.
        """

    def _require_nudging(self) -> str:
        """Return the kind of nudging, if the variant can be had with it."""
        kind = str(self.chip.specification.nudging.built)
        require_circuit(self.variant, self.chip.specification, self.nudging)
        if kind == "clamp" and self.strength > 1:
            raise InvalidValueError(
                f"learning.nudging = {self.nudging:g}: where the chip clamps the outputs, this is"
                f" {self.strength:g} of the way to the targets, gain error included; at most 1"
            )
        return kind

    def contrast(
        self,
        input_current: Array,
        target: Array,
        start: Equilibrium | None,
        event: int,
        inputs: Array | None = None,
    ) -> Contrast:
        """Return `phases` as the chip's readout has them."""
        return self.read(self.phases(input_current, target, start, event, inputs), event)

    def read(self, phases: Contrast, event: int) -> Contrast:
        """Return phases as the chip's readout has them; themselves if it is ideal."""
        if self.chip.readout.ideal:
            return phases
        upper, lower = self.chip.readout.read(phases.upper, phases.lower, event)
        return msgspec.structs.replace(phases, upper=upper, lower=lower)

    def calibrate(self, input_current: Array, target: Array, inputs: Array | None = None) -> None:
        """Set the ranges of converters that have none of their own, for these samples.

        Arguments as for `contrast`.
        """
        if self.chip.calibrated:
            self.chip.readout.ranges.clear()
            self.contrast(input_current, target, None, 0, inputs)

    def phases(
        self,
        input_current: Array,
        target: Array,
        start: Equilibrium | None,
        event: int,
        inputs: Array | None = None,
        *,
        leave_out: bool = False,
    ) -> Contrast:
        """Relax the free and the nudged phases of one mini-batch.

        input_current (batch, units) [A], target (batch, outputs) [V]; inputs (batch, lines) [V],
        as `CrossbarArray.read` takes them, for engines that solve the driven array too, and for
        chips whose cells are noisy. leave_out: samples that miss the tolerance are left out, see
        `Contrast`, if they are at most half; otherwise any is an error.
        """
        free = self.free_phase(input_current, start, event, inputs)
        missed = self.missed(free, "free", leave_out=leave_out)
        signs = self._signs(event)
        if len(signs) > 1:
            input_current = np.concatenate([input_current] * len(signs))
        nudging = self.nudging_of(signs, free.state[-1], target, event)
        nudged = self.nudged_phase(input_current, free, nudging, event, inputs)
        unsettled = self.missed(
            nudged, "nudged", leave_out=leave_out, copies=len(signs), lost=missed
        )
        nudged = _without(nudged, free, np.flatnonzero(unsettled), len(signs))
        points = list(zip(*(np.split(v, len(signs)) for v in nudged.state), strict=True))
        contrast = self._compared(free, signs, points, event, nudged.path)
        residuals = nudged.residuals if nudged.result == "fixed sweeps" else None
        return msgspec.structs.replace(
            contrast, unsettled=unsettled, target=target, nudged_residuals=residuals
        )

    def free_phase(
        self, input_current: Array, start: Equilibrium | None, event: int, inputs: Array | None
    ) -> Equilibrium:
        """Relax the free phase of a mini-batch, settled or not; arguments as for `phases`."""
        return relax(
            self.engine,
            self.network,
            self.chip,
            input_current,
            event=event,
            start=start,
            sweeps=self.free_sweeps,
            tolerance=self.tolerance,
            duration=self.free_time,
            accelerator=self.accelerator,
            inputs=inputs,
            **self._options(nudged=False),
        )

    def nudged_phase(
        self,
        input_current: Array,
        start: Equilibrium,
        nudging: Nudging,
        event: int,
        inputs: Array | None,
        *,
        phase: int = 1,
        sweep: int = 0,
        sweeps: int | None = None,
    ) -> Equilibrium:
        """Relax a nudged phase, or some sweeps of it; see `neurohw.learning.relaxation.relax`."""
        return relax(
            self.engine,
            self.network,
            self.chip,
            input_current,
            event=event,
            phase=phase,
            sweep=sweep,
            start=start,
            nudging=nudging,
            sweeps=self.nudged_sweeps if sweeps is None else sweeps,
            tolerance=self.tolerance,
            duration=self.nudged_time,
            accelerator=self.accelerator,
            inputs=inputs,
            **self._options(nudged=True),
        )

    def missed(
        self,
        equilibrium: Equilibrium,
        phase: str,
        *,
        leave_out: bool = False,
        copies: int = 1,
        lost: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """Return which samples missed the tolerance, none unless they may be left out.

        Arguments and errors as of `neurohw.engines.equilibrium.left_out`.
        """
        if not leave_out:
            require_settled(equilibrium, phase, self.tolerance, copies=copies)
        return left_out(equilibrium, phase, self.tolerance, copies=copies, lost=lost)

    def _options(self, *, nudged: bool) -> dict[str, Any]:
        """Return what else is asked of the engine."""
        return {}

    def _compared(
        self,
        free: Equilibrium,
        signs: tuple[complex, ...],
        points: Sequence[Sequence[Any]],
        event: int,
        path: Sequence[Array] | None,
    ) -> Contrast:
        """Return what is compared, of the free phase and the nudged ones."""
        if len(signs) == 1:
            span = signs[0].real * self.nudging
            return Contrast(free, points[0], self._held(free.state, event), span, path)
        held = self._held(points[0], event)
        return Contrast(free, held, points[1], 2.0 * self.nudging, path)

    def _below(self, bound: float, what: str) -> str:
        """Say how large β may be where the strength of the nudging has a bound, and why."""
        gain = self.chip.specification.nudging.gain_error
        over = f" over 1 + chip.nudging.gain_error = {1 + gain:g}" if gain else ""
        return f"must be below {self.nudging * bound / self.strength:.4g}, {what}{over}"

    @property
    def _by_sample(self) -> bool:
        return bool(self.chip.specification.programming.by_sample)

    def nudging_of(
        self, signs: tuple[complex, ...], outputs: Array, target: Array, event: int
    ) -> Nudging:
        """Return what pulls the free outputs (batch, outputs), all samples of a sign together."""
        strength = _strengths(signs, self.strength, len(target), target.dtype)
        kind, dac = self.chip.specification.nudging.built, self.chip.nudge_dac
        if kind == "conductance" and dac is not None:
            target = self._driven(dac, target, event)
        if kind != "conductance":
            # A free phase that is compared is held by the circuits that the nudging reads too.
            layers = len(self.network.layers)
            first = layers - 1 if len(signs) == 1 else layers
            outputs = self._held([outputs], event, first=first)[0]
        if self.offsets.any():
            target = target + self.offsets.astype(target.dtype)
        if len(signs) > 1:
            target = np.concatenate([target] * len(signs))
            if kind != "conductance":
                outputs = np.concatenate([outputs] * len(signs))
        if kind == "current" and dac is not None:
            target = outputs + self._driven(dac, target - outputs, event)
        nudging = nudge(kind, strength, target, outputs)
        if kind == "clamp" and dac is not None:
            driven = self._driven(dac, nudging.target, event)
            nudging = msgspec.structs.replace(nudging, target=driven)
        return nudging

    def _driven(self, dac: Channels, values: Array, event: int) -> Array:
        """Return what the nudging DAC makes of (samples, outputs) voltages [V]."""
        ranges, converter = self.chip.readout.ranges, dac.converter
        known = np.inf if dac.signed else self.chip.scale.unit_voltage
        if dac.signed and converter.calibrated:
            if "nudge" not in ranges:
                ranges["nudge"] = np.array([converter.calibrate(values)])
            known = float(ranges["nudge"][0])
        return dac.convert(values, converter.range_or(known), event)

    def _held(self, state: Sequence[Array], event: int, first: int = 0) -> Sequence[Array]:
        """Return what the sample-and-hold circuits, numbered from `first`, keep of a phase."""
        chip = self.chip.specification
        if chip.hold == SampleAndHold():
            return state
        return [
            chip.hold.held(
                v,
                temperature=chip.temperature,
                seed=self._seed,
                layer=first + k,
                event=event,
            )
            for k, v in enumerate(state)
        ]

    def _signs(self, event: int) -> tuple[complex, ...]:
        if self.variant in ("centered", "agnostic"):
            return (1.0, -1.0)
        if self.variant == "random_sign":
            return (1.0,) if randomness.key(self._sign_stream, event)[0] & 1 else (-1.0,)
        return (-1.0,) if self.variant == "negative" else (1.0,)


@lru_cache(maxsize=16)
def _strengths(signs: tuple[complex, ...], strength: float, batch: int, dtype: np.dtype) -> Any:
    """Return the nudging of each sample, all samples with one sign before those with another."""
    factors = np.array(signs) * strength
    kind = np.result_type(dtype, np.complex64) if np.iscomplexobj(factors) else dtype
    return np.repeat(factors.astype(kind), batch)


def _without(
    nudged: Equilibrium, free: Equilibrium, samples: NDArray[np.intp], copies: int
) -> Equilibrium:
    """Return a nudged equilibrium, so many copies of the free samples, without nudging of some."""
    if not len(samples):
        return nudged
    rows = np.concatenate([samples + k * len(free.state[0]) for k in range(copies)])
    held = [np.concatenate([v[samples]] * copies) for v in free.state]
    for v, rest in zip(nudged.state, held, strict=True):
        v[rows] = rest
    for path, rest in zip(nudged.path or (), held, strict=False):
        path[:, rows] = rest
    return nudged
