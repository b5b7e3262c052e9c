"""Phases of finite length: the circuit is integrated in time and stops where it then is."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.engines.descent import start_state
from neurohw.engines.equilibrium import Accelerator, Equilibrium, Nudging, SeenArray, Source
from neurohw.engines.transient import kernels
from neurohw.engines.transient.circuit import Circuit, circuit
from neurohw.errors import ConvergenceError, InvalidValueError
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]

# Local error of a step, over the way that a layer has gone since the phase began.
TOLERANCE = 1e-5


class Waveform(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Voltages of all free nodes of a phase, layer after layer.

    times (points,) from the start of the phase [s]; voltages (batch, points, nodes) [V]; settled
    (batch,), the last time at which a node was too far from the steady state, where one was given
    [s]; steps (batch,). Of a tallied phase, for each sample: moments (1 + nodes, 1 + nodes), the
    integral of (1, v)ᵀ(1, v) [s], [V s], [V² s]; charge (2, nodes) through the lower and the upper
    diode [C]; lost (3, nodes) in these two and at the current limit [J]; cells (2, nodes), lost in
    the nonlinear cells below each node, and delivered to them by the inputs [J].
    """

    times: Array
    voltages: Array
    settled: Array
    steps: NDArray[np.int64]
    moments: Array
    charge: Array
    lost: Array
    cells: Array


class TransientEngine:
    """Integrates the node voltages over a phase's duration; sweeps and tolerance have no meaning.

    Computes in float64. A phase begins with every node moved between its ideal clamps.

    Parameters
    ----------
    tolerance : float
        Local error of a step, over the way that its layer has gone since the phase began.
    """

    def __init__(self, tolerance: float = TOLERANCE) -> None:
        if not 0 < tolerance < 1:
            raise InvalidValueError(f"tolerance = {tolerance:g}: must be above 0, below 1")
        self.tolerance = tolerance

    def relax(
        self,
        network: ResistiveNetwork,
        arrays: Sequence[SeenArray],
        sources: Sequence[Source],
        input_current: Array,
        *,
        start: Equilibrium | None = None,
        nudging: Nudging | None = None,
        sweeps: int = 0,
        tolerance: float = 0.0,
        accelerator: Accelerator = "none",
        inputs: Array | None = None,
        duration: float | None = None,
    ) -> Equilibrium:
        """Run a phase of `duration` from `start`, or from 0 V; see `Engine.relax`.

        The residual is the largest change that a node would still make if the others stood, over
        the largest distance of its layer from the start; iterations are the most steps of any
        sample.

        Raises
        ------
        InvalidValueError
            No duration, or one that is not finite and above 0, or a capacitance that is not; a
            nonlinear cell that ends out of its range.
        ConvergenceError
            A time step that could resolve the circuit was not found.
        UnsupportedError
            What nonlinear cells lack.
        """
        if duration is None:
            raise InvalidValueError("relaxation.free_time, nudged_time: the engine needs them")
        equation = circuit(network, arrays, sources, input_current, nudging, inputs)
        before = np.concatenate(start_state(network, input_current, start), axis=1)
        waveform = integrate(equation, before, np.array([duration]), self.tolerance)
        voltages = waveform.voltages[:, -1]
        finite = bool(np.isfinite(voltages).all())
        state = np.split(voltages.astype(input_current.dtype), equation.layers[1:-1], axis=1)
        equilibrium = Equilibrium(
            state=tuple(np.ascontiguousarray(v) for v in state),
            residual=equation.residual(voltages, before) if finite else np.inf,
            iterations=int(waveform.steps.max()),
            result="fixed time" if finite else "not finite",
        )
        if finite and equation.among is not None:
            equation.among.require_range(equilibrium)
        return equilibrium


def integrate(
    equation: Circuit,
    start: Array,
    times: Array,
    tolerance: float = TOLERANCE,
    *,
    steady: Array | None = None,
    margin: Array | None = None,
    tally: bool = False,
) -> Waveform:
    """Integrate from (batch, nodes) voltages through all times of a phase.

    Parameters
    ----------
    equation : Circuit
    start : (batch, nodes) array [V]
        Moved between the ideal clamps, which hold at once.
    times : (points,) array [s]
        Above 0, increasing; the last one ends the phase.
    tolerance : float
        See `TransientEngine`.
    steady, margin : (batch, nodes) arrays, optional [V]
        Steady state, and the distance from it below which a node counts as settled.
    tally : bool
        Also integrate what `Waveform` needs for energies.

    Raises
    ------
    InvalidValueError
        Times that are not finite, above 0 and increasing.
    ConvergenceError
        A step that could resolve the circuit was not found; names sample and time.
    """
    times = np.asarray(times, np.float64)
    if not (np.isfinite(times).all() and (np.diff(times, prepend=0.0) > 0).all()):
        raise InvalidValueError(
            f"duration = {times[-1]:g} s: times of a phase must be finite, above 0 and increasing"
        )
    shape = batch, nodes = equation.injected.shape
    samples = np.empty((batch, 7, nodes))
    samples[:, :4] = np.stack((equation.injected, equation.added, equation.low, equation.high), 1)
    samples[:, 4] = np.clip(start, equation.low, equation.high)
    samples[:, 5] = np.zeros(shape) if steady is None else steady
    samples[:, 6] = np.full(shape, np.inf) if margin is None else margin
    found, ends = np.full((batch, len(times), nodes), np.nan), np.zeros((batch, 2))
    rows = nodes + 1 if tally else 0
    moments, losses = np.zeros((batch, rows, rows)), np.zeros((batch, 7, nodes))
    kernels.integrate(
        (
            equation.linear,
            equation.diodes,
            equation.capacitance,
            equation.limit,
            *equation.reach,
            *equation.curve,
            equation.cells,
            *equation.law,
        ),
        equation.layers,
        samples,
        np.ascontiguousarray(equation.lines),
        times,
        tolerance,
        found,
        ends,
        moments,
        losses,
    )
    failed = np.flatnonzero(ends[:, 1] == -1)
    if len(failed):
        sample = failed[0]
        raise ConvergenceError(
            f"sample {sample}: no time step resolves the circuit at {ends[sample, 0]:.3g} s of"
            f" {times[-1]:.3g} s; check capacitances, gains and negative nudging, or take a larger"
            f" tolerance than {tolerance:g}"
        )
    if tally:
        moments[:, 1:, 0] = moments[:, 0, 1:]
    return Waveform(
        times=times,
        voltages=found,
        settled=ends[:, 0],
        steps=ends[:, 1].astype(np.int64),
        moments=moments,
        charge=losses[:, :2],
        lost=losses[:, 2:5],
        cells=losses[:, 5:],
    )
