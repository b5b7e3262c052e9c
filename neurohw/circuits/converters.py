"""Converters between voltages and numbers: DACs that drive lines, ADCs that read nodes.

A converter of b bits with the full scale R has 2^b codes. One sign: codes 0 … 2^b − 1, a step
(LSB) of R/(2^b − 1), both ends of the range included. Both signs: two's complement, codes
−2^(b−1) … 2^(b−1) − 1, a step of 2R/2^b, zero included. The level of code k is (k + INL_k) steps. A
DAC drives the level of the nearest code; an ADC is taken to be one of successive approximation,
which compares with such levels and returns the code of the nearest one, so many whole steps.

References
----------
IEEE Std 1241-2010 for ADCs and IEEE Std 1658-2011 for DACs: codes, INL, DNL, offset and gain.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.errors import InvalidValueError
from neurohw.units import Fraction, Number, Volts

Array = NDArray[np.floating]

# The significand of a float32 has 24 bits, of which rounding and the sign need two.
MOST_BITS = 22
_MOST_BITS_OF_A_TABLE = 16


class Converter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A DAC or an ADC with its errors; ideal by default.

    Parameters
    ----------
    bits : int
        0: infinite resolution.
    full_scale : float or one a layer [V], optional
        Largest voltage of the range. Left out, it is that of what is converted where this is
        known (input lines, targets), else it is calibrated; without bits there is then none.
    percentile : float
        Share of the calibration's voltages that lie in a calibrated range.
    headroom : float
        Calibrated range over what the percentile asks for.
    inl : tuple of float [LSB]
        Integral nonlinearity at evenly spaced codes from the first to the last, interpolated in
        between: a table of every code, or a few points of a bow.
    dnl_spread : float [LSB]
        Standard deviation of the steps between neighbouring codes, drawn once for a layer. The
        end codes stay, so in mid-range, where 0 V is of a converter of both signs, the INL has a
        deviation of dnl_spread·√codes/2. No step falls below 0.
    noise : float [V]
        Standard deviation, drawn for each conversion, at the analog side.
    noise_lsb : float [LSB]
        Likewise, in steps; both add up in quadrature.
    gain_error, gain_spread : float
        Relative error of the gain, common and from channel to channel.
    offset, offset_spread : float [V]
        Of the analog side (of an ADC its comparator), common and from channel to channel.
    """

    bits: int = 0
    full_scale: Volts | tuple[Volts, ...] | None = None
    percentile: Fraction = 1.0
    headroom: Number = 1.0
    inl: tuple[Number, ...] = ()
    dnl_spread: Number = 0.0
    noise: Volts = 0.0
    noise_lsb: Number = 0.0
    gain_error: Fraction = 0.0
    gain_spread: Fraction = 0.0
    offset: Volts = 0.0
    offset_spread: Volts = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.bits <= MOST_BITS:
            raise InvalidValueError(
                f"bits = {self.bits}: must be 0 (infinite resolution) to {MOST_BITS}; float32"
                f" resolves no more"
            )
        ranges = np.atleast_1d(1.0 if self.full_scale is None else self.full_scale)
        if ranges.size == 0 or not np.all((ranges > 0) & np.isfinite(ranges)):
            raise InvalidValueError(f"full_scale = {self.full_scale}: must be finite, above 0")
        if not 0 < self.percentile <= 1:
            raise InvalidValueError(f"percentile = {self.percentile}: must be above 0, at most 1")
        if not 0 < self.headroom < float("inf"):
            raise InvalidValueError(f"headroom = {self.headroom}: must be finite, above 0")
        for key in ("dnl_spread", "noise", "noise_lsb", "gain_spread", "offset_spread"):
            if not 0 <= getattr(self, key) < float("inf"):
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must be finite, 0 or more")
        if not -1 < self.gain_error < float("inf"):
            raise InvalidValueError(f"gain_error = {self.gain_error}: must be finite, above -1")
        if not np.isfinite(self.offset):
            raise InvalidValueError(f"offset = {self.offset}: must be finite")
        for key in ("inl", "dnl_spread", "noise_lsb"):
            if getattr(self, key) and self.bits == 0:
                raise InvalidValueError(f"{key} = {getattr(self, key)}: needs bits above 0")
        self._require_table()

    def _require_table(self) -> None:
        if not (self.inl or self.dnl_spread):
            return
        if self.bits > _MOST_BITS_OF_A_TABLE:
            raise InvalidValueError(
                f"bits = {self.bits}: with inl or dnl_spread at most {_MOST_BITS_OF_A_TABLE}"
            )
        if self.inl and not 2 <= len(self.inl) <= 2**self.bits:
            raise InvalidValueError(
                f"inl: {len(self.inl)} points; {self.bits} bits take 2 to {2**self.bits}"
            )
        if self.inl and np.diff(self._curve()).min() < -1:
            raise InvalidValueError("inl: falls by more than 1 LSB from a code to the next")

    @property
    def calibrated(self) -> bool:
        """Whether it has a range that is neither given nor known beforehand."""
        return self.bits > 0 and self.full_scale is None

    def calibrate(self, values: Array) -> float:
        """Return the full scale that these voltages ask for [V]."""
        return self.headroom * float(np.quantile(np.abs(values), self.percentile))

    def range_or(self, known: float, layer: int = 0) -> float:
        """Return the full scale that is given, of a layer, or `known` where none is [V]."""
        given = self.full_scale
        if given is None:
            return known
        return float(given[layer] if isinstance(given, tuple) else given)

    def step(self, full_scale: float, *, signed: bool) -> float:
        """Return the LSB [V] over one sign or both; 0 of infinite resolution."""
        if self.bits == 0:
            return 0.0
        return full_scale / (2.0 ** (self.bits - 1) if signed else 2.0**self.bits - 1)

    def _curve(self) -> Array:
        """Return the INL of `inl` at every code, (codes,) [LSB]."""
        codes = np.linspace(0.0, len(self.inl) - 1.0, 2**self.bits)
        return np.interp(codes, np.arange(len(self.inl)), self.inl)

    def table(self, seed: int, number: int) -> Array | None:
        """Return the INL of every code as fabricated, (codes,) [LSB]; None where it is 0."""
        if not (self.inl or self.dnl_spread):
            return None
        table = self._curve() if self.inl else np.zeros(2**self.bits)
        if self.dnl_spread:
            key = randomness.key(randomness.stream(seed, "converter_step", number))
            draws = randomness.normals(key, np.arange(len(table) - 1))
            levels = np.append(0.0, np.cumsum(np.maximum(1 + self.dnl_spread * draws, 0.0)))
            table = table + levels - np.linspace(0.0, levels[-1], len(levels))
        codes = np.arange(len(table))
        return np.asarray(np.maximum.accumulate(codes + table) - codes)


@dataclass(frozen=True, eq=False, kw_only=True)
class Channels:
    """The converters of the lines or nodes of one layer, as fabricated.

    to, what they convert to; signed, whether both signs; gain and offset (channels,) [V], None
    where they are 1 and 0; inl (codes,) [LSB] of the levels that all channels share; seed and
    number, of what they draw.
    """

    converter: Converter
    to: Literal["analog", "digital"]
    signed: bool
    gain: Array | None
    offset: Array | None
    inl: Array | None
    seed: int
    number: int

    def convert(self, values: Array, full_scale: float, event: int) -> Array:
        """Return (…, channels) voltages as they are after conversion [V].

        full_scale [V] may be infinite without bits; event numbers the conversion for its noise.
        """
        analog = np.asarray(values, np.float64)
        if self.to == "analog":
            return self._disturbed(self._level(analog, full_scale), full_scale, event, values.dtype)
        read = self._disturbed(analog, full_scale, event, analog.dtype)
        return self._code(read, full_scale).astype(values.dtype)

    def _disturbed(self, values: Array, full_scale: float, event: int, dtype: np.dtype) -> Array:
        """Return values with the errors of the analog side."""
        found = values if self.gain is None else values * self.gain
        found = found if self.offset is None else found + self.offset
        converter = self.converter
        step = converter.step(full_scale, signed=self.signed)
        noise = math.hypot(converter.noise, converter.noise_lsb * step)
        if noise > 0:
            key = randomness.key(
                randomness.stream(self.seed, "converter_noise", self.number), event
            )
            cells = np.arange(values.size).reshape(values.shape)
            found = found + noise * randomness.normals(key, cells)
        return found.astype(dtype)

    def _level(self, values: Array, full_scale: float) -> Array:
        """Return what a DAC drives for given numbers [V]."""
        step = self.converter.step(full_scale, signed=self.signed)
        if step == 0:
            return self._within(values, full_scale)
        code = self._nearest(values / step)
        if self.inl is not None:
            code = code + self.inl[(code - self._first).astype(np.intp)]
        return code * step

    def _code(self, values: Array, full_scale: float) -> Array:
        """Return what an ADC says of given voltages [V]."""
        step = self.converter.step(full_scale, signed=self.signed)
        if step == 0:
            return self._within(values, full_scale)
        if self.inl is None:
            return self._nearest(values / step) * step
        levels = self._first + np.arange(len(self.inl)) + self.inl
        between = 0.5 * (levels[1:] + levels[:-1])
        code = self._first + np.searchsorted(between, values / step, side="right")
        return np.asarray(code * step)

    def _nearest(self, steps: Array) -> Array:
        """Return the nearest codes."""
        last = self._first + 2**self.converter.bits - 1
        return np.asarray(np.minimum(np.maximum(np.rint(steps), self._first), last))

    def _within(self, values: Array, full_scale: float) -> Array:
        return np.clip(values, -full_scale if self.signed else 0.0, full_scale)

    @cached_property
    def _first(self) -> int:
        return -(2**self.converter.bits) // 2 if self.signed else 0


def fabricate(
    converter: Converter,
    channels: int,
    *,
    to: Literal["analog", "digital"],
    signed: bool,
    seed: int,
    number: int,
) -> Channels:
    """Make the converters of a layer; number tells it from the others of a chip."""
    channel = np.arange(channels)

    def draws(purpose: str) -> Array:
        key = randomness.key(randomness.stream(seed, purpose, number))
        return np.asarray(randomness.normals(key, channel), np.float64)

    gain = (1 + converter.gain_error) * (1 + converter.gain_spread * draws("converter_gain"))
    offset = converter.offset + converter.offset_spread * draws("converter_offset")

    return Channels(
        converter=converter,
        to=to,
        signed=signed,
        gain=gain if np.any(gain != 1) else None,
        offset=offset if offset.any() else None,
        inl=converter.table(seed, number),
        seed=seed,
        number=number,
    )
