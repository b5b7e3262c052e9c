"""Hebb's rule, the two that keep it from growing, and the associator, in dense algebra.

With inputs x (batch, inputs), y = x·Wᵀ and C the mean of x·xᵀ, the mean change of W a sample is

    Hebb        ΔW = η·⟨y·xᵀ⟩ = η·W·C: grows as exp(η·λ_max·n) over n steps, along the largest
                component of the inputs
    Oja         ΔW = η·⟨y·xᵀ − y²·W⟩: each unit ends at that component, with |W| = 1
    Sanger      ΔW = η·⟨y·xᵀ − LT(y·yᵀ)·W⟩, with LT the lower triangle: unit k ends at the k-th
    associator  ΔW = η·⟨t·xᵀ⟩: targets t in place of y

None needs errors that travel back. Inputs are not centred here: where their mean is not 0, as of
most images, the first component is near the mean.

References
----------
Hebb (1949), The Organization of Behavior; Oja (1982), J. Math. Biol. 15, 267; Sanger (1989),
Neural Networks 2, 459.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def hebb(weights: Array, inputs: Array, states: Array | None = None) -> Array:
    """Return ⟨y·xᵀ⟩ (units, inputs) of inputs (batch, inputs).

    states (batch, units) stand for y where they are not linear, or for the targets of an
    associator.
    """
    y = inputs @ weights.T if states is None else states
    return np.asarray(y.T @ inputs / len(inputs))


def oja(weights: Array, inputs: Array, states: Array | None = None) -> Array:
    """Return ⟨y·xᵀ − y²·W⟩ (units, inputs); arguments as for `hebb`."""
    y = inputs @ weights.T if states is None else states
    return np.asarray(hebb(weights, inputs, y) - (y * y).mean(axis=0)[:, None] * weights)


def sanger(weights: Array, inputs: Array, states: Array | None = None) -> Array:
    """Return ⟨y·xᵀ − LT(y·yᵀ)·W⟩ (units, inputs); arguments as for `hebb`."""
    y = inputs @ weights.T if states is None else states
    return np.asarray(hebb(weights, inputs, y) - np.tril(y.T @ y / len(inputs)) @ weights)
