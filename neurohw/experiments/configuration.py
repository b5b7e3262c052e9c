"""Where experiments come from: recipes, TOML files, `key=value` changes, and JSON in run files."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from neurohw import specification
from neurohw.errors import ConfigurationError
from neurohw.experiments.experiment import Experiment
from neurohw.mappings import chip_specification
from neurohw.presets import Presets


def load(
    source: str | Path | Experiment,
    *,
    chip: str | None = None,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    seed: int | None = None,
    engine: str | None = None,
) -> Experiment:
    """Resolve an experiment.

    Parameters
    ----------
    source : str, Path or Experiment
        A recipe's name, a TOML file, or an experiment to change.
    chip : str, optional
        Chip to use: a preset's name, or a TOML file.
    settings : sequence of str
        Changes ``key.path=value``, also into the chip: ``chip.device.cycle_to_cycle=2 %``.
    epochs, seed, engine : optional
        Short for ``training.epochs`` and so on; they are applied last.

    Raises
    ------
    ConfigurationError
        One line with file, key and value.
    """
    if isinstance(source, Experiment):
        table, name = json.loads(to_json(source)), source.recipe
    else:
        table, name = RECIPES.table(source), str(source)
    return resolve(
        table, name, chip=chip, settings=settings, epochs=epochs, seed=seed, engine=engine
    )


def resolve(
    table: specification.Table,
    name: str,
    *,
    chip: str | None = None,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    seed: int | None = None,
    engine: str | None = None,
) -> Experiment:
    """Resolve the complete table of an experiment, which is not changed; see `load`.

    name says in errors what the table is of.
    """
    table, changes = dict(table), list(settings)
    if epochs is not None:
        changes.append(f"training.epochs={epochs}")
    if seed is not None:
        changes.append(f"training.seed={seed}")
    if engine is not None:
        changes.append(f"training.engine={engine}")
    if chip is not None:
        table["chip"] = chip
    for change in changes:
        specification.apply(table, change)
    where = place(name, changes)
    table["chip"] = chip_specification.PRESETS.table(table["chip"], where=where, at="chip")
    return specification.read(table, Experiment, where=where)


def place(name: str, changes: Sequence[str]) -> str:
    """Return what errors name: a recipe or file, and the changes to it."""
    return " ".join([name, *(f"--set {change}" for change in changes)])


def recipes() -> list[dict[str, Any]]:
    """Name, description, layers and epochs of every recipe."""
    experiments = [load(name) for name in RECIPES.names()]
    return [
        {
            "name": experiment.recipe,
            "description": experiment.description,
            "data": experiment.data.name,
            "hidden": list(experiment.network.hidden),
            "convolutions": msgspec.to_builtins(experiment.network.convolutions or ()),
            "epochs": experiment.training.epochs,
        }
        for experiment in experiments
    ]


def to_json(experiment: Experiment) -> str:
    """Text that `from_json` turns into an equal experiment; infinity is the text ``"inf"``."""
    return json.dumps(_finite(msgspec.to_builtins(experiment)), indent=2)


def key(experiment: Experiment) -> str:
    """Text that names an experiment: as `to_json`, without what stands at its default.

    It stays the same when a later version has more keys.
    """
    return json.dumps(_finite(msgspec.to_builtins(_chosen(experiment))), sort_keys=True)


def from_json(text: str, where: str) -> Experiment:
    """Experiment of `to_json`'s text; `ConfigurationError` naming `where` if it holds none."""
    try:
        table = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{where}: is not JSON: {error}") from None
    return specification.read(table, Experiment, where=where)


def _chosen(value: object) -> object:
    """Return a structure as a table of those fields that are not at their defaults."""
    if isinstance(value, list | tuple):
        return [_chosen(item) for item in value]
    if not isinstance(value, msgspec.Struct):
        return value
    config = value.__struct_config__
    table: dict[str, object] = {} if config.tag is None else {str(config.tag_field): config.tag}
    for field in msgspec.structs.fields(value):
        item, default = getattr(value, field.name), field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if item != default:
            table[field.encode_name] = _chosen(item)
    return table


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


RECIPES = Presets(
    kind="recipe",
    struct=Experiment,
    folder=Path(__file__).parent / "recipes",
    label="recipe",
    paths=(
        "chip",
        "chip.preset",
        *(f"chip.{key}" for key in chip_specification.DEVICES),
        "data.name",
        *(f"chip.{key}" for key in chip_specification.CURVES),
    ),
    parts={"chip": chip_specification.PRESETS},
    defaults={"chip": "ideal"},
)
