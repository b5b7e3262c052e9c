"""What reads of signed weights cost: cells and wires between lines that drive and lines at 0 V.

A read of an array drives one side of all of its crossbars, its reference included, and holds the
other side at 0 V, so that a driven line of voltage V takes V²·ΣG of its cells. Each line that is
held has an amplifier: a unit of a differential pair has two, whose currents are subtracted.

In a transposed read each unit line carries its amplifier's gain, and the line of the reference
column the mean of them, its currents to be multiplied by their number.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip import BiasLine, CrossbarArray, Moment, SignedArray, SignedChip
from neurohw.circuits.costs import Costs
from neurohw.engines.power import dissipated_by

Array = NDArray[np.floating]


def power(
    array: SignedArray, voltages: Array, *, backwards: bool = False, phase: int = 0
) -> tuple[float, float]:
    """Return the mean power of the cells and of the wires of one read [W].

    voltages (samples, lines) of the inputs, or backwards of the units [V]; phase, that of the first
    mini-batch whose read noise the cells have.
    """
    cells, wires = 0.0, 0.0
    for crossbar, driven in _driven(array, voltages, backwards=backwards):
        seen = crossbar.seen(Moment(0, phase=phase))
        # Ideal cells without limits hold weights of both signs.
        seen = msgspec.structs.replace(seen, conductance=np.abs(seen.conductance))
        units, inputs = seen.conductance.shape
        ground = np.zeros((len(driven), inputs if backwards else units))
        found = dissipated_by(seen, *((ground, driven) if backwards else (driven, ground)))
        cells, wires = cells + float(found[0].mean()), wires + float(found[1].mean())
    return cells, wires


def charging(costs: Costs, array: SignedArray, steps: Array, *, backwards: bool = False) -> float:
    """Return the energy C·V² of lines whose voltages step by so much, mean of the samples [J].

    steps (samples, lines) of the inputs, or backwards of the units [V].
    """
    return sum(
        costs.line_capacitance(_passed(crossbar, backwards=backwards))
        * float((driven**2).sum(axis=1).mean())
        for crossbar, driven in _driven(array, steps, backwards=backwards)
    )


def amplifiers(array: SignedArray, *, backwards: bool = False) -> int:
    """Return how many lines a read holds at 0 V."""
    return sum(_passed(crossbar, backwards=backwards) for crossbar in array.every_crossbar)


def bias_power(chip: SignedChip, layer: int) -> tuple[float, float]:
    """Return the power of a layer's bias cells, of wires 0, in a read forwards [W]."""
    bias = chip.biases[layer] if chip.biases else None
    return power(bias.array, np.full((1, 1), bias.rail)) if isinstance(bias, BiasLine) else (0, 0)


def cell_area(costs: Costs, chip: SignedChip) -> float:
    """Return the area of the cells of all crossbars, those of biases included [m²]."""
    crossbars = [*chip.crossbars, *(c for bias in chip.biases for c in bias.crossbars)]
    return costs.pitch**2 * sum(crossbar.values().size for crossbar in crossbars)


def unused_area(costs: Costs, chip: SignedChip) -> float:
    """Return the area of padding and spare lines of the tiles of all crossbars [m²]."""
    return costs.pitch**2 * sum(crossbar.cells.unused for crossbar in chip.crossbars)


def _driven(
    array: SignedArray, voltages: Array, *, backwards: bool
) -> list[tuple[CrossbarArray, Array]]:
    """Return each crossbar with the voltages of its lines on the driven side."""
    lines = voltages.astype(np.float64)
    if backwards:
        lines = lines * array.gains
    found: list[tuple[CrossbarArray, Array]] = [(each, lines) for each in array.crossbars]
    if array.reference is not None:
        column = lines.mean(axis=1, keepdims=True) if backwards else lines
        found.append((array.reference, column))
    return found


def _passed(crossbar: CrossbarArray, *, backwards: bool) -> int:
    """Return the lines on the other side than the driven one."""
    units, inputs = crossbar.seen().conductance.shape
    return int(inputs if backwards else units)
