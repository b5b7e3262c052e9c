"""One crossbar of memory cells, with the operations that the hardware has."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.chip.reading import Moment, Readings, sum_over_units
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.terminal_model import TerminalModel
from neurohw.devices import kernels
from neurohw.devices.fabrication import Cells
from neurohw.devices.law import FAMILIES
from neurohw.devices.programming import first_write
from neurohw.devices.reading.fabrication import CellReading
from neurohw.engines.equilibrium import SeenArray
from neurohw.errors import InvalidValueError
from neurohw.update import Update, pairs

Array = NDArray[np.floating]


class CrossbarArray:
    """One crossbar of memory cells, with the operations that the hardware has.

    Parameters
    ----------
    conductance : (units, inputs) array [S]
        Of the run's precision; owned and changed in place from here on.
    cells : Cells
    driven : bool
        Whether the inputs are driven by sources, so that no one asks for their line sums.
    paired : bool
        Whether inputs are pairs of word lines that carry opposite voltages. Voltages given to the
        array, and presynaptic signals, are then those of the first half of its inputs.
    wires : Wires, optional
        Wires with resistance: reads, and what the physics sees, are then those of the terminals,
        as of the last refresh (see `neurohw.circuits.terminal_model`).
    transposed_gain : (inputs,) array, optional
        Gain of a transposed read over that of a forward read, of each input line.
    reading : CellReading, optional
        Noise of reads, and what time, reads and pulses do to cells.
    """

    def __init__(
        self,
        conductance: Array,
        cells: Cells,
        *,
        driven: bool,
        paired: bool = False,
        wires: Wires | None = None,
        transposed_gain: Array | None = None,
        reading: CellReading | None = None,
    ) -> None:
        if paired and conductance.shape[1] % 2:
            raise InvalidValueError(
                f"{conductance.shape[1]} inputs: paired ones are even in number"
            )
        self.cells = cells
        self.driven = driven
        self.paired = paired
        self._transposed_gain = transposed_gain
        self._lines_given = conductance.shape[1] // (1 + paired)
        self._conductance = conductance
        # What pulses move, where writing leaves something else to read.
        self._state = conductance
        if cells.law.write_sigma > 0:
            self._state = conductance.copy()
        self.pulses = np.zeros(conductance.shape if cells.whole else (0, 0), np.uint32)
        dtype = conductance.dtype.type
        self._no_rows = np.zeros((1, 0), dtype)
        self._no_next = np.zeros((4, self._lines_given), dtype)
        self._wired: TerminalModel | None = None
        if wires is not None:
            self._wired = TerminalModel(conductance, wires, driven=driven)
        self._readings: Readings | None = None
        self.reading = CellReading() if reading is None else reading
        if self.reading.noise is not None:
            self._readings = Readings(
                self.reading.noise, conductance, self._every_line, driven=driven
            )
        retention = self.reading.retention
        self._ages = retention is not None and retention.active
        # Whether pulses are counted, and their number is limited.
        self.wears = cells.whole and bool(np.isfinite(self.reading.endurance))
        self._sum()

    @property
    def noisy(self) -> bool:
        """Whether reads at two moments may differ."""
        return self._readings is not None

    def read(self, voltages: Array, moment: Moment | None = None) -> Array:
        """Return the unit lines' currents, held at 0 V, for (batch, inputs) voltages [A].

        With the noise of a moment; without one, exact.
        """
        if self._readings is not None and moment is not None:
            return self._readings.read(moment, self._wired, voltages)
        g = self._seen.conductance
        if self.paired:
            g = g[:, : g.shape[1] // 2] - g[:, g.shape[1] // 2 :]
        return np.asarray(voltages @ g.T)

    def read_transposed(self, voltages: Array, moment: Moment | None = None) -> Array:
        """Return the input lines' currents, held at 0 V, for (batch, units) voltages [A].

        Of all of them, (batch, inputs), also where inputs are paired.
        """
        currents = voltages @ self.seen(moment).conductance
        if self._transposed_gain is not None:
            currents = currents * self._transposed_gain.astype(currents.dtype)
        return np.asarray(currents)

    def values(self) -> Array:
        """Return a copy of all conductances (units, inputs) [S]: a digital read-out."""
        return self._conductance.copy()

    def seen(self, moment: Moment | int | None = None) -> SeenArray:
        """Return the array as the physics sees it, with the noise of a moment if one is given.

        An event's number stands for its start. The arrays in it are the hardware's own, valid
        until the next `program`.
        """
        at = Moment.of(moment)
        if self._readings is None or at is None:
            return self._seen
        return self._readings.seen(at, self._wired)

    def program(
        self,
        update: Update,
        event: int,
        next_input: Array | None = None,
        *,
        passes: bool = True,
    ) -> Array | None:
        """Apply an update through the cells' law, in one pass.

        Parameters
        ----------
        update : Update
            Where inputs are paired, of the first half of them or of all.
        event : int
            Number of the update's first event in this array's life.
        next_input : (batch, inputs) array, optional [V]
        passes : bool
            Whether a mini-batch's time passes with it, for cells that drift or decay.

        Returns
        -------
        (batch, units) array [A]
            What `read(next_input)` gives after the update; None without `next_input`.

        Raises
        ------
        InvalidValueError
            The update or the next input is not for input lines as this array has them.
        """
        self._require_lines(update, next_input)
        g, cells = self._state, self.cells
        dtype = g.dtype.type
        x = _multiple_of_4(update.presynaptic, 1)
        y = self._no_next
        if next_input is not None and self._wired is None:
            y = _multiple_of_4(next_input, 0)
        halved = update.paired and cells.ideal and _is_simple(update)
        if self.paired and not (halved and x.shape[1] == len(y) == 4):
            x, y = pairs(x) if update.paired else x, pairs(y)
        projection = np.empty((len(y), len(g)), dtype)
        sums = np.empty(len(g), dtype)
        lines = (
            x,
            _multiple_of_4(update.postsynaptic, 1),
            self._lines(update.row, update),
            self._column(update),
            self._lines(update.decay, update),
        )
        coming = (y, projection, sums)
        before = None
        if self._ages or self.wears:
            before = g.copy(), self._conductance.copy()
        if cells.ideal:
            kernels.program_ideal(g, lines, self._limits, coming)
        else:
            read = self._conductance
            kernels.program_device(g, read, self.pulses, lines, self._law, event, coming)
        if before is not None and self._age(*before, event, passes=passes):
            sums = self._conductance.sum(axis=1)
            if next_input is not None and self._wired is None:
                projection = self._every_line(next_input) @ self._conductance.T
        if self._wired is None:
            self._sum(sums)
        else:
            self._wired.advance(self._conductance, event, event + len(update.presynaptic))
            coming_lines = None if next_input is None else self._every_line(next_input)
            projection = self._wired.follow(self._conductance, coming_lines)
            self._see(self._wired)
        return None if next_input is None else projection[: len(next_input)]

    def wait(self, seconds: float) -> None:
        """Leave the cells alone for a time after they were programmed [s]."""
        if self.reading.noise is not None:
            self.reading.noise.waited = seconds
        if self.reading.retention is not None:
            self._move(self.reading.retention.waited(self._state, seconds))
            self.refresh()
            self._sum()

    def disturb(self, inputs: Array, units: Array, event: int, phase: int = 0) -> int:
        """Let reads above the write threshold move cells; return how many steps they took.

        inputs (batch, inputs), as `read` takes them, and units (batch, units) [V] are the voltages
        while they are read, a read a sample.
        """
        law = self.reading.disturb
        moves = None
        if law is not None:
            lines = pairs(inputs) if self.paired else inputs
            moves = law.moves(lines, units, event, phase)
        if law is None or moves is None:
            return 0
        moved = self._state + law.step * moves
        self._move(np.clip(moved, self.cells.low, self.cells.high).astype(self._state.dtype))
        self.refresh()
        self._sum()
        return int(np.abs(moves).sum())

    @property
    def worn(self) -> float:
        """Share of the cells that are past their endurance, and stay where they stand."""
        return float(np.mean(self.pulses > self.reading.endurance)) if self.wears else 0.0

    def rest(self, event: int) -> None:
        """Let a mini-batch pass in which no cell is programmed."""
        if self._ages and self._age(self._state.copy(), self._conductance.copy(), event):
            self.refresh()
            self._sum()

    def _age(self, state: Array, read: Array, event: int, *, passes: bool = True) -> bool:
        """Let a mini-batch pass, in which worn cells stay as they were; tell whether any moved.

        state and read are what pulses moved, and what was read, before the mini-batch.
        """
        moved = False
        if self.wears:
            worn = self.pulses > self.reading.endurance
            moved = bool(worn.any())
            self._state[worn] = state[worn]
            self._conductance[worn] = read[worn]
        if self.reading.retention is not None and self._ages and passes:
            self._move(self.reading.retention.step(state, self._state, event))
            moved = True
        return moved

    def _move(self, state: Array) -> None:
        """Take over another state of all cells, and read as much more or less."""
        if self._state is not self._conductance:
            self._conductance += state - self._state
            np.maximum(self._conductance, 0, out=self._conductance)
        self._state[:] = state

    def _require_lines(self, update: Update, next_input: Array | None) -> None:
        if update.paired and not self.paired:
            raise InvalidValueError("update.paired = True: the array's inputs are not paired")
        given = [update.presynaptic.shape[2]]
        taken = [self._conductance.shape[1] // (1 + update.paired)]
        if next_input is not None:
            given, taken = [*given, next_input.shape[1]], [*taken, self._lines_given]
        if given != taken:
            raise InvalidValueError(f"{given} input lines: the array takes {taken}")

    def write(self, wanted: Array, where: NDArray[np.bool_] | bool = True, event: int = 0) -> None:
        """Program cells, fresh, to the values nearest to `wanted` (units, inputs) [S].

        where (units, inputs) says which, all of them without; worn ones stay. event numbers the
        write in the array's life.
        """
        if self.wears:
            where = where & (self.pulses <= self.reading.endurance)
        retention = self.reading.retention
        if retention is not None and retention.age.size > 0:
            retention.age[where] = 0.0
        written = first_write(self.cells, wanted, event)
        for values in (self._state, self._conductance):
            np.copyto(values, written, "same_kind", where)
        self.refresh()
        self._sum()

    def refresh(self) -> None:
        """Reduce the wires exactly, to the cells as they are; nothing where there are none."""
        if self._wired is not None:
            self._wired.refresh(self._conductance)
            self._wired.follow(self._conductance)
            self._see(self._wired)

    def restore(self, state: dict[str, Array]) -> None:
        """Take over the conductances, pulse counts and line sums of `record`."""
        self._conductance[:] = state["conductance"]
        self._state[:] = state.get("state", state["conductance"])
        if "pulses" in state:
            self.pulses[:] = state["pulses"]
        if "age" in state and self.reading.retention is not None:
            self.reading.retention.age[:] = state["age"]
        if self._wired is not None:
            self._wired.restore(self._conductance, state)
            self._see(self._wired)
            return
        self._forget()
        self._seen = SeenArray(
            conductance=self._conductance,
            unit_sums=state["unit_sums"].copy(),
            input_sums=None if self.driven else state["input_sums"].copy(),
        )

    def record(self) -> dict[str, Array]:
        """Return what a run file holds of this array, units in siemens."""
        state: dict[str, NDArray[Any]] = {
            "conductance": self.values(),
            "unit_sums": self._seen.unit_sums.copy(),
        }
        if self._seen.input_sums is not None:
            state["input_sums"] = self._seen.input_sums.copy()
        if self.cells.whole:
            state["pulses"] = self.pulses.copy()
        if self.reading.retention is not None and self.reading.retention.age.size > 0:
            state["age"] = self.reading.retention.age.copy()
        if self._wired is not None:
            state |= self._wired.record()
        state["g_min"], state["g_max"] = np.array(self.cells.low), np.array(self.cells.high)
        if self._state is not self._conductance:
            state["state"] = self._state.copy()
        if not self.cells.ideal:
            for key, pair in (("up", self.cells.law.up), ("down", self.cells.law.down)):
                state[f"{key}_level"], state[f"{key}_rate"] = map(np.array, pair)
        return state

    def _sum(self, unit_sums: Array | None = None) -> None:
        """Form what the physics sees; unit_sums (units,) where a pass has added them up [S]."""
        self._forget()
        if self._wired is not None:
            self._see(self._wired)
            return
        g = self._conductance
        self._seen = SeenArray(
            conductance=g,
            unit_sums=g.sum(axis=1) if unit_sums is None else unit_sums,
            input_sums=None if self.driven else sum_over_units(g),
        )

    def _forget(self) -> None:
        if self._readings is not None:
            self._readings.forget()

    def _see(self, wired: TerminalModel) -> None:
        self._forget()
        self._seen = SeenArray(
            conductance=wired.transfer,
            unit_sums=wired.unit_sums,
            input_sums=wired.input_sums,
            unit_coupling=wired.unit_coupling,
            input_coupling=wired.input_coupling,
            cells=self._conductance,
            wires=wired.wires,
        )

    def _every_line(self, inputs: Array) -> Array:
        """Return the voltages of all word lines, a multiple of 4 of samples."""
        lines = _multiple_of_4(inputs, 0)
        return pairs(lines) if self.paired else lines

    def _lines(self, lines: Array | None, update: Update) -> Array:
        if lines is None:
            events = len(update.presynaptic)
            return self._no_rows if events == 1 else np.zeros((events, 0), self._no_rows.dtype)
        return lines

    def _column(self, update: Update) -> Array:
        if update.column is None:
            return np.zeros((len(update.presynaptic), len(self._conductance)), self._no_rows.dtype)
        return update.column

    @cached_property
    def _limits(self) -> tuple[np.floating, np.floating]:
        dtype = self._conductance.dtype.type
        return dtype(self.cells.low[0, 0]), dtype(self.cells.high[0, 0])

    @cached_property
    def _law(self) -> tuple[object, ...]:
        """The cells as `kernels.program_device` takes them."""
        cells, law, dtype = self.cells, self.cells.law, self._conductance.dtype.type
        each = cells.low, cells.high, *law.up, *law.down
        shape = np.broadcast_shapes(*(values.shape for values in each))
        parameters = np.empty((shape[0] * shape[1], 6), dtype)
        for k, values in enumerate(each):
            parameters[:, k] = np.broadcast_to(values, shape).ravel()
        counting = 1 / law.step_up, 1 / law.step_down, law.limit_up, law.limit_down
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


def _is_simple(update: Update) -> bool:
    """Whether an update is one event without row and decay, as that of driven arrays is."""
    return len(update.presynaptic) == 1 and update.row is None and update.decay is None


def _multiple_of_4(array: Array, axis: int) -> Array:
    """Return the array contiguous, with zeros added until an axis is a multiple of 4."""
    missing = -array.shape[axis] % 4
    if missing == 0:
        return np.ascontiguousarray(array)
    shape = list(array.shape)
    shape[axis] += missing
    padded = np.zeros(shape, array.dtype)
    padded[tuple(slice(length) for length in array.shape)] = array
    return padded
