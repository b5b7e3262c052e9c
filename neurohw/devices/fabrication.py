"""Cells as fabricated: device-to-device spread drawn around a device's parameters, stuck cells."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.devices.device import MemoryDevice
from neurohw.devices.law import Law
from neurohw.devices.redundancy import Repair, Tiling
from neurohw.errors import InvalidValueError

Array = NDArray[np.floating]

# Limits of a cell are at least this share of the range apart, whatever their spread.
_LEAST_RANGE = 0.01


@dataclass(frozen=True, eq=False, kw_only=True)
class Cells:
    """The cells of one array.

    Parameters
    ----------
    low, high : (units, inputs) or (1, 1) arrays [S]
        Limits of each cell; one entry where all are alike. Those of a stuck cell are the same.
    law : Law
    ideal : bool
        Whether every cell takes any change exactly, within the same limits.
    cycle_stream, rounding_stream, write_stream, sample_stream, reset_stream : int
    input_stream, unit_stream : int
        Streams of the draws; see `neurohw.randomness`. The last two are of pulse trains.
    crossed : int
        Cells whose limits spread made cross; they got the least range instead.
    stuck : int
        Cells that no pulse moves.
    unused : int
        Further cells of the array's tiles: padding and spare lines.
    repair : Repair, optional
        Which lines of its tiles the array has, where these have spare ones.
    """

    low: Array
    high: Array
    law: Law
    ideal: bool
    cycle_stream: int
    rounding_stream: int
    write_stream: int
    sample_stream: int
    reset_stream: int
    input_stream: int
    unit_stream: int
    crossed: int
    stuck: int
    unused: int = 0
    repair: Repair | None = None

    @property
    def whole(self) -> bool:
        """Whether pulses are whole numbers."""
        return self.law.whole


class Fabrication:
    """What device-to-device spread draws for one array.

    Parameters
    ----------
    device : MemoryDevice
    units, inputs : int
    width : float
        Size of the cells relative to the device as measured; it scales both limits.
    seed, array : int
        See `neurohw.randomness`.
    tiling : Tiling, optional
        Whose spare lines are drawn too; the cells of the array are the same with and without.

    Attributes
    ----------
    shape : tuple of int
        Of all cells that are drawn: (units, inputs) without spare lines.
    low, high : arrays of `shape` or (1, 1) [S]
        Limits; a law that spreads them further changes them.
    """

    def __init__(
        self,
        device: MemoryDevice,
        units: int,
        inputs: int,
        *,
        width: float,
        seed: int,
        array: int,
        tiling: Tiling | None = None,
    ) -> None:
        tiling = Tiling(units=units, inputs=inputs) if tiling is None else tiling
        self.device = device
        self.tiling = tiling
        self.shape = tiling.shape
        self._cells, self._word_lines, self._bit_lines = tiling.numbers
        self.width = width
        self.seed = seed
        self.array = array
        self.low = np.full((1, 1), self.g_min)
        self.high = np.full((1, 1), self.g_max)
        if device.range_spread > 0:
            spread = device.range_spread
            self.low = np.maximum(self.low * (1 + spread * self.normal("g_min")), 0.0)
            self.high = self.high * (1 + spread * self.normal("g_max"))
        if device.gradient != 0:
            place = np.add.outer(*tiling.places)
            self.low, self.high = (g * (1 + device.gradient * place) for g in (self.low, self.high))

    @property
    def g_min(self) -> float:
        """Nominal lower limit [S]."""
        return self.device.g_min * self.width

    @property
    def g_max(self) -> float:
        """Nominal upper limit [S]."""
        return self.device.g_max * self.width

    @property
    def span(self) -> float:
        """Nominal range [S]."""
        return self.g_max - self.g_min

    def normal(self, purpose: str) -> Array:
        """Return a standard normal draw a cell, of `shape`, parts of it common to lines."""
        key = self._key(purpose)
        words, bits = self.device.word_line_share, self.device.bit_line_share
        cells = self._cells
        draw: Array = np.sqrt(1 - words - bits) * randomness.normals(key, cells).astype(np.float64)
        if words > 0:
            draw += np.sqrt(words) * randomness.normals(key, self._word_lines)
        if bits > 0:
            draw += np.sqrt(bits) * randomness.normals(key, self._bit_lines)[:, None]
        return draw

    def uniform(self, purpose: str) -> Array:
        """Return a draw in (0, 1] a cell, of `shape`."""
        return randomness.uniforms(self._key(purpose), self._cells).astype(np.float64)

    def _key(self, purpose: str) -> tuple[int, int]:
        return randomness.key(randomness.stream(self.seed, purpose, self.array))


def fabricate(
    device: MemoryDevice,
    units: int,
    inputs: int,
    *,
    width: float,
    seed: int,
    array: int,
    tiling: Tiling | None = None,
) -> Cells:
    """Draw the cells of an array, and replace broken lines by spare ones where it has some.

    width is the size of the cells relative to the device as measured; it scales both limits.
    tiling is that of the array; None: one tile without spare lines.
    """
    tiling = Tiling(units=units, inputs=inputs) if tiling is None else tiling
    # Without cells that may be stuck no line would be replaced.
    drawn = tiling if device.stuck.any else replace(tiling, spare_word_lines=0, spare_bit_lines=0)
    fabrication = Fabrication(
        device, units, inputs, width=width, seed=seed, array=array, tiling=drawn
    )
    law = device.fabricated(fabrication)
    low, high = fabrication.low, fabrication.high
    least = _LEAST_RANGE * fabrication.span
    narrow = high < low + least
    if narrow.any():
        high = np.maximum(high, low + least)
    held, value = _stuck(fabrication, low, high)
    repair = None
    if tiling.spare:
        repair = Repair.of(tiling, np.broadcast_to(held, tiling.shape))
    if repair is not None and drawn.spare:
        chosen = repair.cells(tiling)

        def take(values: NDArray[Any]) -> NDArray[Any]:
            return values if values.size == 1 else values[chosen]

        low, high, narrow, held, value = map(take, (low, high, narrow, held, value))
        up, down = ((take(first), take(second)) for first, second in (law.up, law.down))
        law = replace(law, up=up, down=down)
    if held.any():
        low, high = np.where(held, value, low), np.where(held, value, high)
    return Cells(
        low=low,
        high=high,
        law=law,
        ideal=device.law == "ideal" and low.size == 1,
        cycle_stream=randomness.stream(seed, "cycle", array),
        rounding_stream=randomness.stream(seed, "rounding", array),
        write_stream=randomness.stream(seed, "write", array),
        sample_stream=randomness.stream(seed, "sample", array),
        reset_stream=randomness.stream(seed, "reset", array),
        input_stream=randomness.stream(seed, "train_inputs", array),
        unit_stream=randomness.stream(seed, "train_units", array),
        crossed=int(np.count_nonzero(narrow)),
        stuck=int(held.sum()),
        unused=tiling.unused,
        repair=repair,
    )


def _stuck(fabrication: Fabrication, low: Array, high: Array) -> tuple[NDArray[np.bool_], Array]:
    """Return which cells are stuck, of all drawn, and where [S]; one entry where none is."""
    stuck, tiling = fabrication.device.stuck, fabrication.tiling
    if not stuck.any:
        return np.zeros((1, 1), bool), low
    draw = fabrication.uniform("stuck")
    places = [low, high, np.zeros((1, 1))]
    if stuck.random > 0:
        places.append(low + (high - low) * fabrication.uniform("stuck_at"))
    else:
        places.append(low)
    places.append(np.full((1, 1), stuck.value * fabrication.width))
    limits = np.cumsum(stuck.shares)
    held = draw <= limits[-1]
    value = np.array(np.broadcast_to(low, fabrication.shape))
    for lower, upper, place in zip((0.0, *limits[:-1]), limits, places, strict=True):
        np.copyto(value, place, where=(draw > lower) & (draw <= upper))
    for array, unit, line, conductance in stuck.cells:
        if array != fabrication.array:
            continue
        if unit >= tiling.units or line >= tiling.inputs:
            raise InvalidValueError(
                f"device.stuck.cells: {[array, unit, line]}: array {array} has {tiling.units} units"
                f" and {tiling.inputs} inputs"
            )
        held[unit, line], value[unit, line] = True, conductance
    return held, value


def require_arrays(device: MemoryDevice, arrays: Collection[int]) -> None:
    """Raise `InvalidValueError` if the mask of stuck cells names an array that there is not."""
    for array, unit, line, _ in device.stuck.cells:
        if array not in arrays:
            raise InvalidValueError(
                f"device.stuck.cells: {[array, unit, line]}: there is no array {array}; there are"
                f" {', '.join(map(str, sorted(arrays)))}"
            )
