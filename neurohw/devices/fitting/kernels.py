"""Compiled filter that follows measured traces: what a device was expected to do, pulse by pulse.

It is written in plain scalars, so it also reads as what it computes; see
`neurohw.devices.fitting.following` for the model.
"""

import math

import numpy as np
from numba import njit

ROOT_HALF = math.sqrt(0.5)
ROOT_TWO_PI = math.sqrt(2 * math.pi)


@njit(cache=True)
def _clipped(mean, variance, low, high):
    """Give mean and variance of a normal variable held between two limits."""
    if variance < 1e-30:
        return min(max(mean, low), high), 0.0
    deviation = math.sqrt(variance)
    a, b = (low - mean) / deviation, (high - mean) / deviation
    if a < -6.0 and b > 6.0:
        return mean, variance
    below, above = 0.5 * math.erfc(-a * ROOT_HALF), 0.5 * math.erfc(b * ROOT_HALF)
    density_a = math.exp(-0.5 * a * a) / ROOT_TWO_PI
    density_b = math.exp(-0.5 * b * b) / ROOT_TWO_PI
    # Of standard normal draws between the two; an infinite limit has no draws beyond it.
    first = density_a - density_b
    second = 1.0 - below - above
    if below > 0.0:
        first += a * below
        second += a * a * below + a * density_a
    if above > 0.0:
        first += b * above
        second += b * b * above - b * density_b
    return mean + deviation * first, variance * max(second - first * first, 0.0)


@njit(cache=True)
def _at(table, device, column, place):
    """Look up a column of a device's table at a place from 0 to 1, by straight lines."""
    intervals = table.shape[1] - 1
    at = min(max(place, 0.0), 1.0) * intervals
    k = min(int(at), intervals - 1)
    share = at - k
    return table[device, k, column] * (1 - share) + table[device, k + 1, column] * share


@njit(cache=True)
def follow(
    reading,
    pulse,
    device,
    table,
    low,
    high,
    read_variance,
    cut,
    frozen,
    deviation,
    gain,
    spread,
    away,
    state,
):
    """Predict each reading from those before it.

    Parameters
    ----------
    reading, pulse, device : (rows,) arrays
        As `neurohw.devices.fitting.traces.Traces`.
    table : (devices, places, 4) array
        Steps up and down, and their deviations, at places from `low` to `high`, evenly.
    low, high : (devices,) arrays
    read_variance : float
        Of a reading about the state.
    cut : float
        Readings count as this many deviations away at most.
    frozen : bool
        Take `deviation`, `gain` and `spread` as they are instead of computing them.
    deviation, gain, spread, away, state : (rows,) arrays
        Changed in place: deviation of a state before its limits, share of what a reading was away
        that goes into the state, deviation of the reading, what it was away from the mean, and
        the mean of the state in the end.
    """
    mean, variance = 0.0, 0.0
    half = 0.5 / (table.shape[1] - 1)
    for t in range(reading.size):
        away[t] = 0.0
        if pulse[t] == 0:
            mean, variance = reading[t], read_variance
            state[t] = mean
            continue
        d = device[t]
        column = 0 if pulse[t] > 0 else 1
        width = high[d] - low[d]
        place = min(max((mean - low[d]) / width, 0.0), 1.0)
        mean += pulse[t] * _at(table, d, column, place)
        if not frozen:
            # The slope between two places, not at one: it must not jump where the mean goes.
            lower, upper = max(place - half, 0.0), min(place + half, 1.0)
            rise = _at(table, d, column, upper) - _at(table, d, column, lower)
            slope = 1.0 + pulse[t] * rise / ((upper - lower) * width)
            noise = _at(table, d, column + 2, place)
            variance = slope * slope * variance + noise * noise
            deviation[t] = math.sqrt(variance)
        mean, variance = _clipped(mean, deviation[t] * deviation[t], low[d], high[d])
        if not frozen:
            spread[t] = math.sqrt(variance + read_variance)
            gain[t] = variance / (variance + read_variance)
        if not np.isnan(reading[t]):
            away[t] = reading[t] - mean
            most = cut * spread[t]
            mean += gain[t] * min(max(away[t], -most), most)
            variance *= 1.0 - gain[t]
        state[t] = mean
