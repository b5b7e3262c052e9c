"""How a phase settles: waveforms, time to settle, energy."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.engines.descent import start_state
from neurohw.engines.equilibrium import (
    Equilibrium,
    Nudging,
    SeenArray,
    Source,
    require_settled,
)
from neurohw.engines.numba.engine import NumbaEngine
from neurohw.engines.transient.circuit import circuit
from neurohw.engines.transient.energy import Energy, energy
from neurohw.engines.transient.engine import integrate
from neurohw.errors import InvalidValueError
from neurohw.networks.resistive import ResistiveNetwork
from neurohw.update import pairs

Array = NDArray[np.floating]

_SWEEPS, _TOLERANCE = 100_000, 1e-10


class Settling(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A phase as it goes.

    times (points,) from its start on [s]; voltages, a (batch, points, units) array a free layer
    [V]; start, what they were, and steady, where they tend to, (batch, units) arrays [V];
    settled_at (batch,), the last time at which a node was too far from there, infinite where one
    still is at the end [s]; energy; end, what the next phase starts from.
    """

    times: Array
    voltages: tuple[Array, ...]
    start: tuple[Array, ...]
    steady: tuple[Array, ...]
    settled_at: Array
    energy: Energy
    end: Equilibrium


def settling(
    network: ResistiveNetwork,
    arrays: Sequence[SeenArray],
    sources: Sequence[Source],
    inputs: Array,
    *,
    duration: float,
    points: int = 200,
    within: float = 0.01,
    tolerance: float = 1e-6,
    start: Equilibrium | None = None,
    nudging: Nudging | None = None,
) -> Settling:
    """Integrate a phase and account for it.

    Parameters
    ----------
    network, arrays, sources, start, nudging
        See `neurohw.engines.equilibrium.Engine.relax`.
    inputs : (batch, lines) array [V]
        Voltages of the first array's word lines, or of the first ones of all pairs.
    duration : float [s]
    points : int
        Of the waveforms, evenly spaced up to the end of the phase.
    within : float
        Distance from the steady state that counts as settled, over the largest voltage of the
        layer there, or, in a nudged phase, over the largest distance of the layer from `start`.
    tolerance : float
        See `neurohw.engines.transient.engine.TransientEngine`.

    Raises
    ------
    InvalidValueError
        Inputs for another number of lines, a duration, a number of points or a distance that is
        not above 0, or a capacitance that is not.
    ConvergenceError
        The steady state, or a time step that resolves the circuit, was not found.
    """
    if points < 1 or not within > 0:
        raise InvalidValueError(f"points = {points}, within = {within:g}: must be above 0")
    g: Array = arrays[0].conductance
    word_lines: Array = np.asarray(inputs, np.float64)
    if 2 * word_lines.shape[1] == g.shape[1]:
        word_lines = pairs(word_lines)
    if word_lines.shape[1] != g.shape[1]:
        raise InvalidValueError(f"{inputs.shape[1]} inputs: the first array has {g.shape[1]}")
    input_current = word_lines @ g.T.astype(np.float64)
    equation = circuit(network, arrays, sources, input_current, nudging, word_lines)
    before = np.concatenate(start_state(network, input_current, start), axis=1)
    times = np.linspace(0.0, duration, points + 1)[1:]
    at_rest = NumbaEngine().relax(
        network,
        arrays,
        sources,
        input_current,
        nudging=nudging,
        sweeps=_SWEEPS,
        tolerance=_TOLERANCE,
        accelerator="newton" if network.synapse is None else "none",
        inputs=word_lines,
    )
    require_settled(at_rest, "free" if nudging is None else "nudged", _TOLERANCE)
    steady = np.concatenate(at_rest.state, axis=1)
    way = np.abs(steady if nudging is None or start is None else steady - before)
    margin = [
        np.broadcast_to(within * part.max(axis=1, keepdims=True), part.shape)
        for part in np.split(way, equation.layers[1:-1], axis=1)
    ]
    waveform = integrate(
        equation,
        np.clip(before, equation.low, equation.high),
        times,
        tolerance,
        steady=steady,
        margin=np.concatenate(margin, axis=1),
        tally=True,
    )
    voltages = np.split(waveform.voltages, equation.layers[1:-1], axis=2)
    return Settling(
        times=times,
        voltages=tuple(voltages),
        start=tuple(np.split(before, equation.layers[1:-1], axis=1)),
        steady=at_rest.state,
        settled_at=np.where(waveform.settled >= times[-1], np.inf, waveform.settled),
        energy=energy(equation, arrays, sources, word_lines, nudging, waveform, before),
        end=Equilibrium(
            state=tuple(np.ascontiguousarray(v[:, -1]) for v in voltages),
            residual=equation.residual(waveform.voltages[:, -1], before),
            iterations=int(waveform.steps.max()),
            result="fixed time",
        ),
    )
