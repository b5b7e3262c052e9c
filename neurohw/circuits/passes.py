"""The converters between the arrays of a feed-forward network and the numbers that they compute.

Forwards, an ADC turns the sum of each unit into a number, the activation is computed, and a DAC
drives the state on the word lines of the next array; backwards, a DAC drives the error of each
unit on its line, and an ADC turns what comes back on the word lines into numbers. Amplifiers make
voltages of the currents, so that a sum, a state or an error of 1 is the unit voltage.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.readout import Converters
from neurohw.circuits.stages import Stage

Array = NDArray[np.floating]

# Numbers of these converters, beside those of `neurohw.circuits.readout`.
_STATE_ADC, _STATE_DAC, _ERROR_DAC, _ERROR_ADC = (k << 16 for k in (2, 4, 5, 6))
# What networks that relax have besides.
_OTHERS = ("nudge_dac", "difference_adc", "read", "sampling_offset_spread")


class Passes:
    """The converters of forward and backward reads, as fabricated.

    Parameters
    ----------
    converters : Converters
    layers : sequence of int
        Units of each layer, hidden ones and the outputs.
    low, high : float [V]
        Limits of the hidden states, infinite where they have none.
    seed : int

    Attributes
    ----------
    ranges : dict of arrays [V]
        Calibrated full scales: ``state`` (layers,) of the state ADC; ``state_dac``, ``error`` of
        the error ADC, and ``error_dac``, one a hidden layer, the last one that of the layer above
        it. One that is missing is calibrated with what is converted next.

    Raises
    ------
    InvalidValueError
        A full scale for another number of layers, or one bit for states of both signs.
    UnsupportedError
        A converter of networks that relax.
    """

    def __init__(
        self, converters: Converters, layers: Sequence[int], low: float, high: float, seed: int
    ) -> None:
        converters.refuse("feed-forward", *_OTHERS)
        self.ranges: dict[str, Array] = {}
        self._stages: dict[str, Stage] = {}
        hidden, driven = layers[:-1], layers[1:]
        for key, converter, units, number in (
            ("state_adc", converters.state_adc, layers, _STATE_ADC),
            ("state_dac", converters.state_dac, hidden, _STATE_DAC),
            ("error_dac", converters.error_dac, driven, _ERROR_DAC),
            ("error_adc", converters.error_adc, hidden, _ERROR_ADC),
        ):
            if converter is not None:
                self._stages[key] = Stage(
                    key,
                    converter,
                    units,
                    to="digital" if key.endswith("adc") else "analog",
                    signed=key != "state_dac" or low < 0,
                    seed=seed,
                    number=number,
                    known=high if key == "state_dac" else np.inf,
                )

    @property
    def calibrated(self) -> bool:
        """Whether a converter has a range that is calibrated."""
        return any(stage.calibrated for stage in self._stages.values())

    def convert(self, key: str, values: Array, layer: int, event: int) -> Array:
        """Return (batch, lines) voltages behind a converter; themselves where there is none [V].

        Layers count from the first hidden one, of ``error_dac`` from the layer above it.
        """
        if key not in self._stages:
            return values
        return self._stages[key].convert(values, layer, event, self.ranges)

    def __contains__(self, key: str) -> bool:
        return key in self._stages
