"""A chip whose arrays hold signed weights between lines at virtual ground."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip.array import CrossbarArray
from neurohw.chip.biases import BiasCurrents, BiasLine
from neurohw.chip.reading import Moment
from neurohw.chip.signed import Programming, SignedArray
from neurohw.circuits.neuron import Neuron
from neurohw.devices.fabrication import fabricate, require_arrays
from neurohw.devices.programming import first_write
from neurohw.devices.reading.fabrication import fabricate as fabricate_reading
from neurohw.devices.redundancy import Tiling
from neurohw.engines.equilibrium import SeenArray, Source
from neurohw.errors import UnsupportedError
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.mappings.signed_scale import scheme_of, signed_scale

Array = NDArray[np.floating]

# Crossbars beside the first one of an array, and those of biases, are numbered from these.
_NEXT_CROSSBAR = 1 << 18
_FIRST_BIAS_ARRAY = 1 << 16
_REFERENCE = 1 << 24


class SignedChip:
    """A fabricated chip that holds a network of signed weights.

    Parameters
    ----------
    specification : ChipSpecification
    weights : sequence of (units, inputs) arrays
        Dimensionless initial weights, from input to output.
    seed : int
        Of fabrication, first programming and noise.
    dtype : {"float32", "float64"}

    Attributes
    ----------
    arrays : list of SignedArray
    biases : list of BiasCurrents or BiasLine
        One a layer of units; empty where the chip has none.
    scale : SignedScale

    Raises
    ------
    InvalidValueError, UnsupportedError
        The chip holds no signed weights as it is specified.
    """

    def __init__(
        self, specification: ChipSpecification, weights: Sequence[Array], *, seed: int, dtype: str
    ) -> None:
        _require_virtual_ground(specification)
        self.specification = specification
        self.scale = signed_scale(specification, len(weights))
        self.arrays: list[SignedArray] = []
        self.biases: list[BiasCurrents | BiasLine] = []
        layers = range(len(weights))
        firsts = [0, _FIRST_BIAS_ARRAY] if specification.bias.kind == "rails" else [0]
        parts = [k * _NEXT_CROSSBAR for k in range(len(scheme_of(specification).coefficients))]
        numbers = {first + part + k for first in firsts for part in parts for k in layers}
        require_arrays(specification.device, numbers)
        for k, wanted in enumerate(weights):
            unit = self.scale.unit_conductances[k]
            self.arrays.append(self._fabricate(wanted * unit, k, seed, dtype))
            if specification.bias.kind == "current":
                self.biases.append(BiasCurrents(len(wanted), dtype))
            elif specification.bias.kind == "rails":
                none = np.zeros((len(wanted), 1))
                line = self._fabricate(none, _FIRST_BIAS_ARRAY + k, seed, dtype)
                rail = specification.bias.rail or self.scale.unit_voltage
                self.biases.append(BiasLine(line, rail))

    def write(self, weights: Sequence[Array], biases: Sequence[Array]) -> None:
        """Program a trained network: dimensionless weights, and biases (units,) or none at all."""
        for k, (array, wanted) in enumerate(zip(self.arrays, weights, strict=True)):
            array.write(wanted * self.scale.unit_conductances[k], fit=True)
        if self.biases and biases:
            for k, (bias, wanted) in enumerate(zip(self.biases, biases, strict=True)):
                bias.write(wanted * self.scale.current(k))

    def logical(self) -> tuple[list[Array], list[Array]]:
        """Return what `write` takes, by a digital read-out."""
        units = self.scale.unit_conductances
        return (
            [array.values() / unit for array, unit in zip(self.arrays, units, strict=True)],
            [bias.source().current / self.scale.current(k) for k, bias in enumerate(self.biases)],
        )

    @property
    def crossbars(self) -> list[CrossbarArray]:
        """Every crossbar of the arrays."""
        return [crossbar for array in self.arrays for crossbar in array.every_crossbar]

    @property
    def noisy(self) -> bool:
        """Whether reads at two moments may differ."""
        return any(array.noisy for array in self.arrays)

    def wait(self, seconds: float) -> None:
        """Leave all cells alone for a time after they were programmed [s]."""
        for array in self.arrays:
            array.wait(seconds)
        for bias in self.biases:
            if isinstance(bias, BiasLine):
                bias.array.wait(seconds)

    def seen(self, moment: Moment | int | None = None) -> list[SeenArray]:
        """Return every array as the physics sees it, with the noise of a moment if given."""
        return [array.seen(moment) for array in self.arrays]

    def sources(self, moment: Moment | int | None = None) -> list[Source]:
        """Return the bias currents of each layer, none where the chip has no biases."""
        return [bias.source(moment) for bias in self.biases]

    def _fabricate(self, wanted: Array, number: int, seed: int, dtype: str) -> SignedArray:
        """Return an array written to effective conductances [S]."""
        chip, scheme = self.specification, scheme_of(self.specification)
        # Bias cells stand at the nodes themselves.
        biases = number >= _FIRST_BIAS_ARRAY
        wires = None if biases else chip.interconnect
        tiling = None if biases else chip.tiling(*wanted.shape)

        def crossbar(
            shape: tuple[int, int], conductance: float, index: int, tiling: Tiling | None = None
        ) -> CrossbarArray:
            cells = fabricate(chip.device, *shape, width=1.0, seed=seed, array=index, tiling=tiling)
            if scheme.one_way:
                cells = replace(cells, law=replace(cells.law, limit_down=0.0))
            if not np.isfinite(scheme.high):
                cells = replace(cells, low=np.where(cells.low < cells.high, -np.inf, cells.low))
            written = first_write(cells, np.full(shape, conductance)).astype(dtype)
            # Without wires no one asks for the sums of lines at virtual ground.
            reading = fabricate_reading(
                chip.device,
                cells.low,
                cells.high,
                *shape,
                width=1.0,
                temperature=chip.temperature,
                seed=seed,
                array=index,
            )
            return CrossbarArray(
                written,
                cells,
                driven=wires is None,
                wires=wires,
                reading=reading,
                programming=chip.programming,
                transposed_gain=chip.converters.transposed_gains(shape[1], seed, number),
            )

        count = len(scheme.coefficients)
        indices = [number + k * _NEXT_CROSSBAR for k in range(count)]
        reference = None
        if scheme.referenced and chip.mapping.reference == "column":
            reference = crossbar((1, wanted.shape[1]), scheme.middle, number + _REFERENCE)
        array = SignedArray(
            [crossbar(wanted.shape, scheme.rest, index, tiling) for index in indices],
            scheme,
            reference=reference,
            programming=Programming(
                scale=chip.mapping.scale,
                refresh=chip.mapping.refresh,
                verify_pulses=chip.mapping.verify_pulses,
                verify_tolerance=chip.mapping.verify_tolerance,
                rounding_stream=randomness.stream(seed, "levels", number),
            ),
        )
        array.write(wanted)
        return array


def _require_virtual_ground(chip: ChipSpecification) -> None:
    """Raise `UnsupportedError` where a chip has what signed weights are not modelled with."""
    if chip.synapse is not None:
        raise UnsupportedError("synapse: cells of signed weights are resistors")
    if chip.programming.accumulate in ("analog", "carry") or chip.programming.events == "sample":
        key = "events" if chip.programming.events == "sample" else "accumulate"
        raise UnsupportedError(
            f"programming.{key} = {getattr(chip.programming, key)}: cells of signed weights take"
            " the sum over a mini-batch themselves"
        )
    if chip.device.reading.disturb > 0:
        raise UnsupportedError("device.reading.disturb: read disturb of signed weights is unknown")
    if chip.neuron != Neuron():
        raise UnsupportedError(
            "neuron: the circuits at the nodes are those of resistive networks; signed weights are"
            " read at virtual ground"
        )
