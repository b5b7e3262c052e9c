"""How much of something a network tolerates: where the mean penalty crosses an allowed drop.

Seeds are paired: the penalty of a run is its test error less that of the reference with the same
seed. Over seeds, which are independent, the mean penalty at a point has a Student t interval. The
limit is where the curve of the means crosses the drop, and the ends of its interval are where the
two edges of the band cross it. That inverts the tests "the mean penalty at x is not the drop", one
for each x (Fieller's way), so it needs no model of the curve, and says by itself when the range
that was tried is too short. A penalty that rises with x is all that is assumed: means and edges
are put in rising order, which brings none of them farther from a curve that rises, and between
points all three follow a monotone cubic.

References
----------
Chernozhukov, Fernández-Val and Galichon (2009), Biometrika 96, 559, for putting in order; Fritsch
and Carlson (1980), SIAM J. Numer. Anal. 17, 238, for the cubic.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.special import stdtrit

from neurohw.experiments.studies.axes import Axis, Cases, Range
from neurohw.experiments.studies.keys import Value
from neurohw.experiments.studies.study import Study, show_value
from neurohw.experiments.studies.table import Table

Array = NDArray[np.float64]

# Goes after a limit along a curve that falls somewhere, which is then of no use.
FALLS = "; but the penalty does not only rise, look at the curve"


@dataclass(frozen=True)
class Band:
    """Mean penalty and the edges of its interval at each x, (points,) each, as measured."""

    x: Array
    mean: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Limit:
    """Where a curve crosses the drop, with its interval.

    Of a key whose large values harm, a value of inf is beyond the largest x tried, and 0 (of a
    linear axis -inf) below the smallest; of one whose small values harm it is the other way round.
    """

    value: float
    low: float
    high: float

    @property
    def inside(self) -> bool:
        """Whether it, or an end of its interval, lies within what was tried."""
        return any(map(_within_tried, (self.value, self.low, self.high)))

    @property
    def found(self) -> bool:
        """Whether the curve crosses within what was tried."""
        return _within_tried(self.value)


@dataclass(frozen=True)
class Tolerance:
    """The curve of a study along an axis, the others standing at some values, and its limit.

    others, name and value of each other axis; failed, the runs that failed, which count as wrong
    for every image.
    """

    axis: str
    others: tuple[tuple[str, Value], ...]
    band: Band
    limit: Limit
    failed: int


def band(x: Array, penalties: Array, confidence: float) -> Band:
    """Return the mean of (points, seeds) penalties with its interval; NaN are left out.

    With one seed the interval is infinite.
    """
    order = np.argsort(x)
    x, penalties = x[order], penalties[order]
    count = np.count_nonzero(np.isfinite(penalties), axis=1)
    mean = np.where(count > 0, np.nansum(penalties, axis=1) / np.maximum(count, 1), np.nan)
    squares = np.nansum((penalties - mean[:, None]) ** 2, axis=1)
    free = np.maximum(count - 1, 1)
    quantile = stdtrit(free, 0.5 + confidence / 2)
    half = np.where(count > 1, quantile * np.sqrt(squares / free / np.maximum(count, 1)), np.inf)
    kept = count > 0
    return Band(x[kept], mean[kept], (mean - half)[kept], (mean + half)[kept])


def limit(curve: Band, drop: float, *, logarithmic: bool, less_is_worse: bool = False) -> Limit:
    """Return where a band crosses the drop."""
    places = np.log(curve.x) if logarithmic else curve.x.astype(np.float64)
    sign = -1.0 if less_is_worse else 1.0
    places = sign * places
    order = np.argsort(places)
    ends = [
        sign * _crossing(places[order], np.sort(values), drop)
        for values in (curve.mean, curve.high, curve.low)
    ]
    value, *interval = np.exp(ends) if logarithmic else ends
    return Limit(float(value), float(min(interval)), float(max(interval)))


def smooth(curve: Band, *, logarithmic: bool, less_is_worse: bool, ordered: bool = True) -> Band:
    """Return the curve and its edges at many x.

    In rising order, as limits are found, or as measured.
    """
    places = np.log(curve.x) if logarithmic else curve.x.astype(np.float64)
    between = np.linspace(places[0], places[-1], 101)
    step = -1 if less_is_worse else 1

    def along(values: Array) -> Array:
        if not np.isfinite(values).all():
            return np.full(between.shape, np.nan)
        knots = np.sort(values)[::step] if ordered else values
        return np.asarray(PchipInterpolator(places, knots)(between))

    x = np.exp(between) if logarithmic else between
    return Band(x, along(curve.mean), along(curve.low), along(curve.high))


def rises(curve: Band, *, less_is_worse: bool = False) -> bool:
    """Say whether a curve may rise: no point is surely above one that should harm more."""
    step = -1 if less_is_worse else 1
    low, high = curve.low[::step], curve.high[::step]
    return bool((np.maximum.accumulate(low) <= high).all())


def _crossing(places: Array, values: Array, drop: float) -> float:
    """Return the place at which rising values pass the drop; infinite beyond those tried."""
    if len(places) == 0 or values[0] > drop:
        return -np.inf
    if values[-1] <= drop:
        return np.inf
    after = int(np.searchsorted(values, drop, side="right"))
    finite = np.isfinite(values)
    if not (finite[after - 1] and finite[after]):
        return float(places[after - 1] if finite[after - 1] else places[after])
    curve = PchipInterpolator(places[finite], values[finite])
    return float(brentq(lambda z: curve(z) - drop, places[after - 1], places[after]))


def _within_tried(end: float) -> bool:
    return bool(np.isfinite(end) and end != 0)


def words(found: Limit, axis: Axis, confidence: float) -> str:
    """Text of a limit on an axis, with its interval; of whole numbers the last within the drop."""

    def text(value: float) -> str:
        if _within_tried(value):
            if not isinstance(axis, Cases) and axis.keys[0].kind == "whole number":
                return show_value(axis, within(value, less_is_worse=axis.less_is_worse))
            return show_value(axis, float(f"{value:.3g}"))
        rising = value > 0
        return "beyond the largest tried" if rising else "below the smallest tried"

    if found.low == found.high:
        return text(found.value)
    return (
        f"{text(found.value)} ({100 * confidence:g} % interval: {text(found.low)} to"
        f" {text(found.high)})"
    )


def within(value: float, *, less_is_worse: bool) -> int:
    """Return the whole number next to a limit that is within the drop."""
    # What rounding has moved off a whole number is that number.
    value = round(value, 6)
    return math.ceil(value) if less_is_worse else math.floor(value)


def others(study: Study, one: Tolerance) -> str:
    """Text of where the other axes of a curve stand."""
    axes = {axis.label: axis for axis in study.axes}
    return ", ".join(
        value if isinstance(value, str) else f"{name} = {show_value(axes[name], value)}"
        for name, value in one.others
    )


def rows(study: Study, found: Sequence[Tolerance]) -> list[tuple[str, str, str]]:
    """Return axis, where the others stand, and limit of each curve as text."""
    axes = {axis.label: axis for axis in study.axes}
    table = []
    for one in found:
        axis = axes[one.axis]
        text = words(one.limit, axis, study.confidence)
        if not (isinstance(axis, Cases) or rises(one.band, less_is_worse=axis.less_is_worse)):
            text += FALLS
        table.append((one.axis, others(study, one), text))
    return table


def logarithmic(axis: Axis, values: Sequence[Value]) -> bool:
    """Say whether an axis is best drawn and interpolated on a logarithmic scale."""
    numbers = sorted(float(v) for v in values if not isinstance(v, str))
    if not numbers or numbers[0] <= 0:
        return False
    if isinstance(axis, Range):
        return axis.scale == "log"
    return numbers[-1] >= 8 * numbers[0]


def tolerances(study: Study, table: Table) -> list[Tolerance]:
    """Return the curve and the limit along every axis that has an ideal, for each of the others.

    Where another axis has an ideal too, it stands there. Of a sampled design there are none. Values
    on the side of the ideal that does no harm are left out; a 0 where less is worse has none.
    """
    found = []
    for number, axis in enumerate(study.axes):
        if isinstance(axis, Cases) or axis.ideal is None:
            continue
        values = table[axis.label]
        if values.dtype.kind == "U":
            continue
        free = [k for k in range(len(study.axes)) if k != number]
        at_ideal = np.ones(len(values), bool)
        for k in free:
            if (ideal := study.axes[k].ideal_value) is not None:
                at_ideal &= table[study.axes[k].label] == ideal
        names = [study.axes[k].label for k in free]
        groups = dict.fromkeys(zip(*(table[name].tolist() for name in names), strict=True))
        for group in groups if names else [()]:
            rows = at_ideal.copy()
            for name, value in zip(names, group, strict=True):
                rows &= table[name] == value
            if one := _tolerance(study, table, axis, rows, tuple(zip(names, group, strict=True))):
                found.append(one)
    return found


def _tolerance(
    study: Study,
    table: Table,
    axis: Axis,
    rows: NDArray[np.bool_],
    others: tuple[tuple[str, Value], ...],
) -> Tolerance | None:
    assert not isinstance(axis, Cases)
    ideal = axis.ideal_value
    values = table[axis.label]
    reference = {
        int(seed): error
        for seed, error in zip(
            table["seed"][rows & (values == ideal)],
            table["test_error"][rows & (values == ideal)],
            strict=True,
        )
    }
    rows = rows & (values < ideal if axis.less_is_worse and ideal else values > ideal)
    x = np.unique(values[rows]).astype(np.float64)
    if x.size < 2:
        return None
    penalties = np.full((x.size, len(study.seed_list)), np.nan)
    failed = 0
    for row in np.flatnonzero(rows):
        seed, penalty = int(table["seed"][row]), float(table["penalty"][row])
        if table["status"][row] == "failed":
            failed, penalty = failed + 1, 1.0 - reference.get(seed, np.nan)
        place = np.searchsorted(x, values[row]), study.seed_list.index(seed)
        penalties[place] = penalty
    curve = band(x, penalties, study.confidence)
    if curve.x.size < 2:
        return None
    scale = logarithmic(axis, x.tolist())
    return Tolerance(
        axis=axis.label,
        others=others,
        band=curve,
        limit=limit(curve, study.drop, logarithmic=scale, less_is_worse=axis.less_is_worse),
        failed=failed,
    )
