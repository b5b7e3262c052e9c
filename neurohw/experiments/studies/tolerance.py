"""How much of each nonideality a chip may have, how much of all at once, and its weakest link."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import ConfigurationError, StudyError
from neurohw.experiments.studies import limits, sweep
from neurohw.experiments.studies import study as studies
from neurohw.experiments.studies.axes import Range
from neurohw.experiments.studies.jobs import Job, Outcome
from neurohw.experiments.studies.keys import Value, find
from neurohw.experiments.studies.limits import Band, Limit
from neurohw.experiments.studies.search import Search
from neurohw.experiments.studies.study import Study, with_seed
from neurohw.experiments.studies.sweep import Told, Workshop

Array = NDArray[np.float64]

FORMAT = "neurohw tolerance"

# Where no range is given: of fractions, and of bits.
_FRACTIONS = (0.001, 1.0)
_BITS = (2, 12)
# Shares of all limits that are tried together.
SHARES = (0.05, 1.0)


@dataclass(frozen=True)
class Found:
    """The limit of one key, the others at their ideal.

    Parameters
    ----------
    axis : Range
    limit : Limit
        In SI units.
    band : Band
        Penalties at the values that were run.
    ended : {"resolved", "outside", "budget"}
        Why the search ended: the points around the limit are near each other, it lies outside of
        the range, or the runs were spent.
    present : number, optional
        The experiment's own value; None where that is the ideal, or none.
    failed : int
        Runs that failed; they count as wrong for every image.
    """

    axis: Range
    limit: Limit
    band: Band
    ended: Literal["", "resolved", "outside", "budget"]
    present: float | None
    failed: int = 0

    @property
    def margin(self) -> float:
        """Limit over present value, or the inverse where less is worse; below 1 is too much.

        Infinite without a present value, or if all that was tried is within the drop; 0 if nothing
        is.
        """
        limit = max(self.limit.value, 0.0)
        if not self.present or (self.axis.less_is_worse and limit == 0):
            return float("inf")
        return self.present / limit if self.axis.less_is_worse else limit / self.present

    @property
    def tolerated(self) -> bool:
        """Whether anything that was tried is within the drop."""
        if self.axis.less_is_worse:
            return self.limit.value < np.inf
        return self.limit.value not in (0.0, -np.inf)


@dataclass(frozen=True)
class Joint:
    """All limits at once: mean penalty with its interval, and the share of all that holds.

    share is 1 where all hold together, else what they must be multiplied by, of those whose small
    values harm divided, with its interval.
    """

    penalty: float
    low: float
    high: float
    holds: bool
    share: Limit


@dataclass(frozen=True)
class Tolerances:
    """What `tolerance` returns.

    found, the weakest link first: the least margin; joint is None for one key, or where of some key
    no value that was tried is within the drop. ideal_error is the mean test error of the reference;
    runs, how many there were, those of a resumed search too.
    """

    study: Study
    found: list[Found]
    joint: Joint | None
    ideal_error: float
    runs: int

    def table(self) -> dict[str, NDArray[Any]]:
        """Return the limits as a dict of arrays, one row a key."""
        columns: dict[str, list[Any]] = {
            "key": [one.axis.label for one in self.found],
            "unit": [one.axis.unit or "" for one in self.found],
            "limit": [one.limit.value for one in self.found],
            "low": [one.limit.low for one in self.found],
            "high": [one.limit.high for one in self.found],
            "present": [np.nan if one.present is None else one.present for one in self.found],
            "margin": [one.margin for one in self.found],
            "points": [len(one.band.x) for one in self.found],
            "ended": [one.ended for one in self.found],
            "failed": [one.failed for one in self.found],
        }
        return {key: np.array(values) for key, values in columns.items()}


def axis_of(text: str, ideal: Value | None = None) -> Range:
    """Return the axis of a text ``KEY`` or ``KEY=LOW..HIGH``; its ideal is 0 unless given.

    Raises
    ------
    ConfigurationError
        An unknown key, one that has no numbers, or that lacks a range or an ideal that it needs.
    """
    word, _, ends = text.partition("=")
    key = find(word.strip())[0]
    if key.kind not in ("number", "whole number"):
        raise ConfigurationError(f"key = {word}: has no numbers to search")
    low, dots, high = ends.partition("..")
    whole = key.kind == "whole number"
    if key.less_is_worse and not whole and ideal is None:
        raise ConfigurationError(f"key = {word}: harms when small; give its ideal, above 0")
    if not ends and key.unit == "%":
        low, high = map(str, _FRACTIONS)
    elif not ends and key.path.endswith("bits"):
        low, high = map(str, _BITS)
    elif not (dots and low.strip() and high.strip()):
        raise ConfigurationError(f"key = {text}: give its range, as in {word}=LOW..HIGH")

    def number(end: str) -> int | float | str:
        try:
            return int(end) if whole else float(end)
        except ValueError:
            return end.strip()

    return Range(
        key=word.strip(),
        low=number(low),
        high=number(high),
        scale="linear" if whole and key.less_is_worse else "log",
        ideal=0 if ideal is None else ideal,
    )


def tolerance(
    recipe: str,
    keys: Sequence[str | Range],
    *,
    chip: str | None = None,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    drop: float = 0.01,
    confidence: float = 0.95,
    seeds: int = 5,
    runs: int = 60,
    out: Path | str | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    retry: bool = False,
    progress: Told | None = None,
) -> Tolerances:
    """Find the largest value of each key at which the test error is within `drop` of the ideal.

    The ideal is the same experiment with every key at its ideal, usually 0; seeds are paired. With
    several keys each is searched with the others at their ideal, then all limits are tried at once;
    of a key without a limit in its range, the end of that.

    Parameters
    ----------
    recipe : str
        A recipe's name, or a TOML file.
    keys : sequence of str or Range
        As `axis_of` takes them.
    chip, settings, epochs
        As `neurohw.load_recipe` has them.
    drop, confidence : float
        Fractions.
    seeds, runs : int
        Seeds of each value, and most runs of each key.
    out, workers, scheduler, resume, retry, progress
        As `sweep` has them; with `out` a search goes on where it was, from the files of its runs.

    Raises
    ------
    ConfigurationError
        A key or its range is of no use; nothing has run.
    StudyError
        See `sweep`; or a run of the ideal fails, so that there is nothing to compare with.
    """
    axes = tuple(key if isinstance(key, Range) else axis_of(key) for key in keys)
    if runs < 3 * seeds or seeds < 2:
        raise ConfigurationError(
            f"runs = {runs}, seeds = {seeds}: must be 2 seeds or more, and runs of 3 values"
        )
    study = Study(
        name="tolerance",
        recipe=recipe,
        chip=chip,
        settings=tuple(settings),
        epochs=epochs,
        seeds=seeds,
        drop=drop,
        confidence=confidence,
        axes=axes,
    )
    try:
        studies.check_axes(study)
    except ConfigurationError as error:
        raise ConfigurationError(f"{study.name}: {error}") from None
    bench = _Bench(study, Workshop(None, workers, scheduler, progress, retry))
    for number, axis in enumerate(axes):
        for end in axis.ends:
            bench.jobs_at(bench.along(number, end))
    if out is not None:
        bench.shop.folder = sweep.prepare(Path(out), study, resume=resume or retry, kind=FORMAT)
    ideal_error = float(np.mean(bench.errors([bench.ideal])))
    searches = [_search(study, axis, runs) for axis in axes]
    while any(wanted := [search.wanted() for search in searches]):
        places = [bench.along(k, x) for k, values in enumerate(wanted) for x in values]
        penalties = bench.penalties(places)
        for search, values in zip(searches, wanted, strict=True):
            search.take(values, penalties[: len(values)])
            penalties = penalties[len(values) :]
    found = [
        Found(
            axis=axis,
            limit=search.limit,
            band=search.band,
            ended=search.ended,
            present=bench.present(number),
            failed=bench.failed([bench.along(number, x) for x in search.tried]),
        )
        for number, (axis, search) in enumerate(zip(axes, searches, strict=True))
    ]
    joint = None
    if len(axes) > 1 and all(one.tolerated for one in found):
        joint = _joint(bench, found, runs)
    return Tolerances(
        study=study,
        found=sorted(found, key=lambda one: one.margin),
        joint=joint,
        ideal_error=ideal_error,
        runs=bench.runs,
    )


def _search(study: Study, axis: Range, runs: int) -> Search:
    low, high = axis.ends
    return Search(
        low=low,
        high=high,
        drop=study.drop,
        confidence=study.confidence,
        most=runs // len(study.seed_list),
        logarithmic=axis.scale == "log",
        whole=axis.keys[0].kind == "whole number",
        less_is_worse=axis.less_is_worse,
    )


def _joint(bench: "_Bench", found: Sequence[Found], runs: int) -> Joint:
    """Try all limits at once, and if that is too much, a share of all."""
    study = bench.study

    def at(share: float) -> tuple[Value, ...]:
        place = []
        for one in found:
            value = float(np.clip(one.limit.value, *one.axis.ends))
            less = one.axis.less_is_worse
            value = min(value / share if less else value * share, one.axis.ends[1])
            if one.axis.keys[0].kind == "whole number":
                value = limits.within(value, less_is_worse=less)
            place.append(one.axis.rounded(value))
        return tuple(place)

    whole = bench.penalties([at(1.0)])
    band = limits.band(np.ones(1), whole, study.confidence)
    penalty, low, high = (float(edge[0]) for edge in (band.mean, band.low, band.high))
    if penalty <= study.drop:
        return Joint(penalty, low, high, True, Limit(1.0, 1.0, 1.0))
    search = Search(
        low=SHARES[0],
        high=SHARES[1],
        drop=study.drop,
        confidence=study.confidence,
        most=runs // len(study.seed_list),
        logarithmic=True,
    )
    while shares := search.wanted():
        search.take(shares, bench.penalties([at(share) for share in shares]))
    return Joint(penalty, low, high, False, search.limit)


class _Bench:
    """Runs places of a study with all seeds, and keeps count."""

    def __init__(self, study: Study, shop: Workshop) -> None:
        self.study, self.shop = study, shop
        self.ideal: tuple[Value, ...] = tuple(axis.ideal_value or 0 for axis in study.axes)
        self.tables: dict[str, Any] = {}
        self.done: dict[str, Outcome] = {}
        self.jobs: dict[tuple[Value, ...], list[Job]] = {}
        self.jobs_at(self.ideal)

    @property
    def runs(self) -> int:
        """How many runs there were."""
        return len(self.done)

    def along(self, number: int, value: float) -> tuple[Value, ...]:
        """Return the ideal place with one axis at a value."""
        axis = self.study.axes[number]
        assert isinstance(axis, Range)
        return (*self.ideal[:number], axis.rounded(value), *self.ideal[number + 1 :])

    def present(self, number: int) -> float | None:
        """Return the experiment's own value of a key, unless that is its ideal or none."""
        axis = self.study.axes[number]
        assert isinstance(axis, Range)
        found = studies.value_of(self.study, axis.keys[0].path)
        if not isinstance(found, int | float) or found == self.ideal[number]:
            return None
        return float(found)

    def jobs_at(self, place: tuple[Value, ...]) -> list[Job]:
        """Return the jobs of a place, one a seed; `ConfigurationError` if it is no experiment."""
        if place not in self.jobs:
            experiment = studies.experiment_at(self.study, place, self.tables)
            self.jobs[place] = [
                Job.whole(with_seed(experiment, seed)) for seed in self.study.seed_list
            ]
        return self.jobs[place]

    def errors(self, places: Sequence[tuple[Value, ...]]) -> Array:
        """Return the (places, seeds) test errors; a run that failed is wrong for every image."""
        wanted = [job for place in places for job in self.jobs_at(place)]
        outcomes = self.shop.run(wanted)
        self.done |= outcomes
        for job in self.jobs_at(self.ideal):
            known = self.done.get(job.name)
            if known is not None and known.status == "failed":
                seed = job.experiment.training.seed
                raise StudyError(f"the ideal fails with seed {seed}: {known.message}")
        found = [outcomes[job.name] for job in wanted]
        errors = [1.0 if o.status == "failed" else o.test_error for o in found]
        return np.array(errors).reshape(len(places), -1)

    def failed(self, places: Sequence[tuple[Value, ...]]) -> int:
        """Return how many runs failed at places that were run."""
        names = [job.name for place in places for job in self.jobs_at(place)]
        return sum(self.done[name].status == "failed" for name in names)

    def penalties(self, places: Sequence[tuple[Value, ...]]) -> Array:
        """Return the (places, seeds) test errors less those of the ideal with the same seeds."""
        errors = self.errors([self.ideal, *places])
        return np.asarray(errors[1:] - errors[0])
