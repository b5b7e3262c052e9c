"""Pulses that bring cells from one conductance to another, as a controller plans them.

A controller knows the nominal device only. Along the mean trajectory of its law it counts the
pulses between two conductances, up (SET) or down (RESET), and takes the whole number that ends
nearest. Cells that pulses only raise are erased first where they are to fall.
"""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.devices.device import MemoryDevice, Stuck
from neurohw.devices.fabrication import Cells, fabricate
from neurohw.errors import UnsupportedError

Array = NDArray[np.floating]

# Steps after which a table is taken to have no further level.
_LONGEST_LADDER = 100_000
# A train ends where its next pulse would move the cell by less than this share of a nominal step.
_NEGLIGIBLE = 0.01
# Tables with no more pulses than this over the range are followed pulse by pulse.
_COARSE = 100


@dataclass(frozen=True, eq=False, kw_only=True)
class Trains:
    """What each cell takes, arrays of one shape.

    Parameters
    ----------
    erased : bool array
        Whether a full reset comes first.
    pulses : array
        Signed: SET pulses are counted up, RESET pulses down.
    expected : array [S]
        Where the nominal device ends.
    """

    erased: NDArray[np.bool_]
    pulses: Array
    expected: Array


def nominal(device: MemoryDevice, width: float = 1.0) -> Cells:
    """Return one cell without device-to-device spread, `width` times as wide as measured.

    Raises
    ------
    UnsupportedError
        The device takes any change without pulses.
    """
    if device.law == "ideal":
        raise UnsupportedError(
            f"device {device.name}: law = ideal takes any change without pulses; give a chip whose"
            " device has some"
        )
    spread = {
        field.name: 0.0
        for field in msgspec.structs.fields(type(device))
        if field.name.endswith("_spread") or field.name == "gradient"
    }
    plain = msgspec.structs.replace(device, **spread, stuck=Stuck())
    return fabricate(plain, 1, 1, width=width, seed=0, array=0)


def trains(cells: Cells, start: Array, wanted: Array) -> Trains:
    """Return the pulses that bring nominal cells from `start` nearest to `wanted`, any shape [S].

    cells is that of `nominal`. Where pulses are not whole, neither are the numbers.
    """
    low, high = cells.low.item(), cells.high.item()
    begin, end = (np.clip(g.astype(np.float64), low, high) for g in (start, wanted))
    one_way = cells.law.limit_down == 0
    pulses, expected = _nearest(cells, begin, np.maximum(end, begin) if one_way else end)
    erased = np.zeros(begin.shape, bool)
    if one_way:
        after = np.full(begin.shape, low + cells.law.reset * (high - low))
        anew, reached = _nearest(cells, after, np.maximum(end, after))
        erased = (end < begin) & (np.abs(reached - end) < np.abs(expected - end))
        pulses, expected = np.where(erased, anew, pulses), np.where(erased, reached, expected)
    return Trains(erased=erased, pulses=pulses, expected=expected)


def _nearest(cells: Cells, begin: Array, end: Array) -> tuple[Array, Array]:
    """Return signed pulses and where they lead [S]."""
    up = _Course(cells, 1)
    rising = end > begin
    found = [_counted(cells, up, begin, np.where(rising, end, begin))]
    if cells.law.limit_down > 0:
        down = _Course(cells, -1)
        found.append(_counted(cells, down, begin, np.where(rising, begin, end)))
    counts, reached = found[0]
    if len(found) == 1:
        return counts, reached
    return np.where(rising, counts, -found[1][0]), np.where(rising, reached, found[1][1])


def _counted(cells: Cells, course: "_Course", begin: Array, end: Array) -> tuple[Array, Array]:
    """Return the pulses of one direction, and where they lead [S]."""
    if cells.whole and course.coarse:
        return course.walk(begin, end)
    count = course.pulses(begin, end)
    if not cells.whole:
        return count, course.after(begin, count)
    fewer = np.floor(count)
    least, most = course.after(begin, fewer), course.after(begin, fewer + 1)
    more = np.abs(most - end) < np.abs(least - end)
    return np.where(more, fewer + 1, fewer), np.where(more, most, least)


class _Course:
    """The mean trajectory of nominal cells in one direction, 1 (up) or -1 (down).

    coarse tells whether `walk` serves: straight lines between the few levels of a table would
    miss by a good part of a pulse.
    """

    def __init__(self, cells: Cells, way: int) -> None:
        law = cells.law
        self._way = way
        self._family = law.family
        self.coarse = False
        self._low, self._high = cells.low.item(), cells.high.item()
        self._step = law.step_up if way > 0 else law.step_down
        first, rate = law.up if way > 0 else law.down
        self._first, self._rate = first.item(), rate.item()
        if self._family in ("tabulated", "sampled"):
            column = law.table[:, 0] if way > 0 else law.table[::-1, 1]
            self._steps = column * self._first / (self._high - self._low)
            self._ladder = _ladder(self._steps)
            self.coarse = len(self._ladder) <= _COARSE

    def pulses(self, begin: Array, end: Array) -> Array:
        """Return the pulses, not whole, from `begin` to `end`, which lies ahead of it."""
        if self._family == "straight":
            return np.asarray(self._way * (end - begin) / self._first)
        if self._family == "affine":
            away = begin - self._first
            share = np.divide(end - begin, away, out=np.zeros_like(away), where=away != 0)
            # On the steepest curves the target is the limit itself, infinitely far away.
            with np.errstate(divide="ignore"):
                count = -np.log1p(np.maximum(share, -1.0)) / self._rate
                if self._rate > 0:
                    left = self._rate * np.abs(away) / (_NEGLIGIBLE * self._step)
                    count = np.minimum(count, np.maximum(np.log(left), 0.0) / self._rate)
            return np.asarray(count)
        return np.asarray(self._rung(end) - self._rung(begin))

    def walk(self, begin: Array, end: Array) -> tuple[Array, Array]:
        """Return the pulses that end nearest to `end`, which lies ahead, and where they do [S]."""
        place, target = self._ahead(begin), self._ahead(end)
        places, count = np.linspace(0, 1, len(self._steps)), np.zeros(begin.shape)
        for _ in range(_COARSE):
            coming = np.minimum(place + np.interp(place, places, self._steps), 1.0)
            nearer = np.abs(coming - target) < np.abs(place - target)
            if not nearer.any():
                break
            place, count = np.where(nearer, coming, place), count + nearer
        return count, self._conductance(place)

    def after(self, begin: Array, count: Array) -> Array:
        """Return where `count` pulses lead [S]."""
        if self._family == "straight":
            reached = begin + self._way * count * self._first
        elif self._family == "affine":
            reached = self._first + (begin - self._first) * np.exp(-count * self._rate)
        else:
            rungs = np.arange(len(self._ladder))
            place = np.interp(self._rung(begin) + count, rungs, self._ladder)
            reached = self._conductance(place)
        return np.asarray(np.clip(reached, self._low, self._high))

    def _rung(self, conductance: Array) -> Array:
        """Return how many pulses from the limit behind lead to a conductance, by straight lines."""
        return np.interp(self._ahead(conductance), self._ladder, np.arange(len(self._ladder)))

    def _ahead(self, conductance: Array) -> Array:
        """Return the distance from the limit behind, 0 to 1."""
        place = (conductance - self._low) / (self._high - self._low)
        return place if self._way > 0 else 1.0 - place

    def _conductance(self, ahead: Array) -> Array:
        """Return the conductances at such distances [S]."""
        place = ahead if self._way > 0 else 1.0 - ahead
        return self._low + place * (self._high - self._low)


def _ladder(steps: Array) -> Array:
    """Return the places, from 0, that pulses lead to one by one; steps, evenly from 0 to 1."""
    places, levels = np.linspace(0, 1, len(steps)), [0.0]
    least = _NEGLIGIBLE * float(np.abs(steps).max())
    while levels[-1] < 1 and len(levels) <= _LONGEST_LADDER:
        step = float(np.interp(levels[-1], places, steps))
        if step <= least:
            break
        levels.append(min(levels[-1] + step, 1.0))
    return np.array(levels)
