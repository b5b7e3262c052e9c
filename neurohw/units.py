"""Physical quantities as text at the edge (TOML, command line); SI floats everywhere else."""

import math
import re
from decimal import Decimal
from typing import Annotated

import msgspec
from quantiphy import InvalidNumber, Quantity

from neurohw.errors import InvalidValueError

Siemens = Annotated[float, msgspec.Meta(extra={"unit": "S"})]
Volts = Annotated[float, msgspec.Meta(extra={"unit": "V"})]
Ohms = Annotated[float, msgspec.Meta(extra={"unit": "Ohm"})]
Amperes = Annotated[float, msgspec.Meta(extra={"unit": "A"})]
Farads = Annotated[float, msgspec.Meta(extra={"unit": "F"})]
Kelvins = Annotated[float, msgspec.Meta(extra={"unit": "K"})]
Seconds = Annotated[float, msgspec.Meta(extra={"unit": "s"})]
Joules = Annotated[float, msgspec.Meta(extra={"unit": "J"})]
Watts = Annotated[float, msgspec.Meta(extra={"unit": "W"})]
SquareMetres = Annotated[float, msgspec.Meta(extra={"unit": "m²"})]
FaradsPerMetre = Annotated[float, msgspec.Meta(extra={"unit": "F/m"})]
FaradsPerSquareMetre = Annotated[float, msgspec.Meta(extra={"unit": "F/m²"})]
WattsPerSquareMetre = Annotated[float, msgspec.Meta(extra={"unit": "W/m²"})]
Decibels = Annotated[float, msgspec.Meta(extra={"unit": "dB"})]
Hertz = Annotated[float, msgspec.Meta(extra={"unit": "Hz"})]
Fraction = Annotated[float, msgspec.Meta(extra={"unit": "%"})]
Number = Annotated[float, msgspec.Meta(extra={"unit": ""})]

_SPELLINGS = {"Ω": "Ohm", "\u2126": "Ohm", "ohm": "Ohm", "ohms": "Ohm", "Ohms": "Ohm"}
_LENGTHS = {"m": 0, "mm": -3, "um": -6, "µm": -6, "μm": -6, "nm": -9}
_AREA = re.compile(rf"(?P<number>.*?)\s*(?P<length>{'|'.join(_LENGTHS)})(?:²|\^2|2)")
# From where on an area is shown in each unit.
_AREAS = {"mm²": (1e-6, 1e-8), "µm²": (1e-12, 1e-15), "nm²": (1e-18, 0.0)}

_SECONDS = {"min": 60.0, "h": 3600.0, "d": 86400.0, "y": 365.25 * 86400.0}


def quantity(value: str | float, unit: str) -> float:
    """Read a quantity in its SI unit.

    Parameters
    ----------
    value : str or float
        Text such as ``"25 uS"``, or a number that is already in `unit`.
    unit : str
        Unit that the text must carry: ``"S"``, ``"V"``, ... For a plain number or a fraction
        (``""`` or ``"%"``) the text has no unit, or a percent sign: ``"3.5 %"`` is 0.035.
        Infinity needs no unit.

    Raises
    ------
    InvalidValueError
        If the text is no number, is NaN, or carries another unit.
    """
    if isinstance(value, str) and unit == "m²" and (area := _AREA.fullmatch(value.strip())):
        # A prefix is squared with its metre, which QuantiPhy does not know.
        squares = Decimal(repr(quantity(area["number"], "")))
        number = float(squares.scaleb(2 * _LENGTHS[area["length"]]))
    elif isinstance(value, str):
        # QuantiPhy takes a K for kilo.
        kelvins = unit == "K" and value.strip().endswith("K")
        try:
            parsed = Quantity(value.strip()[:-1] if kelvins else value)
        except InvalidNumber:
            raise InvalidValueError(f'"{value}": not a quantity{_example(unit)}') from None
        given = parsed.units or ("K" if kelvins else "")
        number, given = float(parsed), _SPELLINGS.get(given, given)
        if given == "%" and unit in ("", "%"):
            number, given = number / 100, unit
        dimensionless = unit in ("", "%")
        if given != unit and not (given == "" and (dimensionless or math.isinf(number))):
            found = f"not {given}" if given else "none is given"
            wanted = unit or "absent"
            raise InvalidValueError(f'"{value}": its unit must be {wanted}, {found}')
    else:
        number = float(value)
    if math.isnan(number):
        raise InvalidValueError(f"{value}: not a number")
    return number


def duration(text: str) -> float:
    """Read a time of the command line [s]; `InvalidValueError` unless it is finite, above 0."""
    value = quantity(text, "s")
    if not 0 < value < float("inf"):
        raise InvalidValueError(f"time = {text}: must be finite, above 0")
    return value


def durations(text: str) -> list[float]:
    """Read times such as ``"10 s, 2 h, 1 d"``, in seconds; d, h, min and y count as SI units do.

    Raises
    ------
    InvalidValueError
        If one of them is no time.
    """
    found = []
    for part in text.split(","):
        number, _, unit = part.strip().rpartition(" ")
        if unit in _SECONDS and number:
            found.append(quantity(number, "") * _SECONDS[unit])
        else:
            found.append(quantity(part.strip(), "s"))
    return found


def show(value: float, unit: str) -> str:
    """Text of a quantity for people, four digits: ``show(2.5e-5, "S")`` is ``"25 uS"``."""
    if unit == "%":
        return f"{100 * value:.4g} %"
    if unit == "m²" and math.isfinite(value):
        name, size = next((n, s) for n, (s, least) in _AREAS.items() if abs(value) >= least)
        return f"{value / size:.4g} {name}"
    if unit == "" or not math.isfinite(value):
        return f"{value:.4g} {unit}".rstrip()
    return str(Quantity(value, unit).render(prec=3))


def _example(unit: str) -> str:
    return f' such as "1 {unit}"' if unit else ""
