"""Compiled competition: steady states of inhibition, ranks, the largest change of a weight.

The readable forms are in `neurohw.learning.competition.dynamics` and `plasticity`.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def settle(currents, inhibition, states):
    """Write the steady states (batch, units) of lateral inhibition for currents (batch, units).

    Units that cannot be active are struck out until no more are; what is left only ever shrinks,
    as does what it is struck out by, so a few passes do.
    """
    batch, units = currents.shape
    for b in range(batch):
        line, out = currents[b], states[b]
        best = 0
        for u in range(1, units):
            if line[u] > line[best]:
                best = u
        inhibited = 0.0
        if inhibition >= 1.0:
            inhibited = inhibition * max(float(line[best]), 0.0)
        else:
            active = -1
            while True:
                total, count = 0.0, 0
                for u in range(units):
                    if line[u] > inhibited:
                        total += line[u]
                        count += 1
                if count == active or count == 0:
                    break
                active = count
                inhibited = inhibition * total / (1.0 - inhibition + inhibition * count)
        for u in range(units):
            rest = line[u] - inhibited
            if inhibition < 1.0:
                out[u] = rest / (1.0 - inhibition) if rest > 0.0 else rest
            else:
                out[u] = line[u] if u == best and line[u] > 0.0 else rest


@njit(cache=True)
def rank(currents, place, strength, gates):
    """Write gates (batch, units): 1 for the largest current, −strength for the one of a rank."""
    batch, units = currents.shape
    values = np.empty(place, currents.dtype)
    found = np.empty(place, np.int64)
    for b in range(batch):
        line = currents[b]
        held = 0
        for u in range(units):
            v = line[u]
            if held == place and v <= values[place - 1]:
                continue
            k = held if held < place else place - 1
            while k > 0 and values[k - 1] < v:
                values[k], found[k] = values[k - 1], found[k - 1]
                k -= 1
            values[k], found[k] = v, u
            held += 1 if held < place else 0
        gates[b, :] = 0
        gates[b, found[place - 1]] = -strength
        gates[b, found[0]] = 1


@njit(cache=True, fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy")
def largest_change(weights, inputs, gates, pulled):
    """Return the largest |Σ_b g·v − pulled·W| of any cell, without the units that no gate opens.

    weights (units, inputs), inputs (batch, inputs), gates (batch, units), pulled (units,).
    """
    batch, units = gates.shape
    lines = weights.shape[1]
    change = np.empty(lines, weights.dtype)
    opened = np.zeros(units, np.bool_)
    for b in range(batch):
        for u in range(units):
            if gates[b, u] != 0:
                opened[u] = True
    largest = weights.dtype.type(0)
    for u in range(units):
        if not opened[u]:
            continue
        w, s = weights[u], pulled[u]
        for i in range(lines):
            change[i] = -s * w[i]
        for b in range(batch):
            g = gates[b, u]
            if g != 0:
                v = inputs[b]
                for i in range(lines):
                    change[i] += g * v[i]
        for i in range(lines):
            largest = max(largest, abs(change[i]))
    return largest
