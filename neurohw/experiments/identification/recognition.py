"""How well learning rules are recognised, by what, and how far that can be trusted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError
from neurohw.experiments.identification import classifiers
from neurohw.experiments.identification.classifiers import KINDS, Kind, Score, Split
from neurohw.experiments.identification.observation import Observed
from neurohw.experiments.identification.samples import OBSERVABLES, Samples, View, gather
from neurohw.experiments.identification.statistics import ACTIVITIES, WEIGHTS

Array = NDArray[np.floating]

# What a classifier gets to see, by name.
SEEN: Mapping[str, tuple[str, ...]] = {
    "weights and activities": OBSERVABLES,
    "weights": ("weights",),
    "activities": ("activities",),
}
# The first of each is what `gather` sees without a view.
UNITS = (1.0, 0.5, 0.2, 0.1, 0.05)
NOISES = (0.0, 0.1, 0.3, 1.0, 3.0)
# Trees of forests, those of controls and curves, and the splits of curves.
TREES, FEWER_TREES, _FEWER_SPLITS = 200, 100, 3
_PARTS = 9


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of a random forest at some places, such as shares of the units."""

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
    unshuffled : float
        Accuracy of a forest of `FEWER_TREES` on the first split.
    shuffled : tuple of float
        Of as many forests that learnt shuffled labels of that split, on the shuffled ones.
    p_value : float
        Share of these, and of the true one among them, that are at least as good as that.
    curve_only, before : Score
        Of forests that see nothing but how the error falls, and nothing but what there is before
        the first mini-batch.
    one_kind : mapping of str to Score
        Of forests that tell apart the rules of one kind of network, by kind.
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
    unshuffled: float
    shuffled: tuple[float, ...]
    p_value: float
    curve_only: Score
    before: Score
    one_kind: dict[str, Score]
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
        There are too few networks to split, or a recording cannot be read.
    """
    for key, value, least in (("splits", splits, 2), ("permutations", permutations, 1)):
        if value < least:
            raise InvalidValueError(f"{key} = {value}: must be {least} or more")
    classifiers.require_scikit()
    return _Work(splits, permutations, workers, seed, told).run(observed)


class _Work:
    def __init__(
        self,
        splits: int,
        permutations: int,
        workers: int,
        seed: int,
        told: Callable[[str, int, int], None] | None,
    ) -> None:
        self.splits, self.permutations = splits, permutations
        self.workers, self.seed, self.told = workers, seed, told

    def run(self, observed: Sequence[Observed]) -> Identification:
        self._tell("statistics", 0)
        samples = gather(observed)
        classifiers.require_enough(samples)
        chosen = list(classifiers.splits(samples, self.splits, self.seed))
        scores: dict[str, dict[str, Score]] = {}
        cast: list[Array] = []
        for number, (name, seen) in enumerate(SEEN.items()):
            self._tell(f"classifiers: {name}", 1 + number)
            x, scores[name] = samples.columns(seen), {}
            for kind in KINDS:
                each = self._cast(x, samples, chosen, kind, TREES)
                scores[name][kind] = classifiers.score(samples, chosen, each)
                cast = cast or each
        x = samples.columns(OBSERVABLES)
        self._tell("controls", 4)
        unshuffled, shuffled = self._shuffled(x, samples, chosen[0])
        before = self._forests(samples.columns(OBSERVABLES, [0]), samples, chosen)
        curve_only = self._forests(samples.columns(("curves",)), samples, chosen)
        one_kind = self._one_kind(samples)
        self._tell("held-out layers and chips", 5)
        return Identification(
            rules=tuple(samples.names),
            samples=len(samples.rules),
            networks=len(set(zip(samples.rules.tolist(), samples.numbers.tolist(), strict=True))),
            errors=_errors(samples),
            scores=scores,
            confusion=_confusion(samples, chosen, cast),
            importance=self._importance(x, samples),
            unshuffled=unshuffled,
            shuffled=tuple(shuffled),
            p_value=(1 + sum(s >= unshuffled for s in shuffled)) / (1 + len(shuffled)),
            curve_only=curve_only,
            before=before,
            one_kind=one_kind,
            new_hidden=self._held_out(x, samples, samples.hidden),
            new_chips=self._held_out(x, samples, samples.chips),
            units=self._seen_less(observed, samples, "units", UNITS, 6),
            noise=self._seen_less(observed, samples, "noise", NOISES, 7),
            **self._times(samples),
        )

    def _tell(self, what: str, done: int) -> None:
        if self.told is not None:
            self.told(what, done, _PARTS)

    def _each(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        from joblib import Parallel, delayed

        return list(Parallel(n_jobs=self.workers)(delayed(function)(*each) for each in arguments))

    def _cast(
        self, x: Array, samples: Samples, chosen: Sequence[Split], kind: Kind, trees: int
    ) -> list[Array]:
        """Return the votes of a classifier on each split."""
        known = samples.rules, samples.numbers
        return self._each(
            classifiers.votes, [(kind, x, *known, split, self.seed, trees) for split in chosen]
        )

    def _forests(self, x: Array, samples: Samples, chosen: Sequence[Split]) -> Score:
        """Return the score of forests of fewer trees."""
        cast = self._cast(x, samples, chosen, "random forest", FEWER_TREES)
        return classifiers.score(samples, chosen, cast)

    def _shuffled(self, x: Array, samples: Samples, split: Split) -> tuple[float, list[float]]:
        """Return the accuracy on a split, and those where labels are shuffled."""
        labels = [samples.rules]
        for k in range(self.permutations):
            rng = np.random.default_rng([self.seed, 1 << 20, k])
            labels.append(classifiers.shuffled(samples, rng))
        known = samples.numbers, split, self.seed, FEWER_TREES
        cast = self._each(classifiers.votes, [("random forest", x, own, *known) for own in labels])
        true, *others = (
            classifiers.recall(own[split[1]], classifiers.answers(each, samples))
            for own, each in zip(labels, cast, strict=True)
        )
        return true, others

    def _one_kind(self, samples: Samples) -> dict[str, Score]:
        """Return scores among the rules of each kind of network, where there are several kinds."""
        kinds = sorted(set(samples.kinds.tolist()))
        found = {}
        for kind in kinds if len(kinds) > 1 else ():
            own = samples.rows(samples.kinds == kind)
            if len(own.names) > 1:
                chosen = list(classifiers.splits(own, self.splits, self.seed))
                found[kind] = self._forests(own.columns(OBSERVABLES), own, chosen)
        return found

    def _held_out(self, x: Array, samples: Samples, groups: NDArray[np.str_]) -> dict[str, Score]:
        """Return scores on each group, all others being learnt from."""
        names = sorted(set(groups.tolist()))
        if len(names) < 2:
            return {}
        chosen = [(np.flatnonzero(groups != n), np.flatnonzero(groups == n)) for n in names]
        cast = self._cast(x, samples, chosen, "random forest", FEWER_TREES)
        return {
            name: classifiers.score(samples, [split], [each])
            for name, split, each in zip(names, chosen, cast, strict=True)
        }

    def _importance(self, x: Array, samples: Samples) -> tuple[tuple[float, ...], ...]:
        model = classifiers.model("random forest", self.seed, TREES).fit(x, samples.rules)
        found = model[-1].feature_importances_
        times, first = samples.weights.shape[1], samples.weights[0].size
        weights = found[:first].reshape(times, -1)
        activities = found[first : first + samples.activities[0].size].reshape(times, -1)
        table = np.concatenate([weights, activities], axis=1).T
        return tuple(tuple(row) for row in (table / table.sum()).tolist())

    def _seen_less(
        self,
        observed: Sequence[Observed],
        samples: Samples,
        key: str,
        places: tuple[float, ...],
        part: int,
    ) -> dict[str, Curve]:
        """Return the curves of views that see less of one thing."""
        self._tell(f"less to see: {key}", part)
        views = [View(**{key: place}) for place in places[1:]]
        tables = [samples, *self._each(gather, [(observed, view) for view in views])]
        return {
            name: self._curve(places, [(table, table.columns(SEEN[name])) for table in tables])
            for name in OBSERVABLES
        }

    def _times(self, samples: Samples) -> dict[str, dict[str, Curve]]:
        """Return the curves of fewer times."""
        self._tell("less to see: times", 8)
        count = samples.weights.shape[1]
        numbers = sorted({n for n in (1, 2, 3, 6, 11) if n < count} | {count})
        return {
            key: {
                name: self._curve(
                    numbers,
                    [(samples, samples.columns(SEEN[name], choose(n, count))) for n in numbers],
                )
                for name in OBSERVABLES
            }
            for key, choose in (("spread_times", _spread), ("first_times", _first))
        }

    def _curve(self, places: Sequence[float], tables: Sequence[tuple[Samples, Array]]) -> Curve:
        scores = []
        for samples, x in tables:
            chosen = list(classifiers.splits(samples, _FEWER_SPLITS, self.seed))
            scores.append(self._forests(x, samples, chosen))
        return Curve(places=tuple(float(p) for p in places), scores=tuple(scores))


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


def _confusion(
    samples: Samples, chosen: Sequence[Split], cast: Sequence[Array]
) -> tuple[tuple[float, ...], ...]:
    labels = np.concatenate([samples.rules[test] for _, test in chosen])
    given = np.concatenate([classifiers.answers(each, samples) for each in cast])
    names = samples.names
    return tuple(
        tuple(np.mean(given[labels == true][:, None] == names, axis=0).tolist()) for true in names
    )


def _errors(samples: Samples) -> dict[str, tuple[float, ...]]:
    first = samples.layers == 0
    return {
        name: tuple(samples.errors[first & (samples.rules == name)].tolist())
        for name in samples.names
    }
