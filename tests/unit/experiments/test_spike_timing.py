import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.errors import InvalidValueError
from neurohw.experiments.spike_timing import Neurons, timing_curve

NEURONS = Neurons(deviation=0.15, rate=200.0)


@pytest.fixture(scope="module")
def curve():
    return timing_curve(NEURONS, synapses=6, duration=40.0, reach=64e-3, bins=8)


def test_changes_follow_the_closed_form(curve):
    """Of 16 bins none is off by 4.5 standard errors but once in 9000 tries."""
    assert (curve.pairs > 1000).all()
    miss = (curve.change - curve.expected) / curve.error
    assert np.abs(miss).max() < 4.5
    assert (miss**2).sum() < 16 + 4.5 * np.sqrt(2 * 16)


def test_the_later_spike_decides_the_sign(curve):
    """Up where the synapse fires before the neuron behind it, down where after it."""
    near = np.abs(curve.difference) < 24e-3
    for side in (1, -1):
        chosen = near & (np.sign(curve.difference) == side)
        error = np.sqrt((curve.error[chosen] ** 2).sum())
        assert side * curve.change[chosen].sum() > 5 * error
    assert_allclose(curve.expected, -curve.expected[::-1], rtol=1e-9)
    assert_allclose(curve.difference, -curve.difference[::-1], rtol=1e-9)


def test_the_closed_form_is_an_exponential_window_for_fast_currents():
    fast = Neurons(current_time=1e-5, step=1e-6)
    at = np.array([5e-3, 25e-3])
    early, late = fast.expected(at)
    assert_allclose(early / late, np.exp(1), rtol=1e-9)
    # σ²/(m·τ) at a difference of 0, but for the ratio of the time constants.
    assert_allclose(early * np.exp(0.25), 0.12**2 / (0.5 * 20e-3), rtol=1e-3)


def test_neurons_are_as_asked_for():
    neurons = Neurons()
    steps = 1_000_000
    output = neurons.outputs(0, 3, steps)
    # Values two time constants apart are nearly independent.
    independent = steps * neurons.step / (2 * neurons.membrane_time)
    assert abs(output.mean() - 0.5) < 4.5 * 0.12 / np.sqrt(independent)
    assert abs(output.var() - 0.12**2) < 4.5 * 0.12**2 * np.sqrt(2 / independent)
    fires = neurons.spikes(output, 0, 3)
    expected = (output * neurons.rate * neurons.step).sum()
    assert abs(fires.sum() - expected) < 4.5 * np.sqrt(expected)
    assert_array_equal(output, neurons.outputs(0, 3, steps))
    assert np.abs(output - neurons.outputs(0, 4, steps)).max() > 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate": 0.0}, "rate = 0"),
        ({"mean": np.nan}, "mean = nan"),
        ({"current_time": 20e-3}, "must differ from membrane_time"),
        ({"step": 1e-3}, "at most a tenth"),
        ({"rate": 6e3}, "1 / rate"),
    ],
)
def test_neurons_that_cannot_be_are_refused(changes, words):
    with pytest.raises(InvalidValueError, match=words):
        Neurons(**changes)


@pytest.mark.parametrize("settings", [{"duration": 0.1}, {"duration": 9.0, "bins": 1000}])
def test_curves_that_cannot_be_are_refused(settings):
    with pytest.raises(InvalidValueError, match=r"bins = \d+, duration"):
        timing_curve(Neurons(), synapses=1, **settings)
