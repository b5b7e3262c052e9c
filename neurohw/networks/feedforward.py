"""Layers of signed weights, one after the other, and the exact gradient of their cost.

    z_k = W_k · a_{k−1} + b_k,   a_k = φ(z_k)

with the inputs a_0. The errors δ_k = ∂C/∂z_k go backwards through the same weights,

    δ_{k−1} = (W_kᵀ · δ_k) ⊙ φ'(z_{k−1}),   ∂C/∂W_k = δ_k · a_{k−1}ᵀ,   ∂C/∂b_k = δ_k

Networks whose hidden units learn by competition (Krotov, Hopfield 2019, PNAS 116, 7723) have
power activations, φ(z) = max(z/s, 0)ⁿ, the outputs tanh(β·z), and the cost Σ|a − t|ᵐ for targets
t = ±1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError

Array = NDArray[np.floating]

Activation = Literal["linear", "hard-sigmoid", "sigmoid", "tanh", "relu", "power", "softmax"]
Cost = Literal["squared", "cross-entropy", "power"]

_SMALLEST = 1e-12
# Lowest and highest state.
REACH: dict[Activation, tuple[float, float]] = {
    "linear": (-np.inf, np.inf),
    "hard-sigmoid": (0.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, np.inf),
    "power": (0.0, np.inf),
    "softmax": (0.0, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class FeedforwardNetwork:
    """Sizes, activations and cost.

    Parameters
    ----------
    sizes : tuple of int
        Inputs, hidden layers, outputs.
    hidden, output : str
        φ of the hidden layers and of the outputs: "hard-sigmoid" is min(max(z, 0), 1).
    cost : {"squared", "cross-entropy", "power"}
        C of a sample: ½ Σ (a − t)², or −Σ t·ln a, and of sigmoid outputs −Σ (1 − t)·ln(1 − a)
        besides; or Σ|a − (2·t − 1)|ᵐ.
    powers : tuple of float
        n of each hidden layer, with the activation power.
    unit_sums : tuple of float
        s of each hidden layer, at which a state is 1; 1 where there are none.
    output_gain : float
        β of the outputs, with the cost power.
    cost_power : float
        m.

    Raises
    ------
    InvalidValueError
        A cost that does not go with the outputs.
    """

    sizes: tuple[int, ...]
    hidden: Activation
    output: Activation
    cost: Cost
    powers: tuple[float, ...] = ()
    unit_sums: tuple[float, ...] = ()
    output_gain: float = 1.0
    cost_power: float = 2.0

    def __post_init__(self) -> None:
        entropy = self.cost == "cross-entropy"
        if "power" in (self.cost, self.output) and (self.cost, self.output) != ("power", "tanh"):
            raise InvalidValueError(
                f"network.output = {self.output}: cost = power goes with tanh, and power with no"
                " output"
            )
        if entropy and self.output not in ("sigmoid", "softmax"):
            raise InvalidValueError(
                f"network.output = {self.output}: cross-entropy needs sigmoid or softmax"
            )
        if not entropy and self.output == "softmax":
            raise InvalidValueError("network.output = softmax: goes with the cost cross-entropy")

    @property
    def reach(self) -> tuple[float, float]:
        """Lowest and highest state of hidden units, infinite where they have no limit."""
        return REACH[self.hidden]

    def activate(self, layer: int, z: Array) -> Array:
        """Return φ(z) of a layer counted from 0, (batch, units)."""
        if self._of(layer) == "power":
            n = z.dtype.type(self.powers[layer])
            return np.asarray(np.maximum(z * self._scale(layer, z), 0) ** n)
        scale = self._scale(layer, z)
        return _activate(self._of(layer), z if scale == 1 else z * scale)

    def slope(self, layer: int, z: Array, a: Array) -> Array:
        """Return φ'(z) where a = φ(z), both (batch, units); not of softmax."""
        scale = self._scale(layer, z)
        if self._of(layer) == "power":
            n = z.dtype.type(self.powers[layer])
            return np.asarray(n * scale * np.maximum(z * scale, 0) ** (n - 1))
        if scale == 1:
            return _slope(self._of(layer), z, a)
        return scale * _slope(self._of(layer), z * scale, a)

    def output_error(self, z: Array, a: Array, targets: Array) -> Array:
        """Return δ of the outputs, (batch, outputs)."""
        if self.cost == "cross-entropy":
            return a - targets
        miss = a - targets
        if self.cost == "power":
            m, miss = z.dtype.type(self.cost_power), a - (2 * targets - 1)
            miss = m * np.sign(miss) * np.abs(miss) ** (m - 1)
        return np.asarray(miss * self.slope(len(self.sizes) - 2, z, a))

    def costs(self, a: Array, targets: Array) -> Array:
        """Return C of each sample, (batch,)."""
        if self.cost == "squared":
            return np.asarray(0.5 * np.sum((a - targets) ** 2, axis=1))
        if self.cost == "power":
            return np.asarray(np.sum(np.abs(a - (2 * targets - 1)) ** self.cost_power, axis=1))
        total = -np.sum(targets * np.log(np.maximum(a, _SMALLEST)), axis=1)
        if self.output == "sigmoid":
            total = total - np.sum((1 - targets) * np.log(np.maximum(1 - a, _SMALLEST)), axis=1)
        return np.asarray(total)

    def _scale(self, layer: int, z: Array) -> Array:
        """Return what the sums of a layer are multiplied by, in their precision."""
        scale = 1.0
        if layer == len(self.sizes) - 2:
            scale = self.output_gain
        elif self.unit_sums:
            scale = 1.0 / self.unit_sums[layer]
        return np.asarray(scale, z.dtype)

    def _of(self, layer: int) -> Activation:
        return self.output if layer == len(self.sizes) - 2 else self.hidden


def forward(
    network: FeedforwardNetwork, weights: Sequence[Array], biases: Sequence[Array], inputs: Array
) -> tuple[list[Array], list[Array]]:
    """Return z and a of each layer, (batch, units) each, for (batch, inputs)."""
    zs: list[Array] = []
    states: list[Array] = []
    below = inputs
    for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
        zs.append(below @ w.T + b)
        below = network.activate(k, zs[-1])
        states.append(below)
    return zs, states


def gradient(
    network: FeedforwardNetwork,
    weights: Sequence[Array],
    biases: Sequence[Array],
    inputs: Array,
    targets: Array,
) -> tuple[list[Array], list[Array]]:
    """Return the gradient of the batch's mean cost by weights (units, inputs) and biases (units,).

    Dense algebra, in the precision of the arguments: the yardstick of rules on chips.
    """
    zs, states = forward(network, weights, biases, inputs)
    by_weight: list[Array] = []
    by_bias: list[Array] = []
    delta = network.output_error(zs[-1], states[-1], targets) / len(inputs)
    for k in range(len(weights) - 1, -1, -1):
        below = states[k - 1] if k else inputs
        by_weight.insert(0, delta.T @ below)
        by_bias.insert(0, delta.sum(axis=0))
        if k:
            delta = (delta @ weights[k]) * network.slope(k - 1, zs[k - 1], states[k - 1])
    return by_weight, by_bias


def initial_weights(uniform: Array, largest: float | None = None) -> Array:
    """Map uniform draws in (0, 1], (units, inputs), to weights between ± largest.

    By default sqrt(6/(inputs + units)): Glorot and Bengio (2010), "Understanding the difficulty of
    training deep feedforward neural networks", AISTATS.
    """
    if largest is None:
        largest = float(np.sqrt(6.0 / sum(uniform.shape)))
    return np.asarray((2.0 * uniform.astype(np.float64) - 1.0) * largest)


def _activate(kind: Activation, z: Array) -> Array:
    """Return φ(z), a fresh array."""
    if kind == "linear":
        return z.copy()
    if kind == "hard-sigmoid":
        return np.clip(z, 0, 1)
    if kind == "sigmoid":
        # Of the half argument: tanh does not overflow.
        half = z.dtype.type(0.5)
        a = np.asarray(half * z)
        np.tanh(a, out=a)
        a *= half
        a += half
        return a
    if kind == "tanh":
        return np.asarray(np.tanh(z))
    if kind == "relu":
        return np.maximum(z, 0)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _slope(kind: Activation, z: Array, a: Array) -> Array:
    if kind == "hard-sigmoid":
        return ((z > 0) & (z < 1)).astype(z.dtype)
    if kind == "sigmoid":
        return a * (1 - a)
    if kind == "tanh":
        return 1 - a * a
    if kind == "relu":
        return (z > 0).astype(z.dtype)
    assert kind == "linear"  # softmax goes with cross-entropy, which needs no slope
    return np.ones_like(z)
