"""Hebb's rule grows at the largest eigenvalue; Oja's and Sanger's end at principal components."""

import numpy as np
from numpy.testing import assert_allclose

from neurohw.learning.hebbian import hebb, oja, sanger

VARIANCES = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.1])


def samples(count=4000, seed=0):
    """Return centred inputs, and the eigenvalues and vectors of their correlations, falling."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    x = (rng.normal(size=(count, 6)) * np.sqrt(VARIANCES)) @ axes.T
    values, vectors = np.linalg.eigh(x.T @ x / count)
    return x, values[::-1], vectors[:, ::-1]


def test_plain_hebb_grows_at_the_largest_eigenvalue_of_the_inputs():
    x, values, _ = samples()
    weights, rate, sizes = np.random.default_rng(1).normal(size=(3, 6)), 1e-3, []
    for _ in range(4000):
        weights = weights + rate * hebb(weights, x)
        sizes.append(np.linalg.norm(weights, axis=1))
    growth = np.log(sizes[-1] / sizes[2000]) / (rate * 1999)
    assert_allclose(growth, values[0], rtol=0.05)


def test_oja_ends_at_the_first_component_with_length_one():
    x, _, vectors = samples()
    weights = np.random.default_rng(2).normal(0, 0.3, (2, 6))
    for step in range(4000):
        # Sample by sample, as a chip that learns on-line; smaller steps in the end.
        weights = weights + 0.02 / (1 + step / 200) * oja(weights, x[step : step + 1])
    lengths = np.linalg.norm(weights, axis=1)
    assert (np.abs(weights @ vectors[:, 0]) / lengths > 0.99).all()
    assert_allclose(lengths, 1.0, atol=0.02)


def test_sanger_finds_the_components_in_their_order():
    x, _, vectors = samples()
    weights = np.random.default_rng(3).normal(0, 0.3, (3, 6))
    for _ in range(3000):
        weights = weights + 0.05 * sanger(weights, x)
    # Full batches converge as the ratio of neighbours to the number of steps, here to rounding.
    assert_allclose(np.abs(weights @ vectors[:, :3]), np.eye(3), atol=1e-6)


def test_the_associator_sums_up_the_mean_input_of_each_class():
    rng = np.random.default_rng(4)
    inputs, labels = rng.uniform(size=(60, 8)), rng.integers(3, size=60)
    found = hebb(np.zeros((3, 8)), inputs, np.eye(3)[labels])
    shares = np.bincount(labels, minlength=3) / 60
    means = np.array([inputs[labels == c].mean(axis=0) for c in range(3)])
    assert_allclose(found, shares[:, None] * means, rtol=1e-12)
