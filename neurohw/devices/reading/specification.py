"""The keys of a device that say what reading its cells gives, and what time does to them."""

from typing import Annotated, Literal

import msgspec
import numpy as np

from neurohw.errors import InvalidValueError
from neurohw.units import Fraction, Hertz, Number, Seconds, Volts

Correlation = Literal["frozen", "sample", "phase", "sweep", "spectrum"]
Target = Literal["zero", "minimum", "maximum", "random"]

_INFINITY = float("inf")


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of keys that checks them."""

    def _require(self, message: str, *keys: str, least: float = 0.0, most: float = np.inf) -> None:
        for key in keys:
            value = np.asarray(getattr(self, key), dtype=np.float64)
            if not ((value >= least) & (value <= most)).all():
                raise InvalidValueError(f"{key} = {getattr(self, key)}: {message}")


class Telegraph(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Random telegraph noise: traps that fill and empty, each in a cell of its own.

    A trap is in equilibrium when an event starts, keeps its state through a phase, and may change
    from one phase to the next, `Reading.phase_time` later.

    Parameters
    ----------
    share : float
        Of the cells that have a trap.
    amplitude : float
        Share of its conductance that a cell lacks while its trap is full.
    capture_time, emission_time : float [s]
        Mean time until an empty trap fills, and until a full one empties.
    """

    share: Fraction = 0.0
    amplitude: Fraction = 0.0
    capture_time: Seconds = 1.0
    emission_time: Seconds = 1.0

    def __post_init__(self) -> None:
        self._require("must lie between 0 and 1", "share", "amplitude", most=1.0)
        for key in ("capture_time", "emission_time"):
            if not 0 < getattr(self, key) < _INFINITY:
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must be finite, above 0")

    @property
    def full(self) -> float:
        """Share of the time that a trap is full."""
        return self.emission_time / (self.capture_time + self.emission_time)

    def kept(self, seconds: float) -> float:
        """Correlation of a trap's states at two times."""
        return float(np.exp(-seconds * (1 / self.capture_time + 1 / self.emission_time)))


class Drift(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What time does to programmed cells.

    Parameters
    ----------
    step_time : float [s]
        Time of a mini-batch while training; 0: cells do not age then.
    exponent, reference_time : float, float [s]
        A cell of age t has drifted by the factor ((t + reference_time)/reference_time)**(-nu).
        Programming it starts its age anew.
    exponent_slope, exponent_limits : float, pair of floats
        nu = exponent + exponent_slope·ln(G/g_max), within the limits, 0 and 1 unless given.
    exponent_spread, exponent_spread_slope, exponent_spread_limits
        Likewise its standard deviation from device to device; nu itself is 0 or more.
    target : {"zero", "minimum", "maximum", "random"}
        Where the power law leads: down to 0, down to g_min at most, up to g_max at most, or for
        each cell one of these last two.
    lifetime, lifetime_spread, resting
        Mini-batches in which what a cell holds beyond its resting value falls to 1/e; its relative
        spread from device to device; and that value, a share of the range.
    diffusion : float
        Standard deviation of a random step each mini-batch, of the range.
    programming_error, programming_error_times
        Rows of coefficients [S] by powers of G/g_max, of the standard deviation that
        write-and-verify programming leaves after each of the times [s]; in between its logarithm
        of time is interpolated. It enters only where a network is left alone for a time.
    """

    step_time: Seconds = 0.0
    exponent: float = 0.0
    reference_time: Seconds = 1.0
    exponent_slope: float = 0.0
    exponent_limits: tuple[float, float] = (0.0, 1.0)
    exponent_spread: float = 0.0
    exponent_spread_slope: float = 0.0
    exponent_spread_limits: tuple[float, float] = (0.0, 1.0)
    target: Target = "zero"
    lifetime: Number = _INFINITY
    lifetime_spread: Fraction = 0.0
    resting: Fraction = 0.0
    diffusion: Fraction = 0.0
    programming_error: tuple[tuple[float, ...], ...] = ()
    programming_error_times: tuple[Seconds, ...] = ()

    def __post_init__(self) -> None:
        self._require("must be 0 or more", "diffusion")
        self._require("must be finite, 0 or more", "step_time", most=np.finfo(float).max)
        if not 0 < self.reference_time < _INFINITY:
            raise InvalidValueError(
                f"reference_time = {self.reference_time}: must be finite, above 0"
            )
        for key in ("exponent_limits", "exponent_spread_limits"):
            low, high = getattr(self, key)
            if not 0 <= low <= high:
                raise InvalidValueError(f"{key} = [{low}, {high}]: must not fall, from 0 or more")
        if not self.lifetime > 1:
            raise InvalidValueError(f"lifetime = {self.lifetime}: must be above 1 mini-batch")
        self._require("must lie between 0 and 1", "lifetime_spread", "resting", most=1.0)
        times = self.programming_error_times
        if len(times) != len(self.programming_error) or not all(self.programming_error):
            raise InvalidValueError(
                f"programming_error_times = {list(times)}: must be one for each row of"
                f" programming_error, which has {len(self.programming_error)}"
            )
        if times and not (times[0] > 0 and (np.diff(times) > 0).all()):
            raise InvalidValueError(
                f"programming_error_times = {list(times)}: must be above 0 and increasing"
            )

    @property
    def drifts(self) -> bool:
        """Whether any cell follows the power law."""
        least, spread = self.exponent_limits[0], self.exponent_spread_limits[0]
        terms = self.exponent, self.exponent_slope, self.exponent_spread, self.exponent_spread_slope
        return any(term != 0 for term in (*terms, least, spread))

    @property
    def leaks(self) -> bool:
        """Whether cells decay or diffuse."""
        return self.lifetime < _INFINITY or self.diffusion > 0


class Reading(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What reading a cell gives beside its conductance.

    The parts of the noise are normal, have mean 0 and add as squares. Readings of a weak cell may
    so fall below 0 S; what a cell holds does not change.

    Parameters
    ----------
    correlation : {"frozen", "sample", "phase", "sweep", "spectrum"}
        How long a draw lasts: through both phases of a mini-batch; through both phases of one
        sample, each sample having its own; through one phase of a mini-batch; through one sweep of
        a relaxation. With ``spectrum`` the 1/f part of two phases correlates as its spectrum says
        for phases `phase_time` apart, and the rest, which is white, is drawn for each phase.
    relative, absolute : float
        Standard deviation, as a share of the conductance, and of g_max - g_min.
    reads : int
        Readings, with white noise of their own, that one draw is the mean of: it divides the
        deviations `relative` and `absolute`, and thermal noise, by the root of their number. 1/f
        and telegraph noise, being slow, stay.
    bandwidth : float [Hz]
        Of reading.
    thermal : bool
        Whether there is thermal noise, of the variance 4kT·G·bandwidth/read_voltage² [S²].
    read_voltage : float [V]
        For which it counts; a current noise matters less the larger the current.
    flicker : float
        1/f noise: relative standard deviation in a band of frequencies from f to e·f.
    flicker_exponent, flicker_most : float
        It is flicker·(G/g_max)**(-flicker_exponent), at most flicker_most.
    flicker_corner : float [Hz]
        Lowest frequency of it: 1 over the time since programming. The highest is the bandwidth.
    phase_time : float [s]
        From the start of a phase to that of the next.
    disturb, disturb_chance : float
        Step that a read above the device's write_threshold makes a cell take, of the range, and
        its chance.
    telegraph : Telegraph
    drift : Drift

    References
    ----------
    Nandakumar et al. (2020), Front. Neurosci. 14:406, for the form of the 1/f noise; Machlup
    (1954), J. Appl. Phys. 25, 341, for telegraph noise.
    """

    correlation: Correlation = "frozen"
    relative: Fraction = 0.0
    absolute: Fraction = 0.0
    reads: Annotated[int, msgspec.Meta(ge=1)] = 1
    bandwidth: Hertz = 0.0
    thermal: bool = False
    read_voltage: Volts = 0.1
    flicker: Fraction = 0.0
    flicker_exponent: float = 0.0
    flicker_most: Fraction = _INFINITY
    flicker_corner: Hertz = 1.0
    phase_time: Seconds = 1e-6
    disturb: Fraction = 0.0
    disturb_chance: Fraction = 1.0
    telegraph: Telegraph = msgspec.field(default_factory=Telegraph)
    drift: Drift = msgspec.field(default_factory=Drift)

    def __post_init__(self) -> None:
        hint = 'must lie between 0 and 1; a percentage is written "3.5 %"'
        self._require(hint, "relative", "absolute", "flicker", "disturb", "disturb_chance", most=1)
        largest = float(np.finfo(float).max)
        self._require("must be finite, 0 or more", "bandwidth", "phase_time", most=largest)
        self._require("must be 0 or more", "flicker_exponent", "flicker_most")
        for key in ("read_voltage", "flicker_corner"):
            if not 0 < getattr(self, key) < _INFINITY:
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must be finite, above 0")
        if self.thermal and self.bandwidth == 0:
            raise InvalidValueError("bandwidth = 0: must be above 0 where there is thermal noise")
        if self.flicker > 0 and self.bandwidth <= self.flicker_corner:
            raise InvalidValueError(
                f"bandwidth = {self.bandwidth:g} Hz: must be above flicker_corner ="
                f" {self.flicker_corner:g} Hz, where there is flicker"
            )

    @property
    def noisy(self) -> bool:
        """Whether two readings of a cell may differ."""
        trapped = self.telegraph.share * self.telegraph.amplitude
        parts = self.relative, self.absolute, self.flicker, self.thermal, trapped
        return any(part > 0 for part in parts)

    @property
    def lasting(self) -> bool:
        """Whether what is read stays the same through all phases of a mini-batch."""
        trapped = self.telegraph.share * self.telegraph.amplitude > 0
        return self.correlation == "frozen" and not trapped

    def require_range(self, g_max: float) -> None:
        """Refuse shares of a range that is not finite.

        Raises
        ------
        InvalidValueError
            Naming the key.
        """
        if np.isfinite(g_max):
            return
        needed = {
            "reading.absolute": self.absolute,
            "reading.flicker_exponent": self.flicker_exponent,
            "reading.disturb": self.disturb,
            "reading.drift.exponent_slope": self.drift.exponent_slope,
            "reading.drift.exponent_spread_slope": self.drift.exponent_spread_slope,
            "reading.drift.diffusion": self.drift.diffusion,
            "reading.drift.programming_error": len(self.drift.programming_error),
            "reading.drift.resting": self.drift.resting,
        }
        for key, value in needed.items():
            if value != 0:
                raise InvalidValueError(f"{key} = {value}: needs a device with a finite g_max")
