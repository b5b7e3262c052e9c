"""One logical array of signed weights, held in crossbars by a scheme."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip.array import CrossbarArray
from neurohw.chip.reading import Moment
from neurohw.engines.equilibrium import SeenArray
from neurohw.errors import UnsupportedError
from neurohw.mappings.schemes import Scheme
from neurohw.update import Update

Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How the cells of a signed array are written; see `chip_specification.Mapping`."""

    scale: Literal["layer", "column"] = "layer"
    refresh: int = 0
    verify_pulses: int = 0
    verify_tolerance: float = 0.01
    rounding_stream: int = 0


class SignedArray:
    """One logical array of signed weights: crossbars whose currents add up, behind amplifiers.

    Its weights are effective conductances W (units, inputs) [S]. All lines are held at 0 V where
    they are read (virtual ground), so the partial sums of tiles, and of crossbars, add.

    Each crossbar takes its share of an update by itself: it has its own drivers, pulse trains and
    digital memory, and its own fast array or narrower cells. A pair has a fast pair, then, with
    symmetry points for each cell, and either side is transferred to the crossbar it stands beside.

    Parameters
    ----------
    crossbars : sequence of CrossbarArray
        One a cell of a weight.
    scheme : Scheme
    reference : CrossbarArray, optional
        One line of cells, (1, inputs), whose current is taken off; the scheme's middle if None.
    writing : Writing
    transposed_gain : (inputs,) array, optional
        Gain of a transposed read over that of a forward read, of the amplifier of each input line.
    """

    def __init__(
        self,
        crossbars: Sequence[CrossbarArray],
        scheme: Scheme,
        *,
        reference: CrossbarArray | None = None,
        writing: Writing | None = None,
        transposed_gain: Array | None = None,
    ) -> None:
        self._transposed_gain: Array | None = None
        if transposed_gain is not None:
            dtype = crossbars[0].seen().conductance.dtype
            self._transposed_gain = transposed_gain.astype(dtype)
        self.crossbars = list(crossbars)
        self.scheme = scheme
        self.reference = reference
        self.writing = writing or Writing()
        self._amplify(np.ones(self.shape[0]))

    @property
    def shape(self) -> tuple[int, int]:
        """(units, inputs)."""
        units, inputs = self.crossbars[0].seen().conductance.shape
        return units, inputs

    @property
    def pulses(self) -> NDArray[np.unsignedinteger[Any]]:
        """Pulses that each weight's cells took in all, (units, inputs); (0, 0) if uncounted."""
        total = self.crossbars[0].pulses
        for crossbar in self.crossbars[1:]:
            total = total + crossbar.pulses
        return total

    @property
    def every_crossbar(self) -> list[CrossbarArray]:
        """The crossbars, and the reference where it is of cells."""
        return self.crossbars + ([] if self.reference is None else [self.reference])

    @property
    def gains(self) -> Array:
        """Gains of the units' amplifiers, (units,)."""
        return self._gains

    @property
    def noisy(self) -> bool:
        """Whether reads at two moments may differ."""
        return self.crossbars[0].noisy

    def read(self, voltages: Array, moment: Moment | None = None) -> Array:
        """Return the unit lines' currents, (batch, units) [A], for (batch, inputs) voltages [V].

        With the noise of a moment; without one, exact. Of (batch, positions, inputs) voltages,
        where a sample is several reads, (batch, positions, units).
        """
        if voltages.ndim > 2:
            lines = self.read(voltages.reshape(-1, voltages.shape[-1]), moment)
            return lines.reshape(*voltages.shape[:-1], -1)
        current = self._added([crossbar.read(voltages, moment) for crossbar in self.crossbars])
        if self.scheme.referenced:
            if self.reference is None:
                lines = self.scheme.middle * voltages.sum(axis=1, keepdims=True)
            else:
                lines = self.reference.read(voltages, moment)
            current = current - current.dtype.type(sum(self.scheme.coefficients)) * lines
        return self._amplified(current)

    def read_transposed(self, voltages: Array, moment: Moment | None = None) -> Array:
        """Return the input lines' currents, (batch, inputs) [A], for (batch, units) voltages."""
        voltages = self._amplified(voltages)
        parts = [crossbar.read_transposed(voltages, moment) for crossbar in self.crossbars]
        current = self._added(parts)
        if self.scheme.referenced:
            driven = voltages.sum(axis=1, keepdims=True)
            if self.reference is None:
                lines = self.scheme.middle * driven
            else:
                lines = self.reference.read_transposed(driven, moment)
            current = current - current.dtype.type(sum(self.scheme.coefficients)) * lines
        return current if self._transposed_gain is None else current * self._transposed_gain

    def values(self) -> Array:
        """Return the weights by a digital read-out of every cell, (units, inputs) [S]."""
        reference = None if self.reference is None else self.reference.values()[0]
        weights = self.scheme.to_weights([c.values() for c in self.crossbars], reference)
        return self._amplified(weights.T).T

    def seen(self, moment: Moment | int | None = None) -> SeenArray:
        """Return the weights as the physics sees them at a moment; sums of lines are 0 here."""
        reference = None
        if self.reference is not None:
            reference = self.reference.seen(moment).conductance[0]
        cells = [crossbar.seen(moment).conductance for crossbar in self.crossbars]
        weights = self._amplified(self.scheme.to_weights(cells, reference).T).T
        units, inputs = weights.shape
        return SeenArray(
            conductance=weights,
            unit_sums=np.zeros(units, weights.dtype),
            input_sums=np.zeros(inputs, weights.dtype),
            transposed_gain=self._transposed_gain,
        )

    def program(self, update: Update, event: int, next_input: Array | None = None) -> Array | None:
        """Apply an update of the weights [S] through the cells' law; refresh where it is due.

        Parameters
        ----------
        update : Update
        event : int
            Number of the update's first event in this array's life.
        next_input : (batch, inputs) array, optional [V]

        Returns
        -------
        (batch, units) array [A]
            What `read(next_input)` gives after the update; None without `next_input`.

        Raises
        ------
        UnsupportedError
            Decay of weights whose cells do not all move both ways.
        """
        for crossbar, share in zip(self.crossbars, self.scheme.shares, strict=True):
            if share != 0:
                crossbar.program(self._of_cells(update, share), event)
            else:
                crossbar.rest(event)
        if self.reference is not None:
            self.reference.rest(event)
        every, after = self.writing.refresh, event + len(update.presynaptic)
        if every > 0 and after // every > event // every:
            self._rewrite(after)
        return None if next_input is None else self.read(next_input)

    def rest(self, event: int) -> None:
        """Let a mini-batch pass in which no cell is programmed."""
        for crossbar in self.every_crossbar:
            crossbar.rest(event)

    def write(self, wanted: Array, *, fit: bool = False) -> None:
        """Program every weight, into fresh cells, to the value nearest to `wanted` [S].

        Only the pulses of a verified write are counted. fit says whether amplifiers, of the scale
        ``column``, are first set to these weights.
        """
        wanted = np.asarray(wanted, np.float64)
        largest = self.scheme.largest
        if fit and self.writing.scale == "column" and np.isfinite(largest):
            rows = np.abs(wanted).max(axis=1)
            self._amplify(np.where(rows > 0, rows / largest, 1.0))
        cells = self.scheme.to_conductances(wanted / self._gains[:, None], self._draws(0))
        for crossbar, conductance in zip(self.crossbars, cells, strict=True):
            self._write(crossbar, conductance, np.ones(conductance.shape, bool), 0, again=False)

    def disturb(
        self, voltages: Array, event: int, phase: int = 0, *, transposed: bool = False
    ) -> int:
        """Let a read move the cells that it stresses; return how many steps they took.

        voltages are those that `read`, or `read_transposed`, takes [V]; the lines on the other
        side are at 0 V.
        """
        moved, batch = 0, len(voltages)
        lines = self._amplified(voltages) if transposed else voltages
        for crossbar in self.every_crossbar:
            units, inputs = crossbar.seen().conductance.shape
            if not transposed:
                at_rest = np.zeros((batch, units), lines.dtype)
                moved += crossbar.disturb(lines, at_rest, event, phase)
                continue
            # The line of reference cells takes all of them.
            driven = lines.sum(axis=1, keepdims=True) if crossbar is self.reference else lines
            at_rest = np.zeros((batch, inputs), lines.dtype)
            moved += crossbar.disturb(at_rest, driven, event, phase)
        return moved

    def wait(self, seconds: float) -> None:
        """Leave the cells alone for a time after they were programmed [s]."""
        for crossbar in self.every_crossbar:
            crossbar.wait(seconds)

    def refresh(self) -> None:
        """Reduce the wires exactly, to the cells as they are; nothing where there are none."""
        for crossbar in self.every_crossbar:
            crossbar.refresh()

    def record(self) -> dict[str, Array]:
        """Return what a run file holds.

        Weights [S], the most pulses that a cell of each took, and a fast one, the amplifiers'
        gains, and the record of each crossbar, numbered.
        """
        state: dict[str, NDArray[Any]] = {"conductance": self.values(), "gains": self._gains}
        records = [crossbar.record() for crossbar in self.every_crossbar]
        for key in ("pulses", "fast_pulses"):
            counts = [record[key] for record in records[: len(self.crossbars)] if key in record]
            if counts:
                state[key] = np.maximum.reduce(counts)
        for k, record in enumerate(records):
            state |= {f"{key}_{k}": value for key, value in record.items()}
        return state

    def restore(self, state: dict[str, Array]) -> None:
        """Take over the state of `record`."""
        self._amplify(state["gains"].copy())
        for k, crossbar in enumerate(self.every_crossbar):
            end = f"_{k}"
            crossbar.restore(
                {key.removesuffix(end): v for key, v in state.items() if key.endswith(end)}
            )

    def _amplify(self, gains: Array) -> None:
        """Set the gains of the units' amplifiers, (units,)."""
        self._gains = gains
        self._alike = bool((gains == 1).all())

    def _added(self, currents: Sequence[Array]) -> Array:
        total = currents[0]  # its coefficient is 1 in every scheme
        for coefficient, current in zip(self.scheme.coefficients[1:], currents[1:], strict=True):
            total = total + current.dtype.type(coefficient) * current
        return total

    def _amplified(self, lines: Array) -> Array:
        """Return (…, units) signals behind the units' amplifiers."""
        return lines if self._alike else lines * self._gains.astype(lines.dtype)

    def _of_cells(self, update: Update, share: float) -> Update:
        """Return the update of the cells that take a share of it."""
        gains = share / self._gains
        column: Array | None = None if update.column is None else update.column * gains
        row, postsynaptic = update.row, update.postsynaptic * gains
        presynaptic = update.presynaptic
        if row is not None and np.ptp(self._gains) == 0:
            row = row * gains[0]
        elif row is not None:
            # Behind unlike amplifiers the change of a row differs from unit to unit.
            presynaptic = np.concatenate((presynaptic, row[:, None]), axis=1)
            each = np.broadcast_to(gains, (len(row), 1, len(gains)))
            postsynaptic = np.concatenate((postsynaptic, each), axis=1)
            row = None
        if update.decay is not None:
            if self.scheme.one_way or 0 in self.scheme.shares:
                raise UnsupportedError(
                    "update.decay: cells that an update does not move, or only upwards, do not"
                    " decay; take mapping.scheme = offset, or differential-pair with sides = both"
                )
            towards = update.decay * self.scheme.rest
            column = towards if column is None else column + towards
        dtype = update.presynaptic.dtype
        return msgspec.structs.replace(
            update,
            presynaptic=presynaptic,
            postsynaptic=postsynaptic.astype(dtype),
            row=None if row is None else row.astype(dtype),
            column=None if column is None else column.astype(dtype),
        )

    def _rewrite(self, event: int) -> None:
        """Write anew the weights of which a cell can hardly be moved any further.

        Every cell of such a weight is reset and pulsed to its new value, which counts.
        """
        cells = [crossbar.values() for crossbar in self.crossbars]
        spent = self.scheme.spent(cells)
        if not spent.any():
            return
        reference = None if self.reference is None else self.reference.values()[0]
        weights = self.scheme.to_weights(cells, reference)
        wanted = self.scheme.to_conductances(weights.astype(np.float64), self._draws(event))
        for crossbar, conductance in zip(self.crossbars, wanted, strict=True):
            self._write(crossbar, conductance, spent, event, again=True)

    def _write(
        self,
        crossbar: CrossbarArray,
        wanted: Array,
        where: NDArray[np.bool_],
        event: int,
        *,
        again: bool,
    ) -> None:
        """Write some cells, at once or by pulses with reads between them."""
        cells, budget = crossbar.cells, self.writing.verify_pulses
        if budget == 0 or not cells.whole:
            crossbar.write(wanted, where, event, again=again)
            return
        tolerance = self.writing.verify_tolerance * (self.scheme.high - self.scheme.low)
        crossbar.write(np.broadcast_to(cells.low, wanted.shape), where, event, again=again)
        crossbar.approach(wanted, where, event, pulses=budget, tolerance=tolerance)

    def _draws(self, event: int) -> Array | None:
        """Return what decides the levels that cells are rounded to, (units, inputs)."""
        if self.scheme.rounding == "nearest":
            return None
        units, inputs = self.shape
        key = randomness.key(self.writing.rounding_stream, event)
        return randomness.roundings(key, np.arange(units * inputs).reshape(units, inputs))
