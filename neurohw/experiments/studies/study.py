"""A study: an experiment, the axes along which it is varied, and seeds; resolved before it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from neurohw import specification
from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.experiments import configuration
from neurohw.experiments.configuration import RECIPES
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.studies.axes import Axis, Cases, Count, Design, Grid
from neurohw.experiments.studies.keys import Value
from neurohw.presets import Presets
from neurohw.units import Fraction, show

Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
# Columns of the table of a study beside its axes.
COLUMNS = (
    "point", "seed", "status", "epochs", "test_error", "train_error", "penalty", "message",
)  # fmt: skip
# More would be a mistake in an axis; their resolving alone takes minutes.
MOST_POINTS = 100_000


class Stopping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Early stopping: a run ends at an epoch, from `after` on, with at least this test error."""

    error: Fraction
    after: Count = 1

    def __post_init__(self) -> None:
        if not 0 < self.error <= 1:
            raise InvalidValueError(f"error = {self.error}: must lie between 0 and 1")


class Halving(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Successive halving: only the best points, 1 in `factor`, train so many times as long.

    Parameters
    ----------
    epochs : int
        That all points train.
    factor : int
        References always go on. The last ones train as long as the experiment says.

    References
    ----------
    Jamieson and Talwalkar (2016), AISTATS, arXiv:1502.07943.
    """

    epochs: Count = 1
    factor: Annotated[int, Meta(ge=2)] = 3

    def rungs(self, epochs: int) -> list[int]:
        """Return the epochs at which points are compared, and the last one."""
        found = [self.epochs]
        while found[-1] * self.factor < epochs:
            found.append(found[-1] * self.factor)
        return [*(rung for rung in found if rung < epochs), epochs]


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is run.

    Parameters
    ----------
    name, description : str
    recipe : str
        What is varied: a recipe's name, or a TOML file.
    chip : str, optional
        In place of the recipe's.
    settings : tuple of str
        Changes ``key.path=value`` of every point, before those of the axes.
    epochs : int, optional
        In place of the recipe's. Every point has this budget, unless an axis says otherwise, or
        `stopping` or `halving` takes some of it away.
    seeds : int or tuple of int
        That every point has: so many from 0 on, or these.
    drop : float
        Error above that of the reference at which an axis reaches its limit.
    confidence : float
        Of intervals and bands.
    axes : tuple of Axis
    design : Grid, Sobol or LatinHypercube
    stopping : Stopping, optional
    halving : Halving, optional
    """

    name: str = "custom"
    description: str = ""
    recipe: str
    chip: str | None = None
    settings: tuple[str, ...] = ()
    epochs: Count | None = None
    seeds: Count | tuple[Seed, ...] = 3
    drop: Fraction = 0.01
    confidence: Fraction = 0.95
    axes: tuple[Axis, ...]
    design: Design = msgspec.field(default_factory=Grid)
    stopping: Stopping | None = None
    halving: Halving | None = None

    def __post_init__(self) -> None:
        if not self.axes:
            raise InvalidValueError("axes = []: must be at least one")
        if self.seeds == () or len(set(self.seed_list)) < len(self.seed_list):
            raise InvalidValueError(f"seeds = {list(self.seed_list)}: must be different ones")
        for key in ("drop", "confidence"):
            if not 0 < getattr(self, key) < 1:
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must lie between 0 and 1")
        if self.stopping is not None and self.halving is not None:
            raise InvalidValueError("stopping: leave out halving, or stopping")

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds."""
        return self.seeds if isinstance(self.seeds, tuple) else tuple(range(self.seeds))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.label for axis in self.axes)


@dataclass(frozen=True)
class Point:
    """A place in the space of the axes.

    values, one an axis; reference, the number of the point with every axis at its ideal that has
    one, or None where none has.
    """

    values: tuple[Value, ...]
    experiment: Experiment
    reference: int | None

    def at(self, seed: int) -> Experiment:
        """Return the experiment with a seed."""
        return with_seed(self.experiment, seed)


def with_seed(experiment: Experiment, seed: int) -> Experiment:
    """Return an experiment with another seed."""
    return replace(experiment, training=replace(experiment.training, seed=seed))


def load(source: str | Path | dict[str, Any] | Study) -> Study:
    """Study of a shipped name, a TOML file or a table; `ConfigurationError` if it has none."""
    return source if isinstance(source, Study) else STUDIES.load(source)


def available() -> list[dict[str, Any]]:
    """Name, description, points and seeds of every shipped study."""
    studies = [load(name) for name in STUDIES.names()]
    return [
        {
            "name": study.name,
            "description": study.description,
            "points": len(study.design.places(study.axes)),
            "seeds": len(study.seed_list),
        }
        for study in studies
    ]


def points(study: Study) -> list[Point]:
    """Resolve every point of a study, references included.

    Raises
    ------
    ConfigurationError
        Naming the point that is no valid experiment, or the axis that has no such key.
    """
    try:
        check_axes(study)
        if isinstance(study.design, Grid):
            count = 1
            for axis in study.axes:
                count *= len(axis.values)
            if count > MOST_POINTS:
                raise ConfigurationError(f"axes: {count} points; {MOST_POINTS} at most")
        elif study.design.points > MOST_POINTS:
            raise ConfigurationError(f"design.points = {study.design.points}: {MOST_POINTS} most")
        places = study.design.places(study.axes)
        ideals = [axis.ideal_value for axis in study.axes]
    except ConfigurationError as error:
        raise ConfigurationError(f"{study.name}: {error}") from None
    numbers = {place: number for number, place in enumerate(places)}
    references: list[int | None] = []
    for place in list(places):
        ideal = tuple(v if i is None else i for v, i in zip(place, ideals, strict=True))
        if all(i is None for i in ideals):
            references.append(None)
            continue
        if ideal not in numbers:
            numbers[ideal] = len(places)
            places.append(ideal)
        references.append(numbers[ideal])
    references += range(len(references), len(places))
    tables: dict[str, specification.Table] = {}
    return [
        Point(place, experiment_at(study, place, tables), reference)
        for place, reference in zip(places, references, strict=True)
    ]


def check_axes(study: Study) -> None:
    """Raise `ConfigurationError` if axes share a name or a key, or a name is a column's."""
    if len(set(study.labels)) < len(study.labels):
        raise ConfigurationError(f"axes: {', '.join(study.labels)}: names must differ")
    if taken := [label for label in study.labels if label in COLUMNS]:
        raise ConfigurationError(
            f"axes: name = {taken[0]}: is a column of the table; give the axis another name"
        )
    paths = [key.path for axis in study.axes if not isinstance(axis, Cases) for key in axis.keys]
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise ConfigurationError(f"axes: key = {twice[0]}: is varied twice")


def describe(study: Study, values: Sequence[Value]) -> str:
    """Text of a point for people."""
    return ", ".join(
        f"{label} = {show_value(axis, value)}"
        for label, axis, value in zip(study.labels, study.axes, values, strict=True)
    )


def show_value(axis: Axis, value: Value) -> str:
    """Text of a value of an axis, with its unit."""
    if isinstance(value, str | bool) or (axis.unit is None and isinstance(value, int)):
        return str(value)
    return show(float(value), axis.unit or "")


def experiment_at(
    study: Study, place: Sequence[Value], tables: dict[str, specification.Table]
) -> Experiment:
    """Resolve the experiment at a place; recipes are read once, into `tables`.

    Raises
    ------
    ConfigurationError
        Naming the place.
    """
    recipe, chip, settings = study.recipe, study.chip, list(study.settings)
    if study.epochs is not None:
        settings.append(f"training.epochs={study.epochs}")
    along: list[tuple[int, str]] = []
    for axis, value in zip(study.axes, place, strict=True):
        if isinstance(axis, Cases):
            case = axis.case(value)
            recipe, chip = case.recipe or recipe, case.chip or chip
            settings += case.settings
        else:
            along += [(text.partition("=")[0].count("."), text) for text in axis.settings(value)]
    # What replaces a table goes before what changes a key inside it.
    settings += [text for _, text in sorted(along, key=lambda item: item[0])]
    try:
        if recipe not in tables:
            tables[recipe] = RECIPES.table(recipe)
        return configuration.resolve(tables[recipe], recipe, chip=chip, settings=settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{study.name}: {describe(study, place)}: {error}") from None


def value_of(study: Study, path: str) -> object:
    """Return what the experiment that a study varies has for a key; None where it has none."""
    experiment = configuration.load(
        study.recipe, chip=study.chip, settings=study.settings, epochs=study.epochs
    )
    found: Any = msgspec.to_builtins(experiment)
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


STUDIES = Presets(
    kind="study",
    struct=Study,
    folder=Path(configuration.__file__).parent / "recipes" / "studies",
    paths=("recipe", "chip"),
)
