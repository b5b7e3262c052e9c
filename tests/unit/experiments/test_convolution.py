"""Convolutions and a softmax readout as experiments: configuration, chips, run files, commands."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.cli import main
from neurohw.datasets import from_arrays
from neurohw.errors import ConfigurationError, DataError, InvalidValueError, UnsupportedError
from neurohw.experiments import configuration, evaluation, hopfield_machine, run_file, trainer
from neurohw.experiments.gradient_check import check
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.mappings import chip_specification

FEW = ("data.name=digits", "data.train=60", "training.batch=10", "training.engine=numpy")
FEW = (*FEW, "network.initial_range=0.4")
SHORT = ("relaxation.tolerance=0", "relaxation.free_sweeps=4", "relaxation.nudged_sweeps=2")
MAPS = "network.convolutions=[{channels=4,kernel=3,pool='max'},{channels=6,kernel=2}]"


def load(*settings, chip="ideal", epochs=2):
    given = (*FEW, MAPS, "learning.learning_rate=0.2", "learning.bias_learning_rate=0.1", *settings)
    return configuration.load("ep-conv", chip=chip, settings=given, epochs=epochs)


@pytest.mark.parametrize(
    ("settings", "chip"),
    [
        ((), "ideal"),
        (("network.convolutions=[{channels=6,kernel=3,padding=1,pool='average'}]",), "ideal"),
        (("chip.mapping.weight_range=0.3", *SHORT), "epiram"),
        (("chip.device.reading.relative=5 %", "chip.device.reading.correlation=phase"), "ideal"),
        (("chip.converters.input_dac.bits=6", "chip.converters.state_adc.bits=10"), "ideal"),
    ],
    ids=["ideal", "average pooling", "device", "read noise", "converters"],
)
def test_training_lowers_the_cost(settings, chip):
    """10 classes: without learning the cross-entropy is ln 10."""
    run = trainer.train(load("data.train=600", *settings, chip=chip, epochs=4))
    assert run.history["cost"][-1] < 0.8 * np.log(10)


@pytest.mark.parametrize("variant", ["positive", "negative", "random_sign", "centered"])
def test_a_dense_network_learns_with_a_softmax_readout(variant):
    dense = ("network.convolutions=[]", "network.hidden=[20]", f"learning.variant={variant}")
    run = trainer.train(load(*dense, "data.train=300", "relaxation.free_sweeps=10", epochs=4))
    assert run.history["cost"][-1] < 0.75 * np.log(10)


def test_an_update_by_sample_is_the_same_in_sum():
    experiments = [load(s) for s in ("learning.variant=centered", "chip.programming.events=sample")]
    found = []
    for experiment in experiments:
        data = dataset_of(experiment)
        machine = build(experiment, data)
        inputs = machine.encode(data.train_images[:10])
        words = machine.chip.arrays[0].read(inputs), machine.targets(data.train_labels[:10])
        contrast = machine.rule.phases(*words, None, 0, inputs)
        updates, biases = machine.rule.updates(contrast, inputs, [1.0] * 3, [1.0] * 3)
        found.append([sum(u.dense(0, e) for e in range(len(u.presynaptic))) for u in updates])
        assert [u.presynaptic.shape[1:] for u in biases] == [(1, 1)] * 3
    assert len(updates[0].presynaptic) == 10
    for one, other in zip(*found, strict=True):
        assert_allclose(one, other, rtol=0, atol=1e-4 * np.abs(one).max())


def test_colours_come_first_or_last():
    """The same network, whichever way the pixels of its images run."""
    rng = np.random.default_rng(0)
    images, labels = rng.uniform(size=(40, 3, 6, 6)), np.arange(40) % 10
    experiment = load("data.name=digits", "data.train=40")
    states = []
    for pictures in (images, np.moveaxis(images, 1, 3)):
        arrays = {"train_images": pictures.astype(np.float32), "train_labels": labels}
        data = from_arrays(
            "colours", {**arrays, "test_images": arrays["train_images"], "test_labels": labels}
        )
        with computing():
            machine = build(experiment, data)
            states.append(machine.outputs(data.train_images[:5]))
    assert_array_equal(*states)


def test_every_checkpoint_leads_to_the_same_end(tmp_path, monkeypatch):
    experiment = load("data.train=20")
    reference, copies, save = trainer.train(experiment), [], run_file.save

    def save_and_copy(path, run):
        save(path, run)
        copies.append(shutil.copy(path, tmp_path / f"{len(copies)}.h5"))

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "CHECKPOINT_SECONDS", -1.0)
        patch.setattr(run_file, "save", save_and_copy)
        trainer.train(experiment, out=tmp_path / "a.h5")
    for copy in copies:
        again = trainer.train(experiment, out=copy, resume=True)
        assert run_file.checksum(again) == run_file.checksum(reference)


def test_commands_take_a_run_with_convolutions(tmp_path):
    path = tmp_path / "run.h5"
    run = trainer.train(load(), out=path)
    assert [array["conductance"].shape for array in run.arrays] == [(4, 9), (6, 16), (10, 24)]
    for words in (("info", path), ("evaluate", path), ("report", path)):
        outcome = CliRunner().invoke(main, list(map(str, words)))
        assert outcome.exit_code == 0, outcome.output
    pages = list(tmp_path.glob("*.html"))
    assert len(pages) == 1
    assert "4 of 4 units, conductance, as 3 × 3 images" in pages[0].read_text(encoding="utf-8")
    outcome = CliRunner().invoke(main, ["estimate", str(path)])
    assert outcome.exit_code == 2
    assert "network.convolutions: chips have no costs of its circuits" in outcome.output


def test_a_run_is_evaluated_on_another_chip_and_on_its_own_images_only():
    run = trainer.train(load())
    errors = evaluation.evaluate(run, chip=chip_specification.load("epiram"))
    assert 0 <= errors["test_error"] <= 1
    digits = dataset_of(load())
    other = from_arrays(
        "other",
        {
            "train_images": digits.train_images[:, :49].reshape(-1, 7, 7),
            "train_labels": digits.train_labels,
        },
    )
    with pytest.raises(DataError, match="do not fit a network of 64 pixels and 10 outputs"):
        evaluation.evaluate(run, dataset=other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("network.output=linear",), "network.output = linear: the outputs of a hopfield network"),
        (("network.cost=squared",), "network.cost = cross-entropy and network.output = softmax"),
        (("learning.variant=holomorphic",), "learning.variant = holomorphic: not with network"),
        (("learning.variant=coupled",), "learning.variant = coupled: not with network.output"),
        (("chip.nudging.kind=current",), "chip.nudging.kind = current: network.output = softmax"),
        (("learning.rule=stdp",), "learning.rule = stdp: not with network.convolutions"),
        (("network.convolutions=[]",), "hidden = []: must list at least one layer"),
        (("network.convolutions=[{channels=4,kernel=0}]",), "kernel"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_these_networks_do_not_have_is_refused(settings, message):
    with pytest.raises((ConfigurationError, InvalidValueError)) as error:
        load(*settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("network.convolutions=[{channels=2,kernel=9}]",), "kernel = 9: does not fit"),
        (
            ("network.convolutions=[{channels=2,kernel=4,pool='max'}]",),
            r"network.convolutions\[0\]: pool = max: a map of 5 × 5",
        ),
        (("network.activation=tanh",), "pool = max: needs an activation"),
        (("chip.device.reading.disturb=1 %",), "disturb"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_networks_that_cannot_be_built_are_refused(settings, message):
    with pytest.raises((InvalidValueError, UnsupportedError, ConfigurationError), match=message):
        experiment = load(*settings)
        build(experiment, dataset_of(experiment))


DENSE = ("network.convolutions=[]", "network.hidden=[6]")
PULLED = ("relaxation.dynamics=sweeps", "learning.learning_rate=0.1", "learning.nudging=0.5")


@pytest.mark.parametrize(
    ("recipe", "settings", "variant", "where"),
    [
        ("ep-conv", (MAPS, "network.activation=sigmoid"), "holomorphic", "network.output"),
        ("ep-conv", (*DENSE, "network.activation=sigmoid"), "langevin", "network.output"),
        ("ep-1h", (MAPS, *PULLED), "langevin", "network.convolutions"),
        ("ep-1h", (*DENSE, *PULLED), "langevin", "relaxation.tolerance"),
    ],
)
def test_variants_that_it_has_not_are_no_points_of_a_gradient_check(
    recipe, settings, variant, where
):
    given = (*FEW, *settings, "learning.bias_learning_rate=0.1", "learning.learning_rate=0.1")
    names = dict(variants=["centered", variant], nudgings=[0.01], samples=2)
    found = check(recipe, settings=given, converged=True, **names)
    assert [point.setting.variant for point in found.points] == ["centered"]
    assert f"learning.variant = {variant}: not with {where}" in found.left_out[0].reason


def test_a_kernel_as_large_as_the_image_learns_the_gradient():
    maps = "network.convolutions=[{channels=6,kernel=8}]"
    given = (*FEW, maps, "learning.learning_rate=0.1")
    found = check("ep-conv", settings=given, converged=True, nudgings=[1e-3], samples=10)
    # β² is 1e-6, and no node of these images is near a limit.
    assert found.points[0].overall.relative_error < 1e-5


def test_maps_count_among_what_stored_equilibria_take(monkeypatch):
    """60 images of 4·3·3 + 6·2·2 + 10 nodes in half precision take 8400 bytes."""
    experiment = load("relaxation.start=stored")
    monkeypatch.setattr(hopfield_machine, "memory", lambda: 8399.0)
    with pytest.raises(InvalidValueError, match="60 images of 70 nodes take"):
        build(experiment, dataset_of(experiment))
    monkeypatch.setattr(hopfield_machine, "memory", lambda: 8400.0)
    build(experiment, dataset_of(experiment))
