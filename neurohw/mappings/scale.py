"""Physical scale: what the dimensionless quantities of a network are on a chip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from neurohw.errors import InvalidValueError
from neurohw.mappings.chip_specification import DEFAULT_UNIT_CONDUCTANCE, ChipSpecification


@dataclass(frozen=True, kw_only=True)
class PhysicalScale:
    """Units of one network on one chip.

    Parameters
    ----------
    unit_conductance : float [S]
        Stands for a dimensionless conductance of 1.
    unit_voltage : float [V]
        Stands for a dimensionless voltage of 1, which is also the target of the right class.
    cell_scale : (layers,) floats
        Width of each layer's cells relative to the device as measured; 1 for the first layer.
    g_min, g_max : float [S]
        Limits of the device as measured.
    bias : {"current", "off", "rails"}
        Kind of the biases, which decides what their learning rate is counted in.
    """

    unit_conductance: float
    unit_voltage: float
    cell_scale: tuple[float, ...]
    g_min: float
    g_max: float
    bias: Literal["current", "off", "rails"]

    @property
    def unit_current(self) -> float:
        """Current [A] that stands for 1."""
        return self.unit_conductance * self.unit_voltage

    def window(self, layer: int) -> tuple[float, float]:
        """Smallest and largest conductance [S] of a layer's cells."""
        return self.g_min * self.cell_scale[layer], self.g_max * self.cell_scale[layer]

    def logical_window(self, layer: int) -> tuple[float, float]:
        """Smallest and largest dimensionless conductance of a layer's cells."""
        low, high = self.window(layer)
        return low / self.unit_conductance, high / self.unit_conductance

    def current(self, value: float) -> float:
        """Convert to amperes a dimensionless bias or nudging current."""
        return value * self.unit_current

    def nudging(self, nudging: float) -> float:
        """Conductance [S] that pulls an output node to its target in the nudged phase."""
        return nudging * self.unit_conductance

    def learning_rate(self, rate: float) -> float:
        """Learning rate of conductances [S/V²]: change a squared voltage drop."""
        return rate * self.unit_conductance / self.unit_voltage**2

    def bias_learning_rate(self, rate: float) -> float:
        """Learning rate of biases in `bias_rate_unit`.

        Of bias currents it is their change a voltage difference [A/V = S]; cells to rails learn
        like all others [S/V²].
        """
        return self.learning_rate(rate) if self.bias == "rails" else rate * self.unit_conductance

    @property
    def bias_rate_unit(self) -> str:
        """Unit of `bias_learning_rate`."""
        return "S/V²" if self.bias == "rails" else "S"

    def rows(self) -> list[tuple[str, float, str]]:
        """Rows (quantity, value, unit) of a table for people."""
        rows = [
            ("conductance of 1", self.unit_conductance, "S"),
            ("voltage of 1 (target)", self.unit_voltage, "V"),
            ("current of 1", self.unit_current, "A"),
            ("nudging of 1", self.nudging(1.0), "S"),
            ("learning rate of 1", self.learning_rate(1.0), "S/V²"),
        ]
        if self.bias != "off":
            unit = self.bias_rate_unit
            rows.append(("bias learning rate of 1", self.bias_learning_rate(1.0), unit))
        for layer, width in enumerate(self.cell_scale):
            low, high = self.window(layer)
            rows += [
                (f"g_min of layer {layer + 1}", low, "S"),
                (f"g_max of layer {layer + 1}", high, "S"),
                (f"cell width of layer {layer + 1}", width, ""),
            ]
        return rows


def physical_scale(
    chip: ChipSpecification, fan_in: Sequence[int], input_gain: float
) -> PhysicalScale:
    """Place a network on a chip.

    The dimensionless `g_max` of layer k is ``conductance_scale / sqrt(fan_in)``. The first layer
    is built of the device as measured, which fixes the unit of conductance. The layers share
    that unit, because they meet at the same nodes; so a layer that needs another window needs
    cells of another width, or several in parallel.

    Parameters
    ----------
    chip : ChipSpecification
    fan_in : (layers,) ints
        Word lines of each layer, the doubled input first.
    input_gain : float
        Dimensionless voltage of a pixel of 1.

    Raises
    ------
    InvalidValueError
        If the chip lists conductance scales for another number of layers.
    """
    device = chip.device
    if not fan_in or min(fan_in) < 1 or not 0 < input_gain < float("inf"):
        raise InvalidValueError(
            f"fan_in = {list(fan_in)}, input_gain = {input_gain}: must be positive"
        )
    scales = np.array(chip.conductance_scales(len(fan_in)))
    logical_max = scales / np.sqrt(np.asarray(fan_in, dtype=float))
    if np.isfinite(device.g_max):
        unit_conductance = float(device.g_max / logical_max[0])
        cell_scale = tuple(float(width) for width in logical_max / logical_max[0])
    else:
        unit_conductance = chip.mapping.unit_conductance or DEFAULT_UNIT_CONDUCTANCE
        cell_scale = (1.0,) * len(fan_in)
    return PhysicalScale(
        unit_conductance=unit_conductance,
        unit_voltage=chip.input.full_scale / input_gain,
        cell_scale=cell_scale,
        g_min=device.g_min,
        g_max=device.g_max,
        bias=chip.bias.kind,
    )
