"""Holomorphic equilibrium propagation: the gradient from nudgings around a circle.

Where the activation is smooth, equilibria are analytic in the nudging, which may be complex. Of N
points β_k = β·e^(2πik/N), with the equilibrium of each, Cauchy's formula gives the derivative of
ρ_i·ρ_j at no nudging, and so the gradient of the mean cost, as the batch mean of

    −1/(N·β) Σ_k ρ_i·ρ_j|_k · e^(−2πik/N)

with an error of the order of β^N, not of β². The equilibrium at the conjugate of a nudging is the
conjugate one, so half of the circle is relaxed, and the points between its ends count twice. With
δ = ρ|_k − ρ|_free and a = Σ_k Re(δ·e^(−2πik/N)) of each node, the sum is

    ρ_i·a_j + a_i·ρ_j + Σ_k Re(δ_i·δ_j·e^(−2πik/N))

with the free ρ: products of two lines, in which no two large numbers are taken from each other.
Two points are the variant centered.

References
----------
Laborieux and Zenke (2022), NeurIPS 35, 12950.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import HopfieldChip
from neurohw.circuits.periphery import SampleAndHold
from neurohw.errors import UnsupportedError
from neurohw.networks.hopfield import HopfieldNetwork

Array = NDArray[np.floating]
Lines = tuple[Array, Array]


def half_circle(points: int) -> tuple[complex, ...]:
    """Return e^(2πik/N) from 1 to −1, for an even number N of points."""
    angles = 2 * np.pi * np.arange(points // 2 + 1) / points
    # Exact at the ends, where nudgings and so equilibria are real.
    return (1.0, *np.exp(1j * angles[1:-1]).tolist(), -1.0)


def require(network: HopfieldNetwork, chip: HopfieldChip) -> None:
    """Raise `UnsupportedError` for what complex states cannot pass, naming it."""
    circuit, reasons = chip.specification, {}
    name = network.activation.name
    reasons[f"network.activation = {name}"] = name == "hard-sigmoid"
    reasons["chip.nudging.kind = clamp"] = circuit.nudging.kind == "clamp"
    reasons["chip.hold"] = circuit.hold != SampleAndHold()
    reasons["chip.converters.nudge_dac"] = chip.nudge_dac is not None
    reasons["chip.converters"] = not chip.readout.ideal
    reasons["chip.device.reading.disturb"] = chip.disturbed
    for what, wrong in reasons.items():
        if wrong:
            raise UnsupportedError(
                f"learning.variant = holomorphic: not with {what}: nudging and states are complex"
                " numbers, and the activation has to be sigmoid or tanh"
            )


def signals(
    free: Sequence[Array], points: Sequence[Sequence[NDArray[np.complexfloating]]]
) -> tuple[list[Array], list[Lines]]:
    """Return a of each layer, and the lines whose products are the sum over the points.

    Parameters
    ----------
    free : (batch, units) of each layer [V]
        What it puts out in the free phase.
    points : (batch, units) of each layer, of each point of `half_circle` [V]
        What it puts out there.

    Returns
    -------
    derivatives : (batch, units) of each layer [V]
    products : pairs of (products·batch, units) arrays, of each layer [V]
        Σ_k Re(δ_i·δ_j·e^(−2πik/N)) is the sum of the first of i times the second of j.
    """
    shares = np.conj(half_circle(2 * (len(points) - 1)))
    shares[1:-1] *= 2
    derivatives, products = [], []
    for k, before in enumerate(free):
        moved = np.stack([point[k] for point in points]) - before
        turned = shares.astype(moved.dtype)[:, None, None] * moved
        derivatives.append(turned.sum(axis=0).real.astype(before.dtype))
        left = np.concatenate((*moved.real, *moved.imag[1:-1]))
        right = np.concatenate((*turned.real, *-turned.imag[1:-1]))
        products.append((left.astype(before.dtype), right.astype(before.dtype)))
    return derivatives, products
