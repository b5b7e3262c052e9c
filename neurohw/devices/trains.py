"""Stochastic pulse trains on the lines of an array: a cell takes a pulse where two coincide.

A product of line signals x·d [S] is carried by trains of L slots. A slot of an input line has a
pulse with probability p_x, one of a unit line with p_d, so that a cell takes L·p_x·p_d pulses of
size s in the mean, which is x·d/s with

    p_x = √(d_max / (x_max·s·L))·|x|,   p_d = √(x_max / (d_max·s·L))·|d|,   L = ⌈x_max·d_max/s⌉,

both at most 1. Where L would be above 31, it is 31, and d_max is lowered until both probabilities
of the largest signals are 1: larger |d| saturate. Upward and downward pulses are phases of their
own, so that steps of unlike size have unlike probabilities on the unit lines.

References
----------
Gokmen, Vlasov (2016), "Acceleration of deep neural network training with resistive cross-point
devices", Front. Neurosci. 10, 333; the scaling by the largest signals is that of Rasch et al.
(2021), IEEE AICAS.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.devices import kernels
from neurohw.devices.fabrication import Cells

Array = NDArray[np.floating]
Slots = NDArray[np.uint32]

MOST_SLOTS = 31


class Chances(NamedTuple):
    """Probabilities of a pulse in a slot, (event, term, lines) each, and slots (event, term).

    `above` are those of unit lines against input lines of positive sign, `below` of negative.
    """

    inputs: Array
    above: Array
    below: Array
    lengths: NDArray[np.int32]


def chances(cells: Cells, x: Array, d: Array) -> Chances:
    """Return how often lines pulse for x (event, term, inputs) and d (event, term, units)."""
    up, down = cells.law.counted
    step = min(up, down)
    x_max, d_max = (np.abs(v).max(axis=2).astype(np.float64) for v in (x, d))
    wanted = x_max * d_max / step
    silent = ~(wanted > 0)
    lengths = np.where(silent, 0, np.clip(np.ceil(wanted), 1, MOST_SLOTS))
    d_max = d_max * np.minimum(1.0, MOST_SLOTS / np.where(silent, 1.0, wanted))
    with np.errstate(divide="ignore", invalid="ignore"):
        on_inputs = np.sqrt(d_max / (x_max * step * lengths))
        on_units = np.sqrt(x_max / (d_max * step * lengths))
    on_inputs[silent] = on_units[silent] = 0.0
    p_x = np.minimum(on_inputs[:, :, None] * np.abs(x), 1.0)
    p_d = on_units[:, :, None] * np.abs(d)
    rises, falls = (np.minimum(p_d * (step / s), 1.0) for s in (up, down))
    positive = d > 0
    both = np.where(positive, rises, falls), np.where(positive, falls, rises)
    above, below = (p.astype(np.float32) for p in both)
    return Chances(p_x.astype(np.float32), above, below, lengths.astype(np.int32))


def drawn(chances: Array, lengths: NDArray[np.int32], stream: int, first_number: int) -> Slots:
    """Return the pulses of trains, a bit a slot: the oracle of `kernels.draw_trains`."""
    events, terms, lines = chances.shape
    slots = np.zeros(chances.shape, np.uint32)
    for e, t in np.ndindex(events, terms):
        key = randomness.key(stream, (first_number + e) * terms + t)
        for k in range(lengths[e, t]):
            draws = randomness.roundings(key, k * lines + np.arange(lines))
            slots[e, t] |= (draws < chances[e, t]).astype(np.uint32) << np.uint32(k)
    return slots


def coincidences(cells: Cells, x: Array, d: Array, first_number: int) -> Array:
    """Return the signed pulses of every cell, (event, units, inputs): the oracle of `apply`.

    x (event, term, inputs) and d (event, term, units), their products in siemens; terms add up.
    """
    p = chances(cells, x, d)
    on_inputs = drawn(p.inputs, p.lengths, cells.input_stream, first_number)
    above, below = (
        drawn(q, p.lengths, cells.unit_stream, first_number) for q in (p.above, p.below)
    )
    events, terms, inputs = x.shape
    total = np.zeros((events, d.shape[2], inputs))
    for e, t in np.ndindex(events, terms):
        of_unit = np.where(x[e, t] > 0, above[e, t][:, None], below[e, t][:, None])
        met = np.bitwise_count(on_inputs[e, t] & of_unit)
        total[e] += np.sign(d[e, t])[:, None] * np.sign(x[e, t]) * met
    return np.clip(total, -cells.law.limit_down, cells.law.limit_up)


def compiled(
    cells: Cells, x: Array, d: Array, first_number: int
) -> tuple[NDArray[np.generic], ...]:
    """Return the trains as `kernels.coincide` takes them."""
    p = chances(cells, x, d)
    slots, above, below = (np.empty(q.shape, np.uint32) for q in (p.inputs, p.above, p.below))
    streams = (np.uint64(s) for s in (cells.input_stream, cells.unit_stream, cells.unit_stream))
    for q, stream, out in zip(p[:3], streams, (slots, above, below), strict=True):
        kernels.draw_trains(q, p.lengths, stream, first_number, out)
    signs = np.sign(x).astype(np.float32)
    lines = np.empty((len(x), x.shape[2]), np.int32)
    count = np.empty(len(x), np.int32)
    kernels.drop_silent(slots, signs, lines, count)
    return lines, count, slots, signs, above, below, np.sign(d).astype(np.float32)
