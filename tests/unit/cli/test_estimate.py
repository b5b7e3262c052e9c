"""`neurohw estimate`, `train --start` and `replay` as commands."""

import csv
import json
import re
from pathlib import Path

import pytest

from neurohw.experiments.estimate import SCOPES
from neurohw.experiments.run_file import load
from neurohw.units import show

FEW = ("--set", "data.train=60", "--epochs", 1)


@pytest.fixture
def run(invoke):
    words = ("train", "--recipe", "drn-digits", "--chip", "epiram", *FEW, "--out", "a.h5")
    assert invoke(*words).exit_code == 0
    return "a.h5"


def test_table_for_people(invoke, run):
    result = invoke("estimate", run, "--samples", 4, "--free-time", "2 us")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["energy", "inference", "training", "sample", "training", "run"]
    heads = {line.split("  ")[0] for line in lines}
    assert {"array read", "programming", "DAC", "ADC", "leakage", "total", "phases"} <= heads
    assert any(line.startswith("Phases: free 2 us, nudged + ") for line in lines)
    assert lines[-1].startswith("Not counted: ")


def test_json_and_settings(invoke, run):
    facts = json.loads(invoke("estimate", run, "--samples", 4, "--json").stdout)
    words = ("--samples", 4, "--json", "--set", "chip.costs.adc_bits=0")
    without = json.loads(invoke("estimate", run, *words).stdout)
    assert without["energy"]["inference"]["ADC"] == 0 < facts["energy"]["inference"]["ADC"]
    assert without["costs"]["adc_bits"] == 0
    assert without["pulses"] == facts["pulses"]
    assert facts["trained"] == 60
    assert facts["short"] is None


def test_a_recipe_and_another_chip(invoke, run):
    words = ("--samples", 4, "--json", "--chip", "hzo-fefet", "--set", "data.train=40")
    facts = json.loads(invoke("estimate", "drn-digits", *words).stdout)
    assert (facts["chip"], facts["short"], facts["trained"]) == ("hzo-fefet", 40, 400)
    moved = json.loads(invoke("estimate", run, *words).stdout)
    assert (moved["chip"], moved["short"], moved["trained"]) == ("hzo-fefet", 40, 40)


@pytest.mark.parametrize("recipe", ["mlp-1h", "ep-1h"])
def test_signed_weights(invoke, recipe):
    few = ("data.name=digits", "data.train=40", "network.hidden=[6]")
    words = [word for setting in few for word in ("--set", setting)]
    trained = invoke("train", "--recipe", recipe, "--chip", "epiram", *words, "--epochs", 1)
    assert trained.exit_code == 0, trained.output
    run = f"runs/{recipe}-epiram-seed0.h5"
    facts = json.loads(invoke("estimate", run, "--samples", 4, "--json").stdout)
    sums = {scope: sum(parts.values()) for scope, parts in facts["energy"].items()}
    shown = invoke("estimate", run, "--samples", 4).stdout.splitlines()
    totals = next(line for line in shown if line.startswith("total"))
    assert re.split(r"\s{2,}", totals)[1:] == [show(sums[scope], "J") for scope in SCOPES]
    assert facts["area"]["amplifiers"] > 0
    digital = {"mlp-1h": "words of the update, which are digital", "ep-1h": "draw of a supply."}
    assert digital[recipe] in shown[-1]
    if recipe == "mlp-1h":
        refused = invoke("estimate", run, "--free-time", "1 us")
        assert refused.exit_code == 2
        assert "a feed-forward network has no such phases" in refused.stderr


def test_faults_are_one_line(invoke, run):
    for words, fault in (
        (("estimate", "none.h5"), "none.h5: no such file"),
        (("estimate", run, "--free-time", "2 uV"), "its unit must be s"),
        (("estimate", run, "--free-time", "-2 us"), "time = -2 us: must be finite, above 0"),
        (("estimate", run, "--samples", 0), "samples = 0: must be at least 1"),
        (("estimate", run, "--set", "chip.costs.adc_bit=6"), "chip.costs.adc_bit = 6: unknown key"),
        (("train", "--start", "none.h5"), "none.h5: no such file"),
        (("replay", "s.csv", "--from", "drn-digits", "-o", "u.csv"), "give --conductances"),
        (("replay", "s.csv", "--from", run, "-o", "u.csv"), "s.csv: cannot be read"),
    ):
        result = invoke(*words)
        assert result.exit_code == 2, words
        assert fault in result.stderr
        assert result.stderr.count("\n") == 1


def test_start_takes_the_settings_of_the_run(invoke, run):
    result = invoke("train", "--start", run, "--chip", "hzo-fefet", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    out = Path("runs/drn-digits-hzo-fefet-seed0-from-a.h5")
    assert facts["run"] == str(out)
    tuned = load(out)
    assert tuned.start["run"] == run
    assert facts["programmed_test_error"] == float(tuned.start["test_error"])
    assert tuned.experiment.data.train == 60
    words = ("--set", "network.hidden=[16]")
    refused = invoke("train", "--start", run, *words, "--out", "b.h5")
    assert refused.exit_code == 2
    assert "a.h5: network: its lines and units are 128-64-10, those to train 128-16-10" in (
        refused.stderr
    )
    shown = invoke("train", "--start", run, "--chip", "hzo-fefet", "--out", out, "--resume")
    assert "(as programmed " in shown.stdout


def test_replay_of_a_run_on_its_chip(invoke, run):
    cells = [array["conductance"] for array in load(run).arrays]
    sizes = (cells[0].shape[1], *(len(g) for g in cells))
    rows = [("sample", "phase", "layer", "node", "voltage_V")]
    for phase, size in (("free", 1e-3), ("positive", 1.001e-3)):
        for layer, nodes in enumerate(sizes):
            voltage = 0.2 if layer == 0 else size
            rows += [("0", phase, layer, node, voltage) for node in range(nodes)]
    with Path("s.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    result = invoke("replay", "s.csv", "--from", run, "-o", "out/u.csv")
    assert result.exit_code == 0, result.output
    assert "Updates: out/u.csv" in result.stdout
    facts = json.loads(invoke("replay", "s.csv", "--from", run, "-o", "u.csv", "--json").stdout)
    assert facts["phases"] == ["free", "positive"]
    assert [array["cells"] for array in facts["arrays"]] == [128 * 64, 64 * 10]
    assert facts["arrays"][0]["wanted_rms"] > 0 == facts["arrays"][1]["wanted_rms"]
    assert Path("u.csv").read_text() == Path("out/u.csv").read_text()
