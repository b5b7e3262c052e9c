"""Read-outs of a chip after programming: a long table with ``g_S`` in place of a target."""

from pathlib import Path

from neurohw.export import long_table
from neurohw.export.formats import Contents, Format


class Measured(Format, frozen=True):
    """A CSV file with the columns ``array``, ``word_line``, ``bit_line`` and ``g_S``.

    Others are free; ``weight``, as in the table of the format csv, is checked where it is there.
    Conductances may lie outside of what the chip's description allows.
    """

    name = "measured"
    description = "CSV of conductances read out after programming; import only"
    suffix = ".csv"
    writes = False

    def read(self, path: Path) -> Contents:  # noqa: D102
        return Contents(path=path, tiles=long_table.read(path, "g_S"), measured=True)
