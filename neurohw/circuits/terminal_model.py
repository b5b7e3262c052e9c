"""The terminals of a crossbar with wires while its cells change: reduced now and then.

At a refresh the array is reduced exactly. Until the next one each terminal conductance follows its
own cell by the share a of its voltages that reach the cell,

    T(t) = a(t)·G(t) + (T − a·G at the refresh)

and the sums follow so that equal voltages everywhere still drive no current. The share, which is
right to first order in the wires' resistance, is taken anew a few times between two refreshes, at
the cost of two passes over the cells. So are the couplings, with the same kind of rest, and in
between they stay.
"""

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits import kernels, tiles
from neurohw.circuits.interconnect import Wires

Array = NDArray[np.floating]

# Times that shares and couplings are taken from one refresh to the next.
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
        """Refresh the array, or retake its shares, if that falls due between two events' numbers.

        `follow` must come next.
        """
        every = max(1, self.wires.refresh // _SHARES)
        if after // self.wires.refresh > before // self.wires.refresh:
            self.refresh(conductance)
        elif after // every > before // every:
            self.retake(conductance)

    def refresh(self, conductance: Array) -> None:
        """Reduce the array as it is; `follow` must come next."""
        exact = tiles.reduce(conductance, self.wires, driven=self.driven)
        units, inputs = self._estimate(conductance)
        self._rest: Array = exact.transfer - self._share * conductance
        self._unit_rest: Array = exact.unit_coupling - units
        self._input_rest: Array | None = None
        if inputs is not None and exact.input_coupling is not None:
            self._input_rest = exact.input_coupling - inputs
        self._couple(exact.unit_coupling, exact.input_coupling)

    def retake(self, conductance: Array) -> None:
        """Take shares and couplings anew for the array as it is; `follow` must come next."""
        units, inputs = self._estimate(conductance)
        if inputs is not None and self._input_rest is not None:
            inputs += self._input_rest
        self._couple(units + self._unit_rest, inputs)

    def _estimate(self, conductance: Array) -> tuple[Array, Array | None]:
        """Take the shares, and return what they say of the couplings."""
        self._share: Array = tiles.passed(conductance, self.wires)
        return tiles.coupled(self._share * conductance, self.wires, driven=self.driven)

    def _couple(self, units: Array, inputs: Array | None) -> None:
        self.unit_coupling, self.input_coupling = units, inputs
        self._coupled_units = units.sum(axis=1)
        self._coupled_inputs = None if inputs is None else inputs.sum(axis=1)

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
        self.unit_sums = sums + self._coupled_units
        if self._coupled_inputs is not None:
            self.input_sums = self.transfer.sum(axis=0) + self._coupled_inputs
        return projection

    def with_noise(self, conductance: Array, noisy: Array) -> tuple[Array, Array, Array | None]:
        """Return transfer, unit_sums and input_sums while cells (units, inputs) are noisy [S].

        To first order: each terminal conductance moves by the share of its cell; couplings stay.
        """
        change = self._share * (noisy - conductance)
        inputs = None if self.input_sums is None else self.input_sums + change.sum(axis=0)
        return self.transfer + change, self.unit_sums + change.sum(axis=1), inputs

    def record(self) -> dict[str, Array]:
        """Return what a run file holds of the last refresh."""
        state: dict[str, Array] = {
            "wire_share": self._share.copy(),
            "wire_rest": self._rest.copy(),
            "unit_coupling": self.unit_coupling.copy(),
            "unit_coupling_rest": self._unit_rest.copy(),
        }
        if self.input_coupling is not None and self._input_rest is not None:
            state["input_coupling"] = self.input_coupling.copy()
            state["input_coupling_rest"] = self._input_rest.copy()
        return state

    def restore(self, conductance: Array, state: dict[str, Array]) -> None:
        """Take over the refresh of `record` and the cells as they are."""
        self._share, self._rest = state["wire_share"].copy(), state["wire_rest"].copy()
        self._unit_rest = state["unit_coupling_rest"].copy()
        inputs = None
        if not self.driven:
            self._input_rest = state["input_coupling_rest"].copy()
            inputs = state["input_coupling"].copy()
        self._couple(state["unit_coupling"].copy(), inputs)
        self.follow(conductance)
