"""What is described in TOML and has shipped presets: devices, chips, recipes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from neurohw.errors import ConfigurationError
from neurohw.specification import Table, join, nearest, parse, read

T = TypeVar("T")


class Part(Protocol):
    """What completes the table of a part of something, as `Presets.table` does."""

    def table(self, source: object, *, where: str = "", at: str = "") -> Table:
        """Return the table of a name, a path or a table."""
        ...


@dataclass(frozen=True, kw_only=True)
class Presets(Generic[T]):
    """Everything of one kind that can be given by name, by path or as a table.

    Parameters
    ----------
    kind : str
        The word for it in errors: ``"chip"``.
    struct : type
        What a complete table is read into.
    folder : Path
        Where the presets lie, one TOML file each.
    label : str
        Key that is the file's stem unless the file sets it.
    paths : sequence of str
        Key paths, besides ``preset``, of file names relative to the file that they stand in.
    parts : mapping
        Key paths whose value is itself given by name, by path or as a table.
    defaults : mapping
        Values of keys that neither a table nor its presets set.
    """

    kind: str
    struct: type[T]
    folder: Path
    label: str = "name"
    paths: Sequence[str] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Sorted names of the presets."""
        return sorted(path.stem for path in self.folder.glob("*.toml"))

    def load(self, source: object) -> T:
        """Build the struct of a name, a path or a table.

        Raises
        ------
        ConfigurationError
            One line naming file, key and value.
        """
        given = isinstance(source, Mapping)
        table = self.table(source, where=self.kind if given else "")
        return read(table, self.struct, where=self.kind if given else str(source))

    def table(self, source: object, *, where: str = "", at: str = "") -> Table:
        """Complete the table of a name, a path or a table.

        A table may name in ``preset`` what its missing keys are taken from. Each file is also
        checked by itself, so that an error names the file that holds it.

        Parameters
        ----------
        source : str, Path or mapping
        where, at : str
            File and key path that `source` stands at, for errors.

        Raises
        ------
        ConfigurationError
            For an unknown name, or a file that does not hold a `struct`.
        """
        return self._table(source, where, at, ())

    def _table(self, source: object, where: str, at: str, opened: tuple[Path, ...]) -> Table:
        path: Path | None = None
        table: Table
        if isinstance(source, str | Path):
            path = self._find(source, where, at or self.kind)
            if path.resolve() in opened:
                raise ConfigurationError(f"{where}: preset = {path}: leads back to itself")
            opened, where, at = (*opened, path.resolve()), str(path), ""
            table = {self.label: path.stem, **parse(path)}
            for key_path in ("preset", *self.paths):
                _anchor(table, key_path.split("."), path.parent)
        elif isinstance(source, Mapping):
            table = dict(source)
        else:
            line = f"{at or self.kind} = {source!r}: must be a name, a path or a table"
            raise ConfigurationError(_line(where, line))
        if "preset" in table:
            base = self._table(table.pop("preset"), where, join(at, "preset"), opened)
            table = _merged(base, table)
        table = {**self.defaults, **table}
        for key_path, part in self.parts.items():
            _complete(table, key_path.split("."), part, where, at)
        if path:
            read(table, self.struct, where=where)
        return table

    def _find(self, source: str | Path, where: str, at: str) -> Path:
        if isinstance(source, Path) or _is_path(source):
            path = Path(source)
            if not path.is_file():
                raise ConfigurationError(_line(where, f'{at} = "{path}": no such file'))
            return path
        if source not in self.names():
            hint = nearest(source, self.names())
            line = f'{at} = "{source}": unknown {self.kind}; {hint}'
            raise ConfigurationError(_line(where, line))
        return self.folder / f"{source}.toml"


def _line(where: str, line: str) -> str:
    return f"{where}: {line}" if where else line


def _is_path(text: str) -> bool:
    return bool(Path(text).suffix) or "/" in text or "\\" in text


def _anchor(table: Table, keys: Sequence[str], folder: Path) -> None:
    """Give the path at `keys`, if there is one, the folder of its file."""
    value = table.get(keys[0])
    if len(keys) > 1 and isinstance(value, dict):
        _anchor(value, keys[1:], folder)
    elif len(keys) == 1 and isinstance(value, str) and _is_path(value):
        table[keys[0]] = str(folder / value)


def _complete(table: Table, keys: Sequence[str], part: Part, where: str, at: str) -> None:
    """Put the table of a part in place of what stands at `keys`, if anything does."""
    key, at = keys[0], join(at, keys[0])
    value = table.get(key)
    if len(keys) > 1 and isinstance(value, Mapping):
        table[key] = inner = dict(value)
        _complete(inner, keys[1:], part, where, at)
    elif len(keys) == 1 and value is not None:
        table[key] = part.table(value, where=where, at=at)


def _merged(base: Table, over: Mapping[str, Any]) -> Table:
    """Lay `over` on `base`, table by table; a table with a preset of its own replaces."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping) and "preset" not in value:
            value = _merged(old, value)
        merged[key] = value
    return merged
