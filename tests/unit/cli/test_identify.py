"""`neurohw observe` and `neurohw identify` from end to end, on a few tiny networks."""

import json
from pathlib import Path

import pytest

FEW = ("--rules", "bp,segregated", "--chips", "ideal", "--hidden", "6", "--networks", "6",
       "--epochs", "1", "--times", "4")  # fmt: skip


@pytest.fixture
def tiny(monkeypatch):
    """Make networks learn from few images, and forests of few trees."""
    from neurohw.experiments.identification import observation, recognition

    monkeypatch.setattr(observation, "FACTORS", (0.5, 1.0))
    monkeypatch.setattr(recognition, "TREES", 5)
    monkeypatch.setattr(recognition, "FEWER_TREES", 5)


def test_networks_are_observed_and_their_rules_identified(invoke, tiny):
    result = invoke("observe", *FEW, "--out", "seen", "--json")
    assert result.exit_code == 0, result.output
    table = json.loads(result.stdout)
    assert [row["rule"] for row in table["rules"]] == ["bp", "segregated"]
    assert [row["trained"] for row in table["rules"]] == [6, 6]
    assert Path("seen/samples.h5").exists()
    again = invoke("observe", *FEW, "--out", "seen", "--resume")
    assert again.exit_code == 0
    assert "median test error" in again.stdout

    options = ("--splits", 2, "--permutations", 3)
    shown = invoke("identify", "seen", *options, "-o", "page.html", "-o", "all.png")
    assert shown.exit_code == 0, shown.output
    assert "chance" in shown.stdout
    assert "2/9 classifiers: weights" in shown.stderr
    page = Path("page.html").read_text()
    assert page.count("<svg") == 7
    assert "Who is taken for whom" in page
    assert Path("all.png").read_bytes()[:4] == b"\x89PNG"
    found = json.loads(invoke("identify", "seen", *options, "--json").stdout)
    assert found["chance"] == 0.5
    assert found["networks"] == 12
    assert found["samples"] == 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("identify", "nowhere"), "error: nowhere/observation.json: cannot be read"),
        (("identify", "x", "-o", "page.txt"), "error: page.txt: an identification is one of"),
        (("observe", "--rules", "bp"), "error: rules: must be two or more, to be told apart"),
        (("observe", "--hidden", "6,x"), "error: --hidden 6,x: must be numbers of 2 or more"),
        (("observe", "--networks", "2"), "Invalid value for '--networks'"),
        (("observe", "--chips", "nochip"), "nochip"),
        (("observe", "--workers", "0"), "Invalid value for '--workers'"),
        (("identify", "x", "--workers", "0"), "Invalid value for '--workers'"),
    ],
)
def test_bad_input_is_one_line(invoke, arguments, message):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("runs").exists()
