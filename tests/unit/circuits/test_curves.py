"""Measured curves: what lies between the points, beyond them, and what is no curve."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad

from neurohw.circuits.curves import Curve, read_points
from neurohw.errors import ConfigurationError, InvalidValueError

VOLTAGE = (-1.0, -0.2, 0.1, 0.4, 0.5)
CURRENT = (-3e-9, -1e-9, 2e-8, 1e-6, 1e-5)
LINES = Curve(voltage=VOLTAGE, current=CURRENT)
FIT = Curve(
    voltage=tuple(np.linspace(-0.8, 1.0, 15)),
    current=tuple(1e-6 * np.sinh(2 * np.linspace(-0.8, 1.0, 15))),
    degree=5,
)
GIVEN = Curve(voltage=(-0.5, 0.75), coefficients=(2e-6, 1e-6, 3e-6))
CURVES = pytest.mark.parametrize("curve", [LINES, FIT, GIVEN], ids=["lines", "fit", "given"])


def test_lines_join_the_points_and_go_on_straight():
    curve = LINES.characteristic()
    assert_array_equal(curve.current(np.array(VOLTAGE[:-1])), CURRENT[:-1])
    between = np.linspace(-1.0, 0.5, 301)
    expected = np.interp(between, VOLTAGE, CURRENT)
    assert_allclose(curve.current(between), expected, rtol=1e-13, atol=1e-14 * max(CURRENT))
    first, last = (CURRENT[1] - CURRENT[0]) / 0.8, (CURRENT[4] - CURRENT[3]) / 0.1
    assert_allclose(curve.current(np.array([-3.0])), CURRENT[0] - 2.0 * first)
    assert_allclose(curve.current(np.array([2.0])), CURRENT[4] + 1.5 * last)
    assert_allclose(
        curve.conductance(np.array([-9.0, -0.5, 0.45, 7.0])), [first, first, last, last]
    )
    assert LINES.residual == 0


def test_a_polynomial_goes_on_straight_beyond_its_range():
    curve = GIVEN.characteristic()
    v = np.linspace(-0.5, 0.75, 50)
    assert_allclose(curve.current(v), 2e-6 * v + 1e-6 * v**2 + 3e-6 * v**3, rtol=1e-14)
    for end, beyond in ((-0.5, -2.0), (0.75, 3.0)):
        slope = 2e-6 + 2e-6 * end + 9e-6 * end**2
        value = 2e-6 * end + 1e-6 * end**2 + 3e-6 * end**3
        assert_allclose(curve.current(np.array(beyond)), value + slope * (beyond - end))
        assert_allclose(curve.conductance(np.array(beyond)), slope)


@CURVES
def test_co_content_is_the_integral_and_conductance_the_derivative(curve):
    curve = curve.characteristic()
    for v in (-2.0, -0.7, -0.1, 0.05, 0.3, 0.6, 1.7):
        knots = [knot for knot in curve.knots if min(0, v) < knot < max(0, v)]
        integral, _ = quad(lambda u: float(curve.current(np.array(u))), 0, v, points=knots or None)
        assert_allclose(curve.co_content(np.array(v)), integral, rtol=1e-9)
        step = 1e-6
        ends = curve.current(np.array([v - step, v + step]))
        assert_allclose(curve.conductance(np.array(v)), np.diff(ends)[0] / (2 * step), rtol=1e-6)
    assert curve.co_content(np.zeros(())) == 0


def test_a_fit_finds_the_polynomial_behind_the_points():
    v = np.linspace(-0.5, 0.75, 9)
    points = 2e-6 * v + 1e-6 * v**2 + 3e-6 * v**3
    fit = Curve(voltage=tuple(v), current=tuple(points), degree=3)
    assert_allclose(fit.polynomial, [0, 2e-6, 1e-6, 3e-6], rtol=1e-12)
    assert fit.residual < 1e-12


def test_the_residual_is_the_largest_miss_over_the_largest_current():
    v, i = np.array(FIT.voltage), np.array(FIT.current)
    miss = np.polynomial.polynomial.polyval(v, FIT.polynomial) - i
    assert_allclose(FIT.residual, np.abs(miss).max() / i[-1])
    assert 1e-6 < FIT.residual < 1e-3


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"voltage": (0.0, 1.0), "current": (0.0,)}, "current: has 1 points and voltage 2"),
        ({"voltage": (0.0,), "current": (0.0,)}, "at least 2"),
        (
            {"voltage": (0.0, 0.2, 0.2), "current": (0.0, 1.0, 2.0)},
            "voltage = 0.2 V, point 3: must be above 0.2 V, point 2",
        ),
        (
            {"voltage": (0.0, 0.2, 0.3), "current": (0.0, 2e-6, 1e-6)},
            "current = 1e-06 A at 0.3 V, point 3: must be above 2e-06 A at 0.2 V, point 2",
        ),
        ({"voltage": (0.0, np.nan), "current": (0.0, 1.0)}, "voltage = nan: must be finite"),
        ({"voltage": (0.0, 1.0), "current": (0.0, np.inf)}, "current = inf: must be finite"),
        ({"voltage": (0.0, 1.0), "current": (0.0, 1.0), "degree": 3}, "degree = 3: must be from"),
        ({"voltage": (-1.0, 1.0), "coefficients": (1.0,), "degree": 3}, "neither current nor"),
        ({"voltage": (0.0, 1.0, 2.0), "coefficients": (1.0,)}, "the two ends"),
        ({"voltage": (-1.0, 1.0), "coefficients": (1.0,) * 8}, "must be at most 7"),
        ({"voltage": (-1.0, 1.0), "coefficients": (1.0, np.nan)}, "must be finite"),
        ({"voltage": (1.0, -1.0), "coefficients": (1.0,)}, "voltage = [1.0, -1.0]: must rise"),
        ({"voltage": (1.0, 2.0), "coefficients": (1.0,)}, "range must hold 0 V"),
        ({"voltage": (-20.0, 20.0), "coefficients": (0.0,)}, "[0.0]: the current does not rise"),
        ({"voltage": (-1.0, 1.0), "coefficients": (0.0, 0.0)}, "[0.0, 0.0]: the current does not"),
        ({"voltage": (-1.0, 1.0), "coefficients": (1.0, 0.0, -0.5)}, "does not rise at -1 V"),
        # Rises at both ends, falls between.
        ({"voltage": (-1.0, 1.0), "coefficients": (1.0, -2.0, 1.1)}, "does not rise at 0.6061 V"),
    ],
)
def test_what_does_not_rise_is_refused(table, fault):
    with pytest.raises(InvalidValueError) as failure:
        Curve(**table)
    assert fault in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_file_of_points(tmp_path):
    path = tmp_path / "diode.csv"
    path.write_text(
        "# lot 7, 300 K\nvoltage_V, current_A\n-0.5,-2e-9\n\n0,0  # by definition\n0.5,1e-5\n"
    )
    assert read_points(path) == Curve(voltage=(-0.5, 0.0, 0.5), current=(-2e-9, 0.0, 1e-5))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "at least 2"),
        ("0,0\n1,1\n", 'line 1: "0,0": must be voltage_V,current_A'),
        ("voltage_V,current_A\n0,0\n1,1 uA\n", 'line 3: "1,1 uA": must be two numbers'),
        ("voltage_V,current_A\n0,0\n1;2\n", 'line 3: "1;2": must be two numbers'),
        ("voltage_V,current_A\n0,0\n1,2,3\n", 'line 3: "1,2,3": must be two numbers'),
        ("voltage_V,current_A\n0,0\n1,nan\n", "current = nan: must be finite"),
        ("voltage_V,current_A\n0,1e-6\n1,1e-7\n", "current = 1e-07 A at 1 V, point 2"),
    ],
)
def test_a_file_without_a_curve_is_refused(tmp_path, text, fault):
    path = tmp_path / "diode.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as failure:
        read_points(path)
    assert str(failure.value).startswith(f"{path}: ")
    assert fault in str(failure.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.csv: cannot be read"):
        read_points(tmp_path / "none.csv")
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"binary\.csv: is not UTF-8"):
        read_points(path)
