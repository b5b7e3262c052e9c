"""A chip whose arrays hold signed weights between lines at virtual ground."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip.array import CrossbarArray
from neurohw.chip.biases import BiasCurrents, BiasLine
from neurohw.chip.fabrication import fabricate_array
from neurohw.chip.reading import Moment
from neurohw.chip.signed import SignedArray, Writing
from neurohw.circuits.neuron import Neuron
from neurohw.devices.fabrication import fabricate, require_arrays
from neurohw.devices.redundancy import Tiling
from neurohw.engines.equilibrium import SeenArray, Source
from neurohw.errors import UnsupportedError
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.mappings.programming import Programming
from neurohw.mappings.signed_scale import memory, scheme_of, signed_scale

Array = NDArray[np.floating]

# Crossbars beside the first one of an array, those of biases, arrays beside those of the layers,
# and what stands beside each, are numbered from these.
_NEXT_CROSSBAR = 1 << 18
_FIRST_BIAS_ARRAY = 1 << 16
_FIRST_BESIDE = 1 << 17
_REFERENCE = 1 << 24
_FIRST_FAST_ARRAY = 1 << 25


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
    beside : dict of lists of SignedArray
        What was added to those of the layers, by name; see `add`.
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
        self.beside: dict[str, list[SignedArray]] = {}
        self._units_beside: dict[str, list[float]] = {}
        self._seed, self._dtype = seed, dtype
        layers = range(len(weights))
        firsts = [0, _FIRST_BIAS_ARRAY] if specification.bias.kind == "rails" else [0]
        parts = [k * _NEXT_CROSSBAR for k in range(len(scheme_of(specification).coefficients))]
        numbers = {first + part + k for first in firsts for part in parts for k in layers}
        require_arrays(specification.device, numbers)
        shapes = [(len(wanted), wanted.shape[1]) for wanted in weights]
        specification.require_tiles(shapes, memory(specification)[1])
        for k, wanted in enumerate(weights):
            unit = self.scale.unit_conductances[k]
            self.arrays.append(self._fabricate(wanted * unit, k, seed, dtype))
            self._add_bias(k, len(wanted))

    def add(self, name: str, weights: Sequence[Array], units: Sequence[float]) -> list[SignedArray]:
        """Fabricate arrays beside those of the layers, such as those of feedback.

        They have cells, programming errors, wires and noise of their own, no biases, and are
        programmed only by updates of their own.

        Parameters
        ----------
        name : str
            Of the group, in `beside` and in run files.
        weights : sequence of (units, inputs) arrays
            What is first written, dimensionless.
        units : sequence of float [S]
            What a weight of 1 is in each.
        """
        first = _FIRST_BESIDE + sum(map(len, self.beside.values()))
        self.beside[name] = [
            self._fabricate(wanted * unit, first + k, self._seed, self._dtype)
            for k, (wanted, unit) in enumerate(zip(weights, units, strict=True))
        ]
        self._units_beside[name] = list(units)
        return self.beside[name]

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

    def write_beside(self, name: str, weights: Sequence[Array]) -> None:
        """Program a group of arrays beside those of the layers, as `write` does."""
        group, units = self.beside[name], self._units_beside[name]
        for array, wanted, unit in zip(group, weights, units, strict=True):
            array.write(wanted * unit, fit=True)

    def logical_beside(self, name: str) -> list[Array]:
        """Return what `write_beside` takes of a group, by a digital read-out."""
        group, units = self.beside[name], self._units_beside[name]
        return [array.values() / unit for array, unit in zip(group, units, strict=True)]

    @property
    def crossbars(self) -> list[CrossbarArray]:
        """Every crossbar of the arrays, those beside the layers' last."""
        return [crossbar for array in self.every_array for crossbar in array.every_crossbar]

    @property
    def every_array(self) -> list[SignedArray]:
        """The arrays of the layers, and those beside them."""
        return [*self.arrays, *(array for group in self.beside.values() for array in group)]

    @property
    def noisy(self) -> bool:
        """Whether reads at two moments may differ."""
        return any(array.noisy for array in self.every_array)

    def wait(self, seconds: float) -> None:
        """Leave all cells alone for a time after they were programmed [s]."""
        for array in self.every_array:
            array.wait(seconds)
        for bias in self.biases:
            if isinstance(bias, BiasLine):
                bias.array.wait(seconds)

    @property
    def disturbed(self) -> bool:
        """Whether reads may move cells."""
        return any(crossbar.reading.disturb is not None for crossbar in self.crossbars)

    def disturb_lines(
        self, forward: Sequence[Array], backward: Sequence[Array], event: int, phase: int = 0
    ) -> int:
        """Let the reads of a mini-batch's phase move the cells that they stress.

        Bias cells are left out.

        Parameters
        ----------
        forward : sequence of (batch, inputs) arrays [V]
            What each array is read with.
        backward : sequence of (batch, units) arrays [V]
            What all but the first are then read backwards with.
        event, phase : int

        Returns
        -------
        int
            Steps that cells took.
        """
        moved = 0
        for array, voltages in zip(self.arrays, forward, strict=True):
            moved += array.disturb(voltages, event, 2 * phase)
        for array, voltages in zip(self.arrays[1:], backward, strict=True):
            moved += array.disturb(voltages, event, 2 * phase + 1, transposed=True)
        return moved

    def seen(self, moment: Moment | int | None = None) -> list[SeenArray]:
        """Return every array as the physics sees it, with the noise of a moment if given."""
        return [array.seen(moment) for array in self.arrays]

    def sources(self, moment: Moment | int | None = None) -> list[Source]:
        """Return the bias currents of each layer, none where the chip has no biases."""
        return [bias.source(moment) for bias in self.biases]

    def _add_bias(self, number: int, units: int) -> None:
        """Fabricate the biases of so many units, without any where the chip has none."""
        bias = self.specification.bias
        if bias.kind == "current":
            self.biases.append(BiasCurrents(units, self._dtype))
        elif bias.kind == "rails":
            number += _FIRST_BIAS_ARRAY
            line = self._fabricate(np.zeros((units, 1)), number, self._seed, self._dtype)
            self.biases.append(BiasLine(line, bias.rail or self.scale.unit_voltage))

    def _fabricate(self, wanted: Array, number: int, seed: int, dtype: str) -> SignedArray:
        """Return an array written to effective conductances [S]."""
        chip, scheme = self.specification, scheme_of(self.specification)
        # Bias cells stand at the nodes themselves.
        biases = _FIRST_BIAS_ARRAY <= number < _FIRST_BESIDE
        wires = None if biases else chip.interconnect
        tiling = None if biases else chip.tiling(*wanted.shape)

        def crossbar(
            units: int,
            conductance: float,
            index: int,
            programming: Programming,
            tiling: Tiling | None = None,
        ) -> CrossbarArray:
            shape = units, wanted.shape[1]
            cells = fabricate(chip.device, *shape, width=1.0, seed=seed, array=index, tiling=tiling)
            if scheme.one_way:
                cells = replace(cells, law=replace(cells.law, limit_down=0.0))
            if not np.isfinite(scheme.high):
                cells = replace(cells, low=np.where(cells.low < cells.high, -np.inf, cells.low))
            return fabricate_array(
                chip,
                cells,
                np.full(shape, conductance),
                programming,
                tiling=tiling,
                number=index,
                fast_number=_FIRST_FAST_ARRAY + index,
                seed=seed,
                dtype=dtype,
                # Without wires no one asks for the sums of lines at virtual ground.
                driven=wires is None,
                wires=wires,
            )

        resting = _resting(chip.programming)
        crossbars = [
            crossbar(
                len(wanted),
                scheme.rest,
                number + k * _NEXT_CROSSBAR,
                chip.programming if share != 0 else resting,
                tiling,
            )
            for k, share in enumerate(scheme.shares)
        ]
        reference = None
        if scheme.referenced and chip.mapping.reference == "column":
            reference = crossbar(1, scheme.middle, number + _REFERENCE, resting)
        array = SignedArray(
            crossbars,
            scheme,
            reference=reference,
            transposed_gain=chip.converters.transposed_gains(wanted.shape[1], seed, number),
            writing=Writing(
                scale=chip.mapping.scale,
                refresh=chip.mapping.refresh,
                verify_pulses=chip.mapping.verify_pulses,
                verify_tolerance=chip.mapping.verify_tolerance,
                rounding_stream=randomness.stream(seed, "levels", number),
            ),
        )
        array.write(wanted)
        return array


def _resting(programming: Programming) -> Programming:
    """Return the update scheme of cells that no update moves: without memory beside them."""
    if programming.accumulate == "carry":
        return programming  # narrower cells are part of what is read
    return msgspec.structs.replace(programming, accumulate="none", optimizer="none")


def _require_virtual_ground(chip: ChipSpecification) -> None:
    """Raise `UnsupportedError` where a chip has what signed weights are not modelled with."""
    if chip.synapse is not None:
        raise UnsupportedError("synapse: cells of signed weights are resistors")
    if chip.programming.accumulate == "carry":
        if chip.mapping.scheme == "bit-sliced":
            raise UnsupportedError(
                "programming.accumulate = carry: the slices of mapping.scheme = bit-sliced carry"
                " themselves (mapping.refresh); take none"
            )
        if chip.mapping.sides == "one":
            raise UnsupportedError(
                "programming.accumulate = carry: cells that updates only raise (mapping.sides ="
                " one) do not give back what is carried; take sides = both"
            )
    if chip.neuron != Neuron(capacitance=chip.neuron.capacitance, noise=chip.neuron.noise):
        raise UnsupportedError(
            "neuron: the circuits at the nodes are those of resistive networks; signed weights are"
            " read at virtual ground, where integrators have a capacitance and noise"
        )
