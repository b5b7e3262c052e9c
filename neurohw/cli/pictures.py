"""Pages with the pictures of a weight map, which commands offer as `--report`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurohw.export.weight_map import WeightMap


def require_apart(page: Path, *others: Path | None) -> None:
    """Raise `ConfigurationError` where a page would take the place of a file of the command's."""
    from neurohw.errors import ConfigurationError

    for other in others:
        if other is not None and page.resolve() == other.resolve():
            raise ConfigurationError(f"--report {page}: is the file {other} already")


def write(
    title: str,
    about: str,
    weights: "WeightMap",
    out: Path,
    *,
    reached: Sequence[Any] | None = None,
    stuck: Sequence[Any] | None = None,
    targets: Sequence[Any] | None = None,
    tolerances: Sequence[float] | None = None,
) -> None:
    """Write a page about a map.

    reached, stuck, targets (units, inputs) and tolerances of each of its crossbars [S]: where cells
    stand after programming, which of them no pulse moves, where they were to be, and how far from
    there they may be; all but the first by default as in the map.
    """
    import numpy as np

    from neurohw.export.weight_map import UNUSED
    from neurohw.reports import maps

    found = []
    for k, crossbar in enumerate(weights.crossbars):
        tolerance = crossbar.tolerance if tolerances is None else tolerances[k]
        fixed = np.broadcast_to(crossbar.low == crossbar.high, crossbar.conductance.shape)
        for tile in crossbar.tiles():
            word, bit = np.flatnonzero(tile.inputs != UNUSED), np.flatnonzero(tile.units != UNUSED)

            def placed(values: Any, tile: Any = tile, word: Any = word, bit: Any = bit) -> Any:
                matrix = np.full(tile.shape, np.nan)
                part = values[np.ix_(tile.units[bit], tile.inputs[word])]
                matrix[np.ix_(word, bit)] = part.T
                return matrix

            found.append(
                maps.TilePicture(
                    name=tile.name,
                    target=placed(crossbar.conductance if targets is None else targets[k]),
                    reached=None if reached is None else placed(reached[k]),
                    stuck=placed(fixed if stuck is None else stuck[k]) == 1,
                    window=crossbar.window,
                    tolerance=tolerance,
                )
            )
    maps.write(title, about, found, out)
