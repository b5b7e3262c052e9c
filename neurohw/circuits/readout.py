"""The converters of a chip, and what its learning circuits read of two phases.

A sampling circuit takes each node's voltage in both phases, v_a and v_b; its offset is the same
in both if it is one circuit, and not if there is one a phase. Then either

- ``states``: the state ADC converts v_a and v_b, and the difference is one of numbers; or
- ``difference``: the difference v_a − v_b is formed before conversion (correlated double
  sampling) and has an ADC with a range of its own, while the state ADC converts the mean of both,
  which two holding capacitors form when they share their charge.

The contrast of resistors takes products of the mean and the difference, so the first needs a step
that is small against the difference, over a range as large as the voltages.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.circuits.converters import Channels, Converter, fabricate
from neurohw.circuits.stages import Stage
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.units import Fraction, Volts

Array = NDArray[np.floating]

# Numbers of the converters of a chip; those of layers are added to them.
_INPUT, _NUDGE, _STATE, _DIFFERENCE = (k << 16 for k in range(4))

# Those of feed-forward networks only.
OF_FEEDFORWARD = ("state_dac", "error_dac", "error_adc")


class Converters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The converters of a chip; what is left out is ideal.

    Parameters
    ----------
    input_dac : Converter, optional
        Of the word lines; of a pair one, which also drives the second line, inverted. One sign;
        its full scale is the chip's, unless given.
    nudge_dac : Converter, optional
        Of what nudges the outputs: with a conductor the target, one sign, full scale the voltage
        of the target 1 unless given; with a held current the distance t − v that it stands for,
        with clamps the voltage that they drive, both signs.
    state_adc : Converter, optional
        Of node voltages, both signs; see the module.
    difference_adc : Converter, optional
        Of the difference of the phases, both signs; used where `read` is ``difference``.
    read : {"states", "difference"}
    sampling : {"shared", "separate"}
        Whether one circuit takes a node's voltage in both phases, or one in each.
    sampling_offset_spread : float [V]
        Standard deviation of the offsets of these circuits.
    calibration_samples : int
        Training images, the first ones, from which calibrated ranges are found.
    calibration_interval : int
        Mini-batches between calibrations; 0: only one, before the first.
    state_dac : Converter, optional
        Of feed-forward networks: of the hidden states that drive the next array; one sign, both
        for tanh and linear units; its full scale is the largest state, where that has a bound.
    error_dac, error_adc : Converter, optional
        Of feed-forward networks: of the errors that drive an array backwards, and of the sums that
        come back, both signs. Their `state_adc` is that of the forward sums.
    transposed_gain_error, transposed_gain_spread : float
        Relative gain of a transposed read over that of a forward read, less 1, common and from
        word line to word line.
    """

    input_dac: Converter | None = None
    nudge_dac: Converter | None = None
    state_adc: Converter | None = None
    difference_adc: Converter | None = None
    state_dac: Converter | None = None
    error_dac: Converter | None = None
    error_adc: Converter | None = None
    read: Literal["states", "difference"] = "states"
    sampling: Literal["shared", "separate"] = "shared"
    sampling_offset_spread: Volts = 0.0
    calibration_samples: int = 64
    calibration_interval: int = 1000
    transposed_gain_error: Fraction = 0.0
    transposed_gain_spread: Fraction = 0.0

    def __post_init__(self) -> None:
        for key in ("sampling_offset_spread", "transposed_gain_spread"):
            if not 0 <= getattr(self, key) < float("inf"):
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must be finite, 0 or more")
        if not -1 < self.transposed_gain_error < float("inf"):
            value = self.transposed_gain_error
            raise InvalidValueError(f"transposed_gain_error = {value}: must be finite, above -1")
        if self.calibration_samples < 1:
            raise InvalidValueError(
                f"calibration_samples = {self.calibration_samples}: must be at least 1"
            )
        if self.calibration_interval < 0:
            raise InvalidValueError(
                f"calibration_interval = {self.calibration_interval}: must be 0 or more"
            )
        for key in ("state_adc", "difference_adc", "error_dac", "error_adc"):
            converter: Converter | None = getattr(self, key)
            if converter is not None and converter.bits == 1:
                raise InvalidValueError(f"{key}.bits = 1: both signs and 0 need at least 2")
        for key in ("input_dac", "nudge_dac"):
            if isinstance(getattr(getattr(self, key), "full_scale", None), tuple):
                raise InvalidValueError(f"{key}.full_scale: must be one voltage")

    @property
    def present(self) -> bool:
        """Whether there is a converter that is not left out."""
        return any(isinstance(getattr(self, key), Converter) for key in self.__struct_fields__)

    @property
    def reads(self) -> bool:
        """Whether an ADC reads the nodes for learning."""
        difference = self.difference_adc if self.read == "difference" else None
        return any(isinstance(adc, Converter) for adc in (self.state_adc, difference))

    @property
    def feedforward(self) -> bool:
        """Whether there is one that only feed-forward networks have."""
        return any(getattr(self, key) is not None for key in OF_FEEDFORWARD)

    def refuse(self, kind: str, *keys: str) -> None:
        """Raise `UnsupportedError`, naming it, if one of these keys is given for such networks."""
        for key in keys:
            if getattr(self, key) != getattr(Converters(), key):
                raise UnsupportedError(f"chip.converters.{key}: {kind} networks have none")

    def transposed_gains(self, lines: int, seed: int, array: int) -> Array | None:
        """Return the gain of a transposed read of each word line, (lines,); None where all 1."""
        if self.transposed_gain_error == self.transposed_gain_spread == 0:
            return None
        key = randomness.key(randomness.stream(seed, "transposed_gain", array))
        draws = randomness.normals(key, np.arange(lines))
        gains = (1 + self.transposed_gain_error) * (1 + self.transposed_gain_spread * draws)
        return np.asarray(gains, np.float64)


def input_channels(converters: Converters, lines: int, seed: int) -> Channels | None:
    """Make the DACs of the word lines."""
    if converters.input_dac is None:
        return None
    return fabricate(
        converters.input_dac, lines, to="analog", signed=False, seed=seed, number=_INPUT
    )


def nudging_channels(
    converters: Converters, outputs: int, seed: int, *, signed: bool
) -> Channels | None:
    """Make the DACs of what nudges the outputs."""
    if converters.nudge_dac is None:
        return None
    return fabricate(
        converters.nudge_dac, outputs, to="analog", signed=signed, seed=seed, number=_NUDGE
    )


class Readout:
    """The circuits that read every node in both phases, as fabricated.

    Parameters
    ----------
    converters : Converters
    layers : sequence of int
        Nodes of each free layer.
    seed : int

    Attributes
    ----------
    ranges : dict of arrays [V]
        Calibrated full scales, ``state`` and ``difference`` (layers,), and of the nudge DAC
        ``nudge`` (1,). One that is missing is calibrated with what is converted next.

    Raises
    ------
    InvalidValueError
        A full scale for another number of layers.
    """

    def __init__(self, converters: Converters, layers: Sequence[int], seed: int) -> None:
        self.difference = converters.read == "difference"
        parts = {"state_adc": (converters.state_adc, _STATE)}
        if self.difference:
            parts["difference_adc"] = (converters.difference_adc, _DIFFERENCE)
        self.ranges: dict[str, Array] = {}
        self._adcs: dict[str, Stage] = {}
        for key, (converter, number) in parts.items():
            if converter is not None:
                self._adcs[key] = Stage(
                    key, converter, layers, to="digital", signed=True, seed=seed, number=number
                )
        self._offsets = [
            self._sampling_offsets(converters, units, seed, k) for k, units in enumerate(layers)
        ]
        self.ideal = not self._adcs and converters.sampling_offset_spread == 0

    @property
    def calibrated(self) -> bool:
        """Whether an ADC has a range that is calibrated."""
        return any(adc.calibrated for adc in self._adcs.values())

    def read(
        self, upper: Sequence[Array], lower: Sequence[Array], event: int
    ) -> tuple[list[Array], list[Array]]:
        """Return the voltages of both phases as the rule gets them, (samples, nodes) a layer [V].

        Of a read difference d and mean m they are m + d/2 and m − d/2.
        """
        phases = zip(upper, lower, strict=True)
        sampled = [self._sampled(k, u, v) for k, (u, v) in enumerate(phases)]
        if not self.difference:
            states = self._convert("state_adc", [np.stack(both) for both in sampled], event)
            return [v[0] for v in states], [v[1] for v in states]
        half = upper[0].dtype.type(0.5)
        means = self._convert("state_adc", [half * (u + v) for u, v in sampled], event)
        moved = self._convert("difference_adc", [u - v for u, v in sampled], event)
        pairs = list(zip(means, moved, strict=True))
        return [m + half * d for m, d in pairs], [m - half * d for m, d in pairs]

    def _sampled(self, layer: int, upper: Array, lower: Array) -> tuple[Array, Array]:
        """Return a layer's voltages as the sampling circuits have them."""
        offset = self._offsets[layer]
        if offset is None:
            return upper, lower
        return upper + offset[0].astype(upper.dtype), lower + offset[1].astype(lower.dtype)

    def _convert(self, key: str, values: list[Array], event: int) -> list[Array]:
        """Return the voltages of each layer through an ADC, calibrated if it has to be."""
        if key not in self._adcs:
            return values
        adc = self._adcs[key]
        return [adc.convert(v, k, event, self.ranges) for k, v in enumerate(values)]

    @staticmethod
    def _sampling_offsets(
        converters: Converters, units: int, seed: int, layer: int
    ) -> Array | None:
        """Return the offsets of a layer's sampling circuits, (2, units) [V]; None where all 0."""
        if converters.sampling_offset_spread == 0:
            return None
        circuits = 2 if converters.sampling == "separate" else 1
        key = randomness.key(randomness.stream(seed, "sampling_offset", layer))
        draws = randomness.normals(key, np.arange(circuits * units)).reshape(circuits, units)
        spread = converters.sampling_offset_spread
        return np.asarray(spread * np.broadcast_to(draws, (2, units)), np.float64)
