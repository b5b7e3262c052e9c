"""Comparing rules: equal budgets, rates found without the test set, refusals as rows."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from neurohw.cli import main
from neurohw.errors import InvalidValueError
from neurohw.experiments.studies import comparison, rate_search
from neurohw.experiments.studies.comparison import Entry
from neurohw.experiments.studies.plan import Plan
from neurohw.learning import rules
from neurohw.reports import comparison as report

SMALL = {
    "dataset": "digits",
    "hidden": (8,),
    "epochs": 2,
    "seeds": (0, 1),
    "target": 0.5,
    "settings": ("data.train=200", "training.precision=float64"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two rules on the ideal chip, and on one that is only read from its inputs."""
    folder = tmp_path_factory.mktemp("compared")
    (folder / "oneway.toml").write_text('preset = "ideal"\ntransposed_read = false\n')
    plan = Plan(rules=("bp", "fa"), chips=("ideal", str(folder / "oneway.toml")), **SMALL)
    return comparison.compare(plan, folder=folder / "runs"), folder / "runs"


def test_entries_have_all_seeds_and_angles_but_of_backpropagation(found):
    entries = {(e.rule, e.chip): e for e in found[0].entries}
    assert all(len(e.errors) == 2 for e in entries.values() if not e.message)
    assert entries["bp", "ideal"].angles == ()
    [angles] = entries["fa", "ideal"].angles
    # Before the first, after each of two epochs.
    assert len(angles) == 3
    assert 60 < angles[0] < 120
    assert len(entries["fa", "ideal"].searched) >= len(rate_search.FACTORS)
    assert entries["fa", "ideal"].energy > 0


def test_a_chip_that_cannot_carry_a_rule_gives_a_row_that_says_so(found):
    refused = next(e for e in found[0].entries if e.message)
    assert refused.rule == "bp"
    assert "transposed_read = false" in refused.message
    assert any(refused.message in note for note in report.notes(found[0]))
    assert np.isnan(refused.mean)


def test_what_has_run_does_not_run_again(found, monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr("neurohw.experiments.studies.workers.in_turn", never)
    again = comparison.compare(found[0].plan, folder=found[1])
    assert [e.errors for e in again.entries] == [e.errors for e in found[0].entries]


def test_a_rule_named_twice_is_compared_once_and_its_costs_are_counted(found):
    seen = []
    plan = replace(found[0].plan, rules=("bp", "fa", "backpropagation"))
    again = comparison.compare(plan, folder=found[1], counted=lambda *pair: seen.append(pair))
    assert [e.rule for e in again.entries] == ["bp", "fa"] * 2
    assert seen == [(k, 4) for k in range(4)]


def test_samples_to_a_target_are_those_of_whole_epochs():
    entry = Entry(
        rule="bp", chip="ideal", hardware=rules.find("bp").hardware, images=100,
        errors=((0.5, 0.2, 0.1), (0.4, 0.4, 0.1)),
    )  # fmt: skip
    assert entry.samples_to(0.31) == 200
    assert np.isnan(entry.samples_to(0.05))
    assert entry.trained == 300
    assert entry.mean == pytest.approx(0.1)


def test_the_page_has_results_needs_and_curves(found, tmp_path):
    page = report.write(found[0], tmp_path / "compare.html").read_text()
    for text in ("Results", "What hardware each rule needs", "angle to backpropagation", "<svg"):
        assert text in page
    assert (report.write(found[0], tmp_path / "c.svg")).read_text().startswith("<?xml")


def test_unknown_rules_and_wrong_layers_are_refused_in_a_line(tmp_path):
    with pytest.raises(InvalidValueError, match="no such learning rule"):
        comparison.compare(Plan(rules=("magic",), chips=("ideal",)))
    for words, expected in (
        (["--layers", "many"], "--layers many"),
        (["--chip", "epiran"], "epiran"),
        (["--dataset", "nothing"], "nothing"),
        (["--out", "page.txt"], "page.txt"),
        (["--set", "chip.mapping.scheme=single-ended"], "holds no signed weights"),
    ):
        found = CliRunner().invoke(main, ["compare", "--rules", "bp", *words])
        assert found.exit_code == 2, words
        assert expected in found.output


def test_the_command_prints_strict_json(found, tmp_path):
    arguments = [
        *("compare", "--rules", "bp,fa", "--dataset", "digits", "--layers", "8", "--epochs", "2"),
        *("--seeds", "2", "--target", "50 %", "--runs", str(found[1]), "--json"),
        *("--set", "data.train=200", "--set", "training.precision=float64"),
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    parsed = json.loads(result.stdout.strip().splitlines()[-1])
    assert [entry["rule"] for entry in parsed["entries"]] == ["bp", "fa"]
    assert parsed["entries"][0]["test_error"] == pytest.approx(found[0].entries[0].mean)
