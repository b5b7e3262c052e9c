import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.errors import InvalidValueError
from neurohw.networks.activations import ACTIVATIONS
from neurohw.networks.hopfield import deep_hopfield_network, energy, imbalance, initial_weights


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_imbalance_is_the_derivative_of_the_energy(make_hopfield, activation):
    """∂E/∂u = −ρ′·(a − h·u), by central differences of step 1e-5 unit voltages."""
    problem = make_hopfield((4, 3), activation=activation)
    network, state = problem.network, problem.some_state()
    words = problem.conductances, problem.inputs
    sources = problem.leak, problem.current
    found = imbalance(network, *words, state, *sources)
    step = 1e-5 * network.unit_voltage
    size = max(np.abs(i).max() for i in found)
    for k, u in enumerate(state):
        for j in range(u.shape[1]):
            ends = []
            for sign in (1, -1):
                moved = [v.copy() for v in state]
                moved[k][:, j] += sign * step
                ends.append(energy(network, *words, moved, *sources))
            slope = (ends[0] - ends[1]) / (2 * step)
            expected = -network.slope(u)[:, j] * found[k][:, j]
            assert_allclose(slope, expected, rtol=1e-6, atol=1e-8 * size)


def test_the_energy_is_the_sum_over_nodes_and_weights(make_hopfield):
    problem = make_hopfield((3,), batch=2)
    state = problem.some_state()
    found = energy(
        problem.network,
        problem.conductances,
        problem.inputs,
        state,
        problem.leak,
        problem.current,
    )
    for b in range(2):
        lines, expected = [problem.inputs[b], *(u[b] for u in state)], 0.0
        for k, u in enumerate(state):
            for j in range(u.shape[1]):
                expected += 0.5 * problem.leak[k][j] * u[b, j] ** 2
                expected -= problem.current[k][j] * u[b, j]
                for i in range(len(lines[k])):
                    expected -= problem.conductances[k][j, i] * lines[k][i] * u[b, j]
        assert_allclose(found[b], expected, rtol=1e-12)


def test_the_scale_is_physical():
    """Twice the unit voltage: twice the states, the same activation."""
    small, large = (
        deep_hopfield_network(4, (3,), 2, activation_name=name, unit_voltage=v)
        for name, v in (("tanh", 0.2), ("tanh", 0.4))
    )
    u = np.linspace(-0.5, 0.5, 9)
    assert_allclose(2 * small.forward(0, u), large.forward(0, 2 * u), rtol=1e-14)
    hard = deep_hopfield_network(4, (3,), 2, unit_voltage=0.2)
    assert (hard.low, hard.high, hard.fan_in) == (0.0, 0.2, (4, 3))
    assert hard.forward(0, u.astype("float32")).dtype == np.float32
    assert small.forward(0, u.astype("float32")).dtype == np.float32


def test_weights_start_as_published():
    uniform = np.random.default_rng(0).uniform(size=200000)
    weights = initial_weights(uniform, 784, 500)
    limit = np.sqrt(6 / 1284)
    assert np.abs(weights).max() <= limit
    # Standard error of the variance of a uniform draw: √(4/5)/√n of it.
    assert_allclose(weights.var(), limit**2 / 3, rtol=4 * np.sqrt(0.8 / weights.size))


@pytest.mark.parametrize("settings", [{"classes": 0}, {"hidden": (3, 0)}, {"unit_voltage": 0.0}])
def test_bad_sizes_are_refused(settings):
    sizes = {"pixels": 4, "hidden": (3,), "classes": 2} | settings
    with pytest.raises(InvalidValueError, match=r"at least 1|above 0"):
        deep_hopfield_network(**sizes)
