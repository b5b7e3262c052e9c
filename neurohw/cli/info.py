"""`neurohw info`: what a name or a file stands for, in physical units."""

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurohw.cli.listing import available
from neurohw.cli.output import print_json, print_table, print_warning, summary, units_of

if TYPE_CHECKING:
    from neurohw.experiments.experiment import Experiment

Facts = dict[str, Any]

_NAMED = ("chip", "device", "dataset", "recipe", "rule")


@click.command()
@click.argument("target", metavar="RUN.h5|CHIP|DEVICE|DATASET|RECIPE|RULE")
@click.option(
    "--kind",
    type=click.Choice(["run", *_NAMED]),
    help="What to take it for.  [default: a chip before a device of its name]",
)
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    help="Network for which the physical scale of a chip is shown.  [default: drn-xs, or mlp-1h"
    " for a chip that holds signed weights]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, in SI units.")
def info(target: str, kind: str | None, recipe: str | None, as_json: bool) -> None:
    """Show a run file, a chip with its device, a device, a data set, a recipe or a rule."""
    facts = describe(target, recipe, kind)
    if as_json:
        print_json(facts)
    else:
        _print_facts(facts)


def describe(target: str, recipe: str | None = None, kind: str | None = None) -> Facts:
    """Return what is known of `target`, SI units; the key `kind` says what it is.

    Parameters
    ----------
    target : str
        A name or a path.
    recipe : str, optional
        Network for which the physical scale of a chip is returned.
    kind : str, optional
        What to take `target` for, where a chip and a device share its name.

    Raises
    ------
    NeurohwError
        Neither a known name nor a file, with the nearest names; or it is not of that kind.
    """
    from neurohw.errors import ConfigurationError

    kind = kind or _kind_of_name(target) or kind_of_file(Path(target))
    if kind == "run":
        return _run(Path(target))
    if kind == "chip":
        return _chip(target, recipe)
    if kind == "device":
        return _device(target)
    if kind == "recipe":
        return _recipe(target)
    if kind == "dataset":
        return _dataset(target)
    if kind == "rule":
        return _rule(target)
    names = {str(entry["name"]) for named in _NAMED for entry in available(f"{named}s")}
    near = difflib.get_close_matches(target, names, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ConfigurationError(
        f"{target}: neither a file nor the name of a chip, device, dataset, recipe or rule{hint}"
    )


def _kind_of_name(target: str) -> str | None:
    for kind in _NAMED:
        if any(target in (entry["name"], entry.get("short")) for entry in available(f"{kind}s")):
            return kind
    return None


def kind_of_file(path: Path) -> str | None:
    """Say what a file holds; what is no TOML and no run file is taken for a data set."""
    if not path.exists():
        return None
    if path.suffix == ".toml":
        return _kind_of_toml(path, set())
    return "run" if path.suffix == ".h5" and not _is_data(path) else "dataset"


def _kind_of_toml(path: Path, opened: set[Path]) -> str:
    """Say what a file describes, by its keys, then its preset; a chip where both leave it open."""
    from neurohw.devices import memory
    from neurohw.devices.laws import LAWS
    from neurohw.experiments import configuration
    from neurohw.experiments.experiment import Experiment
    from neurohw.mappings import chip_specification

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return "chip"
    known = {
        "chip": set(chip_specification.ChipSpecification.__struct_fields__),
        "device": {"law"}.union(*(law.__struct_fields__ for law in LAWS)),
        "recipe": set(Experiment.__struct_fields__),
    }
    shipped: dict[str, Any] = {
        "chip": chip_specification.PRESETS,
        "device": memory.PRESETS,
        "recipe": configuration.RECIPES,
    }
    preset = table.get("preset")
    base = path.parent / str(preset)
    opened.add(path.resolve())
    follow = preset is not None and base.is_file() and base.resolve() not in opened
    beneath = _kind_of_toml(base, opened) if follow else None

    others = table.keys() - {"preset"}

    def fits(kind: str) -> tuple[int, bool, int]:
        stands = kind == beneath if follow else preset in shipped[kind].names()
        near = sum(bool(difflib.get_close_matches(key, known[kind])) for key in others)
        return len(known[kind].intersection(table)), stands, near

    # Of equals the first, as a name stands for a chip before a device.
    return max(known, key=fits)


def _is_data(path: Path) -> bool:
    """Tell a readable HDF5 file without run-file marks from a run file, whole or damaged."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "schema_version" not in file.attrs and "format" not in file.attrs
    except OSError:
        return False


def _run(path: Path) -> Facts:
    from neurohw.experiments import run_file

    run = run_file.load(path)
    return {
        "kind": "run",
        **summary(run, path),
        "checksum": run_file.checksum(run),
        "dataset": run.dataset,
        "counters": run.counters,
        "history": run.history,
        "physical": run.physical,
        **_converters(
            run.experiment, run.arrays[0]["conductance"].shape[1], run.state, run.physical
        ),
        "experiment": _builtins(run.experiment),
        "versions": run.versions,
        **_tiles(run.arrays, run.experiment),
        **_scale(run.experiment, [array["conductance"].shape[1] for array in run.arrays]),
    }


def _chip(target: str, recipe: str | None) -> Facts:
    from neurohw.experiments import configuration
    from neurohw.experiments.machine import dataset_of
    from neurohw.mappings import chip_specification
    from neurohw.mappings.signed_scale import memory as signed_memory

    if recipe is None:
        chip = chip_specification.load(target)
        signed = chip.mapping.scheme not in (None, "single-ended")
        recipe = "mlp-1h" if signed or chip.converters.feedforward else "drn-xs"
    experiment = configuration.load(recipe, chip=target)
    inputs = dataset_of(experiment).train_images.shape[1]
    scale = _scale(experiment, [experiment.lines_per_pixel * inputs, *experiment.network.hidden])
    chip = experiment.chip
    curves = {"neuron_curve": chip.neuron.curve, "synapse": chip.synapse}
    # How far a fitted polynomial is from the measured points, of the largest current.
    residuals = {f"{name}_residual": c.residual for name, c in curves.items() if c is not None}
    signed = experiment.network.kind != "resistive"
    bits, cells = signed_memory(chip) if signed else chip.programming.memory
    memory = {"memory_bits_per_weight": bits, "cells_per_weight": cells}
    measured = {**memory, **_arrays(experiment), **_resolution(experiment)}
    return {"kind": "chip", **_builtins(chip), **residuals, **measured, **scale}


def _resolution(experiment: "Experiment") -> Facts:
    """Return what the converters resolve of the untrained network's voltages, if there are any."""
    if not experiment.chip.converters.present:
        return {}
    from neurohw.experiments import physics
    from neurohw.experiments.machine import build, computing, dataset_of
    from neurohw.experiments.step import ranges_of

    dataset = dataset_of(experiment)
    with computing():
        machine = build(experiment, dataset)
        machine.prepare(0, dataset)
        physical = physics.measure(machine, dataset)
    inputs = experiment.lines_per_pixel * dataset.train_images.shape[1]
    return _converters(experiment, inputs, ranges_of(machine.chip), physical)


def _converters(experiment: "Experiment", inputs: int, state: Facts, physical: Facts) -> Facts:
    """Return what the converters resolve; inputs, word lines; state, a run's, for its ranges."""
    from neurohw.experiments.resolution import resolutions
    from neurohw.mappings.scale import physical_scale

    gain = experiment.network.input_gain
    if not physical:
        return {}
    unit_voltage = experiment.chip.input.full_scale
    if gain is not None:
        lines = [inputs, *experiment.network.hidden]
        unit_voltage = physical_scale(experiment.chip, lines, gain).unit_voltage
    ranges = {key.removesuffix("_range"): v for key, v in state.items() if key.endswith("_range")}
    found = resolutions(experiment, unit_voltage, ranges, physical)
    return {"resolution": [_builtins(each) for each in found]} if found else {}


def _arrays(experiment: "Experiment") -> Facts:
    """Return what wires lose of what the untrained network carries, broken cells, and tiles."""
    chip = experiment.chip
    if chip.tile is None and not chip.tiling(1, 1).spare and not chip.device.spreads:
        return {}
    from neurohw.experiments import cells, wiring
    from neurohw.experiments.machine import build, computing, dataset_of

    with computing():
        built = build(experiment, dataset_of(experiment)).chip
    measured = wiring.measure(built.crossbars)
    tiles = _tiles([array.record() for array in built.arrays], experiment)
    lines = [*wiring.warnings(measured), *cells.warnings(built.crossbars)]
    return {**measured, **tiles, "warnings": lines}


def _tiles(records: Sequence[Any], experiment: "Experiment") -> Facts:
    """Return the tiles of the crossbars of arrays, where they have a size or spare lines."""
    from neurohw.experiments import cells

    found = cells.tiled(records, experiment.chip)
    return {"tiles": [_builtins(each) for each in found]} if found else {}


def _device(target: str) -> Facts:
    from neurohw.devices import memory

    return {"kind": "device", **_builtins(memory.load(target))}


def _recipe(target: str) -> Facts:
    from neurohw.experiments import configuration

    experiment = configuration.load(target)
    return {"kind": "recipe", "name": experiment.recipe, **_builtins(experiment)}


def _rule(target: str) -> Facts:
    """Return what a learning rule is, and what hardware it needs."""
    from neurohw.learning import rules

    rule = rules.find(target)
    facts = next(each for each in rules.available() if each["name"] == rule.name)
    return {"kind": "rule", **facts}


def _dataset(target: str) -> Facts:
    from neurohw import datasets

    dataset = datasets.load(target)
    return {
        "kind": "dataset",
        "name": dataset.name,
        "train_samples": len(dataset.train_labels),
        "test_samples": len(dataset.test_labels),
        "classes": dataset.classes,
        "image_shape": list(dataset.image_shape),
        "checksum": dataset.checksum,
    }


def _builtins(struct: Any) -> Facts:
    import msgspec

    facts: Facts = msgspec.to_builtins(struct)
    return facts


def _scale(experiment: "Experiment", fan_in: Sequence[int]) -> Facts:
    """Return what the numbers of the dimensionless network are on the chip."""
    from neurohw.experiments import scale

    rows = scale.rows(experiment, fan_in)
    return {
        "scale_recipe": experiment.recipe,
        "scale": [{"quantity": name, "value": value, "unit": unit} for name, value, unit in rows],
    }


def _print_facts(facts: Facts) -> None:
    from neurohw.experiments import cells
    from neurohw.experiments.experiment import Experiment
    from neurohw.experiments.resolution import Resolution
    from neurohw.experiments.run_file import UNITS
    from neurohw.units import show

    warnings = facts.pop("warnings", [])
    scale = facts.pop("scale", [])
    resolution = facts.pop("resolution", [])
    tiles = facts.pop("tiles", [])
    recipe = facts.pop("scale_recipe", "")
    experiment = facts.pop("experiment", None)
    _print_nested(facts, UNITS if facts["kind"] == "run" else units_of(Experiment))
    if experiment:
        _print_nested({"experiment": experiment}, units_of(Experiment))
    if scale:
        click.echo(f"scale of the network {recipe} on this chip")
        print_table(((row["quantity"], show(row["value"], row["unit"])) for row in scale), "  ")
    if resolution:
        click.echo("converters")
        for each in resolution:
            click.echo(f"  {Resolution(**each).line}")
    if tiles:
        click.echo("tiles")
        print_table(cells.rows([cells.Tiled(**each) for each in tiles]), "  ")
    for line in warnings:
        print_warning(line)


def _print_nested(facts: Facts, units: dict[str, str], indent: str = "") -> None:
    """Print facts as aligned lines, and groups of facts below them."""
    groups = {key: fact for key, fact in facts.items() if isinstance(fact, dict) and fact}
    rows = [(key, _text(fact, units.get(key, ""))) for key, fact in facts.items()]
    print_table([row for row in rows if row[0] not in groups], indent)
    for key, group in groups.items():
        click.echo(f"{indent}{key}")
        _print_nested(group, units, indent + "  ")


def _text(fact: Any, unit: str) -> str:
    """Return a fact as one line for people."""
    from neurohw.units import show

    if hasattr(fact, "tolist"):
        fact = fact.tolist()
    if isinstance(fact, list | tuple):
        return ", ".join(_text(member, unit) for member in fact)
    if fact is None:
        return "–"
    return show(fact, unit) if isinstance(fact, float) else str(fact)
