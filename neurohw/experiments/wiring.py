"""How much the wires of a chip's crossbars lose, and a warning where tiles are too large."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import CrossbarArray
from neurohw.circuits.interconnect import loading
from neurohw.circuits.tiles import tiles_of

Array = NDArray[np.floating]

LARGEST_LOADING = 1.0


def measure(arrays: Sequence[CrossbarArray]) -> dict[str, Array]:
    """Measure the arrays as they are; nothing where wires have no resistance.

    Returns
    -------
    dict of (layers,) arrays
        wire_loading, the largest `loading` of a tile; wire_loss, the share of the current of all
        cells that is lost when every word line carries the same voltage.
    """
    rows: list[tuple[float, float]] = []
    for array in arrays:
        seen = array.seen()
        if seen.wires is None:
            return {}
        g = array.values()
        cut = tiles_of(len(g), g.shape[1], seen.wires.tile)
        loads = [loading(g[j0:j1, i0:i1], seen.wires) for j0, j1, i0, i1 in cut]
        whole = float(g.sum(dtype=np.float64))
        left = float(seen.conductance.sum(dtype=np.float64))
        rows.append((max(loads), 1.0 - left / whole if whole > 0 else 0.0))
    loads_and_losses = np.array(rows).T
    return {"wire_loading": loads_and_losses[0], "wire_loss": loads_and_losses[1]}


def warnings(measured: Mapping[str, Array]) -> list[str]:
    """Return a line for each layer whose tiles are too large for their wires."""
    layers = zip(measured.get("wire_loading", ()), measured.get("wire_loss", ()), strict=True)
    return [
        f"wires of layer {layer}: loading {load:.2g} above {LARGEST_LOADING:g}, mean current loss"
        f" {100 * loss:.3g} %: tiles are too large"
        for layer, (load, loss) in enumerate(layers, start=1)
        if load > LARGEST_LOADING
    ]
