import shutil

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.engines.equilibrium import Equilibrium
from neurohw.errors import ConfigurationError, InvalidValueError, UnsupportedError
from neurohw.experiments import configuration, evaluation, run_file, scale, trainer
from neurohw.experiments.machine import build, dataset_of
from neurohw.experiments.step import Batch
from neurohw.mappings import chip_specification
from neurohw.reports import summary

FEW = ("data.name=digits", "data.train=60", "network.hidden=[8]")
RATES = ("learning.learning_rate=0.2", "learning.bias_learning_rate=0.2")
SWEEPS = (
    *("relaxation.dynamics=sweeps", "relaxation.start=zero", "learning.nudging=0.5"),
    "learning.variant=centered",
)


def load(*settings, chip="ideal", epochs=2):
    return configuration.load("ep-1h", chip=chip, settings=(*FEW, *settings), epochs=epochs)


@pytest.mark.parametrize("chip", ["ideal", "gst-pcm"])
def test_training_lowers_error_and_cost(chip):
    settings = ("data.train=1400", "network.hidden=[32]", "training.batch=10", *RATES)
    run = trainer.train(load(*settings, chip=chip, epochs=4))
    assert run.history["cost"][-1] < 0.4 * run.history["cost"][0]
    assert run.history["test_error"][-1] < 0.5


def test_sweeps_learn():
    """Slower, for outputs that are clipped hard at 0 learn nothing."""
    run = trainer.train(load(*SWEEPS, "data.train=300", "learning.nudging=0.9", epochs=5))
    assert run.history["cost"][-1] < 0.95 * run.history["cost"][0]


@pytest.mark.parametrize(
    "settings",
    [
        ("network.activation=sigmoid",),
        ("network.activation=tanh",),
        ("chip.nudging.kind=current",),
        ("chip.nudging.kind=clamp", "learning.variant=positive"),
        ("chip.hold.noise=1 mV", "chip.nudging.offset_spread=2 mV"),
        ("chip.bias.kind=rails",),
    ],
    ids=" ".join,
)
def test_other_neurons_and_circuits_learn(settings):
    larger = ("data.train=600", "network.hidden=[32]", "training.batch=10", *RATES)
    run = trainer.train(load(*larger, *settings, epochs=4))
    assert run.history["cost"][-1] < 0.7 * run.history["cost"][0]


def test_engines_train_alike():
    """In float64, where rounding does not decide a sign."""
    words = ("training.precision=float64", "network.hidden=[8, 6]", *RATES)
    one, other = (trainer.train(load(*words, f"training.engine={e}")) for e in ("numba", "numpy"))
    for ours, theirs in zip(one.arrays, other.arrays, strict=True):
        size = np.abs(theirs["conductance"]).max()
        assert_allclose(ours["conductance"], theirs["conductance"], rtol=0, atol=1e-10 * size)


@pytest.mark.parametrize("chip", ["ideal", "epiram"])
def test_every_checkpoint_leads_to_the_same_end(chip, tmp_path, monkeypatch):
    experiment = load(chip=chip)
    reference, copies, save = trainer.train(experiment), [], run_file.save

    def save_and_copy(path, run):
        save(path, run)
        copies.append(shutil.copy(path, tmp_path / f"{len(copies)}.h5"))

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "CHECKPOINT_SECONDS", -1.0)
        patch.setattr(run_file, "save", save_and_copy)
        trainer.train(experiment, out=tmp_path / "a.h5")
    assert "membrane_0" in run_file.load(copies[2]).state
    assert "membrane_0" not in reference.state
    for copy in copies:
        again = trainer.train(experiment, out=copy, resume=True)
        assert run_file.checksum(again) == run_file.checksum(reference)


def test_images_start_from_where_they_ended():
    experiment = load("training.precision=float64")
    data = dataset_of(experiment)
    machine = build(experiment, data)
    assert [layer.shape for layer in machine.stored] == [(60, 8), (60, 10)]
    samples = np.array([3, 50, 7, 8])
    inputs = machine.encode(data.train_images[samples])
    projection = machine.chip.arrays[0].read(inputs)
    batch = Batch(
        inputs=inputs,
        pending=projection,
        targets=machine.targets(data.train_labels[samples]),
        samples=samples,
    )
    rates, unit = machine.learning_rates(0), machine.chip.scale.unit_voltage
    first = machine.step(batch, 0, *rates)
    assert_array_equal(first.outputs, machine.outputs(data.train_images[samples]))
    start = [unit * layer[samples].astype("float64") for layer in machine.stored]
    # Half precision has 11 bits.
    assert_allclose(start[1], first.outputs, rtol=2**-11, atol=1e-6)
    others = np.setdiff1d(np.arange(60), samples)
    assert not machine.stored[0][others].any()
    expected = machine.engine.relax(
        machine.network,
        machine.chip.seen(0),
        machine.chip.sources(0),
        projection,
        start=Equilibrium(state=tuple(start), residual=0, iterations=0, result="fixed sweeps"),
        sweeps=20,
    )
    second = machine.step(batch, 1, *rates)
    assert_array_equal(second.outputs, expected.state[-1])
    assert np.abs(second.outputs - first.outputs).max() > 0


def test_arrays_are_read_backwards_with_their_gain():
    """Another gain of each line, the same in every phase and in evaluation; it still learns."""
    gains = ("chip.converters.transposed_gain_error=20 %",)
    gains += ("chip.converters.transposed_gain_spread=10 %",)
    larger = ("data.train=600", "network.hidden=[32]", "training.batch=10", *RATES)
    run = trainer.train(load(*larger, *gains, epochs=4))
    assert run.history["cost"][-1] < 0.7 * run.history["cost"][0]
    experiment = load(*larger, *gains)
    chip = build(experiment, dataset_of(experiment)).chip
    given = [seen.transposed_gain for seen in chip.seen(0)]
    assert [len(gain) for gain in given] == [64, 32]
    assert abs(given[1].mean() - 1.2) < 4 * 0.12 / np.sqrt(32)
    assert_array_equal(chip.seen(5)[1].transposed_gain, given[1])
    plain = load(*larger)
    exact = build(plain, dataset_of(plain)).chip.seen(0)
    assert [seen.transposed_gain for seen in exact] == [None, None]


@pytest.mark.parametrize("key", ["state_dac", "error_dac", "error_adc"])
def test_converters_of_other_networks_are_refused(key):
    experiment = load(f"chip.converters.{key}.bits=8")
    with pytest.raises(UnsupportedError, match=rf"chip\.converters\.{key}: relaxing networks"):
        build(experiment, dataset_of(experiment))


def test_a_run_says_what_its_lines_carry():
    run = trainer.train(load())
    assert {"voltage", "difference", "bits", "saturated_low"} <= set(run.physical)
    assert (run.physical["voltage"] > 0).all()
    assert (run.physical["voltage"] < run.experiment.chip.input.full_scale).all()
    assert len(summary.physics(run).rows) == 2
    rows = {name: value for name, value, _ in scale.rows(run.experiment, [64, 8])}
    assert rows["leak of an integrator"] == rows["nudging β"] == 10e-6


def test_a_trained_network_is_written_into_another_chip():
    run = trainer.train(load("data.train=300", epochs=4))
    here = evaluation.evaluate(run)
    assert here["test_error"] == run.history["test_error"][-1]
    limited = {"device": {"preset": "ideal", "g_max": "50 uS"}, "mapping": {"weight_range": 9.0}}
    other = chip_specification.load({**limited, "bias": {"kind": "current"}})
    there = evaluation.evaluate(run, chip=other)
    assert_allclose(there["test_error"], here["test_error"], atol=2 / 360)


def test_rates_are_of_each_layer():
    settings = ("chip.mapping.weight_range=[1.0, 5.0]", "learning.learning_rate_decay=0.5")
    experiment = load(*settings, chip="epiram")
    machine = build(experiment, dataset_of(experiment))
    one, five = machine.chip.scale.unit_conductances
    assert_allclose(one, 5 * five)
    rates, _ = machine.learning_rates(1)
    volts = machine.chip.scale.unit_voltage
    assert_allclose(rates, [0.1 * one / volts**2, 0.05 * five / volts**2])


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (("network.activation=relu",), ConfigurationError, "network.activation = relu: a hopfield"),
        (("training.engine=spice",), ConfigurationError, "training.engine = spice: Hopfield"),
        (("training.engine=transient",), ConfigurationError, "engine = transient: Hopfield"),
        (("network.targets=[1, 0]",), ConfigurationError, "the right output, must be above"),
        (("network.targets=[0, 5]",), ConfigurationError, "hard-sigmoid lie between 0 and 1"),
        (
            ("network.activation=tanh", "network.targets=[-1.5, 1]"),
            ConfigurationError,
            "tanh lie between -1 and 1",
        ),
        (("relaxation.accelerator=newton",), UnsupportedError, "take none, but"),
        ((*SWEEPS, "learning.nudging=1.5"), InvalidValueError, "must be below 1, the leak"),
        (
            (*SWEEPS, "learning.nudging=0.95", "chip.nudging.gain_error=0.25"),
            InvalidValueError,
            r"must be below 0.8, the leak of the outputs over 1 \+ chip.nudging.gain_error = 1.25",
        ),
        (("learning.rule=backpropagation",), ConfigurationError, "a hopfield network learns by"),
        (("network.input_gain=3",), ConfigurationError, "a hopfield network has none"),
        (("relaxation.step=1.5",), ConfigurationError, "relaxation.step"),
    ],
)
def test_what_it_does_not_have_is_refused(settings, error, words):
    with pytest.raises(error, match=words):
        trainer.train(load(*settings))


def test_the_recipe_holds_the_published_settings():
    experiment = configuration.load("ep-1h")
    assert (experiment.network.hidden, experiment.network.activation) == ((500,), "hard-sigmoid")
    phases, learning = experiment.phases, experiment.learning
    assert (phases.dynamics, phases.step, phases.start) == ("steps", 0.5, "stored")
    assert (phases.free_sweeps, phases.nudged_sweeps, phases.tolerance) == (20, 4, 0)
    assert (learning.variant, learning.nudging) == ("random_sign", 1.0)
    assert learning.learning_rate_decay == 1
    assert experiment.learning_rates == experiment.bias_learning_rates == (0.2, 0.1)
    assert (experiment.training.epochs, experiment.training.batch) == (25, 20)


def test_the_deepest_recipe_holds_the_published_settings():
    experiment = configuration.load("ep-3h")
    phases, rates = experiment.phases, (0.256, 0.064, 0.016, 0.004)
    assert experiment.network.hidden == (500, 500, 500)
    assert (phases.dynamics, phases.step, phases.start) == ("steps", 0.5, "stored")
    assert (phases.free_sweeps, phases.nudged_sweeps, phases.tolerance) == (500, 8, 0)
    assert (experiment.learning.variant, experiment.learning.nudging) == ("random_sign", 2.0)
    assert experiment.learning_rates == experiment.bias_learning_rates == rates
    assert (experiment.training.epochs, experiment.training.batch) == (500, 20)


@pytest.mark.parametrize("name", ["ep-1h", "ep-2h", "ep-3h"])
def test_fast_recipes_are_the_published_networks_relaxed_to_rest(name):
    published, fast = configuration.load(name), configuration.load(f"{name}-fast")
    assert replace(fast.network, initial_range=None) == published.network
    assert fast.training.batch == published.training.batch
    assert fast.learning.variant == "centered"
    phases = fast.phases
    assert (phases.dynamics, phases.start) == ("sweeps", "stored")
    assert phases.tolerance > 0
    assert phases.overrelaxation > 1
    if name == "ep-1h":
        assert fast.learning_rates == published.learning_rates


def test_first_weights_fill_the_range_of_their_layer():
    ranges = [0.3, 0.01]
    experiment = load(f"network.initial_range={ranges}")
    chip = build(experiment, dataset_of(experiment)).chip
    units = chip.scale.unit_conductances
    for array, unit, largest in zip(chip.arrays, units, ranges, strict=True):
        assert 0.9 * largest < np.abs(array.values() / unit).max() <= largest


def test_targets_may_stand_between_the_limits():
    experiment = load("network.targets=[0.1, 0.9]")
    machine = build(experiment, dataset_of(experiment))
    found = machine.targets(np.array([2, 0])) / machine.chip.scale.unit_voltage
    assert_allclose(found, 0.1 + 0.8 * np.eye(10)[[2, 0]], rtol=1e-6)
    readout = ("network.output=softmax", "network.cost=cross-entropy", "network.targets=[0.1, 0.9]")
    with pytest.raises(
        ConfigurationError, match=r"network.targets = \[0.1, 0.9\]: the outputs of a"
    ):
        load(*SWEEPS, *readout)
