"""Deep Hopfield network: layers of leaky integrators joined by arrays of signed weights.

An integrator of leak h has a membrane voltage u, puts out ρ(u), and takes up the current

    C·du_j/dt = a_j − h_j·u_j,   a_j = b_j + Σ_below G_ji·ρ_i + Σ_above G_ij·ρ_i

from a bias b and the arrays below and above it, which carry signals both ways. On the way to its
steady state the energy

    E = Σ_nodes h_j·∫₀^u_j v·ρ′(v) dv − Σ_nodes b_j·ρ_j − Σ_arrays Σ_ij G_ji·ρ_i·ρ_j

falls, because ∂E/∂u_j = −ρ′_j·(a_j − h_j·u_j). (Where arrays are read backwards with another gain
than forwards there is no such energy.) Nudging adds β · ½ Σ_outputs (ρ − t)², a current β·(t − ρ).
With the hard sigmoid and h = 1 this is the network of Scellier and Bengio. On a chip a state of 1
is the unit voltage and a weight of 1 the unit of conductance, which is the leak too.

Arrays may be convolutions, see `neurohw.networks.connections`. Instead of integrators the outputs
may be a readout y = softmax(W·ρ + b) of the last of them, with the cost −Σ t·ln y. Nothing flows
back from it but the nudging, the current β·Wᵀ·(t − y) into what it reads, and its own weights are
no part of the energy: they follow (t − y)·ρ, the slope of the cost.

References
----------
Hopfield (1984), PNAS 81:3088; Scellier and Bengio (2017), Front. Comput. Neurosci. 11:24;
Laborieux et al. (2021), Front. Neurosci. 15:633674, for convolutions and the softmax readout.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError
from neurohw.networks.activations import Activation, activation
from neurohw.networks.connections import Connection, Convolution

Array = NDArray[np.floating]

# Costs take no logarithm of less.
_SMALLEST = 1e-30


@dataclass(frozen=True, eq=False, kw_only=True)
class HopfieldNetwork:
    """Sizes of a deep Hopfield network and what its integrators put out.

    Parameters
    ----------
    connections : tuple of Connection
        How each array joins the layers below and above it, first to last.
    activation : Activation
    unit_voltage : float [V]
        Stands for a state of 1.
    softmax : bool
        Whether the last layer is a readout: its membranes are the sums that arrive, and it puts
        out their softmax.
    """

    connections: tuple[Connection, ...]
    activation: Activation
    unit_voltage: float = 1.0
    softmax: bool = False

    @property
    def inputs(self) -> int:
        """Pixels."""
        return self.connections[0].inputs

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """Units of the free layers in order, hidden ones and the outputs."""
        return tuple(connection.units for connection in self.connections)

    @property
    def fan_in(self) -> tuple[int, ...]:
        """Word lines of each array, first to last."""
        return tuple(connection.shape[1] for connection in self.connections)

    @property
    def convolutional(self) -> bool:
        """Whether an array is one of a convolution, whose lines carry patches."""
        return any(isinstance(connection, Convolution) for connection in self.connections)

    def readout(self, layer: int) -> bool:
        """Whether a layer is a readout, to which no energy belongs."""
        return self.softmax and layer in (-1, len(self.connections) - 1)

    @property
    def synapse(self) -> None:
        """Law of cells that are not resistors: none, the lines are held at 0 V."""
        return None

    @property
    def weights(self) -> tuple[float, ...]:
        """Share of each array in the energy, as `ResistiveNetwork.weights`: all alike."""
        return (1.0,) * len(self.layers)

    @property
    def low(self) -> float:
        """Lowest membrane voltage [V]."""
        return self.activation.low * self.unit_voltage

    @property
    def high(self) -> float:
        """Highest membrane voltage [V]."""
        return self.activation.high * self.unit_voltage

    def forward(self, layer: int, membrane: Array) -> Array:
        """Return what the integrators of a layer put out at membrane voltages (…, units) [V]."""
        if self.readout(layer):
            return self._softmax(membrane)
        if self.activation.name == "hard-sigmoid":
            return membrane
        unit = membrane.dtype.type(self.unit_voltage)
        return np.asarray(unit * self.activation.value(membrane / unit), membrane.dtype)

    def membrane(self, output: Array) -> Array:
        """Return the membranes at which integrators put out (…, units) voltages [V]."""
        unit = output.dtype.type(self.unit_voltage)
        return np.asarray(unit * self.activation.inverse(output / unit), output.dtype)

    def slope(self, membrane: Array) -> Array:
        """Return ρ′ at membrane voltages [V], without unit."""
        return self.activation.derivative(membrane / self.unit_voltage)

    def free(self, layer: int, membrane: Array) -> NDArray[np.bool_]:
        """Return which membranes of a layer stand at no limit, (…, units)."""
        if self.readout(layer):
            return np.ones(membrane.shape, bool)
        return np.asarray((membrane > self.low) & (membrane < self.high))

    def costs(self, outputs: Array, target: Array) -> Array:
        """Return the dimensionless cost of each sample (samples,) of (samples, outputs) [V]."""
        if self.softmax:
            shares = np.maximum(outputs / self.unit_voltage, _SMALLEST)
            return np.asarray(-(target / self.unit_voltage * np.log(shares)).sum(axis=1))
        return np.asarray(0.5 * (((outputs - target) / self.unit_voltage) ** 2).sum(axis=1))

    def _softmax(self, membrane: Array) -> Array:
        unit = membrane.dtype.type(self.unit_voltage)
        shares = np.exp((membrane - membrane.max(axis=-1, keepdims=True)) / unit)
        return np.asarray(unit * shares / shares.sum(axis=-1, keepdims=True))


def deep_hopfield_network(
    pixels: int,
    hidden: Sequence[int],
    classes: int,
    *,
    activation_name: str = "hard-sigmoid",
    unit_voltage: float = 1.0,
    convolutions: Sequence[Connection] = (),
    softmax: bool = False,
) -> HopfieldNetwork:
    """Return a network of one input a pixel and the same activation everywhere.

    convolutions come before the hidden layers; softmax, whether the outputs are a readout.

    Raises
    ------
    InvalidValueError
        A size below 1, a unit voltage that is not above 0, an unknown activation, a readout of
        the inputs, or max pooling of outputs below 0.
    """
    first = convolutions[-1].units if convolutions else pixels
    layers = (*hidden, classes)
    if min(pixels, first, *layers) < 1:
        raise InvalidValueError(f"layer sizes must be at least 1, not {(pixels, *layers)}")
    if softmax and not hidden and not convolutions:
        raise InvalidValueError("network.output = softmax: needs a layer of integrators to read")
    if activation_name == "tanh" and any(connection.switched for connection in convolutions):
        raise InvalidValueError(
            "network.convolutions: pool = max: needs an activation that is nowhere below 0, and"
            " tanh is; take average"
        )
    if not 0 < unit_voltage < np.inf:
        raise InvalidValueError(f"unit_voltage = {unit_voltage:g} V: must be finite, above 0")
    dense = [Connection(inputs=n, units=m) for n, m in pairwise((first, *layers))]
    return HopfieldNetwork(
        connections=(*convolutions, *dense),
        activation=activation(activation_name),
        unit_voltage=unit_voltage,
        softmax=softmax,
    )


def initial_weights(uniform: Array, inputs: int, units: int, largest: float | None = None) -> Array:
    """Map uniform draws in (0, 1] to weights between ± largest, dimensionless.

    By default as published, √(6/(inputs + units)): Glorot and Bengio (2010), AISTATS.
    """
    # Of NumPy's type: single draws become double weights.
    limit = np.sqrt(6.0 / (inputs + units)) if largest is None else largest
    return np.asarray((2.0 * uniform - 1.0) * limit)


def energy(
    network: HopfieldNetwork,
    conductances: Sequence[Array],
    inputs: Array,
    state: Sequence[Array],
    leak: Sequence[Array],
    current: Sequence[Array],
) -> Array:
    """Return E of each sample, shape (batch,) [W].

    conductances (units, inputs) of each array, of either sign [S]; inputs (batch, inputs) and
    state, a (batch, units) array a free layer [V]; leak (units,) [S] and bias current (units,)
    [A] of each free layer. A readout adds nothing.
    """
    unit = network.unit_voltage
    signals = [network.forward(k, u) for k, u in enumerate(state)]
    total = np.zeros(len(inputs))
    for k, arriving in enumerate(_arriving(network, conductances, inputs, signals)):
        if network.readout(k):
            continue
        total += unit**2 * network.activation.potential(state[k] / unit) @ leak[k]
        total -= signals[k] @ current[k]
        total -= np.einsum("bj,bj->b", signals[k], arriving)
    return total


def imbalance(
    network: HopfieldNetwork,
    conductances: Sequence[Array],
    inputs: Array,
    state: Sequence[Array],
    leak: Sequence[Array],
    current: Sequence[Array],
) -> list[Array]:
    """Return what charges the membranes, C·du/dt, (batch, units) a free layer [A].

    Times −ρ′ it is the derivative of `energy`, whose arguments it takes; of a readout, what it is
    from the sums that arrive.
    """
    signals = [network.forward(k, u) for k, u in enumerate(state)]
    charging: list[Array] = [
        arriving + current[k] - leak[k] * state[k]
        for k, arriving in enumerate(_arriving(network, conductances, inputs, signals))
    ]
    for k, connection in enumerate(network.connections[1:], start=1):
        if not network.readout(k):
            sums = connection.lines(signals[k - 1]) @ conductances[k].T
            back = connection.driven(signals[k], sums) @ conductances[k]
            charging[k - 1] += connection.returned(back)
    return charging


def joined(
    network: HopfieldNetwork,
    forwards: Sequence[Array],
    backwards: Sequence[Array],
    signals: Sequence[Array],
) -> tuple[list[Array], list[Array]]:
    """Return the dense weights (units, units below) of all arrays but the first, for a sample.

    Parameters
    ----------
    network : HopfieldNetwork
    forwards, backwards : (bit lines, word lines) of each array [S]
        As they are read either way.
    signals : (units,) of each free layer [V]
        What it puts out, which decides the largest of each field.

    Returns
    -------
    forwards, backwards : lists of (units, units below) arrays [S]
        Nothing comes back from a readout.
    """
    up: list[Array] = []
    down: list[Array] = []
    for k, connection in enumerate(network.connections[1:], start=1):
        currents = None
        if connection.switched:
            currents = (connection.lines(signals[k - 1][None]) @ forwards[k].T)[0]
        up.append(connection.joined(forwards[k], currents))
        if network.readout(k):
            down.append(np.zeros_like(up[-1]))
        elif backwards[k] is forwards[k]:
            down.append(up[-1])
        else:
            down.append(connection.joined(backwards[k], currents))
    return up, down


def _arriving(
    network: HopfieldNetwork,
    conductances: Sequence[Array],
    inputs: Array,
    signals: Sequence[Array],
) -> list[Array]:
    """Return what each array brings from below, (batch, units) [A]."""
    below = [inputs, *signals[:-1]]
    return [
        connection.collected(connection.lines(lines) @ g.T)
        for connection, lines, g in zip(network.connections, below, conductances, strict=True)
    ]
