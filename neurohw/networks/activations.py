"""What an integrator puts out at its membrane voltage: activations, in units of the unit voltage.

Each increases, so that it has an inverse; what it costs to hold a membrane at u against its leak
is ∫₀ᵘ v·ρ′(v) dv, its `potential`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError

Array = NDArray[np.floating]

ActivationName = Literal["hard-sigmoid", "sigmoid", "tanh"]


@dataclass(frozen=True, kw_only=True)
class Activation:
    """An activation ρ and where it lets the membrane go; all dimensionless.

    Parameters
    ----------
    name : {"hard-sigmoid", "sigmoid", "tanh"}
    value, derivative, potential : callable
        ρ, ρ′ and ∫₀ᵘ v·ρ′(v) dv of an array, between `low` and `high`.
    inverse : callable
        u of ρ(u); of what ρ comes near to or never reaches, to rounding.
    low, high : float
        Diodes hold the membrane between these; infinite where there are none.
    """

    name: ActivationName
    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    potential: Callable[[Array], Array]
    inverse: Callable[[Array], Array]
    low: float = -np.inf
    high: float = np.inf


def _sigmoid(u: Array) -> Array:
    # By tanh, which overflows nowhere.
    return np.asarray(0.5 + 0.5 * np.tanh(2.0 * u - 1.0))


def _sigmoid_potential(u: Array) -> Array:
    # ∫ρ = ln(1 + e^(4u − 2))/4.
    primitive = 0.25 * (np.logaddexp(0.0, 4.0 * u - 2.0) - np.logaddexp(0.0, -2.0))
    return np.asarray(u * _sigmoid(u) - primitive)


def _arctanh(v: Array) -> Array:
    # As far as the numbers next to 1 have one.
    largest = 1 - np.finfo(v.dtype).eps
    return np.asarray(np.arctanh(np.clip(v, -largest, largest)))


def _tanh_potential(u: Array) -> Array:
    # ∫tanh = ln cosh u.
    return np.asarray(u * np.tanh(u) - np.logaddexp(u, -u) + np.log(2.0))


ACTIVATIONS: dict[str, Activation] = {
    # The membrane is held where the activation is the identity: what is put out is the same as
    # of clip(u, 0, 1), but no membrane wanders off, and the slope is 1 at both ends.
    "hard-sigmoid": Activation(
        name="hard-sigmoid",
        value=lambda u: u,
        derivative=np.ones_like,
        potential=lambda u: np.asarray(0.5 * u**2),
        inverse=lambda v: v,
        low=0.0,
        high=1.0,
    ),
    # 1 / (1 + e^(2 − 4u)): slope 1 in the middle, at ½, as the hard sigmoid.
    "sigmoid": Activation(
        name="sigmoid",
        value=_sigmoid,
        derivative=lambda u: np.asarray(4.0 * _sigmoid(u) * _sigmoid(1.0 - u)),
        potential=_sigmoid_potential,
        inverse=lambda v: np.asarray(0.5 + 0.5 * _arctanh(2.0 * v - 1.0)),
    ),
    "tanh": Activation(
        name="tanh",
        value=np.tanh,
        derivative=lambda u: np.asarray(1.0 - np.tanh(u) ** 2),
        potential=_tanh_potential,
        inverse=_arctanh,
    ),
}


def activation(name: str) -> Activation:
    """Return an activation by name; `InvalidValueError` if there is none."""
    try:
        return ACTIVATIONS[name]
    except KeyError:
        known = ", ".join(ACTIVATIONS)
        raise InvalidValueError(f"activation = {name}: known ones are {known}") from None
