"""Variants of equilibrium propagation, by name, and what they ask of nudging."""

from typing import Literal

from neurohw.errors import InvalidValueError

Variant = Literal[
    "positive",
    "negative",
    "random_sign",
    "centered",
    "holomorphic",
    "coupled",
    "contrastive_hebbian",
]

# In the second phase of these the outputs are driven: a share of the way to the targets in coupled
# learning (Stern et al. 2021), all of it in contrastive Hebbian learning (Movellan 1991).
CLAMPED = ("coupled", "contrastive_hebbian")

# Points of the variant holomorphic where nothing says how many.
POINTS = 8


def require_nudging(variant: str, kind: str, nudging: float) -> None:
    """Raise `InvalidValueError` if a chip that nudges like this does not do the variant.

    nudging is that of the chip that has the kind; see `neurohw.circuits.periphery`.
    """
    if variant in CLAMPED and kind != "clamp":
        raise InvalidValueError(
            f"learning.variant = {variant}: drives the outputs, but chip.nudging.kind = {kind}"
            " pulls them; take clamp"
        )
    if variant == "contrastive_hebbian" and nudging != 1:
        raise InvalidValueError(
            f"learning.nudging = {nudging:g}: the variant contrastive_hebbian drives the outputs"
            " all of the way to the targets; take 1, or leave it out"
        )
