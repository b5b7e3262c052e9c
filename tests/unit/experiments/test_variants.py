"""Variants that drive the outputs, or nudge around a circle, through training and gradcheck."""

import signal

import numpy as np
import pytest

from neurohw.chip import Chip, FeedforwardChip
from neurohw.chip.signed import SignedArray
from neurohw.errors import ConfigurationError, InvalidValueError, UnsupportedError
from neurohw.experiments import configuration, estimate, run_file, trainer
from neurohw.experiments.gradient_check import check
from neurohw.mappings import chip_specification
from neurohw.networks.feedforward import FeedforwardNetwork
from neurohw.networks.resistive import deep_resistive_network

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
        ("learning.variant=langevin", "learning.nudging=0.5", "chip.neuron.noise=4 mV"),
        ("learning.variant=continual", "learning.nudging=0.5"),
        ("learning.variant=agnostic", "learning.nudging=0.5"),
    ],
    ids=["coupled", "contrastive_hebbian", "holomorphic", "langevin", "continual", "agnostic"],
)
def test_hopfield_networks_learn(settings):
    experiment = configuration.load("ep-1h", epochs=4, settings=(*HOPFIELD, *settings))
    run = trainer.train(experiment)
    assert run.history["cost"][-1] < 0.7 * run.history["cost"][0]
    variant = experiment.learning.variant
    if variant in ("holomorphic", "langevin", "continual", "agnostic"):
        with pytest.raises(UnsupportedError, match=f"{variant}: (its states|chips have no costs)"):
            estimate.estimate(run, samples=4)


MOVING = ("training.batch=5", "data.train=20", "learning.variant=continual")


@pytest.mark.parametrize(
    ("chip", "settings"),
    [
        ("epiram", (*MOVING, "chip.neuron.noise=4 mV")),
        ("ideal", ("learning.variant=agnostic",)),
        ("ideal", ("learning.variant=langevin", "chip.neuron.noise=4 mV")),
    ],
    ids=["continual", "agnostic", "langevin"],
)
def test_what_was_interrupted_goes_on_to_the_same_bits(chip, settings, tmp_path, monkeypatch):
    settings = (*SMALL, "training.batch=5", *settings)
    experiment = configuration.load("ep-1h", chip=chip, settings=settings, epochs=2)
    reference = trainer.train(experiment)
    monkeypatch.setattr(trainer, "_PROGRESS_SECONDS", -1.0)

    def stop(progress):
        if (progress.epoch, progress.step) == (1, 3):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trainer.train(experiment, out=tmp_path / "a.h5", progress=stop)
    assert run_file.load(tmp_path / "a.h5").counters["step"] == 3
    again = trainer.train(experiment, out=tmp_path / "a.h5", resume=True)
    assert run_file.checksum(again) == run_file.checksum(reference)


@pytest.mark.parametrize(("events", "each"), [("batch", 1), ("sample", 5)])
def test_every_sweep_of_continual_is_an_event_of_its_own(events, each, monkeypatch):
    """Numbered one after the other, so that no draw is repeated."""
    seen, programmed = [], SignedArray.program

    def program(array, update, event, next_input=None):
        seen.append((id(array), event, len(update.presynaptic)))
        return programmed(array, update, event, next_input)

    monkeypatch.setattr(SignedArray, "program", program)
    settings = (*SMALL, *MOVING, "relaxation.nudged_sweeps=3", f"chip.programming.events={events}")
    trainer.train(configuration.load("ep-1h", settings=settings, epochs=1))
    for array in {first for first, _, _ in seen}:
        assert [(e, n) for first, e, n in seen if first == array] == [
            (k * each, each) for k in range(4 * 3)
        ]


@pytest.mark.parametrize("variant", ["holomorphic", "langevin"])
def test_resistive_networks_are_refused_when_they_are_read(variant, small):
    with pytest.raises(ConfigurationError, match=f"{variant}: only with network.kind = hopfield"):
        small(f"learning.variant={variant}")


@pytest.mark.parametrize("variant", ["holomorphic", "langevin", "continual", "agnostic"])
def test_spike_timing_is_of_no_variant_that_runs_otherwise(variant):
    settings = ["learning.rule=stdp", "network.activation=tanh", f"learning.variant={variant}"]
    with pytest.raises(ConfigurationError, match=f"{variant}: not with learning.rule = stdp"):
        configuration.load("ep-1h", settings=settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("continual", "relaxation.tolerance=0.1"), "continual: not with relaxation.tolerance"),
        (("continual", "chip.hold.droop=1 %"), "continual: not with chip.hold"),
        (("continual", "chip.converters.state_adc.bits=8"), "continual: not with chip.converters"),
        (("agnostic", "chip=epiram"), "agnostic: not with chip.device.law = "),
        (("agnostic", "chip.programming.events=sample"), "agnostic: not with chip.programming"),
        (("agnostic", "chip.converters.input_dac.bits=8"), "agnostic: not with chip.converters"),
        (("langevin", "chip.converters.state_adc.bits=8"), "langevin: not with chip.converters"),
        (("langevin", "chip.nudging.kind=clamp"), "langevin: not with chip.nudging.kind = clamp"),
        (("agnostic", "chip.nudging.kind=current"), "agnostic: not with chip.nudging.kind = curr"),
        (("langevin", "relaxation.tolerance=0.1"), "langevin: not with relaxation.tolerance = 0.1"),
        (("langevin", "learning.averaged_sweeps=5"), "averaged_sweeps = 5: a phase has only 4"),
        (("positive", "chip.neuron.noise=1 mV", "relaxation.tolerance=0.1"), "nothing converges"),
        (("positive", "chip.neuron.noise=-1 mV"), "noise = -0.001: must be finite, 0 or more"),
    ],
)
def test_what_a_variant_cannot_do_is_refused_when_it_is_read(settings, message):
    first, *others = settings
    with pytest.raises(ConfigurationError, match=message):
        configuration.load("ep-1h", settings=[f"learning.variant={first}", *others])


def test_no_other_networks_have_noisy_neurons(small):
    with pytest.raises(ConfigurationError, match="noise = 1 mV: only the membranes"):
        small("chip.neuron.noise=1 mV")
    noisy = chip_specification.load({"device": "ideal", "neuron": {"noise": "1 mV"}})
    options = {"seed": 0, "dtype": "float64"}
    with pytest.raises(InvalidValueError, match=r"noise = 0\.001 V: only the membranes"):
        Chip(noisy, deep_resistive_network(4, (2,), 2), 1.0, **options)
    network = FeedforwardNetwork(sizes=(4, 2), hidden="relu", output="linear", cost="squared")
    with pytest.raises(UnsupportedError, match="noise: feed-forward networks have none"):
        FeedforwardChip(noisy, network, [np.zeros((2, 4))], **options)


def test_the_transient_engine_moves_no_cells(small):
    times = ["training.engine=transient", "relaxation.free_time=1 us", "relaxation.nudged_time=1us"]
    with pytest.raises(ConfigurationError, match=r"continual: not with training.engine"):
        small("learning.variant=continual", *times)


@pytest.mark.parametrize(("variant", "like"), [("continual", "positive"), ("agnostic", "centered")])
def test_gradcheck_leaves_out_what_depends_on_the_rate(variant, like):
    with pytest.raises(
        InvalidValueError, match=f"{variant}: .* at small rates it is that of {like}"
    ):
        check("ep-1h", settings=SMALL, variants=[variant])


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


def test_a_kind_of_nudging_that_is_said_or_left_out_is_the_same_experiment(tmp_path):
    said, left = (
        configuration.load("ep-1h", settings=(*SMALL, *more), epochs=1)
        for more in (("chip.nudging.kind=conductance",), ())
    )
    run = trainer.train(said, out=tmp_path / "a.h5")
    again = trainer.train(left, out=tmp_path / "a.h5", resume=True)
    assert run_file.checksum(again) == run_file.checksum(run)
