"""Update schemes: how the update that a rule asks for becomes pulses of an array's cells.

On its way a change may pass a digital filter (momentum, Adam), a digital memory that keeps what is
less than a pulse, and a fast array or narrower cells that take it in place of the weights. See
`neurohw.mappings.programming` for what a chip may choose.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip.bank import Bank
from neurohw.devices import trains
from neurohw.devices.fabrication import Cells
from neurohw.devices.programming import symmetry_points
from neurohw.mappings.programming import Programming
from neurohw.update import Update, pairs

Array = NDArray[np.floating]

# Half-selected cells, narrow ones when they carry, and verified writes draw as events beyond
# those of any run; a write may take so many turns.
_DISTURBED, _CARRIED, _WRITTEN = 1 << 40, 1 << 42, 1 << 44
_TURNS = 1 << 12
# Gradients that are this share of the range are none to Adam.
_NEGLIGIBLE = 1e-9


class Scheme:
    """The update scheme of one array.

    Parameters
    ----------
    programming : Programming
    bank : Bank
        The cells of the weights.
    conductance : (units, inputs) array [S]
        What is read of the array: that of the bank, or where narrower cells stand beside the
        bank's, the sum of both; written here.
    fast : Cells, optional
        Of the fast array, or the narrower cells.
    """

    def __init__(
        self,
        programming: Programming,
        bank: Bank,
        conductance: Array,
        *,
        fast: Cells | None = None,
    ) -> None:
        self.programming = programming
        self.bank = bank
        self._conductance = conductance
        shape, dtype = conductance.shape, conductance.dtype
        self._digital: dict[str, Array] = {}
        if programming.optimizer != "none":
            self._digital["momentum"] = np.zeros(shape, dtype)
        if programming.optimizer == "adam":
            self._digital["second_momentum"] = np.zeros(shape, dtype)
        if programming.accumulate == "digital":
            self._digital["accumulated"] = np.zeros(shape, dtype)
        self._fast: Bank | None = None
        if programming.accumulate in ("analog", "carry"):
            assert fast is not None
            middle = symmetry_points(fast) if self.transfers else (fast.low + fast.high) / 2
            self._zero = np.array(np.broadcast_to(middle, shape), dtype)
            self._fast = Bank(self._zero.copy(), fast)

    @property
    def transfers(self) -> bool:
        """Whether a fast array takes the updates."""
        return self.programming.accumulate == "analog"

    @property
    def carries(self) -> bool:
        """Whether narrower cells stand beside the others."""
        return self.programming.accumulate == "carry"

    def fused(self, update: Update, event: int) -> tuple[Update, int] | None:
        """Return update and first event of the one pass that does it all; None if none does."""
        if not self.programming.fused:
            return None
        if self.programming.order == "net":
            return update, event
        split = update.in_sequence()
        return split, event * (len(split.presynaptic) // len(update.presynaptic))

    def program(self, update: Update, event: int) -> None:
        """Apply an update to the cells; event is the number of its first one."""
        if self._fast is None:
            self._apply(self.bank, update, event)
        else:
            self._apply_fast(self._fast, update, event)
        self.gather()

    def write(
        self,
        wanted: Array,
        where: NDArray[np.bool_] | bool = True,
        event: int = 0,
        *,
        again: bool = False,
    ) -> None:
        """Program weights to the values nearest to `wanted` (units, inputs) [S].

        Narrower cells go back to their middle, and the wide ones take up what they held. Of fresh
        cells the pulses are not counted, and the memory beside them is cleared: a fast array is
        set to its symmetry points. Cells that are written `again` have the same weight as before,
        so what waits for them in a digital memory or a fast array stays, and the pulses count; see
        `Bank.write`.

        where (units, inputs) says which; event numbers the write in the array's life.
        """
        if self._fast is not None and (self.carries or not again):
            self._fast.write(self._zero.astype(np.float64), where, event, again=again)
        self.bank.write(self._of_bank(wanted), where, event, again=again)
        if not again:
            for memory in self._digital.values():
                np.copyto(memory, 0, where=where)
        self.gather()

    def take_over(self, conductance: Array, narrow: Array | None = None) -> bool:
        """Let cells stand where they were read; see `CrossbarArray`. Return whether any moves."""
        moved = self.bank.take_over(conductance)
        if self._fast is not None and narrow is not None:
            moved |= self._fast.take_over(narrow)
        self.gather()
        return moved

    def approach(
        self,
        wanted: Array,
        where: NDArray[np.bool_] | bool,
        event: int,
        pulses: int,
        tolerance: float,
    ) -> None:
        """Pulse and read weights in turn until they are near `wanted`; see `CrossbarArray`."""
        due, turns = np.broadcast_to(where, wanted.shape), min(pulses, _TURNS)
        first = _WRITTEN + event * _TURNS
        self._approach(self.bank, self._of_bank(wanted), due, pulses, turns, tolerance, first)
        self.gather()

    def restore(self, state: dict[str, Array]) -> None:
        """Take over what `record` returned."""
        for key, memory in self._digital.items():
            memory[:] = state[key]
        self.bank.restore(state, "main_" if self.carries else "")
        if self._fast is not None:
            self._fast.restore(state, "fast_")
        self.gather()

    def record(self) -> dict[str, Array]:
        """Return what a run file holds of the cells and of the memory beside them."""
        state: dict[str, NDArray[Any]] = {key: m.copy() for key, m in self._digital.items()}
        state |= self.bank.record("main_" if self.carries else "")
        if self.carries:
            state |= {"conductance": self._conductance.copy(), "pulses": self.bank.pulses.copy()}
        if self._fast is not None:
            state |= self._fast.record("fast_")
            if self._fast.cells.repair is not None:
                state |= self._fast.cells.repair.record("fast_")
            if self.carries:
                cells = self._fast.cells
                state |= {"fast_g_min": np.array(cells.low), "fast_g_max": np.array(cells.high)}
        return state

    def gather(self) -> None:
        """Add up what is read of cells that stand side by side."""
        if self.carries and self._fast is not None:
            np.add(self.bank.read, self._fast.read, out=self._conductance)

    def _apply_fast(self, fast: Bank, update: Update, event: int) -> None:
        """Apply an update to the fast or narrower cells, whose turn may come between two events."""
        if self.transfers:
            update = _scaled(update, self.programming.fast_rate)
        every = self.programming.transfer_every if self.transfers else self.programming.carry_every
        first, events = 0, len(update.presynaptic)
        while first < events:
            last = min(first + every - (event + first) % every, events)
            self._apply(fast, _some(update, first, last), event + first)
            turn, since = divmod(event + last, every)
            if since == 0 and self.transfers:
                self._transfer(fast, turn)
            elif since == 0:
                self._carry(fast, turn)
            first = last

    def _apply(self, bank: Bank, update: Update, event: int) -> None:
        """Apply an update to some cells, as the chip makes pulses of it."""
        programming = self.programming
        if programming.half_select == 0 and programming.pulses == "train":
            x, d = update.products()
            terms = x.shape[1]
            if programming.order == "sequential":
                x, d = x.reshape(-1, 1, x.shape[2]), d.reshape(-1, 1, d.shape[2])
                event *= terms
            bank.coincide(x, d, event)
            return
        if programming.order == "sequential":
            update, first = update.in_sequence(), len(update.presynaptic)
            event *= len(update.presynaptic) // first
        whole = programming.half_select == 0 and programming.optimizer == "none"
        plain = programming.pulses == "count" and programming.rounding == "stochastic"
        if whole and plain and programming.accumulate != "digital":
            every_line(bank, update, event)
            return
        for k in range(len(update.presynaptic)):
            self._program_each(bank, update, k, event + k)

    def _program_each(self, bank: Bank, update: Update, k: int, event: int) -> None:
        """Apply one event of an update by a number of pulses for every cell."""
        programming, law = self.programming, bank.cells.law
        wanted = self._filtered(update.dense(bank.read, k), event, bank)
        if bank.cells.ideal:
            bank.pulse(wanted, event)
            return
        accumulated = self._digital.get("accumulated")
        if accumulated is not None:
            accumulated += wanted
            wanted = accumulated
        if programming.pulses == "write-verify":
            missing = self._verify(bank, wanted, event)
            if accumulated is not None:
                accumulated[:] = missing
            return
        step = np.where(wanted > 0, *law.counted).astype(wanted.dtype)
        pulses = self._pulses(bank, wanted / step, update, k, event)
        if accumulated is not None:
            accumulated -= pulses * step
        self.give(bank, pulses, event)

    def _filtered(self, wanted: Array, event: int, bank: Bank) -> Array:
        """Return what the digital optimizer makes of the wanted change [S]."""
        programming = self.programming
        if programming.optimizer == "none":
            return wanted
        kept, momentum = programming.momentum, self._digital["momentum"]
        momentum *= kept
        if programming.optimizer == "momentum":
            momentum += wanted
            return momentum.copy()
        momentum += (1 - kept) * wanted
        kept, square = programming.second_momentum, self._digital["second_momentum"]
        square *= kept
        square += (1 - kept) * wanted**2
        span = float(np.median(bank.cells.high - bank.cells.low))
        mean = momentum / (1 - programming.momentum ** (event + 1))
        size = np.sqrt(square / (1 - kept ** (event + 1)))
        return np.asarray(programming.adam_step * span * mean / (size + _NEGLIGIBLE * span))

    def _pulses(self, bank: Bank, wanted: Array, update: Update, k: int, event: int) -> Array:
        """Return the whole pulses (units, inputs) for a wanted change in pulses."""
        programming = self.programming
        if programming.pulses == "sign":
            sign = np.sign(wanted)
            return np.asarray(np.where(np.abs(wanted) > programming.threshold, sign, 0))
        if programming.pulses == "train":
            x, d = update.products()
            return np.asarray(trains.coincidences(bank.cells, x[k : k + 1], d[k : k + 1], event)[0])
        if programming.accumulate == "digital":
            return np.asarray(np.trunc(wanted))
        if programming.rounding == "nearest":
            return np.asarray(np.rint(wanted))
        key = randomness.key(bank.cells.rounding_stream, event)
        cells = np.arange(wanted.size).reshape(wanted.shape)
        return np.asarray(np.floor(wanted + randomness.roundings(key, cells)))

    def _verify(self, bank: Bank, wanted: Array, event: int) -> Array:
        """Pulse and read cells in turn until they are near where they should be.

        Cells that are to move by less than the tolerance stay. Return what is then still wanted of
        each cell (units, inputs) [S], no more than the whole range. Cells that pulses only raise
        are not wanted to fall: the other cell of their pair rises instead.
        """
        programming, falls = self.programming, bank.cells.law.limit_down > 0
        span = float(np.median(bank.cells.high - bank.cells.low))
        tolerance, pulses = programming.verify_tolerance * span, programming.verify_pulses
        far, target = np.abs(wanted) > tolerance, bank.read + wanted
        due = far & (falls | (wanted > 0))
        self._approach(bank, target, due, pulses, pulses, tolerance, event * pulses)
        missing = np.where(due, np.clip(target - bank.read, -span, span), 0)
        return np.asarray(np.where(far, missing, wanted))

    def _approach(
        self,
        bank: Bank,
        target: Array,
        due: NDArray[np.bool_],
        pulses: int,
        turns: int,
        tolerance: float,
        first_event: int,
    ) -> None:
        """Pulse and read the cells that are due in turn until they are near their target [S]."""
        law, left = bank.cells.law, np.where(due, pulses, 0)
        for turn in range(turns):
            missing = target - bank.read
            count = np.abs(missing) / np.where(missing > 0, *law.counted)
            count = np.minimum(np.maximum(np.rint(count), 1), left)
            count[np.abs(missing) <= tolerance] = 0
            if not count.any():
                break
            left -= count.astype(left.dtype)
            self.give(bank, np.copysign(count, missing), first_event + turn)

    def _of_bank(self, wanted: Array) -> Array:
        """Return what the bank's cells hold where both together hold `wanted` [S]."""
        return wanted - self._fast.read if self.carries and self._fast is not None else wanted

    def give(self, bank: Bank, pulses: Array, event: int) -> None:
        """Give cells pulses, which others on their lines may feel."""
        bank.pulse(pulses, event)
        if self.programming.half_select > 0:
            self._disturb(bank, pulses, event)

    def _disturb(self, bank: Bank, pulses: Array, event: int) -> None:
        """Let cells feel the pulses of others on their lines; those that took them too."""
        law, share = bank.cells.law, pulses.dtype.type(self.programming.half_select)
        up, down = np.maximum(pulses, 0), np.minimum(pulses, 0)
        steps = share * np.array(law.counted, pulses.dtype)[:, None]
        dtype = bank.state.dtype
        units, inputs = pulses.shape
        felt = Update(
            presynaptic=np.zeros((2, 4, inputs), dtype),
            postsynaptic=np.zeros((2, 4, units), dtype),
            row=(steps * np.array([up.sum(axis=0), down.sum(axis=0)])).astype(dtype),
            column=(steps * np.array([up.sum(axis=1), down.sum(axis=1)])).astype(dtype),
        )
        every_line(bank, felt, _DISTURBED + 2 * event)

    def _transfer(self, fast: Bank, turn: int) -> None:
        """Add to the weights what some lines of the fast array have gathered."""
        inputs = fast.read.shape[1]
        lines_of_each = min(self.programming.transfer_lines, inputs)
        lines = (turn * lines_of_each + np.arange(lines_of_each)) % inputs
        rate = fast.read.dtype.type(self.programming.transfer_rate)
        gathered = rate * (fast.read[:, lines] - self._zero[:, lines]).T
        chosen = np.zeros((len(lines), inputs), fast.read.dtype)
        chosen[np.arange(len(lines)), lines] = 1
        every_line(self.bank, Update(presynaptic=chosen[None], postsynaptic=gathered[None]), turn)

    def _carry(self, narrow: Bank, turn: int) -> None:
        """Carry whole pulses of the wide cells over from the narrow ones."""
        law = self.bank.cells.law
        held = narrow.read - self._zero
        pulses = np.trunc(held / np.where(held > 0, *law.counted))
        before = self.bank.read.copy()
        self.bank.pulse(pulses, turn)
        # What the wide cells really took is read, and leaves the narrow ones.
        given, law = before - self.bank.read, narrow.cells.law
        narrow.pulse(np.rint(given / np.where(given > 0, *law.counted)), _CARRIED + turn)


def every_line(bank: Bank, update: Update, event: int) -> None:
    """Apply an update to cells in one pass, and let go of the sums that it makes."""
    units, inputs = bank.state.shape
    dtype = bank.state.dtype
    coming = np.zeros((4, inputs), dtype), np.empty((4, units), dtype), np.empty(units, dtype)
    x = pairs(update.presynaptic) if update.paired else update.presynaptic
    bank.add(lines_of(update, x, units), coming, event)


def lines_of(update: Update, presynaptic: Array, units: int) -> tuple[Array, ...]:
    """Return an update as the kernels take it, ranks a multiple of 4, with these input lines."""
    events, dtype = len(presynaptic), presynaptic.dtype
    none = np.zeros((events, 0), dtype)
    column = np.zeros((events, units), dtype) if update.column is None else update.column
    return (
        multiple_of_4(presynaptic, 1),
        multiple_of_4(update.postsynaptic, 1),
        none if update.row is None else update.row,
        column,
        none if update.decay is None else update.decay,
    )


def multiple_of_4(array: Array, axis: int) -> Array:
    """Return the array contiguous, with zeros added until an axis is a multiple of 4."""
    missing = -array.shape[axis] % 4
    if missing == 0:
        return np.ascontiguousarray(array)
    padding = [(0, 0)] * array.ndim
    padding[axis] = (0, missing)
    return np.pad(array, padding)


def _some(update: Update, first: int, last: int) -> Update:
    """Return some events of an update."""
    parts = {
        key: value[first:last]
        for key in ("presynaptic", "postsynaptic", "row", "column", "decay")
        if (value := getattr(update, key)) is not None
    }
    return msgspec.structs.replace(update, **parts)


def _scaled(update: Update, factor: float) -> Update:
    """Return an update, every term of it times a factor."""
    parts: dict[str, Any] = {
        key: value * value.dtype.type(factor)
        for key in ("postsynaptic", "row", "column")
        if (value := getattr(update, key)) is not None
    }
    return msgspec.structs.replace(update, **parts)
