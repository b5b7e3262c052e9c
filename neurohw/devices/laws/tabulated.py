"""Devices whose steps are looked up at a cell's place x between its limits, 0 to 1."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurohw.devices.fabrication import Fabrication
from neurohw.devices.law import Law
from neurohw.devices.laws.stepped import SteppedDevice
from neurohw.errors import InvalidValueError
from neurohw.units import Fraction, Siemens

Array = NDArray[np.floating]

# Places of a table of distributions, and quantiles at each.
_QUANTILES = 129


class Power(SteppedDevice, frozen=True, kw_only=True, tag="power"):
    """Steps ``(1 - x)^exponent_up`` and ``x^exponent_down``."""

    exponent_up: float = 1.0
    exponent_down: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("exponent_up", "exponent_down"):
            self.require(key, "must be finite, 0 or more", 0 <= getattr(self, key) < float("inf"))

    def mean_step(self, place: Array, direction: Literal["up", "down"]) -> Array:
        """Return a step's size at places 0 to 1 between the limits, in units of `step`."""
        if direction == "up":
            return np.asarray((1 - place) ** self.exponent_up)
        return np.asarray(place**self.exponent_down)


class ExponentialStep(SteppedDevice, frozen=True, kw_only=True, tag="exponential-step"):
    """Steps that change exponentially with the conductance.

    ``1 - amplitude_up·exp(exponent_up·z)`` and ``1 - amplitude_down·exp(-exponent_down·z)`` with
    z = ``2·stretch·(x - centre) + shift``; steps below 0 are none.

    Parameters
    ----------
    amplitude_up, amplitude_down, exponent_up, exponent_down, stretch, shift : float
    noise_offset, noise_slope : float
        A step's noise is `step_noise` times the sum of the step itself, `noise_offset`, a share
        of the range, and `noise_slope` times the distance from the centre.

    References
    ----------
    Gong et al. (2018), Nature Communications 9, 2102, in the form of Rasch et al. (2021).
    """

    amplitude_up: float
    amplitude_down: float
    exponent_up: float
    exponent_down: float
    stretch: float = 0.5
    shift: float = 0.0
    noise_offset: Fraction = 0.0
    noise_slope: Fraction = 0.0

    def mean_step(self, place: Array, direction: Literal["up", "down"]) -> Array:
        """Return a step's size at places 0 to 1 between the limits, in units of `step`."""
        z = 2 * self.stretch * (place - self.centre) + self.shift
        amplitude, exponent = self.amplitude_up, self.exponent_up
        if direction == "down":
            amplitude, exponent = self.amplitude_down, -self.exponent_down
        return np.asarray(np.maximum(1 - amplitude * np.exp(exponent * z), 0.0))

    def step_deviation(self, place: Array, direction: Literal["up", "down"]) -> Array:
        """Return the standard deviation of a step at places, in units of `step`."""
        added = self.noise_offset + self.noise_slope * np.abs(place - self.centre)
        if not np.any(added):
            return np.zeros_like(place)
        return np.asarray(self.step_noise * (self.mean_step(place, direction) + added / self.step))

    def noise(self, fabrication: Fabrication) -> dict[str, Any]:
        """Return what a law says of pulses besides where they lead."""
        in_table = self.noise_offset > 0 or self.noise_slope > 0
        return super().noise(fabrication) | ({"relative_sigma": 0.0} if in_table else {})


class OneSided(ExponentialStep, frozen=True, kw_only=True, tag="one-sided"):
    """Pulses move it in one direction, as a phase-change cell that crystallises; a reset, back.

    A weight needs a pair of them that is refreshed: where one of the two is beyond
    `refresh_above`, both are reset and the difference is programmed again.

    Parameters
    ----------
    reset, reset_spread : float
        Where between the limits a reset leaves a cell, 0 to 1, and the deviation of that.
    refresh_above, refresh_below : float
        A pair is refreshed where one of its cells is above, and the other not below, these
        shares of the range.

    References
    ----------
    Nandakumar et al. (2020), Frontiers in Neuroscience 14, 406.
    """

    reset: Fraction = 0.0
    reset_spread: Fraction = 0.0
    refresh_above: Fraction = 0.75
    refresh_below: Fraction = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("reset", "reset_spread", "refresh_above", "refresh_below"):
            self.require_share(key)

    def controller(self, fabrication: Fabrication) -> dict[str, Any]:
        """Return what the controller knows of a step: there is none downwards."""
        return super().controller(fabrication) | {
            "limit_down": 0.0,
            "reset": self.reset,
            "reset_sigma": self.reset_spread,
        }


class Piecewise(SteppedDevice, frozen=True, kw_only=True, tag="piecewise"):
    """Steps given at places evenly between the limits, joined by straight lines.

    Parameters
    ----------
    steps_up, steps_down : tuple of float
        In units of `step`, from the lower limit to the upper one.
    """

    steps_up: tuple[float, ...]
    steps_down: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("steps_up", "steps_down"):
            steps = getattr(self, key)
            fine = len(steps) >= 2 and all(0 <= step < float("inf") for step in steps)
            self.require(key, "must list at least two steps, finite, 0 or more", fine)

    def mean_step(self, place: Array, direction: Literal["up", "down"]) -> Array:
        """Return a step's size at places 0 to 1 between the limits, in units of `step`."""
        steps = self.steps_up if direction == "up" else self.steps_down
        return np.interp(place, np.linspace(0, 1, len(steps)), steps)


class LookupTable(SteppedDevice, frozen=True, kw_only=True, tag="table"):
    """Changes drawn from measured distributions, which depend on the conductance.

    Parameters
    ----------
    conductance : tuple of float [S]
        Where distributions are given, rising.
    changes_up, changes_down : tuples, one an entry of `conductance`, of tuples of float [S]
        Quantiles of the change by a pulse, evenly from the smallest to the largest; negative ones
        for a fall.

    References
    ----------
    Agarwal et al. (2016), IJCNN, and the lookup tables of CrossSim 2.0.
    """

    step: Fraction = 0.01
    conductance: tuple[Siemens, ...]
    changes_up: tuple[tuple[Siemens, ...], ...]
    changes_down: tuple[tuple[Siemens, ...], ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        rising = len(self.conductance) >= 2 and all(np.diff(self.conductance) > 0)
        self.require("conductance", "must rise, and have two entries or more", rising)
        for key in ("changes_up", "changes_down"):
            rows = getattr(self, key)
            if len(rows) != len(self.conductance):
                raise InvalidValueError(
                    f"{key}: has {len(rows)} distributions for {len(self.conductance)} conductances"
                )
            for k, row in enumerate(rows):
                if len(row) < 2 or not np.isfinite(row).all() or any(np.diff(row) < 0):
                    raise InvalidValueError(
                        f"{key}[{k}] = {list(row)}: quantiles must be finite and not fall, two or"
                        " more"
                    )

    def fabricated(self, fabrication: Fabrication) -> Law:
        """Return the law of each cell of an array."""
        self.spread_limits(fabrication)
        places = np.linspace(0.0, 1.0, _QUANTILES)
        at = (np.array(self.conductance) - self.g_min) / self.span
        step = self.step * self.span
        up = _resampled(self.changes_up, places, at) / step
        down = -_resampled(self.changes_down, places, at)[:, ::-1] / step
        means = [np.trapezoid(q, dx=1 / (_QUANTILES - 1), axis=1)[:, None] for q in (up, down)]
        return self.looked_up(fabrication, "sampled", np.hstack((*means, up, down)))


def _resampled(rows: tuple[tuple[float, ...], ...], places: Array, at: Array) -> Array:
    """Return distributions at even places, each by as many quantiles as there are places."""
    quantiles = np.array([np.interp(places, np.linspace(0, 1, len(row)), row) for row in rows])
    return np.stack([np.interp(places, at, column) for column in quantiles.T], axis=1)
