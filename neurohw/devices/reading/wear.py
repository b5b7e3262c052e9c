"""Reads that move cells: a voltage above the write threshold is a weak pulse."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness

Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Disturb:
    """Read disturb of one array.

    Parameters
    ----------
    threshold : float [V]
        Voltage across a cell above which reading may move it.
    step : float [S]
        How far, upwards where the word line is above the bit line; with the sign of the device's
        polarity.
    chance : float
        That a read above the threshold does.
    stream : int
        Of the draws; see `neurohw.randomness`.
    """

    threshold: float
    step: float
    chance: float
    stream: int

    def moves(
        self, inputs: Array, units: Array, event: int, phase: int = 0
    ) -> NDArray[np.int32] | None:
        """Return how many steps up each cell takes, (units, inputs); None if none may move.

        inputs (batch, inputs) and units (batch, units) are the voltages of the lines [V]. A sample
        is one read.
        """
        if np.abs(inputs).max() + np.abs(units).max() <= self.threshold:
            return None
        count = np.zeros((units.shape[1], inputs.shape[1]), np.int32)
        for sample, (x, v) in enumerate(zip(inputs, units, strict=True)):
            drop = x[None, :] - v[:, None]
            stressed = np.flatnonzero(np.abs(drop) > self.threshold)
            if self.chance < 1:
                key = randomness.key(randomness.mix(self.stream ^ (phase << 32 | sample)), event)
                stressed = stressed[randomness.roundings(key, stressed) < self.chance]
            count.ravel()[stressed] += np.sign(drop.ravel()[stressed]).astype(np.int32)
        return count
