import numpy as np
import pytest
from msgspec.structs import replace
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.engines.equilibrium import Equilibrium
from neurohw.errors import ConvergenceError, InvalidValueError
from neurohw.experiments import configuration, hopfield_machine, trainer
from neurohw.experiments.machine import build, dataset_of
from neurohw.experiments.step import Batch
from neurohw.experiments.watch import Watch
from neurohw.learning.equilibrium_propagation import Contrast

FEW = ("data.name=digits", "data.train=60", "network.hidden=[12, 8]")


def load(*settings):
    return configuration.load("ep-2h-fast", settings=[*FEW, *settings], epochs=2)


def contrast(upper, lower, unsettled=None):
    free = Equilibrium(state=(), residual=0, iterations=0, result="converged")
    mask = None if unsettled is None else np.array(unsettled)
    return Contrast(free, upper, lower, 1.0, unsettled=mask)


def test_wrong_answers_that_teach_nothing_are_counted():
    watch = Watch()
    outputs, targets = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]]), np.array([[0.0, 1]] * 4)
    lower = [np.zeros((4, 3)), outputs]
    # In both layers 0 and 1 move; 2 did not settle, 3 is right.
    upper = [np.eye(4, 3), outputs + 0.1 * np.eye(4, 2)]
    numbers = np.arange(4)
    watch.take(contrast(upper, lower, [False, False, True, False]), outputs, targets, numbers)
    assert (watch.seen, watch.wrong, watch.unsettled, watch.vanished) == (4, 2, 1, [0, 0])
    upper[0][1] = 1e-16  # rounding
    watch.take(contrast(upper, lower), outputs, targets, numbers)
    assert (watch.seen, watch.wrong, watch.vanished) == (8, 5, [1, 1])
    first, second = watch.lines()
    assert first.startswith("1 of 8 images did not settle to relaxation.tolerance")
    assert second.startswith("1 of 5 wrong answers taught layer 1 nothing")
    again = Watch()
    again.restore(watch.record())
    assert vars(again) == vars(watch)
    watch.clear()
    assert watch.lines() == []


def test_images_that_do_not_settle_teach_nothing_and_are_told(monkeypatch):
    """Every third image of 20 is given a residual that misses the tolerance."""
    experiment = load("data.train=40")
    data = dataset_of(experiment)
    machine = build(experiment, data)
    samples = np.arange(20)
    inputs = machine.encode(data.train_images[samples])
    batch = Batch(
        inputs=inputs,
        pending=machine.chip.arrays[0].read(inputs),
        targets=machine.targets(data.train_labels[samples]),
        samples=samples,
    )
    rates = machine.learning_rates(0)
    whole = machine.step(batch, 0, *rates)
    relax = type(machine.engine).relax

    def some_do_not(self, *parts, **options):
        found = relax(self, *parts, **options)
        missed = np.arange(len(found.residuals)) % 20 % 3 == 0
        return Equilibrium(
            state=found.state,
            residual=0.5,
            iterations=found.iterations,
            result="not converged",
            residuals=np.where(missed, 0.5, found.residuals),
        )

    monkeypatch.setattr(type(machine.engine), "relax", some_do_not)
    machine = build(experiment, data)
    step = machine.step(batch, 0, *rates)
    left = np.arange(20) % 3 == 0
    for ours, all_of_it in zip(step.bias_updates, whole.bias_updates, strict=True):
        assert ours.presynaptic.shape == all_of_it.presynaptic.shape
    for ours, all_of_it in zip(step.updates, whole.updates, strict=True):
        assert_array_equal(ours.postsynaptic[0][:20][left], 0)
        assert_array_equal(ours.postsynaptic[0][:20][~left], all_of_it.postsynaptic[0][:20][~left])
    assert machine.watch.unsettled == 7
    lines = []
    trainer.train(experiment, warn=lines.append)
    # 7 of 20 images, 40 in an epoch and 360 in the evaluation.
    assert "epoch 1: 14 of 40 images did not settle" in lines[0]
    assert "epoch 1: 126 evaluated images did not settle" in lines[1]


def test_a_mini_batch_that_does_not_settle_stops_the_run():
    experiment = load("relaxation.free_sweeps=4", "relaxation.tolerance=1e-6")
    with pytest.raises(ConvergenceError, match=r"epoch 1, mini-batch 1: .* of sample \d+ is still"):
        trainer.train(experiment)


def test_stored_states_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr(hopfield_machine, "memory", lambda: 2.0 * 60 * 30 - 1)
    experiment = load()
    with pytest.raises(InvalidValueError, match="start = stored: 60 images of 30 nodes"):
        build(experiment, dataset_of(experiment))
    monkeypatch.setattr(hopfield_machine, "memory", lambda: 2.0 * 60 * 30)
    build(experiment, dataset_of(experiment))


def test_memory_is_what_is_left_of_the_machine_or_of_the_group(tmp_path):
    assert hopfield_machine.memory(tmp_path) == np.inf
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    assert hopfield_machine.memory(tmp_path) == 4_096_000
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    assert hopfield_machine.memory(tmp_path) == 4_096_000
    (group / "memory.max").write_text("5000\n")
    assert hopfield_machine.memory(tmp_path) == 5000


@pytest.mark.parametrize(
    "settings",
    [
        ("learning.nudging=0.97", "relaxation.nudged_sweeps=12"),
        ("learning.variant=holomorphic", "network.activation=tanh", "relaxation.nudged_sweeps=5"),
    ],
    ids=["centered", "holomorphic"],
)
def test_more_than_half_unsettled_in_any_nudging_stops_the_run(settings):
    """Of each image one nudging misses the tolerance, so no half of the nudged states does."""
    settings = ("relaxation.overrelaxation=1", "relaxation.tolerance=1e-6", *settings)
    with pytest.raises(ConvergenceError, match=r"nudged phase's residual of sample 1?\d is still"):
        trainer.train(load(*settings))


def test_phases_of_fixed_length_that_end_before_rest_are_told_once():
    short = ("relaxation.tolerance=0", "relaxation.free_sweeps=3", "relaxation.nudged_sweeps=9")
    lines = []
    trainer.train(load("data.train=40", *short), warn=lines.append)
    (told,) = [line for line in lines if "ends before rest" in line]
    assert told.startswith("epoch 1: the free phase of image ")
    assert "allow more relaxation.free_sweeps" in told
    noisy = ("relaxation.start=zero", "chip.neuron.noise=2 mV", "relaxation.overrelaxation=1")
    lines.clear()
    trainer.train(load("data.train=40", *short, *noisy), warn=lines.append)
    assert not [line for line in lines if "ends before rest" in line]


def test_outputs_that_swing_under_their_nudging_are_told():
    """A softmax readout pulled harder than the leak of what it reads, for 51 sweeps."""
    swing = ("relaxation.dynamics=sweeps", "learning.variant=positive", "learning.nudging=4")
    swing += ("network.output=softmax", "network.cost=cross-entropy", "network.initial_range=2")
    phases = (
        "relaxation.tolerance=0",
        "relaxation.overrelaxation=1",
        "relaxation.nudged_sweeps=51",
    )
    lines = []
    trainer.train(load("data.train=20", *swing, *phases), warn=lines.append)
    assert "epoch 1: the nudged phase of image " in " ".join(lines)


def test_a_residual_is_told_again_where_it_has_doubled():
    watch = Watch()
    for residual, told in ((0.09, False), (0.3, True), (0.5, False), (0.7, True)):
        watch.moving = {"free": (residual, 7), "nudged": (0.9, 3)}
        lines = watch.lines()
        assert bool(lines) == told
        again = Watch()
        again.restore_rests(watch.rests())
        assert again.lines() == []
        watch.clear()
    assert lines[0].startswith("the free phase of image 7 ends before rest, with a residual of 0.7")


def test_circuits_that_hold_a_phase_teach_nothing_of_what_did_not_settle():
    """Both phases of such an image are the free one, but what is held of it has drooped."""
    experiment = load("data.train=40", "chip.hold.droop=5 %")
    data = dataset_of(experiment)
    machine = build(experiment, data)
    inputs = machine.encode(data.train_images[:4])
    words = machine.chip.arrays[0].read(inputs), machine.targets(data.train_labels[:4])
    left = np.array([False, True, False, False])
    phases = replace(machine.rule.phases(*words, None, 0, inputs), unsettled=left)
    updates, biases = machine.rule.updates(phases, inputs, [1.0] * 3, [1.0] * 3)
    for update in updates[:1]:
        assert_array_equal(np.abs(update.postsynaptic[0]).max(axis=1) > 0, ~left)
    others = phases.free.state, [u[~left] for u in phases.upper], [u[~left] for u in phases.lower]
    free = Equilibrium(state=others[0], residual=0, iterations=0, result="converged")
    rest = Contrast(free, *others[1:], phases.span)
    alone, by_bias = machine.rule.updates(rest, inputs[~left], [0.75] * 3, [0.75] * 3)
    for ours, wanted in zip((*updates, *biases), (*alone, *by_bias), strict=True):
        found, right = ours.dense(np.zeros(()), 0), wanted.dense(np.zeros(()), 0)
        assert_allclose(found, right, rtol=0, atol=1e-5 * np.abs(right).max())


def test_images_of_noisy_cells_are_left_out_one_by_one():
    """Both nudgings of an image meet other readings: parts of a phase that relax apart."""
    noise = ("chip.device.reading.relative=1 %", "chip.device.reading.correlation=phase")
    machine = build(experiment := load("data.train=40", *noise), dataset_of(experiment))
    data = dataset_of(experiment)
    inputs = machine.encode(data.train_images[:5])
    targets = machine.targets(data.train_labels[:5])
    current = machine.chip.arrays[0].read(inputs)
    free = machine.rule.free_phase(current, None, 0, inputs)
    nudging = machine.rule.nudging_of((1.0, -1.0), free.state[-1], targets, 0)
    twice = np.concatenate([current] * 2)
    nudged = machine.rule.nudged_phase(twice, free, nudging, 0, inputs, sweeps=3)
    assert nudged.residuals.shape == (10,)
    assert nudged.residuals.max() == nudged.residual
