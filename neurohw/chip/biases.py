"""Biases of the nodes: programmable current sources, or cells to two rails."""

import numpy as np
from numpy.typing import NDArray

from neurohw.chip.array import CrossbarArray
from neurohw.chip.reading import Moment
from neurohw.engines.equilibrium import Source
from neurohw.update import Update

Array = NDArray[np.floating]


class BiasCurrents:
    """A programmable current source at each node of a layer, without limit or noise.

    Its update has one input line that carries 1: presynaptic (event, 1, 1).
    """

    def __init__(self, units: int, dtype: str) -> None:
        self.values = np.zeros(units, dtype)
        self._none = np.zeros(units, dtype)

    def source(self, moment: Moment | int | None = None) -> Source:
        """Return what the sources add at each node."""
        return Source(current=self.values, conductance=self._none)

    def program(self, update: Update, event: int) -> None:
        """Add an update [A]."""
        self.values = self.values + np.einsum("erp,eru->u", update.presynaptic, update.postsynaptic)

    def restore(self, state: dict[str, Array]) -> None:
        """Take over the currents of `record`."""
        self.values = state["current"].astype(self.values.dtype)

    def record(self) -> dict[str, Array]:
        """Return what a run file holds of these sources [A]."""
        return {"current": self.values.copy()}


class BiasRails:
    """Two cells at each node of a layer, one to a positive and one to a negative rail."""

    def __init__(self, array: CrossbarArray, rail: float) -> None:
        self.word_lines = (rail, -rail)
        self.array = array
        self._rails = np.array([self.word_lines], array.values().dtype)

    def source(self, moment: Moment | int | None = None) -> Source:
        """Return what the cells add at each node."""
        seen, at = self.array.seen(moment), Moment.of(moment)
        return Source(current=self.array.read(self._rails, at)[0], conductance=seen.unit_sums)

    def program(self, update: Update, event: int) -> None:
        """Apply an update of the cells [S]."""
        self.array.program(update, event)

    def restore(self, state: dict[str, Array]) -> None:
        """Take over the state of `record`."""
        self.array.restore(state)

    def record(self) -> dict[str, Array]:
        """Return what a run file holds of these cells."""
        return self.array.record()
