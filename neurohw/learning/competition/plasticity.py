"""What competing units learn from a sample, and the readable form of the compiled parts.

Each unit has a weighted inner product with the input, of a power p,

    I_μ = Σ_i sgn(W_μi)·|W_μi|^{p−1}·v_i

and its weights move by a gate g, the more alike its weights and the input are for g > 0,

    dW_μi ∝ g_μ·(v_i − I_μ·W_μi)

which, as d(Σ_i|W_μi|^p) ∝ p·g_μ·I_μ·(1 − Σ_i|W_μi|^p), pulls the p-norm of a unit that wins to 1,
and pushes that of one with g < 0 away from it. The gate is 1 for the winner and −Δ for units that
come close (anti-Hebbian learning): by rank, or by the states that lateral inhibition leaves.

References
----------
Krotov, Hopfield (2019), PNAS 116, 7723.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def weighted(weights: Array, power: float) -> Array:
    """Return sgn(W)·|W|^{p−1} of weights (units, inputs): what multiplies the inputs."""
    if power == 2:
        return weights
    size = np.abs(weights)
    if power == 3:
        return np.asarray(weights * size)
    return np.asarray(np.sign(weights) * size ** weights.dtype.type(power - 1))


def norms(weights: Array, power: float) -> Array:
    """Return Σ_i |W_μi|^p of each unit, (units,)."""
    return np.asarray((np.abs(weights.astype(np.float64)) ** power).sum(axis=1))


def ranked(currents: Array, rank: int, strength: float) -> Array:
    """Return the gates of the fast form, (batch, units): the kernel's oracle.

    1 for the unit of largest current of each sample, −strength for the one of that rank, the
    largest being of rank 1; of equal currents the first unit is the larger.
    """
    order = np.argsort(-currents, axis=1, kind="stable")
    gates = np.zeros_like(currents)
    np.put_along_axis(gates, order[:, rank - 1 : rank], -strength, axis=1)
    np.put_along_axis(gates, order[:, :1], 1.0, axis=1)
    return gates


def gated(states: Array, threshold: float, strength: float) -> Array:
    """Return the gates of states (batch, units) after inhibition.

    0 below 0, 1 from the threshold on, −strength between.
    """
    gates = np.where(states >= threshold, 1.0, np.where(states >= 0, -strength, 0.0))
    return gates.astype(states.dtype)


def change(weights: Array, inputs: Array, gates: Array, currents: Array) -> Array:
    """Return the change of weights (units, inputs), summed over a mini-batch.

    Parameters
    ----------
    weights : (units, inputs) array
    inputs : (batch, inputs) array
    gates, currents : (batch, units) arrays
        g and I.
    """
    pulled = (gates * currents).sum(axis=0)
    return np.asarray(gates.T @ inputs - pulled[:, None] * weights)
