"""Circuits around the arrays: what nudges the outputs, and what holds a phase's voltages.

Nudging pulls output voltages v towards targets t in one of three ways, with strength β:

- ``conductance``: a conductor β to a source at t, the quadratic cost of Scellier and Bengio;
- ``current``: a current β·(t − v_free) held through the phase, from the sampled free outputs, as
  Kendall et al. do; the same gradient to first order in β, and no bound on negative β;
- ``clamp``: the outputs are driven to v_free + β·(t − v_free), the coupled learning of Stern et
  al.; its gradient weighs errors by the conductance that the outputs see, and β has no unit.

References
----------
Scellier and Bengio (2017), Front. Comput. Neurosci. 11:24; Kendall et al. (2020),
arXiv:2006.01981; Stern et al. (2021), Phys. Rev. X 11, 021045.
"""

import math
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.errors import InvalidValueError
from neurohw.units import Farads, Fraction, Volts

Array = NDArray[np.floating]

BOLTZMANN = 1.380649e-23


NudgingKind = Literal["conductance", "current", "clamp"]


class NudgingCircuit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What pulls the outputs, with its errors.

    Parameters
    ----------
    kind : {"conductance", "current", "clamp"}, optional
        Without it what the learning variant needs: clamp where it drives the outputs, else
        conductance.
    gain_error : float
        Relative error of the strength.
    offset : float [V]
        Error of every target.
    offset_spread : float [V]
        Device-to-device standard deviation of the targets' error, output by output.
    """

    kind: NudgingKind | None = None
    gain_error: Fraction = 0.0
    offset: Volts = 0.0
    offset_spread: Volts = 0.0

    def __post_init__(self) -> None:
        if not -1 < self.gain_error < float("inf"):
            raise InvalidValueError(f"gain_error = {self.gain_error}: must be finite, above -1")
        if not np.isfinite(self.offset):
            raise InvalidValueError(f"offset = {self.offset}: must be finite")
        if not 0 <= self.offset_spread < float("inf"):
            raise InvalidValueError(
                f"offset_spread = {self.offset_spread}: must be finite, 0 or more"
            )

    @property
    def built(self) -> NudgingKind:
        """The kind of a chip, where no variant asks for another."""
        return "conductance" if self.kind is None else self.kind

    def offsets(self, outputs: int, seed: int) -> Array:
        """Return the errors of the targets as fabricated, (outputs,) [V]."""
        key = randomness.key(randomness.stream(seed, "nudging_offset"))
        return self.offset + self.offset_spread * randomness.normals(key, np.arange(outputs))


class SampleAndHold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What keeps the node voltages of one phase until those of the other are there.

    Parameters
    ----------
    noise : float [V]
        Standard deviation of a sample, drawn for each node, sample and mini-batch.
    capacitance : float [F]
        Of the holding capacitor; its thermal noise √(kT/C) comes on top of `noise`.
    droop : float
        Share of a held voltage that is lost by the time it is used.
    """

    noise: Volts = 0.0
    capacitance: Farads = float("inf")
    droop: Fraction = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.noise < float("inf"):
            raise InvalidValueError(f"noise = {self.noise}: must be finite, 0 or more")
        if not self.capacitance > 0:
            raise InvalidValueError(f"capacitance = {self.capacitance}: must be above 0")
        if not 0 <= self.droop < 1:
            raise InvalidValueError(f"droop = {self.droop}: must be 0 or more, below 1")

    def deviation(self, temperature: float) -> float:
        """Return the standard deviation of a sample [V]."""
        return math.hypot(self.noise, math.sqrt(BOLTZMANN * temperature / self.capacitance))

    def held(
        self, voltage: Array, *, temperature: float, seed: int, layer: int, event: int
    ) -> Array:
        """Return what is left of (batch, units) sampled voltages when they are used [V]."""
        deviation = self.deviation(temperature)
        if deviation == 0 and self.droop == 0:
            return voltage
        key = randomness.key(randomness.stream(seed, "hold", layer), event)
        cells = np.arange(voltage.size).reshape(voltage.shape)
        sampled = voltage + deviation * randomness.normals(key, cells)
        return np.asarray((1 - self.droop) * sampled, voltage.dtype)
