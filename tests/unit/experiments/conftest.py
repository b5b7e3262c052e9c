"""Small experiments on the digits."""

from collections.abc import Callable

import pytest

from neurohw.experiments import configuration
from neurohw.experiments.experiment import Experiment


@pytest.fixture
def small() -> Callable[..., Experiment]:
    """Return a function that resolves a small experiment; settings come last."""

    def make(*settings: str, chip: str = "ideal", epochs: int = 2) -> Experiment:
        few = (
            *("data.train=40", "network.hidden=[8]", "learning.nudging=0.02"),
            *("learning.learning_rate=0.02", "learning.bias_learning_rate=0.02"),
        )
        return configuration.load(
            "drn-digits", chip=chip, settings=(*few, *settings), epochs=epochs
        )

    return make
