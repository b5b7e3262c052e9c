"""Where the readings of devices lie, and how large steps are there: where fits start."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neurohw.devices.fitting.following import FLOOR
from neurohw.devices.fitting.traces import Traces
from neurohw.errors import DataError

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False, kw_only=True)
class Ranges:
    """Where the readings of devices lie, and what counts as 0 and 1 in a fit.

    Parameters
    ----------
    low, high, up, down : (devices,) arrays [S]
        Typical ends of a trace, and steps in between.
    offset, unit : float [S]
    """

    low: Array
    high: Array
    up: Array
    down: Array
    offset: float
    unit: float


def ranges(traces: Traces) -> Ranges:
    """Return where the readings of devices lie.

    Raises
    ------
    DataError
        If pulses of a polarity move conductances the wrong way, or nothing moves them.
    """
    count = len(traces.devices)
    ends = np.array([_ends(traces, d) for d in range(count)])
    low, high = ends.T
    width = high - low
    unit = float(np.median(width))
    if not unit > 0:
        raise DataError(f"{traces.source}: no pulse changes the conductance")
    steps = {}
    for pulse, name in ((1, "up"), (-1, "down")):
        shares = np.concatenate(
            [_changes(traces, d, pulse, low[d], high[d], 9.0) / width[d] for d in range(count)]
        )
        usual, error = float(shares.mean()), float(shares.std() / np.sqrt(shares.size))
        if usual < -3 * error:
            way = "fall" if pulse > 0 else "rise"
            raise DataError(
                f"{traces.source}: polarity: conductances {way} by pulses of polarity {pulse:+d}"
            )
        each = [_changes(traces, d, pulse, low[d], high[d], 0.35) for d in range(count)]
        typical = max(usual, error, 10 * FLOOR) * width
        own = np.array([change.mean() if change.size else np.nan for change in each])
        own = np.where(np.isfinite(own), own, typical)
        steps[name] = np.clip(own, 0.2 * typical, 5 * typical)
    return Ranges(low=low, high=high, **steps, offset=float(low.min()), unit=unit)


def _ends(traces: Traces, device: int) -> tuple[float, float]:
    """Return the medians of the lowest and of the highest reading of a device's cycles.

    Of three readings in a row the middle one counts, so that a single outlier does not.
    """
    rows = (traces.device == device) & np.isfinite(traces.reading)
    edges = np.flatnonzero(np.diff(traces.cycle[rows])) + 1
    parts = [
        np.median(sliding_window_view(part, min(3, part.size)), axis=1)
        for part in np.split(traces.reading[rows], edges)
    ]
    return float(np.median([p.min() for p in parts])), float(np.median([p.max() for p in parts]))


def successive(traces: Traces) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of readings that follow each other, pulses of one polarity between them."""
    rows = np.flatnonzero(np.isfinite(traces.reading))
    first, last = rows[:-1], rows[1:]
    same = traces.trace[first] == traces.trace[last]
    return first[same], last[same]


def _changes(
    traces: Traces, device: int, pulse: int, low: float, high: float, within: float
) -> Array:
    """Return changes by pulses of a polarity, far ones held.

    Of readings that are less than `within` times the range off its middle.
    """
    first, last = successive(traces)
    readings = traces.reading
    middle = np.abs(readings[first] - (low + high) / 2) < within * (high - low)
    rows = (traces.device[last] == device) & (traces.pulse[last] == pulse) & middle
    change = (pulse * (readings[last] - readings[first]) / (last - first))[rows]
    if change.size == 0:
        return np.zeros(0)
    centre = np.median(change)
    far = 6 * np.median(np.abs(change - centre)) + 1e-12 * (high - low)
    return np.asarray(np.clip(change, centre - far, centre + far))
