import math

import pytest
from numpy.testing import assert_allclose

from neurohw.errors import InvalidValueError
from neurohw.units import durations, quantity, show


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("25 uS", "S", 25e-6),
        ("25µS", "S", 25e-6),
        ("-2.8 V", "V", -2.8),
        ("300 us", "s", 300e-6),
        ("26 MΩ", "Ohm", 26e6),
        ("4.71 kOhm", "Ohm", 4710.0),
        ("3.5 %", "%", 0.035),
        ("3.5 %", "", 0.035),
        ("0.5", "%", 0.5),
        ("1e8", "", 1e8),
        ("inf", "S", math.inf),
        ("inf S", "S", math.inf),
        ("1500 um²", "m²", 1.5e-9),
        ("0.0015 mm^2", "m²", 1.5e-9),
        ("0.5 µm2", "m²", 0.5e-12),
        ("1e-12 m²", "m²", 1e-12),
        ("2 mF/m²", "F/m²", 2e-3),
        (0.2, "V", 0.2),
        (3, "V", 3.0),
    ],
)
def test_quantity_is_read_in_si(text, unit, value):
    assert_allclose(quantity(text, unit), value, rtol=1e-15)


@pytest.mark.parametrize(
    ("value", "unit", "fault"),
    [
        ("25 V", "S", '"25 V": its unit must be S, not V'),
        ("25 us", "S", "must be S, not s"),
        ("25", "S", "must be S, none is given"),
        ("25 u", "S", "none is given"),
        ("5 %", "S", "must be S, not %"),
        ("5 S", "", "must be absent, not S"),
        ("1500 um", "m²", "must be m², not m"),
        ("x um²", "m²", '"x": not a quantity'),
        ("2 fF/um²", "F/m²", "must be F/m², not F/um²"),
        ("much", "V", '"much": not a quantity such as "1 V"'),
        ("much", "", '"much": not a quantity'),
        ("nan", "", "not a number"),
        (math.nan, "S", "nan: not a number"),
    ],
)
def test_another_unit_is_refused(value, unit, fault):
    with pytest.raises(InvalidValueError) as caught:
        quantity(value, unit)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.5e-5, "S", "25 uS"),
        (0.035, "%", "3.5 %"),
        (0.0204, "V", "20.4 mV"),
        (3.0, "", "3"),
        (0.0, "V", "0 V"),
        (math.inf, "S", "inf S"),
        (5.86e-12, "m²", "5.86 µm²"),
        (3.7e-8, "m²", "0.037 mm²"),
        (8.3e-14, "m²", "0.083 µm²"),
        (4e-18, "m²", "4 nm²"),
        (0.0, "m²", "0 nm²"),
    ],
)
def test_show(value, unit, text):
    assert show(value, unit) == text


def test_what_is_shown_can_be_read_again():
    for value in (1.234e-9, 4.56e-3, 7.0, 89e6):
        assert_allclose(quantity(show(value, "S"), "S"), value, rtol=1e-3)


@pytest.mark.parametrize(("text", "kelvins"), [("300 K", 300), ("250K", 250), ("400 mK", 0.4)])
def test_kelvins_are_not_thousands(text, kelvins):
    assert quantity(text, "K") == pytest.approx(kelvins)


@pytest.mark.parametrize("text", ["300", "27 C", "300 kV"])
def test_temperatures_carry_their_unit(text):
    with pytest.raises(InvalidValueError, match="its unit must be K"):
        quantity(text, "K")


def test_durations_take_days_and_seconds():
    assert durations("20 s, 1.5 h,1 d , 2 min") == [20.0, 5400.0, 86400.0, 120.0]
    assert durations("1 y") == [365.25 * 86400]
    with pytest.raises(InvalidValueError, match="1 V"):
        durations("1 s, 1 V")
