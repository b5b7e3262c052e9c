"""Compiled settling of the nodes of a layer; the oracle is `neurohw.circuits.neuron.settle`."""

import numpy as np
from numba import njit, prange

FAST = {"reassoc", "contract", "nsz", "arcp"}
# As in `neurohw.devices.kernels`.
inner = njit(fastmath=FAST, error_model="numpy", forceinline=True)

# exp of this and what follows from it are finite.
MOST = 600.0
# Below this w of w + ln w = y is exp(y) to rounding.
SMALLEST = -37.0
# Largest number of Newton steps of a node with two diodes.
STEPS = 60


@inner
def _share(drive, saturation, slope, resistance):
    """Return (I + I_s)·R/s of a diode behind a resistance R: w of w + ln w = y.

    Fritsch, Shafer, Crowley (1973), Comm. ACM 16, 123: fourth order, two steps to rounding.
    """
    unit = saturation * resistance
    y = (drive + unit) / slope + np.log(unit / slope)
    if y < SMALLEST:
        return np.exp(max(y, -MOST))
    w = y - np.log(y) if y > 1.0 else np.exp(y) / (1.0 + np.exp(y))
    for _ in range(3):
        z = y - np.log(w) - w
        one = 1.0 + w
        q = 2.0 * one * (one + z / 1.5)
        step = z / one * (q - z) / (q - 2.0 * z)
        w += w * step
        if abs(step) < 1e-4:
            break
    return w


@inner
def _diode(voltage, saturation, slope, resistance):
    """Return the current of a diode and its derivative."""
    if resistance > 0.0:
        grown = slope * _share(voltage, saturation, slope, resistance) / resistance
    else:
        grown = saturation * np.exp(min(voltage / slope, MOST))
    return grown - saturation, 1.0 / (resistance + slope / max(grown, 1e-300))


@inner
def _two_diodes(v, free, total, low, high, saturation, slope, resistance):
    """Return the voltage of a node with a diode each way by Newton's method in a bracket."""
    leak = saturation / total
    above, below = max(free, low) + leak, min(free, high) - leak
    v = min(max(v, below), above)
    for _ in range(STEPS):
        down, slope_down = _diode(v - high, saturation, slope, resistance)
        up, slope_up = _diode(low - v, saturation, slope, resistance)
        miss = total * (v - free) + down - up
        if miss > 0.0:
            above = v
        else:
            below = v
        step = v - miss / (total + slope_down + slope_up)
        if not below <= step <= above:
            step = 0.5 * (below + above)
        moved = abs(step - v)
        v = step
        if moved <= 1e-16 * abs(v):
            break
    return v


@inner
def _node(current, total, low, high, saturation, slope, resistance):
    """Return the voltage of one node; where no conductance meets it, 0 V."""
    free = current / total if total != 0.0 else 0.0 * current
    if slope == 0.0:
        # Comparisons, because `min` and `max` would turn a NaN into a limit.
        free = low if free < low else free
        return high if free > high else free
    down, up = free - high, low - free
    drive = down if down >= up else up
    if total == 0.0 or drive == -np.inf:
        return free
    around = resistance + 1.0 / total
    drawn = slope * _share(drive, saturation, slope, around) / around - saturation
    fall = drawn / total
    v = free - fall if down >= up else free + fall
    if down == -np.inf or up == -np.inf:
        return v
    return _two_diodes(v, free, total, low, high, saturation, slope, resistance)


@inner
def _arriving(j, given, coupling, line):
    """Return what flows into a node held at 0 V, from nodes that wires couple to it too."""
    arriving = float(given[j])
    if coupling.shape[0] > 0:
        row = coupling[j]
        added = row[0] * line[0]
        for i in range(1, line.shape[0]):
            added += row[i] * line[i]
        arriving += added
    return arriving


@inner
def _settle_sample(b, current, total, coupling, parameters, voltage):
    """Set every node of one sample, one after the other where wires couple them."""
    line, given, met = voltage[b], current[b], total[b % total.shape[0]]
    for j in range(line.shape[0]):
        line[j] = _node(
            _arriving(j, given, coupling, line),
            float(met[j]),
            parameters[j, 0],
            parameters[j, 1],
            parameters[j, 2],
            parameters[j, 3],
            parameters[j, 4],
        )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def settle(current, total, coupling, parameters, voltage):
    """Set every node of a layer, sample by sample.

    current and voltage (batch, units) [A], [V]; total likewise, or (1, units) for all samples
    [S]; coupling (units, units) [S], or empty where wires couple nothing: else nodes are set one
    after the other, each with the present voltages of all others; parameters (units, 5), see
    `Neurons.parameters`.
    """
    for b in range(voltage.shape[0]):
        _settle_sample(b, current, total, coupling, parameters, voltage)


@njit(cache=True, fastmath=FAST, error_model="numpy", parallel=True)
def settle_on_all_threads(current, total, coupling, parameters, voltage):
    """Do the same as `settle`, samples side by side: for large layers."""
    for b in prange(voltage.shape[0]):
        _settle_sample(b, current, total, coupling, parameters, voltage)


@inner
def _piece(x, knots):
    """Return the number of knots that are not above x: the piece of the curve where x lies."""
    first, stop = 0, knots.shape[0]
    while first < stop:
        middle = (first + stop) // 2
        if knots[middle] <= x:
            first = middle + 1
        else:
            stop = middle
    return first


@inner
def _curve(x, piece, anchors, coefficients):
    """Return the current of one piece of a curve at x, and its derivative."""
    x -= anchors[piece]
    value, slope = 0.0, 0.0
    for k in range(coefficients.shape[1] - 1, -1, -1):
        slope = slope * x + value
        value = value * x + coefficients[piece, k]
    return value, slope


@inner
def _drawn(v, low, high, scale, knots, anchors, coefficients):
    """Return what the elements draw from a node at v."""
    drawn = 0.0
    if high < np.inf:
        drawn += _curve(v - high, _piece(v - high, knots), anchors, coefficients)[0]
    if low > -np.inf:
        drawn -= _curve(low - v, _piece(low - v, knots), anchors, coefficients)[0]
    return scale * drawn


@inner
def _measured_node(current, total, low, high, scale, knots, anchors, coefficients):
    """Return the voltage of a node with one measured element or two.

    Bisection over the knots finds each one's piece, in which Newton's method, or, with lines,
    its first step, ends.
    """
    if total == 0.0:
        return 0.0 * current
    free = current / total
    drawn = _drawn(free, low, high, scale, knots, anchors, coefficients)
    below, above = free - max(drawn, 0.0) / total, free - min(drawn, 0.0) / total
    for source, sign in ((high, 1.0), (low, -1.0)):
        if abs(source) == np.inf:
            continue
        first = _piece(sign * ((below if sign > 0.0 else above) - source), knots)
        stop = _piece(sign * ((above if sign > 0.0 else below) - source), knots)
        while first < stop:
            middle = (first + stop) // 2
            v = source + sign * knots[middle]
            miss = total * (v - free) + _drawn(v, low, high, scale, knots, anchors, coefficients)
            if miss > 0.0:
                above = min(above, v)
            else:
                below = max(below, v)
            if (miss > 0.0) == (sign > 0.0):
                stop = middle
            else:
                first = middle + 1
    v = 0.5 * (below + above)
    down = _piece(v - high, knots)
    up = _piece(low - v, knots)
    for _ in range(STEPS):
        miss, slope = total * (v - free), total
        if high < np.inf:
            value, rise = _curve(v - high, down, anchors, coefficients)
            miss, slope = miss + scale * value, slope + scale * rise
        if low > -np.inf:
            value, rise = _curve(low - v, up, anchors, coefficients)
            miss, slope = miss - scale * value, slope + scale * rise
        if miss > 0.0:
            above = v
        else:
            below = v
        step = v - miss / slope
        if not below <= step <= above:
            step = 0.5 * (below + above)
        moved = abs(step - v)
        v = step
        if moved <= 1e-16 * abs(v):
            break
    return v


@inner
def _settle_measured_sample(
    b, current, total, coupling, parameters, knots, anchors, coefficients, voltage
):
    """Set every node of one sample; see `_settle_sample`."""
    line, given, met = voltage[b], current[b], total[b % total.shape[0]]
    for j in range(line.shape[0]):
        line[j] = _measured_node(
            _arriving(j, given, coupling, line),
            float(met[j]),
            parameters[j, 0],
            parameters[j, 1],
            parameters[j, 2],
            knots,
            anchors,
            coefficients,
        )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def settle_measured(current, total, coupling, parameters, knots, anchors, coefficients, voltage):
    """Set every node of a layer that has measured elements; see `settle`.

    parameters (units, 5), of which low, high and scale count; knots, anchors and coefficients of
    `neurohw.circuits.curves.Characteristic`.
    """
    for b in range(voltage.shape[0]):
        _settle_measured_sample(
            b, current, total, coupling, parameters, knots, anchors, coefficients, voltage
        )


@njit(cache=True, fastmath=FAST, error_model="numpy", parallel=True)
def settle_measured_on_all_threads(
    current, total, coupling, parameters, knots, anchors, coefficients, voltage
):
    """Do the same as `settle_measured`, samples side by side: for large layers."""
    for b in prange(voltage.shape[0]):
        _settle_measured_sample(
            b, current, total, coupling, parameters, knots, anchors, coefficients, voltage
        )


@inner
def _element(x, size, slope, resistance, knots, anchors, coefficients):
    """Return the current of a diode, or of a measured element, at x, and its derivative."""
    if slope > 0.0:
        return _diode(x, size, slope, resistance)
    value, rise = _curve(x, _piece(x, knots), anchors, coefficients)
    return size * value, size * rise


@inner
def _among_cells(flow, v, below, above, low, high, size, slope, resistance, element):
    """Return the voltage, near v, at which the elements of a node draw what flows in.

    flow: of that the coefficients by powers of the voltage. Newton's method, and bisection where
    its steps do not at least halve.
    """
    knots, anchors, coefficients = element
    real = slope > 0.0 or coefficients.shape[0] > 0
    close = 1e-17 * (above - below)
    v = min(max(v, below), above)
    moved = 2.0 * (above - below)
    for _ in range(2 * STEPS):
        miss, rise = 0.0, 0.0
        for k in range(flow.shape[0] - 1, -1, -1):
            rise = rise * v + miss
            miss = miss * v - flow[k]
        if real and high < np.inf:
            value, more = _element(v - high, size, slope, resistance, knots, anchors, coefficients)
            miss, rise = miss + value, rise + more
        if real and low > -np.inf:
            value, more = _element(low - v, size, slope, resistance, knots, anchors, coefficients)
            miss, rise = miss - value, rise + more
        if miss == 0.0:
            break
        if miss != miss:
            return miss
        if miss > 0.0:
            above = v
        else:
            below = v
        step = v - miss / rise
        halved = not (below <= step <= above and abs(step - v) <= 0.5 * moved)
        if halved:
            step = 0.5 * (below + above)
        moved = abs(step - v)
        v = step
        if moved <= close or (moved <= 1e-12 * abs(v) and not halved):
            break
    if real:
        return v
    # Comparisons, because `min` and `max` would turn a NaN into a limit.
    v = low if v < low else v
    return high if v > high else v


@inner
def _settle_among_cells_sample(b, flow, below, above, parameters, element, voltage):
    """Set every node of one sample among nonlinear cells."""
    coefficients = np.empty(flow.shape[0])
    for j in range(voltage.shape[1]):
        coefficients[:] = flow[:, b, j]
        voltage[b, j] = _among_cells(
            coefficients,
            float(voltage[b, j]),
            below[b],
            above[b],
            parameters[j, 0],
            parameters[j, 1],
            parameters[j, 2],
            parameters[j, 3],
            parameters[j, 4],
            element,
        )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def settle_among_cells(flow, below, above, parameters, element, voltage):
    """Set every node of a layer among nonlinear cells; the oracle is the NumPy engine.

    flow (powers, batch, units) [A/V^q] is what flows in by powers of the node's own voltage, which
    stays between below and above, (batch,) [V]; parameters (units, 5), see `Neurons.parameters`;
    element: knots, anchors and coefficients of measured elements, or empty arrays; voltage
    (batch, units) [V].
    """
    for b in range(voltage.shape[0]):
        _settle_among_cells_sample(b, flow, below, above, parameters, element, voltage)


@njit(cache=True, fastmath=FAST, error_model="numpy", parallel=True)
def settle_among_cells_on_all_threads(flow, below, above, parameters, element, voltage):
    """Do the same as `settle_among_cells`, samples side by side: for large layers."""
    for b in prange(voltage.shape[0]):
        _settle_among_cells_sample(b, flow, below, above, parameters, element, voltage)
