"""Block descent with nonlinear cells: a layer's nodes see polynomials of their own voltage.

What flows into a node at v from the arrays and its sources is a falling function of v. With
polynomial cells it is a polynomial whose coefficients are products of the arrays with powers of
the neighbours' voltages, so that a layer costs one pass over its arrays a power.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.synapse import Synapse
from neurohw.engines.descent import sweep
from neurohw.engines.equilibrium import Accelerator, Equilibrium, Nudging, SeenArray, Source
from neurohw.engines.kirchhoff import total_conductances
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.networks.resistive import ResistiveNetwork
from neurohw.update import pairs

Array = NDArray[np.floating]

# Where a voltage drop this near to an end of the measured range counts as having left it.
_AT_THE_END = 1e-5


class NonlinearCells:
    """The currents that one relaxation balances.

    Parameters
    ----------
    network, arrays, sources, nudging, accelerator
        See `neurohw.engines.equilibrium.Engine.relax`.
    inputs : (batch, lines) array [V], optional
        See there; with fewer samples than the relaxation these are repeated.
    batch : int
    polynomial : bool
        Whether the engine needs the cells' law to be a polynomial.

    Raises
    ------
    UnsupportedError
        Wires with resistance, amplifiers, the accelerator, no inputs, or no polynomial.
    """

    def __init__(
        self,
        network: ResistiveNetwork,
        arrays: Sequence[SeenArray],
        sources: Sequence[Source],
        inputs: Array | None,
        nudging: Nudging | None,
        accelerator: Accelerator,
        *,
        batch: int,
        polynomial: bool,
    ) -> None:
        assert network.synapse is not None
        if any(array.wires is not None or array.unit_coupling is not None for array in arrays):
            raise UnsupportedError("synapse and wires: nonlinear cells need wires without them")
        if network.neurons is not None and any(n.amplified for n in network.neurons):
            raise UnsupportedError("synapse and neuron.gain: nonlinear cells need lines without it")
        if accelerator != "none":
            raise UnsupportedError(
                f"synapse and relaxation.accelerator = {accelerator}: nonlinear cells take none"
            )
        if inputs is None:
            raise UnsupportedError("synapse: nonlinear cells need the inputs' voltages")
        if polynomial:
            network.synapse.require_polynomial()
        if 2 * inputs.shape[1] == network.inputs:
            inputs = pairs(inputs)
        self.network = network
        self.synapse = network.synapse
        self.arrays = arrays
        self.sources = sources
        self.nudging = nudging
        self.inputs = np.concatenate([inputs] * (batch // len(inputs)))
        self._driven: Array | None = None

    def window(self, state: Sequence[Array], layer: int) -> tuple[Array, Array]:
        """Return the lowest and the highest voltage that keep all cells in their range, (batch,).

        The lowest is above the highest where the neighbours are too far apart.
        """
        below = self.inputs if layer == 0 else state[layer - 1]
        low = below.max(axis=1) - self.synapse.high
        high = below.min(axis=1) - self.synapse.low
        if layer + 1 < len(state):
            above = state[layer + 1]
            low = np.maximum(low, above.max(axis=1) + self.synapse.low)
            high = np.minimum(high, above.min(axis=1) + self.synapse.high)
        return np.asarray(low, np.float64), np.asarray(high, np.float64)

    def flowing(self, state: Sequence[Array], layer: int) -> Callable[[Array], Array]:
        """Return what flows into a layer as a function of its voltages, cell by cell.

        From (batch, units) [V] to (batch, units) [A]; for any law of the cells.
        """
        law, dense = self.synapse.law, self.arrays[layer].conductance
        below = self.inputs if layer == 0 else state[layer - 1]
        current, conductance = self._around(layer)

        def flow(v: Array) -> Array:
            into = current - conductance * v
            into = into + (dense * law.current(below[:, None, :] - v[:, :, None])).sum(axis=2)
            if layer + 1 < len(state):
                drops = v[:, None, :] - state[layer + 1][:, :, None]
                into = into - (self.arrays[layer + 1].conductance * law.current(drops)).sum(axis=1)
            return np.asarray(into)

        return flow

    def polynomials(self, state: Sequence[Array], layer: int) -> Array:
        """Return the same by powers of the voltages, (degree + 1, batch, units) [A/V^q]."""
        if layer == 0:
            if self._driven is None:
                self._driven = self._into_units(self.inputs, 0)
            flow = self._driven.copy()
        else:
            flow = self._into_units(state[layer - 1], layer)
        if layer + 1 < len(state):
            above = self.arrays[layer + 1]
            assert above.input_sums is not None
            weights = self.synapse.into_inputs
            flow += _moments(above.conductance, above.input_sums, state[layer + 1], weights)
        current, conductance = self._around(layer)
        flow[0] += current
        flow[1] -= conductance
        return flow

    def require_range(self, equilibrium: Equilibrium) -> None:
        """Do nothing if no cell's voltage has left its range; see the function of this name."""
        require_range(self.synapse, self.inputs, equilibrium.state)

    def _into_units(self, inputs: Array, layer: int) -> Array:
        array = self.arrays[layer]
        weights = self.synapse.into_units
        return _moments(array.conductance.T, array.unit_sums, inputs, weights)

    def _around(self, layer: int) -> tuple[Array, Array]:
        """Return the current of a layer's sources and their conductance, nudging included."""
        current, conductance = self.sources[layer].current, self.sources[layer].conductance
        nudging = self.nudging
        if nudging is None or layer + 1 < len(self.network.layers):
            return current, conductance
        dtype = self.inputs.dtype
        return current + nudging.injected(dtype), conductance + nudging.conductor(dtype)


def relax(
    settle: Callable[[NonlinearCells, int, Sequence[Array]], Array],
    network: ResistiveNetwork,
    arrays: Sequence[SeenArray],
    sources: Sequence[Source],
    input_current: Array,
    *,
    start: Equilibrium | None,
    nudging: Nudging | None,
    sweeps: int,
    tolerance: float,
    accelerator: Accelerator,
    inputs: Array | None,
    polynomial: bool,
) -> Equilibrium:
    """Relax; see `neurohw.engines.equilibrium.Engine.relax` and `NonlinearCells`.

    settle gives the voltages of a layer, (batch, units) [V].
    """
    cells = NonlinearCells(
        network,
        arrays,
        sources,
        inputs,
        nudging,
        accelerator,
        batch=len(input_current),
        polynomial=polynomial,
    )
    joined = [total != 0 for total in total_conductances(network, arrays, sources)]

    def move(layer: int, state: Sequence[Array]) -> Array:
        voltage = settle(cells, layer, state)
        # A node that no conductance meets stays at 0 V.
        return np.where(joined[layer], voltage, np.zeros((), voltage.dtype))

    equilibrium = sweep(
        move,
        network,
        input_current,
        start=start,
        nudging=nudging,
        sweeps=sweeps,
        tolerance=tolerance,
    )
    if equilibrium.result != "not finite":
        cells.require_range(equilibrium)
    return equilibrium


def require_range(synapse: Synapse, inputs: Array, state: Sequence[Array]) -> None:
    """Do nothing if no cell's voltage has left the range in which its law is known.

    inputs (batch, lines) of all word lines, and a (batch, units) array a free layer [V].

    Raises
    ------
    InvalidValueError
        Naming array, voltage and range.
    """
    low, high, below = synapse.low, synapse.high, inputs
    for k, units in enumerate(state):
        largest = (below.max(axis=1) - units.min(axis=1)).max()
        smallest = (below.min(axis=1) - units.max(axis=1)).min()
        if largest > high * (1 - _AT_THE_END) or smallest < low * (1 - _AT_THE_END):
            raise InvalidValueError(
                f"synapse.voltage = {low:g} to {high:g} V: drops at the cells of array {k + 1}"
                f" reach from {smallest:.4g} to {largest:.4g} V; measure further or lower"
                " input.full_scale"
            )
        below = units


def _moments(array: Array, sums: Array, voltages: Array, weights: Array) -> Array:
    """Return Σ_r weights_qr·(voltages^r @ array), (powers, batch, lines); sums are of r = 0."""
    powers = np.empty((len(weights) - 1, *voltages.shape), voltages.dtype)
    powers[0] = voltages
    for r in range(1, len(powers)):
        np.multiply(powers[r - 1], voltages, out=powers[r])
    products = powers.reshape(-1, powers.shape[2]) @ array
    weights = weights.astype(voltages.dtype)
    weighted = weights[:, 1:] @ products.reshape(len(powers), -1)
    weighted = weighted.reshape(len(weights), len(voltages), -1)
    weighted += (weights[:, 0, None] * sums)[:, None, :]
    return np.asarray(weighted)
