"""Variants that drive the outputs, or nudge around a circle, through training and gradcheck."""

import pytest

from neurohw.errors import ConfigurationError, UnsupportedError
from neurohw.experiments import configuration, estimate, trainer
from neurohw.experiments.gradient_check import check

LEARNS = ("data.train=200", "network.hidden=[64]")
HOPFIELD = (
    *("data.name=digits", "data.train=600", "network.hidden=[32]", "training.batch=10"),
    *("learning.learning_rate=0.2", "learning.bias_learning_rate=0.2"),
)
SMALL = (
    *("data.name=digits", "data.train=20", "network.hidden=[6]", "training.engine=numpy"),
    "learning.nudging=0.5",
)


@pytest.mark.parametrize(
    "settings",
    [
        ("learning.variant=coupled", "learning.nudging=0.5"),
        ("learning.variant=contrastive_hebbian", "learning.nudging=1"),
    ],
    ids=["coupled", "contrastive_hebbian"],
)
def test_resistive_networks_learn(small, settings):
    run = trainer.train(small(*LEARNS, *settings, epochs=4))
    assert run.history["cost"][-1] < 0.9 * run.history["cost"][0]
    assert run.history["train_error"][-1] < 0.8 * run.history["train_error"][0]


@pytest.mark.parametrize(
    "settings",
    [
        ("learning.variant=coupled", "learning.nudging=0.5", "network.activation=sigmoid"),
        ("learning.variant=contrastive_hebbian", "network.activation=tanh"),
        ("learning.variant=holomorphic", "learning.nudging=0.5", "network.activation=sigmoid"),
    ],
    ids=["coupled", "contrastive_hebbian", "holomorphic"],
)
def test_hopfield_networks_learn(settings):
    experiment = configuration.load("ep-1h", epochs=4, settings=(*HOPFIELD, *settings))
    run = trainer.train(experiment)
    assert run.history["cost"][-1] < 0.7 * run.history["cost"][0]
    if experiment.learning.variant == "holomorphic":
        with pytest.raises(UnsupportedError, match="holomorphic: its states are complex"):
            estimate.estimate(run, samples=4)


def test_resistive_networks_are_not_holomorphic(small):
    with pytest.raises(UnsupportedError, match=r"holomorphic: only with network.kind = hopfield"):
        trainer.train(small("learning.variant=holomorphic"))


@pytest.mark.parametrize("recipe", ["drn-digits", "ep-1h"])
def test_gradcheck_compares_variants_of_both_circuits(recipe):
    variants = ["coupled", "centered", "contrastive_hebbian"]
    found = check(
        recipe, settings=SMALL, converged=True, variants=variants, nudgings=[0.01], samples=4
    )
    points = {point.setting.variant: point for point in found.points}
    # Grouped by circuit; outputs that are driven all of the way have one nudging.
    assert {v: p.nudging for v, p in points.items()} == {
        "centered": 0.01,
        "coupled": 0.01,
        "contrastive_hebbian": 1.0,
    }
    # Driven outputs have no scale, only an angle: ahead of a right one.
    assert points["centered"].overall.relative_error < 1
    for variant in ("coupled", "contrastive_hebbian"):
        overall = points[variant].overall
        assert overall.relative_error != overall.relative_error
        assert overall.one_minus_cosine < 1


def test_a_current_cannot_drive_the_outputs():
    with pytest.raises(ConfigurationError, match="kind = current pulls them; take clamp"):
        check("ep-1h", settings=(*SMALL, "chip.nudging.kind=current"), variants=["coupled"])
