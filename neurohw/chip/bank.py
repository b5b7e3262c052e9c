"""The memory cells of one array, and the ways in which pulses reach them."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.devices import kernels, trains
from neurohw.devices.fabrication import Cells
from neurohw.devices.law import FAMILIES
from neurohw.devices.programming import first_write, rewriting_pulses

Array = NDArray[np.floating]


class Bank:
    """Cells side by side, each with its state.

    Parameters
    ----------
    read : (units, inputs) array [S]
        What is read of the cells, of the run's precision; changed in place.
    cells : Cells

    Attributes
    ----------
    state : (units, inputs) array [S]
        What pulses move; `read` itself unless writing leaves something else to read.
    pulses : (units, inputs) array of uint32
        That each cell took; without entries where pulses are not whole.
    """

    def __init__(self, read: Array, cells: Cells) -> None:
        self.read = read
        self.cells = cells
        self.state = read.copy() if cells.law.write_sigma > 0 else read
        self.pulses = np.zeros(read.shape if cells.whole else (0, 0), np.uint32)

    def write(
        self,
        wanted: Array,
        where: NDArray[np.bool_] | bool = True,
        event: int = 0,
        *,
        again: bool = False,
    ) -> None:
        """Program cells to the values nearest to `wanted` (units, inputs) [S].

        Whether fresh ones, whose pulses are not counted, or `again`: then a reset counts as one
        pulse, and each pulse up that leads from there to the new value; see `rewriting_pulses`.
        """
        written = first_write(self.cells, wanted, event)
        for values in (self.state, self.read):
            np.copyto(values, written, "same_kind", where)
        if again and self.cells.whole:
            pulses = rewriting_pulses(self.cells, written, event).astype(np.uint32)
            np.add(self.pulses, pulses, out=self.pulses, where=where)

    def take_over(self, conductance: Array) -> bool:
        """Let cells stand where they were read (units, inputs) [S]; return whether any moves."""
        if np.array_equal(self.read, conductance):
            return False
        for values in (self.state, self.read):
            np.copyto(values, conductance, "same_kind")
        return True

    def add(self, lines: Any, coming: Any, event: int) -> None:
        """Apply wanted changes in one pass; lines and coming as in `kernels.program_ideal`."""
        if self.cells.ideal:
            kernels.program_ideal(self.state, lines, self._limits, coming)
        else:
            read, state = self.read, self.state
            kernels.program_device(state, read, self.pulses, lines, self._law, event, coming)

    def pulse(self, pulses: Array, event: int) -> None:
        """Give each cell signed pulses (units, inputs), in siemens where it is ideal."""
        if self.cells.ideal:
            self.state[:] = np.clip(self.state + pulses, *self._limits)
            return
        law, state = self.cells.law, self.state
        pulses = np.clip(pulses, -law.limit_down, law.limit_up).astype(state.dtype, copy=False)
        kernels.pulse(state, self.read, self.pulses, pulses, self._law, event)

    def coincide(self, x: Array, d: Array, first_event: int) -> None:
        """Send pulse trains for x (event, term, inputs) and d (event, term, units), x·d in S.

        Terms of an event are added up in every cell, events follow one another.
        """
        sent = trains.compiled(self.cells, x, d, first_event)
        kernels.coincide(self.state, self.read, self.pulses, sent, self._law, first_event)

    def restore(self, state: dict[str, Array], prefix: str = "") -> None:
        """Take over what `record` returned under a prefix."""
        self.read[:] = state[f"{prefix}conductance"]
        self.state[:] = state.get(f"{prefix}state", self.read)
        if f"{prefix}pulses" in state:
            self.pulses[:] = state[f"{prefix}pulses"]

    def record(self, prefix: str = "") -> dict[str, Array]:
        """Return conductances [S], pulses and, where they are not what is read, states [S]."""
        record: dict[str, NDArray[Any]] = {f"{prefix}conductance": self.read.copy()}
        if self.cells.whole:
            record[f"{prefix}pulses"] = self.pulses.copy()
        if self.state is not self.read:
            record[f"{prefix}state"] = self.state.copy()
        return record

    @cached_property
    def _limits(self) -> tuple[np.floating, np.floating]:
        dtype = self.state.dtype.type
        return dtype(self.cells.low[0, 0]), dtype(self.cells.high[0, 0])

    @cached_property
    def _law(self) -> tuple[object, ...]:
        """The cells as `kernels.program_device` takes them."""
        cells, law, dtype = self.cells, self.cells.law, self.state.dtype.type
        each = cells.low, cells.high, *law.up, *law.down
        shape = np.broadcast_shapes(*(values.shape for values in each))
        parameters = np.empty((shape[0] * shape[1], 6), dtype)
        for k, values in enumerate(each):
            parameters[:, k] = np.broadcast_to(values, shape).ravel()
        up, down = law.counted
        counting = 1 / up, 1 / down, law.limit_up, law.limit_down
        variances = law.sigma**2, law.relative_sigma**2, law.write_sigma**2
        streams = (
            cells.cycle_stream,
            cells.rounding_stream,
            cells.write_stream,
            cells.sample_stream,
        )
        return (
            parameters,
            law.table.astype(dtype),
            FAMILIES.index(law.family),
            law.whole,
            law.noisy,
            *map(dtype, counting),
            *map(dtype, variances),
            *map(np.uint64, streams),
        )
