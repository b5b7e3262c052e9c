"""Restricted Boltzmann machines through the whole: configuration, training, resuming, costs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.cli.info import describe
from neurohw.errors import ConfigurationError, DataError, UnsupportedError
from neurohw.experiments import configuration, estimate, evaluation, run_file, trainer
from neurohw.experiments.machine import build, dataset_of
from neurohw.experiments.studies import plan as plans
from neurohw.learning import rules
from neurohw.mappings import chip_specification
from neurohw.reports import html

FEW = ("data.name=digits", "data.train=40", "network.hidden=[6]", "training.batch=4")
PULSED = ("chip.device=epiram", "chip.mapping.scheme=offset", "chip.mapping.weight_range=1.0")
PULSED = (*PULSED, "chip.programming.optimizer=none", "chip.device.reading.absolute=1 %")
SAMPLING = ("learning.chain.sampling=read-noise", "chip.device.reading.correlation=sweep")


def load(*settings, epochs=1):
    return configuration.load("rbm", settings=(*FEW, *settings), epochs=epochs)


def test_it_learns_the_digits():
    settings = ("data.name=digits", "network.hidden=[64]", "training.batch=10")
    run = trainer.train(configuration.load("rbm", settings=settings, epochs=12))
    # The fifth part of the errors that guessing makes, and better than it began.
    assert run.history["train_error"][-1] < 0.15
    assert run.history["test_error"][-1] < 0.18
    assert run.history["cost"][-1] < 0.4 * run.history["cost"][0]


@pytest.mark.parametrize(
    "settings",
    [
        ("learning.chain.persistent=true", "learning.chain.steps=2"),
        (*PULSED, *SAMPLING, "chip.bias.kind=rails"),
        (*PULSED, "chip.programming.events=sample", "chip.converters.input_dac.bits=4"),
    ],
    ids=["persistent", "read-noise", "sample"],
)
def test_a_resumed_run_is_the_uninterrupted_one(settings, tmp_path, monkeypatch):
    experiment, out = load(*settings, epochs=2), tmp_path / "run.h5"
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


def test_a_run_is_evaluated_on_its_chip_and_on_another_reported_and_described(tmp_path):
    run = trainer.train(load(*PULSED))
    assert evaluation.evaluate(run)["test_error"] == run.history["test_error"][-1]
    exact = chip_specification.load("ideal")
    assert 0 <= evaluation.evaluate(run, chip=exact)["train_error"] < 1
    run_file.save(tmp_path / "run.h5", run)
    assert describe(str(tmp_path / "run.h5"))["kind"] == "run"
    page = html.write([run], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "contrastive-divergence" in page
    with pytest.raises(DataError, match="do not fit a network of 64 pixels and 10 outputs"):
        evaluation.evaluate(run, dataset=dataset_of(configuration.load("drn-xor")))


def test_a_machine_is_written_into_another_chip_as_it_is():
    experiment = load()
    machine = build(experiment, dataset_of(experiment))
    (weights,), (hidden, visible) = machine.chip.logical()
    assert weights.shape == (6, 74)
    assert weights.std() == pytest.approx(0.01, rel=0.15)
    share = np.clip(dataset_of(experiment).train_images.mean(axis=0), 0.01, 0.99)
    assert_allclose(visible[:64], np.log(share / (1 - share)), rtol=1e-5, atol=1e-6)
    assert not hidden.any()
    other = build(
        load("chip.device.g_max=10 uS", "chip.mapping.scheme=offset"), dataset_of(experiment)
    )
    other.chip.write([weights], [hidden + 0.5, visible])
    moved, biases = other.chip.logical()
    # Of float32 conductances less half of their range.
    assert_allclose(moved[0], weights, rtol=0, atol=2e-7)
    assert_allclose(biases[0], 0.5, rtol=1e-6)


def test_the_reads_of_the_chain_are_charged():
    def found(steps):
        settings = (f"learning.chain.steps={steps}", "chip.costs.read_time=10 ns")
        settings += ("chip.device.g_max=10 uS", "chip.mapping.scheme=offset")
        return estimate.estimate(trainer.train(load(*settings)), samples=8)

    short, long = found(1), found(4)
    assert list(short.phases) == ["image", "classes", "data", "visible 1", "hidden 1"]
    assert short.phases["classes"].time == pytest.approx(10 * 10e-9)
    times = [e.latency["training sample"]["phases"] for e in (short, long)]
    assert times[1] - times[0] == pytest.approx(6 * 10e-9)
    assert long.latency["inference"] == short.latency["inference"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("network.hidden=[6, 5]",), r"network\.hidden = \[6, 5\]: a boltzmann network has one"),
        (("network.activation=relu",), r"network\.activation: a boltzmann network has none"),
        (("learning.rule=backpropagation",), r"a boltzmann network learns by contrastive-div"),
        (("learning.chain.steps=0",), r"learning\.chain\.steps"),
        (("learning.chain.sampling=noise",), r"learning\.chain\.sampling"),
        (("learning.nudging=0.5",), r"learning\.nudging: a boltzmann network has none"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(settings, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(*settings)
    assert "\n" not in str(caught.value)


def test_converters_of_other_networks_are_refused():
    experiment = load("chip.converters.state_adc.bits=6")
    with pytest.raises(UnsupportedError, match=r"converters\.state_adc: boltzmann networks"):
        build(experiment, dataset_of(experiment))


def test_a_comparison_gives_the_machine_its_layer_of_units():
    plan = plans.Plan(rules=("cd", "chl", "pc"), chips=("ideal",), dataset="digits", hidden=(7,))
    found = [plans.experiment_of(plan, rules.find(name), "ideal") for name in plan.rules]
    assert [each.network.hidden for each in found] == [(7,)] * 3
    assert [len(each.learning_rates) for each in found] == [1, 2, 2]
    assert [each.learning.rule for each in found] == [rules.find(n).name for n in plan.rules]
