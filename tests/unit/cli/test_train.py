"""`neurohw train`, `neurohw evaluate`, `neurohw report`: options, output, files.

What is shown while a training goes on is tested with a trainer that does nothing.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from neurohw.experiments.run_file import load, save

FEW = ("--recipe", "drn-digits", "--set", "data.train=40", "--set", "learning.nudging=0.1")
KEYS = {"test_error", "train_error", "epochs", "seconds_per_epoch", "recipe", "chip", "seed", "run"}


def test_json_is_the_only_output(invoke):
    result = invoke("train", *FEW, "--epochs", 2, "--seed", 7, "--json")
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    facts = json.loads(line)
    assert set(facts) >= KEYS
    assert (facts["epochs"], facts["recipe"], facts["seed"]) == (2, "drn-digits", 7)
    assert facts["run"] == str(Path("runs/drn-digits-ideal-seed7.h5"))
    run = load(facts["run"])
    assert facts["test_error"] == run.history["test_error"][-1]
    assert facts["train_error"] == run.history["train_error"][-1]
    assert facts["seconds_per_epoch"] == run.times["seconds_per_epoch"].mean()


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


def test_no_epochs_have_no_errors(invoke):
    result = invoke("train", *FEW, "--epochs", 0, "--json")
    facts = json.loads(result.stdout)
    assert facts["test_error"] is None
    assert facts["seconds_per_epoch"] is None
    assert result.stderr == ""


def test_options_reach_the_experiment(invoke):
    result = invoke(
        *("train", *FEW, "--chip", "epiram", "--epochs", 1),
        *("--set", "learning.nudging=0.25", "--set", "training.batch=8", "--out", "a/b.h5"),
        "--resume",
    )
    assert result.exit_code == 0, result.output
    experiment = load("a/b.h5").experiment
    assert experiment.chip.name == "epiram"
    assert experiment.learning.nudging == 0.25
    assert experiment.training.batch == 8
    assert experiment.data.train == 40


def test_own_configuration_file(invoke):
    Path("my.toml").write_text(
        'preset = "drn-digits"\n[data]\ntrain = 40\n[training]\nepochs = 1\n'
    )
    result = invoke("train", "my.toml", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["epochs"] == 1


def test_what_a_configuration_file_asks_for_in_vain_names_the_file(invoke):
    Path("mine.toml").write_text('preset = "ep-1h-fast"\n')
    strong = ("--set", "learning.nudging=1.5", "--set", "data.name=digits")
    result = invoke("train", "mine.toml", *strong)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: mine.toml --set learning.nudging=1.5 --set data.name=")
    assert "digits: learning.nudging = 1.5: with negative nudging" in result.stderr
    assert result.stderr.count("\n") == 1


def test_evaluation_says_how_many_images_did_not_settle(invoke):
    few = ("--set", "data.name=digits", "--set", "data.train=40", "--set", "network.hidden=[6]")
    invoke("train", "--recipe", "ep-1h-fast", *few, "--epochs", 1, "--out", "run.h5")
    run = load("run.h5")
    phases = structs.replace(run.experiment.phases, free_sweeps=8, tolerance=0.002)
    experiment = structs.replace(run.experiment, relaxation=phases)
    save("run.h5", replace(run, experiment=experiment))
    result = invoke("evaluate", "run.h5")
    assert result.exit_code == 0
    assert "evaluated images did not settle and count as errors" in result.stderr


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
def run_path(invoke) -> Path:
    assert invoke("train", *FEW, "--epochs", 2, "--out", "a.h5").exit_code == 0
    return Path("a.h5")


def test_evaluate_on_the_own_chip(invoke, run_path):
    result = invoke("evaluate", run_path, "--json")
    (line,) = result.stdout.splitlines()
    facts = json.loads(line)
    assert set(facts) >= KEYS
    assert facts["test_error"] == load(run_path).history["test_error"][-1]
    assert (facts["chip"], facts["epochs"]) == ("ideal", 2)
    assert result.stderr == ""


def test_evaluate_on_another_chip(invoke, run_path):
    facts = json.loads(invoke("evaluate", run_path, "--chip", "epiram", "--json").stdout)
    assert facts["chip"] == "epiram"
    shown = invoke("evaluate", run_path, "--chip", "epiram").stdout
    assert "drn-digits on epiram, 2 epochs" in shown
    assert f"test error {100 * facts['test_error']:.2f} %" in shown


def test_report_is_written(invoke, run_path):
    result = invoke("report", run_path, "--out", "r.html")
    assert result.exit_code == 0
    assert "r.html" in result.stdout
    assert Path("r.html").read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")


def test_report_of_two_runs_lies_beside_the_first(invoke, run_path):
    words = ("train", *FEW, "--chip", "epiram", "--epochs", 2, "--out", "b/b.h5")
    assert invoke(*words).exit_code == 0
    assert invoke("report", run_path, "b/b.h5").exit_code == 0
    page = Path("report.html").read_text(encoding="utf-8")
    assert "epiram" in page
    assert "ideal" in page
