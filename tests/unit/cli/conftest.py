"""Fixtures of the command-line tests: an empty working folder, and a trainer that does nothing."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import neurohw.experiments
from neurohw.cli import main
from neurohw.experiments.run_file import Run, save

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(main, [str(word) for word in arguments], prog_name="neurohw")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def make_run(experiment: Any) -> Run:
    epochs = experiment.training.epochs
    errors = np.linspace(0.5, 0.1, epochs)
    return Run(
        experiment=experiment,
        dataset={"name": experiment.data.name, "checksum": "00"},
        arrays=[{"conductance": np.full((4, 6), 1e-6)}, {"conductance": np.full((2, 4), 1e-6)}],
        biases=[],
        state={},
        counters={"epoch": epochs},
        history={
            "epoch": np.arange(1, epochs + 1),
            "train_error": errors / 2,
            "test_error": errors,
            "cost": np.full(epochs, np.nan),
        },
        physical={"voltage": np.array([1e-3, 2e-3])},
        times={"seconds_per_epoch": np.full(epochs, 1.5)},
        versions={"neurohw": "0"},
    )


class FakeTrainer:
    """Stands in for the trainer; `interrupt`: Ctrl-C comes in the first epoch."""

    def __init__(self) -> None:
        self.interrupt = False
        self.writes = True

    def train(
        self,
        experiment: Any,
        *,
        out: Path,
        resume: bool,
        progress: Any,
        warn: Any = None,
        start: Any = None,
    ) -> Run:
        epochs = experiment.training.epochs
        run = make_run(experiment)
        for epoch in range(1, epochs + 1):
            for step in (1, 2):
                progress(
                    SimpleNamespace(
                        epoch=epoch,
                        epochs=epochs,
                        step=step,
                        steps=2,
                        samples_per_second=12345.6,
                        seconds_left=61.4,
                        train_error=0.2 / epoch,
                        test_error=None if epoch == 1 else 0.3 / (epoch - 1),
                        phase="training" if step == 1 else "evaluating",
                    )
                )
            if self.writes:
                out.parent.mkdir(parents=True, exist_ok=True)
                save(out, run)
            if self.interrupt:
                raise KeyboardInterrupt
        return run


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> FakeTrainer:
    fake = FakeTrainer()
    monkeypatch.setattr(neurohw.experiments, "trainer", fake, raising=False)
    return fake
