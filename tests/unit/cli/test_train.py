"""`neurohw train` and `neurohw evaluate`, with a trainer that does nothing."""

import json
from pathlib import Path

import pytest
from numpy.testing import assert_allclose

KEYS = {"test_error", "train_error", "epochs", "seconds_per_epoch", "recipe", "chip", "seed", "run"}


def test_json_is_the_only_output(invoke, trainer):
    result = invoke("train", "--recipe", "drn-digits", "--epochs", 2, "--seed", 7, "--json")
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    facts = json.loads(line)
    assert set(facts) >= KEYS
    assert (facts["epochs"], facts["recipe"], facts["seed"]) == (2, "drn-digits", 7)
    assert facts["run"] == str(Path("runs/drn-digits-ideal-seed7.h5"))
    assert_allclose([facts["test_error"], facts["train_error"]], [0.1, 0.05])
    assert_allclose(facts["seconds_per_epoch"], 1.5)


def test_each_epoch_leaves_one_line_in_a_log(invoke, trainer):
    result = invoke("train", "--recipe", "drn-digits", "--epochs", 2)
    first, second = result.stderr.splitlines()
    assert first == "epoch 1/2  train error 20.00 %  test error 30.00 %  12,346 samples/s"
    assert second == "epoch 2/2  train error 5.00 %  test error 10.00 %  12,346 samples/s"
    assert "test error 10.00 %" in result.stdout


def test_a_terminal_gets_a_live_line(trainer):
    import io

    from neurohw.cli.progress import ProgressLine
    from neurohw.experiments import configuration

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = ProgressLine(stream, interval=0)
    experiment = configuration.load("drn-digits", epochs=2)
    trainer.writes = False
    progress.finish(trainer.train(experiment, out=Path("x.h5"), resume=False, progress=progress))
    shown = stream.getvalue()
    assert "| epoch 1/2  train error 20.00 %, test –" in shown
    assert "12,346 samples/s  1:01 left" in shown
    assert "evaluating" in shown


def test_no_epochs_have_no_errors(invoke, trainer):
    result = invoke("train", "--recipe", "drn-digits", "--epochs", 0, "--json")
    facts = json.loads(result.stdout)
    assert facts["test_error"] is None
    assert facts["seconds_per_epoch"] is None
    assert result.stderr == ""


def test_options_reach_the_experiment(invoke, trainer):
    result = invoke(
        *("train", "--recipe", "drn-digits", "--chip", "epiram", "--epochs", 1),
        *("--set", "learning.nudging=0.25", "--set", "training.batch=8", "--out", "a/b.h5"),
        "--resume",
    )
    assert result.exit_code == 0
    (call,) = trainer.calls
    assert call["experiment"].chip.name == "epiram"
    assert call["experiment"].learning.nudging == 0.25
    assert call["experiment"].training.batch == 8
    assert call["out"] == Path("a/b.h5")
    assert call["resume"]


def test_own_configuration_file(invoke, trainer):
    Path("my.toml").write_text('preset = "drn-digits"\n[training]\nepochs = 1\n')
    result = invoke("train", "my.toml", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["epochs"] == 1


def test_interruption_says_how_to_resume(invoke, trainer):
    trainer.interrupt = True
    result = invoke(
        *("train", "--recipe", "drn-digits", "--seed", 3, "--set", "learning.nudging=0.5"),
        *("--out", "my run.h5"),
    )
    assert result.exit_code == 130
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == (
        "interrupted; continue with: neurohw train --recipe drn-digits --seed 3"
        " --set learning.nudging=0.5 --out 'my run.h5' --resume"
    )


def test_resume_command_repeats_a_configuration_file(invoke, trainer):
    trainer.interrupt = True
    Path("my.toml").write_text('preset = "drn-digits"\n')
    result = invoke("train", "my.toml", "--out", "a.h5", "--json")
    assert "continue with: neurohw train my.toml --out a.h5 --resume" in result.stderr
    assert result.stdout == ""


def test_early_interruption_has_nothing_to_resume(invoke, trainer):
    trainer.interrupt, trainer.writes = True, False
    result = invoke("train", "--recipe", "drn-digits")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "interrupted before anything was written"


@pytest.fixture
def run_path(invoke, trainer) -> Path:
    invoke("train", "--recipe", "drn-digits", "--epochs", 2, "--out", "a.h5")
    trainer.calls.clear()
    return Path("a.h5")


def test_evaluate_on_the_own_chip(invoke, trainer, run_path):
    result = invoke("evaluate", run_path, "--json")
    (line,) = result.stdout.splitlines()
    facts = json.loads(line)
    assert set(facts) >= KEYS
    assert (facts["test_error"], facts["train_error"]) == (0.25, 0.125)
    assert facts["chip"] == "ideal"
    assert trainer.calls == [{"chip": None}]


def test_evaluate_on_another_chip(invoke, trainer, run_path):
    result = invoke("evaluate", run_path, "--chip", "epiram")
    assert result.exit_code == 0
    assert "on epiram" in result.stdout
    assert "test error 25.00 %" in result.stdout
    assert trainer.calls[0]["chip"].name == "epiram"


def test_report_is_written(invoke, run_path):
    result = invoke("report", run_path, "--out", "r.html")
    assert result.exit_code == 0
    assert "r.html" in result.stdout
    assert Path("r.html").read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")


def test_report_lies_beside_the_first_run(invoke, run_path):
    assert invoke("report", run_path).exit_code == 0
    assert Path("report.html").is_file()
