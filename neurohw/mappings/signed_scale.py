"""Physical scale of a network of signed weights between lines at virtual ground."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurohw.devices.laws.tabulated import OneSided
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.mappings.chip_specification import DEFAULT_UNIT_CONDUCTANCE, ChipSpecification
from neurohw.mappings.schemes import BitSliced, DifferentialPair, Direct, Offset, Scheme


@dataclass(frozen=True, kw_only=True)
class SignedScale:
    """Units of one network on one chip; a state, or an input, of 1 is `unit_voltage`.

    Layers meet only through amplifiers, so each has its own unit of conductance.

    Parameters
    ----------
    unit_voltage : float [V]
    unit_conductances : (layers,) floats [S]
        Effective conductance that stands for a weight of 1.
    weight_ranges : (layers,) floats
        Largest magnitude of a weight that cells can be written to; infinite if they have no limit.
    bias : {"current", "off", "rails"}
        Kind of the biases.
    """

    unit_voltage: float
    unit_conductances: tuple[float, ...]
    weight_ranges: tuple[float, ...]
    bias: str

    def current(self, layer: int) -> float:
        """Return the current [A] into a unit of a layer that stands for 1."""
        return self.unit_conductances[layer] * self.unit_voltage

    @property
    def leak(self) -> float:
        """Leak [S] of integrators that the arrays feed."""
        return self.unit_conductances[0]

    def nudging(self, nudging: float) -> float:
        """Conductance [S] that pulls the output of an integrator to its target."""
        return nudging * self.leak

    def learning_rate(self, rate: float, layer: int) -> float:
        """Learning rate of weights [S/V²]: change a product of two lines."""
        return rate * self.unit_conductances[layer] / self.unit_voltage**2

    def bias_learning_rate(self, rate: float, layer: int) -> float:
        """Learning rate of biases [A/V = S], of cells to a rail as well."""
        return rate * self.unit_conductances[layer]

    def rows(self) -> list[tuple[str, float, str]]:
        """Rows (quantity, value, unit) of a table for people."""
        rows = [("voltage of 1", self.unit_voltage, "V")]
        for layer, (unit, largest) in enumerate(
            zip(self.unit_conductances, self.weight_ranges, strict=True)
        ):
            rows += [
                (f"weight of 1 of layer {layer + 1}", unit, "S"),
                (f"largest weight of layer {layer + 1}", largest, ""),
                (
                    f"learning rate of 1 of layer {layer + 1}",
                    self.learning_rate(1.0, layer),
                    "S/V²",
                ),
            ]
        return rows


def scheme_of(chip: ChipSpecification) -> Scheme:
    """Return the scheme by which a chip holds signed weights.

    Raises
    ------
    InvalidValueError
        Single-ended cells, or pairs moved on one side of a device that has no pulses.
    UnsupportedError
        A device without limits, whose cells would hold negative conductances, behind wires.
    """
    mapping, device = chip.mapping, chip.device
    if mapping.scheme == "single-ended":
        raise InvalidValueError(
            "mapping.scheme = single-ended: holds no signed weights; take differential-pair,"
            " offset or bit-sliced"
        )
    if not np.isfinite(device.g_max):
        if chip.wires is not None:
            raise UnsupportedError("wires: signed weights behind them need a finite device.g_max")
        return Direct()
    beside = 0.0
    if chip.programming.accumulate == "carry":
        # The narrower cells that are read with the wide ones rest in their middle.
        narrow = chip.programming.fast_device or device
        beside = 0.5 * (narrow.g_min + narrow.g_max) / chip.programming.carry_base
    cell: dict[str, Any] = {
        "low": device.g_min + beside,
        "high": device.g_max + beside,
        "n_levels": mapping.n_levels,
        "rounding": mapping.rounding,
    }
    if isinstance(device, OneSided) and (
        mapping.scheme not in (None, "differential-pair") or mapping.sides != "one"
    ):
        raise InvalidValueError(
            "mapping: cells that pulses only raise (device.law = one-sided) need scheme ="
            " differential-pair with sides = one"
        )
    if mapping.scheme == "offset":
        return Offset(**cell)
    if mapping.scheme == "bit-sliced":
        return BitSliced(**cell, slices=mapping.slices, bits=mapping.slice_bits)
    if mapping.sides == "one" and device.law == "ideal":
        raise InvalidValueError("mapping.sides = one: the ideal device moves both ways; take both")
    if isinstance(device, OneSided):
        cell |= {"refresh_above": device.refresh_above, "refresh_below": device.refresh_below}
    return DifferentialPair(**cell, sides=mapping.sides)


def memory(chip: ChipSpecification) -> tuple[int, int]:
    """Return bits of digital memory beside each signed weight, and cells that it is made of.

    Each cell that updates move has its own memory, and its own fast or narrower cell.
    """
    bits, cells = chip.programming.memory
    shares = scheme_of(chip).shares
    moved = sum(share != 0 for share in shares)
    return bits * moved, len(shares) + (cells - 1) * moved


def signed_scale(chip: ChipSpecification, layers: int) -> SignedScale:
    """Place a network of so many arrays on a chip.

    Raises
    ------
    InvalidValueError, UnsupportedError
        As `scheme_of`; or weight ranges for another number of layers.
    """
    largest = scheme_of(chip).largest
    ranges = chip.weight_ranges(layers)
    if np.isfinite(largest):
        units = tuple(largest / each for each in ranges)
    else:
        units = (chip.mapping.unit_conductance or DEFAULT_UNIT_CONDUCTANCE,) * layers
        ranges = (float("inf"),) * layers
    return SignedScale(
        unit_voltage=chip.input.full_scale,
        unit_conductances=units,
        weight_ranges=ranges,
        bias=chip.bias.kind,
    )
