"""Programming an array in readable form: the oracle of the kernels, and a fresh array's levels."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.devices.fabrication import Cells
from neurohw.devices.law import moved
from neurohw.update import Update

Array = NDArray[np.floating]

# Steps after which a table is taken to have no further level.
_LONGEST_LADDER = 100_000
# A pulse that moves a cell by less than this share of the nominal step is none; and a part of a
# pulse that is none, either.
_NEGLIGIBLE, _SLACK = 0.01, 1e-3


def first_write(cells: Cells, wanted: Array, event: int = 0) -> Array:
    """Return the conductances after programming fresh cells to `wanted` (units, inputs) [S].

    Each cell takes the nearest of the levels that potentiation from its lower limit can reach,
    those of a table as if all cells had its nominal steps; an ideal cell, or one with analog
    increments, the nearest value within its limits. Cells of a one-sided device start from where
    their reset, number `event` in the array's life, left them.
    """
    law = cells.law
    held: Array = np.clip(wanted, cells.low, cells.high)
    if law.whole:
        first, rate = law.up
        level: Array
        if law.family == "straight":
            level = cells.low + np.rint((held - cells.low) / first) * first
        elif law.family == "affine":
            level = _on_the_curve(cells, held, first, rate)
        else:
            level = _on_the_ladder(cells, held)
        level = np.clip(level, cells.low, cells.high)
        # One more pulse, cut short by the limit, leads to it.
        held = np.where(np.abs(cells.high - held) < np.abs(level - held), cells.high, level)
    if law.reset > 0 or law.reset_sigma > 0:
        held = np.maximum(held, _after_reset(cells, held.shape, event))
    return held


def rewriting_pulses(cells: Cells, written: Array, event: int = 0) -> Array:
    """Return how many pulses it takes to write cells in use to levels of theirs (units, inputs).

    One resets a cell; the others lead from there to `written` on the mean trajectory of the law.
    Those that would move it by less than a hundredth of the nominal step are left out: there may
    be no end to them.
    """
    start = _after_reset(cells, written.shape, event)
    rises = _pulses_from_low(cells, written) - _pulses_from_low(cells, start)
    return np.asarray(1 + np.ceil(np.maximum(rises - _SLACK, 0)))


def _after_reset(cells: Cells, shape: tuple[int, ...], event: int) -> Array:
    """Return where a reset, number `event` in the array's life, leaves cells [S]."""
    law = cells.law
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    normal = randomness.normals(randomness.key(cells.reset_stream, event), index)
    least = cells.low + (law.reset + law.reset_sigma * normal) * (cells.high - cells.low)
    return np.clip(least, cells.low, cells.high)


def _pulses_from_low(cells: Cells, held: Array) -> Array:
    """Return the pulses, not whole, that raise cells from their lower limit to `held` [S]."""
    law = cells.law
    first, rate = law.up
    if law.family == "straight":
        return np.asarray((held - cells.low) / first)
    if law.family == "affine":
        # Only where steps shrink, at a rate above 0, do they become negligible.
        last = np.maximum(rate * (first - cells.low) / (_NEGLIGIBLE * law.step_up), 1.0)
        most = np.where(rate > 0, np.log(last) / rate, np.inf)
        return np.asarray(np.minimum(_on_the_way(cells, held, first, rate), most))
    ladder, span = _ladder(cells)
    counted = np.diff(ladder) >= _NEGLIGIBLE * law.step_up / float(np.median(span))
    places = (held - cells.low) / span
    return np.asarray(np.interp(places, ladder, np.append(0, np.cumsum(counted))))


def _on_the_curve(cells: Cells, held: Array, target: Array, rate: Array) -> Array:
    """Return the nearest point, by pulses, of curves towards a target."""
    pulses = np.rint(_on_the_way(cells, held, target, rate))
    return np.asarray(target - (target - cells.low) * np.exp(-pulses * rate))


def _on_the_way(cells: Cells, held: Array, target: Array, rate: Array) -> Array:
    """Return the pulses, not whole, after which curves towards a target reach `held` [S]."""
    way = target - cells.low
    share = np.divide(held - cells.low, way, out=np.zeros(np.shape(held)), where=way != 0)
    # On the steepest curves the target is the upper limit itself, infinitely far away.
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log1p(-np.minimum(share, 1.0)) / rate)


def _on_the_ladder(cells: Cells, held: Array) -> Array:
    """Return the nearest of the levels that the nominal steps of a table lead to."""
    ladder, span = _ladder(cells)
    between = (ladder[1:] + ladder[:-1]) / 2
    at = np.searchsorted(between, (held - cells.low) / span)
    return np.asarray(cells.low + span * ladder[at])


def _ladder(cells: Cells) -> tuple[Array, Array]:
    """Return the levels of a table, as places between 0 and 1, and the cells' ranges [S]."""
    law = cells.law
    span = np.maximum(cells.high - cells.low, np.finfo(np.float64).tiny)
    unit = law.step_up / float(np.median(span))
    places, levels = np.linspace(0, 1, len(law.table)), [0.0]
    while levels[-1] < 1 and len(levels) <= _LONGEST_LADDER:
        step = unit * np.interp(levels[-1], places, law.table[:, 0])
        if step <= 0:
            break
        levels.append(min(levels[-1] + step, 1.0))
    return np.array(levels), span


def program(
    cells: Cells,
    state: Array,
    update: Update,
    first_event: int,
    read: Array | None = None,
) -> tuple[Array, Array]:
    """Return (state, pulses) after an update: the oracle of `neurohw.devices.kernels`.

    Parameters
    ----------
    cells : Cells
    state : (units, inputs) array [S]
        What pulses move.
    update : Update
    first_event : int
    read : (units, inputs) array, optional [S]
        What is read of the cells, where writing leaves something else than the state; changed in
        place.

    Returns
    -------
    state, pulses : (units, inputs) arrays
        [S], and how many pulses each cell took.
    """
    law = cells.law
    g: Array = state.astype(np.float64)
    units, inputs = g.shape
    count = np.zeros(g.shape)
    index = np.arange(units * inputs).reshape(units, inputs)
    for event in range(first_event, first_event + len(update.presynaptic)):
        wanted = update.dense(g, event - first_event)
        if cells.ideal:
            g = np.clip(g + wanted, cells.low, cells.high)
            continue
        pulses = wanted / np.where(wanted > 0, *law.counted)
        if law.whole:
            key = randomness.key(cells.rounding_stream, event)
            pulses = np.floor(pulses + randomness.roundings(key, index))
        pulses = np.clip(pulses, -law.limit_down, law.limit_up)
        g = pulse(cells, g, pulses, event, read)
        count += np.abs(pulses)
    return g, count


def pulse(
    cells: Cells, state: Array, pulses: Array, event: int, read: Array | None = None
) -> Array:
    """Return the state after signed pulses (units, inputs) in one event: the cells' law.

    The oracle of `neurohw.devices.kernels.pulse`.
    """
    law = cells.law
    units, inputs = state.shape
    index = np.arange(units * inputs).reshape(units, inputs)
    samples = randomness.words(randomness.key(cells.sample_stream, event), index)
    g, deviation = moved(law, cells.low, cells.high, state, pulses, samples)
    if law.noisy:
        key = randomness.key(cells.cycle_stream, event)
        g = g + deviation * randomness.normals(key, index)
    g = np.clip(g, cells.low, cells.high)
    if read is not None:
        key = randomness.key(cells.write_stream, event)
        noise = law.write_sigma * randomness.normals(key, index)
        moves = (pulses != 0) & (cells.low < cells.high)
        read[:] = np.where(moves, np.maximum(g + noise, 0.0), read)
    return g


def symmetry_points(cells: Cells) -> Array:
    """Return where changes up and down that are wanted alike cancel, (units, inputs) or (1, 1).

    In the mean over as many pulses as the controller takes each for; a limit where they nowhere
    do, the middle where they do everywhere [S].
    """
    law = cells.law
    if law.family == "sampled":
        means = np.hstack((law.table[:, :2], np.zeros((len(law.table), 2))))
        law = replace(law, family="tabulated", table=means)
    shape = np.broadcast_shapes(cells.low.shape, cells.high.shape, law.up[0].shape)
    low, high = (np.array(np.broadcast_to(g, shape), float) for g in (cells.low, cells.high))

    def excess(g: Array) -> Array:
        """Return the sum of a pulse up and one down, each in units of its nominal step."""
        up, down = (
            (moved(law, cells.low, cells.high, g, np.full(shape, sign))[0] - g) / step
            for sign, step in zip((1.0, -1.0), law.counted, strict=True)
        )
        return up + down

    middle = (low + high) / 2
    even = np.abs(excess(middle)) < 1e-9
    for _ in range(40):
        point = (low + high) / 2
        rises = excess(point) > 0
        low, high = np.where(rises, point, low), np.where(rises, high, point)
    return np.asarray(np.where(even, middle, (low + high) / 2))
