import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.errors import InvalidValueError
from neurohw.networks.activations import ACTIVATIONS, activation

INSIDE = np.linspace(0.02, 0.98, 25)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_and_potential_belong_to_the_value(name):
    """Central differences: their error is of third derivatives, below 20, times a step squared."""
    rho, h = activation(name), 1e-5
    slope = (rho.value(INSIDE + h) - rho.value(INSIDE - h)) / (2 * h)
    assert_allclose(rho.derivative(INSIDE), slope, rtol=1e-7)
    bent = (rho.potential(INSIDE + h) - rho.potential(INSIDE - h)) / (2 * h)
    assert_allclose(bent, INSIDE * slope, rtol=1e-7, atol=1e-9)
    assert_allclose(rho.potential(np.zeros(1)), 0, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_increase_with_a_slope_of_at_most_1(name):
    rho = activation(name)
    assert (np.diff(rho.value(INSIDE)) > 0).all()
    assert rho.derivative(INSIDE).max() <= 1 + 1e-15
    assert rho.derivative(np.array([0.0 if name == "tanh" else 0.5])) == 1


def test_the_sigmoid_is_the_hard_one_rounded():
    value = activation("sigmoid").value
    assert_allclose(value(INSIDE), 1 / (1 + np.exp(2 - 4 * INSIDE)), rtol=1e-14)
    assert_allclose(value(np.array([-1e9, 0.5, 1e9])), [0, 0.5, 1], atol=1e-15)


def test_an_unknown_activation_is_refused():
    with pytest.raises(InvalidValueError, match=r"activation = relu: known ones are hard-sigmoid"):
        activation("relu")
