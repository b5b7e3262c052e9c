"""Recognising rules: what can be told apart is, what cannot is not, and nothing leaks."""

from pathlib import Path

import numpy as np
import pytest

from neurohw.errors import InvalidValueError, StudyError
from neurohw.experiments.identification import classifiers, recognition
from neurohw.experiments.identification.observation import Network, Observed
from neurohw.experiments.identification.samples import POSITIONS, Samples
from neurohw.experiments.studies.jobs import Outcome

TIMES = 3


def made(numbers: int, apart: float, seed: int = 0, own: float = 0.0) -> Samples:
    """Return samples of three rules whose weights differ by `apart` of their deviation.

    own, what networks of a number have in common.
    """
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(numbers, TIMES, 21))
    rows = []
    for k, rule in enumerate(("bp", "ep", "fa")):
        for number in range(numbers):
            for layer in range(2):
                weights = rng.normal(size=(TIMES, 21)) + own * shared[number]
                weights[:, k] += apart
                rows.append(
                    {
                        "weights": weights,
                        "activities": rng.normal(size=(TIMES, 24)),
                        "curves": np.zeros((TIMES, 2)),
                        "positions": np.eye(len(POSITIONS))[2 * layer],
                        "rules": rule,
                        "kinds": "hopfield" if rule == "ep" else "feedforward",
                        "hidden": str(8 * (1 + number % 2)),
                        "chips": ("ideal", "ecram")[number // 2 % 2],
                        "numbers": number,
                        "layers": layer,
                        "errors": 0.1,
                    }
                )
    return Samples(**{key: np.array([row[key] for row in rows]) for key in rows[0]})


def observed(samples: Samples) -> list[Observed]:
    network = Network(number=0, hidden=(8,), chip="ideal", batch=1, factor=1.0)
    outcome = Outcome(status="done", test_errors=(0.1,))
    return [
        Observed(
            rule="bp", kind="feedforward", network=network, outcome=outcome, recording=Path("none")
        )
    ]


@pytest.fixture
def identified(monkeypatch):
    def run(samples: Samples, **options):
        monkeypatch.setattr(recognition, "gather", lambda found, view=None: samples)
        monkeypatch.setattr(recognition, "TREES", 30)
        monkeypatch.setattr(recognition, "FEWER_TREES", 12)
        options = {"splits": 2, "permutations": 19} | options
        return recognition.identify(observed(samples), **options)

    return run


def test_rules_that_differ_are_recognised_by_what_they_differ_in(identified):
    parts = []
    found = identified(made(16, apart=4.0), told=lambda *part: parts.append(part))
    for kind in classifiers.KINDS:
        assert found.scores["weights"][kind].mean > 0.95
        assert found.scores["activities"][kind].mean < 0.6
        assert found.scores["weights"][kind].network_mean > 0.95
    assert found.chance == pytest.approx(1 / 3)
    assert found.p_value == pytest.approx(1 / 20)
    assert np.mean(found.shuffled) == pytest.approx(1 / 3, abs=0.1)
    assert found.curve_only.mean < 0.6
    assert found.unshuffled > 0.95
    assert found.before.mean > 0.9  # the rules differ at all times here
    assert set(found.one_kind) == {"feedforward"}  # of hopfield networks there is but one rule
    assert found.one_kind["feedforward"].mean > 0.95
    assert min(score.mean for score in found.new_hidden.values()) > 0.9
    assert set(found.new_hidden) == {"8", "16"}
    assert set(found.new_chips) == {"ideal", "ecram"}
    assert np.diag(found.confusion).min() > 0.9
    assert np.sum(found.confusion, axis=1) == pytest.approx(1)
    table = np.array(found.importance)
    assert table.shape == (45, TIMES)
    assert table.sum() == pytest.approx(1)
    # The first three statistics of weights are those that the rules differ in.
    assert set(np.argsort(-table.sum(axis=1))[:3]) == {0, 1, 2}
    assert len(recognition.statistic_names()) == 45
    assert [part[1] for part in parts] == list(range(9))
    assert {part[2] for part in parts} == {9}
    assert set(found.errors) == {"bp", "ep", "fa"}
    assert len(found.errors["bp"]) == 16
    assert found.spread_times["weights"].places == (1.0, 2.0, 3.0)
    assert found.spread_times["weights"].scores[-1].mean > 0.9


def test_rules_that_do_not_differ_are_not_recognised(identified):
    # Networks of a number are alike: one of them known, the others must not be guessed from it.
    found = identified(made(16, apart=0.0, own=3.0))
    for seen in found.scores.values():
        for score in seen.values():
            assert score.mean < 0.5
    assert found.p_value > 0.05


def test_no_number_stands_on_both_sides_of_a_split():
    samples = made(12, apart=1.0)
    tests = set()
    for train, test in classifiers.splits(samples, 5, seed=0):
        assert not set(samples.numbers[train]) & set(samples.numbers[test])
        assert len(train) + len(test) == len(samples.rules)
        assert len(test) == len(samples.rules) // 4
        tests.add(tuple(test))
    assert len(tests) == 5


def test_shuffled_labels_are_those_of_networks():
    samples = made(12, apart=1.0)
    labels = classifiers.shuffled(samples, np.random.default_rng(1))
    assert not np.array_equal(labels, samples.rules)
    for number in range(12):
        for rule in samples.names:
            rows = (samples.numbers == number) & (samples.rules == rule)
            assert len(set(labels[rows])) == 1
        assert sorted(labels[samples.numbers == number]) == sorted(
            samples.rules[samples.numbers == number]
        )


def test_rules_with_fewer_networks_count_as_much():
    labels = np.array(["bp"] * 90 + ["ep"] * 10)
    assert classifiers.recall(labels, np.array(["bp"] * 100)) == pytest.approx(0.5)
    assert classifiers.recall(labels, labels) == 1


def test_too_little_is_refused(identified):
    with pytest.raises(StudyError, match="bp: 5 networks: at least 6 are needed"):
        identified(made(5, apart=1.0))
    few = made(12, apart=1.0)
    with pytest.raises(StudyError, match="ep: 3 networks: at least 6 are needed"):
        identified(few.rows((few.rules != "ep") | (few.numbers < 3)))
    with pytest.raises(StudyError, match="networks of two rules or more are needed"):
        identified(few.rows(few.rules == "ep"))
    with pytest.raises(InvalidValueError, match="splits = 1: must be 2 or more"):
        identified(made(8, apart=1.0), splits=1)
    with pytest.raises(InvalidValueError, match="permutations = 0: must be 1 or more"):
        identified(made(8, apart=1.0), permutations=0)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch, identified):
    from neurohw.errors import UnsupportedError

    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'neurohw\[identify\]'"):
        identified(made(8, apart=1.0))
