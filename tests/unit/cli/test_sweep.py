"""`neurohw sweep`, `neurohw tolerance` and the report on a study."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from neurohw.cli.progress import terminable
from neurohw.errors import NumericalError
from neurohw.experiments.studies import jobs
from neurohw.experiments.studies.table import read_hdf5

# One formula for all commands: cycle-to-cycle noise adds to the error.
SMALL = """
recipe = "drn-digits"
chip = "epiram"
epochs = 1
seeds = 2
settings = ["training.images_per_epoch=8"]

[[axes]]
kind = "range"
key = "device.cycle_to_cycle"
low = "0.1 %"
high = "10 %"
points = 3
ideal = 0
"""
SECOND = """
[[axes]]
kind = "list"
key = "nudging"
values = [0.5, 1.0]
"""
THIRD = """
[[axes]]
kind = "cases"
name = "which"
cases = [{name = "a"}, {name = "b", settings = ["training.batch=2"]}]
"""


@pytest.fixture
def formula(monkeypatch):
    class Trainer:
        interrupt = False

        def train(self, experiment, *, out, resume, stop, observe):
            if self.interrupt:
                raise KeyboardInterrupt
            noise, seed = experiment.chip.device.cycle_to_cycle, experiment.training.seed
            errors = np.full(experiment.training.epochs, 0.1 + noise + 0.01 * seed)
            history = {"test_error": errors, "train_error": errors}
            return SimpleNamespace(history=history, dataset={"checksum": "00"}, versions={})

    trainer = Trainer()
    monkeypatch.setattr(jobs, "trainer", trainer)
    return trainer


@pytest.mark.parametrize(
    "text, figures",
    [(SMALL, 1), (SMALL + SECOND, 2), (SMALL + SECOND + THIRD, 2)],
    ids=["one axis", "two axes", "three axes"],
)
def test_a_sweep_ends_with_its_report(invoke, formula, text, figures):
    Path("noise.toml").write_text(text, encoding="utf-8")
    result = invoke("sweep", "noise.toml", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["failed"] == 0 and found["folder"] == "runs/studies/noise"
    assert found["limits"][0]["limit"] == pytest.approx(0.01, rel=1e-6)
    page = Path(found["report"]).read_text(encoding="utf-8")
    assert page.count("<svg") == figures
    assert "device.cycle_to_cycle" in page and "equal budget" in page
    rows = Path("runs/studies/noise/table.csv").read_text().splitlines()
    assert len(rows) - 1 == found["runs"]
    assert len(read_hdf5(Path("runs/studies/noise/table.h5"))["seed"]) == found["runs"]
    assert invoke("report", "runs/studies/noise", "--out", "curve.png").exit_code == 0
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")


def test_several_studies_share_a_picture(invoke, formula):
    for name in ("noise", "other"):
        Path(f"{name}.toml").write_text(SMALL, encoding="utf-8")
        assert invoke("sweep", f"{name}.toml").exit_code == 0
    folders = "runs/studies/noise", "runs/studies/other"
    Path(folders[1], "table.csv").unlink()
    result = invoke("report", *folders, "--out", "both.svg")
    assert result.exit_code == 0, result.stderr
    assert Path(folders[1], "table.csv").exists()
    picture = Path("both.svg").read_text(encoding="utf-8")
    assert ">noise<" in picture and ">other<" in picture
    # Four panels take a second row; those of one name have their folders above them.
    many = folders[0], *folders, folders[1]
    assert invoke("report", *many, "--out", "many.svg").exit_code == 0
    assert Path("many.svg").read_text(encoding="utf-8").count(">runs/studies/noise<") == 2
    for words, message in (
        (folders, "name it with --out"),
        ((*folders, "--out", "both.html"), "a figure is one of"),
        ((folders[0], "run.h5"), "run.h5: no such folder; give run files, or folders of studies"),
    ):
        refused = invoke("report", *words)
        assert refused.exit_code == 2 and message in refused.stderr


def test_a_sampled_study_has_a_parallel_view_and_sensitivities(invoke, formula):
    Path("s.toml").write_text(
        SMALL.replace("[[axes]]", '[design]\nkind = "sobol"\npoints = 8\n\n[[axes]]') + SECOND
    )
    assert invoke("sweep", "s.toml").exit_code == 0
    page = Path("runs/studies/s/report.html").read_text(encoding="utf-8")
    assert "Each line is a point" in page and "What matters most" in page


def test_a_sweep_says_what_failed(invoke, formula, monkeypatch):
    def fail(*words, **options):
        raise NumericalError("epoch 1: NaN")

    monkeypatch.setattr(formula, "train", fail)
    Path("noise.toml").write_text(SMALL, encoding="utf-8")
    result = invoke("sweep", "noise.toml")
    assert result.exit_code == 0 and "8 of 8 runs failed: epoch 1: NaN" in result.stdout


def test_a_dry_run_lists_the_points(invoke):
    Path("noise.toml").write_text(SMALL, encoding="utf-8")
    result = invoke("sweep", "noise.toml", "--dry-run")
    assert result.stdout.splitlines() == [
        "0  device.cycle_to_cycle = 0.1 %",
        "1  device.cycle_to_cycle = 1 %",
        "2  device.cycle_to_cycle = 10 %",
        "3  device.cycle_to_cycle = 0 %",
        "4 points, 2 seeds each",
    ]
    assert len(json.loads(invoke("sweep", "noise.toml", "--dry-run", "--json").stdout)) == 4


def test_an_interrupted_sweep_says_how_to_go_on(invoke, formula):
    Path("noise.toml").write_text(SMALL, encoding="utf-8")
    formula.interrupt = True
    result = invoke("sweep", "noise.toml", "--workers", "1")
    assert result.exit_code == 130
    again = "neurohw sweep noise.toml --out runs/studies/noise --resume"
    assert again in result.stderr
    formula.interrupt = False
    assert invoke(*again.split()[1:]).exit_code == 0


def test_the_shipped_studies_are_listed(invoke):
    names = [entry["name"] for entry in json.loads(invoke("list", "studies", "--json").stdout)]
    assert {"cycle-to-cycle", "on-off-ratio", "correlation"} <= set(names)


def test_tolerance_prints_limit_margin_and_figure(invoke, formula):
    words = ("--recipe", "drn-digits", "--chip", "epiram", "--epochs", 1, "--seeds", 2)
    result = invoke("tolerance", *words, "--key", "device.cycle_to_cycle", "--drop", "1pp")
    assert result.exit_code == 0, result.stderr
    assert "1 percentage points more are allowed" in result.stdout
    assert "device.cycle_to_cycle  1 %" in result.stdout and "0.5" in result.stdout
    assert "<svg" in Path("runs/tolerance/tolerance.svg").read_text(encoding="utf-8")
    keys = ("--key", "device.cycle_to_cycle", "--key", "device.step_noise", "--drop", "2 %")
    result = invoke("tolerance", *words, *keys, "--resume", "--json")
    found = json.loads(result.stdout)
    assert found["limits"][0]["limit"] == pytest.approx(0.02, rel=0.02)
    assert found["limits"][1]["limit"] == "inf" and found["joint"]["holds"] in (True, False)


@pytest.mark.parametrize(
    "words, message",
    [
        (("sweep", "no-such"), 'study = "no-such": unknown study'),
        (("sweep", "none.toml"), 'study = "none.toml": no such file'),
        (("sweep", "bad.toml"), "device.cycle_to_cycl: unknown key; did you mean"),
        (("sweep", "noise.toml", "--workers", "0"), "workers = 0"),
        (("report", "."), "study.json: cannot be read"),
        (
            (
                "tolerance",
                "--recipe",
                "drn-digits",
                "--key",
                "device.cycle_to_cycle",
                "--workers",
                "0",
            ),
            "workers = 0",
        ),
        (
            (
                "tolerance",
                "--recipe",
                "drn-digits",
                "--key",
                "device.cycle_to_cycle",
                "--figure",
                "a.gif",
            ),
            "a.gif: a figure is",
        ),
        (("tolerance", "--recipe", "drn-digits", "--key", "nudging"), "give its range"),
        (("tolerance", "--key", "nudging"), "give either --recipe NAME or CONFIG.toml"),
        (
            ("tolerance", "--recipe", "drn-digits", "--key", "nudging=1..2", "--ideal", "a=1"),
            "--ideal a: is none of the keys",
        ),
        (
            ("tolerance", "--recipe", "drn-digits", "--key", "nudging=1..2", "--drop", "2 V"),
            "its unit must be %",
        ),
    ],
)
def test_bad_input_is_one_line(invoke, formula, words, message):
    Path("noise.toml").write_text(SMALL, encoding="utf-8")
    Path("bad.toml").write_text(SMALL.replace("cycle_to_cycle", "cycle_to_cycl"), encoding="utf-8")
    result = invoke(*words)
    assert result.exit_code == 2
    assert message in result.stderr and result.stderr.count("\n") == 1


def test_a_termination_signal_interrupts():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
