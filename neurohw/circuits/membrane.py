"""Noise of membranes: what the thermal noise of its leak makes the voltage of an integrator do.

A membrane of capacitance C that leaks h takes up the noise current √(2·k·T·h)·dW beside what flows
in; with nothing else it fluctuates by σ = √(k·T/C) about its rest, whatever the leak. With the
drift that `neurohw.networks.hopfield` states this is Langevin dynamics: where that drift is the
slope of a quadratic energy E (hard sigmoid, one leak everywhere), the membranes end up distributed
as exp(−E/(h·σ²)) between the voltages at which diodes hold them. What nudges adds no noise.

- A *step* of ε adds a kick of σ·√(1 − (1 − ε)²), for which the free membrane fluctuates by σ
  exactly; what steps and limits do to the distribution otherwise goes with ε.
- A *sweep* takes a whole layer to what it is distributed as while its neighbours are held: normal
  about the rest, of variance σ²·h/(h + β·ρ′) where the outputs are nudged, and between limits
  truncated there. With the quadratic energy this is Gibbs sampling, exact block by block; with
  sigmoid and tanh neurons the chain of sweeps has a stationary distribution, but not Boltzmann's.

References
----------
Nyquist (1928), Phys. Rev. 32, 110, for the noise; Geman and Geman (1984), IEEE Trans. PAMI 6, 721,
for the sampling.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp

from neurohw import randomness
from neurohw.circuits.periphery import BOLTZMANN
from neurohw.errors import InvalidValueError

Array = NDArray[np.floating]


def thermal_noise(capacitance: float, temperature: float = 300.0) -> float:
    """Return √(kT/C), by which a membrane fluctuates: of 1 fF at 300 K 2.03 mV.

    capacitance [F] and temperature [K].

    Raises
    ------
    InvalidValueError
        One of them is not above 0.
    """
    for name, value in (("capacitance", capacitance), ("temperature", temperature)):
        if not value > 0:
            raise InvalidValueError(f"{name} = {value:g}: must be above 0")
    return float(np.sqrt(BOLTZMANN * temperature / capacitance))


@dataclass(frozen=True, eq=False, kw_only=True)
class MembraneNoise:
    """The draws of one phase; each is a function of what the fields say, of layer and of unit.

    Parameters
    ----------
    deviation : float [V]
        σ of a free membrane.
    seed, event, phase, sweep : int
        Sweeps of the phase count from `sweep`.
    rows : (batch,) array of int, optional
        Number of each sample in the phase; all in order without.
    """

    deviation: float
    seed: int
    event: int
    phase: int
    sweep: int = 0
    rows: NDArray[np.intp] | None = None

    def after(self, sweeps: int) -> "MembraneNoise":
        """Return the draws so many sweeps later."""
        return replace(self, sweep=self.sweep + sweeps)

    def kick(self, layer: int, shape: tuple[int, ...], step: float) -> Array:
        """Return what a step adds to membranes (batch, units) [V]."""
        scale = self.deviation * math.sqrt(1 - (1 - step) ** 2)
        return np.asarray(scale * randomness.normals(*self._draws(layer, shape)))

    def settled(
        self, layer: int, rest: NDArray[Any], stiffness: Any, low: float, high: float
    ) -> NDArray[Any]:
        """Return where membranes are that would rest at (batch, units) voltages [V].

        stiffness, (h + β·ρ′)/h or 1, a number or as many as there are membranes; limits [V], which
        may be infinite, and then rests and stiffness may be complex numbers.
        """
        key, cells = self._draws(layer, rest.shape)
        deviation = self.deviation * stiffness**-0.5
        if np.isinf(low) and np.isinf(high):
            return np.asarray(rest + deviation * randomness.normals(key, cells))
        return truncated_normal(rest, deviation, low, high, randomness.uniforms(key, cells))

    def _draws(
        self, layer: int, shape: tuple[int, ...]
    ) -> tuple[tuple[int, int], NDArray[np.intp]]:
        """Return key and cells of the draws."""
        stream = _stream(self.seed, layer)
        moment = randomness.mix(stream ^ self.event) ^ (self.phase << 32)
        rows = np.arange(shape[0]) if self.rows is None else self.rows
        units = int(np.prod(shape[1:]))
        cells = (rows[:, None] * units + np.arange(units)).reshape(shape)
        return randomness.key(moment, self.sweep), cells


def truncated_normal(
    mean: Array, deviation: Array | float, low: float, high: float, uniform: Array
) -> Array:
    """Map uniform draws in (0, 1] to normal ones that lie between two limits, float64.

    By the inverse of the distribution function, of its logarithm, so that means far outside lose
    nothing.
    """
    least, most = (low - mean) / deviation, (high - mean) / deviation
    # Mirrored where needed: the lower tail is the one whose logarithm is exact.
    mirrored = least > 0
    first = np.where(mirrored, -most, least).astype(np.float64)
    last = np.where(mirrored, -least, most).astype(np.float64)
    begin, end = log_ndtr(first), log_ndtr(last)
    share = np.asarray(uniform, np.float64)
    drawn = ndtri_exp(end + np.log(share + (1 - share) * np.exp(begin - end)))
    drawn = np.clip(drawn, first, last)
    return np.asarray(np.clip(mean + deviation * np.where(mirrored, -drawn, drawn), low, high))


@lru_cache(maxsize=64)
def _stream(seed: int, layer: int) -> int:
    return randomness.stream(seed, "membrane", layer)
