"""Variants of equilibrium propagation, by name, and what they ask of chip and experiment."""

from collections.abc import Mapping
from typing import Literal

from msgspec.structs import replace

from neurohw.circuits.periphery import SampleAndHold
from neurohw.errors import InvalidValueError
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.mappings.programming import Programming

Variant = Literal[
    "positive",
    "negative",
    "random_sign",
    "centered",
    "holomorphic",
    "langevin",
    "continual",
    "agnostic",
    "coupled",
    "contrastive_hebbian",
]

# In the second phase of these the outputs are driven: a share of the way to the targets in coupled
# learning (Stern et al. 2021), all of it in contrastive Hebbian learning (Movellan 1991).
CLAMPED = ("coupled", "contrastive_hebbian")

# Cells move while the nudged phase runs.
MOVING = ("continual", "agnostic")

# Nudged with +β only.
POSITIVE = ("positive", "continual", "langevin")

# Variants of a softmax readout; those of convolutions are these and those that clamp.
OF_READOUT = ("positive", "negative", "random_sign", "centered")

# Variants whose update is not that of two sampled states.
_RUNNING = ("langevin", *MOVING)

_NOT_RESISTIVE = {
    "holomorphic": "ideal diodes have kinks",
    "langevin": "no other membranes have noise",
}

# Points of the variant holomorphic where nothing says how many.
POINTS = 8


def circuit(variant: str, chip: ChipSpecification) -> ChipSpecification:
    """Return the chip with the kind of nudging that the variant needs, where it states none."""
    kind = "clamp" if variant in CLAMPED and chip.nudging.kind is None else chip.nudging.built
    return replace(chip, nudging=replace(chip.nudging, kind=kind))


def require_circuit(variant: str, chip: ChipSpecification, nudging: float) -> None:
    """Raise `InvalidValueError`, naming it, if a chip has what the variant cannot do with.

    chip as `circuit` returns it; nudging, β.
    """
    kind = chip.nudging.built
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
    if variant in ("langevin", "agnostic"):
        _refuse(
            variant,
            {f"chip.nudging.kind = {kind}": kind != "conductance"},
            "its nudged phase goes down the energy and β·cost; take conductance",
        )
    if variant in _RUNNING:
        reads = chip.converters.reads or chip.converters.sampling_offset_spread > 0
        _refuse(
            variant,
            {"chip.converters": reads, "chip.hold": chip.hold != SampleAndHold()},
            "cells follow what their lines carry while the circuit runs, no sampled states",
        )
    if variant == "agnostic":
        _refuse(
            variant,
            {
                f"chip.device.law = {chip.device.law}": chip.device.law != "ideal",
                "chip.programming": chip.programming != Programming(),
                "chip.mapping.refresh": chip.mapping.refresh > 0,
                "chip.converters": chip.converters.present,
            },
            "the circuit alone moves its cells, without pulses; take the variant continual",
        )


def require_experiment(
    variant: str, *, rule: str, network: str, engine: str, tolerance: float
) -> None:
    """Raise `InvalidValueError`, naming it, if the variant does not go with another key.

    The arguments are the values of `learning.rule`, `network.kind`, `training.engine` and
    `relaxation.tolerance`.
    """
    if variant in _NOT_RESISTIVE and network != "hopfield":
        raise InvalidValueError(
            f"learning.variant = {variant}: only with network.kind = hopfield:"
            f" {_NOT_RESISTIVE[variant]}"
        )
    _refuse(
        variant,
        {"learning.rule = stdp": rule == "stdp" and variant in ("holomorphic", *_RUNNING)},
        "which integrates along the nudged phase itself; take rule = equilibrium-propagation",
    )
    require_fixed_lengths(variant, tolerance)
    if variant in MOVING:
        _refuse(
            variant,
            {
                f"relaxation.tolerance = {tolerance:g}": tolerance > 0,
                f"training.engine = {engine}": engine not in ("numba", "numpy"),
            },
            "cells are programmed after each of a fixed number of sweeps",
        )


def require_fixed_lengths(variant: str, tolerance: float) -> None:
    """Raise `InvalidValueError` if a variant averages over sweeps whose number is not fixed."""
    _refuse(
        variant,
        {f"relaxation.tolerance = {tolerance:g}": variant == "langevin" and tolerance > 0},
        "it averages over the last of a fixed number of sweeps",
    )


def require_network(variant: str, *, softmax: bool, convolutional: bool) -> None:
    """Raise `InvalidValueError`, naming it, if a Hopfield network has no such variant."""
    _refuse(
        variant,
        {
            "network.output = softmax": softmax and variant not in OF_READOUT,
            "network.convolutions": convolutional and variant not in (*OF_READOUT, *CLAMPED),
        },
        f"take {', '.join(OF_READOUT)}",
    )


def require_fixed_cells(variant: str) -> None:
    """Raise `InvalidValueError` if the update of a variant depends on the learning rate."""
    if variant in MOVING:
        alike = "positive" if variant == "continual" else "centered"
        raise InvalidValueError(
            f"learning.variant = {variant}: cells move while its update is made, so that it"
            f" depends on the learning rate; at small rates it is that of {alike}, to be checked"
        )


def _refuse(variant: str, wrong: Mapping[str, bool], why: str) -> None:
    for what, holds in wrong.items():
        if holds:
            raise InvalidValueError(f"learning.variant = {variant}: not with {what}: {why}")
