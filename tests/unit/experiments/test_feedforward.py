"""Feed-forward networks through the whole: configuration, training, resuming, evaluation."""

import h5py
import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.cli.info import describe
from neurohw.errors import ConfigurationError, NumericalError, UnsupportedError
from neurohw.experiments import configuration, evaluation, physics, run_file, scale, trainer
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.machine import build, dataset_of
from neurohw.experiments.trained_circuit import trained
from neurohw.mappings import chip_specification
from neurohw.reports import html

CHIP = ("chip.device=epiram", "chip.bias.kind=rails", "chip.device.range_spread=5 %")
CONVERTERS = (
    *("chip.converters.input_dac.bits=4", "chip.converters.state_adc.bits=6"),
    *("chip.converters.state_dac.bits=4", "chip.converters.error_dac.bits=6"),
    *("chip.converters.error_adc.bits=6", "chip.converters.error_adc.noise_lsb=0.5"),
)


def small(*settings, recipe="neurosim-400-100-10", epochs=2):
    few = ("data.name=digits", "data.train=40", "data.crop=1", "network.hidden=[6]")
    few = (*few, "training.images_per_epoch=24", "training.batch=3")
    if recipe == "mlp-1h":
        few = (*few, "network.initial_range=0.5")
    return configuration.load(recipe, settings=(*few, *settings), epochs=epochs)


def test_an_ideal_chip_learns_the_digits():
    experiment = configuration.load(
        "mlp-1h", settings=("data.name=digits", "network.hidden=[32]", "training.batch=8"), epochs=8
    )
    run = trainer.train(experiment)
    # The seventh part of the errors that guessing makes: the rest of the images are hard.
    assert run.history["train_error"][-1] < 0.06
    assert run.history["test_error"][-1] < 0.13
    assert run.history["cost"][-1] < 0.3 * run.history["cost"][0]


@pytest.mark.parametrize(
    "settings",
    [
        CHIP,
        (*CHIP, "chip.mapping.scheme=differential-pair", "chip.mapping.refresh=5"),
        ("chip.device=ideal", "chip.bias.kind=current", "learning.bias_learning_rate=0.1"),
        (*CHIP, *CONVERTERS, "chip.converters.calibration_interval=5"),
    ],
    ids=["column", "pair", "unlimited", "converters"],
)
def test_a_resumed_run_is_the_uninterrupted_one(settings, tmp_path, monkeypatch):
    experiment, out = small(*settings), tmp_path / "run.h5"
    reference = trainer.train(experiment)
    save, copies = run_file.save, []

    def stop(path, run):
        save(path, run)
        copies.append(run.counters)
        if len(copies) == 11:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(run_file, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(experiment, out=out)
    assert copies[-1]["epoch"] == 1
    assert copies[-1]["step"] > 0
    monkeypatch.setattr(run_file, "save", save)
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 30.0)
    resumed = trainer.train(experiment, out=out, resume=True)
    assert run_file.checksum(resumed) == run_file.checksum(reference)
    assert run_file.checksum(run_file.load(out)) == run_file.checksum(reference)


def test_a_run_is_evaluated_on_its_chip_and_on_another_and_reported(tmp_path):
    run = trainer.train(small(*CHIP))
    found = evaluation.evaluate(run)
    assert found["test_error"] == pytest.approx(run.history["test_error"][-1])
    exact = chip_specification.load("ideal")
    assert 0 <= evaluation.evaluate(run, chip=exact)["train_error"] < 1
    assert set(run.physical) == {"saturated_low", "saturated_high"}
    page = html.write([run], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "virtual ground" in page
    assert "as 6 × 6 images" in page


def test_every_converter_is_a_switch():
    def weights(*settings):
        run = trainer.train(small("chip.device=ideal", *settings, epochs=1))
        return run, np.concatenate([array["conductance"].ravel() for array in run.arrays])

    plain = weights()[1]
    trained = []
    # Inputs are black and white: only an error of gain shows.
    for setting in ("chip.converters.input_dac.gain_error=-10 %", *CONVERTERS[1:5]):
        trained.append(weights(setting)[1])
        assert np.abs(trained[-1] - plain).max() > 1e-3 * np.abs(plain).max()
    assert len(np.unique(np.stack(trained), axis=0)) == len(trained)


def test_a_run_with_converters_is_evaluated_by_its_ranges_and_reported(tmp_path):
    experiment = small(*CHIP, *CONVERTERS, "chip.converters.input_dac.noise=5 mV")
    run = trainer.train(experiment)
    ranges = {key: held for key, held in run.state.items() if key.endswith("_range")}
    assert {key: len(held) for key, held in ranges.items()} == {
        **{"state_range": 2, "error_dac_range": 1, "error_range": 1}
    }
    assert all(np.isfinite(held).all() for held in ranges.values())
    assert evaluation.evaluate(run)["test_error"] == run.history["test_error"][-1]
    other = msgspec.structs.replace(experiment.chip, name="other")
    assert 0 <= evaluation.evaluate(run, chip=other)["test_error"] < 1
    run_file.save(tmp_path / "run.h5", run)
    with h5py.File(tmp_path / "run.h5") as file:
        assert {file["state"][key].attrs["unit"] for key in ranges} == {b"V"}
    facts = describe(str(tmp_path / "run.h5"))
    found = {row["name"]: row for row in facts["resolution"]}
    assert found["input_dac"]["step"] == pytest.approx(0.2 / 15)
    assert found["state_dac of layer 1"]["step"] == pytest.approx(0.2 / 15)
    assert found["state_adc of layer 2"]["full_scale"] == run.state["state_range"][1]
    assert found["error_dac of layer 2"]["full_scale"] == run.state["error_dac_range"][0]
    assert found["error_adc of layer 1"]["step"] == run.state["error_range"][0] / 32


def test_a_network_goes_on_behind_other_converters():
    run = trainer.train(small(*CHIP, epochs=1))
    after = trainer.train(small(*CHIP, *CONVERTERS, epochs=1), start=run)
    assert 0 <= float(after.start["test_error"]) < 1
    assert np.isfinite(after.state["error_range"]).all()


def test_ranges_are_found_anew_when_they_are_due():
    experiment = small("chip.converters.error_adc.bits=8", "chip.converters.calibration_interval=3")
    data = dataset_of(experiment)
    machine = build(experiment, data)
    machine.prepare(0, data)
    first = machine.chip.ranges["error"].copy()
    weights, _ = machine.chip.logical()
    machine.chip.write([0.5 * w for w in weights], [])
    machine.prepare(2, data)
    assert_array_equal(machine.chip.ranges["error"], first)
    machine.prepare(3, data)
    assert (machine.chip.ranges["error"] < 0.8 * first).all()


def test_an_epoch_may_be_some_images_drawn_anew():
    experiment = small()
    training = trainer._Training(experiment, dataset_of(experiment), None, None)
    assert training.steps == 8
    drawn = [set(training._order(epoch)[:24]) for epoch in (0, 1)]
    assert drawn[0] != drawn[1]
    assert max(map(max, drawn)) >= 24


def test_images_are_cropped_and_made_black_and_white():
    plain = dataset_of(configuration.load("drn-digits"))
    dataset = dataset_of(small("data.threshold=0.4"))
    assert dataset.image_shape == (6, 6)
    whole = plain.train_images[:40].reshape(-1, 8, 8)[:, 1:-1, 1:-1].reshape(40, 36)
    assert_array_equal(dataset.train_images, whole >= np.float32(0.4))


def test_written_weights_are_the_network_on_any_scheme():
    experiment = small("chip.device=ideal")
    machine = build(experiment, dataset_of(experiment))
    weights, biases = machine.chip.logical()
    assert biases == []
    assert [w.shape for w in weights] == [(6, 36), (10, 6)]
    assert np.abs(weights[0]).max() <= 1.0
    other = build(small("chip.mapping.n_levels=0"), dataset_of(experiment)).chip
    other.write(weights, biases)
    # Of float32 conductances, less a reference of half the range.
    assert_allclose(other.logical()[0][0], weights[0], rtol=0, atol=4e-7)


def test_rates_are_those_of_the_scale():
    rows = {name: (value, unit) for name, value, unit in scale.rows(small(), [36, 6])}
    assert rows["weight of 1 of layer 1"] == (pytest.approx(10e-6), "S")
    assert rows["learning rate of layer 1"] == (pytest.approx(0.8 * 10e-6 / 0.2**2), "S/V²")


def test_overflow_is_named():
    with pytest.raises(NumericalError, match=r"epoch 1, mini-batch \d+: input of layer \d"):
        trainer.train(small("learning.learning_rate=1e38", recipe="mlp-1h"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("learning.rule=equilibrium-propagation",), r"feedforward network learns by backprop"),
        (("network.input_gain=2.0",), r"network\.input_gain: a feedforward network has none"),
        (("relaxation.free_sweeps=4", "relaxation.nudged_sweeps=4"), r"relaxation: a feedforward"),
        (("chip.mapping.scheme=single-ended",), r"mapping\.scheme = single-ended"),
        (("chip.mapping.weight_range=[1.0]",), r"chip\.mapping\.weight_range = \[1\.0\]"),
        (("training.engine=spice",), r"training\.engine = spice: a feedforward network does not"),
        (("network.output=softmax",), r"network\.output = softmax: goes with"),
        (("chip.converters.nudge_dac.bits=8",), r"chip\.converters\.nudge_dac: feed-forward"),
        (("chip.hold.noise=1 mV",), r"chip\.hold: feed-forward networks have none"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(settings, message):
    with pytest.raises(Exception, match=message) as caught:
        experiment = small(*settings)
        build(experiment, dataset_of(experiment))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["input_gain", "activation"])
def test_a_key_that_a_kind_needs_is_asked_for(key):
    recipe = "mlp-1h" if key == "activation" else "drn-xs"
    table = configuration.RECIPES.table(recipe)
    del table["network"][key]
    with pytest.raises(ConfigurationError, match=rf"network\.{key}: is missing"):
        from neurohw import specification

        specification.read(table, Experiment, where="mine.toml")


def test_circuits_that_settle_are_resistive():
    run = trainer.train(small(epochs=1))
    with pytest.raises(UnsupportedError, match=r"network\.kind = feedforward"):
        trained(run, slice(0, 1))


def test_a_resistive_chip_takes_single_ended_cells_only():
    experiment = configuration.load("drn-digits", settings=("chip.mapping.scheme=offset",))
    with pytest.raises(Exception, match=r"mapping\.scheme = offset"):
        build(experiment, dataset_of(experiment))


@pytest.mark.parametrize(
    "beside", [(), ("chip.device=epiram", "chip.programming.accumulate=carry")]
)
def test_saturated_cells_are_counted_in_every_crossbar(beside):
    pair = ("chip.mapping.scheme=differential-pair", "network.initial_range=1.0")
    experiment = small(*pair, *beside)
    machine = build(experiment, dataset_of(experiment))
    found = physics.measure(machine, dataset_of(experiment))
    # Half of the weights lie beyond the range: both cells of each are at opposite limits.
    assert found["saturated_low"][0] == pytest.approx(0.25, abs=0.06)
    assert found["saturated_high"][0] == pytest.approx(0.25, abs=0.06)
