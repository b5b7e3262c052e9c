"""Observing many small networks: what they share, what is kept, what is refused."""

import json

import numpy as np
import pytest
from msgspec.structs import replace

from neurohw.errors import ConfigurationError, InvalidValueError, StudyError
from neurohw.experiments.identification import observation, samples
from neurohw.experiments.identification.observation import Plan
from neurohw.experiments.identification.samples import View
from neurohw.experiments.studies import jobs

SMALL = Plan(
    rules=("bp", "segregated"),
    chips=("ideal", "ecram"),
    hidden=((8,), (6, 5)),
    networks=8,
    epochs=2,
    batches=(10, 20),
    times=4,
    settings=("data.train=100",),
)


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("observed")
    return observation.observe(SMALL, folder), folder


def test_networks_of_a_number_are_alike(observed):
    found, folder = observed
    assert [(o.rule, o.network.number) for o in found] == [
        (rule, number) for rule in SMALL.rules for number in range(8)
    ]
    assert {o.kind for o in found} == {"feedforward"}
    head = observation.read_head(folder)
    for draw in observation.networks(SMALL):
        jobs = [observation._job(SMALL, r, draw, head.factors[r]) for r in SMALL.rules]
        assert [job.name for job in jobs] == [head.jobs[r][draw.number] for r in SMALL.rules]
        one, other = (job.experiment for job in jobs)
        assert one.network == other.network
        assert one.chip == other.chip
        assert one.training == other.training
        for rule, job in zip(SMALL.rules, jobs, strict=True):
            learning = job.experiment.learning
            recipe = observation._job(SMALL, rule, draw, 1.0).experiment.learning
            assert learning.learning_rate_decay == 1
            assert learning.weight_decay is None
            assert learning.bias_learning_rate == learning.learning_rate
            ratio = np.divide(learning.learning_rate, recipe.learning_rate)
            assert ratio == pytest.approx(head.factors[rule])


def test_every_rule_that_takes_part_is_as_alike_as_it_can_be():
    draw = observation.networks(Plan())[5]
    for rule in observation.RULES:
        learning = observation._job(Plan(), rule, draw, 1.0).experiment.learning
        assert learning.learning_rate_decay == 1
        assert (learning.weight_decay is None) == (rule not in ("kp", "burst"))
        assert learning.bias_learning_rate == learning.learning_rate


def test_layers_and_chips_go_round_and_rates_are_drawn(observed):
    draws = observation.networks(SMALL)
    assert {(d.hidden, d.chip) for d in draws} == {
        (h, c) for h in SMALL.hidden for c in SMALL.chips
    }
    assert all(1 / SMALL.spread <= d.factor <= 1 for d in draws)
    assert len({d.factor for d in draws}) == len(draws)
    assert draws == observation.networks(SMALL)


def test_what_is_there_is_not_run_again(observed, monkeypatch):
    found, folder = observed
    lost = found[3].recording
    before = lost.read_bytes()
    lost.unlink()
    ran = []
    perform = jobs.perform
    monkeypatch.setattr(
        jobs, "perform", lambda job, folder=None: ran.append(job.name) or perform(job, folder)
    )
    with pytest.raises(StudyError, match="holds results; go on with --resume"):
        observation.observe(SMALL, folder)
    again = observation.observe(SMALL, folder, resume=True)
    assert ran == [lost.stem]
    assert [(o.rule, o.network, o.outcome) for o in again] == [
        (o.rule, o.network, o.outcome) for o in found
    ]
    assert np.array_equal(_states(lost), _states(found[3].recording))
    assert len(lost.read_bytes()) == len(before)
    plan, held = observation.read(folder)
    assert plan == SMALL
    assert held == again


def _states(path):
    from neurohw.experiments import recording

    return np.concatenate([s.ravel() for s in recording.load(path).states])


def test_chips_that_changed_since_are_refused(tmp_path):
    chip = tmp_path / "own.toml"
    chip.write_text('preset = "ideal"\ndescription = "one"\n')
    plan = replace(SMALL, chips=(str(chip),), hidden=((6,),), networks=4, epochs=1)
    folder = tmp_path / "seen"
    before = observation.observe(plan, folder)
    chip.write_text('preset = "ecram"\n')
    with pytest.raises(StudyError, match="is of chips or recipes that are others now"):
        observation.observe(plan, folder, resume=True)
    # What was observed stays what it is.
    assert observation.read(folder) == (plan, before)


def test_a_machine_without_outputs_is_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="cd: a boltzmann machine has no outputs"):
        observation.observe(
            replace(SMALL, rules=("bp", "cd"), hidden=((8,),), settings=()), tmp_path
        )


def test_images_that_did_not_settle_are_left_out(observed, monkeypatch):
    found, _ = observed
    load = samples.recording.load

    def unsettled(path, images):
        seen = load(path)
        for layer in seen.states:
            layer[1, :images] = np.nan
        return seen

    whole = samples.gather(found[:1])
    monkeypatch.setattr(samples.recording, "load", lambda path: unsettled(path, 4))
    some = samples.gather(found[:1])
    assert np.isfinite(some.activities).all()
    assert np.array_equal(some.weights, whole.weights)
    monkeypatch.setattr(samples.recording, "load", lambda path: unsettled(path, 40))
    with pytest.raises(StudyError, match="no network was trained to its end"):
        samples.gather(found[:1])


def test_another_plan_is_refused(observed):
    with pytest.raises(StudyError, match="epochs = 2 there, and 3 here; choose another --out"):
        observation.observe(replace(SMALL, epochs=3), observed[1], resume=True)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"observation\.json: cannot be read"):
        observation.read(tmp_path)
    path = tmp_path / "observation.json"
    path.write_text("[]")
    with pytest.raises(StudyError, match="is not of a neurohw observation"):
        observation.read(tmp_path)
    path.write_text(json.dumps({"format": observation.FORMAT, "schema_version": 9}))
    with pytest.raises(StudyError, match="schema_version = 9: this neurohw reads 1"):
        observation.read(tmp_path)
    path.write_text(json.dumps({"format": observation.FORMAT, "schema_version": 1}))
    with pytest.raises(StudyError, match="is no observation"):
        observation.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": ("bp",)}, "rules: must be two or more"),
        ({"rules": ("bp", "none")}, "none: no such learning rule"),
        ({"chips": ()}, "chips: must be one or more"),
        ({"chips": ("ideal", "nowhere")}, "nowhere"),
        ({"networks": 3}, "networks = 3: must be 4 or more"),
        ({"spread": 0.5}, r"spread = 0\.5: must be 1 or more"),
        ({"times": 30}, "times = 30: must be 2 or more, and at most 11"),
    ],
)
def test_plans_that_cannot_be_are_refused_before_anything_runs(tmp_path, changes, message):
    with pytest.raises((InvalidValueError, ConfigurationError), match=message):
        observation.observe(replace(SMALL, **changes), tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_networks_nothing_is_read(tmp_path):
    observation._prepare(tmp_path, SMALL, resume=False)
    with pytest.raises(StudyError, match="nothing is observed yet; neurohw observe --resume"):
        observation.read(tmp_path)


def test_samples_have_a_row_a_layer(observed):
    found, folder = observed
    table = samples.gather(found)
    rows = 2 * (4 * 2 + 4 * 3)
    assert table.weights.shape == (rows, 4, 21)
    assert table.activities.shape == (rows, 4, 24)
    assert table.curves.shape == (rows, 4, 2)
    assert np.isfinite(table.columns(("weights", "activities", "curves"))).all()
    assert table.columns(("weights",), [0, 3]).shape == (rows, 2 * 21 + 3)
    deep = table.hidden == "6-5"
    assert table.positions[deep].argmax(axis=1).tolist() == [0, 1, 2] * 8
    assert table.positions[~deep].argmax(axis=1).tolist() == [0, 2] * 8
    # Before training, networks of a number are the same.
    one, other = (table.weights[(table.rules == r) & (table.numbers == 2), 0] for r in SMALL.rules)
    assert one == pytest.approx(other, rel=1e-5)
    path = samples.save(table, folder / "samples.h5")
    again = samples.load(path)
    for key in samples.Samples.__dataclass_fields__:
        assert np.array_equal(getattr(again, key), getattr(table, key))


def test_views_see_some_units_and_noise(observed):
    found, _ = observed
    whole, some = samples.gather(found), samples.gather(found, View(units=0.25))
    # Two of 8 units: the norm of their weights is less than that of all.
    first = (whole.layers == 0) & (whole.hidden == "8")
    assert (some.weights[first, :, 0] < whole.weights[first, :, 0]).all()
    noisy = samples.gather(found, View(noise=1.0))
    ratio = noisy.weights[first, :, 4] / whole.weights[first, :, 4]
    assert np.median(ratio) == pytest.approx(2, rel=0.2)
    assert np.array_equal(noisy.weights, samples.gather(found, View(noise=1.0)).weights)
    for wrong in ({"units": 0.0}, {"units": 1.5}, {"noise": -1.0}):
        with pytest.raises(InvalidValueError, match=next(iter(wrong))):
            View(**wrong)
