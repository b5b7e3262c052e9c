"""Types of options that are quantities: what is wrong with one names its option."""

from collections.abc import Callable
from typing import Any

import click


class Quantity(click.ParamType):
    """An option whose text a function turns into a number."""

    name = "quantity"

    def __init__(self, read: Callable[[str], float]) -> None:
        self.read = read

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number of a text; leave with a `click.UsageError` that says why not."""
        from neurohw.errors import InvalidValueError

        try:
            return self.read(value) if isinstance(value, str) else value
        except InvalidValueError as error:
            self.fail(str(error), param, ctx)


def _time(text: str) -> float:
    from neurohw.units import duration

    return duration(text)


def _share(text: str) -> float:
    from neurohw.units import quantity

    return quantity(text, "%")


def _points(text: str) -> float:
    number = text.strip()
    return _share(f"{number.removesuffix('pp').strip()} %" if number.endswith("pp") else text)


# A time above 0, as "2 us"; a share, as "1 %"; percentage points, as "1pp".
TIME, SHARE, POINTS = (Quantity(read) for read in (_time, _share, _points))
