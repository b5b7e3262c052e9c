"""A chip: the arrays as the hardware holds them, with their cells, biases and physical scale."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip.array import CrossbarArray
from neurohw.chip.biases import BiasCurrents, BiasRails
from neurohw.chip.converted import ConvertedChip
from neurohw.chip.fabrication import fabricate_array
from neurohw.chip.reading import Moment
from neurohw.circuits.neuron import Neuron
from neurohw.circuits.neuron import fabricate as fabricate_neurons
from neurohw.circuits.synapse import Synapse
from neurohw.devices.fabrication import fabricate, require_arrays
from neurohw.engines.equilibrium import SeenArray, Source
from neurohw.errors import InvalidValueError
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.mappings.scale import physical_scale
from neurohw.networks.resistive import ResistiveNetwork, initial_conductances

Array = NDArray[np.floating]

# Arrays of bias cells are numbered from here, apart from those of the layers.
_FIRST_BIAS_ARRAY = 1 << 16
# Fast arrays, and the narrower cells beside others, likewise.
_FIRST_FAST_ARRAY = 1 << 20


class Chip(ConvertedChip):
    """A fabricated chip that holds one network.

    Parameters
    ----------
    specification : ChipSpecification
    network : ResistiveNetwork
    input_gain : float
        Dimensionless voltage of a pixel of 1.
    seed : int
        Of fabrication, first programming and noise.
    dtype : {"float32", "float64"}

    Attributes
    ----------
    network : ResistiveNetwork
        The same, with the neurons of this chip.
    arrays : list of CrossbarArray
        One a free layer, in order.
    biases : list of BiasCurrents or BiasRails
        One a free layer; empty where the chip has none.
    scale : PhysicalScale

    Raises
    ------
    InvalidValueError
        The chip's mapping is one of signed weights, or its neurons have noise.
    """

    def __init__(
        self,
        specification: ChipSpecification,
        network: ResistiveNetwork,
        input_gain: float,
        *,
        seed: int,
        dtype: str,
    ) -> None:
        scheme = specification.mapping.scheme
        if scheme not in (None, "single-ended"):
            raise InvalidValueError(
                f"mapping.scheme = {scheme}: conductances of a resistive network are not negative;"
                f" take single-ended"
            )
        if specification.neuron.noise > 0:
            raise InvalidValueError(
                f"neuron.noise = {specification.neuron.noise:g} V: only the membranes of Hopfield"
                " networks have noise"
            )
        self.specification = specification
        self.scale = physical_scale(specification, network.fan_in, input_gain)
        self.network = _with_neurons(specification, network, seed)
        if specification.synapse is not None:
            self.network = replace(self.network, synapse=Synapse(specification.synapse))
        self.fit_converters(specification, network.inputs // 2, network.layers, seed)
        self.arrays: list[CrossbarArray] = []
        self.biases: list[BiasCurrents | BiasRails] = []
        leak = [specification.neuron.leak] * (len(network.layers) - 1) + [0.0]
        self._leaks = [
            Source(current=np.zeros(units, dtype), conductance=np.full(units, value, dtype))
            for units, value in zip(network.layers, leak, strict=True)
        ]
        numbers = {*range(len(network.layers))}
        if specification.bias.kind == "rails":
            numbers |= {_FIRST_BIAS_ARRAY + k for k in numbers}
        require_arrays(specification.device, numbers)
        shapes = list(zip(network.layers, network.fan_in, strict=True))
        specification.require_tiles(shapes, specification.programming.memory[1])
        for k, (inputs, units) in enumerate(zip(network.fan_in, network.layers, strict=True)):
            cells = np.arange(units * inputs).reshape(units, inputs)
            key = randomness.key(randomness.stream(seed, "initial", k))
            wanted = initial_conductances(randomness.uniforms(key, cells), inputs)
            array = self._fabricate(wanted * self.scale.unit_conductance, k, k, seed, dtype)
            self.arrays.append(array)
            if specification.bias.kind == "current":
                self.biases.append(BiasCurrents(units, dtype))
            elif specification.bias.kind == "rails":
                number = _FIRST_BIAS_ARRAY + k
                rails = self._fabricate(np.zeros((units, 2)), k, number, seed, dtype)
                rail = specification.bias.rail or self.scale.unit_voltage
                self.biases.append(BiasRails(rails, rail))

    def _fabricate(
        self, wanted: Array, layer: int, number: int, seed: int, dtype: str
    ) -> CrossbarArray:
        chip, width = self.specification, self.scale.cell_scale[layer]
        inputs, rails = number == 0, number != layer
        tiling = None if rails else chip.tiling(*wanted.shape)
        cells = fabricate(
            chip.device, *wanted.shape, width=width, seed=seed, array=number, tiling=tiling
        )
        if cells.law.limit_down == 0:
            raise InvalidValueError(
                f"device.law = {chip.device.law}: pulses only raise it: it needs pairs of cells,"
                f" which signed weights have (mapping.sides = one)"
            )
        return fabricate_array(
            chip,
            cells,
            wanted,
            chip.programming,
            tiling=tiling,
            width=width,
            number=number,
            fast_number=_FIRST_FAST_ARRAY + number,
            seed=seed,
            dtype=dtype,
            driven=inputs or rails,
            paired=inputs,
            # Bias cells stand at the nodes themselves.
            wires=None if rails else chip.interconnect,
            transposed_gain=chip.converters.transposed_gains(wanted.shape[1], seed, number),
        )

    def write(self, conductances: Sequence[Array], currents: Sequence[Array]) -> None:
        """Program a trained network into the fresh arrays.

        conductances, (units, inputs) of each array, and currents, (units,) of each layer or none
        at all, are dimensionless. Cells take the nearest value they can reach.
        """
        for array, wanted in zip(self.arrays, conductances, strict=True):
            array.write(wanted * self.scale.unit_conductance)
        if self.specification.bias.kind == "current":
            for bias, current in zip(self.biases, currents, strict=bool(currents)):
                bias.restore({"current": current * self.scale.unit_current})

    def logical(self) -> tuple[list[Array], list[Array]]:
        """Return what `write` takes, by a digital read-out; biases of sources only."""
        return (
            [array.values() / self.scale.unit_conductance for array in self.arrays],
            [
                bias.values / self.scale.unit_current
                for bias in self.biases
                if isinstance(bias, BiasCurrents)
            ],
        )

    @property
    def crossbars(self) -> list[CrossbarArray]:
        """Every crossbar of the arrays."""
        return self.arrays

    @property
    def noisy(self) -> bool:
        """Whether reads at two moments may differ."""
        return any(array.noisy for array in self.arrays)

    def wait(self, seconds: float) -> None:
        """Leave all cells alone for a time after they were programmed [s]."""
        for array in self._every_array:
            array.wait(seconds)

    def disturb(self, inputs: Array, nodes: Sequence[Array], event: int, phase: int = 0) -> int:
        """Let the voltages of a phase move the cells that they stress; return the steps taken.

        inputs (batch, inputs) as the first array takes them, nodes a (batch, units) array a layer
        [V]. Bias cells are left out.
        """
        moved, below = 0, inputs
        for k, (array, voltage) in enumerate(zip(self.arrays, nodes, strict=True)):
            moved += array.disturb(below, voltage, event, phase)
            below = self.network.forward(k, voltage)
        return moved

    @property
    def _every_array(self) -> list[CrossbarArray]:
        rails = [bias.array for bias in self.biases if isinstance(bias, BiasRails)]
        return [*self.arrays, *rails]

    def seen(self, moment: Moment | int | None = None) -> list[SeenArray]:
        """Return every array as the physics sees it, with the noise of a moment if given."""
        return [array.seen(moment) for array in self.arrays]

    def sources(self, moment: Moment | int | None = None) -> Sequence[Source]:
        """Return what biases and leaks add at the nodes of each layer; see `seen`."""
        if not self.biases:
            return self._leaks
        sources = [bias.source(moment) for bias in self.biases]
        if self.specification.neuron.leak == 0:
            return sources
        return [
            Source(current=source.current, conductance=source.conductance + leak.conductance)
            for source, leak in zip(sources, self._leaks, strict=True)
        ]


def _with_neurons(
    specification: ChipSpecification, network: ResistiveNetwork, seed: int
) -> ResistiveNetwork:
    """Return the network with a chip's neurons; itself where ideal diodes to ground are all."""
    if specification.neuron == Neuron():
        return network
    last = len(network.layers) - 1
    neurons = tuple(
        fabricate_neurons(
            specification.neuron,
            units,
            temperature=specification.temperature,
            seed=seed,
            layer=k,
            output=k == last,
        )
        for k, units in enumerate(network.layers)
    )
    clamps = [n.clamps(low.dtype) for n, low in zip(neurons, network.low, strict=True)]
    low, high = zip(*clamps, strict=True)
    return replace(network, low=low, high=high, neurons=neurons)
