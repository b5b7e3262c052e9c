"""Keys of an experiment, by their full path or by a shorter form that only one of them has."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from msgspec import inspect

from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.experiments.experiment import Experiment
from neurohw.specification import bare_type, join, nearest, unit_of
from neurohw.units import quantity

Value = bool | int | float | str

# Names of the literature for what has several keys here, or others.
ALIASES = {
    "array.interconnect_resistance": ("chip.wires.word_line", "chip.wires.bit_line"),
    "converters.adc_bits": ("chip.converters.state_adc.bits",),
    "converters.dac_bits": ("chip.converters.input_dac.bits",),
}
# Of these keys less is worse; their 0, where they may be 0, stands for no limit.
_LESS_IS_WORSE = ("bits", "n_levels", "slice_bits", "yield", "endurance", "lifetime", "capacitance")


@dataclass(frozen=True)
class Key:
    """A key path; kind of its values, and unit of those that have one."""

    path: str
    kind: Literal["table", "whole number", "number", "other"]
    unit: str | None = None

    def value(self, given: Value) -> Value:
        """Return a value in SI units where the key is of a quantity, else as it was given.

        Raises
        ------
        ConfigurationError
            Naming the key.
        """
        if self.kind == "whole number" and isinstance(given, float) and given.is_integer():
            return int(given)
        if self.kind != "number" or isinstance(given, bool):
            return given
        try:
            return quantity(given, self.unit or "")
        except InvalidValueError as error:
            raise ConfigurationError(f"{self.path} = {error}") from None

    @property
    def less_is_worse(self) -> bool:
        """Whether smaller values are those that harm."""
        return self.path.rpartition(".")[2] in _LESS_IS_WORSE


def find(word: str) -> tuple[Key, ...]:
    """Return the key of a full or a short path; several of an alias for more than one.

    A short path is the end of a full one: ``device.cycle_to_cycle``. It must be the end of one
    only, where a value goes before a table: ``nudging`` is ``learning.nudging``.

    Raises
    ------
    ConfigurationError
        For an unknown path, with the nearest one; or an ambiguous one, with all that it may be.
    """
    known = _known()
    if word in ALIASES:
        return tuple(known[path] for path in ALIASES[word])
    if word in known:
        return (known[word],)
    ends = [key for path, key in known.items() if path.endswith(f".{word}")]
    for fitting in (ends, [key for key in ends if key.kind != "table"]):
        if len(fitting) == 1:
            return (fitting[0],)
    if ends:
        paths = ", ".join(key.path for key in ends)
        raise ConfigurationError(f"key = {word}: may be {paths}; write more of it")
    short = {".".join(path.split(".")[depth:]) for path in known for depth in (0, 1)}
    raise ConfigurationError(f"key = {word}: unknown key; {nearest(word, sorted(short))}")


@cache
def _known() -> dict[str, Key]:
    found: dict[str, Key] = {}
    for key in _walk(inspect.type_info(Experiment), ""):
        # Devices of several laws have keys in common.
        found.setdefault(key.path, key)
    return found


def _walk(kind: inspect.Type, path: str) -> Iterator[Key]:
    """Yield the keys below a type that stands at a path."""
    unit, kind = unit_of(kind), bare_type(kind)
    if isinstance(kind, inspect.StructType):
        if path:
            yield Key(path, "table")
        if kind.tag_field is not None:
            yield Key(join(path, str(kind.tag_field)), "other")
        for field in kind.fields:
            yield from _walk(field.type, join(path, field.encode_name))
    elif isinstance(kind, inspect.UnionType):
        for member in kind.types:
            if not isinstance(member, inspect.NoneType):
                yield from _walk(member, path)
    elif isinstance(kind, inspect.IntType):
        yield Key(path, "whole number")
    elif isinstance(kind, inspect.FloatType):
        yield Key(path, "number", unit)
    else:
        yield Key(path, "other")
