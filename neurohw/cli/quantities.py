"""Options that are quantities, and their callbacks: what is wrong with one names its option."""

from collections.abc import Callable

import click


def time(ctx: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """Read a time above 0, as ``2 us`` [s]."""
    from neurohw.units import duration

    return None if text is None else _read(duration, text, ctx, option)


def share(ctx: click.Context, option: click.Parameter, text: str) -> float:
    """Read a share, as ``1 %`` or ``0.01``."""
    from neurohw.units import quantity

    return _read(lambda words: quantity(words, "%"), text, ctx, option)


def points(ctx: click.Context, option: click.Parameter, text: str) -> float:
    """Read percentage points, as ``1pp``, ``1 %`` or ``0.01``."""
    number = text.strip()
    return share(ctx, option, f"{number[:-2].strip()} %" if number.endswith("pp") else text)


def _read(
    read: Callable[[str], float], text: str, ctx: click.Context, option: click.Parameter
) -> float:
    from neurohw.errors import InvalidValueError

    try:
        return read(text)
    except InvalidValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None


free_time = click.option(
    "--free-time",
    callback=time,
    metavar="TIME",
    help='Length of the free phase, such as "2 us".',
)
nudged_time = click.option(
    "--nudged-time", callback=time, metavar="TIME", help="Length of a nudged phase."
)
