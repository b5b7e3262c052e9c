"""One crossbar of memory cells, with the operations that the hardware has."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.chip.bank import Bank
from neurohw.chip.reading import Moment, Readings, sum_over_units
from neurohw.chip.schemes import Scheme, lines_of, multiple_of_4
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.terminal_model import TerminalModel
from neurohw.devices.fabrication import Cells
from neurohw.devices.reading.fabrication import CellReading
from neurohw.engines.equilibrium import SeenArray
from neurohw.errors import InvalidValueError
from neurohw.mappings.programming import Programming
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
    programming : Programming, optional
        How updates become pulses; the default of a chip without.
    fast : Cells, optional
        Further cells, where the update scheme has some.
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
        programming: Programming | None = None,
        fast: Cells | None = None,
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
        programming = Programming() if programming is None else programming
        carries = programming.accumulate == "carry"
        self._bank = Bank(conductance.copy() if carries else conductance, cells)
        self.scheme = Scheme(programming, self._bank, conductance, fast=fast)
        dtype = conductance.dtype.type
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

    @property
    def pulses(self) -> NDArray[np.uint32]:
        """Pulses that each cell took, (units, inputs); without entries where none are counted."""
        return self._bank.pulses

    def read(self, voltages: Array, moment: Moment | None = None) -> Array:
        """Return the unit lines' currents, held at 0 V, for (batch, inputs) voltages [A].

        With the noise of a moment; without one, exact.
        """
        if self._readings is not None and moment is not None:
            return self._readings.read(moment, self._wired, voltages)
        return self._through(self._seen.conductance, voltages)

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

    def main_values(self) -> Array:
        """Return the same of the cells without narrower ones that stand beside them."""
        return self._bank.read.copy()

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
    ) -> Array | None:
        """Apply an update through the cells' law, in one pass.

        Parameters
        ----------
        update : Update
            Where inputs are paired, of the first half of them or of all.
        event : int
            Number of the update's first event in this array's life.
        next_input : (batch, inputs) array, optional [V]

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
        g, events = self._conductance, len(update.presynaptic)
        y = self._no_next
        if next_input is not None and self._wired is None:
            y = multiple_of_4(next_input, 0)
        projection = np.empty((len(y), len(g)), g.dtype)
        fused = self.scheme.fused(update, event)
        sums = None
        before = None
        if self._ages or self.wears:
            before = self._bank.state.copy(), self._bank.read.copy()
        if fused is None:
            self.scheme.program(update, event)
        else:
            sums = np.empty(len(g), g.dtype)
            self._pass(*fused, (y, projection, sums))
        aged = before is not None and self._age(*before, event)
        if fused is None or aged:
            sums = None
            if next_input is not None and self._wired is None:
                projection = self._through(g, next_input)
        if self._wired is None:
            self._sum(sums)
        else:
            self._wired.advance(g, event, event + events)
            coming = None if next_input is None else self._every_line(next_input)
            projection = self._wired.follow(g, coming)
            self._see(self._wired)
        return None if next_input is None else projection[: len(next_input)]

    def wait(self, seconds: float) -> None:
        """Leave the cells alone for a time after they were programmed [s]."""
        if self.reading.noise is not None:
            self.reading.noise.waited = seconds
        if self.reading.retention is not None:
            self._move(self.reading.retention.waited(self._bank.state, seconds))
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
        moved = self._bank.state + law.step * moves
        self._move(np.clip(moved, self.cells.low, self.cells.high).astype(moved.dtype))
        self.refresh()
        self._sum()
        return int(np.abs(moves).sum())

    @property
    def worn(self) -> float:
        """Share of the cells that are past their endurance, and stay where they stand."""
        return float(np.mean(self.pulses > self.reading.endurance)) if self.wears else 0.0

    def rest(self, event: int) -> None:
        """Let a mini-batch pass in which no cell is programmed."""
        if self._ages and self._age(self._bank.state.copy(), self._bank.read.copy(), event):
            self.refresh()
            self._sum()

    def _age(self, state: Array, read: Array, event: int) -> bool:
        """Let a mini-batch pass, in which worn cells stay as they were; tell whether any moved.

        state and read are what pulses moved, and what was read, before the mini-batch.
        """
        moved = False
        if self.wears:
            worn = self.pulses > self.reading.endurance
            moved = bool(worn.any())
            self._bank.state[worn] = state[worn]
            self._bank.read[worn] = read[worn]
            self.scheme.gather()
        if self.reading.retention is not None and self._ages:
            self._move(self.reading.retention.step(state, self._bank.state, event))
            moved = True
        return moved

    def _move(self, state: Array) -> None:
        """Take over another state of all cells, and read as much more or less."""
        bank = self._bank
        if bank.state is not bank.read:
            bank.read += state - bank.state
            np.maximum(bank.read, 0, out=bank.read)
        bank.state[:] = state
        self.scheme.gather()

    def _pass(self, update: Update, event: int, coming: tuple[Array, Array, Array]) -> None:
        """Program the cells, sum their lines and project what comes next, in one pass."""
        x, y = multiple_of_4(update.presynaptic, 1), coming[0]
        halved = update.paired and self.cells.ideal and _is_simple(update)
        if self.paired and not (halved and x.shape[1] == len(y) == 4):
            x, y = pairs(x) if update.paired else x, pairs(y)
        lines = lines_of(update, x, len(self._conductance))
        self._bank.add(lines, (y, *coming[1:]), event)

    def _through(self, g: Array, voltages: Array) -> Array:
        """Return the currents of (batch, inputs) voltages through conductances [A]."""
        if self.paired:
            g = g[:, : g.shape[1] // 2] - g[:, g.shape[1] // 2 :]
        return np.asarray(voltages @ g.T)

    def _require_lines(self, update: Update, next_input: Array | None) -> None:
        if update.paired and not self.paired:
            raise InvalidValueError("update.paired = True: the array's inputs are not paired")
        given = [update.presynaptic.shape[2]]
        taken = [self._conductance.shape[1] // (1 + update.paired)]
        if next_input is not None:
            given, taken = [*given, next_input.shape[1]], [*taken, self._lines_given]
        if given != taken:
            raise InvalidValueError(f"{given} input lines: the array takes {taken}")

    def write(
        self,
        wanted: Array,
        where: NDArray[np.bool_] | bool = True,
        event: int = 0,
        *,
        again: bool = False,
    ) -> None:
        """Program cells to the values nearest to `wanted` (units, inputs) [S].

        where (units, inputs) says which, all of them without; worn ones stay. event numbers the
        write in the array's life; again says whether cells in use are rewritten, see
        `Scheme.write`.
        """
        where = self._lasting(where)
        retention = self.reading.retention
        if retention is not None and retention.age.size > 0:
            retention.age[where] = 0.0
        self.scheme.write(wanted, where, event, again=again)
        self.refresh()
        self._sum()

    def take_over(self, conductance: Array, narrow: Array | None = None) -> None:
        """Let all cells stand where a read-out found them, (units, inputs) [S].

        Within their limits or not; narrow are the cells beside them that carry. Pulse counts and
        digital memory stay. Where no cell moves, line sums and wires stay as they are to the bit.
        """
        if self.scheme.take_over(conductance, narrow):
            self.refresh()
            self._sum()

    def approach(
        self,
        wanted: Array,
        where: NDArray[np.bool_] | bool = True,
        event: int = 0,
        *,
        pulses: int,
        tolerance: float,
    ) -> None:
        """Pulse and read cells in turn until they are near `wanted` (units, inputs) [S].

        Within the tolerance [S], or with at most so many pulses each, which are counted. where and
        event as for `write`.
        """
        self.scheme.approach(wanted, self._lasting(where), event, pulses, tolerance)
        self.refresh()
        self._sum()

    def _lasting(self, where: NDArray[np.bool_] | bool) -> NDArray[np.bool_] | bool:
        """Return which of some cells are not past their endurance."""
        return where & (self.pulses <= self.reading.endurance) if self.wears else where

    def refresh(self) -> None:
        """Reduce the wires exactly, to the cells as they are; nothing where there are none."""
        if self._wired is not None:
            self._wired.refresh(self._conductance)
            self._wired.follow(self._conductance)
            self._see(self._wired)

    def restore(self, state: dict[str, Array]) -> None:
        """Take over the conductances, pulse counts and line sums of `record`."""
        self.scheme.restore(state)
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
            **self.scheme.record(),
            "unit_sums": self._seen.unit_sums.copy(),
        }
        if self._seen.input_sums is not None:
            state["input_sums"] = self._seen.input_sums.copy()
        if self.reading.retention is not None and self.reading.retention.age.size > 0:
            state["age"] = self.reading.retention.age.copy()
        if self._wired is not None:
            state |= self._wired.record()
        if self.cells.repair is not None:
            state |= self.cells.repair.record()
        state["g_min"], state["g_max"] = np.array(self.cells.low), np.array(self.cells.high)
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
        lines = multiple_of_4(inputs, 0)
        return pairs(lines) if self.paired else lines


def _is_simple(update: Update) -> bool:
    """Whether an update is one event without row and decay, as that of driven arrays is."""
    return len(update.presynaptic) == 1 and update.row is None and update.decay is None
