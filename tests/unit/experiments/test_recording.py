"""Recordings of networks on their way: at which times, of what, and without a trace."""

import numpy as np
import pytest

from neurohw.errors import InvalidValueError, StudyError
from neurohw.experiments import configuration, recording, trainer
from neurohw.experiments.machine import build, dataset_of
from neurohw.experiments.recording import Recorder, log_times

FEW = ("data.name=digits", "data.train=60", "training.batch=10", "network.hidden=[7]")
SWEEPS = ("relaxation.tolerance=0", "relaxation.free_sweeps=8", "relaxation.nudged_sweeps=4")
KINDS = {
    "resistive": ("drn-digits", (*FEW, "learning.nudging=0.02")),
    "feedforward": ("mlp-1h", FEW),
    "noisy": ("mlp-1h", (*FEW, "chip.device.reading.absolute=1 %")),
    "hopfield": ("ep-1h-fast", (*FEW, *SWEEPS)),
    "sigmoid": (
        "ep-1h-fast",
        (*FEW, *SWEEPS, "network.activation=sigmoid", "relaxation.overrelaxation=1"),
    ),
    "boltzmann": ("rbm", FEW),
}


def experiment_of(kind, epochs=2):
    recipe, settings = KINDS[kind]
    chip = "idealized" if kind == "noisy" else None
    return configuration.load(recipe, chip=chip, settings=settings, epochs=epochs)


@pytest.mark.parametrize("steps", [20, 21, 37, 400, 100_000])
def test_times_are_evenly_spaced_in_their_logarithm(steps):
    times = log_times(steps)
    assert len(times) == 21
    assert (times[0], times[1], times[-1]) == (0, 1, steps)
    assert all(np.diff(times) > 0)
    if steps == 100_000:
        ratios = np.diff(np.log(times[10:]))
        assert ratios == pytest.approx(np.log(steps) / 19, rel=0.01)


@pytest.mark.parametrize("count", [1, 22])
def test_there_must_be_so_many_different_times(count):
    with pytest.raises(InvalidValueError, match=f"times = {count}: must be 2 or more, and at most"):
        log_times(20, count)


@pytest.mark.parametrize("kind", KINDS)
def test_recording_leaves_the_training_as_it_is(kind):
    experiment = experiment_of(kind)
    dataset = dataset_of(experiment)
    recorder = Recorder(log_times(12, 5), dataset, images=30)
    alone, watched = trainer.train(experiment), trainer.train(experiment, observe=recorder)
    assert np.array_equal(alone.history["test_error"], watched.history["test_error"])
    for one, other in zip(alone.arrays, watched.arrays, strict=True):
        assert np.array_equal(one["conductance"], other["conductance"])
    found = recorder.recording()
    machine = build(experiment, dataset)
    first = machine.chip.logical()[0]
    machine.restore(watched)
    last = machine.chip.logical()[0]
    assert found.times.tolist() == [0, 1, 2, 5, 12]
    for weights, before, after in zip(found.weights, first, last, strict=True):
        assert weights[0] == pytest.approx(before, rel=1e-6)
        assert weights[-1] == pytest.approx(after, rel=1e-6)
    for layer, now in zip(found.states, machine.states(dataset.train_images[:30]), strict=True):
        assert layer.shape == (5, 30, now.shape[1])
        assert layer[-1] == pytest.approx(now, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("boltzmann", "noisy")])
def test_the_last_states_are_the_outputs(kind):
    experiment = experiment_of(kind)
    dataset = dataset_of(experiment)
    machine = build(experiment, dataset)
    states = machine.states(dataset.test_images)
    outputs = machine.outputs(dataset.test_images)
    assert np.array_equal(states[-1].argmax(axis=1), outputs.argmax(axis=1))
    if kind == "feedforward":
        assert np.array_equal(states[-1], outputs)
    elif kind == "sigmoid":
        unit = machine.chip.scale.unit_voltage
        assert states[-1] == pytest.approx(1 / (1 + np.exp(2 - 4 * outputs / unit)), abs=1e-6)
    else:
        assert states[-1] == pytest.approx(outputs / machine.chip.scale.unit_voltage, rel=1e-6)


def test_states_of_a_boltzmann_machine_are_probabilities_of_its_units():
    experiment = experiment_of("boltzmann")
    dataset = dataset_of(experiment)
    machine = build(experiment, dataset)
    images = dataset.train_images[:5]
    weights, (hidden, _) = machine.chip.logical()
    totals = images @ weights[0][:, : images.shape[1]].T + hidden
    assert machine.states(images)[0] == pytest.approx(1 / (1 + np.exp(-totals)), rel=1e-4)


def test_recordings_are_read_back(tmp_path):
    experiment = experiment_of("feedforward", epochs=1)
    recorder = Recorder(log_times(6, 3), dataset_of(experiment), images=4)
    trainer.train(experiment, observe=recorder)
    before, path = recorder.recording(), tmp_path / "one.h5"
    path.write_bytes(recording.to_bytes(before))
    after = recording.load(path)
    assert np.array_equal(before.times, after.times)
    assert np.array_equal(before.inputs, after.inputs)
    assert np.array_equal(before.labels, after.labels)
    for name in ("weights", "states"):
        for one, other in zip(getattr(before, name), getattr(after, name), strict=True):
            assert np.array_equal(one, other)


def test_what_is_no_recording_is_refused(tmp_path):
    path = tmp_path / "none.h5"
    with pytest.raises(StudyError, match=r"none\.h5: cannot be read as a recording"):
        recording.load(path)
    path.write_bytes(b"something else")
    with pytest.raises(StudyError, match=r"none\.h5: cannot be read as a recording"):
        recording.load(path)


def test_a_recording_of_part_of_a_training_is_refused():
    experiment = experiment_of("feedforward", epochs=1)
    recorder = Recorder(log_times(12, 3), dataset_of(experiment))
    trainer.train(experiment, observe=recorder)
    with pytest.raises(StudyError, match="2 of 3 times were recorded"):
        recorder.recording()
