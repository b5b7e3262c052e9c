"""Readings of one array whose cells are noisy: what the physics sees, and what lines carry."""

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.terminal_model import TerminalModel
from neurohw.devices import kernels as device_kernels
from neurohw.devices.reading import kernels
from neurohw.devices.reading.noise import ReadNoise
from neurohw.engines.equilibrium import SeenArray

Array = NDArray[np.floating]


class Moment(msgspec.Struct, frozen=True):
    """When cells are read: in an event, its phase, and the sample or sweep within the phase."""

    event: int
    phase: int = 0
    sample: int = 0
    sweep: int = 0

    @staticmethod
    def of(moment: "Moment | int | None") -> "Moment | None":
        """Return a moment; an event's number stands for its start."""
        return Moment(moment) if isinstance(moment, int) else moment


class _Taken(msgspec.Struct, frozen=True, eq=False):
    """A reading, and what it makes of word-line voltages that were known then."""

    seen: SeenArray
    voltages: Array | None
    currents: Array


class Readings:
    """The readings of one array, made in pairs where one draw of noise lasts for one of them.

    Parameters
    ----------
    noise : ReadNoise
    conductance : (units, inputs) array [S]
        The array's own, read as it is then.
    lines : callable
        Returns the voltages of all word lines, a multiple of 4 of samples, from those given.
    driven : bool
        Whether no one asks for sums over the units.
    """

    def __init__(
        self, noise: ReadNoise, conductance: Array, lines: Callable[[Array], Array], *, driven: bool
    ) -> None:
        self.noise = noise
        self._g = conductance
        self._lines = lines
        self._driven = driven
        reading = noise.reading
        self._each = 1 if reading.correlation in ("frozen", "spectrum") else 2
        self._taken: dict[tuple[int, ...], _Taken] = {}
        # Written anew by every reading: fresh memory would cost more than the draws.
        self._cells = np.empty((self._each, *conductance.shape), conductance.dtype)

    def forget(self) -> None:
        """Drop readings that were made of the cells as they were."""
        self._taken.clear()

    def seen(self, moment: Moment, wired: TerminalModel | None) -> SeenArray:
        """Return the array as the physics sees it at a moment, valid until the next moment's."""
        return self._reading(moment, wired, None).seen

    def read(self, moment: Moment, wired: TerminalModel | None, voltages: Array) -> Array:
        """Return the unit lines' currents (batch, units) for voltages (batch, lines) [A]."""
        taken = self._reading(moment, wired, voltages)
        if taken.voltages is voltages:
            return taken.currents
        lines = self._lines(voltages)
        return np.asarray(lines @ taken.seen.conductance.T)[: len(voltages)]

    def _reading(
        self, moment: Moment, wired: TerminalModel | None, voltages: Array | None
    ) -> _Taken:
        number = self.noise.number(moment.phase, moment.sample, moment.sweep)
        trapped = len(self.noise.traps) > 0
        name: tuple[int, ...] = (moment.event, number)
        if trapped:
            name = (*name, moment.phase, moment.sample)
        if name not in self._taken:
            self._taken.clear()
            if trapped or wired is not None:
                self._taken[name] = self._changed(moment, number, wired)
            else:
                self._take(moment.event, number, voltages)
        return self._taken[name]

    def _take(self, event: int, number: int, voltages: Array | None) -> None:
        """Keep a reading, and the other one that comes of the same draws."""
        lines = self._g[:0] if voltages is None else self._lines(voltages)
        cells, sums, currents = self._noisy(event, number, lines)
        batch = 0 if voltages is None else len(voltages)
        for k in range(len(cells)):
            seen = SeenArray(
                conductance=cells[k],
                unit_sums=sums[k],
                input_sums=None if self._driven else sum_over_units(cells[k]),
            )
            name = event, number - number % self._each + k
            self._taken[name] = _Taken(seen, voltages, currents[k, :batch])

    def _changed(self, moment: Moment, number: int, wired: TerminalModel | None) -> _Taken:
        """Return a reading that traps or wires change before anything is added up."""
        noise = self.noise
        cells = self._noisy(moment.event, number, self._g[:0])[0][number % self._each]
        if len(noise.traps) > 0:
            factors = noise.trapped(moment.event, moment.phase, moment.sample)
            cells.ravel()[noise.traps] *= factors.astype(cells.dtype)
        if wired is None:
            seen = SeenArray(
                conductance=cells,
                unit_sums=cells.sum(axis=1),
                input_sums=None if self._driven else sum_over_units(cells),
            )
        else:
            transfer, unit_sums, over_units = wired.with_noise(self._g, cells)
            seen = SeenArray(
                conductance=transfer,
                unit_sums=unit_sums,
                input_sums=over_units,
                unit_coupling=wired.unit_coupling,
                input_coupling=wired.input_coupling,
                cells=cells,
                wires=wired.wires,
            )
        return _Taken(seen, None, cells[:0])

    def _noisy(self, event: int, number: int, lines: Array) -> tuple[Array, Array, Array]:
        """Return cells, unit sums and currents of readings; see `kernels.take`."""
        g, noise = self._g, self.noise
        mixture = np.zeros(0, np.float32)
        keys = [noise.key(event, number // 2)]
        if noise.reading.correlation == "spectrum":
            mixture = noise.mixture(number).astype(np.float32)
            keys = [noise.key(event, phase) for phase in range(number + 1)]
        reading, dtype = noise.reading, g.dtype.type
        quadratic, shape = noise.quadratic, (0.0, 0.0, 0.0, 0.0, 0.0)
        if noise.plain:
            quadratic += noise.band() * reading.flicker**2
        else:
            parts = reading.flicker, reading.flicker_exponent, reading.flicker_most
            shape = (*parts, 1 / noise.g_max, noise.band())
        variance = dtype(noise.constant), dtype(noise.linear), dtype(quadratic)
        cells = self._cells
        sums = np.empty(cells.shape[:2], g.dtype)
        currents = np.empty((len(cells), len(lines), len(g)), g.dtype)
        words = np.array(keys, np.uint32)
        coming = lines, currents, sums
        shapes = tuple([np.float32(value) for value in shape])
        kernels.take(g, cells, words, mixture, variance, shapes, coming)
        return cells, sums, currents


def sum_over_units(conductance: Array) -> Array:
    """Return the line sums (inputs,) of (units, inputs) cells [S], the same on all threads."""
    g = conductance
    if g.size < device_kernels.SMALL:
        return np.asarray(g.sum(axis=0))
    partial = np.empty((max(1, len(g) // 64), g.shape[1]), g.dtype)
    device_kernels.input_sums(g, partial)
    return np.asarray(partial.sum(axis=0))
