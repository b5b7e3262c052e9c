"""Predictive coding through the whole: configuration, training, resuming, what it costs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.errors import ConfigurationError, NumericalError
from neurohw.experiments import configuration, estimate, run_file, trainer
from neurohw.experiments.machine import build, dataset_of

FEW = ("data.name=digits", "data.train=40", "network.hidden=[6, 5]", "training.batch=4")
FEW = (*FEW, "network.initial_range=1.0")
NOISY = (
    *("chip.device=epiram", "chip.device.reading.relative=3 %", "chip.bias.kind=current"),
    *("chip.converters.state_adc.bits=6", "chip.converters.error_adc.bits=6"),
    *("chip.converters.error_adc.noise_lsb=0.5", "learning.learning_rate=0.1"),
)


def load(*settings, epochs=1):
    return configuration.load("predictive-coding", settings=(*FEW, *settings), epochs=epochs)


def test_it_learns_the_digits():
    settings = ("data.name=digits", "network.hidden=[24]", "training.batch=10")
    settings += ("network.initial_range=0.3", "learning.inference.steps=15")
    settings += ("learning.inference.rate=0.3", "chip.programming.adam_step=1e-3")
    run = trainer.train(configuration.load("predictive-coding", settings=settings, epochs=4))
    # The seventh part of the errors that guessing makes.
    assert run.history["train_error"][-1] < 0.13
    assert run.history["test_error"][-1] < 0.2
    assert run.history["cost"][-1] < 0.5 * run.history["cost"][0]


@pytest.mark.parametrize("mode", ["strict", "fixed-prediction", "incremental"])
def test_a_resumed_run_is_the_uninterrupted_one_on_a_noisy_chip(mode, tmp_path, monkeypatch):
    steps = ("learning.inference.steps=4", f"learning.inference.mode={mode}")
    experiment, out = load(*NOISY, *steps, epochs=2), tmp_path / "run.h5"
    reference = trainer.train(experiment)
    save, copies = run_file.save, []

    def stop(path, run):
        save(path, run)
        copies.append(run.counters)
        if len(copies) == 14:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(run_file, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(experiment, out=out)
    assert copies[-1]["epoch"] == 1
    monkeypatch.setattr(run_file, "save", save)
    resumed = trainer.train(experiment, out=out, resume=True)
    assert run_file.checksum(resumed) == run_file.checksum(reference)


def test_each_read_of_an_inference_has_the_noise_of_its_sweep():
    settings = ("chip.device=epiram", "chip.device.reading.relative=3 %")
    settings += (
        "learning.inference.halving=false",
        "learning.inference.steps=3",
        "chip.device.reading.correlation=sweep",
    )
    experiment = load(*settings)
    data = dataset_of(experiment)
    machine = build(experiment, data)
    inputs = machine.encode(data.train_images[:4])
    activity = machine.rule.forward(machine.chip.arrays[0].read(inputs), 0, inputs)
    targets = machine.targets(data.train_labels[:4]) / machine.chip.scale.unit_voltage
    first, again, other = (machine.rule.infer(activity, targets, event) for event in (0, 0, 1))
    assert_array_equal(again.end.energy, first.end.energy)
    assert (other.end.energy != first.end.energy).all()
    lines = {
        (read.name, step): lines
        for read in first.reads
        for step, lines in enumerate(np.split(read.voltages, read.times))
    }
    # Hidden values hardly move in a step of 0.1; what they miss is what two reads differ by.
    moved = np.abs(lines["prediction 3", 1] - lines["prediction 3", 0]).max()
    assert moved > 0
    assert len(first.reads) == 4
    assert {read.times for read in first.reads} == {2}


def test_outputs_are_taught_two_levels():
    experiment = load()
    machine = build(experiment, dataset_of(experiment))
    found = machine.targets(np.array([1])) / machine.chip.scale.unit_voltage
    assert_allclose(found[0, :3], [0.03, 0.97, 0.03], rtol=1e-6)


def test_every_step_of_the_relaxation_is_charged():
    def found(mode, steps):
        settings = (f"learning.inference.mode={mode}", f"learning.inference.steps={steps}")
        settings += ("learning.inference.tolerance=0.0", "chip.costs.read_time=10 ns")
        run = trainer.train(load(*settings, "chip.costs.adc_bits=8", "chip.costs.dac_bits=8"))
        return estimate.estimate(run, samples=8)

    forward = found("strict", 1)
    assert sum(p.time for p in forward.phases.values()) == pytest.approx(3 * 10e-9)
    strict = found("strict", 11)
    names = ["prediction 2", "prediction 3", "error 2", "error 3"]
    assert [strict.phases[name].time for name in names] == pytest.approx([10 * 10e-9] * 4)
    fixed = found("fixed-prediction", 11)
    assert set(fixed.phases) == {"forward 1", "forward 2", "forward 3", "error 2", "error 3"}
    moving = found("incremental", 11)
    assert moving.phases["prediction 1"].time == pytest.approx(10 * 10e-9)
    spent = [sum(e.energy["training sample"].values()) for e in (forward, fixed, strict, moving)]
    assert sorted(spent) == spent
    assert strict.energy["inference"] == pytest.approx(forward.energy["inference"], rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("learning.inference.mode=exact",), r"learning\.inference\.mode"),
        (("learning.inference.rate=1.5",), r"learning\.inference\.rate"),
        (("learning.inference.step=3",), r"did you mean .*steps"),
        (("learning.rule=backpropagation",), r"learning\.inference: the rule backprop"),
        (("network.initial_range=[0.1, 0.2]",), r"network\.initial_range = \[0\.1, 0\.2\]: must"),
        (("chip.transposed_read=false",), r"predictive-coding: needs cells that are reached"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(settings, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(*settings)
    assert "\n" not in str(caught.value)


def test_values_that_run_away_are_named():
    settings = ("learning.inference.mode=incremental", "network.activation=relu")
    settings += ("learning.inference.rate=1.0", "network.initial_range=1e30")
    with pytest.raises(NumericalError, match="mini-batch 1"):
        trainer.train(load(*settings, "chip.mapping.weight_range=1e31"))
