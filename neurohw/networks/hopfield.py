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

References
----------
Hopfield (1984), PNAS 81:3088; Scellier and Bengio (2017), Front. Comput. Neurosci. 11:24.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError
from neurohw.networks.activations import Activation, activation

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False, kw_only=True)
class HopfieldNetwork:
    """Sizes of a deep Hopfield network and what its integrators put out.

    Parameters
    ----------
    inputs : int
        Driven word lines of the first array, one a pixel.
    layers : tuple of int
        Free layers in order, hidden ones and the outputs.
    activation : Activation
    unit_voltage : float [V]
        Stands for a state of 1.
    """

    inputs: int
    layers: tuple[int, ...]
    activation: Activation
    unit_voltage: float = 1.0

    @property
    def fan_in(self) -> tuple[int, ...]:
        """Inputs of each array, first to last."""
        return (self.inputs, *self.layers[:-1])

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


def deep_hopfield_network(
    pixels: int,
    hidden: Sequence[int],
    classes: int,
    *,
    activation_name: str = "hard-sigmoid",
    unit_voltage: float = 1.0,
) -> HopfieldNetwork:
    """Return a network of one input a pixel and the same activation everywhere.

    Raises
    ------
    InvalidValueError
        A size below 1, a unit voltage that is not above 0, or an unknown activation.
    """
    layers = (*hidden, classes)
    if min(pixels, *layers) < 1:
        raise InvalidValueError(f"layer sizes must be at least 1, not {(pixels, *layers)}")
    if not 0 < unit_voltage < np.inf:
        raise InvalidValueError(f"unit_voltage = {unit_voltage:g} V: must be finite, above 0")
    return HopfieldNetwork(
        inputs=pixels,
        layers=layers,
        activation=activation(activation_name),
        unit_voltage=unit_voltage,
    )


def initial_weights(uniform: Array, inputs: int, units: int) -> Array:
    """Map uniform draws in (0, 1] to the published start: U(−1, 1)·√(6/(inputs + units)).

    Dimensionless. Source: Glorot and Bengio (2010), AISTATS.
    """
    return np.asarray((2.0 * uniform - 1.0) * np.sqrt(6.0 / (inputs + units)))


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
    [A] of each free layer.
    """
    unit = network.unit_voltage
    lines = [inputs, *(network.forward(k, u) for k, u in enumerate(state))]
    total = np.zeros(len(inputs))
    for k, g in enumerate(conductances):
        total += unit**2 * network.activation.potential(state[k] / unit) @ leak[k]
        total -= lines[k + 1] @ current[k]
        total -= np.einsum("bj,bj->b", lines[k + 1], lines[k] @ g.T)
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

    Times −ρ′ it is the derivative of `energy`, whose arguments it takes.
    """
    lines = [inputs, *(network.forward(k, u) for k, u in enumerate(state))]
    charging: list[Array] = []
    for k, u in enumerate(state):
        arriving = lines[k] @ conductances[k].T + current[k]
        if k + 1 < len(state):
            arriving = arriving + lines[k + 2] @ conductances[k + 1]
        charging.append(arriving - leak[k] * u)
    return charging
