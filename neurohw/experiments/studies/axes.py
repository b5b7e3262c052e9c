"""Axes of a study: what is varied, and the values that it takes in a grid or in a sample."""

import itertools
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from scipy.stats import qmc

from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.experiments.studies import keys
from neurohw.experiments.studies.keys import Key, Value

Count = Annotated[int, Meta(ge=1)]


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A configuration by name: of a recipe or a chip of its own, or with some settings."""

    name: str
    recipe: str | None = None
    chip: str | None = None
    settings: tuple[str, ...] = ()


class Cases(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="cases",
):
    """An axis of configurations, such as learning rules, each with what it needs.

    Parameters
    ----------
    name : str
    cases : tuple of Case
    """

    name: str
    cases: tuple[Case, ...]

    def __post_init__(self) -> None:
        names = [case.name for case in self.cases]
        if not names or len(set(names)) < len(names):
            raise InvalidValueError(f"cases: {names}: must be one or more, of different names")

    @property
    def values(self) -> tuple[Value, ...]:
        """The names of the cases."""
        return tuple(case.name for case in self.cases)

    def case(self, value: Value) -> Case:
        """Return the configuration of a name."""
        return next(case for case in self.cases if case.name == value)

    def place(self, share: float) -> Value:
        """Return the value that stands at a share, 0 to below 1, of the axis."""
        return _chosen(self.values, share)

    @property
    def label(self) -> str:
        """What tables and figures call it."""
        return self.name

    @property
    def ideal_value(self) -> None:
        """None of the cases is the reference of the others."""
        return None

    @property
    def unit(self) -> None:
        """Names have none."""
        return None


class _KeyAxis(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    dict=True,
    tag_field="kind",
):
    """An axis along one key, or several that take the same value.

    Parameters
    ----------
    key : str or tuple of str
        In full, or an end of it that no other key has, such as ``device.cycle_to_cycle``.
    ideal : value, optional
        That of the reference; limits are found along axes that have one.
    worse : {"high", "low"}, optional
        Which values harm; default high ones, but of bits, levels, endurance and the like low ones.
    name : str, optional
        What tables and figures call it; default the first key as it is given.
    """

    key: str | tuple[str, ...]
    ideal: bool | int | float | str | None = None
    worse: Literal["high", "low"] | None = None
    name: str = ""

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """The keys in full; `ConfigurationError` where one is unknown."""
        words = (self.key,) if isinstance(self.key, str) else self.key
        found = tuple(key for word in words for key in keys.find(word))
        if not found:
            raise ConfigurationError("key = []: must be at least one")
        for key in found:
            if key.path == "training.seed":
                raise ConfigurationError("key = training.seed: give seeds, in place of an axis")
        return found

    @property
    def label(self) -> str:
        """What tables and figures call it."""
        return self.name or (self.key if isinstance(self.key, str) else self.key[0])

    @property
    def unit(self) -> str | None:
        """Of the values, if they have one."""
        return self.keys[0].unit

    @property
    def less_is_worse(self) -> bool:
        """Whether low values are those that harm."""
        return self.keys[0].less_is_worse if self.worse is None else self.worse == "low"

    @property
    def ideal_value(self) -> Value | None:
        """The value of the reference, in SI units."""
        return None if self.ideal is None else self.keys[0].value(self.ideal)

    def settings(self, value: Value) -> list[str]:
        """Return the settings of a value."""
        return [f"{key.path}={_text(value)}" for key in self.keys]


class List(_KeyAxis, frozen=True, kw_only=True, tag="list"):
    """An axis of given values: numbers, quantities as text, or words."""

    values_: tuple[Any, ...] = msgspec.field(name="values")

    def __post_init__(self) -> None:
        if not self.values_:
            raise InvalidValueError("values = []: must be at least one")
        if not all(isinstance(value, bool | int | float | str) for value in self.values_):
            raise InvalidValueError(f"values = {list(self.values_)}: must be numbers or texts")

    @property
    def values(self) -> tuple[Value, ...]:
        """In SI units."""
        return tuple(dict.fromkeys(self.keys[0].value(value) for value in self.values_))

    def place(self, share: float) -> Value:
        """Return the value that stands at a share, 0 to below 1, of the axis."""
        return _chosen(self.values, share)


class Range(_KeyAxis, frozen=True, kw_only=True, tag="range"):
    """An axis of numbers between two, both included; whole ones where the key is of these.

    Parameters
    ----------
    low, high : number or quantity
    points : int
        Of a grid.
    scale : {"log", "linear"}
    """

    low: int | float | str
    high: int | float | str
    points: Annotated[int, Meta(ge=1, le=1000)] = 5
    scale: Literal["log", "linear"] = "log"

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Low and high in SI units; `ConfigurationError` unless they are a range."""
        low, high = (self.keys[0].value(end) for end in (self.low, self.high))
        if not (isinstance(low, int | float) and isinstance(high, int | float)):
            raise ConfigurationError(f"{self.label}: low = {low}, high = {high}: must be numbers")
        if not -np.inf < low < high < np.inf or (self.scale == "log" and low <= 0):
            least = ", above 0" if self.scale == "log" else ""
            raise ConfigurationError(
                f"{self.label}: low = {low}, high = {high}: must be finite{least}, low below high"
            )
        return float(low), float(high)

    @property
    def values(self) -> tuple[Value, ...]:
        """Of a grid, in SI units."""
        if self.points == 1:
            return (self.rounded(self.ends[0]),)
        shares = np.linspace(0.0, 1.0, self.points)
        return tuple(dict.fromkeys(self._at(float(share)) for share in shares))

    def place(self, share: float) -> Value:
        """Return the value that stands at a share, 0 to below 1, of the axis."""
        return self._at(share)

    def _at(self, share: float) -> Value:
        low, high = self.ends
        if share in (0.0, 1.0):
            return self.rounded(high if share else low)
        if self.scale == "log":
            return self.rounded(low * (high / low) ** share)
        return self.rounded(low + (high - low) * share)

    def rounded(self, value: float) -> Value:
        """Return the value that is run in place of one: six digits, or a whole number."""
        return round(value) if self.keys[0].kind == "whole number" else float(f"{value:.6g}")


Axis = Cases | List | Range


class _Design(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"
):
    """Which combinations of values are points."""


class Grid(_Design, frozen=True, kw_only=True, tag="grid"):
    """Every combination of the values of all axes."""

    def places(self, axes: tuple[Axis, ...]) -> list[tuple[Value, ...]]:
        """Return the values of each point."""
        return list(itertools.product(*(axis.values for axis in axes)))


class _Sample(_Design, frozen=True, kw_only=True):
    """Points that fill the space of all axes, so many, by a seed."""

    points: Count
    seed: Annotated[int, Meta(ge=0)] = 0

    def places(self, axes: tuple[Axis, ...]) -> list[tuple[Value, ...]]:
        """Return the values of each point."""
        return [
            tuple(axis.place(float(share)) for axis, share in zip(axes, row, strict=True))
            for row in self.shares(len(axes))
        ]

    def shares(self, axes: int) -> NDArray[np.float64]:
        """Return the places of points on each axis, 0 to 1, (points, axes)."""
        raise NotImplementedError


class Sobol(_Sample, frozen=True, kw_only=True, tag="sobol"):
    """Scrambled Sobol points; balanced where their number is a power of 2."""

    def shares(self, axes: int) -> NDArray[np.float64]:
        """Return the places of points on each axis, 0 to 1, (points, axes)."""
        power = (self.points - 1).bit_length()
        rng = np.random.default_rng(self.seed)
        return np.asarray(qmc.Sobol(axes, rng=rng).random_base2(power))[: self.points]


class LatinHypercube(_Sample, frozen=True, kw_only=True, tag="latin-hypercube"):
    """A Latin hypercube: each of as many equal parts of every axis has one point."""

    def shares(self, axes: int) -> NDArray[np.float64]:
        """Return the places of points on each axis, 0 to 1, (points, axes)."""
        rng = np.random.default_rng(self.seed)
        return np.asarray(qmc.LatinHypercube(axes, rng=rng).random(self.points))


Design = Grid | Sobol | LatinHypercube


def _chosen(values: tuple[Value, ...], share: float) -> Value:
    return values[min(int(share * len(values)), len(values) - 1)]


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
