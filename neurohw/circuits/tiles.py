"""A large crossbar with wires, cut into tiles, and its reduction to a model of its terminals.

Word line i of the tiles one above the other shares one terminal, as do the bit lines of unit j of
tiles side by side; each tile drives and senses its own lines. Reduced, only terminals are left:

    currents into the units' terminals at voltages v, inputs at u:  Y_uu·v + Y_ui·u

with Y_ui mostly on the cells' places, and small entries of Y_uu that couple unit with unit.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.circuits import kernels
from neurohw.circuits.crossbar import WiredCrossbar, line_ends
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.reduction import reduce_tile

Array = NDArray[np.floating]


class Terminals(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Conductances between the terminals of an array [S].

    transfer (units, inputs) is −Y_ui; unit_sums (units,) and input_sums (inputs,) are the
    diagonals of Y_uu and Y_ii, unit_coupling (units, units) and input_coupling (inputs, inputs)
    the rest of them, negated, with a diagonal of 0. Those of the inputs are None where they were
    not asked for.
    """

    transfer: Array
    unit_sums: Array
    unit_coupling: Array
    input_sums: Array | None
    input_coupling: Array | None


def tiles_of(units: int, inputs: int, largest: int) -> NDArray[np.int64]:
    """Return the tiles (tiles, 4): first unit, unit after the last, and so for the inputs."""

    def cuts(lines: int) -> Iterator[tuple[int, int]]:
        return ((first, min(first + largest, lines)) for first in range(0, lines, largest))

    return np.array([(*rows, *columns) for rows in cuts(units) for columns in cuts(inputs)])


def currents(conductance: Array, wires: Wires, inputs: Array, units: Array) -> tuple[Array, Array]:
    """Return the currents of a tiled array's terminals; see `WiredCrossbar.currents`."""
    into, out = np.zeros(np.shape(inputs)), np.zeros(np.shape(units))
    for j0, j1, i0, i1 in tiles_of(len(conductance), conductance.shape[1], wires.tile):
        tile = WiredCrossbar(conductance[j0:j1, i0:i1], wires)
        fed, sensed = tile.currents(inputs[:, i0:i1], units[:, j0:j1])
        into[:, i0:i1] += fed
        out[:, j0:j1] += sensed
    return into, out


def reduce(conductance: Array, wires: Wires, *, driven: bool = False) -> Terminals:
    """Reduce a tiled array of cells (units, inputs) [S] to its terminals.

    In the precision of the cells: to 1e-13 of the largest cell of an input in float64, to 1e-7 in
    float32, or 1e-16 of a segment where that is more, as on lines sensed at both ends. With
    `driven` the inputs' own side is left out, which sources hold anyway.
    """
    g, dtype = conductance, conductance.dtype
    # Small currents between amplifiers at both ends of a line are differences of large ones.
    work = np.dtype(np.float64) if wires.sensed_at == "both ends" else dtype
    words, bits = (ends.astype(work) for ends in line_ends(wires))
    tiles = tiles_of(len(g), g.shape[1], wires.tile)
    transfer = np.empty(g.shape, dtype)
    unit_matrix = np.zeros((len(g), len(g)), dtype)
    input_matrix = None if driven else np.zeros((g.shape[1], g.shape[1]), dtype)
    tolerance = 1e-13 if work == np.float64 else 1e-7

    def one(tile: Array) -> tuple[Array, Array, Array | None]:
        j0, j1, i0, i1 = tile
        cells = np.ascontiguousarray(g[j0:j1, i0:i1], work)
        return reduce_tile(cells, words, bits, tolerance, driven=driven)

    with ThreadPoolExecutor(kernels.threads()) as pool:
        for (j0, j1, i0, i1), parts in zip(tiles, pool.map(one, tiles), strict=True):
            transfer[j0:j1, i0:i1] = parts[0]
            unit_matrix[j0:j1, j0:j1] += parts[1]
            if input_matrix is not None and parts[2] is not None:
                input_matrix[i0:i1, i0:i1] += parts[2]
    return Terminals(
        transfer=transfer,
        unit_sums=unit_matrix.diagonal().copy(),
        unit_coupling=_coupling(unit_matrix),
        input_sums=None if input_matrix is None else input_matrix.diagonal().copy(),
        input_coupling=None if input_matrix is None else _coupling(input_matrix),
    )


def passed(conductance: Array, wires: Wires) -> Array:
    """Return the share of a terminal's voltage that reaches each cell, (units, inputs).

    Along its word line, bit lines at 0 V, times along its bit line, word lines at 0 V. Times the
    cells it is `Terminals.transfer` up to the wires' resistance squared.
    """
    words, bits = (ends.astype(conductance.dtype) for ends in line_ends(wires))
    tiles = tiles_of(len(conductance), conductance.shape[1], wires.tile)
    share = np.empty_like(conductance)
    kernels.pass_lines(conductance, words, bits, tiles, share)
    return share


def coupled(transfer: Array, wires: Wires, *, driven: bool = False) -> tuple[Array, Array | None]:
    """Return about what couples unit with unit, and input with input [S].

    Of `Terminals.transfer` (units, inputs), each taken as a cell: two units meet where their
    currents pass the same segments of a word line. It is `Terminals.unit_coupling` and
    `input_coupling`, which is None with `driven`, up to the wires' resistance squared.
    """
    words, bits = line_ends(wires)
    (rows, columns), dtype = transfer.shape, transfer.dtype
    units = np.zeros((rows, rows), dtype)
    inputs = None if driven else np.zeros((columns, columns), dtype)
    for j0, j1, i0, i1 in tiles_of(rows, columns, wires.tile):
        tile = transfer[j0:j1, i0:i1]
        units[j0:j1, j0:j1] += (tile @ tile.T) * _drops(j1 - j0, *words).astype(dtype)
        if inputs is not None:
            # Bit lines are always held at their far ends.
            drops = _drops(i1 - i0, bits[0], bits[2], bits[1])[::-1, ::-1]
            inputs[i0:i1, i0:i1] += (tile.T @ tile) * drops.astype(dtype)
    for coupling in (units, inputs):
        if coupling is not None:
            np.fill_diagonal(coupling, 0)
    return units, inputs


def _drops(nodes: int, segment: float, near: float, far: float) -> Array:
    """Return the voltage at each node of a line for 1 A into each, (nodes, nodes) [Ω].

    The line is held through near and, unless it is 0, far at its ends; all are conductances [S].
    """
    resistance = 1 / near + np.arange(nodes) / segment
    whole = resistance[-1] + 1 / far if far > 0 else np.inf
    nearer = np.minimum.outer(resistance, resistance)
    return nearer * (1 - np.maximum.outer(resistance, resistance) / whole)


def _coupling(matrix: Array) -> Array:
    """Return the negated rest of a conductance matrix beside its diagonal, symmetric."""
    coupling = matrix * matrix.dtype.type(-0.5)
    coupling += coupling.T.copy()
    np.fill_diagonal(coupling, 0)
    return coupling
