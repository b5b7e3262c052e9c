"""Evaluation: on the own chip and on others, on the own data and on others."""

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw import datasets
from neurohw.errors import DataError, RunFileError, UnsupportedError
from neurohw.experiments import evaluation, run_file, trainer
from neurohw.mappings import chip_specification


@pytest.mark.parametrize("chip", ["ideal", "epiram"])
@pytest.mark.parametrize("bias", ["off", "current", "rails"])
def test_evaluation_on_the_own_chip(small, tmp_path, chip, bias):
    experiment = small(f"chip.bias.kind={bias}", chip=chip)
    trained = trainer.train(experiment, out=tmp_path / "a.h5")
    run = run_file.load(tmp_path / "a.h5")
    result = evaluation.evaluate(run)
    assert result["test_error"] == trained.history["test_error"][-1]
    assert evaluation.evaluate(run, chip=experiment.chip) == result
    assert run_file.checksum(run) == run_file.checksum(trained)


def test_evaluation_on_another_chip(small):
    ideal, epiram = (chip_specification.load(name) for name in ("ideal", "epiram"))
    learns = ("data.train=200", "network.hidden=[64]", "learning.nudging=0.5")
    settings = (*learns, "learning.bias_learning_rate=0.0")
    run = trainer.train(small(*settings, epochs=4))
    own = run.history["test_error"][-1]
    assert abs(evaluation.evaluate(run, chip=epiram)["test_error"] - own) < 0.15
    pulsed = trainer.train(small(*settings, chip="epiram", epochs=4))
    moved = evaluation.evaluate(pulsed, chip=ideal)["test_error"]
    assert_allclose(moved, pulsed.history["test_error"][-1], atol=0.01)
    other_scale = msgspec.structs.replace(
        ideal, mapping=msgspec.structs.replace(ideal.mapping, unit_conductance=3e-4)
    )
    assert_allclose(evaluation.evaluate(run, chip=other_scale)["test_error"], own, atol=0.006)


def test_bias_cells_stay_on_their_chip(small):
    run = trainer.train(small("chip.bias.kind=rails", epochs=1))
    with pytest.raises(UnsupportedError, match=r"chip\.bias\.kind = off"):
        evaluation.evaluate(run, chip=chip_specification.load("epiram"))


def own_data(path, pixels=12, classes=3, seed=0):
    """Write blobs that are easy to tell apart, in numbers that 4 does not divide."""
    rng = np.random.default_rng(seed)
    centres = rng.random((classes, pixels)) > 0.5

    def part(count):
        labels = np.arange(count) % classes
        noise = rng.random((count, pixels))
        return np.where(centres[labels], 0.5, 0.0) + 0.5 * noise, labels

    train_images, train_labels = part(90)
    test_images, test_labels = part(31)
    np.savez(
        path,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
    )


def test_own_data_from_end_to_end(small, tmp_path):
    data, out = tmp_path / "mine.npz", tmp_path / "a.h5"
    own_data(data)
    wide = ("network.hidden=[32]", "learning.nudging=0.1", "data.train=90")
    trainer.train(small(*wide, f"data.name={data}", epochs=8), out=out)
    run = run_file.load(out)
    assert [array["conductance"].shape for array in run.arrays] == [(32, 24), (3, 32)]
    assert run.history["test_error"][-1] < 0.2
    assert evaluation.evaluate(run)["test_error"] == run.history["test_error"][-1]

    own_data(data, seed=1)
    with pytest.raises(RunFileError, match=r"mine\.npz: dataset\.checksum = .*another one"):
        evaluation.evaluate(run)
    other = evaluation.evaluate(run, dataset=datasets.load(data))
    assert other["test_error"] > run.history["test_error"][-1]

    own_data(data, pixels=13)
    with pytest.raises(DataError, match=r"13 pixels and 3 classes do not fit .* 12 pixels and 3"):
        evaluation.evaluate(run, dataset=datasets.load(data))
