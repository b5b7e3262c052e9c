"""Verification: how far two engines are apart on the same circuit, in voltages and in updates."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import engines
from neurohw.engines.equilibrium import Nudging, SeenArray, Source, require_settled
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]

_SWEEPS, _TOLERANCE = 1000, 1e-12


class Circuit(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A network, its arrays and sources, and what drives it.

    inputs (samples, lines) [V] of all word lines; target (samples, outputs) [V]; strengths [S],
    the nudging of the two phases that learning compares, of which one may be 0, the free phase.
    """

    network: ResistiveNetwork
    arrays: Sequence[SeenArray]
    sources: Sequence[Source]
    inputs: Array
    target: Array
    strengths: tuple[float, float]


class Agreement(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Relative errors of each sample, (samples,).

    state_error, of any voltage in any phase, over the sample's largest voltage; update_error, of
    the update of any cell, over the largest one of its array.
    """

    state_error: Array
    update_error: Array


def compare(circuit: Circuit, first: str = "numba", second: str = "spice") -> Agreement:
    """Solve a circuit in the free and both nudged phases with two engines.

    Raises
    ------
    NeurohwError
        An engine does not settle, or cannot take the circuit.
    """
    ours, theirs = solve(circuit, first), solve(circuit, second)
    largest = np.max([np.abs(_joined(state)).max(axis=1) for state in theirs], axis=0)
    distance = [
        np.abs(_joined(a) - _joined(b)).max(axis=1) for a, b in zip(ours, theirs, strict=True)
    ]
    off = [
        np.abs(a - b).max(axis=(1, 2)) / np.abs(b).max(axis=(1, 2))
        for a, b in zip(updates(circuit, ours), updates(circuit, theirs), strict=True)
    ]
    return Agreement(
        state_error=np.max(distance, axis=0) / largest, update_error=np.max(off, axis=0)
    )


def solve(circuit: Circuit, engine: str) -> list[list[Array]]:
    """Return the voltages of the free and of both nudged phases, (samples, units) a layer."""
    samples, states = len(circuit.inputs), []
    lines = circuit.inputs
    for strength in (0.0, *circuit.strengths):
        equilibrium = engines.load(engine).relax(
            circuit.network,
            circuit.arrays,
            circuit.sources,
            lines @ circuit.arrays[0].conductance.T,
            nudging=Nudging(strength=np.full(samples, strength), target=circuit.target),
            sweeps=_SWEEPS,
            tolerance=_TOLERANCE,
            accelerator="newton",
            inputs=lines,
        )
        require_settled(equilibrium, "nudged" if strength else "free", _TOLERANCE)
        states.append(list(equilibrium.state))
    return states


def updates(circuit: Circuit, states: Sequence[Sequence[Array]]) -> list[Array]:
    """Return the gradient that learning forms from `solve`'s states: (samples, units, inputs).

    One array of it a crossbar [V²/S]; see `neurohw.learning.equilibrium_propagation`.
    """
    upper, lower = states[1:]
    span = circuit.strengths[0] - circuit.strengths[1]
    gradients: list[Array] = []
    for k in range(len(circuit.arrays)):
        drop = []
        for state in (upper, lower):
            below = circuit.network.forward(k - 1, state[k - 1]) if k else circuit.inputs
            drop.append(below[:, None, :] - state[k][:, :, None])
        gradients.append((drop[0] - drop[1]) * (drop[0] + drop[1]) / (2.0 * span))
    return gradients


def _joined(state: Sequence[Array]) -> Array:
    return np.concatenate(state, axis=1)
