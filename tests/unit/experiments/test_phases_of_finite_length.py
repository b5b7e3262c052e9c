"""Training with phases of finite length: long ones learn as at rest, short ones otherwise."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.experiments import evaluation, trainer

# The slowest time constant of these circuits is near 0.1 us.
LONG, SHORT = "5 us", "20 ns"


def times(free, nudged):
    return (
        "training.engine=transient",
        f"relaxation.free_time={free}",
        f"relaxation.nudged_time={nudged}",
    )


def trained(small, *settings):
    run = trainer.train(small("training.precision=float64", *settings, epochs=1))
    return run, [array["conductance"] for array in run.arrays]


@pytest.fixture(scope="module")
def at_rest():
    return ("relaxation.free_sweeps=200", "relaxation.nudged_sweeps=200")


CELLS = ("chip.synapse={voltage=[-10,10],coefficients=[1,0,0.5]}",)


@pytest.mark.parametrize("chip", [(), CELLS], ids=["resistors", "nonlinear"])
def test_long_phases_learn_as_at_rest(small, at_rest, chip):
    still = (*at_rest, *chip)
    _, start = trained(small, *still, "learning.learning_rate=0", "learning.bias_learning_rate=0")
    _, expected = trained(small, *still)
    run, found = trained(small, *times(LONG, LONG), *chip)
    for a, b, c in zip(found, expected, start, strict=True):
        moved = np.abs(b - c).max()
        assert moved > 0
        # The integrator solves a phase's way, here that of the outputs, to 1e-5 and better.
        assert_allclose(a, b, rtol=0, atol=1e-3 * moved)
    assert evaluation.evaluate(run)["test_error"] == run.history["test_error"][-1]


def test_short_nudged_phases_learn_otherwise(small, at_rest):
    """Short free phases do not: both phases that are compared are nudged ones here."""
    _, start = trained(small, *at_rest, "learning.learning_rate=0", "learning.bias_learning_rate=0")
    _, expected = trained(small, *at_rest)
    moved = max(np.abs(a - b).max() for a, b in zip(expected, start, strict=True))
    apart = {}
    for free, nudged in ((SHORT, LONG), (LONG, SHORT)):
        _, found = trained(small, *times(free, nudged))
        apart[free] = max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True))
    assert apart[LONG] > 0.05 * moved
    assert apart[SHORT] < 1e-3 * moved
