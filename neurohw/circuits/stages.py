"""Converters of one purpose on every layer of a network, and the ranges that they find."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.converters import Converter, fabricate
from neurohw.errors import InvalidValueError

Array = NDArray[np.floating]


class Stage:
    """Converters of one purpose, a set a layer, as fabricated.

    Parameters
    ----------
    key : str
        What the chip file calls it, for messages; without ``_adc`` it names its range.
    converter : Converter
    layers : sequence of int
        Channels of each layer.
    to, signed
        See `neurohw.circuits.converters.Channels`.
    seed, number : int
        Of what they draw; layers are counted on from number.
    known : float [V]
        Full scale where it is neither given nor calibrated; infinite: it is calibrated.

    Raises
    ------
    InvalidValueError
        A full scale for another number of layers, or one bit for both signs.
    """

    def __init__(
        self,
        key: str,
        converter: Converter,
        layers: Sequence[int],
        *,
        to: Literal["analog", "digital"],
        signed: bool,
        seed: int,
        number: int,
        known: float = np.inf,
    ) -> None:
        given = converter.full_scale
        if isinstance(given, tuple) and len(given) != len(layers):
            raise InvalidValueError(
                f"chip.converters.{key}.full_scale = {list(given)}: must be one voltage, or"
                f" {len(layers)}, one a layer"
            )
        if signed and converter.bits == 1:
            raise InvalidValueError(
                f"chip.converters.{key}.bits = 1: both signs and 0 need at least 2"
            )
        self.name = key.removesuffix("_adc")
        self._converter = converter
        self._known = known
        self._channels = [
            fabricate(converter, units, to=to, signed=signed, seed=seed, number=number + k)
            for k, units in enumerate(layers)
        ]

    @property
    def calibrated(self) -> bool:
        """Whether it has a range that is neither given nor known beforehand."""
        return self._converter.calibrated and self._known == np.inf

    def convert(self, values: Array, layer: int, event: int, ranges: dict[str, Array]) -> Array:
        """Return (…, channels) voltages of a layer as they are after conversion [V].

        ranges holds calibrated full scales by name, (layers,) [V], NaN or no entry where there is
        none yet; such a one is then found with these values. event is that of the noise.
        """
        full_scale = self._known
        if self.calibrated:
            held = ranges.setdefault(self.name, np.full(len(self._channels), np.nan))
            if np.isnan(held[layer]):
                held[layer] = self._converter.calibrate(values)
            full_scale = float(held[layer])
        full_scale = self._converter.range_or(full_scale, layer)
        return self._channels[layer].convert(values, full_scale, event)
