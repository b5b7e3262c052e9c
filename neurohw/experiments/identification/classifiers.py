"""Classifiers of learning rules: splits by network, a random forest, a linear machine, scores.

Both are scikit-learn's, behind z-scores of the training samples; the machine's C is chosen by
cross-validation within these. Networks of one number stand on the same side of every split, so that
no layer of a network, and none of the same network trained by another rule, is known to a
classifier that is asked about it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.errors import StudyError, UnsupportedError
from neurohw.experiments.identification.samples import Samples

Array = NDArray[np.floating]
Kind = Literal["random forest", "linear SVM"]
Split = tuple[NDArray[np.intp], NDArray[np.intp]]

KINDS: tuple[Kind, ...] = ("random forest", "linear SVM")
_FOLDS = 3
_TEST_SHARE = 0.25
_C = (0.01, 0.1, 1.0, 10.0)
# Added to shares of trees, whose logarithms are taken.
_DOUBT = 1e-3


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How often a classifier is right, in each of some splits: means over the rules.

    layers, shares of the samples; networks, shares of the networks, whose layers vote with the
    logarithms of their probabilities, or with the margins of the linear machine.
    """

    layers: tuple[float, ...]
    networks: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean share of samples."""
        return float(np.mean(self.layers))

    @property
    def deviation(self) -> float:
        """Standard deviation over the splits; NaN of fewer than two."""
        return float(np.std(self.layers, ddof=1)) if len(self.layers) > 1 else float("nan")

    @property
    def network_mean(self) -> float:
        """Mean share of networks."""
        return float(np.mean(self.networks))


def require_scikit() -> None:
    """Raise `UnsupportedError` unless scikit-learn is installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise UnsupportedError(
            "scikit-learn is not installed; pip install 'neurohw[identify]'"
        ) from None


def require_enough(samples: Samples) -> None:
    """Raise `StudyError` unless there are two rules, and enough networks of each."""
    if len(samples.names) < 2:
        raise StudyError("networks of two rules or more are needed to tell them apart")
    for name in samples.names:
        count = len(np.unique(samples.numbers[samples.rules == name]))
        if count < 2 * _FOLDS:
            raise StudyError(f"{name}: {count} networks: at least {2 * _FOLDS} are needed")


def splits(samples: Samples, count: int, seed: int) -> Iterator[Split]:
    """Yield training and test rows, whose numbers differ; a quarter of the numbers is tested."""
    numbers = np.unique(samples.numbers)
    held = max(1, round(_TEST_SHARE * len(numbers)))
    for k in range(count):
        order = np.random.default_rng([seed, k]).permutation(numbers)
        test = np.isin(samples.numbers, order[:held])
        yield np.flatnonzero(~test), np.flatnonzero(test)


def shuffled(samples: Samples, rng: np.random.Generator) -> NDArray[np.str_]:
    """Return labels shuffled among the networks of each number, all layers of one alike."""
    labels = samples.rules.copy()
    for number in np.unique(samples.numbers):
        rows = samples.numbers == number
        present = np.unique(samples.rules[rows])
        mixed = dict(zip(present.tolist(), rng.permutation(present).tolist(), strict=True))
        labels[rows] = [mixed[rule] for rule in samples.rules[rows].tolist()]
    return labels


def model(kind: Kind, seed: int, trees: int) -> Any:
    """Return a classifier of z-scores that has learnt nothing yet."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    forest = kind == "random forest"
    last = RandomForestClassifier(trees, random_state=seed) if forest else SVC(kernel="linear")
    return make_pipeline(StandardScaler(), last)


def votes(
    kind: Kind,
    x: Array,
    labels: NDArray[np.str_],
    numbers: NDArray[np.int_],
    split: Split,
    seed: int,
    trees: int,
) -> Array:
    """Train on a split, and return a vote for each rule, (test rows, rules), the largest wins.

    x (rows, columns), labels and numbers (rows,); rules in alphabetical order; trees, of a forest.
    """
    from sklearn.model_selection import GridSearchCV, GroupKFold

    train, test = split
    one = model(kind, seed, trees)
    if kind == "linear SVM":
        search = GridSearchCV(one, {"svc__C": _C}, cv=GroupKFold(_FOLDS))
        one = search.fit(x[train], labels[train], groups=numbers[train]).best_estimator_
    else:
        one.fit(x[train], labels[train])
    if kind == "random forest":
        found = np.log(one.predict_proba(x[test]) + _DOUBT)
    else:
        found = one.decision_function(x[test])
        if found.ndim == 1:
            found = np.stack([-found, found], axis=1)
    names = sorted(set(labels.tolist()))
    table = np.full((len(test), len(names)), -np.inf)
    table[:, [names.index(name) for name in one.classes_]] = found
    return table


def answers(cast: Array, samples: Samples) -> NDArray[np.str_]:
    """Return the rules with the most votes, (rows,)."""
    names: NDArray[np.str_] = np.array(samples.names)
    return np.asarray(names[cast.argmax(axis=1)])


def score(samples: Samples, chosen: Sequence[Split], cast: Sequence[Array]) -> Score:
    """Return how often the votes of the test rows of splits are right."""
    layers, networks = [], []
    for (_, test), each in zip(chosen, cast, strict=True):
        labels, numbers = samples.rules[test], samples.numbers[test]
        layers.append(recall(labels, answers(each, samples)))
        pairs = sorted(set(zip(labels.tolist(), numbers.tolist(), strict=True)))
        sums = np.array(
            [each[(labels == rule) & (numbers == number)].sum(axis=0) for rule, number in pairs]
        )
        networks.append(recall(np.array([rule for rule, _ in pairs]), answers(sums, samples)))
    return Score(layers=tuple(layers), networks=tuple(networks))


def recall(labels: NDArray[np.str_], given: NDArray[np.str_]) -> float:
    """Return the share of right answers, the mean over the labels there are."""
    return float(np.mean([np.mean(given[labels == name] == name) for name in np.unique(labels)]))
