"""What circuits cost: energy, time and area of converters, lines, neurons and write pulses.

A converter of b bits takes ``E = e·2^b`` a conversion, e the energy of a step (Walden's figure of
merit), or, where thermal noise decides, the energy that Schreier's figure of merit allows,

    E = ½·10^((6.02·b + 1.76 − F)/10)

F in dB, whichever is more; its area is that of a step times 2^b. A pulse of voltage V and width t
on a cell that goes from G to G' takes ``V²·(G + G')/2·t``; lines take C·V² a charging.

References
----------
Murmann, "ADC Performance Survey 1997-", for both figures of merit; Kull et al. (2013), ISSCC,
26.4, an 8-bit SAR converter of 3.1 mW at 1.2 GS/s on 0.0015 mm² in 32 nm; Shafiee et al. (2016),
ISCA, ISAAC, table of components; Ho, Mai, Horowitz (2001), Proc. IEEE 89, 490, for wires; Chen,
Peng, Yu (2018), IEEE TCAD 37, 3067 (NeuroSim), for cells and pulses; Horowitz (2014), ISSCC, 1.1,
"Computing's energy problem", for memory.
"""

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError
from neurohw.units import (
    Decibels,
    FaradsPerMetre,
    FaradsPerSquareMetre,
    Joules,
    Seconds,
    SquareMetres,
    Watts,
    WattsPerSquareMetre,
)

Array = NDArray[np.floating]

_MOST_BITS = 24


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Costs of a chip's circuits, SI units; defaults for 32 nm.

    Parameters
    ----------
    node : int [nm]
        Half-pitch F; the chip's wires' node where they have one.
    half_pitches : int
        Side of a cell in F: 4 with a transistor, 2 without (NeuroSim).
    access : {"transistor", "none"}
        What isolates cells that are not written; without, those that share a line with a written
        one are half-selected, at V/2.
    write : {"lines", "cells"}
        Cells of one word line that pulse the same way are written at once, or cells one by one.
    wire_capacitance : float [F/m]
        0.2 fF/µm, nearly the same at all nodes (Ho et al. 2001).
    dac_bits, adc_bits : int
        0: no converters.
    dac_energy_per_step : float [J]
        2 fJ, our choice: a fifth of the ADC's, whose inner converter is such a one.
    dac_time : float [s]
        1 ns, our choice.
    dac_area_per_step : float [m²]
        0.083 µm², half of ISAAC's DAC of 1 bit and so 2 steps, 0.00017 mm² for 8 × 128.
    adc_energy_per_step : float [J]
        10 fJ: 3.1 mW at 1.2 GS/s and 8 bits (Kull et al. 2013).
    adc_schreier : float [dB]
        175 dB, our choice: ten below the best of Murmann's survey.
    adc_time : float [s]
        A conversion: 1/(1.2 GS/s) (Kull et al. 2013).
    adc_area_per_step : float [m²]
        5.86 µm²: 0.0015 mm² at 8 bits (Kull et al. 2013).
    adc_share : int
        Nodes that take turns at one ADC; 8 as in NeuroSim.
    read_time : float [s]
        A read of an array at virtual ground by pulses on its lines: 100 ns, ISAAC's (Shafiee et
        al. 2016).
    amplifier_power : float [W]
        Bias of one amplifier, where neurons have gain or lines are held at 0 V: 1 µW, our choice.
    amplifier_area : float [m²]
        Of one that holds a line at 0 V: 5 µm², our choice.
    neuron_area : float [m²]
        Diodes, sample-and-hold and amplifier of a node: 10 µm², our choice.
    capacitor_density : float [F/m²]
        Of the capacitor at a node: 2 fF/µm², usual for metal on metal; our choice.
    memory_energy_per_bit : float [J]
        Of a number that a unit writes or reads: 0.16 pJ, as 10 pJ for 64 bits of an 8 kB cache in
        45 nm (Horowitz 2014).
    leakage_density : float [W/m²]
        Of the whole area while the chip is on: 1 mW/mm², our choice.
    """

    node: int = 32
    half_pitches: int = 4
    access: Literal["transistor", "none"] = "transistor"
    write: Literal["lines", "cells"] = "lines"
    wire_capacitance: FaradsPerMetre = 0.2e-9
    dac_bits: int = 8
    dac_energy_per_step: Joules = 2e-15
    dac_time: Seconds = 1e-9
    dac_area_per_step: SquareMetres = 0.083e-12
    adc_bits: int = 8
    adc_energy_per_step: Joules = 10e-15
    adc_schreier: Decibels = 175.0
    adc_time: Seconds = 0.83e-9
    adc_area_per_step: SquareMetres = 5.86e-12
    adc_share: int = 8
    read_time: Seconds = 100e-9
    amplifier_power: Watts = 1e-6
    amplifier_area: SquareMetres = 5e-12
    neuron_area: SquareMetres = 10e-12
    capacitor_density: FaradsPerSquareMetre = 2e-3
    memory_energy_per_bit: Joules = 0.16e-12
    leakage_density: WattsPerSquareMetre = 1e3

    def __post_init__(self) -> None:
        for key in ("node", "half_pitches", "adc_share"):
            self._require(key, "must be at least 1", getattr(self, key) >= 1)
        for key in ("dac_bits", "adc_bits"):
            inside = 0 <= getattr(self, key) <= _MOST_BITS
            self._require(key, f"must lie between 0 (none) and {_MOST_BITS}", inside)
        positive = ("capacitor_density", "adc_schreier")
        for key in positive:
            fits = 0 < getattr(self, key) < float("inf")
            self._require(key, "must be finite, above 0", fits)
        for field in msgspec.structs.fields(type(self)):
            value = getattr(self, field.name)
            if isinstance(value, float) and field.name not in positive:
                fits = 0 <= value < float("inf")
                self._require(field.name, "must be finite, 0 or more", fits)

    def _require(self, key: str, message: str, holds: bool) -> None:
        if not holds:
            raise InvalidValueError(f"{key} = {getattr(self, key)}: {message}")

    @property
    def pitch(self) -> float:
        """Side of a cell [m]."""
        return self.half_pitches * self.node * 1e-9

    @property
    def dac_energy(self) -> float:
        """Energy of a conversion [J]."""
        return self.dac_energy_per_step * _steps(self.dac_bits)

    @property
    def dac_area(self) -> float:
        """Area of a DAC [m²]."""
        return self.dac_area_per_step * _steps(self.dac_bits)

    @property
    def adc_energy(self) -> float:
        """Energy of a conversion [J]."""
        if self.adc_bits == 0:
            return 0.0
        noise = 0.5 * 10 ** ((6.02 * self.adc_bits + 1.76 - self.adc_schreier) / 10)
        return max(self.adc_energy_per_step * _steps(self.adc_bits), float(noise))

    @property
    def adc_area(self) -> float:
        """Area of an ADC [m²]."""
        return self.adc_area_per_step * _steps(self.adc_bits)

    def line_capacitance(self, cells: int) -> float:
        """Return the capacitance of a line that passes so many cells [F]."""
        return self.wire_capacitance * self.pitch * cells

    def adcs(self, nodes: int) -> int:
        """Return the number of ADCs that so many nodes share."""
        return -(-nodes // self.adc_share) if self.adc_bits else 0

    def reading_time(self, nodes: int) -> float:
        """Return how long their ADCs take for so many nodes [s]."""
        return min(nodes, self.adc_share) * self.adc_time if self.adc_bits else 0.0


def pulse_energy(voltage: float, width: float, before: Array, after: Array) -> Array:
    """Return what a pulse of [V], [s] takes of cells that it changes, in siemens [J]."""
    return np.asarray(0.5 * voltage**2 * width * (before + after))


def _steps(bits: int) -> int:
    return 2**bits if bits else 0
