"""Training: it learns, reports progress, stops at NaN; both engines."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import CrossbarArray
from neurohw.circuits import tiles
from neurohw.errors import ConvergenceError, InvalidValueError, NumericalError
from neurohw.experiments import evaluation, run_file, trainer
from neurohw.experiments.machine import ResistiveMachine, dataset_of

LEARNS = ("data.train=200", "network.hidden=[64]", "learning.nudging=0.5")


@pytest.fixture
def eager(monkeypatch):
    """Report progress after every mini-batch."""
    monkeypatch.setattr(trainer, "_PROGRESS_SECONDS", -1.0)


@pytest.mark.parametrize("chip", ["ideal", "epiram"])
@pytest.mark.parametrize("variant", ["positive", "negative", "random_sign", "centered"])
def test_training_lowers_error_and_cost(small, chip, variant):
    run = trainer.train(small(*LEARNS, f"learning.variant={variant}", chip=chip, epochs=4))
    train_error, cost = run.history["train_error"], run.history["cost"]
    assert train_error[-1] < 0.6 * train_error[0]
    assert cost[-1] < cost[0]
    assert run.history["test_error"][-1] < 0.5


def test_two_hidden_layers_learn(small):
    settings = ("network.hidden=[64, 32]", "network.input_gain=100", "learning.nudging=0.1")
    run = trainer.train(small(*LEARNS, *settings, "learning.learning_rate=0.005", epochs=6))
    assert run.history["train_error"][-1] < 0.7 * run.history["train_error"][0]


@pytest.mark.parametrize("chip", ["ideal", "epiram"])
def test_bias_cells_learn(small, chip):
    rails = ("chip.bias.kind=rails", 'chip.bias.rail="8 mV"')
    run = trainer.train(small(*LEARNS, *rails, chip=chip, epochs=3))
    assert run.history["train_error"][-1] < 0.6 * run.history["train_error"][0]
    assert [bias["conductance"].shape for bias in run.biases] == [(64, 2), (10, 2)]
    assert all(bias["conductance"].max() > bias["g_min"].max() for bias in run.biases)


def test_what_a_run_holds(small, tmp_path):
    experiment = small(chip="epiram", epochs=3)
    run = trainer.train(experiment)
    assert run.experiment == experiment
    checksum = dataset_of(experiment).checksum
    assert run.dataset == {"name": "digits", "checksum": checksum, "image_shape": "8×8"}
    assert run.image_shape == (8, 8)
    assert run.counters["epoch"] == 3
    assert_array_equal(run.history["epoch"], [1, 2, 3])
    assert all(values.shape == (3,) for values in run.history.values())
    rates = run.history["learning_rate"]
    assert_allclose(rates[1:] / rates[:-1], experiment.learning.learning_rate_decay, rtol=1e-12)
    assert [array["conductance"].shape for array in run.arrays] == [(8, 128), (10, 8)]
    assert all(array["pulses"].sum() > 0 for array in run.arrays)
    assert run.biases == []
    assert all(values.shape == (2,) for values in run.physical.values())
    assert run.times["seconds_per_epoch"].shape == (3,)
    assert set(run.versions) >= {"neurohw", "numpy", "numba"}
    run_file.save(tmp_path / "a.h5", run)
    assert run_file.checksum(run_file.load(tmp_path / "a.h5")) == run_file.checksum(run)


def test_no_epochs_leave_the_chip_as_it_was_first_written(small, tmp_path):
    run = trainer.train(small(epochs=0), out=tmp_path / "a.h5")
    assert run.history["test_error"].shape == (0,)
    assert run.counters["epoch"] == 0
    again = evaluation.evaluate(run_file.load(tmp_path / "a.h5"))
    assert 0 < again["test_error"] <= 1


@pytest.mark.usefixtures("eager")
def test_progress(small):
    seen = []
    run = trainer.train(small(epochs=3), progress=seen.append)
    assert [(p.epoch, p.step, p.phase) for p in seen] == [
        (epoch, step, phase)
        for epoch in (1, 2, 3)
        for step, phase in [*((k, "training") for k in range(1, 11)), (10, "evaluating")]
    ]
    for p in seen:
        assert (p.epochs, p.steps) == (3, 10)
        assert 0 <= p.train_error <= 1
        assert 0 < p.samples_per_second < 1e7
        steps_left = (3 - p.epoch) * 10 + 10 - p.step
        assert_allclose(p.seconds_left, steps_left * 4 / p.samples_per_second, rtol=1e-9)
        before = None if p.epoch == 1 else run.history["test_error"][p.epoch - 2]
        assert p.test_error == before
    last = [p.train_error for p in seen if p.phase == "evaluating"]
    assert_array_equal(last, run.history["train_error"])


def test_progress_is_reported_a_few_times_a_second_only(small):
    seen = []
    trainer.train(small(epochs=3), progress=seen.append)
    assert sum(p.phase == "evaluating" for p in seen) == 3
    assert sum(p.phase == "training" for p in seen) <= 3


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("count", "batch"), [(43, 4), (41, 3), (7, 5), (5, 1), (6, 6)])
def test_a_batch_that_does_not_divide_the_images(small, count, batch):
    seen = []
    settings = (f"data.train={count}", f"training.batch={batch}")
    run = trainer.train(small(*settings, epochs=2), progress=seen.append)
    steps = count // batch
    assert {p.steps for p in seen} == {steps}
    assert max(p.step for p in seen) == steps
    samples = run.history["train_error"] * steps * batch
    assert_allclose(samples, np.rint(samples), atol=1e-9 * count)
    again = trainer.train(small(*settings, epochs=2))
    assert run_file.checksum(run) == run_file.checksum(again)


@pytest.mark.parametrize("chip", ["ideal", "epiram"])
def test_engines_train_alike(small, chip):
    settings = ["training.precision=float64", "network.hidden=[8, 7]", "learning.nudging=0.002"]
    if chip != "ideal":
        settings += ["chip.device.whole_pulses=false", "chip.device.cycle_to_cycle=0.0"]
    runs = [
        trainer.train(small(*settings, f"training.engine={engine}", chip=chip))
        for engine in ("numpy", "numba")
    ]
    for old, new in zip(runs[0].arrays, runs[1].arrays, strict=True):
        scale = old["conductance"].max()
        assert_allclose(new["conductance"], old["conductance"], rtol=1e-7, atol=1e-9 * scale)
    assert_allclose(runs[1].history["cost"], runs[0].history["cost"], rtol=1e-7)
    for key in ("voltage", "difference", "power"):
        assert_allclose(runs[1].physical[key], runs[0].physical[key], rtol=1e-5)


WHERE = r"epoch \d+, (mini-batch \d+|evaluation): voltage of layer \d+, unit \d+ is"


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_rates_that_blow_up_stop_the_run(small, tmp_path, precision):
    huge = "1e30" if precision == "float32" else "1e200"
    experiment = small(
        *(f"training.precision={precision}", "learning.variant=positive"),
        *(f"learning.learning_rate={huge}", f"learning.bias_learning_rate={huge}"),
    )
    with pytest.raises(NumericalError, match=WHERE) as stop:
        trainer.train(experiment, out=tmp_path / "a.h5")
    assert "\n" not in str(stop.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("array", [0, 1])
def test_a_broken_cell_stops_the_run_at_its_mini_batch(small, tmp_path, monkeypatch, value, array):
    program = CrossbarArray.program
    units = (8, 10)[array]

    def poisoned(self, update, event, next_input=None):
        result = program(self, update, event, next_input)
        if event == 12 and self.values().shape[0] == units:
            self._conductance[2, 3] = value
            self._sum()
            if next_input is not None:
                result = self.read(next_input)
        return result

    monkeypatch.setattr(CrossbarArray, "program", poisoned)
    where = r"epoch 2, mini-batch 4: voltage of layer [12], unit \d is \S+ in the free phase"
    with pytest.raises(NumericalError, match=where):
        trainer.train(small("learning.variant=positive"), out=tmp_path / "a.h5")
    assert run_file.load(tmp_path / "a.h5").counters == {"epoch": 1, "step": 0, "errors": 0}


def test_a_phase_that_does_not_settle_says_when(small):
    experiment = small("relaxation.tolerance=1e-12", "relaxation.nudged_sweeps=1")
    with pytest.raises(ConvergenceError, match=r"epoch 1, mini-batch 1: relaxation\.tolerance"):
        trainer.train(experiment)


def test_settling_to_a_tolerance_trains(small):
    settings = ("relaxation.tolerance=1e-4", "training.precision=float64")
    sweeps = ("relaxation.free_sweeps=300", "relaxation.nudged_sweeps=300")
    run = trainer.train(small(*settings, *sweeps))
    assert run.history["cost"][-1] < run.history["cost"][0]


def test_too_much_negative_nudging_is_refused_before_anything_is_written(small, tmp_path):
    with pytest.raises(InvalidValueError, match=r"learning\.nudging = 50: .* below [\d.e+-]+,"):
        trainer.train(small("learning.nudging=50"), out=tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []
    trainer.train(small("learning.nudging=50", "learning.variant=positive"))


def test_training_in_another_thread(small):
    runs = []
    thread = threading.Thread(target=lambda: runs.append(trainer.train(small(epochs=1))))
    thread.start()
    thread.join()
    assert run_file.checksum(runs[0]) == run_file.checksum(trainer.train(small(epochs=1)))


def test_evaluation_and_next_epoch_start_from_exact_wires(small, monkeypatch):
    settings = ("chip.wires.word_line=40", "chip.wires.bit_line=30", "training.precision=float64")
    experiment = small(*settings)
    training = trainer._Training(experiment, dataset_of(experiment), None, None)
    chip, evaluate, deviations = training.machine.chip, ResistiveMachine.error, []

    def note():
        for array in chip.arrays:
            seen = array.seen(0)
            exact = tiles.reduce(array.values(), seen.wires, driven=array.driven)
            deviations.append(np.abs(seen.unit_sums / exact.unit_sums - 1).max())

    def error(*given):
        note()
        return evaluate(*given)

    monkeypatch.setattr(ResistiveMachine, "error", error)
    # Without the refresh at the epoch's end they are off.
    for _ in range(training.steps):
        training._train_batch(*training.machine.learning_rates(0))
    note()
    training.run_epoch(lambda: False)
    assert min(deviations[:2]) > 1e-5
    assert max(deviations[2:]) < 1e-12
    assert len(deviations) == 4
    assert_array_equal(training.pending, chip.arrays[0].read(training.inputs))


def test_ranges_are_calibrated_at_their_interval(small):
    """Once before the first of ten mini-batches, or again before the last one."""

    def ranges(interval):
        keys = ("chip.converters.state_adc.bits=8", "chip.converters.calibration_samples=8")
        interval = f"chip.converters.calibration_interval={interval}"
        return trainer.train(small(*keys, interval, epochs=1)).state["state_range"]

    once = ranges(0)
    assert_array_equal(once, ranges(10))
    assert np.all(once != ranges(9))
