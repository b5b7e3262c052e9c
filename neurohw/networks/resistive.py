"""Deep resistive network: layers of nodes joined by crossbars of resistors, clamped by diodes.

The steady state minimises the co-content of the circuit (half the dissipated power)

    E = ½ Σ_arrays Σ_ij g_ij (v_i − v_j)² + ½ Σ_nodes h_j v_j² − Σ_nodes b_j v_j

over the node voltages that the diodes allow; h and b are the conductance and the current of
sources at the node. Nudging adds β · ½ Σ_outputs (v − t)², a conductor β to a source at t.

References
----------
Kendall et al. (2020), arXiv:2006.01981; Scellier (2024), "A fast algorithm to simulate nonlinear
resistive networks", ICML, arXiv:2402.11674.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.curves import Characteristic
from neurohw.circuits.neuron import Neurons
from neurohw.circuits.synapse import Synapse
from neurohw.errors import InvalidValueError, UnsupportedError

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False, kw_only=True)
class ResistiveNetwork:
    """Sizes of a deep resistive network and the voltages that its nodes may take.

    Parameters
    ----------
    inputs : int
        Driven word lines of the first array: two a pixel, which carry opposite voltages.
    layers : tuple of int
        Free layers in order, hidden ones and the outputs.
    low, high : tuple of (units,) arrays [V]
        Ideal diodes hold each node between these; infinite where there is none.
    neurons : tuple of Neurons, optional
        Circuits at the nodes of each layer, where a chip says more than `low` and `high`, which
        are infinite where its diodes are not ideal.
    synapse : Synapse, optional
        Law of the cells where they are not resistors.
    """

    inputs: int
    layers: tuple[int, ...]
    low: tuple[Array, ...]
    high: tuple[Array, ...]
    neurons: tuple[Neurons, ...] | None = None
    synapse: Synapse | None = None

    @property
    def fan_in(self) -> tuple[int, ...]:
        """Inputs of each array, first to last."""
        return (self.inputs, *self.layers[:-1])

    def forward(self, layer: int, voltage: Array) -> Array:
        """Return what the lines of the next array carry at voltages (…, units) of a layer [V]."""
        return voltage if self.neurons is None else self.neurons[layer].forward(voltage)

    @property
    def curve(self) -> Characteristic | None:
        """What measured elements at the nodes share; None where there are none.

        Raises
        ------
        UnsupportedError
            They do not share it.
        """
        curves = [n.curve for n in self.neurons or () if n.curve is not None]
        if any(curve != curves[0] for curve in curves):
            raise UnsupportedError("neuron.curve: this engine has one for all layers")
        return curves[0] if curves else None

    @property
    def weights(self) -> tuple[float, ...]:
        """Share of each array's co-content in the energy that the circuit minimises.

        Bidirectional amplifiers deliver more (or less) power than they draw. With a voltage gain a
        and a current gain c the co-contents behind them count c/a; here counted from the outputs,
        where the cost is. Of amplifiers that differ, that of their mean gains.
        """
        weights = [1.0]
        for k in range(len(self.layers) - 2, -1, -1):
            ratio = 1.0
            if self.neurons is not None:
                ratio = float(self.neurons[k].gain.mean() / self.neurons[k].backward_gain.mean())
            weights.insert(0, weights[0] * ratio)
        return tuple(weights)


def deep_resistive_network(
    pixels: int, hidden: Sequence[int], classes: int, dtype: str = "float64"
) -> ResistiveNetwork:
    """Return the published architecture: inputs ±x, diodes on hidden nodes, linear outputs.

    The first half of a hidden layer is held at or above 0 V, the second half at or below.

    Raises
    ------
    InvalidValueError
        A size below 1.
    """
    layers = (*hidden, classes)
    if min(pixels, *layers) < 1:
        raise InvalidValueError(f"layer sizes must be at least 1, not {(pixels, *layers)}")
    low: list[Array] = []
    high: list[Array] = []
    for units in layers:
        below, above = np.full(units, -np.inf, dtype), np.full(units, np.inf, dtype)
        if len(low) < len(hidden):
            below[: units // 2] = 0.0
            above[units // 2 :] = 0.0
        low.append(below)
        high.append(above)
    return ResistiveNetwork(inputs=2 * pixels, layers=layers, low=tuple(low), high=tuple(high))


def encode(images: Array, full_scale: float, dtype: str = "float32") -> Array:
    """Return the voltages of the first word line of each pair, V·x, shape (n, pixels) [V].

    images are in [0, 1]; the second line of a pair carries the opposite voltage.
    """
    return np.multiply(images, full_scale, dtype=dtype)


def initial_conductances(uniform: Array, inputs: int) -> Array:
    """Map uniform draws in (0, 1] to the published start: U(−1/√n, 1/√n) clipped at 0.

    Dimensionless; half of the conductances are exactly 0.
    """
    return np.asarray(np.maximum(2.0 * uniform - 1.0, 0.0) / np.sqrt(inputs))


def co_content(
    conductances: Sequence[Array],
    inputs: Array,
    state: Sequence[Array],
    source_conductance: Sequence[Array] | None = None,
    source_current: Sequence[Array] | None = None,
) -> Array:
    """Return E of each sample, shape (batch,) [W].

    conductances (units, inputs) of each array [S], inputs (batch, inputs) and state, a
    (batch, units) array a free layer [V]; sources (units,) a free layer [S], [A].
    """
    voltages = [inputs, *state]
    energy = np.zeros(len(inputs))
    for k, g in enumerate(conductances):
        energy += 0.5 * dissipation(g, voltages[k], voltages[k + 1])
    for k, v in enumerate(state):
        if source_conductance is not None:
            energy += 0.5 * v**2 @ source_conductance[k]
        if source_current is not None:
            energy -= v @ source_current[k]
    return energy


def dissipation(
    conductance: Array, inputs: Array, units: Array, synapse: Synapse | None = None
) -> Array:
    """Return Σ g (v_i − v_j)² of one array for each sample, shape (batch,) [W].

    Of nonlinear cells Σ g (v_i − v_j) f(v_i − v_j); `UnsupportedError` if f is no polynomial.
    """
    x, y = inputs.astype(np.float64), units.astype(np.float64)
    g = conductance
    if synapse is not None:
        weights = synapse.dissipation
        ys = np.tensordot(weights, y ** np.arange(len(weights))[:, None, None], axes=1)
        return np.asarray(sum(np.einsum("bj,bj->b", v, x**p @ g.T) for p, v in enumerate(ys)))
    cross = np.einsum("bj,bj->b", y, x @ g.T)
    power: Array = (
        x**2 @ g.sum(0, dtype=np.float64) + y**2 @ g.sum(1, dtype=np.float64) - 2.0 * cross
    )
    return power


def nudging_bound(
    network: ResistiveNetwork,
    conductances: Sequence[Array],
    totals: Sequence[Array],
    couplings: Sequence[Array | None] | None = None,
) -> float:
    """Return the largest |β| below which negative nudging keeps a minimum [S].

    It is the smallest eigenvalue of the output nodes' Schur complement, every hidden node
    unclamped: the stiffness with which the rest of the network holds the outputs. A clamped
    hidden node, or one whose diodes conduct, only adds to it. Inputs are driven, so they count as
    ground.

    conductances (units, inputs) of each array, the first one unused; totals (units,) of all
    conductance that meets each node of a free layer, and couplings (units, units) between the
    nodes of each [S].
    """
    stiffness: Array = np.empty(0)
    symmetric = network.neurons is None
    for k, total in enumerate(totals):
        coupling = None if couplings is None else couplings[k]
        own: Array = np.asarray(total, np.float64)
        if coupling is not None:
            own = np.diag(own) - coupling
        if k > 0:
            forward, backward = _towards(network, k - 1, np.asarray(conductances[k], np.float64))
            if stiffness.ndim == 1:
                safe = np.where(stiffness > 0, stiffness, 1.0)
                absorbed = (forward / safe) @ backward.T
            else:
                # Nodes that nothing connects to ground make it singular; they hold nothing.
                inverse = np.linalg.pinv(stiffness, rcond=1e-12, hermitian=symmetric)
                absorbed = forward @ inverse @ backward.T
            own = (np.diag(own) if own.ndim == 1 else own) - absorbed
        stiffness = own
    if stiffness.ndim == 1:
        return float(stiffness.min())
    if symmetric:
        return float(np.linalg.eigvalsh(stiffness)[0])
    return float(np.linalg.eigvals(stiffness).real.min())


def _towards(network: ResistiveNetwork, layer: int, g: Array) -> tuple[Array, Array]:
    """Return an array as the layer above it sees that below, and the other way round."""
    if network.neurons is None:
        return g, g
    return g * network.neurons[layer].gain, g * network.neurons[layer].backward_gain
