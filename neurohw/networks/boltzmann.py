"""Restricted Boltzmann machines: two layers of binary units with weights between them.

    E(v, h) = −hᵀ·W·v − bᵀ·v − cᵀ·h,   p(v, h) ∝ exp(−E)

so that p(h_j = 1 | v) = σ(W_j·v + c_j), and without the hidden units, with the free energy

    F(v) = −bᵀ·v − Σ_j ln(1 + exp(W_j·v + c_j)),   p(v) ∝ exp(−F(v))

The last visible units may be the classes of the labels, of which exactly one is 1: a softmax.

References
----------
Hinton (2002), Neural Comput. 14, 1771; Larochelle and Bengio (2008), ICML, for labels.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def free_energies(totals: Array, by_class: Array, class_bias: Array) -> Array:
    """Return F of each class with given pixels, up to what all classes share, (batch, classes).

    Parameters
    ----------
    totals : (batch, units) array
        Sums of the hidden units, with their biases, of the pixels alone.
    by_class : (classes, units) array
        What each class adds to them.
    class_bias : (classes,) array
    """
    sums = totals[:, None, :] + by_class[None, :, :]
    return np.asarray(-class_bias - np.logaddexp(0, sums).sum(axis=2))


def free_energy(weights: Array, visible_bias: Array, hidden_bias: Array, visible: Array) -> Array:
    """Return F (batch,) of visible states (batch, inputs); weights are (units, inputs)."""
    sums = visible @ weights.T + hidden_bias
    return np.asarray(-visible @ visible_bias - np.logaddexp(0, sums).sum(axis=1))


def every_state(pixels: int, classes: int = 0) -> Array:
    """Return all states of the visible units, (2^pixels · classes, pixels + classes)."""
    images = np.array(list(itertools.product((0.0, 1.0), repeat=pixels)))
    if classes == 0:
        return images
    labels = np.eye(classes)
    return np.hstack([np.repeat(images, classes, axis=0), np.tile(labels, (len(images), 1))])


def log_likelihood(
    weights: Array, visible_bias: Array, hidden_bias: Array, data: Array, states: Array
) -> float:
    """Return the mean of ln p over data (n, inputs); states as `every_state` returns them."""
    partition = np.logaddexp.reduce(-free_energy(weights, visible_bias, hidden_bias, states))
    return float(-free_energy(weights, visible_bias, hidden_bias, data).mean() - partition)


def likelihood_gradient(
    weights: Array, visible_bias: Array, hidden_bias: Array, data: Array, states: Array
) -> tuple[Array, Array, Array]:
    """Return the gradient of `log_likelihood` by weights and by visible and hidden biases.

    By enumeration: the yardstick of rules that sample.
    """
    energies = free_energy(weights, visible_bias, hidden_bias, states)
    probability = np.exp(-energies - np.logaddexp.reduce(-energies))

    def correlations(visible: Array, share: Array) -> tuple[Array, Array, Array]:
        hidden = 1 / (1 + np.exp(-(visible @ weights.T + hidden_bias)))
        shared = share[:, None] * visible
        return hidden.T @ shared, shared.sum(axis=0), share @ hidden

    positive = correlations(data, np.full(len(data), 1 / len(data)))
    negative = correlations(states, probability)
    by_weight, by_visible, by_hidden = (p - n for p, n in zip(positive, negative, strict=True))
    return by_weight, by_visible, by_hidden
