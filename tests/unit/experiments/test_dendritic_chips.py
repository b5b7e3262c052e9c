"""Rules with dendrites on real chips: runs, run files, costs, counts of units that are stuck."""

import numpy as np
import pytest

from neurohw.experiments import configuration, estimate, run_file, trainer
from neurohw.experiments.alignment import Activations
from neurohw.networks.feedforward import FeedforwardNetwork

BESIDE = {
    "two-site-1h": {"feedback": True},
    "segregated-1h": {"feedback": False},
    "dendritic-2h": {"feedback": False, "lateral": True, "interneurons": True},
}


def small(recipe, *settings):
    """The recipe on a chip with devices that differ, for the digits."""
    few = (
        *("data.name=digits", "data.train=96", "network.hidden=[6, 5]", "training.batch=16"),
        *("training.precision=float64", "learning.learning_rate=0.1"),
        *("learning.bias_learning_rate=0.1", "training.epochs=2"),
    )
    if recipe == "dendritic-2h":
        settings = ("learning.dendritic.lateral_rate=0.1", *settings)
    return configuration.load(recipe, chip="ecram", settings=[*few, *settings])


@pytest.mark.parametrize("recipe", BESIDE)
def test_a_run_goes_on_where_it_was_stopped_and_pulses_what_learns(recipe, tmp_path):
    experiment = small(recipe)
    whole = trainer.train(experiment, out=tmp_path / "whole.h5")
    path = tmp_path / "part.h5"
    trainer.train(experiment, out=path, stop=lambda history: len(history["test_error"]) == 1)
    resumed = trainer.train(experiment, out=path, resume=True)
    assert run_file.checksum(resumed) == run_file.checksum(whole)
    held = run_file.load(path).beside
    assert set(held) == {f"{name}_{k}" for name in BESIDE[recipe] for k in range(2)}
    for name, learns in BESIDE[recipe].items():
        assert (held[f"{name}_0"]["pulses"].sum() > 0) == learns
    assert {"angle_1", "angle_2"} <= set(whole.history)


def test_every_array_beside_is_charged_for_its_reads():
    forward = {f"forward {k}" for k in (1, 2, 3)}
    reads = {
        "two-site-1h": {"backward 2", "backward 3"},
        "segregated-1h": {f"{phase} {k}" for phase in ("plateau", "target") for k in (1, 2)},
        "dendritic-2h": {
            f"{name} {k}" for name in ("interneurons", "top-down", "lateral") for k in (1, 2)
        },
    }
    for recipe, wanted in reads.items():
        found = estimate.of(small(recipe), None, samples=8)
        assert set(found.phases) == forward | wanted
        assert all(np.isfinite(list(found.energy["training sample"].values())))


def test_converters_limit_what_dendrites_hear():
    """With four bits both ways all three rules still run, and learn something else."""
    for recipe in BESIDE:
        ideal = trainer.train(small(recipe, "training.epochs=1"))
        four = [f"chip.converters.{key}.bits=4" for key in ("state_adc", "error_dac", "error_adc")]
        coarse = trainer.train(small(recipe, "training.epochs=1", *four))
        assert coarse.history["cost"][0] != ideal.history["cost"][0]
        assert np.isfinite(coarse.history["cost"][0])


def test_sigmoids_at_their_ends_in_every_sample_are_counted_once_an_epoch():
    network = FeedforwardNetwork(
        sizes=(2, 3, 2), hidden="sigmoid", output="sigmoid", cost="squared"
    )
    seen = Activations(network)
    seen.see([np.array([[0.5, 0.999, 0.001]])])
    seen.see([np.array([[0.999, 0.995, 0.5]])])
    [line] = seen.lines()
    assert line.startswith("layer 1: 1 of 3 units were saturated in every sample")
    assert seen.lines() == []
