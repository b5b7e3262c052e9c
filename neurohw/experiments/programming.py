"""What write pulses cost: energy and time of those that an array's cells have counted.

A run holds how many pulses each cell took, not their signs. Those follow from the law: pulses up
minus pulses down, times the steps of the law between the first and the last conductance, make the
change of the cell.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.costs import Costs, pulse_energy
from neurohw.circuits.tiles import tiles_of
from neurohw.devices.device import MemoryDevice
from neurohw.devices.fabrication import Cells
from neurohw.devices.law import moved

Array = NDArray[np.floating]


class Writing(msgspec.Struct, frozen=True, kw_only=True):
    """Pulses of an array: their number, energy in cells and lines [J], and time [s].

    half_selected is the energy of cells that are not written.
    """

    pulses: float
    cells: float
    half_selected: float
    lines: float
    time: float


def signs(cells: Cells, start: Array, end: Array, pulses: NDArray[Any]) -> tuple[Array, Array]:
    """Return how many of the pulses of each cell went up and down, (units, inputs).

    start and end, its conductances before and after (units, inputs) [S].
    """
    count = np.asarray(pulses, np.float64)
    middle = 0.5 * (start.astype(np.float64) + end)
    one = np.ones_like(middle)
    up, down = (
        sign * (np.clip(_after(cells, middle, sign * one), cells.low, cells.high) - middle)
        for sign in (1, -1)
    )
    if cells.law.limit_down == 0:  # they are only lowered by being written anew
        return count, np.zeros_like(count)
    both = up + down
    share = np.divide(end - start + count * down, both, out=0.5 * count, where=both > 0)
    rising = np.clip(share, 0.0, count)
    return rising, count - rising


def _after(cells: Cells, conductance: Array, pulses: Array) -> Array:
    """Return the mean conductance after pulses, of a law that is sampled its median [S]."""
    draws = np.full(conductance.shape, 1 << 31, np.uint32)
    return moved(cells.law, cells.low, cells.high, conductance, pulses, draws)[0]


def writing(
    costs: Costs,
    device: MemoryDevice,
    cells: Cells,
    start: Array,
    end: Array,
    pulses: NDArray[Any],
    *,
    events: int,
    tile: int | None = None,
) -> Writing:
    """Return the costs of an array's pulses, of which only the number is known.

    cells, start, end and pulses as `signs` takes them, the rest as `pulsed`.
    """
    given = signs(cells, start, end, pulses)
    return pulsed(costs, device, given, start, end, events=events, tile=tile)


def pulsed(
    costs: Costs,
    device: MemoryDevice,
    given: tuple[Array, Array],
    start: Array,
    end: Array,
    *,
    events: int,
    tile: int | None = None,
    lines: tuple[int, int] | None = None,
) -> Writing:
    """Return the costs of an array's pulses.

    Parameters
    ----------
    costs : Costs
    device : MemoryDevice
    given : two (units, inputs) arrays
        Pulses up and down that each cell took.
    start, end : (units, inputs) arrays [S]
        Its conductances before and after.
    events : int
        Updates in which the pulses came, independently of each other where `costs.write` asks how
        many cells of a line are written at once.
    tile : int, optional
        Largest number of lines that are wired together; tiles are written at the same time.
    lines : (int, int), optional
        Cells that a word line and a bit line pass, where these cells are a part of a tile only.
    """
    directions = (
        (given[0], device.pulse_voltage_up, device.pulse_width_up),
        (given[1], device.pulse_voltage_down, device.pulse_width_down),
    )
    total = {"pulses": 0.0, "cells": 0.0, "half_selected": 0.0, "lines": 0.0}
    longest = 0.0
    for j0, j1, i0, i1 in tiles_of(len(start), start.shape[1], tile or start.size):
        part = np.s_[j0:j1, i0:i1]
        before, after, time = start[part].astype(np.float64), end[part].astype(np.float64), 0.0
        for count, voltage, width in directions:
            count = count[part]
            energy = pulse_energy(voltage, width, before, after)
            slots = _slots(costs, count, events)
            word, bit = map(costs.line_capacitance, lines or before.shape)
            total["pulses"] += count.sum()
            total["cells"] += (count * energy).sum()
            total["lines"] += voltage**2 * (word * slots.sum() + bit * count.sum())
            if costs.access == "none":
                # Cells of the word lines that are on, and of the bit lines that take a pulse.
                others = slots @ energy.sum(axis=0) + count.sum(axis=1) @ energy.sum(axis=1)
                total["half_selected"] += (others - 2 * (count * energy).sum()) / 4
            time += width * slots.sum()
        longest = max(longest, time)
    return Writing(**{key: float(value) for key, value in total.items()}, time=float(longest))


def _slots(costs: Costs, count: Array, events: int) -> Array:
    """Return how many times each word line is on, (inputs,), for (units, inputs) pulses."""
    if costs.write == "cells":
        return np.asarray(count.sum(axis=0))
    each = count / max(events, 1)
    # Of independent pulses; a cell that takes several in an update needs them one by one.
    together = np.maximum(-np.expm1(-each.sum(axis=0)), each.max(axis=0))
    return np.asarray(max(events, 1) * together)
