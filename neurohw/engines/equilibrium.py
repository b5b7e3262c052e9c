"""What every engine takes and returns: arrays as the physics sees them, nudging, equilibrium."""

from collections.abc import Sequence
from typing import Literal, Protocol, Self

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import DTypeLike, NDArray

from neurohw.circuits.interconnect import Wires
from neurohw.circuits.periphery import NudgingKind
from neurohw.errors import ConvergenceError, NumericalError, UnsupportedError
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]

ROUNDING = 4.0
# Share of a mini-batch that may miss the tolerance before the relaxation counts as failed.
MOST_LEFT_OUT = 0.5
# Residuals in single precision that more sweeps hardly lower.
_ROUNDED = 1e-5

Result = Literal[
    "fixed sweeps", "fixed time", "converged", "not converged", "oscillating", "not finite"
]


Accelerator = Literal["none", "newton"]


class SeenArray(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A crossbar as the physics sees it at one moment.

    conductance (units, inputs), unit_sums (units,) over the inputs and input_sums (inputs,)
    over the units [S]; the first array of a network, whose inputs are driven, needs no
    input_sums.

    Wires with resistance make it a crossbar between its terminals with other conductances, and
    also couple units with units, unit_coupling (units, units), and inputs with inputs,
    input_coupling (inputs, inputs), both symmetric with a diagonal of 0 [S]. unit_sums and
    input_sums then are all conductance that meets a terminal, couplings included, and `cells`
    (units, inputs) [S] and `wires` are what the terminals lead to.

    Where lines are held at 0 V and amplifiers pass currents on, transposed_gain (inputs,) is the
    gain of what flows back to each input over that of what flows to the units; 1 without.
    """

    conductance: Array
    unit_sums: Array
    input_sums: Array | None = None
    unit_coupling: Array | None = None
    input_coupling: Array | None = None
    cells: Array | None = None
    wires: Wires | None = None
    transposed_gain: Array | None = None

    @property
    def backward_conductance(self) -> Array:
        """Conductances (units, inputs) with the gain of what flows back [S]."""
        gain = self.transposed_gain
        return self.conductance if gain is None else self.conductance * gain

    def forwards(self, inputs: Array) -> Array:
        """Return what flows to the units held at 0 V, (…, units), of (…, inputs)."""
        return _through(inputs, self.conductance.T)

    def backwards(self, units: Array) -> Array:
        """Return what flows to the inputs held at 0 V, (…, inputs), of (…, units)."""
        current = _through(units, self.conductance)
        return current if self.transposed_gain is None else current * self.transposed_gain


def _through(lines: Array, weights: Array) -> Array:
    """Return lines (…, n) times weights (n, m), all in one product."""
    if lines.ndim == 2:
        return lines @ weights
    product = lines.reshape(-1, lines.shape[-1]) @ weights
    return product.reshape(*lines.shape[:-1], -1)


class Source(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What else meets the nodes of a layer: current (units,) [A] and conductance (units,) [S]."""

    current: Array
    conductance: Array


class Nudging(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A conductor of strength β (batch,) [S] from each output to its target (batch, outputs) [V].

    β may be negative and may differ between samples, so that both phases relax together. An
    infinite one clamps the outputs to their targets. A held current (batch, outputs) [A] into the
    outputs comes on top.
    """

    strength: Array
    target: Array
    current: Array | None = None

    @property
    def clamped(self) -> NDArray[np.bool_]:
        """Which samples' outputs are clamped, (batch,)."""
        return np.isinf(self.strength)

    def conductor(self, dtype: DTypeLike) -> Array:
        """Return the conductance at each sample's outputs, 0 of clamps, (batch, 1) [S]."""
        return np.where(self.clamped, 0, self.strength)[:, None].astype(dtype)

    def injected(self, dtype: DTypeLike) -> Array:
        """Return what flows into the outputs at 0 V, clamps apart, (batch, outputs) [A]."""
        flowing = self.conductor(dtype) * self.target
        return np.asarray(flowing if self.current is None else flowing + self.current, dtype)

    def of(self, samples: NDArray[np.intp]) -> Self:
        """Return the nudging of some samples."""
        return replace(
            self,
            strength=self.strength[samples],
            target=self.target[samples],
            current=None if self.current is None else self.current[samples],
        )


def joined_ideally(conductance: Array) -> SeenArray:
    """Return an array of cells (units, inputs) [S] whose wires have no resistance."""
    return SeenArray(
        conductance=conductance,
        unit_sums=conductance.sum(axis=1),
        input_sums=conductance.sum(axis=0),
    )


def nudge(kind: NudgingKind, strength: Array, target: Array, outputs: Array) -> Nudging:
    """Return what a nudging circuit does to free outputs (batch, outputs) [V].

    strength (batch,) [S], or, where the kind is ``clamp``, the share of the way to the target;
    target (batch, outputs) [V]. See `neurohw.circuits.periphery`.
    """
    if kind == "conductance":
        return Nudging(strength=strength, target=target)
    moved = strength[:, None] * (target - outputs)
    if kind == "current":
        return Nudging(strength=np.zeros_like(strength), target=target, current=moved)
    return Nudging(strength=np.full_like(strength, np.inf), target=outputs + moved)


class Equilibrium(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Result of a relaxation.

    state, a (batch, units) array a free layer [V]; residual, see `Engine.relax`; iterations,
    sweeps done; result, why it ended. An engine may leave in `carry` what it needs to go on from
    here on the same arrays. path, where it was kept, is how the state got there: a (moments,
    batch, units) array a free layer, the start and what each sweep left [V]. residuals, where the
    engine has them, are those of each sample, (batch,).
    """

    state: tuple[Array, ...]
    residual: float
    iterations: int
    result: Result
    carry: tuple[Array, ...] | None = None
    path: tuple[Array, ...] | None = None
    residuals: Array | None = None


class Engine(Protocol):
    """Finds the steady state of a network; holds no state of its own."""

    def relax(
        self,
        network: ResistiveNetwork,
        arrays: Sequence[SeenArray],
        sources: Sequence[Source],
        input_current: Array,
        *,
        start: Equilibrium | None = None,
        nudging: Nudging | None = None,
        sweeps: int,
        tolerance: float = 0.0,
        accelerator: Accelerator = "none",
        inputs: Array | None = None,
        duration: float | None = None,
    ) -> Equilibrium:
        """Relax from `start`, or from 0 V, by at most `sweeps` sweeps.

        input_current (batch, units) [A] is what the driven array feeds into the first free
        layer held at 0 V, and inputs (batch, lines) [V] are the voltages that it comes from, as
        `CrossbarArray.read` takes them, for engines that solve the driven array too. Where
        `start` or inputs have fewer samples than input_current, they are repeated. With tolerance 0
        exactly `sweeps` sweeps are done, else the sweeps end when the residual falls below it,
        after one sweep a layer at least.

        The residual is the largest change of a voltage in the last sweep, over the largest
        voltage of its layer, or, for a nudged phase, over the largest distance in its layer from
        `start`, which is what learning uses; there no change counts as smaller than `ROUNDING`
        times the precision of the largest voltage. The layer where the residual is largest
        counts. With the accelerator ``newton`` a Newton step of all nodes follows each sweep.

        An engine that integrates in time runs for the `duration` of the phase [s] instead, and
        says what its residual is; the others refuse one.
        """
        ...


def refuse_duration(duration: float | None) -> None:
    """Raise `UnsupportedError` if a phase has a duration: for engines that know no time."""
    if duration is not None:
        raise UnsupportedError(
            f"duration = {duration:g} s: only the engine transient has phases of finite length"
        )


def require_settled(
    equilibrium: Equilibrium, phase: str, tolerance: float, *, copies: int = 1
) -> None:
    """Do nothing if a relaxation ended well; copies as in `left_out`.

    Raises
    ------
    ConvergenceError
        It missed its tolerance; names residual, tolerance and what to change.
    NumericalError
        A voltage is NaN or infinite; names phase, layer and unit.
    """
    if equilibrium.result in ("not converged", "oscillating"):
        single = equilibrium.state[0].dtype == np.float32
        where, remedy = "", f"allow more sweeps (relaxation.{phase}_sweeps) or a larger tolerance"
        if equilibrium.residuals is not None:
            samples = len(equilibrium.residuals) // copies
            where = f" of sample {int(equilibrium.residuals.argmax()) % samples}"
        if equilibrium.result == "oscillating":
            where += ", which swings between two states,"
            remedy = "take relaxation.dynamics = steps with a smaller relaxation.step"
            remedy += ", less learning.nudging" if phase == "nudged" else ""
        if single and equilibrium.residual < _ROUNDED:
            remedy = "less is rounding: take a larger tolerance"
        remedy += ", or take training.precision = float64" if single else ""
        raise ConvergenceError(
            f"relaxation.tolerance = {tolerance:g}: the {phase} phase's residual{where} is still"
            f" {equilibrium.residual:.3g} after {equilibrium.iterations} sweeps; {remedy}"
        )
    if equilibrium.result == "not finite":
        layer, wrong = next(
            (k, np.argwhere(~np.isfinite(v)))
            for k, v in enumerate(equilibrium.state)
            if not np.isfinite(v).all()
        )
        place, unit = wrong[0]
        sample = place % (len(equilibrium.state[layer]) // copies)
        raise NumericalError(
            f"voltage of layer {layer + 1}, unit {unit} is"
            f" {equilibrium.state[layer][place, unit]} in the {phase} phase, sample {sample}"
        )


def left_out(
    equilibrium: Equilibrium,
    phase: str,
    tolerance: float,
    *,
    copies: int = 1,
    lost: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Return which samples of a relaxation missed the tolerance, (batch,): to be left out.

    copies, how often the equilibrium has each sample, all samples of a nudging together; one that
    misses the tolerance leaves out its sample. lost (batch,), those that are left out already.

    Raises
    ------
    ConvergenceError, NumericalError
        As `require_settled`, if that is more than half of them, or the engine knows only all.
    """
    residuals = equilibrium.residuals
    if lost is None:
        lost = np.zeros(len(equilibrium.state[0]) // copies, bool)
    if equilibrium.result in ("not converged", "oscillating") and residuals is not None:
        missed = lost | (residuals >= tolerance).reshape(copies, -1).any(axis=0)
        if missed.mean() <= MOST_LEFT_OUT:
            return missed
    require_settled(equilibrium, phase, tolerance, copies=copies)
    return lost
