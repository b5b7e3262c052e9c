"""A line for each crossbar that has cells which do not work as the device should."""

from collections.abc import Sequence

from neurohw.chip import CrossbarArray


def warnings(arrays: Sequence[CrossbarArray]) -> list[str]:
    """Return how many cells of each crossbar, counted from 1, are stuck or had limits mended."""
    lines = []
    for number, array in enumerate(arrays, start=1):
        cells, size = array.cells, array.values().size
        if cells.stuck:
            lines.append(f"crossbar {number}: {cells.stuck:,} of {size:,} cells are stuck")
        if cells.crossed:
            lines.append(
                f"crossbar {number}: spread makes the limits of {cells.crossed:,} of {size:,}"
                " cells cross: each has 1 % of the range instead"
            )
    return lines
