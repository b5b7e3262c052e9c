"""Pictures as files: written whole or not at all."""

import io
from pathlib import Path

from matplotlib.figure import Figure

from neurohw.reports import html

FORMATS = (".svg", ".png", ".pdf")


def save(figure: Figure, out: Path, dpi: int = 150) -> Path:
    """Write a figure and return its path; the suffix says which of `FORMATS` it is.

    Raises
    ------
    RunFileError
        It cannot be written.
    """
    buffer = io.BytesIO()
    metadata = {"Date": None} if out.suffix == ".svg" else None
    figure.savefig(buffer, format=out.suffix[1:], dpi=dpi, metadata=metadata)
    return html.save(buffer.getvalue(), out)
