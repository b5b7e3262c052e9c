"""Recognising rules: classifiers, and controls that say how much they recognise in truth.

A random forest and a linear support vector machine of scikit-learn, each behind z-scores of the
training samples; the machine's C is chosen by cross-validation within these. Networks of one number
stand on the same side of every split, so that no layer of a network, and none of the same network
trained by another rule, is known to a classifier that is asked about it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError, StudyError, UnsupportedError
from neurohw.experiments.identification.observation import Observed
from neurohw.experiments.identification.samples import OBSERVABLES, Samples, View, gather
from neurohw.experiments.identification.statistics import ACTIVITIES, WEIGHTS

Array = NDArray[np.floating]
Kind = Literal["random forest", "linear SVM"]

KINDS: tuple[Kind, ...] = ("random forest", "linear SVM")
# What a classifier gets to see, by name.
SEEN: Mapping[str, tuple[str, ...]] = {
    "weights and activities": OBSERVABLES,
    "weights": ("weights",),
    "activities": ("activities",),
}
# The first of each is what `gather` sees without a view.
UNITS = (1.0, 0.5, 0.2, 0.1, 0.05)
NOISES = (0.0, 0.1, 0.3, 1.0, 3.0)
_TEST_SHARE = 0.25
_TREES, _FEWER_TREES, _FOLDS = 200, 100, 3
_C = (0.01, 0.1, 1.0, 10.0)

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How often a classifier is right, in each of some splits.

    layers, shares of the samples; networks, shares of the networks, whose layers' probabilities are
    multiplied.
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


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of a random forest on activities, or on weights, at some places."""

    places: tuple[float, ...]
    scores: tuple[Score, ...]


class Identification(msgspec.Struct, frozen=True, kw_only=True):
    """How well rules can be told apart, and by what.

    Parameters
    ----------
    rules : tuple of str
    samples, networks : int
    errors : mapping of str to tuple of float
        Test errors of the networks of each rule.
    scores : mapping of str to mapping of str to Score
        By what is seen and classifier.
    confusion : tuple of tuples of float
        Share of the samples of a rule (row) taken for another (column), by the random forest that
        sees all, in the test parts of all splits together.
    importance : tuple of tuples of float
        Of each statistic (row, weights' first) at each time (column) for that forest; sum 1.
    shuffled : tuple of float
        Accuracies of forests that learnt shuffled labels, where all is seen.
    p_value : float
        Share of them, and of the true one among them, that are at least as good as that.
    curve_only : Score
        Of a forest that sees nothing but how the error falls.
    new_hidden, new_chips : mapping of str to Score
        Where no network with these hidden layers, or on this chip, was known.
    units, noise, spread_times, first_times : mapping of str to Curve
        By what is seen: against the share of units, the noise of measuring, and the number of
        times, spread over all of training or the first ones of it.
    """

    rules: tuple[str, ...]
    samples: int
    networks: int
    errors: dict[str, tuple[float, ...]]
    scores: dict[str, dict[str, Score]]
    confusion: tuple[tuple[float, ...], ...]
    importance: tuple[tuple[float, ...], ...]
    shuffled: tuple[float, ...]
    p_value: float
    curve_only: Score
    new_hidden: dict[str, Score]
    new_chips: dict[str, Score]
    units: dict[str, Curve]
    noise: dict[str, Curve]
    spread_times: dict[str, Curve]
    first_times: dict[str, Curve]

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1 / len(self.rules)

    @property
    def accuracy(self) -> float:
        """Of the random forest that sees all, per layer."""
        return self.scores["weights and activities"]["random forest"].mean


def identify(
    observed: Sequence[Observed],
    *,
    splits: int = 10,
    permutations: int = 200,
    workers: int = 1,
    seed: int = 0,
    told: Callable[[str, int, int], None] | None = None,
) -> Identification:
    """Train and test classifiers on networks that were observed.

    Parameters
    ----------
    observed : sequence of Observed
    splits : int
        Of a quarter of the numbers for the test.
    permutations : int
        Shuffled controls; the least p-value is 1/(permutations + 1).
    workers : int
        Processes.
    seed : int
    told : callable, optional
        Called with what is done next, and how many such parts there are before it and in all.

    Raises
    ------
    UnsupportedError
        scikit-learn is not installed.
    StudyError
        There are too few networks to split.
    """
    _require_scikit()
    work = _Work(splits, permutations, workers, seed, told)
    return work.run(observed)


class _Work:
    def __init__(
        self,
        splits: int,
        permutations: int,
        workers: int,
        seed: int,
        told: Callable[[str, int, int], None] | None,
    ) -> None:
        for key, value, least in (("splits", splits, 2), ("permutations", permutations, 1)):
            if value < least:
                raise InvalidValueError(f"{key} = {value}: must be {least} or more")
        self.splits, self.permutations = splits, permutations
        self.workers, self.seed, self.told = workers, seed, told

    def run(self, observed: Sequence[Observed]) -> Identification:
        self._tell("statistics", 0)
        samples = gather(observed)
        _require_enough(samples)
        chosen = list(self._split(samples))
        scores: dict[str, dict[str, Score]] = {}
        answers: list[NDArray[np.str_]] = []
        for number, (name, seen) in enumerate(SEEN.items()):
            self._tell(f"classifiers: {name}", 1 + number)
            x = samples.columns(seen)
            scores[name] = {}
            for kind in KINDS:
                fitted = self._each(_fitted, [(kind, x, samples, s, self.seed) for s in chosen])
                scores[name][kind] = _score(samples, chosen, fitted)
                if kind == "random forest" and seen is OBSERVABLES:
                    answers = [_answers(p, samples) for p in fitted]
        x = samples.columns(OBSERVABLES)
        self._tell("shuffled labels", 4)
        shuffled = self._shuffled(x, samples, chosen[0])
        true = self._plain(x, samples, chosen[:1]).layers[0]
        self._tell("held-out layers and chips", 5)
        tests = samples.rules, np.concatenate([test for _, test in chosen])
        return Identification(
            rules=tuple(samples.names),
            samples=len(samples.rules),
            networks=len(set(zip(samples.rules.tolist(), samples.numbers.tolist(), strict=True))),
            errors=_errors(samples),
            scores=scores,
            confusion=_confusion(tests[0][tests[1]], np.concatenate(answers), samples.names),
            importance=self._importance(x, samples),
            shuffled=tuple(shuffled),
            p_value=(1 + sum(s >= true for s in shuffled)) / (1 + len(shuffled)),
            curve_only=self._plain(samples.columns(("curves",)), samples, chosen),
            new_hidden=self._held_out(x, samples, samples.hidden),
            new_chips=self._held_out(x, samples, samples.chips),
            **self._less(observed, samples),
        )

    def _tell(self, what: str, done: int) -> None:
        if self.told is not None:
            self.told(what, done, 9)

    def _each(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        from joblib import Parallel, delayed

        pool = Parallel(n_jobs=self.workers)
        return list(pool(delayed(function)(*each) for each in arguments))

    def _split(self, samples: Samples, count: int | None = None) -> Iterator[Split]:
        """Yield training and test rows, whose numbers differ."""
        numbers = np.unique(samples.numbers)
        held = max(1, round(_TEST_SHARE * len(numbers)))
        for k in range(count or self.splits):
            order = np.random.default_rng([self.seed, k]).permutation(numbers)
            test = np.isin(samples.numbers, order[:held])
            yield np.flatnonzero(~test), np.flatnonzero(test)

    def _plain(self, x: Array, samples: Samples, chosen: Sequence[Split]) -> Score:
        """Return the score of forests with settings that are not searched for."""
        fitted = self._each(_forest, [(x, samples.rules, s, self.seed) for s in chosen])
        return _score(samples, chosen, fitted)

    def _shuffled(self, x: Array, samples: Samples, split: Split) -> list[float]:
        arguments = []
        for k in range(self.permutations):
            labels = _shuffle(samples, np.random.default_rng([self.seed, 1 << 20, k]))
            arguments.append((x, labels, split, self.seed))
        found = self._each(_forest, arguments)
        return [
            float(np.mean(_answers(p, samples) == labels[split[1]]))
            for p, (_, labels, _, _) in zip(found, arguments, strict=True)
        ]

    def _held_out(self, x: Array, samples: Samples, groups: NDArray[np.str_]) -> dict[str, Score]:
        """Return scores on each group, known numbers and all other groups being learnt from."""
        names = sorted(set(groups.tolist()))
        if len(names) < 2:
            return {}
        chosen = [
            (np.flatnonzero(groups != name), np.flatnonzero(groups == name)) for name in names
        ]
        fitted = self._each(_forest, [(x, samples.rules, s, self.seed) for s in chosen])
        return {
            name: _score(samples, [split], [p])
            for name, split, p in zip(names, chosen, fitted, strict=True)
        }

    def _importance(self, x: Array, samples: Samples) -> tuple[tuple[float, ...], ...]:
        model = _model("random forest", self.seed).fit(x, samples.rules)
        found = model[-1].feature_importances_
        times, first = samples.weights.shape[1], samples.weights[0].size
        weights = found[:first].reshape(times, -1)
        activities = found[first : first + samples.activities[0].size].reshape(times, -1)
        table = np.concatenate([weights, activities], axis=1).T
        return tuple(tuple(row) for row in (table / table.sum()).tolist())

    def _less(self, observed: Sequence[Observed], samples: Samples) -> dict[str, dict[str, Curve]]:
        """Return the curves of views that see less."""
        seen = {name: SEEN[name] for name in ("weights", "activities")}
        found = {}
        for number, (key, places) in enumerate((("units", UNITS), ("noise", NOISES))):
            self._tell(f"less to see: {key}", 6 + number)
            views = [View(**{key: place}) for place in places[1:]]
            tables = [samples, *self._each(gather, [(observed, view) for view in views])]
            found[key] = {
                name: Curve(
                    places=places,
                    scores=tuple(
                        self._plain(table.columns(columns), table, list(self._split(table, 3)))
                        for table in tables
                    ),
                )
                for name, columns in seen.items()
            }
        self._tell("less to see: times", 8)
        count = samples.weights.shape[1]
        numbers = sorted({n for n in (1, 2, 3, 6, 11, 21) if n < count} | {count})
        for key, choose in (("spread_times", _spread), ("first_times", _first)):
            found[key] = {
                name: Curve(
                    places=tuple(float(n) for n in numbers),
                    scores=tuple(
                        self._plain(
                            samples.columns(columns, choose(n, count)),
                            samples,
                            list(self._split(samples, 3)),
                        )
                        for n in numbers
                    ),
                )
                for name, columns in seen.items()
            }
        return found


def statistic_names() -> list[str]:
    """Return the names of the rows of `Identification.importance`."""
    return [*(f"weights: {s}" for s in WEIGHTS), *(f"activities: {s}" for s in ACTIVITIES)]


def _spread(count: int, total: int) -> list[int]:
    """Return so many times over all of training, the last one among them."""
    if count == 1:
        return [total - 1]
    return sorted({round(k * (total - 1) / (count - 1)) for k in range(count)})


def _first(count: int, total: int) -> list[int]:
    return list(range(count))


def _require_scikit() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise UnsupportedError(
            "scikit-learn is not installed; pip install 'neurohw[identify]'"
        ) from None


def _require_enough(samples: Samples) -> None:
    if len(samples.names) < 2:
        raise StudyError("networks of two rules or more are needed to tell them apart")
    numbers = len(np.unique(samples.numbers))
    if numbers < 2 * _FOLDS:
        raise StudyError(f"{numbers} numbers of networks: at least {2 * _FOLDS} are needed")


def _model(kind: Kind, seed: int, trees: int = _TREES) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    forest = kind == "random forest"
    last = RandomForestClassifier(trees, random_state=seed) if forest else SVC(kernel="linear")
    return make_pipeline(StandardScaler(), last)


def _fitted(kind: Kind, x: Array, samples: Samples, split: Split, seed: int) -> Array:
    """Return the scores of the test samples, (rows, rules)."""
    from sklearn.model_selection import GridSearchCV, GroupKFold

    train, test = split
    model = _model(kind, seed)
    if kind == "linear SVM":
        model = GridSearchCV(model, {"svc__C": _C}, cv=GroupKFold(_FOLDS))
        model.fit(x[train], samples.rules[train], groups=samples.numbers[train])
        model = model.best_estimator_
    else:
        model.fit(x[train], samples.rules[train])
    return _scores_of(model, x[test], samples.names)


def _forest(x: Array, labels: NDArray[np.str_], split: Split, seed: int) -> Array:
    """Return the same of a forest of fewer trees that learns some labels."""
    train, test = split
    model = _model("random forest", seed, _FEWER_TREES).fit(x[train], labels[train])
    return _scores_of(model, x[test], sorted(set(labels.tolist())))


def _scores_of(model: Any, x: Array, names: Sequence[str]) -> Array:
    """Return a score of each rule for samples, (rows, rules); logarithms, up to a constant."""
    if hasattr(model[-1], "predict_proba"):
        found = np.log(model.predict_proba(x) + 1e-3)
    else:
        found = model.decision_function(x)
        if found.ndim == 1:
            found = np.stack([-found, found], axis=1)
    table = np.full((len(x), len(names)), -np.inf)
    table[:, [list(names).index(name) for name in model.classes_]] = found
    return table


def _answers(scores: Array, samples: Samples) -> NDArray[np.str_]:
    names: NDArray[np.str_] = np.array(samples.names)
    return np.asarray(names[scores.argmax(axis=1)])


def _score(samples: Samples, chosen: Sequence[Split], fitted: Sequence[Array]) -> Score:
    layers, networks = [], []
    names = np.array(samples.names)
    for (_, test), scores in zip(chosen, fitted, strict=True):
        labels, numbers = samples.rules[test], samples.numbers[test]
        layers.append(float(np.mean(_answers(scores, samples) == labels)))
        right = []
        for rule, number in sorted(set(zip(labels.tolist(), numbers.tolist(), strict=True))):
            own = (labels == rule) & (numbers == number)
            right.append(names[scores[own].sum(axis=0).argmax()] == rule)
        networks.append(float(np.mean(right)))
    return Score(layers=tuple(layers), networks=tuple(networks))


def _shuffle(samples: Samples, rng: np.random.Generator) -> NDArray[np.str_]:
    """Return labels shuffled among the networks of each number, all layers of one alike."""
    labels = samples.rules.copy()
    for number in np.unique(samples.numbers):
        rows = samples.numbers == number
        present = np.unique(samples.rules[rows])
        mixed = dict(zip(present.tolist(), rng.permutation(present).tolist(), strict=True))
        labels[rows] = [mixed[rule] for rule in samples.rules[rows].tolist()]
    return labels


def _confusion(
    labels: NDArray[np.str_], answers: NDArray[np.str_], names: Sequence[str]
) -> tuple[tuple[float, ...], ...]:
    return tuple(
        tuple(float(np.mean(answers[labels == true] == other)) for other in names) for true in names
    )


def _errors(samples: Samples) -> dict[str, tuple[float, ...]]:
    first = samples.layers == 0
    return {
        name: tuple(samples.errors[first & (samples.rules == name)].tolist())
        for name in samples.names
    }
