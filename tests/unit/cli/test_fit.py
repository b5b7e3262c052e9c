"""`neurohw fit`: files written, what is printed, what is refused, and training on the result."""

import json
from pathlib import Path

import pytest

from neurohw import load_device

FEW = ("--recipe", "drn-digits", "--chip", "epiram", "--set", "data.train=40", "--epochs", 1)


@pytest.fixture
def pulses(tmp_path, write_pulses):
    device = load_device(
        {
            "law": "soft-bounds", "g_min": 2e-6, "g_max": 20e-6, "step": 0.05, "step_noise": 0.4,
            "step_spread": 0.1, "write_noise": 0.005,
        }
    )  # fmt: skip
    path = tmp_path / "pulses.csv"
    write_pulses(path, device, devices=3, cycles=2)
    return path


def test_fits_writes_and_trains(invoke, pulses):
    result = invoke(
        "fit", pulses, "--law", "soft-bounds", "-o", "mine.toml", "--report", "fit.html"
    )
    assert result.exit_code == 0, result.output
    assert "Device: mine.toml" in result.stdout and "Report: fit.html" in result.stdout
    text = Path("mine.toml").read_text()
    assert text in result.stdout
    assert 0.03 < load_device("mine.toml").step < 0.07
    page = Path("fit.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 6
    assert "Only soft-bounds was fitted" in page and "write_noise" in page
    trained = invoke("train", *FEW, "--set", "chip.device=mine.toml", "--out", "r.h5")
    assert trained.exit_code == 0, trained.output


def test_a_device_file_that_exists_is_kept(invoke, pulses):
    Path("mine.toml").write_text("precious")
    words = ("fit", pulses, "--law", "linear", "-o", "mine.toml")
    result = invoke(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: mine.toml: exists; use --force to replace it\n"
    assert Path("mine.toml").read_text() == "precious"
    assert invoke(*words, "--force").exit_code == 0
    assert load_device("mine.toml").law == "linear"


def test_json_has_every_parameter(invoke, pulses):
    result = invoke("fit", pulses, "--law", "table", "--json")
    found = json.loads(result.stdout)
    assert found["law"] == "table" and found["devices"] == 3 and found["device"] is None
    assert len(found["parameters"]["changes_up"]["value"]) == 9
    low, high = (found["parameters"]["g_max"][end] for end in ("low", "high"))
    assert low < 20e-6 < high


def test_shows_how_well_laws_predict(invoke, pulses):
    result = invoke("fit", pulses, "--report", "fit.html")
    assert result.exit_code == 0
    assert "piecewise" in result.stdout and "taken" in result.stdout
    assert "behind the best" in Path("fit.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "words", "parts"),
    [
        (lambda t: t, ("--law", "soft"), ("law", "soft")),
        (lambda t: t, ("--columns", "G"), ("--columns", "NAME=HEADER")),
        (lambda t: t, ("--columns", "conductance_S=G"), ("pulses.csv", "line 1", "G")),
        (lambda t: t.replace("d0,1,3,1,", "d0,1,3,1,nan #"), (), ("line 302", "nan")),
        (lambda t: t.replace("d0,1,3,1,", "d0,1,3,1,-"), (), ("line 302", "conductance_S", "-")),
        (lambda t: t.replace(",-1,", ",1,"), (), ("polarity", "-1")),
        (lambda t: t, ("-o", "pulses.csv/x.toml"), ("x.toml", "cannot be written")),
    ],
)
def test_bad_input_leaves_nothing_behind(invoke, pulses, change, words, parts):
    pulses.write_text(change(pulses.read_text()))
    before = set(Path().rglob("*"))
    options = ("-o", "mine.toml", "--report", "fit.html")
    result = invoke("fit", "pulses.csv", *options, *words)
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr
    assert set(Path().rglob("*")) == before


def test_missing_file(invoke):
    result = invoke("fit", "none.csv", "-o", "mine.toml")
    assert result.exit_code == 2
    assert "none.csv" in result.stderr and not Path("mine.toml").exists()
