"""What microcircuits in time refuse, and how they fail."""

import numpy as np
import pytest

from neurohw.engines.dendritic import DendriticEngine, LearningRates, Membranes, State
from neurohw.errors import InvalidValueError, NumericalError
from neurohw.networks.microcircuit import Mixes, self_predicting


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"step": 2e-4}, r"step = 0.0002 s: must be at most 0.3 of the shortest .*, 0.000526 s"),
        ({"leak": -1.0}, r"leak = -1: must be finite, from 0"),
        ({"plasticity_time": 1e-5}, r"plasticity_time = 1e-05 s: must be at least the step"),
    ],
)
def test_membranes_that_cannot_be_integrated_are_refused(keys, message):
    with pytest.raises(InvalidValueError, match=message):
        Membranes(**keys)


def test_mixes_are_those_of_the_conductances():
    mixes = Membranes().mixes
    found = mixes.hidden, mixes.interneuron, mixes.output
    np.testing.assert_allclose(found, (0.8 / 1.9, 0.8 / 1.9, 0.8 / 1.9), rtol=1e-12)
    with pytest.raises(InvalidValueError, match="hidden = 1: must be above 0 and below 1"):
        Mixes(hidden=1.0)


def test_rates_that_let_membranes_diverge_are_named():
    rng = np.random.default_rng(0)
    circuit = self_predicting([rng.normal(size=(4, 3)), rng.normal(size=(2, 4))], [np.ones((4, 2))])
    rates = LearningRates(
        basal=(1e200, 1e200), top_down=(0.0,), from_interneurons=(0.0,), to_interneurons=(1e200,)
    )
    state = State(circuit)
    teaching = np.array([1e3, -1e3])
    with pytest.raises(NumericalError, match="pattern 7: a membrane diverged; take smaller rates"):
        DendriticEngine(Membranes(), rates).present(state, np.ones(3), teaching, time=0.05, event=7)
