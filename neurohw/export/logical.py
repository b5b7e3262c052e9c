"""The weights of a file that holds no cells, on a chip."""

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import BiasCurrents, Chip, CrossbarArray, SignedArray
from neurohw.errors import ExportError, UnsupportedError
from neurohw.experiments.step import AnyChip
from neurohw.export.formats import Contents

Array = NDArray[np.floating]


def take(contents: Contents, chip: AnyChip, *, exact: bool) -> None:
    """Let a chip hold the weights and biases of a file.

    Parameters
    ----------
    contents : Contents
        Its `logical`.
    chip : Chip, FeedforwardChip or HopfieldChip
    exact : bool
        Whether cells stand where their weights are the file's, whatever their limits; else they
        are programmed, each as near as it can come.

    Raises
    ------
    ExportError
        A layer is missing, or beyond the chip's, or has another shape; or the chip has no biases.
    UnsupportedError
        The chip has bias cells, which are to be programmed.
    """
    weights = [_of_layer(contents, f"layer{k}", a.values().shape) for k, a in _numbered(chip)]
    biases = [contents.logical[f"layer{k}"][1] for k, _ in _numbered(chip)]
    for k, (weight, held) in enumerate(zip(weights, biases, strict=True), start=1):
        if held.shape != (len(weight),) or (held.any() and not chip.biases):
            has = f"{len(weight)}" if chip.biases else "none"
            raise ExportError(
                f"{contents.path}: layer{k}: has {held.size} biases, the network's chip has {has}"
            )
    if len(contents.logical) > len(weights):
        raise ExportError(
            f"{contents.path}: has {len(contents.logical)} layers, the network has {len(weights)}"
        )
    if not exact:
        if chip.specification.bias.kind == "rails":
            raise UnsupportedError(
                f"{contents.path}: holds biases, not cells: not for chip.bias.kind = rails"
            )
        chip.write(weights, biases if chip.biases else [])
        return
    for k, array in _numbered(chip):
        _hold(array, weights[k - 1] * _unit(chip, k - 1))
    for k, bias in enumerate(chip.biases):
        if isinstance(bias, BiasCurrents):
            unit = chip.scale.unit_current if isinstance(chip, Chip) else chip.scale.current(k)
            bias.restore({"current": biases[k] * unit})


def _numbered(chip: AnyChip) -> list[tuple[int, CrossbarArray | SignedArray]]:
    return list(enumerate(chip.arrays, start=1))


def _unit(chip: AnyChip, layer: int) -> float:
    """Return the conductance of a weight of 1 [S]."""
    if isinstance(chip, Chip):
        return chip.scale.unit_conductance
    return chip.scale.unit_conductances[layer]


def _of_layer(contents: Contents, name: str, shape: tuple[int, ...]) -> Array:
    if name not in contents.logical:
        known = ", ".join(contents.logical)
        raise ExportError(f"{contents.path}: {name}: is missing; there are {known}")
    weights = contents.logical[name][0]
    if weights.shape != shape:
        raise ExportError(
            f"{contents.path}: {name}: has {weights.shape[0]} units and {weights.shape[1]} inputs,"
            f" the network's {shape[0]} and {shape[1]}"
        )
    return weights


def _hold(array: CrossbarArray | SignedArray, wanted: Array) -> None:
    """Let the cells of an array have effective conductances, (units, inputs) [S]."""
    if isinstance(array, CrossbarArray):
        _stand(array, wanted)
        return
    scheme, wanted = array.scheme, wanted / array.gains[:, None]
    cells = list(scheme.to_conductances(wanted))
    reference = None if array.reference is None else array.reference.values()[0]
    # What the levels or the range of the cells leave over goes to the cells that count most.
    left = wanted - scheme.to_weights(cells, reference)
    other = 1 if scheme.coefficients[-1] == -1 else 0
    cells[0] = cells[0] + (np.maximum(left, 0.0) if other else left)
    if other:
        cells[1] = cells[1] - np.minimum(left, 0.0)
    for crossbar, conductance in zip(array.crossbars, cells, strict=True):
        _stand(crossbar, conductance)


def _stand(crossbar: CrossbarArray, conductance: Array) -> None:
    """Let cells, with narrower ones beside them as they are, hold conductances together [S]."""
    crossbar.take_over(conductance - (crossbar.values() - crossbar.main_values()))
