"""The differential equation of a network's node voltages, as the integrator and its oracle take it.

    C_j·dv_j/dt = clip(injected_j − (A·v)_j − i_diode,j(v_j), ± current limit_j)

Of nonlinear cells A is that at 0 V, and Σ_i g_ji·f(x_i − v_j) flows in its place into a node, and
out of their inputs. A capacitor to ground at every free node; ideal diodes hold a node at their
voltage at once, and amplifiers follow their node without delay.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.curves import Characteristic
from neurohw.circuits.neuron import Neuron
from neurohw.engines.equilibrium import Nudging, SeenArray, Source
from neurohw.engines.kirchhoff import injected, system
from neurohw.engines.synapses import NonlinearCells
from neurohw.errors import InvalidValueError
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]


class Circuit(msgspec.Struct, frozen=True, eq=False, kw_only=True, dict=True):
    """Free nodes of a network in one phase, layer after layer, float64.

    matrix A (nodes, nodes) [S], injected (batch, nodes) [A], added (batch, nodes) by nudging [S],
    low and high (batch, nodes) of ideal clamps [V]; capacitance [F] and limit [A] (nodes,); and the
    nonlinear cells, if there are any, whose currents are then not in `injected`.
    """

    network: ResistiveNetwork
    matrix: Array
    injected: Array
    added: Array
    low: Array
    high: Array
    capacitance: Array
    limit: Array
    among: NonlinearCells | None

    @cached_property
    def layers(self) -> NDArray[np.int64]:
        """First node of each layer, and the number of nodes."""
        return np.concatenate(([0], np.cumsum(self.network.layers)))

    @cached_property
    def diodes(self) -> Array:
        """(nodes, 5), see `Neurons.parameters`; a size of 0 where clamps are all, or nothing."""
        neurons, nodes = self.network.neurons, len(self.capacitance)
        if neurons is None or all(n.ideal for n in neurons):
            return np.zeros((nodes, 5))
        parts = [np.zeros((len(n.low), 5)) if n.ideal else n.parameters for n in neurons]
        return np.concatenate(parts)

    @cached_property
    def curve(self) -> tuple[Array, Array, Array]:
        """Knots, anchors and coefficients of measured elements, or empty arrays."""
        return _pieces(self.network.curve)

    @cached_property
    def law(self) -> tuple[Array, Array, Array]:
        """The same of nonlinear cells."""
        return _pieces(None if self.network.synapse is None else self.network.synapse.law)

    @cached_property
    def linear(self) -> Array:
        """What of A does not come from nonlinear cells, (nodes, nodes) [S]."""
        if self.among is None:
            return np.ascontiguousarray(self.matrix)
        conductances = [source.conductance for source in self.among.sources]
        return np.diag(np.concatenate(conductances).astype(np.float64))

    @cached_property
    def lines(self) -> Array:
        """What drives nonlinear cells, (batch, inputs) [V]."""
        return np.zeros((len(self.injected), 0)) if self.among is None else self.among.inputs

    @cached_property
    def cells(self) -> Array:
        """Conductances of nonlinear cells, (nodes, inputs + nodes), from lines and nodes [S]."""
        if self.among is None:
            return np.zeros((0, 0))
        inputs, nodes = self.network.inputs, len(self.matrix)
        found = np.zeros((nodes, inputs + nodes))
        lines = [slice(0, inputs), *(slice(*ends) for ends in pairwise(inputs + self.layers))]
        for array, units, below in zip(
            self.among.arrays, pairwise(self.layers), lines[:-1], strict=True
        ):
            found[slice(*units), below] = array.conductance
        return found

    @cached_property
    def reach(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows (nodes,) between which elimination of each node, in order, changes the matrix."""
        first, last = np.arange(1, len(self.matrix) + 1), np.empty(len(self.matrix), np.int64)
        for k, (start, end) in enumerate(pairwise(self.layers)):
            last[start:end] = self.layers[min(k + 2, len(self.layers) - 1)]
            own = self.matrix[start:end, start:end]
            if k == 0 and not (own - np.diag(np.diag(own))).any():
                first[start:end] = end
        return first, last

    def current(self, voltage: Array) -> Array:
        """Return what charges the capacitors at (batch, nodes) voltages [A]; clamps left out."""
        parts = np.split(voltage, self.layers[1:-1], axis=1)
        if self.among is None:
            flowing = self.injected - voltage @ self.matrix.T - self.added * voltage
        else:
            currents = [self.among.flowing(parts, k)(v) for k, v in enumerate(parts)]
            flowing = np.concatenate(currents, axis=1)
        if self.network.neurons is not None:
            drawn = [n.current(v)[0] for n, v in zip(self.network.neurons, parts, strict=True)]
            flowing = flowing - np.concatenate(drawn, axis=1)
        return np.clip(flowing, -self.limit, self.limit)

    def residual(self, voltage: Array, start: Array) -> float:
        """Return how far from rest (batch, nodes) voltages are.

        The largest change that a node would still make if the others stood, over the largest
        distance of its layer from `start`.
        """
        current = self.current(voltage)
        held = ((voltage <= self.low) & (current < 0)) | ((voltage >= self.high) & (current > 0))
        total = np.diag(self.matrix) + self.added
        change = np.divide(np.abs(current), total, out=np.zeros_like(current), where=total > 0)
        change[held] = 0.0
        ratios = [0.0]
        for own, way in zip(
            np.split(change, self.layers[1:-1], axis=1),
            np.split(np.abs(voltage - start), self.layers[1:-1], axis=1),
            strict=True,
        ):
            if way.max() > 0:
                ratios.append(float(own.max() / way.max()))
        return max(ratios)

    @cached_property
    def slowest(self) -> float:
        """Longest time constant while no diode conducts and nothing nudges [s]; ∞ if one drifts.

        Of nonlinear cells that at small voltages.
        """
        rates = np.linalg.eigvals(self.matrix / self.capacitance[:, None]).real
        return float(1 / rates.min()) if rates.min() > 1e-12 * rates.max() else float("inf")


def circuit(
    network: ResistiveNetwork,
    arrays: Sequence[SeenArray],
    sources: Sequence[Source],
    input_current: Array,
    nudging: Nudging | None,
    inputs: Array | None = None,
) -> Circuit:
    """Assemble the equation of a phase; for the arguments see `Engine.relax`.

    A network without neurons has the capacitance of the default `Neuron` at each node.

    Raises
    ------
    InvalidValueError
        A capacitance that is not finite and above 0.
    UnsupportedError
        What nonlinear cells lack, see `NonlinearCells`.
    """
    batch, nodes = len(input_current), sum(network.layers)
    among = None
    if network.synapse is not None:
        among = NonlinearCells(
            network,
            arrays,
            sources,
            None if inputs is None else np.asarray(inputs, np.float64),
            nudging,
            "none",
            batch=batch,
            polynomial=False,
        )
        input_current = np.zeros_like(input_current)
    flowing = injected(network, arrays, sources, input_current)
    added = np.zeros((batch, nodes))
    low, high = (
        np.tile(np.concatenate(limits).astype(np.float64), (batch, 1))
        for limits in (network.low, network.high)
    )
    if nudging is not None:
        outputs = slice(nodes - network.layers[-1], nodes)
        added[:, outputs] = nudging.conductor(np.float64)
        flowing[:, outputs] += nudging.injected(np.float64)
        for limits in (low, high):
            limits[nudging.clamped, outputs] = nudging.target[nudging.clamped]
    capacitance, limit = np.full(nodes, Neuron().capacitance), np.full(nodes, np.inf)
    if network.neurons is not None:
        capacitance = np.concatenate([n.capacitance for n in network.neurons])
        limit = np.concatenate([n.current_limit for n in network.neurons])
    wrong = np.flatnonzero(~((capacitance > 0) & np.isfinite(capacitance)))
    if len(wrong):
        raise InvalidValueError(
            f"capacitance = {capacitance[wrong[0]]:g} F at node {wrong[0]}: a transient needs it"
            f" finite, above 0"
        )
    return Circuit(
        network=network,
        matrix=system(network, arrays, sources),
        injected=flowing,
        added=added,
        low=low,
        high=high,
        capacitance=capacitance,
        limit=limit,
        among=among,
    )


def _pieces(curve: Characteristic | None) -> tuple[Array, Array, Array]:
    if curve is None:
        return np.zeros(0), np.zeros(0), np.zeros((0, 0))
    return curve.knots, curve.anchors, curve.coefficients
