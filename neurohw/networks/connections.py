"""How an array of weights joins two layers: every unit to every unit, or as a convolution.

An array has word lines and bit lines, and knows no more. A connection says what its word lines
carry of the signals below it, what reaches the layer above of its bit lines' currents, and the
same backwards. A convolution is one array of (channels, kernel · kernel · channels below) weights
that is used once a position: a sample is as many reads as the kernel has positions. Pooling
stands between the bit lines and the units, in fields of 2 × 2 positions: a unit receives the mean
of the four currents, or the largest one, and what it sends back takes the same way: a quarter to
each position, or all of it to the one that was largest.

With the currents z_q of a field and a unit's output ρ, the energy has the term −ρ·max_q z_q. What
a layer below sees of it while the largest stays largest, −ρ·z_winner, is nowhere less for outputs
of 0 or more: the move that minimises that lowers the energy, whichever is largest afterwards.

Signals of layers are flat, (samples, units): rows, columns and last the channels of a map.

References
----------
Ernoult et al. (2019), arXiv:1905.13633; Laborieux et al. (2021), Front. Neurosci. 15:633674.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError
from neurohw.networks import kernels

Array = NDArray[np.floating]

Pool = Literal["max", "average"]

# Positions on a side of a field.
_FIELD = 2


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Every unit of a layer to every unit of the next: the lines are the units themselves.

    Parameters
    ----------
    inputs, units : int
        Units below and above.
    """

    inputs: int
    units: int

    @property
    def shape(self) -> tuple[int, int]:
        """Bit lines and word lines of the array."""
        return self.units, self.inputs

    @property
    def fans(self) -> tuple[int, int]:
        """Weights that meet a unit above, and one below."""
        return self.inputs, self.units

    @property
    def positions(self) -> int:
        """Reads of the array a sample."""
        return 1

    @property
    def switched(self) -> bool:
        """Whether the way back depends on what comes forwards."""
        return False

    def lines(self, signals: Array) -> Array:
        """Return what the word lines carry of signals below, (samples, inputs)."""
        return signals

    def collected(self, currents: Array) -> Array:
        """Return what reaches the units above, (samples, units), of the bit lines' currents."""
        return currents

    def driven(self, signals: Array, currents: Array | None = None) -> Array:
        """Return what the bit lines carry backwards of signals above, (samples, units).

        currents, those of the bit lines forwards, are needed where the way is switched.
        """
        return signals

    def returned(self, currents: Array) -> Array:
        """Return what reaches the units below, (samples, inputs), of the word lines' currents."""
        return currents

    def spread(self, values: Array) -> Array:
        """Return values of bit lines as the units have them, (units,)."""
        return values

    def by_line(self, signals: Array) -> Array:
        """Return signals above, (samples, units), added up for each bit line."""
        return signals

    def joined(self, conductance: Array, currents: Array | None = None) -> Array:
        """Return the dense weights (units, inputs) that stand for the array, of one sample.

        currents as in `driven`, of this sample.
        """
        return conductance


@dataclass(frozen=True, kw_only=True)
class Convolution(Connection):
    """A convolution over square maps with steps of 1, then pooling.

    Parameters
    ----------
    side, depth : int
        Rows, which are as many as columns, and channels of the map below.
    channels, kernel, padding : int
        Channels above; side of the kernel; rows and columns of zeros put around the map.
    pool : {"max", "average"}, optional
    channels_first : bool
        Whether the map below has its channels first: of inputs, which nothing goes back to.
    """

    side: int
    depth: int
    channels: int
    kernel: int
    padding: int = 0
    pool: Pool | None = None
    channels_first: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Bit lines and word lines of the array."""
        return self.channels, self.kernel**2 * self.depth

    @property
    def fans(self) -> tuple[int, int]:
        """Weights that meet a position above, and a unit below."""
        return self.kernel**2 * self.depth, self.kernel**2 * self.channels

    @cached_property
    def width(self) -> int:
        """Positions of the kernel on a side."""
        return self.side + 2 * self.padding - self.kernel + 1

    @property
    def positions(self) -> int:
        """Reads of the array a sample."""
        return self.width**2

    @property
    def above(self) -> int:
        """Side of the map above."""
        return self.width // _FIELD if self.pool else self.width

    @property
    def switched(self) -> bool:
        """Whether the way back depends on what comes forwards."""
        return self.pool == "max"

    def lines(self, signals: Array) -> Array:
        """Return what the word lines carry, (samples, positions, lines), of signals below."""
        image = signals.reshape(len(signals), self.side, self.side, self.depth)
        if self.channels_first:
            image = signals.reshape(len(signals), self.depth, self.side, self.side)
            image = np.moveaxis(image, 1, 3)
        edge = (self.padding, self.padding)
        if self.padding:
            image = np.pad(image, ((0, 0), edge, edge, (0, 0)))
        image, kernel = np.ascontiguousarray(image), self.kernel
        sample, row, column, one = image.strides
        # Of a row of a patch, columns and channels lie side by side.
        patches = np.lib.stride_tricks.as_strided(
            image,
            (len(image), self.width, self.width, kernel, kernel * self.depth),
            (sample, row, column, row, one),
            writeable=False,
        )
        return patches.reshape(len(image), self.positions, -1)

    def collected(self, currents: Array) -> Array:
        """Return what reaches the units above of (samples, positions, channels) currents."""
        if self.pool is None:
            return currents.reshape(len(currents), -1)
        first, *others = self._fields(currents)
        pooled = first
        for other in others:
            pooled = np.maximum(pooled, other) if self.switched else pooled + other
        if not self.switched:
            pooled = pooled * currents.dtype.type(1 / _FIELD**2)
        return pooled.reshape(len(currents), -1)

    def driven(self, signals: Array, currents: Array | None = None) -> Array:
        """Return what the bit lines carry backwards, (samples, positions, channels).

        Of equal currents of a field the first counts as the largest.
        """
        samples = len(signals)
        if self.pool is None:
            return signals.reshape(samples, self.positions, self.channels)
        signals = signals.reshape(samples, self.above, self.above, self.channels)
        found = np.empty((samples, self.positions, self.channels), signals.dtype)
        if not self.switched:
            quarter = signals * signals.dtype.type(1 / _FIELD**2)
            for place in self._fields(found):
                place[:] = quarter
            return found
        assert currents is not None  # of a connection that is switched
        largest = self.collected(currents).reshape(signals.shape)
        left = np.ones(signals.shape, bool)
        for place, current in zip(self._fields(found), self._fields(currents), strict=True):
            here = left & (current == largest)
            np.multiply(signals, here, out=place)
            left &= ~here
        return found

    def returned(self, currents: Array) -> Array:
        """Return what reaches the units below of (samples, positions, lines) currents."""
        samples, kernel = len(currents), self.kernel
        whole = self.side + 2 * self.padding
        image = np.empty((samples, whole, whole * self.depth), currents.dtype)
        patches = currents.reshape(samples, self.width, self.width, kernel, kernel * self.depth)
        kernels.scatter(patches, image)
        if self.padding:
            inner = slice(self.padding, -self.padding)
            image = image.reshape(samples, whole, whole, self.depth)[:, inner, inner]
        return image.reshape(samples, -1)

    def spread(self, values: Array) -> Array:
        """Return values of channels as the units have them, (units,)."""
        return np.tile(values, self.above**2)

    def by_line(self, signals: Array) -> Array:
        """Return signals above, (samples, units), added up for each channel."""
        return np.asarray(signals.reshape(len(signals), -1, self.channels).sum(axis=1))

    def joined(self, conductance: Array, currents: Array | None = None) -> Array:
        """Return the dense weights (units, inputs) that stand for the array, of one sample."""
        each = np.eye(self.units, dtype=conductance.dtype)
        if currents is not None:
            currents = np.broadcast_to(currents, (self.units, *currents.shape))
        return self.returned(self.driven(each, currents) @ conductance)

    def _fields(self, currents: Array) -> list[Array]:
        """Return views of the positions of all fields, first to last."""
        shape = (len(currents), self.above, _FIELD, self.above, _FIELD, self.channels)
        fields = currents.reshape(shape)
        return [fields[:, :, i, :, j] for i in range(_FIELD) for j in range(_FIELD)]


def convolution(
    side: int,
    depth: int,
    channels: int,
    kernel: int,
    *,
    padding: int = 0,
    pool: Pool | None = None,
    channels_first: bool = False,
    where: str = "convolution",
) -> Convolution:
    """Return a convolution over (side, side) maps of so many channels.

    Raises
    ------
    InvalidValueError
        The kernel does not fit, or pooling leaves a remainder; names `where`.
    """
    width = side + 2 * padding - kernel + 1
    if min(side, depth, channels, kernel) < 1 or padding < 0 or width < 1:
        raise InvalidValueError(
            f"{where}: kernel = {kernel}: does not fit a map of {side} × {side}"
            f"{f' with padding {padding}' if padding else ''}"
        )
    if padding >= kernel:
        raise InvalidValueError(f"{where}: padding = {padding}: must be below kernel = {kernel}")
    if pool is not None and width % _FIELD:
        raise InvalidValueError(
            f"{where}: pool = {pool}: a map of {width} × {width} has no whole number of fields of"
            f" {_FIELD} × {_FIELD}; take another kernel, padding or data.crop"
        )
    above = width // _FIELD if pool else width
    return Convolution(
        inputs=side**2 * depth,
        units=above**2 * channels,
        side=side,
        depth=depth,
        channels=channels,
        kernel=kernel,
        padding=padding,
        pool=pool,
        channels_first=channels_first,
    )


def square_map(shape: tuple[int, ...], axes: tuple[int, int] | None) -> tuple[int, int, bool]:
    """Return side and channels of images of a shape, and whether their channels come first.

    axes, those of rows and columns.

    Raises
    ------
    InvalidValueError
        The images are no square pictures.
    """
    if axes is None or shape[axes[0]] != shape[axes[1]]:
        raise InvalidValueError(
            f"network.convolutions: images of shape {shape} are no square pictures"
        )
    side = shape[axes[0]]
    return side, math.prod(shape) // side**2, axes[0] == 1
