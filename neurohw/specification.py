"""TOML files and tables to frozen structs; every fault is one line: file, key, value, remedy."""

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.units import quantity

T = TypeVar("T")
Table = dict[str, Any]

_AT = re.compile(r"^(?P<text>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_WORDS = {
    "array": "list",
    "bool": "true or false",
    "float": "number",
    "int": "whole number",
    "object": "table",
    "str": "text",
}
_MISSING = re.compile(r"^Object missing required field `(?P<key>.*)`$")


def read(source: Path | Mapping[str, object], struct: type[T], *, where: str) -> T:
    """Build a struct from a TOML file or a table.

    Parameters
    ----------
    source : Path or mapping
        TOML file, or its table. Text in a field with a unit is converted to SI.
    struct : type
        ``msgspec.Struct`` with ``forbid_unknown_fields``.
    where : str
        What the error names: the file, or what the table came from.

    Raises
    ------
    ConfigurationError
        For unreadable TOML, an unknown or missing key, a wrong type, unit or value.
    """
    table = parse(source) if isinstance(source, Path) else source
    kind = _described(struct)  # type: ignore[arg-type]
    prepared = _prepare(table, kind, "", where)
    try:
        return msgspec.convert(prepared, struct)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}: {_explain(error, table)}") from None


def parse(path: Path) -> Table:
    """Table of a TOML file; `ConfigurationError` if it cannot be read."""
    try:
        # Some editors begin a file with a byte order mark.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from None


def apply(table: Table, setting: str) -> None:
    """Change one key of a table in place, as ``--set a.b.c=value`` does.

    The value is read as TOML, and is a plain text if it is none, so that quotes may be left out.
    A table that stands there by its preset's name stays overridable.

    Raises
    ------
    ConfigurationError
        If `setting` has no ``=`` or goes into something that is no table.
    """
    path, equals, text = setting.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise ConfigurationError(f"--set {setting}: must be written as key=value")
    node = table
    for depth, key in enumerate(keys[:-1], start=1):
        child = node.get(key, {})
        if isinstance(child, str):
            child = {"preset": child}
        if not isinstance(child, Mapping):
            raise ConfigurationError(f"--set {setting}: {'.'.join(keys[:depth])} is not a table")
        node[key] = node = dict(child)
    node[keys[-1]] = _value(text.strip())


def nearest(word: str, known: Iterable[str]) -> str:
    """Hint for an unknown word: the nearest known one, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"


def join(path: str, key: str) -> str:
    """Key path of `key` in the table at `path`, which may be empty."""
    return f"{path}.{key}" if path else key


@cache
def _described(struct: type) -> inspect.Type:
    """Return what msgspec knows of a struct; of an experiment that takes 10 ms."""
    return inspect.type_info(struct)


def _value(text: str) -> object:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _prepare(value: object, kind: inspect.Type, path: str, where: str) -> object:
    """Convert quantities and refuse what msgspec would explain less well."""
    if isinstance(kind, inspect.UnionType):
        given = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
        if len(given) == 1:
            return value if value is None else _prepare(value, given[0], path, where)
        wanted: type = inspect.VarTupleType if isinstance(value, list) else inspect.FloatType
        if isinstance(value, Mapping):
            return _prepare(value, _member(value, kind, path, where), path, where)
        fitting = [member for member in kind.types if isinstance(bare_type(member), wanted)]
        return _prepare(value, fitting[0], path, where) if fitting else value
    bare = bare_type(kind)
    if isinstance(bare, inspect.StructType) and isinstance(value, Mapping):
        fields = {field.encode_name: field.type for field in bare.fields}
        if bare.tag_field is not None:
            fields[bare.tag_field] = inspect.StrType()
        for key in value:
            if key not in fields:
                hint = nearest(key, fields)
                line = f"{join(path, key)} = {_text(value[key])}: unknown key; {hint}"
                raise ConfigurationError(f"{where}: {line}")
        return {k: _prepare(v, fields[k], join(path, k), where) for k, v in value.items()}
    if isinstance(bare, inspect.VarTupleType) and isinstance(value, list):
        return [
            _prepare(v, bare.item_type, f"{path}[{index}]", where) for index, v in enumerate(value)
        ]
    if (
        isinstance(bare, inspect.TupleType)
        and isinstance(value, list)
        and len(value) == len(bare.item_types)
    ):
        return [
            _prepare(v, item, f"{path}[{index}]", where)
            for index, (v, item) in enumerate(zip(value, bare.item_types, strict=True))
        ]
    if isinstance(bare, inspect.LiteralType) and isinstance(value, str):
        if value not in bare.values:
            hint = nearest(value, [str(choice) for choice in bare.values])
            raise ConfigurationError(f"{where}: {path} = {_text(value)}: unknown value; {hint}")
    elif isinstance(bare, inspect.FloatType):
        unit = unit_of(kind)
        if isinstance(value, float) and math.isnan(value):
            raise ConfigurationError(f"{where}: {path} = nan: not a number")
        if isinstance(value, float) and math.isinf(value) and unit is None:
            raise ConfigurationError(f"{where}: {path} = {value}: must be finite")
        if isinstance(value, str) and unit is not None:
            try:
                return quantity(value, unit)
            except InvalidValueError as error:
                raise ConfigurationError(f"{where}: {path} = {error}") from None
    return value


def _member(
    value: Mapping[str, object], kind: inspect.UnionType, path: str, where: str
) -> inspect.Type:
    """Return the struct of a union that a table is for, by its tag where there are several."""
    bare = map(bare_type, kind.types)
    structs = [member for member in bare if isinstance(member, inspect.StructType)]
    tags = {str(struct.tag): struct for struct in structs if struct.tag_field is not None}
    if not tags:
        return structs[0] if structs else inspect.AnyType()
    key = str(structs[0].tag_field)
    at = join(path, key)
    if key not in value:
        raise ConfigurationError(f"{where}: {at}: is missing")
    if value[key] not in tags:
        hint = nearest(str(value[key]), tags)
        line = f"{at} = {_text(value[key])}: unknown value; {hint}"
        raise ConfigurationError(f"{where}: {line}")
    return tags[str(value[key])]


def bare_type(kind: inspect.Type) -> inspect.Type:
    """Return a type without what is said about it."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def unit_of(kind: inspect.Type) -> str | None:
    """Return the unit of a quantity's type, None of any other."""
    while isinstance(kind, inspect.Metadata):
        if kind.extra and "unit" in kind.extra:
            return str(kind.extra["unit"])
        kind = kind.type
    return None


def _explain(error: msgspec.ValidationError, table: Mapping[str, object]) -> str:
    found = _AT.match(str(error))
    assert found is not None  # the pattern matches any text
    text, path = found["text"], found["path"] or ""
    if isinstance(error.__cause__, InvalidValueError):
        return join(path, text)
    if missing := _MISSING.match(text):
        return f"{join(path, missing['key'])}: is missing"
    value: Any = table
    for key in re.findall(r"[^.\[\]]+", path):
        value = value[int(key)] if isinstance(value, list) else value[key]
    plain = re.sub(r"[A-Za-z]+", lambda word: _WORDS.get(word[0], word[0]), text)
    plain = plain.replace("`", "").replace(" | null", "").replace(" | ", " or ")
    return f"{path or 'the table'} = {_text(value)}: {plain[0].lower()}{plain[1:]}"


def _text(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
