"""Devices whose steps are of a given size at the centre of their range, and fall towards limits.

Where x is mentioned it is a cell's place between its limits, 0 to 1.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurohw.devices.device import PulsedDevice
from neurohw.devices.fabrication import Fabrication
from neurohw.devices.law import LEAST_CURVATURE, Law
from neurohw.units import Fraction

Array = NDArray[np.floating]

# Of tables; a step that bends as e^5x is then within 3e-5 of its table.
_PLACES = 513


class SteppedDevice(PulsedDevice, frozen=True, kw_only=True):
    """What laws have in common that say how large a step is at each conductance.

    Parameters
    ----------
    step : float
        Upward step at `centre` as a share of ``g_max - g_min``.
    centre : float
        Share of the range where steps have their nominal size; where a weight is zero.
    up_down : float
        What upward steps exceed downward ones by: downward ones are ``1 - up_down`` as large, or
        of a negative one upward ones ``1 + up_down``.
    low_spread, high_spread : float
        Device-to-device deviation of the distances of both limits from the centre, relative.
    """

    step: Fraction
    centre: Fraction = 0.5
    up_down: float = 0.0
    low_spread: Fraction = 0.0
    high_spread: Fraction = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("step", "must lie between 0 and 1", 0 < self.step < 1)
        self.require("centre", "must lie between 0 and 1", 0 <= self.centre <= 1)
        self.require("up_down", "must lie between -1 and 1", abs(self.up_down) < 1)
        for key in ("low_spread", "high_spread"):
            self.require_share(key)

    def mean_step(self, place: Array, direction: Literal["up", "down"]) -> Array:
        """Return a step's size at places 0 to 1 between the limits, in units of `step`."""
        raise NotImplementedError

    def step_deviation(self, place: Array, direction: Literal["up", "down"]) -> Array:
        """Return the standard deviation of a step at places, in units of `step`."""
        return np.zeros_like(place)

    def fabricated(self, fabrication: Fabrication) -> Law:
        """Return the law of each cell of an array: its steps looked up in a table."""
        self.spread_limits(fabrication)
        places = np.linspace(0.0, 1.0, _PLACES)
        columns = [
            f(places, direction)
            for f in (self.mean_step, self.step_deviation)
            for direction in ("up", "down")
        ]
        return self.looked_up(fabrication, "tabulated", np.stack(columns, axis=1))

    def looked_up(
        self, fabrication: Fabrication, family: Literal["tabulated", "sampled"], table: Array
    ) -> Law:
        """Return the law of cells whose steps are in a table, in units of `step`."""
        none, step = np.zeros((1, 1)), self.step * fabrication.span
        up, down = self.sizes(fabrication, self.up_down)
        return Law(
            family=family,
            up=(step * up, none),
            down=(step * down, none),
            table=table,
            **self.controller(fabrication),
        )

    def controller(self, fabrication: Fabrication) -> dict[str, Any]:
        """Return what the controller knows of a step, and what pulses are."""
        step = self.step * fabrication.span
        up, down = 1 + min(self.up_down, 0.0), 1 - max(self.up_down, 0.0)
        return {
            "step_up": step * abs(up),
            "step_down": step * abs(down),
            "limit_up": np.ceil(2 / self.step),
            "limit_down": np.ceil(2 / self.step),
            **self.noise(fabrication),
        }

    def spread_limits(self, fabrication: Fabrication) -> None:
        """Draw each cell's limits around the centre."""
        centre = fabrication.g_min + self.centre * fabrication.span
        if self.low_spread > 0:
            away = 1 + self.low_spread * fabrication.normal("low")
            low = centre - (centre - fabrication.low) * np.abs(away)
            fabrication.low = np.maximum(low, 0.0)
        if self.high_spread > 0:
            away = 1 + self.high_spread * fabrication.normal("high")
            fabrication.high = centre + (fabrication.high - centre) * np.abs(away)


class Linear(SteppedDevice, frozen=True, kw_only=True, tag="linear"):
    """Steps that fall linearly from the centre towards the limit.

    Up ``1 - slope_up·d``, down ``1 - slope_down·d``, d the distance from the centre over that of
    the limit ahead, negative on the other side.

    Parameters
    ----------
    slope_up, slope_down : float
        0 to 1; 0 are even steps, 1 soft bounds.
    slope_spread : float
        Device-to-device deviation of both.
    additive_noise : bool
        Whether `step_noise` is relative to the step at the centre, not to the step at hand.
    """

    slope_up: Fraction = 0.0
    slope_down: Fraction = 0.0
    slope_spread: Fraction = 0.0
    additive_noise: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("slope_up", "slope_down", "slope_spread"):
            self.require_share(key)
        inside = 0 < self.centre < 1
        self.require("centre", "must lie inside the range, not at a limit", inside)

    def mean_step(self, place: Array, direction: Literal["up", "down"]) -> Array:
        """Return a step's size at places 0 to 1 between the limits, in units of `step`."""
        if direction == "up":
            return 1 - self.slope_up * (place - self.centre) / (1 - self.centre)
        return 1 - self.slope_down * (self.centre - place) / self.centre

    def fabricated(self, fabrication: Fabrication) -> Law:
        """Return the law of each cell of an array."""
        self.spread_limits(fabrication)
        centre = np.full((1, 1), fabrication.g_min + self.centre * fabrication.span)
        step = self.step * fabrication.span
        limits = fabrication.high, fabrication.low
        steps = [step * size for size in self.sizes(fabrication, self.up_down)]
        slopes = [np.full((1, 1), v) for v in (self.slope_up, self.slope_down)]
        if self.slope_spread > 0:
            for k, purpose in enumerate(("slope_up", "slope_down")):
                slopes[k] = np.abs(slopes[k] + self.slope_spread * fabrication.normal(purpose))
        common = self.controller(fabrication)
        if self.additive_noise:
            common |= {"sigma": np.hypot(common["sigma"], self.step_noise * step)}
            common |= {"relative_sigma": 0.0}
        none = np.zeros((1, 1))
        if max(slope.max() for slope in slopes) == 0:
            return Law(family="straight", up=(steps[0], none), down=(steps[1], none), **common)
        ends: list[Any] = []
        least = LEAST_CURVATURE * fabrication.span
        for size, slope, limit, way in zip(steps, slopes, limits, (1, -1), strict=True):
            share = slope * size / np.maximum(way * (limit - centre), least)
            share = np.maximum(share, LEAST_CURVATURE * self.step)
            # A step beyond the target would come back: no cell goes further than to it.
            rate = -np.log1p(-np.minimum(share, 0.999999))
            ends.append((centre + way * size / share, rate))
        return Law(family="affine", up=ends[0], down=ends[1], **common)


class SoftBounds(Linear, frozen=True, kw_only=True, tag="soft-bounds"):
    """Steps in proportion to the distance from the limit ahead."""

    slope_up: Fraction = 1.0
    slope_down: Fraction = 1.0


class ConstantStep(SteppedDevice, frozen=True, kw_only=True, tag="constant-step"):
    """Steps of the same size at every conductance."""

    def fabricated(self, fabrication: Fabrication) -> Law:
        """Return the law of each cell of an array."""
        self.spread_limits(fabrication)
        none, step = np.zeros((1, 1)), self.step * fabrication.span
        up, down = self.sizes(fabrication, self.up_down)
        common = self.controller(fabrication)
        return Law(family="straight", up=(step * up, none), down=(step * down, none), **common)
