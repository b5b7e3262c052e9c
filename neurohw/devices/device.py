"""One memory element: what all kinds have, whichever law their programming pulses follow."""

from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.devices.reading.specification import Reading
from neurohw.errors import InvalidValueError
from neurohw.units import Fraction, Number, Seconds, Siemens, Volts, show

if TYPE_CHECKING:
    from neurohw.devices.fabrication import Fabrication
    from neurohw.devices.law import Law

Array = NDArray[np.floating]


class Stuck(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Shares of cells that no pulse moves, drawn cell by cell.

    Parameters
    ----------
    low, high : float
        Stuck at their lower, at their upper limit.
    open : float
        Without conductance.
    random : float
        Anywhere between the limits, with equal probability.
    value : float [S]
        Where those of the share `at_value` are stuck.
    at_value : float
    yield_ : float
        Written ``yield`` in TOML: share that works; the others are stuck at either limit, half
        each. In place of `low` and `high`.
    cells : tuple of (array, unit, input, conductance [S])
        A mask: cells that are stuck at a value whatever the shares say. Arrays, units and inputs
        count from 0; the second cells of pairs, or slices, are in array 262144 + k of layer k, and
        so on, bias cells in array 65536 + k.
    """

    low: Fraction = 0.0
    high: Fraction = 0.0
    open: Fraction = 0.0
    random: Fraction = 0.0
    value: Siemens = 0.0
    at_value: Fraction = 0.0
    yield_: Fraction = msgspec.field(default=1.0, name="yield")
    cells: tuple[tuple[int, int, int, Siemens], ...] = ()

    def __post_init__(self) -> None:
        for key in ("low", "high", "open", "random", "at_value", "yield_"):
            share = getattr(self, key)
            if not 0 <= share <= 1:
                raise InvalidValueError(f"{key.strip('_')} = {share}: must lie between 0 and 1")
        if self.yield_ < 1 and (self.low > 0 or self.high > 0):
            raise InvalidValueError(f"yield = {self.yield_}: leave out low and high, or yield")
        if sum(self.shares) > 1 + 1e-12:
            raise InvalidValueError(f"shares add up to {sum(self.shares):g}: must be 1 at most")
        if not 0 <= self.value < float("inf"):
            raise InvalidValueError(f"value = {self.value}: must be finite, 0 or more")
        for cell in self.cells:
            if min(cell) < 0 or not np.isfinite(cell[3]):
                raise InvalidValueError(
                    f"cells: {list(cell)}: must be array, unit, input and a finite conductance"
                )

    @property
    def shares(self) -> tuple[float, float, float, float, float]:
        """Of cells stuck low, high, open, at random, at the value."""
        broken = (1 - self.yield_) / 2
        return (self.low + broken, self.high + broken, self.open, self.random, self.at_value)

    @property
    def any(self) -> bool:
        """Whether some cell may be stuck."""
        return sum(self.shares) > 0 or bool(self.cells)


class MemoryDevice(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="law"
):
    """Conductance range, spread and noise of one memory element, SI units.

    How pulses move it is the law, one subclass each; its name is the key ``law`` in TOML. Spread
    is drawn once for each cell, noise anew for each pulse; all are standard deviations.

    Parameters
    ----------
    g_min, g_max : float [S]
        Limits; only an ideal device may have an infinite `g_max`.
    range_spread : float
        Device-to-device deviation of `g_min` and `g_max`, relative to each.
    word_line_share, bit_line_share : float
        Shares of the variance of all device-to-device spread that the cells of a word line, and
        of a bit line, have in common.
    gradient : float
        Relative change of both limits across the array, from its first corner to its last.
    stuck : Stuck
    pulse_voltage_up, pulse_voltage_down : float [V]
        As applied, with sign.
    pulse_width_up, pulse_width_down : float [s]
    write_threshold : float [V]
        Magnitude above which reading disturbs the cell.
    endurance : float
        Pulses that the cell survives; after them it stays where it stands.
    reading : Reading
        Read noise, drift, disturb.
    """

    name: str = "custom"
    description: str = ""
    source: str = ""
    g_min: Siemens
    g_max: Siemens
    range_spread: Fraction = 0.0
    word_line_share: Fraction = 0.0
    bit_line_share: Fraction = 0.0
    gradient: Fraction = 0.0
    stuck: Stuck = msgspec.field(default_factory=Stuck)
    pulse_voltage_up: Volts = 0.0
    pulse_voltage_down: Volts = 0.0
    pulse_width_up: Seconds = 0.0
    pulse_width_down: Seconds = 0.0
    write_threshold: Volts = float("inf")
    endurance: Number = float("inf")
    reading: Reading = msgspec.field(default_factory=Reading)

    def __post_init__(self) -> None:
        if not 0 <= self.g_min < float("inf"):
            raise InvalidValueError(f"g_min = {show(self.g_min, 'S')}: must be finite, 0 or more")
        if not self.g_min < self.g_max:
            limit = show(self.g_max, "S")
            raise InvalidValueError(
                f"g_min = {show(self.g_min, 'S')}: must be below g_max = {limit}"
            )
        if np.isinf(self.g_max) and self.law != "ideal":
            raise InvalidValueError("g_max = inf: must be finite unless the law is ideal")
        if np.isinf(self.g_max):
            _, high, _, anywhere, _ = self.stuck.shares
            if high + anywhere > 0:
                raise InvalidValueError(
                    "stuck: cells stuck high or at random, or a yield, need a finite g_max"
                )
        for key in ("range_spread", "word_line_share", "bit_line_share"):
            self.require_share(key)
        if self.word_line_share + self.bit_line_share > 1:
            raise InvalidValueError(
                f"word_line_share = {self.word_line_share}: with bit_line_share ="
                f" {self.bit_line_share} must be 1 at most"
            )
        self.require("gradient", "must lie between -1 and 1", abs(self.gradient) < 1)
        for key in ("pulse_width_up", "pulse_width_down"):
            self.require(key, "must be finite, 0 or more", 0 <= getattr(self, key) < float("inf"))
        for key in ("pulse_voltage_up", "pulse_voltage_down"):
            self.require(key, "must be finite", bool(np.isfinite(getattr(self, key))))
        for key in ("write_threshold", "endurance"):
            self.require(key, "must be above 0", getattr(self, key) > 0)
        self.reading.require_range(self.g_max)

    @property
    def law(self) -> str:
        """Name of the update law."""
        return str(self.__struct_config__.tag)

    @property
    def span(self) -> float:
        """``g_max - g_min`` [S]."""
        return self.g_max - self.g_min

    @property
    def spreads(self) -> bool:
        """Whether limits differ from cell to cell, or cells are stuck."""
        keys = ("range_spread", "low_spread", "high_spread", "gradient")
        return self.stuck.any or any(getattr(self, key, 0.0) != 0 for key in keys)

    def fabricated(self, fabrication: "Fabrication") -> "Law":
        """Return the law of each cell of an array."""
        raise NotImplementedError

    def require(self, key: str, message: str, holds: bool) -> None:
        """Raise `InvalidValueError`, naming key and value, unless something holds."""
        if not holds:
            raise InvalidValueError(f"{key} = {getattr(self, key)}: {message}")

    def require_share(self, key: str) -> None:
        """Refuse what is no share of 1."""
        hint = 'must lie between 0 and 1; a percentage is written "3.5 %"'
        self.require(key, hint, 0 <= getattr(self, key) <= 1)


class PulsedDevice(MemoryDevice, frozen=True, kw_only=True):
    """What devices have that pulses move step by step.

    n pulses at once have the noise of one times the square root of n.

    Parameters
    ----------
    whole_pulses : bool
        Pulse counts are rounded stochastically to whole numbers; otherwise the same law takes
        fractions of a pulse.
    cycle_to_cycle : float
        Noise of one pulse as a fraction of ``g_max - g_min``.
    step_noise : float
        Noise of one pulse relative to the step that it makes.
    write_noise : float
        Fraction of ``g_max - g_min`` by which what is read differs from the state that pulses
        move, redrawn whenever a cell takes a pulse.
    step_spread : float
        Device-to-device deviation of the size of steps, relative.
    step_spread_kind : {"normal", "lognormal"}
    asymmetry_spread : float
        Device-to-device deviation of what is added to the relative size of upward steps and taken
        from that of downward ones.

    References
    ----------
    The terms of spread and noise are those of Rasch et al. (2021), "A flexible and fast PyTorch
    toolkit for simulating training and inference on analog crossbar arrays", IEEE AICAS.
    """

    whole_pulses: bool = True
    cycle_to_cycle: Fraction = 0.0
    step_noise: Fraction = 0.0
    write_noise: Fraction = 0.0
    step_spread: Fraction = 0.0
    step_spread_kind: Literal["normal", "lognormal"] = "normal"
    asymmetry_spread: Fraction = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_share("cycle_to_cycle")
        for key in ("step_noise", "write_noise", "step_spread", "asymmetry_spread"):
            self.require(key, "must be finite, 0 or more", 0 <= getattr(self, key) < float("inf"))

    def sizes(self, fabrication: "Fabrication", up_down: float = 0.0) -> tuple[Array, Array]:
        """Return how large upward and downward steps of each cell are, relative to nominal ones.

        up_down is what upward steps exceed downward ones by, relative.
        """
        gain: Array = np.ones((1, 1))
        shift: Array = np.zeros((1, 1))
        if self.step_spread > 0:
            draw = self.step_spread * fabrication.normal("step")
            gain = 1 + draw if self.step_spread_kind == "normal" else np.exp(draw)
        if self.asymmetry_spread > 0:
            shift = self.asymmetry_spread * fabrication.normal("asymmetry")
        up, down = gain + shift + min(up_down, 0.0), gain - shift - max(up_down, 0.0)
        return np.abs(up), np.abs(down)

    def noise(self, fabrication: "Fabrication") -> dict[str, Any]:
        """Return what a law says of pulses besides where they lead."""
        return {
            "whole": self.whole_pulses,
            "sigma": self.cycle_to_cycle * fabrication.span,
            "relative_sigma": self.step_noise,
            "write_sigma": self.write_noise * fabrication.span,
        }
