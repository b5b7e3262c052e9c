"""One memory cell: its conductance range and how programming pulses move it."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurohw import library
from neurohw.devices.reading.specification import Reading
from neurohw.errors import InvalidValueError
from neurohw.presets import Presets
from neurohw.units import Fraction, Number, Seconds, Siemens, Volts, show

LABEL_LIMIT = 9.0
LABEL_LINEAR = 0.01

# Label of the curve whose gap to the straight line is the whole range (NeuroSim's scaling).
_LABEL_OF_FULL_GAP = 10.10152545


class MemoryDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Conductance range, pulse law and spread of one memory element, SI units.

    Parameters
    ----------
    law : {"ideal", "exponential"}
        ``ideal`` takes any change exactly, within the limits; pulses, nonlinearity, noise and
        spread do not apply to it. ``exponential``: G rises along
        ``(1 - exp(-p/A)) / (1 - exp(-1/A))``, p the share of `pulses_up`, A set by the label, and
        falls along the same form with the label of the other direction.
    g_min, g_max : float [S]
        Limits; only an ideal device may have an infinite `g_max`.
    pulses_up, pulses_down : int
        Pulses from one limit to the other.
    nonlinearity_up, nonlinearity_down : float
        NeuroSim labels, -9 to 9; 0 is linear. `nonlinearity_down` below 0 falls steeply from the
        top, above 0 it retraces a rise.
    whole_pulses : bool
        Pulse counts are rounded stochastically to whole numbers; otherwise the same law takes
        fractions of a pulse.
    cycle_to_cycle : float
        Standard deviation of one pulse's noise as a fraction of ``g_max - g_min``; n pulses
        have the square root of n times as much.
    nonlinearity_spread : float
        Device-to-device standard deviation of both labels.
    range_spread : float
        Device-to-device standard deviation of `g_min` and `g_max`, relative to each.
    pulse_voltage_up, pulse_voltage_down : float [V]
        As applied, with sign.
    pulse_width_up, pulse_width_down : float [s]
    write_threshold : float [V]
        Magnitude above which reading disturbs the cell.
    endurance : float
        Pulses that the cell survives; after them it stays where it stands.
    reading : Reading
        Read noise, drift, disturb.

    References
    ----------
    NeuroSim MLP manual V3.0: Chen, Peng, Yu, IEEE TCAD 37, 3067 (2018).
    """

    name: str = "custom"
    description: str = ""
    source: str = ""
    law: Literal["ideal", "exponential"]
    g_min: Siemens
    g_max: Siemens
    pulses_up: int = 0
    pulses_down: int = 0
    nonlinearity_up: float = 0.0
    nonlinearity_down: float = 0.0
    whole_pulses: bool = True
    cycle_to_cycle: Fraction = 0.0
    nonlinearity_spread: float = 0.0
    range_spread: Fraction = 0.0
    pulse_voltage_up: Volts = 0.0
    pulse_voltage_down: Volts = 0.0
    pulse_width_up: Seconds = 0.0
    pulse_width_down: Seconds = 0.0
    write_threshold: Volts = float("inf")
    endurance: Number = float("inf")
    reading: Reading = Reading()

    def __post_init__(self) -> None:
        if not 0 <= self.g_min < float("inf"):
            raise InvalidValueError(f"g_min = {show(self.g_min, 'S')}: must be finite, 0 or more")
        if not self.g_min < self.g_max:
            limit = show(self.g_max, "S")
            raise InvalidValueError(
                f"g_min = {show(self.g_min, 'S')}: must be below g_max = {limit}"
            )
        if self.law == "exponential":
            if np.isinf(self.g_max):
                raise InvalidValueError("g_max = inf: must be finite unless the law is ideal")
            for key in ("pulses_up", "pulses_down"):
                self._require(key, "must be 1 or more", getattr(self, key) >= 1)
        for key in ("nonlinearity_up", "nonlinearity_down"):
            inside = abs(getattr(self, key)) <= LABEL_LIMIT
            self._require(key, f"a label lies between -{LABEL_LIMIT:g} and {LABEL_LIMIT:g}", inside)
        for key in ("cycle_to_cycle", "range_spread"):
            hint = 'must lie between 0 and 1; a percentage is written "3.5 %"'
            self._require(key, hint, 0 <= getattr(self, key) <= 1)
        for key in ("nonlinearity_spread", "pulse_width_up", "pulse_width_down"):
            self._require(key, "must be finite, 0 or more", 0 <= getattr(self, key) < float("inf"))
        for key in ("pulse_voltage_up", "pulse_voltage_down"):
            self._require(key, "must be finite", bool(np.isfinite(getattr(self, key))))
        for key in ("write_threshold", "endurance"):
            self._require(key, "must be above 0", getattr(self, key) > 0)
        self.reading.require_range(self.g_max)

    def _require(self, key: str, message: str, holds: bool) -> None:
        if not holds:
            raise InvalidValueError(f"{key} = {getattr(self, key)}: {message}")


def curvature(label: ArrayLike) -> NDArray[np.float64]:
    """Give the curvature 1/A of the update curve that has a NeuroSim nonlinearity label.

    The label is 10.10152545 times the greatest gap between the normalised curve and the straight
    line: ``label = 10.10152545 (b - a - a ln(b/a))`` with ``a = A``, ``b = 1/(1 - exp(-1/a))``,
    inverted here by interpolation to a relative 1e-7.

    Parameters
    ----------
    label : array-like, any shape
        Signed labels; magnitudes above 9 count as 9, below 0.01 as 0 (linear).

    Returns
    -------
    array, the shape of `label`
        Signed 1/A, A being measured in full ranges of pulses; 0 for the linear curve.
    """
    label = np.asarray(label, dtype=np.float64)
    labels, curvatures = _label_curve()
    size = np.minimum(np.abs(label), LABEL_LIMIT)
    inverse = np.interp(size, labels, curvatures)
    return np.where(size < LABEL_LINEAR, 0.0, np.copysign(inverse, label))


@lru_cache(maxsize=1)
def _label_curve() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Labels over a geometric grid of curvatures that covers every label."""
    curvatures = np.geomspace(5e-3, 60.0, 20_000)
    a = 1 / curvatures
    b = -1 / np.expm1(-curvatures)
    return _LABEL_OF_FULL_GAP * (b - a - a * np.log(b / a)), curvatures


def load(source: str | Path | Mapping[str, object]) -> MemoryDevice:
    """Device of a preset's name, a TOML file or a table; `ConfigurationError` if it has none."""
    return PRESETS.load(source)


def available() -> list[dict[str, Any]]:
    """Name and description of every preset."""
    devices = [load(name) for name in PRESETS.names()]
    return [{"name": device.name, "description": device.description} for device in devices]


PRESETS = Presets(kind="device", struct=MemoryDevice, folder=library.folder("mappings") / "devices")
