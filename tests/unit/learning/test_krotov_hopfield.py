"""Competing hidden units on a chip: updates, stages, readout, what is counted, what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import FeedforwardChip
from neurohw.errors import ConfigurationError, NeurohwError
from neurohw.experiments import configuration, estimate, evaluation, run_file, trainer
from neurohw.experiments.machine import build, dataset_of
from neurohw.learning.competition.plasticity import change, gated, ranked, weighted
from neurohw.learning.krotov_hopfield import KrotovHopfield
from neurohw.learning.settings import Competition, LearningSettings
from neurohw.mappings import chip_specification
from neurohw.networks.feedforward import FeedforwardNetwork

SIZES, BATCH, RATE = (8, 6, 5, 3), 7, 0.03


def rule_of(competition, *, table=None, seed=0):
    """Return the rule on an exact chip in float64, dimensionless inputs and one-hot targets."""
    rng = np.random.default_rng(seed)
    network = FeedforwardNetwork(
        sizes=SIZES, hidden="power", output="tanh", cost="power", powers=(2.0, 2.0), cost_power=4.0
    )
    shapes = zip(SIZES[1:], SIZES[:-1], strict=True)
    weights = [rng.normal(0.2, 0.5, shape) for shape in shapes]
    device = {"law": "ideal", "g_min": 0.0, "g_max": float("inf")}
    chip = FeedforwardChip(
        chip_specification.load({"device": device, "bias": {"kind": "off"}, **(table or {})}),
        network,
        weights,
        seed=0,
        dtype="float64",
    )
    learning = LearningSettings(
        rule="krotov-hopfield", learning_rate=RATE, bias_learning_rate=0.0, competition=competition
    )
    inputs = rng.uniform(size=(BATCH, SIZES[0]))
    targets = np.eye(SIZES[-1])[rng.integers(SIZES[-1], size=BATCH)]
    return KrotovHopfield(network, chip, learning), inputs, targets


def learnt(rule, inputs, targets, layer):
    """Return activity, and weights of all layers before and after, where one layer learns."""
    chip = rule.chip
    volts = inputs * chip.scale.unit_voltage
    activity = rule.forward(chip.arrays[0].read(volts), 0, volts)
    rates = [0.0] * len(chip.arrays)
    rates[layer] = chip.scale.learning_rate(RATE, layer)
    before = chip.logical()[0]
    found = rule.learn(volts, activity, targets, 0, rates, [0.0] * len(rates))
    for array, update in zip(chip.arrays, found.updates, strict=True):
        if update is not None:
            array.program(update, 0)
    return activity, before, chip.logical()[0]


@pytest.mark.parametrize("events", ["batch", "sample"])
@pytest.mark.parametrize("layer", [0, 1])
def test_a_layer_learns_by_rank_with_steps_of_fixed_size(layer, events):
    competition = Competition(epochs=1, rank=3, anti_hebbian=0.3, step="fixed")
    rule, inputs, targets = rule_of(competition, table={"programming": {"events": events}})
    activity, before, after = learnt(rule, inputs, targets, layer)
    below = activity.states[layer - 1] if layer else inputs
    gates = ranked(activity.totals[layer], 3, 0.3)
    expected = RATE * change(before[layer], below, gates, activity.totals[layer])
    if events == "sample":
        # One after the other: each sees what those before it left of the weights.
        weights = before[layer].copy()
        for line, gate, current in zip(below, gates, activity.totals[layer], strict=True):
            weights += RATE * change(weights, line[None], gate[None], current[None])
        expected = weights - before[layer]
    assert_allclose(after[layer] - before[layer], expected, rtol=0, atol=1e-12)
    assert np.abs(expected).max() > 0.01
    for k in {0, 1, 2} - {layer}:
        assert_array_equal(after[k], before[k])


@pytest.mark.parametrize("power", [2.0, 3.0, 4.5])
def test_the_largest_change_of_a_weight_is_the_rate(power):
    competition = Competition(epochs=1, power=power, rank=2)
    rule, inputs, targets = rule_of(competition)
    _, before, after = learnt(rule, inputs, targets, 0)
    currents = inputs @ weighted(before[0], power).T
    moved = change(before[0], inputs, ranked(currents, 2, 0.4), currents)
    assert_allclose(after[0] - before[0], RATE * moved / np.abs(moved).max(), rtol=0, atol=1e-12)
    assert np.abs(after[0] - before[0]).max() == pytest.approx(RATE)


def test_a_layer_learns_by_the_states_that_inhibition_leaves():
    competition = Competition(
        epochs=1, inhibition=1.0, threshold=0.5, anti_hebbian=0.3, step="fixed"
    )
    rule, inputs, targets = rule_of(competition)
    activity, before, after = learnt(rule, inputs, targets, 0)
    currents = activity.totals[0]
    best = currents.max(axis=1, keepdims=True)
    states = np.where(currents == best, currents, currents - best)
    expected = RATE * change(before[0], inputs, gated(states, 0.5, 0.3), currents)
    assert_allclose(after[0] - before[0], expected, rtol=0, atol=1e-12)


def test_the_readout_follows_the_gradient_and_adam_its_sign():
    for optimizer in ("none", "adam"):
        competition = Competition(epochs=0, optimizer=optimizer)
        rule, inputs, targets = rule_of(competition)
        activity, before, after = learnt(rule, inputs, targets, 2)
        below, step = activity.states[1], 1e-6
        numeric = np.empty_like(before[2])
        for place in np.ndindex(numeric.shape):
            costs = []
            for sign in (1, -1):
                weights = before[2].copy()
                weights[place] += sign * step
                outputs = rule.network.activate(2, below @ weights.T)
                costs.append(rule.network.costs(outputs, targets).mean())
            numeric[place] = (costs[0] - costs[1]) / (2 * step)
        # Of the first step of Adam, mean and root of the mean square are alike but for the sign,
        # where they are well above the 1e-8 that it adds.
        wanted = numeric if optimizer == "none" else np.sign(numeric)
        clear = np.abs(numeric) > 1e-4 * np.abs(numeric).max()
        assert clear.sum() >= 4
        found = (after[2] - before[2])[clear]
        assert_allclose(found, -RATE * wanted[clear], rtol=1e-3)
        assert_array_equal(after[0], before[0])


def test_layers_learn_one_after_the_other_and_then_the_readout():
    rule, *_ = rule_of(Competition(epochs=4))
    factors = np.array([rule.factors(epoch, 20) for epoch in range(20)])
    assert_allclose(factors[:4, 0], [1, 0.75, 0.5, 0.25])
    assert_allclose(factors[4:8, 1], [1, 0.75, 0.5, 0.25])
    assert_array_equal(factors[:8, 2], 0)
    assert_array_equal(factors[4:, 0], 0)
    # Twelve epochs: four, and then halved every second one.
    assert_allclose(factors[8:, 2], np.repeat([1, 0.5, 0.25, 0.125, 0.0625], [4, 2, 2, 2, 2]))


def small(*settings, epochs=4):
    few = ("data.name=digits", "data.train=200", "network.hidden=[12, 8]", "training.batch=20")
    few = (*few, "learning.learning_rate=[0.05, 0.05, 0.01]", "network.power.unit_sum=[9, 5]")
    few = (*few, "learning.competition.epochs=1", *settings)
    return configuration.load("krotov-hopfield-demo", settings=few, epochs=epochs)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        (
            *("chip=epiram", "network.initial_deviation=0.3"),
            *("learning.competition.step=fixed", "learning.learning_rate=[0.01, 0.01, 0.01]"),
        ),
    ],
    ids=["ideal", "epiram"],
)
def test_a_resumed_run_is_the_uninterrupted_one(settings, tmp_path, monkeypatch):
    experiment, out = small(*settings), tmp_path / "run.h5"
    reference = trainer.train(experiment)
    save, saved = run_file.save, []

    def stop(path, run):
        save(path, run)
        saved.append(run.counters)
        if len(saved) == stop.after:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(run_file, "save", stop)
    # Within the second layer's stage, and within the readout's.
    for stop.after in (15, 12):
        saved.clear()
        with pytest.raises(KeyboardInterrupt):
            trainer.train(experiment, out=out, resume=True)
    assert saved[-1] == {"epoch": 2, "step": saved[-1]["step"], "errors": saved[-1]["errors"]}
    monkeypatch.setattr(run_file, "save", save)
    resumed = trainer.train(experiment, out=out, resume=True)
    assert run_file.checksum(resumed) == run_file.checksum(reference)
    assert evaluation.evaluate(resumed)["test_error"] == reference.history["test_error"][-1]


def test_only_the_layer_whose_turn_it_is_changes():
    runs = [trainer.train(small(epochs=epochs)) for epochs in (2, 3)]
    both = [[array["conductance"] for array in run.arrays] for run in runs]
    for k in (0, 1):
        assert_array_equal(both[0][k], both[1][k])
    assert np.abs(both[0][2] - both[1][2]).max() > 0


def test_units_that_never_win_are_counted_and_reported():
    told = []
    run = trainer.train(
        small("network.initial_deviation=3", "learning.learning_rate=[1e-6, 1e-6, 0.01]", epochs=3),
        warn=told.append,
    )
    dead = run.history["dead_units"]
    assert 0 < dead[-1] <= 1
    lines = [line for line in told if "dead units" in line]
    counts = [int(line.split(": ")[2].split(" of ")[0]) for line in lines]
    assert sum(counts) == pytest.approx(dead[-1] * 20)
    assert run.history["settled_units"][-1] < 0.5


def test_a_small_network_learns_the_digits_without_labels_first():
    settings = ("network.hidden=[60]", "network.power.unit_sum=7", "data.train=1400")
    settings = (*settings, "learning.learning_rate=[0.03, 0.02]", "network.initial_deviation=0.7")
    errors = {}
    for stage in (20, 0):
        experiment = small(*settings, f"learning.competition.epochs={stage}", epochs=stage + 10)
        errors[stage] = trainer.train(experiment).history["test_error"][-1]
    # Of 360 images; random features of the same size make twice the errors.
    assert errors[20] < 0.2
    assert errors[20] < 0.7 * errors[0]


def test_a_read_out_is_charged_and_none_where_the_array_does_without():
    for power, step in ((2, "fixed"), (2, "largest"), (3, "fixed")):
        experiment = small(
            "chip=ecram", f"learning.competition.power={power}", f"learning.competition.step={step}"
        )
        few, many = (estimate.of(experiment, None, samples=n) for n in (8, 24))
        assert ("read-out" in few.phases) == ((power, step) != (2, "fixed"))
        if "read-out" in few.phases:
            # 64 input lines for a mini-batch of 20, however many images are simulated.
            ratio = few.phases["read-out"].time / few.phases["forward 1"].time
            assert ratio == pytest.approx(64 / experiment.training.batch)
            assert many.latency["training sample"] == pytest.approx(
                few.latency["training sample"], rel=0.2
            )


def test_too_few_epochs_for_all_layers_are_refused_not_skipped():
    few = ["network.hidden=[8, 6]", "learning.learning_rate=0.01"]
    with pytest.raises(ConfigurationError, match=r"training\.epochs = 2: .* take 3 or more"):
        configuration.load("krotov-hopfield-1h", settings=few, epochs=2)
    for epochs in (0, 3):
        configuration.load("krotov-hopfield-1h", settings=few, epochs=epochs)
    configuration.load(
        "krotov-hopfield-1h", settings=[*few, "learning.competition.epochs=0"], epochs=2
    )


def test_epochs_are_shared_out_where_none_are_given():
    competition = Competition()
    assert [competition.each(1, epochs) for epochs in (1, 2, 5, 30)] == [0, 1, 3, 20]
    assert competition.each(2, 30) == 10


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("chip.mapping.sides=one", "sides = one"),
        ("learning.bias_learning_rate=0.1", "teaches no biases"),
        ("learning.competition.epochs=3", "training.epochs = 4"),
        ("learning.competition.rank=9", "a layer has 8 units"),
        ("learning.learning_rate=[0.1, 0.1, 0]", "must be above 0"),
        ("network.power.unit_sum=[1, 2, 3]", "one a hidden layer"),
        ("network.cost=cross-entropy", "needs sigmoid or softmax"),
    ],
)
def test_what_does_not_fit_is_refused(setting, message):
    with pytest.raises(NeurohwError, match=message):
        build(small(setting), dataset_of(small()))


def test_a_network_that_learns_nothing_has_no_stages():
    assert configuration.load("krotov-hopfield-demo", epochs=0).training.epochs == 0
    with pytest.raises(NeurohwError, match="what is left for the readout"):
        configuration.load("krotov-hopfield-demo", epochs=1)
