"""Rules of feed-forward networks on real chips: runs, run files, costs, refusals."""

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.testing import assert_allclose

from neurohw.chip import FeedforwardChip
from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.experiments import configuration, estimate, evaluation, run_file, trainer, transfer
from neurohw.experiments.alignment import Activations, exact_errors
from neurohw.experiments.machine import build, dataset_of
from neurohw.learning import rules
from neurohw.learning.backpropagation import Backpropagation
from neurohw.mappings import chip_specification
from neurohw.networks.feedforward import FeedforwardNetwork

RULES = ["fa-1h-relu", "dfa-1h", "weight-mirror-1h", "brainprop-reciprocal-1h", "burst-1h"]
SMALL = [
    *("data.name=digits", "data.train=96", "network.hidden=[6, 5]", "training.batch=16"),
    *("training.precision=float64", "learning.learning_rate=0.1"),
    *("learning.bias_learning_rate=0.1", "training.epochs=2"),
]


def small(recipe, *settings, chip="ecram"):
    return configuration.load(recipe, chip=chip, settings=[*SMALL, *settings])


@pytest.mark.parametrize("recipe", RULES)
def test_a_run_goes_on_where_it_was_stopped_with_the_arrays_beside(recipe, tmp_path):
    experiment = small(recipe)
    whole = trainer.train(experiment, out=tmp_path / "whole.h5")
    path = tmp_path / "part.h5"
    trainer.train(experiment, out=path, stop=lambda history: len(history["test_error"]) == 1)
    resumed = trainer.train(experiment, out=path, resume=True)
    assert run_file.checksum(resumed) == run_file.checksum(whole)
    held = run_file.load(path).beside
    assert {"feedback_0", "feedback_1"} <= set(held)
    assert {"angle_1", "angle_2"} <= set(whole.history)


@pytest.mark.parametrize("recipe", RULES)
def test_only_rules_that_learn_feedback_pulse_its_cells(recipe):
    run = trainer.train(small(recipe, "training.epochs=1"))
    pulses = sum(int(held["pulses"].sum()) for held in run.beside.values())
    assert (pulses > 0) == (recipe not in ("fa-1h-relu", "dfa-1h"))


def test_random_feedback_comes_to_be_of_use():
    """Lillicrap et al. (2016): from about 90 degrees, errors of the rule turn below 60.

    In fewer mini-batches than an epoch of MNIST has.
    """
    settings = ("data.name=digits", "network.hidden=[60]", "training.batch=8")
    experiment = configuration.load("fa-1h-relu", settings=settings, epochs=6)
    dataset = dataset_of(experiment)
    machine = build(experiment, dataset)
    machine.prepare(0, dataset)
    (before,) = machine.angles(dataset)
    assert 75 < before < 105
    assert trainer.train(experiment).history["angle_1"][-1] < 60


def test_every_rule_is_charged_for_its_reads_and_its_memory():
    found = {
        name: estimate.of(small(recipe, "training.epochs=1"), None, samples=8)
        for name, recipe in (("bp", "mlp-1h"), ("fa", "fa-1h-relu"), ("burst", "burst-1h"))
    }
    assert list(found["bp"].phases) == [f"forward {k}" for k in (1, 2, 3)] + [
        "backward 3", "backward 2"
    ]  # fmt: skip
    assert len(found["burst"].phases) == 3 + 2 * 3
    # The feedback arrays of a fixed rule are cells beside those of backpropagation.
    assert found["fa"].area["cells"] > found["bp"].area["cells"]
    # Of 21 units, written and read, of 8 bits.
    number = 2 * 21 * 8 * small("mlp-1h").chip.costs.memory_energy_per_bit
    for name, each in found.items():
        held = rules.find(name).hardware.memory
        assert held == {"bp": 2, "fa": 2, "burst": 3}[name]
        assert_allclose(each.energy["training sample"]["memory"], held * number)
        assert each.energy["inference"]["memory"] == 0


def test_the_reward_of_brainprop_goes_past_all_units(monkeypatch):
    """One line past 6 + 5 + 10 units is charged to the unit voltage, and nothing else."""
    run = trainer.train(small("brainprop-1h", "training.epochs=1"))
    wires = estimate.estimate(run, samples=8).energy["training sample"]["wires"]
    rule = rules.RULES["brainprop"]
    silent = replace(rule, hardware=replace(rule.hardware, broadcast=""))
    monkeypatch.setattr(rules, "RULES", {**rules.RULES, "brainprop": silent})
    chip = run.experiment.chip
    line = chip.built_costs.line_capacitance(21) * chip.input.full_scale**2
    without = estimate.estimate(run, samples=8).energy["training sample"]["wires"]
    assert_allclose(wires - without, line, rtol=1e-6)


def test_what_a_rule_cannot_do_with_is_refused_with_what_can():
    with pytest.raises(ConfigurationError, match=r"needs cells .* learning\.rule = kolen-pollack"):
        small("mlp-1h", "chip.transposed_read=false")
    small("fa-1h-relu", "chip.transposed_read=false")
    with pytest.raises(ConfigurationError, match=r"brainprop: not with network\.output = softmax"):
        small("mlp-1h", "learning.rule=brainprop")
    with pytest.raises(ConfigurationError, match=r"learning\.weight_decay: is missing"):
        small("mlp-1h", "learning.rule=kolen-pollack")
    with pytest.raises(ConfigurationError, match=r"learning\.burst: the rule backprop.* has none"):
        small("mlp-1h", "learning.burst.probability=0.3")
    with pytest.raises(ConfigurationError, match=r"mirror_rate: the rule feedback-a.* has none"):
        small("fa-1h-relu", "learning.feedback.mirror_rate=0.1")
    with pytest.raises(ConfigurationError, match=r"sides = one .* feedback-alignment"):
        small("kolen-pollack-1h", "chip.mapping.sides=one")
    with pytest.raises(
        ConfigurationError, match=r"sides = one .* leave out learning\.weight_decay"
    ):
        small("mlp-1h", "chip.mapping.sides=one", "learning.weight_decay=1e-4")
    for setting in ("pulses=train", "order=sequential"):
        with pytest.raises(ConfigurationError, match=r"kolen-.* no product of two lines"):
            small("kolen-pollack-1h", f"chip.programming.{setting}")
    with pytest.raises(ConfigurationError, match=r"learning\.variant = positive: .* not nudged"):
        small("mlp-1h", "learning.variant=positive")


def start(recipe, weights):
    """Return a machine of a recipe with the network of a run, and that of the run."""
    few = ("network.activation=sigmoid", "network.output=sigmoid", "network.cost=squared")
    origin = small(weights, *few, "training.epochs=1", "training.seed=1", chip="ideal")
    run = trainer.train(origin)
    experiment = small(recipe, *few, chip="ideal")
    data = dataset_of(experiment)
    machine, old = build(experiment, data), build(origin, data)
    old.restore(run)
    transfer.program(run, machine, data)
    return machine, old


@pytest.mark.parametrize("recipe", ["kolen-pollack-1h", "fa-1h-relu", "burst-1h", "dendritic-2h"])
def test_a_start_from_the_same_rule_has_the_arrays_beside_too(recipe):
    machine, old = start(recipe, recipe)
    for name, group in old.chip.beside.items():
        for ours, theirs in zip(machine.chip.beside[name], group, strict=True):
            assert_allclose(ours.values(), theirs.values(), rtol=1e-9, atol=1e-18)


def test_a_start_from_another_rule_fits_the_arrays_beside_to_the_weights():
    machine, old = start("sign-symmetric-1h", "mlp-1h")
    for back, weights in zip(machine.rule.back.weights(), old.chip.logical()[0][1:], strict=True):
        assert_allclose(np.sign(back), np.sign(weights.T))
    machine, _ = start("dendritic-2h", "mlp-1h")
    inputs = machine.encode(dataset_of(machine.experiment).train_images[:4])
    activity = machine.rule.forward(machine.chip.arrays[0].read(inputs), 0, inputs)
    for apical in machine.rule.compartments(activity, None, 0).apical:
        assert np.abs(apical).max() < 1e-9


def test_signed_weights_on_single_ended_cells_are_refused_with_schemes_that_hold_them():
    experiment = small("fa-1h-relu", "chip.mapping.scheme=single-ended")
    with pytest.raises(InvalidValueError, match="holds no signed weights; take differential-pair"):
        build(experiment, dataset_of(experiment))


def test_the_exact_errors_are_those_of_backpropagation_on_an_exact_chip():
    network = FeedforwardNetwork(
        sizes=(6, 5, 4, 3), hidden="tanh", output="sigmoid", cost="squared"
    )
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=s) for s in ((5, 6), (4, 5), (3, 4))]
    ideal = {"device": {"law": "ideal", "g_min": 0.0, "g_max": float("inf")}}
    chip = FeedforwardChip(
        chip_specification.load(ideal), network, weights, seed=0, dtype="float64"
    )
    rule, volts = Backpropagation(network, chip), 0.2 * rng.uniform(size=(7, 6))
    activity = rule.forward(chip.arrays[0].read(volts), 0, volts)
    targets = np.eye(3)[rng.integers(3, size=7)]
    for found, wanted in zip(
        exact_errors(network, chip, activity, targets),
        rule.errors(activity, targets, 0),
        strict=True,
    ):
        assert_allclose(found, wanted, rtol=1e-9, atol=1e-15)


def test_units_that_no_sample_activates_are_counted_once_an_epoch():
    network = FeedforwardNetwork(sizes=(2, 3, 2), hidden="relu", output="linear", cost="squared")
    seen = Activations(network)
    seen.see([np.array([[0.0, 1.0, 0.0]])])
    seen.see([np.array([[0.0, 0.0, 2.0]])])
    [line] = seen.lines()
    assert line.startswith("layer 1: 1 of 3 units were never active")
    assert seen.lines() == []
    for active, told in (([0.0, 1.0, 1.0], 0), ([0.0, 1.0, 0.0], 1)):
        seen.see([np.array([active])])
        assert len(seen.lines()) == told  # again when they are twice as many


@pytest.mark.parametrize(
    ("recipe", "setting"),
    [("mlp-1h", {"transposed_read": False}), ("kolen-pollack-1h", {"mapping": {"sides": "one"}})],
)
def test_a_chip_that_cannot_carry_the_rule_can_read_the_trained_network(recipe, setting):
    run = trainer.train(small(recipe, "training.epochs=1"))
    table = {"device": {"preset": "ideal"}, "bias": {"kind": "current"}}
    both, one = (chip_specification.load(table | more) for more in ({}, setting))
    assert evaluation.evaluate(run, chip=one) == evaluation.evaluate(run, chip=both)
