"""What commands print on standard output: strict JSON, tables, and the summary of a run."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from neurohw.experiments.run_file import Run


def print_json(value: object) -> None:
    """Print one JSON value on one line; strict JSON, whatever numbers it holds."""
    click.echo(json.dumps(plain(value), allow_nan=False, ensure_ascii=False))


def plain(value: Any) -> Any:
    """Return `value` as what strict JSON has: NaN becomes null, infinity the text "inf"."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def require_new(path: Path | None, force: bool) -> None:
    """Raise `ConfigurationError` where a file to write exists, and is not to be replaced."""
    from neurohw.errors import ConfigurationError

    if path is not None and path.is_file() and not force:
        raise ConfigurationError(f"{path}: exists; use --force to replace it")


@contextmanager
def naming(config: Path | str | None, settings: Sequence[str]) -> Iterator[None]:
    """Let errors of what a configuration file and changes to it ask for name them."""
    from neurohw.errors import InvalidValueError, UnsupportedError
    from neurohw.experiments.configuration import place

    try:
        yield
    except (InvalidValueError, UnsupportedError) as error:
        if config is None:
            raise
        raise type(error)(f"{place(str(config), settings)}: {error}") from None


def print_warning(line: str) -> None:
    """Print a line on standard error that a person should read."""
    click.echo(f"warning: {line}", err=True)


def print_table(rows: Iterable[Sequence[str]], indent: str = "") -> None:
    """Print rows of text in aligned columns; the last column is as long as it is."""
    rows = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo(indent + "  ".join([*cells, row[-1]]).rstrip())


def units_of(struct: type) -> dict[str, str]:
    """Return the unit of each quantity of a configuration struct and of those inside, by key."""
    from msgspec import inspect

    units: dict[str, str] = {}
    found: list[inspect.Type] = [inspect.type_info(struct)]
    for kind in found:
        if isinstance(kind, inspect.UnionType):
            found.extend(kind.types)
        elif isinstance(kind, inspect.StructType):
            for field in kind.fields:
                found.append(field.type)
                for choice in getattr(field.type, "types", (field.type,)):
                    extra = choice.extra if isinstance(choice, inspect.Metadata) else None
                    if extra and "unit" in extra:
                        units[field.name] = extra["unit"]
    return units


def summary(run: "Run", path: Path) -> dict[str, Any]:
    """Return the result of a run as `train` and `evaluate` print it, errors as fractions."""
    seconds = run.times.get("seconds_per_epoch")
    return {
        "test_error": _last(run.history.get("test_error")),
        "train_error": _last(run.history.get("train_error")),
        "epochs": run.counters["epoch"],
        "seconds_per_epoch": None if seconds is None else _mean(seconds),
        "recipe": run.experiment.recipe,
        "chip": run.experiment.chip.name,
        "seed": run.experiment.training.seed,
        "run": str(path),
    } | (
        {f"programmed_{key}": float(run.start[key]) for key in ("test_error", "train_error")}
        if run.start
        else {}
    )


def print_summary(result: Mapping[str, Any], as_json: bool) -> None:
    """Print what `summary` returned as one JSON object or as one line for people."""
    if as_json:
        print_json(result)
        return
    from neurohw.reports.summary import percent

    click.echo(
        f"{result['run']}: {result['recipe']} on {result['chip']}, {result['epochs']} epochs:"
        f" train error {percent(result['train_error'])},"
        f" test error {percent(result['test_error'])}"
        + (
            f" (as programmed {percent(result['programmed_test_error'])})"
            if "programmed_test_error" in result
            else ""
        )
    )


def _last(values: Any) -> float | None:
    return None if values is None or len(values) == 0 else float(values[-1])


def _mean(values: Any) -> float | None:
    values = values.tolist() if hasattr(values, "tolist") else values
    values = values if isinstance(values, list) else [values]
    return sum(values) / len(values) if values else None
