"""The factored update of nonlinear cells against the sum over cells that it stands for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits.curves import Curve
from neurohw.circuits.synapse import Synapse
from neurohw.learning import co_content

SHAPES = {
    "linear": (1.0,),
    "odd": (1.0, 0.0, 3.0, 0.0, 5.0),
    "uneven": (1.0, 0.3, 2.0, 0.0, 1.0, 0.5, 4.0),
}
BATCH, INPUTS, UNITS = 4, 6, 5


def signals(rng, lines, apart, dtype="float64"):
    upper = 0.2 * rng.normal(size=(BATCH, lines))
    return upper.astype(dtype), (upper + apart * rng.normal(size=upper.shape)).astype(dtype)


def direct(synapse, inputs, units, scale):
    law = synapse.law
    upper, lower = (
        law.co_content(x[:, None, :].astype(np.float64) - y[:, :, None])
        for x, y in zip(inputs, units, strict=True)
    )
    return scale * (upper - lower).sum(axis=0)


@pytest.mark.parametrize("driven", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_of_lines_are_the_contrast_of_co_contents(shape, driven):
    rng = np.random.default_rng(0)
    synapse = Synapse(Curve(voltage=(-9.0, 9.0), coefficients=SHAPES[shape]))
    inputs, units = signals(rng, INPUTS, 0.1), signals(rng, UNITS, 0.1)
    if driven:
        inputs = inputs[0], inputs[0]
    update = co_content.update(synapse, inputs, units, -0.7, driven=driven)
    expected = direct(synapse, inputs, units, -0.7)
    found = update.dense(np.zeros((UNITS, INPUTS)), 0)
    assert_allclose(found, expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    ranks = {"linear": 1, "odd": 5, "uneven": 7}[shape]
    assert update.presynaptic.shape == (1, ranks * BATCH * (1 if driven else 2), INPUTS)
    assert (update.row is None) == driven


@pytest.mark.parametrize("shape", SHAPES)
def test_phases_that_nearly_agree_lose_no_digits(shape):
    """In float32, volts of 0.2 and phases 1 µV apart: differences by subtraction would be noise."""
    rng = np.random.default_rng(1)
    synapse = Synapse(Curve(voltage=(-9.0, 9.0), coefficients=SHAPES[shape]))
    inputs = signals(rng, INPUTS, 1e-6, "float32")
    units = signals(rng, UNITS, 1e-6, "float32")
    update = co_content.update(synapse, inputs, units, 1.0, driven=False)
    expected = direct(synapse, inputs, units, 1.0)
    found = update.dense(np.zeros((UNITS, INPUTS)), 0)
    assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
