"""Compiled integration of the voltages of a network in time, sample by sample.

TR-BDF2: a trapezoidal stage to 2 − √2 of the step, a second-order backward difference to its end;
L-stable, with a third-order companion for the error. Both stages have one matrix,
C/(d·h) + A + slopes, whose factors are kept while it changes little. Nodes are ordered by layer,
which only neighbours join, so elimination of a node reaches to the end of the next layer. The
matrix of a passive circuit needs no pivoting, and a pivot that is not positive says that the step
is too long for its solution to be unique.

References
----------
Bank et al. (1985), IEEE Trans. Electron Devices 32, 1992; Hosea and Shampine (1996), Appl. Numer.
Math. 20, 21, for the error estimate.
"""

import numpy as np
from numba import njit, prange

FAST = {"reassoc", "contract", "nsz", "arcp"}
# As in `neurohw.devices.kernels`.
inner = njit(fastmath=FAST, error_model="numpy", forceinline=True)
# Larger parts are called, which compiles in a fraction of the time.
part = njit(cache=True, fastmath=FAST, error_model="numpy")

W = np.sqrt(2.0) / 4.0
D = 1.0 - np.sqrt(0.5)
# Weights of the third-order companion, and what the method's own weights exceed them by.
THIRD = ((1.0 - W) / 3.0, (3.0 * W + 1.0) / 3.0, D / 3.0)
EXCESS = ((4.0 * W - 1.0) / 3.0, -1.0 / 3.0, 2.0 * D / 3.0)

# A stage is solved to this share of the error allowed in a step, in at most so many iterations.
NEAR = 1e-2
NEWTON = 25
# Change of a diode's slope, over a node's conductance, up to which factors are kept.
STALE = 0.1
# Below this share of the largest voltage no error is counted.
FLOOR = 1e-12
STEPS = 200_000
MOST = 600.0
FREE, LIMITED, HELD = 0, 1, 2


@inner
def _lambert(y):
    """Return w of w + ln w = y by Newton's method, which converges from both sides."""
    w = y - np.log(y) if y > 1.0 else np.exp(y)
    if w < 1e-300:
        return 1e-300
    for _ in range(6):
        w *= (1.0 + y - np.log(w)) / (1.0 + w)
    return w


@inner
def _diode(voltage, saturation, slope, resistance):
    """Return the current of a diode and its derivative."""
    junction = voltage
    if resistance > 0.0:
        unit = saturation * resistance
        y = (voltage + unit) / slope + np.log(unit / slope)
        junction = voltage + unit - slope * _lambert(y)
    grown = saturation * np.exp(min(junction / slope, MOST))
    return grown - saturation, 1.0 / (resistance + slope / max(grown, 1e-300))


@inner
def _curve(voltage, knots, anchors, coefficients):
    """Return the current of a measured element and its derivative."""
    piece, stop = 0, knots.shape[0]
    while piece < stop:
        middle = (piece + stop) // 2
        if knots[middle] <= voltage:
            piece = middle + 1
        else:
            stop = middle
    away = voltage - anchors[piece]
    value, slope = 0.0, 0.0
    for k in range(coefficients.shape[1] - 1, -1, -1):
        slope = slope * away + value
        value = value * away + coefficients[piece, k]
    return value, slope


@inner
def _element(voltage, parameters, curve):
    """Return the current of a diode or a measured element, and its derivative.

    Nothing flows at −∞, where there is no source, or through elements without a size.
    """
    size, width, resistance = parameters[2], parameters[3], parameters[4]
    if size == 0.0 or voltage == -np.inf:
        return 0.0, 0.0
    if width > 0.0:
        return _diode(voltage, size, width, resistance)
    knots, anchors, coefficients = curve
    value, slope = _curve(voltage, knots, anchors, coefficients)
    return size * value, size * slope


@inner
def _limited(old, new, critical, slope):
    """Return a diode's next voltage: beyond `critical` its exponential grows as Newton's step."""
    base = max(old, critical)
    return base + slope * np.log1p((new - base) / slope) if new > base else new


@part
def _balance(circuit, drive, v, current, slope, coupling):
    """Set what flows towards each capacitor [A], and the slope of its elements [S].

    Of nonlinear cells, if there are any, also what they couple nodes with, (nodes, nodes) [S].
    """
    matrix, diodes, curve = circuit[0], circuit[1], circuit[6:9]
    sample, lines = drive
    injected, added = sample[0], sample[1]
    n = len(v)
    for j in range(n):
        row = matrix[j]
        leaving = row[0] * v[0]
        for i in range(1, n):
            leaving += row[i] * v[i]
        down, slope_down = _element(v[j] - diodes[j, 1], diodes[j], curve)
        up, slope_up = _element(diodes[j, 0] - v[j], diodes[j], curve)
        current[j] = injected[j] - added[j] * v[j] - leaving - down + up
        slope[j] = slope_down + slope_up
    if len(coupling):
        _among_cells(circuit, lines, v, current, slope, coupling)


@part
def _among_cells(circuit, lines, v, current, slope, coupling):
    """Add the currents of nonlinear cells and their slopes, and set what they couple."""
    cells, knots, anchors, coefficients = circuit[9:]
    coupling[:] = 0.0
    for j in range(len(v)):
        for i in range(cells.shape[1]):
            g, below = cells[j, i], i - len(lines)
            if g == 0.0:
                continue
            x = lines[i] if below < 0 else v[below]
            value, rise = _curve(x - v[j], knots, anchors, coefficients)
            current[j] += g * value
            slope[j] += g * rise
            if below >= 0:
                current[below] -= g * value
                slope[below] += g * rise
                coupling[j, below] = coupling[below, j] = g * rise


@part
def _factor(m, first, last):
    """Eliminate in place; return whether all pivots are positive."""
    for k in range(len(m)):
        if not m[k, k] > 0.0:
            return False
        a, z = first[k], last[k]
        for i in range(a, z):
            if m[i, k] != 0.0:
                c = m[i, k] / m[k, k]
                m[i, k] = c
                for j in range(a, z):
                    m[i, j] -= c * m[k, j]
    return True


@part
def _solve(m, first, last, x):
    """Replace currents by voltages with what `_factor` left."""
    n = len(x)
    for k in range(n):
        c = x[k]
        for i in range(first[k], last[k]):
            x[i] -= m[i, k] * c
    for k in range(n - 1, -1, -1):
        c = x[k]
        for i in range(first[k], last[k]):
            c -= m[k, i] * x[i]
        x[k] = c / m[k, k]


@part
def _stage(circuit, drive, w, span, weight, v, factors):
    """Solve C·(v − w)/span = current(v) within the clamps, starting from v; whether it worked."""
    matrix, diodes, capacitance, limit, first, last = circuit[:6]
    sample = drive[0]
    added, low, high = sample[1], sample[2], sample[3]
    m, mode, known_slope, known_span, current, slope, change, coupling = factors
    n = len(v)
    for _ in range(NEWTON):
        _balance(circuit, drive, v, current, slope, coupling)
        worst, stale = 0.0, known_span[0] != span
        for j in range(n):
            inertia = capacitance[j] / span
            miss = min(max(current[j], -limit[j]), limit[j]) - inertia * (v[j] - w[j])
            kind = LIMITED if abs(current[j]) > limit[j] else FREE
            if (v[j] <= low[j] and miss <= 0.0) or (v[j] >= high[j] and miss >= 0.0):
                kind, miss = HELD, 0.0
            own = inertia
            if kind == FREE:
                own += matrix[j, j] + added[j] + slope[j]
            stale |= kind != mode[j] or abs(slope[j] - known_slope[j]) > STALE * abs(own)
            mode[j], change[j] = kind, miss
            worst = max(worst, abs(miss) / abs(own) / weight[j])
        if worst <= NEAR:
            return True
        if stale:
            known_span[0] = 0.0
            for j in range(n):
                for i in range(n):
                    m[j, i] = matrix[j, i] if mode[j] == FREE else 0.0
                    if len(coupling) and mode[j] == FREE:
                        m[j, i] -= coupling[j, i]
                m[j, j] += capacitance[j] / span
                if mode[j] == FREE:
                    m[j, j] += added[j] + slope[j]
                known_slope[j] = slope[j]
            if not _factor(m, first, last):
                return False
            known_span[0] = span
        _solve(m, first, last, change)
        moved = 0.0
        for j in range(n):
            new = v[j] + change[j]
            bottom, top, width = diodes[j, 0], diodes[j, 1], diodes[j, 3]
            if width > 0.0 and diodes[j, 4] == 0.0:
                total = capacitance[j] / span + matrix[j, j] + added[j]
                critical = width * np.log(max(width * total / diodes[j, 2], 1.0))
                if new > v[j] and top < np.inf:
                    new = top + _limited(v[j] - top, new - top, critical, width)
                elif new < v[j] and bottom > -np.inf:
                    new = bottom - _limited(bottom - v[j], bottom - new, critical, width)
            new = min(max(new, low[j]), high[j])
            moved = max(moved, abs(new - v[j]) / weight[j])
            v[j] = new
        if moved <= NEAR:
            return True
    return False


@part
def _tally(circuit, drive, v, rate, share, work, tally):
    """Add a moment of the given share [s] to the integrals of `integrate`."""
    diodes, capacitance, limit = circuit[1], circuit[2], circuit[3]
    sample, lines = drive
    low, high = sample[2], sample[3]
    current, slope, coupling = work
    moments, losses = tally
    _balance(circuit, drive, v, current, slope, coupling)
    n = len(v)
    moments[0, 0] += share
    for j in range(n):
        moments[0, j + 1] += share * v[j]
        for i in range(n):
            moments[j + 1, i + 1] += share * v[j] * v[i]
        bottom, top, width = diodes[j, 0], diodes[j, 1], diodes[j, 3]
        down, _ = _element(v[j] - top, diodes[j], circuit[6:9])
        up, _ = _element(bottom - v[j], diodes[j], circuit[6:9])
        passed = min(max(current[j], -limit[j]), limit[j])
        losses[4, j] += share * (current[j] - passed) * v[j]
        held = passed - capacitance[j] * rate[j]
        if width == 0.0 and v[j] >= high[j]:
            down, top = held, high[j]
        elif width == 0.0 and v[j] <= low[j]:
            up, bottom = -held, low[j]
        losses[0, j] += share * up
        losses[1, j] += share * down
        if up != 0.0:
            losses[2, j] += share * up * (bottom - v[j])
        if down != 0.0:
            losses[3, j] += share * down * (v[j] - top)
    cells, knots, anchors, coefficients = circuit[9:]
    for j in range(len(cells)):
        for i in range(cells.shape[1]):
            x = lines[i] if i < len(lines) else v[i - len(lines)]
            value, _ = _curve(x - v[j], knots, anchors, coefficients)
            losses[5, j] += share * cells[j, i] * value * (x - v[j])
            if i < len(lines):
                losses[6, j] += share * cells[j, i] * value * x


@part
def _weigh(v, start, layers, tolerance, floor, weight):
    """Raise the error that each node is allowed to a share of its layer's way from the start."""
    for k in range(len(layers) - 1):
        way = 0.0
        for j in range(layers[k], layers[k + 1]):
            way = max(way, abs(v[j] - start[j]))
        allowed = max(tolerance * way, floor)
        for j in range(layers[k], layers[k + 1]):
            weight[j] = max(weight[j], allowed)


@part
def _begin(circuit, drive, v, rate, work):
    """Set the first rates [V/s]; return shortest time constant, largest voltage, and validity."""
    matrix, capacitance, limit = circuit[0], circuit[2], circuit[3]
    sample, lines = drive
    injected, added, low, high = sample[0], sample[1], sample[2], sample[3]
    current, slope, coupling = work
    _balance(circuit, drive, v, current, slope, coupling)
    largest, fastest, finite = 1e-300, np.inf, True
    for line in lines:
        largest = max(largest, abs(line))
    for j in range(len(v)):
        passed = min(max(current[j], -limit[j]), limit[j])
        if (v[j] <= low[j] and passed < 0.0) or (v[j] >= high[j] and passed > 0.0):
            passed = 0.0
        rate[j] = passed / capacitance[j]
        finite &= np.isfinite(current[j])
        own = abs(matrix[j, j] + added[j]) + slope[j]
        if own > 0.0:
            fastest = min(fastest, capacitance[j] / own)
            largest = max(largest, abs(injected[j]) / own)
        largest = max(largest, abs(v[j]))
    return fastest, largest, finite


@part
def _phase(circuit, layers, drive, times, tolerance, found, tally):
    """Integrate one sample as `integrate` says; return its settled and its steps."""
    _, _, capacitance, _, first, last = circuit[:6]
    sample, _ = drive
    start, steady, margin = sample[4], sample[5], sample[6]
    nodes, coupled = len(start), len(circuit[9])
    v, x, y, w = start.copy(), np.empty(nodes), np.empty(nodes), np.empty(nodes)
    rate, middle, end = np.empty(nodes), np.empty(nodes), np.empty(nodes)
    current, slope, error = np.empty(nodes), np.empty(nodes), np.empty(nodes)
    mode, known, weight = np.zeros(nodes, np.int64), np.zeros(1), np.zeros(nodes)
    m, coupling = np.empty((nodes, nodes)), np.empty((coupled, coupled))
    factors = m, mode, np.zeros(nodes), known, current, slope, np.empty(nodes), coupling
    work = current, slope, coupling
    fastest, largest, finite = _begin(circuit, drive, v, rate, work)
    if not finite:
        for point in range(len(times)):
            for j in range(nodes):
                found[point, j] = v[j] if np.isfinite(current[j]) else current[j]
        return 0.0, -2
    t, h, point, done, outside = 0.0, min(1e-3 * fastest, times[-1]), 0, 0, 0.0
    shortest = 1e-9 * h
    while point < len(times):
        left = times[point] - t
        step = left if h >= 0.999 * left else min(h, 0.5 * left)
        if (step <= shortest and step < left) or done == STEPS:
            return t, -1
        span = D * step
        for j in range(nodes):
            w[j], x[j] = v[j] + span * rate[j], v[j]
        _weigh(v, start, layers, tolerance, FLOOR * largest, weight)
        good = _stage(circuit, drive, w, span, weight, x, factors)
        if good:
            for j in range(nodes):
                middle[j] = (x[j] - w[j]) / span
                w[j], y[j] = v[j] + W * step * (rate[j] + middle[j]), x[j]
            good = _stage(circuit, drive, w, span, weight, y, factors)
        norm = np.inf
        if good:
            for j in range(nodes):
                end[j] = (y[j] - w[j]) / span
                wrong = EXCESS[0] * rate[j] + EXCESS[1] * middle[j] + EXCESS[2] * end[j]
                error[j] = 0.0 if mode[j] == HELD else wrong * capacitance[j] / D
            if known[0] == span:
                _solve(m, first, last, error)
            else:
                for j in range(nodes):
                    error[j] *= span / capacitance[j]
            _weigh(y, start, layers, tolerance, FLOOR * largest, weight)
            norm = 0.0
            for j in range(nodes):
                # Comparison, because `max` would lose a NaN.
                ratio = abs(error[j]) / weight[j]
                norm = norm if ratio <= norm else ratio
        if not norm <= 1.0:
            h = step * (max(0.9 * norm ** (-1.0 / 3.0), 0.2) if norm < np.inf else 0.25)
            continue
        done += 1
        t = times[point] if step == left else t + step
        if len(tally[0]):
            _tally(circuit, drive, v, rate, THIRD[0] * step, work, tally)
            _tally(circuit, drive, x, middle, THIRD[1] * step, work, tally)
            _tally(circuit, drive, y, end, THIRD[2] * step, work, tally)
        far = False
        for j in range(nodes):
            v[j] = y[j]
            rate[j] = 0.0 if mode[j] == HELD else end[j]
            far |= len(steady) > 0 and abs(v[j] - steady[j]) > margin[j]
        if far:
            outside = t
        growth = min(0.9 * norm ** (-1.0 / 3.0), 5.0) if norm > 0.0 else 5.0
        grown = step if 1.0 <= growth < 1.2 else step * growth
        h = max(h, grown) if step < h else grown
        if step == left:
            for j in range(nodes):
                found[point, j] = v[j]
            point += 1
    return outside, done


@njit(cache=True, fastmath=FAST, error_model="numpy", parallel=True)
def integrate(circuit, layers, samples, lines, times, tolerance, found, ends, moments, losses):
    """Integrate C·dv/dt = current(v) through all `times`.

    circuit : matrix A (nodes, nodes) [S], diodes (nodes, 5), capacitance [F], limit [A], first and
    last (nodes,), the rows that the elimination of each node reaches, and knots, anchors and
    coefficients of the curve that elements with a size, but no slope, have; and conductances
    (nodes, inputs + nodes) of nonlinear cells [S], or none, with knots, anchors and coefficients of
    their law. layers : first node of each layer, and the number of nodes. samples (batch, 7, nodes)
    : injected [A], added [S], low, high, start, steady state, and the distance from it that counts
    as settled [V]. lines (batch, inputs) : what drives the inputs of nonlinear cells [V].

    found (batch, times, nodes) [V] is set as far as the integration goes, and ends (batch, 2) to
    the last time at which a node was not settled [s] and the number of steps; this is −1 where no
    step was short enough, the time being that reached, and −2 where a current is not finite.
    Added to, unless it has no rows: moments (batch, 1 + nodes, 1 + nodes), the integrals of
    (1, v)ᵀ(1, v), the first column left out; and losses (batch, 7, nodes), charge through the
    lower and the upper diode [C], loss in these, at the current limit and in the nonlinear cells
    below a node, and what inputs deliver to these [J].
    """
    for b in prange(len(samples)):
        tally = moments[b], losses[b]
        ends[b, 0], ends[b, 1] = _phase(
            circuit, layers, (samples[b], lines[b]), times, tolerance, found[b], tally
        )
