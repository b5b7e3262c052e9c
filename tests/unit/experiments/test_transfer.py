"""Transfer: as programmed as `evaluate` says, then fine-tuned; resumed bit for bit; mismatches."""

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from neurohw.errors import RunFileError, UnsupportedError
from neurohw.experiments import configuration, evaluation, run_file, trainer, transfer
from neurohw.experiments.machine import build, computing, dataset_of

FEW = ("data.train=100", "learning.nudging=0.5")


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A run on the ideal chip, and its file."""
    path = tmp_path_factory.mktemp("start") / "ideal.h5"
    experiment = configuration.load("drn-digits", chip="ideal", settings=FEW, epochs=1)
    return trainer.train(experiment, out=path), path


def test_the_chip_starts_from_the_nearest_values(origin, tmp_path):
    run, path = origin
    experiment = configuration.load(run.experiment, chip="epiram", epochs=0)
    started = trainer.train(experiment, start=path, out=tmp_path / "b.h5")
    expected = evaluation.evaluate(run, chip=experiment.chip)
    assert started.start == {
        "run": str(path),
        "checksum": run_file.checksum(run),
        "chip": "ideal",
        **{key: repr(value) for key, value in expected.items()},
    }
    again = run_file.load(tmp_path / "b.h5")
    assert again.start == started.start
    assert evaluation.evaluate(again) == expected
    with computing():
        fresh = build(experiment, dataset_of(experiment))
        transfer.program(run, fresh, dataset_of(experiment))
    for array, record in zip(fresh.chip.arrays, started.arrays, strict=True):
        assert_array_equal(array.values(), record["conductance"])


def test_fine_tuning_in_place(origin):
    run, _ = origin
    experiment = configuration.load(run.experiment, chip="epiram", epochs=4)
    tuned = trainer.train(experiment, start=run)
    assert tuned.start["run"] == ""
    # One epoch before it was written, four after.
    assert tuned.history["train_error"][-1] < float(tuned.start["train_error"])
    assert tuned.counters["epoch"] == 4


def test_a_started_run_resumes_bit_for_bit(origin, tmp_path, monkeypatch):
    run, path = origin
    experiment = configuration.load(run.experiment, chip="epiram", epochs=2)
    whole = trainer.train(experiment, start=path)
    out, program, count = tmp_path / "a.h5", trainer._Training._train_batch, []

    def interrupted(self, *rates):
        count.append(1)
        if len(count) == 40:
            self.save()
            raise KeyboardInterrupt
        program(self, *rates)

    monkeypatch.setattr(trainer._Training, "_train_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(experiment, start=path, out=out)
    monkeypatch.undo()
    monkeypatch.setattr(transfer, "start", None)
    resumed = trainer.train(experiment, start=path, out=out, resume=True)
    assert run_file.checksum(resumed) == run_file.checksum(whole)
    assert resumed.start == whole.start
    # The checkpoint holds all that is needed.
    assert run_file.checksum(trainer.train(experiment, out=out, resume=True)) == (
        run_file.checksum(whole)
    )


def test_the_start_counts_for_the_checksum_its_place_does_not(origin):
    run, path = origin
    experiment = configuration.load(run.experiment, chip="epiram", epochs=0)
    named, unnamed = (trainer.train(experiment, start=start) for start in (path, run))
    assert run_file.checksum(named) == run_file.checksum(unnamed)
    unnamed.start["test_error"] = "0.0"
    assert run_file.checksum(named) != run_file.checksum(unnamed)


def test_a_checkpoint_of_another_start_is_refused(origin, tmp_path):
    run, path = origin
    experiment = configuration.load(run.experiment, chip="epiram", epochs=0)
    trainer.train(experiment, start=path, out=tmp_path / "a.h5")
    other = msgspec.structs.replace(run.experiment, training=experiment.training)
    trainer.train(other, out=tmp_path / "other.h5")
    with pytest.raises(
        RunFileError, match=r"a\.h5: start: it began from .*ideal\.h5 \([0-9a-f]{12}"
    ):
        trainer.train(experiment, start=tmp_path / "other.h5", out=tmp_path / "a.h5", resume=True)
    trainer.train(experiment, out=tmp_path / "plain.h5")
    with pytest.raises(RunFileError, match=r"plain\.h5: start: it began from no run, not from"):
        trainer.train(experiment, start=path, out=tmp_path / "plain.h5", resume=True)


def test_another_network_is_refused(origin, tmp_path):
    run, path = origin
    experiment = configuration.load(run.experiment, settings=("network.hidden=[32]",))
    words = r"ideal\.h5: network: its lines and units are 128-64-10, those to train 128-32-10"
    with pytest.raises(RunFileError, match=words):
        trainer.train(experiment, start=path, out=tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


def test_bias_cells_are_refused(origin):
    run, _ = origin
    experiment = configuration.load(run.experiment, settings=("chip.bias.kind=rails",))
    with pytest.raises(UnsupportedError, match=r"chip\.bias\.kind = rails"):
        trainer.train(experiment, start=run)


@pytest.mark.parametrize("recipe", ["mlp-1h", "ep-1h"])
def test_signed_weights_are_written_and_tuned(recipe):
    few = ("data.name=digits", "data.train=60", "network.hidden=[8]")
    run = trainer.train(configuration.load(recipe, chip="epiram", settings=few, epochs=1))
    experiment = configuration.load(run.experiment, chip="gst-pcm", epochs=1)
    tuned = trainer.train(experiment, start=run)
    assert tuned.start["chip"] == "epiram"
    expected = evaluation.evaluate(run, chip=experiment.chip)
    assert {key: float(tuned.start[key]) for key in expected} == expected
    with computing():
        fresh = build(experiment, dataset_of(experiment))
        transfer.program(run, fresh, dataset_of(experiment))
    old, new = (build(e, dataset_of(e)) for e in (run.experiment, experiment))
    old.restore(run)
    new.chip.write(*old.chip.logical())
    for ours, theirs, record in zip(fresh.chip.arrays, new.chip.arrays, tuned.arrays, strict=True):
        assert_array_equal(ours.values(), theirs.values())
        # It went on learning from there.
        assert (record["conductance"] != ours.values()).any()


def test_dimensionless_values_survive_the_way(origin):
    run, _ = origin
    experiment = configuration.load(
        run.experiment, settings=("chip.mapping.unit_conductance=30 uS",), epochs=0
    )
    moved = trainer.train(experiment, start=run)
    for ours, theirs in zip(moved.arrays, run.arrays, strict=True):
        wanted = 3 * theirs["conductance"].astype(np.float64)
        np.testing.assert_allclose(ours["conductance"], wanted, rtol=1e-6)
