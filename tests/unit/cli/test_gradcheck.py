"""`neurohw gradcheck`: table, JSON, figure, and what is said about bad input."""

import json
from pathlib import Path

import pytest

SMALL = (
    *("--set", "training.engine=numpy", "--set", "data.name=digits", "--set", "data.train=40"),
    *("--set", "network.hidden=[6]", "--samples", 4),
)
DRN = ("gradcheck", "--recipe", "drn-digits", *SMALL)


def test_json_holds_every_point_and_the_best(invoke):
    options = ("--nudging", "0.03,0.01", "--variant", "positive,centered", "--json")
    result = invoke(*DRN, *options, "-o", "figure.html")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [(p["variant"], p["nudging"]) for p in found["points"]] == [
        ("positive", 0.03),
        ("positive", 0.01),
        ("centered", 0.03),
        ("centered", 0.01),
    ]
    best = min(found["points"], key=lambda p: p["one_minus_cosine"])
    for key in ("variant", "nudging", "one_minus_cosine", "relative_error", "layers", "biases"):
        assert found[key] == best[key]
    assert [p["variant"] for p in found["best"]] == ["positive", "centered"]
    assert len(found["layers"]) == len(found["biases"]) == len(found["vanished"]) == 2
    assert found["layers"][0].keys() == {"one_minus_cosine", "relative_error", "bias", "spread"}
    page = Path("figure.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 1
    assert "positive: best β" in page


def test_the_table_names_the_best_and_what_was_left_out(invoke):
    result = invoke(
        *DRN, "--nudging", "0.01,0.03,30", "--over", "training.batch=2,4", "-o", "a.png"
    )
    assert result.exit_code == 0
    assert result.stdout.count("best β = 0.01") == 2
    assert "training.batch = 2:" in result.stdout
    assert "Figure: a.png" in result.stdout
    assert "warning: left out: β = 30: with negative nudging it must be below" in result.stderr


def test_a_network_that_is_not_at_rest_is_warned_about(invoke):
    hopfield = ("gradcheck", "--recipe", "ep-1h", *SMALL, "--set", "relaxation.start=zero")
    result = invoke(*hopfield, "--sweeps", "3/2,100", "--nudging", "0.1")
    assert "3/2 sweeps: the free phase ends" in result.stderr
    assert "100/100 sweeps: the free phase ends" not in result.stderr


def test_a_run_is_taken_as_its_chip_holds_it(invoke):
    settings = ("data.train=40", "training.precision=float64", "learning.nudging=0.05")
    few = [word for setting in settings for word in ("--set", setting)]
    few += SMALL[:2] + SMALL[6:8]
    trained = invoke("train", "--recipe", "drn-digits", *few, "--epochs", 2, "--out", "run.h5")
    assert trained.exit_code == 0, trained.stderr
    costs = {}
    for name, source in (
        ("fresh", ("--recipe", "drn-digits", *few)),
        ("run", ("--run", "run.h5")),
        ("written", ("--run", "run.h5", "--chip", "ideal", "--set", "chip.temperature=301")),
    ):
        result = invoke("gradcheck", *source, "--samples", 4, "--nudging", 0.01, "--json")
        costs[name] = json.loads(result.stdout)["cost"]
    assert costs["run"] < 0.9 * costs["fresh"]
    assert costs["written"] == pytest.approx(costs["run"], rel=1e-9)


def test_what_one_variant_cannot_do_leaves_the_others(invoke):
    hopfield = ("gradcheck", "--recipe", "ep-1h", *SMALL, "--nudging", "0.1")
    result = invoke(*hopfield, "--variant", "centered,holomorphic")
    assert result.exit_code == 0
    assert "centered:" in result.stdout
    assert "warning: left out: β = 0.1: " in result.stderr
    stdp = ("--set", "learning.rule=stdp")
    for variants in ("centered,langevin", "langevin,centered"):
        result = invoke(*hopfield, *stdp, "--variant", variants)
        assert result.exit_code == 0
        assert "langevin: not with learning.rule = stdp" in result.stderr
        assert result.stdout.count("best β") == 1
    weak = ("--set", "learning.nudging=0.5", "--variant", "centered,contrastive_hebbian")
    assert invoke(*hopfield, *weak).exit_code == 0


def test_a_varied_key_decides_what_a_variant_can_do(invoke):
    hopfield = ("gradcheck", "--recipe", "ep-1h", *SMALL, "--nudging", "0.1")
    over = ("--set", "relaxation.tolerance=0.01", "--over", "relaxation.tolerance=0")
    result = invoke(*hopfield, *over, "--variant", "positive,langevin")
    assert result.exit_code == 0
    assert "left out" not in result.stderr
    assert result.stdout.count("best β") == 2


def test_values_that_are_lists_are_varied_whole(invoke):
    rates = "learning.learning_rate=[0.1,0.1],[0.2,0.2]"
    result = invoke(*DRN, "--nudging", "0.1,0.1", "--over", rates, "--json")
    assert [point["value"] for point in json.loads(result.stdout)["points"]] == [
        "[0.1,0.1]",
        "[0.2,0.2]",
    ]


def test_without_gradient_no_nudging_is_best(invoke):
    flat = ("--set", "network.initial_range=50", "--set", "relaxation.dynamics=sweeps")
    result = invoke(
        "gradcheck", "--recipe", "ep-1h", *SMALL, *flat, "--nudging", "0.1", "-o", "a.png"
    )
    assert result.exit_code == 0
    assert "no best β" in result.stdout
    result = invoke("gradcheck", "--recipe", "ep-1h", *SMALL, *flat, "--nudging", "0.1", "--json")
    assert json.loads(result.stdout)["best"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--recipe", "mlp-1h"), "network.kind = feedforward: it learns by backpropagation"),
        ((), "give one of CONFIG.toml, --recipe NAME and --run RUN.h5"),
        ((*DRN[1:], "--nudging", "a"), '--nudging "a": must be numbers'),
        ((*DRN[1:], "--nudging", "-1"), "nudging = -1: must be finite, above 0"),
        ((*DRN[1:], "--variant", "both"), "variant = both: known ones are"),
        ((*DRN[1:], "--sweeps", "0"), '--sweeps "0": must be N or N/M'),
        ((*DRN[1:], "--over", "training.batch"), '--over "training.batch": must be KEY=VALUE'),
        (
            (*DRN[1:], "--nudging", "0.1", "--over", "learning.nudging=0.1,0.9"),
            "over = learning.nudging: takes the place",
        ),
        ((*DRN[1:], "--samples", "0"), "samples = 0: must be at least 1"),
        ((*DRN[1:], "--samples", "41"), "samples = 41: there are only 40 training images"),
        ((*DRN[1:], "--nudging", "30"), "learning.nudging = 30: with negative nudging"),
        ((*DRN[1:], "-o", "figure.gif"), "figure.gif: a figure is one of .html"),
    ],
)
def test_bad_input_is_one_line(invoke, options, message):
    result = invoke("gradcheck", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
