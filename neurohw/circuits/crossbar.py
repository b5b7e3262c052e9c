"""Crossbar whose wires have resistance: currents of its terminals for voltages of its terminals.

A linear, reciprocal network: with word lines at u and bit lines at v (all referred to ground)

    currents = Y · [u; v],   Y symmetric, positive semidefinite, rows that add up to 0

because cells and wires only connect the terminals with each other. The inputs' share of Y read
one way is the forward read, the other way the transposed one.
"""

from functools import cached_property

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from neurohw.circuits import kernels
from neurohw.circuits.interconnect import Interconnect
from neurohw.errors import ConvergenceError, InvalidValueError

Array = NDArray[np.floating]

TOLERANCE = 1e-13
_MOST = 1000


class WiredCrossbar:
    """Cells of one array with the wires that join them.

    Parameters
    ----------
    conductance : (units, inputs) array [S]
        Finite, 0 or more; copied. A thread works on 320 bytes a cell.
    wires : Interconnect

    Raises
    ------
    InvalidValueError
        No array of cells, or a conductance that is negative or not finite.
    """

    def __init__(self, conductance: Array, wires: Interconnect) -> None:
        self.conductance = np.array(conductance, np.float64, order="C")
        self.wires = wires
        if self.conductance.ndim != 2 or self.conductance.size == 0:
            raise InvalidValueError(
                f"conductance has the shape {self.conductance.shape}: must be (units, inputs)"
            )
        wrong = np.argwhere(~(self.conductance >= 0) | np.isinf(self.conductance))
        if len(wrong):
            unit, cell = wrong[0]
            raise InvalidValueError(
                f"conductance of unit {unit}, input {cell} is"
                f" {self.conductance[unit, cell]} S: must be finite, 0 or more"
            )

    def read(self, voltages: Array) -> Array:
        """Return the bit lines' currents, held at 0 V, for (batch, inputs) voltages [A]."""
        units = len(self.conductance)
        return self.currents(voltages, np.zeros((len(np.atleast_1d(voltages)), units)))[1]

    def read_transposed(self, voltages: Array) -> Array:
        """Return the word lines' currents, held at 0 V, for (batch, units) voltages [A]."""
        inputs = self.conductance.shape[1]
        return -self.currents(np.zeros((len(np.atleast_1d(voltages)), inputs)), voltages)[0]

    def currents(self, inputs: Array, units: Array) -> tuple[Array, Array]:
        """Return the currents that the terminals carry.

        Parameters
        ----------
        inputs : (batch, inputs) array [V]
            Voltages of the drivers of the word lines.
        units : (batch, units) array [V]
            Voltages of the far ends of the bit lines' amplifiers.

        Returns
        -------
        into, out : (batch, inputs) and (batch, units) arrays [A]
            From the drivers into the word lines, and out of the bit lines.

        Raises
        ------
        InvalidValueError
            Voltages of another shape, or that are not finite.
        ConvergenceError
            The iterations did not reach their tolerance.
        """
        g = self.conductance
        inputs, units = np.asarray(inputs, np.float64), np.asarray(units, np.float64)
        batch = len(inputs) if inputs.ndim else 0
        for name, voltages, lines in (("inputs", inputs, g.shape[1]), ("units", units, len(g))):
            if voltages.shape != (batch, lines):
                raise InvalidValueError(
                    f"voltages of the {name} have the shape {voltages.shape}: must be"
                    f" ({batch}, {lines})"
                )
            if not np.isfinite(voltages).all():
                raise InvalidValueError(f"voltages of the {name}: must be finite")
        driven, sensed = _chunks(inputs), _chunks(units)
        into, out = np.empty_like(driven), np.empty_like(sensed)
        iterations = np.zeros(len(driven), np.int64)
        residuals = np.zeros(len(driven))
        kernels.solve(
            g,
            *line_ends(self.wires),
            driven,
            sensed,
            TOLERANCE,
            _MOST,
            into,
            out,
            iterations,
            residuals,
        )
        if not np.all(residuals <= TOLERANCE):
            raise ConvergenceError(
                f"crossbar of {g.shape[0]} units and {g.shape[1]} inputs: the residual is still"
                f" {residuals.max():.3g} after {_MOST} iterations; lower the wires' resistance"
            )
        return _joined(into, batch), _joined(out, batch)

    @cached_property
    def terminals(self) -> Array:
        """Conductance matrix Y of the terminals, inputs before units, (all, all) [S]."""
        units, inputs = self.conductance.shape
        voltages = np.eye(inputs + units)
        into, out = self.currents(voltages[:, :inputs], voltages[:, inputs:])
        matrix = np.hstack((into, -out))
        return (matrix + matrix.T) / 2


def line_ends(wires: Interconnect) -> tuple[Array, Array]:
    """Return what solvers take of word lines and of bit lines, (3,) arrays [S].

    The conductances of a segment, and of the connections of the first and of the last node to the
    terminal, 0 where there is none.
    """
    driver = 1 / (wires.word_line + wires.source)
    amplifier = 1 / (wires.bit_line + wires.sense)
    far_driver = driver * (wires.driven_from == "both ends")
    near_amplifier = amplifier * (wires.sensed_at == "both ends")
    words = np.array([1 / wires.word_line, driver, far_driver])
    bits = np.array([1 / wires.bit_line, near_amplifier, amplifier])
    return words, bits


def exact_currents(crossbar: WiredCrossbar, inputs: Array, units: Array) -> tuple[Array, Array]:
    """Return what `WiredCrossbar.currents` does, from one sparse LU of every node: the oracle."""
    g, wires = crossbar.conductance, crossbar.wires
    count, length = g.shape
    node = np.arange(g.size).reshape(g.shape)
    word, bit = node, node + g.size
    branches = [
        (word[:-1], word[1:], np.array(1 / wires.word_line)),
        (bit[:, :-1], bit[:, 1:], np.array(1 / wires.bit_line)),
        (word, bit, g),
    ]
    first = np.concatenate([a.ravel() for a, _, _ in branches])
    second = np.concatenate([b.ravel() for _, b, _ in branches])
    value = np.concatenate([np.broadcast_to(y, a.shape).ravel() for a, _, y in branches])
    driver = 1 / (wires.word_line + wires.source)
    amplifier = 1 / (wires.bit_line + wires.sense)
    ends = [(word[0], driver, inputs), (bit[:, -1], amplifier, units)]
    if wires.driven_from == "both ends":
        ends.append((word[-1], driver, inputs))
    if wires.sensed_at == "both ends":
        ends.append((bit[:, 0], amplifier, units))
    diagonal = np.zeros(2 * g.size)
    np.add.at(diagonal, first, value)
    np.add.at(diagonal, second, value)
    source = np.zeros((2 * g.size, len(inputs)))
    for nodes, y, voltages in ends:
        np.add.at(diagonal, nodes, y)
        np.add.at(source, nodes, y * voltages.T)
    own = np.arange(2 * g.size)
    matrix = scipy.sparse.csc_array(
        (
            np.concatenate((diagonal, -value, -value)),
            (np.concatenate((own, first, second)), np.concatenate((own, second, first))),
        )
    )
    factors = scipy.sparse.linalg.splu(
        matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}
    )
    voltages = factors.solve(source).reshape(2, count, length, len(inputs))
    cell_currents = g[:, :, None] * (voltages[0] - voltages[1])
    return cell_currents.sum(axis=0).T, cell_currents.sum(axis=1).T


def _chunks(voltages: Array) -> Array:
    """Return (batch, lines) voltages as (chunks, lines, CHUNK), zeros added."""
    batch, lines = voltages.shape
    padded = np.zeros((batch + -batch % kernels.CHUNK, lines))
    padded[:batch] = voltages
    chunks = padded.reshape(-1, kernels.CHUNK, lines)
    return np.ascontiguousarray(chunks.transpose(0, 2, 1))


def _joined(chunks: Array, batch: int) -> Array:
    return chunks.transpose(0, 2, 1).reshape(-1, chunks.shape[1])[:batch].copy()
