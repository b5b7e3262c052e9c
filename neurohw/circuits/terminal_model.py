"""The terminals of a crossbar with wires while its cells change: reduced now and then.

At a refresh the array is reduced exactly. Until the next one each terminal conductance follows its
own cell by the share a of its voltages that reach the cell,

    T(t) = a(t)·G(t) + (T − a·G at the refresh)

the couplings stay, and the sums follow so that equal voltages everywhere still drive no current.
The share, which is right to first order in the wires' resistance, is taken anew a few times between
two refreshes, at the cost of two passes over the cells.
"""

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits import kernels, tiles
from neurohw.circuits.interconnect import Wires

Array = NDArray[np.floating]

# Times that the shares are taken from one refresh to the next.
_SHARES = 40


class TerminalModel:
    """Terminal conductances of one array [S], in its precision.

    Parameters
    ----------
    conductance : (units, inputs) array [S]
        The cells, reduced at once.
    wires : Wires
    driven : bool
        Whether sources drive the inputs, so that no one asks for their own side.

    Attributes
    ----------
    transfer, unit_sums, input_sums, unit_coupling, input_coupling
        See `neurohw.circuits.tiles.Terminals`; valid until the next `follow`.
    """

    unit_sums: Array
    unit_coupling: Array
    input_coupling: Array | None

    def __init__(self, conductance: Array, wires: Wires, *, driven: bool) -> None:
        self.wires = wires
        self.driven = driven
        self.transfer: Array = np.empty_like(conductance)
        self.input_sums: Array | None = None
        self.refresh(conductance)
        self.follow(conductance)

    def advance(self, conductance: Array, before: int, after: int) -> None:
        """Refresh the array, or take its shares, if that falls due between two events' numbers.

        `follow` must come next.
        """
        every = max(1, self.wires.refresh // _SHARES)
        if after // self.wires.refresh > before // self.wires.refresh:
            self.refresh(conductance)
        elif after // every > before // every:
            self._share = tiles.passed(conductance, self.wires)

    def refresh(self, conductance: Array) -> None:
        """Reduce the array as it is; `follow` must come next."""
        exact = tiles.reduce(conductance, self.wires, driven=self.driven)
        self._share = tiles.passed(conductance, self.wires)
        self._rest: Array = exact.transfer - self._share * conductance
        self.unit_coupling, self.input_coupling = exact.unit_coupling, exact.input_coupling

    def follow(self, conductance: Array, inputs: Array | None = None) -> Array:
        """Take over what the cells are now, and read (batch, inputs) voltages on the way [V].

        Returns
        -------
        (batch, units) array [A]
            Currents of the unit lines, held at 0 V; the batch is a multiple of 4.
        """
        if inputs is None:
            inputs = conductance[:0]
        projection: Array = np.empty((len(inputs), len(conductance)), conductance.dtype)
        sums: Array = np.empty(len(conductance), conductance.dtype)
        kernels.follow(
            conductance, self._share, self._rest, inputs, self.transfer, sums, projection
        )
        self.unit_sums = sums + self.unit_coupling.sum(axis=1)
        if self.input_coupling is not None:
            self.input_sums = self.transfer.sum(axis=0) + self.input_coupling.sum(axis=1)
        return projection

    def record(self) -> dict[str, Array]:
        """Return what a run file holds of the last refresh."""
        state: dict[str, Array] = {
            "wire_share": self._share.copy(),
            "wire_rest": self._rest.copy(),
            "unit_coupling": self.unit_coupling.copy(),
        }
        if self.input_coupling is not None:
            state["input_coupling"] = self.input_coupling.copy()
        return state

    def restore(self, conductance: Array, state: dict[str, Array]) -> None:
        """Take over the refresh of `record` and the cells as they are."""
        self._share, self._rest = state["wire_share"].copy(), state["wire_rest"].copy()
        self.unit_coupling = state["unit_coupling"].copy()
        if not self.driven:
            self.input_coupling = state["input_coupling"].copy()
        self.follow(conductance)
