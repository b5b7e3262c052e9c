"""Verification: how far two engines are apart on the same circuit, in voltages and in updates."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.engines.spice import deck
from neurohw.engines.spice.session import session
from neurohw.experiments.machine import computing
from neurohw.experiments.run_file import Run
from neurohw.experiments.trained_circuit import Circuit, cut, trained

Array = NDArray[np.floating]

MOST_INPUTS, MOST_UNITS = 64, 32


class Agreement(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Relative errors of each sample, (samples,).

    state_error, of any voltage in any phase, over the sample's largest voltage; update_error, of
    the update of any cell, over the largest one of its array.
    """

    state_error: Array
    update_error: Array


class Verification(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What `verify` finds.

    trained and verified, sizes of the network and of what was left of it, input lines first;
    strengths, of the nudging [S]; agreement, of the Numba engine with ngspice; ideal_gap
    (samples,), how far nearly ideal diodes are from the run's ideal ones, as `state_error`, None
    where its diodes are not ideal.
    """

    ngspice_version: int
    trained: tuple[int, ...]
    verified: tuple[int, ...]
    strengths: tuple[float, float]
    agreement: Agreement
    ideal_gap: Array | None


def verify(run: Run, samples: int) -> Verification:
    """Compare the Numba engine and ngspice on the first test images of a trained run.

    The network is cut to `MOST_INPUTS` and `MOST_UNITS`, and ideal diodes become nearly ideal
    ones, for both engines.

    Raises
    ------
    UnsupportedError
        See `neurohw.engines.spice.session.Session`.
    DataError, RunFileError
        See `neurohw.experiments.trained_circuit.trained`.
    ConvergenceError
        An engine finds no equilibrium.
    """
    version = session().version
    with computing():
        whole = trained(run, slice(0, samples))
        circuit = cut(whole, MOST_INPUTS, MOST_UNITS)
        real = msgspec.structs.replace(circuit, network=deck.shockley(circuit.network))
        neurons = circuit.network.neurons
        gap = None
        if neurons is None or all(n.ideal for n in neurons):
            gap = _distance(solve(circuit, "numba"), solve(real, "numba"))
        return Verification(
            ngspice_version=version,
            trained=whole.sizes,
            verified=circuit.sizes,
            strengths=circuit.strengths,
            agreement=compare(real),
            ideal_gap=gap,
        )


def compare(circuit: Circuit, first: str = "numba", second: str = "spice") -> Agreement:
    """Solve a circuit in the free and both nudged phases with two engines; see `Circuit.relax`."""
    ours, theirs = solve(circuit, first), solve(circuit, second)
    off = [
        np.abs(a - b).max(axis=(1, 2)) / np.abs(b).max(axis=(1, 2))
        for a, b in zip(updates(circuit, ours), updates(circuit, theirs), strict=True)
    ]
    return Agreement(state_error=_distance(ours, theirs), update_error=np.max(off, axis=0))


def solve(circuit: Circuit, engine: str) -> list[list[Array]]:
    """Return the voltages of the free and of both nudged phases, (samples, units) a layer."""
    free = circuit.relax(engine).state
    nudged = [
        circuit.relax(engine, circuit.nudging(strength, free[-1])).state
        for strength in circuit.strengths
    ]
    return [list(state) for state in (free, *nudged)]


def updates(circuit: Circuit, states: Sequence[Sequence[Array]]) -> list[Array]:
    """Return the gradient that learning forms from `solve`'s states: (samples, units, inputs).

    One array of it a crossbar [V²/S]; see `neurohw.learning.equilibrium_propagation`. Of nonlinear
    cells it is the difference of their co-content.
    """
    upper, lower = states[1:]
    synapse, span = circuit.network.synapse, circuit.strengths[0] - circuit.strengths[1]
    gradients: list[Array] = []
    for k in range(len(circuit.arrays)):
        drop = []
        for state in (upper, lower):
            below = circuit.network.forward(k - 1, state[k - 1]) if k else circuit.inputs
            drop.append(below[:, None, :] - state[k][:, :, None])
        if synapse is None:
            moved = 0.5 * (drop[0] - drop[1]) * (drop[0] + drop[1])
        else:
            moved = synapse.law.co_content(drop[0]) - synapse.law.co_content(drop[1])
        gradients.append(moved / span)
    return gradients


def _distance(ours: Sequence[Sequence[Array]], theirs: Sequence[Sequence[Array]]) -> Array:
    """Return the largest distance of any voltage over the largest voltage, (samples,)."""
    a, b = (np.concatenate([np.concatenate(s, axis=1) for s in t], axis=1) for t in (ours, theirs))
    return np.asarray(np.abs(a - b).max(axis=1) / np.abs(b).max(axis=1))
