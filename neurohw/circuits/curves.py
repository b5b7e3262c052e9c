"""Measured current–voltage characteristics: piecewise linear or polynomial, and what they imply.

The current rises strictly with the voltage. A chip names a file of points,

    voltage_V,current_A
    -0.5,-2.1e-9
    0.0,0.0
    ...

and its configuration holds the points themselves, so that a run file is complete. Beyond its ends
a characteristic goes on straight, with the slope that it has there.
"""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray

from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.specification import Table, join
from neurohw.units import Amperes, Volts

Array = NDArray[np.floating]

HEADER = "voltage_V,current_A"
LARGEST_DEGREE = 7


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A characteristic as a chip's configuration holds it, SI units.

    Either points, joined by straight lines or, given a degree, fitted by a polynomial; or the
    polynomial itself. Polynomials go through the origin.

    Parameters
    ----------
    voltage : tuple of float [V]
        Of the points, rising; with `coefficients` the two ends of the range where they hold.
    current : tuple of float [A]
        At the points, rising.
    degree : int, optional
        Of the polynomial that is fitted to the points by least squares, at most 7.
    coefficients : tuple of float [A/V, A/V², …]
        Current by powers of the voltage, from the first on.

    Raises
    ------
    InvalidValueError
        A value that is not finite, points or a polynomial that do not rise, or too few of them.
    """

    voltage: tuple[Volts, ...]
    current: tuple[Amperes, ...] = ()
    degree: int | None = None
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for key, values in (("voltage", self.voltage), ("current", self.current)):
            for value in values:
                if not np.isfinite(value):
                    raise InvalidValueError(f"{key} = {value}: must be finite")
        if self.coefficients:
            self._require_coefficients()
        else:
            self._require_points()
        if self.polynomial is not None:
            _require_rise(self.polynomial, self.voltage[0], self.voltage[-1])

    def _require_coefficients(self) -> None:
        if self.current or self.degree is not None or len(self.voltage) != 2:
            raise InvalidValueError(
                f"coefficients = {list(self.coefficients)}: need the two ends of their range as"
                " voltage, neither current nor degree"
            )
        if len(self.coefficients) > LARGEST_DEGREE:
            raise InvalidValueError(
                f"coefficients = {list(self.coefficients)}: must be at most {LARGEST_DEGREE}"
            )
        if not np.isfinite(self.coefficients).all():
            raise InvalidValueError(f"coefficients = {list(self.coefficients)}: must be finite")
        if self.voltage[0] >= self.voltage[1]:
            raise InvalidValueError(f"voltage = {list(self.voltage)}: must rise")

    def _require_points(self) -> None:
        points = len(self.voltage)
        if points != len(self.current) or points < 2:
            raise InvalidValueError(
                f"current: has {len(self.current)} points and voltage {points}: must be as many,"
                " at least 2"
            )
        for k in range(1, points):
            before, v = self.voltage[k - 1 : k + 1]
            last, i = self.current[k - 1 : k + 1]
            if not v > before:
                raise InvalidValueError(
                    f"voltage = {v:g} V, point {k + 1}: must be above {before:g} V, point {k}"
                )
            if not i > last:
                raise InvalidValueError(
                    f"current = {i:g} A at {v:g} V, point {k + 1}: must be above {last:g} A at"
                    f" {before:g} V, point {k}"
                )
        if self.degree is not None and not 1 <= self.degree <= min(LARGEST_DEGREE, points):
            raise InvalidValueError(
                f"degree = {self.degree}: must be from 1 to {min(LARGEST_DEGREE, points)} for"
                f" {points} points"
            )

    @property
    def polynomial(self) -> Array | None:
        """Coefficients by powers of the voltage, from the zeroth on; None of lines."""
        return _polynomial(self)

    @property
    def residual(self) -> float:
        """Largest distance of the characteristic from a point, over the largest current."""
        if not self.current:
            return 0.0
        points = np.array(self.current)
        away = self.characteristic().current(np.array(self.voltage)) - points
        return float(np.abs(away).max() / np.abs(points).max())

    def characteristic(self) -> "Characteristic":
        """Return the curve as a function."""
        if self.polynomial is None:
            v, i = np.array(self.voltage), np.array(self.current)
            lines = np.stack((i[:-1], np.diff(i) / np.diff(v)), axis=1)
            return Characteristic(knots=v[1:-1], anchors=v[:-1], coefficients=lines)
        ends, within = np.array((self.voltage[0], self.voltage[-1])), self.polynomial
        pieces = np.zeros((3, len(within)))
        pieces[1] = within
        pieces[(0, 2), 0] = polynomial.polyval(ends, within)
        pieces[(0, 2), 1] = polynomial.polyval(ends, polynomial.polyder(within))
        return Characteristic(
            knots=ends, anchors=np.array((ends[0], 0.0, ends[1])), coefficients=pieces
        )


class Characteristic:
    """A rising, piecewise polynomial current of a voltage.

    Parameters
    ----------
    knots : (pieces − 1,) array [V]
        Where one piece ends and the next begins.
    anchors : (pieces,) array [V]
    coefficients : (pieces, degree + 1) array [A, A/V, …]
        Current by powers of the voltage less the piece's anchor.
    """

    def __init__(self, *, knots: Array, anchors: Array, coefficients: Array) -> None:
        self.knots = np.ascontiguousarray(knots, np.float64)
        self.anchors = np.ascontiguousarray(anchors, np.float64)
        self.coefficients = np.ascontiguousarray(coefficients, np.float64)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Characteristic):
            return NotImplemented
        mine = self.knots, self.anchors, self.coefficients
        its = other.knots, other.anchors, other.coefficients
        return all(np.array_equal(a, b) for a, b in zip(mine, its, strict=True))

    def current(self, voltage: Array) -> Array:
        """Return the current at voltages of any shape [A]."""
        return self._evaluate(self.coefficients, voltage)

    def conductance(self, voltage: Array) -> Array:
        """Return the derivative of the current [S]; at a knot that of the piece above."""
        powers = np.arange(1, self.coefficients.shape[1])
        return self._evaluate(self.coefficients[:, 1:] * powers, voltage)

    def co_content(self, voltage: Array) -> Array:
        """Return ∫₀^v i dv [W]."""
        return self._evaluate(self._integrals, voltage)

    @cached_property
    def _integrals(self) -> Array:
        """Coefficients of the integral, which runs on from piece to piece and is 0 at 0 V."""
        powers = np.arange(1, self.coefficients.shape[1] + 1)
        integrals = np.pad(self.coefficients / powers, ((0, 0), (1, 0)))
        for k, knot in enumerate(self.knots):
            below = polynomial.polyval(knot - self.anchors[k], integrals[k])
            integrals[k + 1, 0] = below - polynomial.polyval(
                knot - self.anchors[k + 1], integrals[k + 1]
            )
        integrals[:, 0] -= self._evaluate(integrals, np.zeros(()))
        return integrals

    def _evaluate(self, coefficients: Array, voltage: Array) -> Array:
        voltage = np.asarray(voltage, np.float64)
        piece = np.searchsorted(self.knots, voltage, side="right")
        away = voltage - self.anchors[piece]
        value = np.zeros(voltage.shape)
        for c in coefficients.T[::-1]:
            value = value * away + c[piece]
        return value


class CurveFiles:
    """Curves given by the path of a file, or as a table that may name one in ``file``.

    Parameters
    ----------
    degree : int, optional
        Of the polynomial where a table, or a bare path, does not say one; less where there are
        too few points for it.
    """

    def __init__(self, degree: int | None = None) -> None:
        self.degree = degree

    def table(self, source: object, *, where: str = "", at: str = "") -> Table:
        """Return the table of a curve with its points in it; see `neurohw.presets.Presets.table`.

        Raises
        ------
        ConfigurationError
            For a file that cannot be read, or is none of points; names file, line and value.
        """
        if isinstance(source, str | Path):
            source = {"file": source}
        if not isinstance(source, Mapping):
            line = f"{at} = {source!r}: must be the path of a CSV file, or a table"
            raise ConfigurationError(f"{where}: {line}" if where else line)
        table = dict(source)
        if "file" in table:
            path = table.pop("file")
            if not isinstance(path, str | Path):
                line = f"{join(at, 'file')} = {path!r}: must be a path"
                raise ConfigurationError(f"{where}: {line}" if where else line)
            points = read_points(Path(path))
            table["voltage"], table["current"] = list(points.voltage), list(points.current)
        if self.degree is not None and "coefficients" not in table:
            voltage = table.get("voltage")
            # One less than points, because one of them may be the origin.
            most = len(voltage) - 1 if isinstance(voltage, list | tuple) else self.degree
            table.setdefault("degree", min(self.degree, most))
        return table


def read_points(path: Path) -> Curve:
    """Read a CSV file: a header, then voltage and current; empty lines and those with # are left.

    Raises
    ------
    ConfigurationError
        One line naming file, line and value, or the points that do not rise.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8 text") from None
    rows: list[tuple[float, float]] = []
    headed = False
    for number, text in enumerate(lines, start=1):
        line = text.partition("#")[0].strip()
        if not line:
            continue
        if not headed:
            if line.replace(" ", "") != HEADER:
                raise ConfigurationError(f'{path}: line {number}: "{line}": must be {HEADER}')
            headed = True
            continue
        try:
            voltage, current = map(float, line.split(","))
        except ValueError:
            raise ConfigurationError(
                f'{path}: line {number}: "{line}": must be two numbers, {HEADER}'
            ) from None
        rows.append((voltage, current))
    try:
        return Curve(voltage=tuple(v for v, _ in rows), current=tuple(i for _, i in rows))
    except InvalidValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None


@lru_cache(maxsize=64)
def _polynomial(curve: Curve) -> Array | None:
    if curve.coefficients:
        return np.array((0.0, *curve.coefficients))
    if curve.degree is None:
        return None
    v, i = np.array(curve.voltage), np.array(curve.current)
    # Powers of v over its largest keep the equations well conditioned.
    largest = np.abs(v).max()
    powers = np.arange(1, curve.degree + 1)
    fitted = np.linalg.lstsq((v[:, None] / largest) ** powers, i, rcond=None)[0]
    return np.concatenate(([0.0], fitted / largest**powers))


def smallest_slope(coefficients: Array, low: float, high: float) -> tuple[float, float]:
    """Return the smallest derivative of a polynomial between two voltages, and where it is."""
    slope = polynomial.polyder(coefficients)
    turns = polynomial.polyroots(polynomial.polyder(polynomial.polytrim(slope)))
    turns = turns.real[np.abs(turns.imag) <= 1e-6 * np.abs(turns)]
    at = np.concatenate(((low, high), turns[(turns > low) & (turns < high)]))
    slopes = polynomial.polyval(at, slope)
    return float(slopes.min()), float(at[slopes.argmin()])


def _require_rise(coefficients: Array, low: float, high: float) -> None:
    if not low <= 0 <= high:
        raise InvalidValueError(
            f"voltage = {low:g} to {high:g} V: a polynomial's range must hold 0 V"
        )
    slope, at = smallest_slope(coefficients, low, high)
    if not slope > 0:
        raise InvalidValueError(
            f"coefficients = {[float(f'{c:.4g}') for c in coefficients[1:]]}: the current does not"
            f" rise at {at:.4g} V; take another degree or a smaller range"
        )
