"""A trainer for tests of studies, whose errors are a formula, and a small real study."""

from types import SimpleNamespace

import numpy as np
import pytest

from neurohw.experiments.studies import jobs


class FormulaTrainer:
    """Stands in for the trainer: `error(experiment, epoch)` is the test error; counts its runs."""

    def __init__(self):
        self.trained = []
        self.error = lambda experiment, epoch: (
            0.1
            + experiment.chip.device.cycle_to_cycle
            + 0.001 * experiment.training.seed
            + 0.1 / epoch
        )

    def train(self, experiment, *, out=None, resume=False, stop, observe=None):
        self.trained.append(experiment)
        errors = []
        while len(errors) < experiment.training.epochs and not stop({"test_error": errors}):
            errors.append(self.error(experiment, len(errors) + 1))
        if out is not None:
            out.write_bytes(b"checkpoint")
        history = {"test_error": np.array(errors), "train_error": np.array(errors) / 2}
        return SimpleNamespace(history=history, dataset={"checksum": "00"}, versions={})


@pytest.fixture
def trainer(monkeypatch):
    fake = FormulaTrainer()
    monkeypatch.setattr(jobs, "trainer", fake)
    return fake


@pytest.fixture
def table():
    """Return the table of a study of one axis."""
    return {
        "name": "noise",
        "recipe": "drn-digits",
        "chip": "epiram",
        "epochs": 2,
        "seeds": 2,
        "axes": [
            {
                "kind": "list",
                "key": "device.cycle_to_cycle",
                "values": [0, "1 %", "10 %"],
                "ideal": 0,
            }
        ],
    }


# A real run of a few milliseconds: float64 and numpy, as other tests have compiled them.
REAL = {
    "name": "real",
    "recipe": "drn-digits",
    "settings": [
        "training.engine=numpy",
        "training.precision=float64",
        "training.images_per_epoch=16",
        "data.train=24",
        "network.hidden=[4]",
        "learning.variant=positive",
    ],
    "epochs": 1,
    "seeds": 3,
    "axes": [{"kind": "list", "key": "nudging", "values": [0.5, 1.0]}],
}


@pytest.fixture
def real():
    return REAL
