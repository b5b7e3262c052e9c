"""Read noise of an array's cells: its variance, how it correlates, and the draws.

The readable oracle of `neurohw.devices.reading.kernels`, which draws the same numbers. A pair of
normal draws serves two readings: the first the even one, the second the odd one.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.constants import Boltzmann
from scipy.special import sici

from neurohw import randomness
from neurohw.devices.reading.specification import Reading

Array = NDArray[np.floating]

# Readings of one event are numbered phase by phase, the sweeps or samples of a phase one by one.
_READINGS_A_PHASE = 1 << 20


class ReadNoise:
    """Read noise of one array.

    Parameters
    ----------
    reading : Reading
    units, inputs : int
    g_max, span : float [S]
        Of the array's cells: the upper limit, and the range.
    temperature : float [K]
    seed, array : int
        Of the draws.
    """

    def __init__(
        self,
        reading: Reading,
        units: int,
        inputs: int,
        *,
        g_max: float,
        span: float,
        temperature: float,
        seed: int,
        array: int,
    ) -> None:
        self.reading = reading
        self.g_max = g_max
        # Time since programming beyond that of `flicker_corner` [s].
        self.waited = 0.0
        self._stream = randomness.stream(seed, "read", array)
        self._telegraph_stream = randomness.stream(seed, "telegraph", array)
        cells = np.arange(units * inputs).reshape(units, inputs)
        self._cells = cells
        trap_key = randomness.key(randomness.stream(seed, "trap", array))
        share = reading.telegraph.share if reading.telegraph.amplitude > 0 else 0.0
        self.traps = np.flatnonzero(randomness.roundings(trap_key, cells.ravel()) < share)
        self.constant = 0.0
        if reading.absolute > 0:
            self.constant = (reading.absolute * span) ** 2 / reading.reads
        self.linear = 0.0
        if reading.thermal:
            power = 4 * Boltzmann * temperature * reading.bandwidth
            self.linear = power / reading.read_voltage**2 / reading.reads
        self.quadratic = reading.relative**2 / reading.reads

    @property
    def corner(self) -> float:
        """Lowest frequency of 1/f noise [Hz]."""
        return 1 / (1 / self.reading.flicker_corner + self.waited)

    def band(self) -> float:
        """Return the width of the band of 1/f noise, in factors of e."""
        if self.reading.flicker == 0:
            return 0.0
        return float(np.log(self.reading.bandwidth / self.corner))

    @property
    def plain(self) -> bool:
        """Whether the variance of all noise is a polynomial in G, with one draw a reading."""
        reading = self.reading
        shaped = reading.flicker > 0 and (
            reading.flicker_exponent != 0 or np.isfinite(reading.flicker_most)
        )
        return not shaped and reading.correlation != "spectrum"

    def flicker_variance(self, conductance: Array) -> Array:
        """Return the variance of the 1/f noise of cells (units, inputs) [S²]."""
        reading = self.reading
        relative = np.full(conductance.shape, reading.flicker)
        if reading.flicker_exponent != 0:
            share = np.maximum(conductance / self.g_max, np.finfo(np.float64).tiny)
            relative = relative * share**-reading.flicker_exponent
        relative = np.minimum(relative, reading.flicker_most)
        return np.asarray(self.band() * (relative * conductance) ** 2)

    def white_variance(self, conductance: Array) -> Array:
        """Return the variance of all other noise [S²], telegraph noise apart."""
        size = np.abs(conductance)
        return np.asarray(self.constant + (self.linear + self.quadratic * size) * size)

    def number(self, phase: int, sample: int, sweep: int) -> int:
        """Return which reading of its event one is: those of equal number are the same draw."""
        correlation = self.reading.correlation
        if correlation == "sample":
            return sample
        if correlation == "sweep":
            return phase * _READINGS_A_PHASE + sweep
        return 0 if correlation == "frozen" else phase

    def key(self, event: int, pair: int) -> tuple[int, int]:
        """Return the key of a pair of draws of an event."""
        return randomness.key(randomness.mix(self._stream ^ pair), event)

    def mixture(self, phase: int) -> Array:
        """Return how the 1/f noise of a phase mixes fresh draws of the phases up to it.

        A row of the Cholesky factor of the phases' correlation, (phase + 1,).
        """
        reading = self.reading
        if reading.flicker == 0:
            return np.zeros(phase + 1)
        band = self.corner, reading.bandwidth
        return np.asarray(_mixtures(phase + 1, *band, reading.phase_time)[phase])

    def noisy(self, conductance: Array, event: int, number: int) -> Array:
        """Return what one reading gives of (units, inputs) cells [S], telegraph noise apart."""
        g = conductance.astype(np.float64)
        flicker, white = self.flicker_variance(g), self.white_variance(g)
        if self.reading.correlation != "spectrum":
            draw = self._draws(event, number // 2)[number % 2]
            return np.asarray(g + np.sqrt(flicker + white) * draw)
        pairs = [self._draws(event, phase) for phase in range(number + 1)]
        slow = sum(share * pair[0] for share, pair in zip(self.mixture(number), pairs, strict=True))
        return np.asarray(g + np.sqrt(flicker) * slow + np.sqrt(white) * pairs[number][1])

    def _draws(self, event: int, pair: int) -> tuple[Array, Array]:
        return randomness.normal_pairs(self.key(event, pair), self._cells)

    def trapped(self, event: int, phase: int, sample: int) -> Array:
        """Return the factor that the traps put on the cells `traps` in a phase, (traps,)."""
        telegraph = self.reading.telegraph
        kept = telegraph.kept(self.reading.phase_time)
        stream = randomness.mix(self._telegraph_stream ^ sample)
        full = np.zeros(len(self.traps), bool)
        for k in range(phase + 1):
            key = randomness.key(randomness.mix(stream ^ k), event)
            word = randomness.words(key, self.traps)
            fresh = randomness.fractions(randomness.derived(word)) <= telegraph.full
            # A state that is lost is drawn anew: the chain's own transition.
            lost = (k == 0) | (randomness.fractions(word) > kept)
            full = np.where(lost, fresh, full)
        return 1.0 - telegraph.amplitude * full


def flicker_correlation(lowest: float, highest: float, seconds: float) -> float:
    """Return how noise of spectrum 1/f between two frequencies [Hz] correlates after a time [s].

    ∫ cos(2πft)/f df over the band, divided by ∫ 1/f df.
    """
    if seconds == 0:
        return 1.0
    high, low = (sici(2 * np.pi * f * seconds)[1] for f in (highest, lowest))
    return float((high - low) / np.log(highest / lowest))


@lru_cache(maxsize=64)
def _mixtures(phases: int, lowest: float, highest: float, seconds: float) -> Array:
    lags = [flicker_correlation(lowest, highest, seconds * k) for k in range(phases)]
    places = np.arange(phases)
    matrix = np.array(lags)[np.abs(places[:, None] - places[None, :])]
    return np.asarray(np.linalg.cholesky(matrix + 1e-12 * np.eye(phases)))
