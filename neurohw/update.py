"""The change of an array's weights, in the factored form in which its lines carry it."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError, UnsupportedError

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

    def products(self) -> tuple[Array, Array]:
        """Return all terms as products of two lines, line sums with ones on the other line.

        Returns
        -------
        presynaptic, postsynaptic : (event, terms, inputs) and (event, terms, units) arrays
            Of all input lines, also where they are paired.

        Raises
        ------
        UnsupportedError
            Decay is no product of two lines.
        """
        if self.decay is not None:
            raise UnsupportedError("update.decay: is no product of two lines, to be pulsed alone")
        x = pairs(self.presynaptic) if self.paired else self.presynaptic
        d = self.postsynaptic
        for lines, on_units in ((self.row, False), (self.column, True)):
            if lines is not None:
                ones = np.ones((len(x), 1, (x if on_units else d).shape[2]), d.dtype)
                x = np.concatenate((x, ones if on_units else lines[:, None]), axis=1)
                d = np.concatenate((d, lines[:, None] if on_units else ones), axis=1)
        return x, d

    def in_sequence(self) -> "Update":
        """Return the same change with one event a term; see `products`."""
        x, d = self.products()
        return Update(
            presynaptic=x.reshape(-1, 1, x.shape[2]), postsynaptic=d.reshape(-1, 1, d.shape[2])
        )

    def by_sample(
        self,
        batch: int,
        row: Array | None = None,
        column: Array | None = None,
        *,
        positions: int = 1,
    ) -> "Update":
        """Return an update aggregated over a mini-batch with one event a sample.

        The ranks of this one have the samples side by side, (terms·batch·positions); row (batch,
        inputs) and column (batch, units) are what a sample adds to its line sums [S].
        """
        x, d = (
            v[0].reshape(-1, batch, positions, v.shape[2]).swapaxes(0, 1)
            for v in (self.presynaptic, self.postsynaptic)
        )
        x, d = (np.ascontiguousarray(v.reshape(batch, -1, v.shape[3])) for v in (x, d))
        return Update(presynaptic=x, postsynaptic=d, row=row, column=column, paired=self.paired)


def bias_update(signals: Array, scale: float, *, by_sample: bool) -> Update:
    """Return the update of biases, whose one input line carries 1.

    signals (batch, units) times scale are what the samples ask for, [A] of sources; an event is
    their sum or, by sample, one of them.
    """
    dtype = signals.dtype
    wanted = dtype.type(scale) * (signals if by_sample else signals.sum(axis=0)[None])
    return Update(presynaptic=np.ones((len(wanted), 1, 1), dtype), postsynaptic=wanted[:, None])


def pairs(lines: Array) -> Array:
    """Return what paired word lines carry: (…, n) values followed by their opposites, (…, 2 n)."""
    return np.concatenate((lines, -lines), axis=-1)
