"""Biases of the nodes: programmable current sources, or cells to one or two rails."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip.array import CrossbarArray
from neurohw.chip.reading import Moment
from neurohw.chip.signed import SignedArray
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

    @property
    def crossbars(self) -> list[CrossbarArray]:
        """No crossbars."""
        return []

    def source(self, moment: Moment | int | None = None) -> Source:
        """Return what the sources add at each node."""
        return Source(current=self.values, conductance=self._none)

    def program(self, update: Update, event: int) -> None:
        """Add an update [A]."""
        self.values = self.values + np.einsum("erp,eru->u", update.presynaptic, update.postsynaptic)

    def write(self, currents: Array) -> None:
        """Set the sources, (units,) [A]."""
        self.values = currents.astype(self.values.dtype)

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

    @property
    def crossbars(self) -> list[CrossbarArray]:
        """The crossbar of these cells."""
        return [self.array]

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


class BiasLine:
    """One word line at a rail's voltage through an array of signed weights.

    Its update is that of `BiasCurrents`, in amperes.
    """

    def __init__(self, array: SignedArray, rail: float) -> None:
        self.rail = rail
        self.array = array
        self._line = np.full((1, 1), rail, array.values().dtype)
        self._none = np.zeros(array.shape[0], array.values().dtype)

    @property
    def crossbars(self) -> list[CrossbarArray]:
        """The crossbars of these cells."""
        return self.array.every_crossbar

    def source(self, moment: Moment | int | None = None) -> Source:
        """Return what the cells add at each unit's virtual ground."""
        current = self.array.read(self._line, Moment.of(moment))[0]
        return Source(current=current, conductance=self._none)

    def program(self, update: Update, event: int) -> None:
        """Apply an update [A]."""
        postsynaptic = update.postsynaptic / update.postsynaptic.dtype.type(self.rail)
        self.array.program(msgspec.structs.replace(update, postsynaptic=postsynaptic), event)

    def write(self, currents: Array) -> None:
        """Program the cells to currents (units,) [A]."""
        self.array.write(currents[:, None] / self.rail)

    def restore(self, state: dict[str, Array]) -> None:
        """Take over the state of `record`."""
        self.array.restore(state)

    def record(self) -> dict[str, Array]:
        """Return what a run file holds of these cells."""
        return self.array.record()
