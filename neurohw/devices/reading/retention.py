"""What time does to the cells of an array: drift, relaxation, decay, diffusion.

References
----------
Nandakumar et al. (2020), Front. Neurosci. 14:406, and Joshi et al. (2020), Nat. Commun. 11:2473,
for drift; Wan et al. (2022), Nature 608, 504, for the relaxation of ReRAM.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.devices.reading.specification import Drift

Array = NDArray[np.floating]


class Retention:
    """Drift and decay of one array.

    Parameters
    ----------
    drift : Drift
    low, high : (units, inputs) or (1, 1) arrays [S]
        Limits of the cells.
    units, inputs : int
    g_max, span : float [S]
        The nominal upper limit, and the range.
    seed, array : int
        Of the draws.

    Attributes
    ----------
    age : (units, inputs) float32 array [s]
        Since a cell was last programmed; (0, 0) unless the power law acts while training.
    """

    def __init__(
        self,
        drift: Drift,
        low: Array,
        high: Array,
        units: int,
        inputs: int,
        *,
        g_max: float,
        span: float,
        seed: int,
        array: int,
    ) -> None:
        self.drift = drift
        self.low, self.high = low, high
        self.g_max, self.span = g_max, span
        self._seed, self._array = seed, array
        self._cells = np.arange(units * inputs).reshape(units, inputs)
        timed = drift.drifts and drift.step_time > 0
        self.age = np.zeros((units, inputs) if timed else (0, 0), np.float32)

    @property
    def active(self) -> bool:
        """Whether a mini-batch changes anything."""
        return self.age.size > 0 or self.drift.leaks

    def step(self, before: Array, conductance: Array, event: int) -> Array:
        """Return the cells (units, inputs) [S] a mini-batch after they were programmed.

        Those that are what they were `before` were not programmed, and grow older.
        """
        g = conductance
        if self.age.size > 0:
            self.age[g != before] = 0.0
            g = self._drifted(g, self.age, self.drift.step_time)
            self.age += np.float32(self.drift.step_time)
        if self.drift.leaks:
            g = self._leaked(g, 1.0, event)
        return g.astype(conductance.dtype)

    def waited(self, conductance: Array, seconds: float) -> Array:
        """Return cells (units, inputs) [S], programmed just now, after they were left alone."""
        g: Array = conductance.astype(np.float64)
        if self.drift.programming_error:
            key = randomness.key(self._stream("programming_error"))
            error = self.programming_error(g, seconds) * randomness.normals(key, self._cells)
            g = np.maximum(g + error, 0.0)
        if self.drift.drifts:
            g = self._drifted(g, np.zeros(1), seconds)
        if self.drift.leaks and self.drift.step_time > 0:
            g = self._leaked(g, seconds / self.drift.step_time, 1 << 40)
        return np.where(self.low < self.high, g, conductance).astype(conductance.dtype)

    def exponents(self, conductance: Array) -> Array:
        """Return nu of cells (units, inputs), signed: above 0 leads down."""
        drift = self.drift
        log = 0.0
        if drift.exponent_slope != 0 or drift.exponent_spread_slope != 0:
            share = np.maximum(conductance / self.g_max, np.finfo(np.float32).tiny)
            log = np.log(share)
        mean = np.clip(drift.exponent + drift.exponent_slope * log, *drift.exponent_limits)
        spread = np.clip(
            drift.exponent_spread + drift.exponent_spread_slope * log,
            *drift.exponent_spread_limits,
        )
        return np.asarray(np.maximum(mean + spread * self._normal, 0.0) * self._sign)

    def programming_error(self, conductance: Array, seconds: float) -> Array:
        """Return the standard deviation of cells a time after write and verify [S]."""
        share = conductance / self.g_max
        rows = [np.polynomial.polynomial.polyval(share, c) for c in self.drift.programming_error]
        times = np.log(np.array(self.drift.programming_error_times))
        at = np.clip(np.log(max(seconds, 1e-300)), times[0], times[-1])
        k = int(np.clip(np.searchsorted(times, at) - 1, 0, max(len(times) - 2, 0)))
        if len(times) == 1:
            return np.asarray(np.maximum(rows[0], 0.0))
        part = (at - times[k]) / (times[k + 1] - times[k])
        return np.asarray(np.maximum((1 - part) * rows[k] + part * rows[k + 1], 0.0))

    def _drifted(self, g: Array, age: Array, seconds: float) -> Array:
        """Return cells after seconds more than their age."""
        begun = age + self.drift.reference_time
        ratio = (begun + seconds) / begun
        moved = g * ratio ** -self.exponents(g).astype(g.dtype)
        return moved if self.drift.target == "zero" else self._held(moved, g)

    def _leaked(self, g: Array, steps: float, event: int) -> Array:
        """Return cells after so many mini-batches of decay and diffusion."""
        drift, moved = self.drift, g
        if np.isfinite(drift.lifetime):
            rest = (self.low + drift.resting * self.span if drift.resting else self.low).astype(
                g.dtype
            )
            lost = self._rate if steps == 1 else 1 - (1 - self._rate.astype(np.float64)) ** steps
            moved = moved - (moved - rest) * lost
        if drift.diffusion > 0:
            draws = randomness.normals(
                randomness.key(self._stream("diffusion"), event), self._cells
            )
            moved = moved + drift.diffusion * self.span * np.sqrt(steps) * draws
        return self._held(moved, g)

    def _held(self, moved: Array, g: Array) -> Array:
        """Keep cells within their limits, or where they were outside before."""
        return np.clip(moved, np.minimum(self.low, g), np.maximum(self.high, g))

    def _stream(self, purpose: str) -> int:
        return randomness.stream(self._seed, purpose, self._array)

    @cached_property
    def _normal(self) -> Array | float:
        drift = self.drift
        widest = drift.exponent_spread, drift.exponent_spread_slope, drift.exponent_spread_limits[0]
        if not any(widest):
            return 0.0
        return randomness.normals(randomness.key(self._stream("drift")), self._cells)

    @cached_property
    def _sign(self) -> Array | float:
        if self.drift.target != "random":
            return -1.0 if self.drift.target == "maximum" else 1.0
        up = randomness.words(randomness.key(self._stream("drift"), 1), self._cells) & 1
        return np.where(up, -1.0, 1.0)

    @cached_property
    def _rate(self) -> Array:
        """Share of what a cell holds beyond its resting value that a mini-batch takes."""
        lifetime: Array = np.full((1, 1), self.drift.lifetime)
        if self.drift.lifetime_spread > 0:
            draws = randomness.normals(randomness.key(self._stream("lifetime")), self._cells)
            lifetime = np.maximum(lifetime * (1 + self.drift.lifetime_spread * draws), 2.0)
        return (1 / lifetime).astype(np.float32)
