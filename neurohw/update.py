"""The change of an array's weights, in the factored form in which its lines carry it."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError

Array = NDArray[np.floating]


class Update(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Wanted change of the conductances of one array, learning rate included [S].

    For bias currents, read amperes for siemens.

    Written for cell (input i, unit j), each event one after the other:

        ΔW_ij = Σ_rank presynaptic_i · postsynaptic_j + row_i + column_j − decay_j · W_ij

    Where inputs are word lines in pairs that carry opposite voltages, `presynaptic` may cover the
    first half of them only, and the others have its opposite.

    The device law acts once an event: one for an update aggregated over the mini-batch, one a
    sample for on-line learning, two where the hardware increments in one phase and decrements in
    the other. On a nonlinear device those end in different states.

    Parameters
    ----------
    presynaptic : (event, rank, inputs) array
    postsynaptic : (event, rank, units) array
        The product of the two is in siemens.
    row : (event, inputs) array, optional [S]
    column : (event, units) array, optional [S]
    decay : (event, units) array, optional [1]
    paired : bool
        Whether it does.
    """

    presynaptic: Array
    postsynaptic: Array
    row: Array | None = None
    column: Array | None = None
    decay: Array | None = None
    paired: bool = False

    def __post_init__(self) -> None:
        if self.presynaptic.shape[:2] != self.postsynaptic.shape[:2]:
            raise InvalidValueError(
                f"presynaptic {self.presynaptic.shape} and postsynaptic "
                f"{self.postsynaptic.shape} differ in events or rank"
            )

    def dense(self, conductance: Array, event: int) -> Array:
        """Return the wanted change of every cell, shape (units, inputs) [S]: for the oracle."""
        inputs = self.presynaptic[event]
        change: Array = self.postsynaptic[event].T @ (pairs(inputs) if self.paired else inputs)
        if self.row is not None:
            change = change + self.row[event][None, :]
        if self.column is not None:
            change = change + self.column[event][:, None]
        if self.decay is not None:
            change = change - self.decay[event][:, None] * conductance
        return change


def pairs(lines: Array) -> Array:
    """Return what paired word lines carry: (…, n) values followed by their opposites, (…, 2 n)."""
    return np.concatenate((lines, -lines), axis=-1)
