"""Neuron circuits: what hangs at the nodes of a layer, and the voltage that it lets them take.

A node that conductors join to its neighbours obeys T·v = C, T all conductance that meets it and C
what flows in at 0 V. Diodes to two sources hold it from below and from above,

    T·v + I(v − V_high) − I(V_low − v) = C,   I(u) = I_s·(exp((u − R·I)/(n·V_T)) − 1)

and ideal ones clamp it between the two voltages. A measured element has its own curve for I. A
bidirectional amplifier hands the voltage gain·v + shift on to the next array, and draws from the
node backward_gain times the current that it delivers there; with backward_gain = 1/gain it is the
amplifier of Kendall et al.

References
----------
Shockley (1949), Bell Syst. Tech. J. 28, 435; Kendall et al. (2020), arXiv:2006.01981, section 3,
for diodes and amplifiers.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.circuits.curves import Characteristic, Curve
from neurohw.errors import InvalidValueError
from neurohw.units import Amperes, Farads, Fraction, Number, Ohms, Siemens, Volts

Array = NDArray[np.floating]

BOLTZMANN_OVER_CHARGE = 8.617333262e-5
# Steps after which a node with two diodes is settled to rounding.
_NEWTON = 60
# Halvings after which an interval is as short as rounding lets it be.
_HALVINGS = 90


class Neuron(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Circuit of a hidden node as a chip describes it, SI units; outputs have no diodes or gain.

    Parameters
    ----------
    kind : {"ideal", "diode", "measured", "linear"}
        Ideal diodes, Shockley diodes, elements with a measured curve, or none.
    arrangement : {"single", "antiparallel"}
        One diode a node, which holds the first half of a layer's units from below and the second
        half from above; or both at every node.
    low_voltage, high_voltage : float [V]
        Of the sources behind the diodes that hold a node from below and from above.
    saturation_current : float [A]
        At the chip's temperature.
    ideality : float
    series_resistance : float [Ω]
    curve : Curve, optional
        Of a measured element, which stands where a diode does and conducts forwards; a file of
        points in TOML.
    gain : float
        Voltage gain of the amplifier towards the next array.
    backward_gain : float, optional
        Its current gain towards the node; default 1/gain.
    offset : float [V]
        Input offset of the amplifier.
    leak : float [S]
        Conductance from the node to ground.
    saturation : float [V]
        Largest magnitude of an integrator's voltage; only of ideal and linear neurons.
    capacitance : float [F]
        From the node to ground.
    current_limit : float [A]
        Largest current into the capacitor.
    gain_spread : float
        Device-to-device standard deviation of the gain, relative.
    offset_spread, voltage_spread : float [V]
        Device-to-device standard deviations of the offset and of both sources.
    saturation_current_spread : float
        Device-to-device standard deviation of the logarithm of the saturation current, of a
        measured element of the logarithm of its current.
    capacitance_spread : float
        Device-to-device standard deviation of the logarithm of the capacitance, outputs included;
        it makes time constants differ.
    noise : float [V]
        Of integrators of Hopfield networks: root mean square by which a free membrane fluctuates,
        see `neurohw.circuits.membrane`.
    """

    kind: Literal["ideal", "diode", "measured", "linear"] = "ideal"
    arrangement: Literal["single", "antiparallel"] = "single"
    low_voltage: Volts = 0.0
    high_voltage: Volts = 0.0
    saturation_current: Amperes = 1e-12
    ideality: Number = 1.0
    series_resistance: Ohms = 0.0
    curve: Curve | None = None
    gain: Number = 1.0
    backward_gain: Number | None = None
    offset: Volts = 0.0
    leak: Siemens = 0.0
    saturation: Volts = float("inf")
    capacitance: Farads = 1e-12
    current_limit: Amperes = float("inf")
    gain_spread: Fraction = 0.0
    offset_spread: Volts = 0.0
    voltage_spread: Volts = 0.0
    saturation_current_spread: Number = 0.0
    capacitance_spread: Number = 0.0
    noise: Volts = 0.0

    def __post_init__(self) -> None:
        positive = ("saturation_current", "ideality", "gain", "capacitance")
        for key in (*positive, "backward_gain"):
            value = getattr(self, key)
            if value is not None and not 0 < value < float("inf"):
                raise InvalidValueError(f"{key} = {value}: must be finite, above 0")
        for key in ("saturation", "current_limit"):
            if not getattr(self, key) > 0:
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must be above 0")
        spreads = ("gain_spread", "offset_spread", "voltage_spread")
        logarithms = ("saturation_current_spread", "capacitance_spread")
        for key in ("series_resistance", "leak", "noise", *spreads, *logarithms):
            if not 0 <= getattr(self, key) < float("inf"):
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must be finite, 0 or more")
        for key in ("low_voltage", "high_voltage", "offset"):
            if not np.isfinite(getattr(self, key)):
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must be finite")
        if (self.kind == "measured") != (self.curve is not None):
            raise InvalidValueError(
                "curve: a file of points is needed by a measured neuron, and by no other kind"
            )
        if self.kind in ("diode", "measured") and np.isfinite(self.saturation):
            raise InvalidValueError(
                f"saturation = {self.saturation} V: diodes hold these nodes; leave it out"
            )
        if (
            self.kind == "ideal"
            and self.arrangement == "antiparallel"
            and not self.low_voltage < self.high_voltage
        ):
            raise InvalidValueError(
                f"low_voltage = {self.low_voltage} V: with ideal antiparallel diodes it must be"
                f" below high_voltage = {self.high_voltage} V, or no node can move"
            )

    @property
    def backward(self) -> float:
        """Current gain of the amplifier towards the node."""
        return 1.0 / self.gain if self.backward_gain is None else self.backward_gain

    @property
    def amplified(self) -> bool:
        """Whether the next array sees another voltage than the node's."""
        gained = self.gain != 1 or self.backward != 1 or self.gain_spread > 0
        return gained or self.offset != 0 or self.offset_spread > 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Neurons:
    """The neurons of one free layer as fabricated, (units,) float64 arrays.

    low and high, the voltages of the sources behind the diodes, infinite where there is none [V];
    slope n·V_T [V] and saturation_current [A], both 0 of ideal diodes; series_resistance [Ω];
    gain, backward_gain and shift [V] of the amplifier; capacitance [F] and current_limit [A].
    Measured elements share `curve`, which each one's `curve_scale` multiplies; their slope is 0.
    """

    low: Array
    high: Array
    saturation_current: Array
    slope: Array
    series_resistance: Array
    gain: Array
    backward_gain: Array
    shift: Array
    capacitance: Array
    current_limit: Array
    curve: Characteristic | None = None
    curve_scale: Array | None = None

    @cached_property
    def ideal(self) -> bool:
        """Whether its diodes clamp."""
        return self.curve is None and not self.slope.any()

    def clamps(self, dtype: np.dtype) -> tuple[Array, Array]:
        """Return the voltages between which ideal diodes clamp; infinite for real ones [V]."""
        if self.ideal:
            return self.low.astype(dtype), self.high.astype(dtype)
        infinite = np.full(len(self.low), np.inf, dtype)
        return -infinite, infinite

    @cached_property
    def parameters(self) -> Array:
        """What kernels take of the diodes, (units, 5): low, high, I_s (or scale), n·V_T, R."""
        size = self.saturation_current if self.curve_scale is None else self.curve_scale
        return np.stack((self.low, self.high, size, self.slope, self.series_resistance), axis=1)

    def __getitem__(self, units: slice | NDArray[np.intp]) -> "Neurons":
        """Return some of them."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        some: dict[str, Any] = {
            key: v[units] for key, v in parts.items() if isinstance(v, np.ndarray)
        }
        return replace(self, **some)

    @cached_property
    def amplified(self) -> bool:
        """Whether the next array sees another voltage than the node's."""
        return bool(
            np.any(self.gain != 1) or np.any(self.backward_gain != 1) or np.any(self.shift != 0)
        )

    def forward(self, voltage: Array) -> Array:
        """Return what the next array's input lines carry at node voltages (…, units) [V]."""
        if not self.amplified:
            return voltage
        return np.asarray(voltage * self.gain + self.shift, voltage.dtype)

    def current(self, voltage: Array) -> tuple[Array, Array]:
        """Return what the diodes draw from nodes at (…, units) voltages, and its derivative.

        In [A] and [S]; of ideal diodes nothing.
        """
        voltage = np.asarray(voltage, np.float64)
        drawn, slope = np.zeros(voltage.shape), np.zeros(voltage.shape)
        if self.ideal:
            return drawn, slope
        for source, sign in ((self.high, 1.0), (self.low, -1.0)):
            held = np.isfinite(source)
            current: Array
            derivative: Array
            across = sign * (voltage[..., held] - source[held])
            if self.curve is not None and self.curve_scale is not None:
                scale = self.curve_scale[held]
                current = scale * self.curve.current(across)
                derivative = scale * self.curve.conductance(across)
            else:
                current, derivative = diode_current(
                    across,
                    self.saturation_current[held],
                    self.slope[held],
                    self.series_resistance[held],
                )
            drawn[..., held] += sign * current
            slope[..., held] += derivative
        return drawn, slope


def fabricate(
    neuron: Neuron, units: int, *, temperature: float, seed: int, layer: int, output: bool
) -> Neurons:
    """Make the neurons of a layer of a chip; outputs have neither diodes nor amplifiers."""
    unit = np.arange(units)

    def normals(purpose: str) -> Array:
        key = randomness.key(randomness.stream(seed, purpose, layer))
        return np.asarray(randomness.normals(key, unit), np.float64)

    def each(value: float) -> Array:
        return np.full(units, value, np.float64)

    low, high = each(-np.inf), each(np.inf)
    gain, backward, shift = each(1.0), each(1.0), each(0.0)
    saturation, slope, resistance = each(0.0), each(0.0), each(0.0)
    curve, scale = None, None
    if not output:
        both = neuron.arrangement == "antiparallel"
        if neuron.kind != "linear":
            below = (unit < units // 2) | both
            above = (unit >= units // 2) | both
            spread = neuron.voltage_spread
            low[below] = (neuron.low_voltage + spread * normals("low_voltage"))[below]
            high[above] = (neuron.high_voltage + spread * normals("high_voltage"))[above]
            if neuron.kind == "ideal" and both:
                high = np.maximum(low, high)
        factor = np.exp(neuron.saturation_current_spread * normals("saturation_current"))
        if neuron.curve is not None:
            curve, scale = neuron.curve.characteristic(), factor
        elif neuron.kind == "diode":
            saturation = neuron.saturation_current * factor
            slope = each(neuron.ideality * BOLTZMANN_OVER_CHARGE * temperature)
            resistance = each(neuron.series_resistance)
        else:
            limit = neuron.saturation
            low, high = np.clip(low, -limit, limit), np.clip(high, -limit, limit)
        gain = neuron.gain * np.maximum(1 + neuron.gain_spread * normals("gain"), 0.01)
        backward = each(neuron.backward) if neuron.backward_gain is not None else 1 / gain
        shift = gain * (neuron.offset + neuron.offset_spread * normals("offset"))
    return Neurons(
        low=low,
        high=high,
        saturation_current=saturation,
        slope=slope,
        series_resistance=resistance,
        gain=gain,
        backward_gain=backward,
        shift=shift,
        capacitance=neuron.capacitance * np.exp(neuron.capacitance_spread * normals("capacitance")),
        current_limit=each(neuron.current_limit),
        curve=curve,
        curve_scale=scale,
    )


def diode_current(
    voltage: Array, saturation: Array, slope: Array, resistance: Array
) -> tuple[Array, Array]:
    """Return the current of Shockley diodes at (…, units) voltages, and its derivative [A], [S]."""
    with np.errstate(over="ignore"):
        bare = saturation * np.exp(np.minimum(voltage / slope, 600.0))
    behind = _shares(voltage, saturation, slope, resistance)
    grown = np.where(resistance > 0, slope * behind / np.maximum(resistance, 1e-300), bare)
    return grown - saturation, 1.0 / (resistance + slope / np.maximum(grown, 1e-300))


def _shares(drive: Array, saturation: Array, slope: Array, resistance: Array) -> Array:
    """Return (I + I_s)·R/s of a diode and a resistance R in series across which `drive` lies.

    It is Lambert's W of an exponential, w + ln w = y, which in this form does not overflow.
    """
    unit = np.maximum(saturation * resistance, 1e-300)
    y = (drive + unit) / slope + np.log(unit / slope)
    w = np.where(y > 1, y - np.log(np.maximum(y, 1.0)), np.exp(np.minimum(y, 1.0)))
    w = np.maximum(w, 1e-300)
    for _ in range(6):
        w = np.maximum(w * (1 + y - np.log(w)) / (1 + w), 1e-300)
    return np.asarray(w)


def settle(current: Array, total: Array, neurons: Neurons, units: slice = slice(None)) -> Array:
    """Return the voltages of some units into which (batch, units) currents flow: the oracle.

    total (batch, units), or (1, units) for all samples [S]. Where no conductance meets a node it
    rests at 0 V, or where its ideal diodes hold it.
    """
    neurons = neurons[units]
    total = np.broadcast_to(total, current.shape)
    free = np.divide(current, total, out=np.zeros_like(current), where=total != 0)
    if neurons.ideal:
        return np.clip(free, neurons.low.astype(free.dtype), neurons.high.astype(free.dtype))
    if neurons.curve is not None:
        return _bisected(free, total, neurons)
    v = np.asarray(free, np.float64)
    t = np.where(total != 0, total, 1.0).astype(np.float64)
    low, high, s = neurons.low, neurons.high, neurons.slope
    i_s, r = neurons.saturation_current, neurons.series_resistance
    none = np.zeros_like(v)
    down = np.where(np.isfinite(high), v - high, -np.inf)
    up = np.where(np.isfinite(low), low - v, -np.inf)
    sign = np.where(down >= up, 1.0, -1.0)
    drive = np.maximum(down, up)
    held = np.isfinite(drive)
    around = r + 1.0 / t
    drawn = s * _shares(np.where(held, drive, none), i_s, s, around) / around - i_s
    guess = v - np.where(held, sign * drawn / t, none)
    both = np.isfinite(low) & np.isfinite(high)
    if both.any():
        guess = np.where(both, _two_diodes(guess, v, t, neurons), guess)
    return np.asarray(np.where(total != 0, guess, 0.0), current.dtype)


def _bisected(free: Array, total: Array, neurons: Neurons) -> Array:
    """Return the voltages of nodes with measured elements, halving the interval that holds each."""
    start, t = free.astype(np.float64), np.where(total != 0, total, 1.0).astype(np.float64)
    # Elements draw less at the balance than at the free voltage, and never the other way.
    end = start - neurons.current(start)[0] / t
    below, above = np.minimum(start, end), np.maximum(start, end)
    for _ in range(_HALVINGS):
        middle = 0.5 * (below + above)
        low = t * (middle - start) + neurons.current(middle)[0] < 0
        below, above = np.where(low, middle, below), np.where(low, above, middle)
    return np.asarray(np.where(total != 0, 0.5 * (below + above), 0.0), free.dtype)


def _two_diodes(v: Array, free: Array, total: Array, neurons: Neurons) -> Array:
    """Return the voltage of nodes with a diode each way by Newton's method in a bracket."""
    leak = neurons.saturation_current / total
    above = np.maximum(free, neurons.low) + leak
    below = np.minimum(free, neurons.high) - leak
    v = np.clip(v, below, above)
    for _ in range(_NEWTON):
        drawn, slope = neurons.current(v)
        miss = total * (v - free) + drawn
        above, below = np.where(miss > 0, v, above), np.where(miss > 0, below, v)
        step = v - miss / (total + slope)
        inside = (step >= below) & (step <= above)
        v = np.where(inside, step, 0.5 * (below + above))
    return v
