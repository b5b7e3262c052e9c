"""A chip whose arrays of signed weights feed the integrators of a deep Hopfield network."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip.converted import ConvertedChip
from neurohw.chip.reading import Moment
from neurohw.chip.signed_chip import SignedChip
from neurohw.circuits.membrane import MembraneNoise
from neurohw.engines.equilibrium import SeenArray, Source
from neurohw.errors import UnsupportedError
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.networks.hopfield import HopfieldNetwork

Array = NDArray[np.floating]


class HopfieldChip(ConvertedChip, SignedChip):
    """Arrays read both ways, and an integrator at each node.

    The integrators take up the currents of the lines, which they hold at 0 V. Their leak is the
    first array's conductance that stands for a weight of 1; where an array has another one, because
    of another `weight_range`, current mirrors of their ratio join it to the integrators, on both
    sides alike.

    Parameters
    ----------
    specification : ChipSpecification
    network : HopfieldNetwork
    weights : sequence of (units, inputs) arrays
        Dimensionless initial weights.
    seed : int
    dtype : {"float32", "float64"}
    """

    def __init__(
        self,
        specification: ChipSpecification,
        network: HopfieldNetwork,
        weights: Sequence[Array],
        *,
        seed: int,
        dtype: str,
    ) -> None:
        super().__init__(specification, weights, seed=seed, dtype=dtype)
        self.network = network
        if network.convolutional and self.disturbed:
            raise UnsupportedError(
                "device.reading.disturb: not with network.convolutions, whose reads of a position"
                " are not counted one by one"
            )
        self._seed = seed
        self.fit_converters(specification, network.inputs, network.layers, seed)
        units = self.scale.unit_conductances
        self._mirrors = [np.dtype(dtype).type(units[0] / unit) for unit in units]
        self._leaks = [np.full(n, self.scale.leak, dtype) for n in network.layers]
        self._no_currents = [np.zeros(c.shape[0], dtype) for c in network.connections]

    def disturb(self, inputs: Array, nodes: Sequence[Array], event: int, phase: int = 0) -> int:
        """Let the voltages of a phase move the cells that they stress; return the steps taken.

        inputs (batch, inputs), nodes a (batch, units) array of membranes a layer [V]. Each node
        drives a line of the array above it, and one of the array below, both against lines at
        0 V: two reads of every cell but those of the first array.
        """
        if not self.disturbed:
            return 0
        states = [self.network.forward(k, v) for k, v in enumerate(nodes)]
        return self.disturb_lines([inputs, *states[:-1]], states[1:], event, phase)

    def fluctuations(
        self, moment: Moment, rows: NDArray[np.intp] | None = None
    ) -> MembraneNoise | None:
        """Return the noise of the membranes from a moment on; None where they have none.

        rows (batch,), which samples of the phase are relaxed; all without.
        """
        deviation = self.specification.neuron.noise
        if deviation == 0:
            return None
        return MembraneNoise(
            deviation=deviation,
            seed=self._seed,
            event=moment.event,
            phase=moment.phase,
            sweep=moment.sweep,
            rows=rows,
        )

    def seen(self, moment: Moment | int | None = None) -> list[SeenArray]:
        """Return every array as the integrators see it, with the noise of a moment if given."""
        seen = super().seen(moment)
        return [
            array
            if mirror == 1
            else msgspec.structs.replace(array, conductance=array.conductance * mirror)
            for array, mirror in zip(seen, self._mirrors, strict=True)
        ]

    def sources(self, moment: Moment | int | None = None) -> list[Source]:
        """Return the bias currents and the leaks of each layer, one a unit."""
        currents = [source.current for source in super().sources(moment)] or self._no_currents
        connections = self.network.connections
        return [
            Source(current=connection.spread(current * mirror), conductance=leak)
            for connection, current, mirror, leak in zip(
                connections, currents, self._mirrors, self._leaks, strict=True
            )
        ]
