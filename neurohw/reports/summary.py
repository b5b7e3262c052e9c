"""What a report says of its runs: labels, numbers with units, comparisons in words."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from quantiphy import Quantity

from neurohw.experiments import cells as crossbar_cells
from neurohw.experiments import scale, wiring
from neurohw.experiments.configuration import to_json
from neurohw.experiments.run_file import Run
from neurohw.mappings.scale import physical_scale
from neurohw.mappings.signed_scale import memory as signed_memory
from neurohw.mappings.signed_scale import signed_scale

PARTED = 0.01
MISSING = "–"
# Of the cells besides those of the weights, by how a chip accumulates changes.
_FAST = {"none": "", "digital": "", "analog": "fast array", "carry": "narrow cells"}


class _Number(Quantity):
    """A quantity with the preferences of a report; those of other code stay as they are."""


_Number.set_prefs(prec=3, map_sf=Quantity.map_sf_to_greek, spacer="\N{NO-BREAK SPACE}")


@dataclass(frozen=True)
class Table:
    """Column heads, and rows whose first cell is the row's head."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, eq=False)
class Comparison:
    """How far a run's test error lies above that of the reference, epoch by epoch.

    Parameters
    ----------
    epochs, gap : (epochs,) arrays
        The epochs that both runs finished, and the difference as a fraction.
    words : str
        The same as a sentence.
    """

    label: str
    epochs: NDArray[np.int64]
    gap: NDArray[np.float64]
    words: str


def number(value: float, unit: str = "") -> str:
    """Text with an engineering prefix, such as "3.85 µS"."""
    if math.isinf(value):
        return "unlimited" if value > 0 else "−unlimited"
    if math.isnan(value):
        return MISSING
    return str(_Number(float(value), unit)).replace("-", "−")


def count(value: float) -> str:
    """Text of a number of things, such as "12,140"; the large ones as powers of ten."""
    return f"{value:,.1f}".removesuffix(".0") if value < 1e7 else f"{value:.3g}"


def percent(fraction: float | None) -> str:
    """Text of a fraction with two decimals, such as "3.46 %", or a dash where there is none."""
    if fraction is None or math.isnan(fraction):
        return MISSING
    return "< 0.01 %" if 0 < fraction < 5e-5 else f"{100 * fraction:.2f} %"


def labels(runs: Sequence[Run]) -> list[str]:
    """Shortest names that tell the runs apart: chip, then recipe, seed and place in the list."""
    parts = [
        (run.experiment.chip.name, run.experiment.recipe, f"seed {run.experiment.training.seed}")
        for run in runs
    ]
    for used in (1, 2, 3):
        names = [" · ".join(part[:used]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{name} · run {index}" for index, name in enumerate(names, 1)]


def title(runs: Sequence[Run]) -> str:
    """Names of the chips; of many only the first."""
    chips = list(dict.fromkeys(run.experiment.chip.name for run in runs))
    more = f" and {len(chips) - 2} more chips" if len(chips) > 3 else ""
    return ", ".join(chips[:2] if more else chips) + more


def window(run: Run, index: int) -> tuple[float, float]:
    """Smallest and largest conductance [S] of an array's cells; of signed weights, of these."""
    experiment = run.experiment
    if experiment.network.kind == "resistive":
        scale = physical_scale(experiment.chip, _fan_in(run), experiment.input_gain)
        return scale.window(index)
    signed = signed_scale(experiment.chip, experiment.layers)
    largest = signed.unit_conductances[index] * signed.weight_ranges[index]
    return -largest, largest


def _fan_in(run: Run) -> list[int]:
    return [array["conductance"].shape[1] for array in run.arrays]


def reference_of(runs: Sequence[Run]) -> int:
    """Index of the run that the others are compared with: the first ideal one, else the first."""
    ideal = (i for i, run in enumerate(runs) if run.experiment.chip.device.law == "ideal")
    return next(ideal, 0)


def headline(runs: Sequence[Run]) -> Table:
    """Table of what was run and how well it learned."""
    rows = []
    for run, label in zip(runs, labels(runs), strict=True):
        seconds = np.atleast_1d(run.times.get("seconds_per_epoch", math.nan))
        planned, done = run.experiment.training.epochs, run.counters["epoch"]
        rows.append(
            (
                label,
                run.experiment.recipe,
                run.experiment.chip.name,
                str(run.experiment.training.seed),
                percent(_last(run.history, "test_error")),
                percent(_last(run.history, "train_error")),
                str(done) if done == planned else f"{done} of {planned}",
                number(float(np.median(seconds)), "s") if seconds.size else MISSING,
            )
        )
    heads = ("Run", "Recipe", "Chip", "Seed", "Test error", "Train error", "Epochs", "Epoch time")
    return Table(heads, rows)


def notes(runs: Sequence[Run]) -> list[str]:
    """Say what a reader must know before comparing the runs."""
    found = []
    names = labels(runs)
    for what, values in (
        ("recipe", [run.experiment.recipe for run in runs]),
        ("data set", [run.dataset["name"] for run in runs]),
        ("version of the data", [run.dataset["checksum"][:12] for run in runs]),
        ("seed", [str(run.experiment.training.seed) for run in runs]),
    ):
        different = list(dict.fromkeys(values))
        if len(different) > 1:
            found.append(f"The runs differ in {what}: {', '.join(different)}.")
    for run, name in zip(runs, names, strict=True):
        done, planned = run.counters["epoch"], run.experiment.training.epochs
        if done < planned:
            found.append(f"{name} is unfinished: {done} of {planned} epochs.")
        held_out = run.experiment.data.validation
        if held_out:
            found.append(
                f"The test error of {name} is that on the last {held_out} training images, "
                "held out for validation."
            )
        found += [f"{name}: {line}." for line in wiring.warnings(run.physical)]
        if "dead_units" in run.history and run.history["dead_units"].size:
            dead, settled = (
                100 * float(run.history[f"{what}_units"][-1]) for what in ("dead", "settled")
            )
            found.append(
                f"{name}: {dead:.1f} % of the hidden units won no image in the last epoch of their"
                f" layer; of the others {settled:.1f} % have settled at a norm of 1."
            )
    return found


def compare(runs: Sequence[Run]) -> list[Comparison]:
    """Gap of every run to the reference, and where it first exceeds one percentage point."""
    names, first = labels(runs), reference_of(runs)
    expected = runs[first].history["test_error"]
    result = []
    for index, run in enumerate(runs):
        count = min(len(expected), len(run.history["test_error"]))
        if index == first or count == 0:
            continue
        gap = np.asarray(run.history["test_error"][:count] - expected[:count], dtype=np.float64)
        epochs = np.arange(1, count + 1)
        words = _parting(names[index], names[first], gap)
        result.append(Comparison(names[index], epochs, gap, words))
    return result


def _parting(name: str, reference: str, gap: NDArray[np.float64]) -> str:
    points = [f"{100 * abs(value):.2f}" for value in gap]
    side = "behind" if gap[-1] >= 0 else "ahead"
    after = f"after the last common epoch ({len(gap)}) it is {points[-1]} points {side}"
    over = np.flatnonzero(gap > PARTED)
    if over.size == 0:
        widest = int(np.argmax(gap))
        if gap[widest] <= 0:
            return f"{name} is never behind {reference}; {after}."
        return (
            f"{name} stays within {100 * PARTED:g} percentage point of {reference}: the largest "
            f"gap is {points[widest]} points, after epoch {widest + 1}; {after}."
        )
    start = int(over[0])
    return (
        f"{name} parts from {reference} after epoch {start + 1}, the first with a gap of more than "
        f"{100 * PARTED:g} percentage point ({points[start]}); {after}."
    )


def saturation(run: Run) -> Table:
    """Share of the cells of each array, and of bias cells, that stand at a limit of the device."""
    rows = []
    for name, prefix, index, cells in _crossbars(run, array_name):
        low, high = window(run, index)
        rows.append(
            (
                name,
                count(cells["conductance"].size),
                number(low, "S"),
                number(high, "S"),
                percent(_at(run.physical, prefix + "saturated_low", index)),
                percent(_at(run.physical, prefix + "saturated_high", index)),
            )
        )
    return Table(("Array", "Cells", "g min", "g max", "At g min", "At g max"), rows)


def tiles(run: Run) -> Table | None:
    """Tabulate the tiles of each array, and how spare lines repaired them; None without."""
    found = crossbar_cells.tiled(run.arrays, run.experiment.chip)
    heads, *rows = crossbar_cells.rows(found)
    several = any(each.crossbar > 1 for each in found)
    names = [
        array_name(run, each.array - 1) + (f", crossbar {each.crossbar}" if several else "")
        for each in found
    ]
    named = [(name, *row[1:]) for name, row in zip(names, rows, strict=True)]
    return Table(heads, named) if named else None


def pulses(run: Run) -> Table | None:
    """Write pulses a cell received, against its endurance; None if no array counts pulses."""
    chip = run.experiment.chip
    fast = chip.programming.fast_device or chip.device
    rows = []
    for name, _, _, cells in _crossbars(run, array_name):
        for key, label, device in (
            ("pulses", name, chip.device),
            ("fast_pulses", f"{name}: {_FAST[chip.programming.accumulate]}", fast),
        ):
            if key in cells:
                rows.append((label, *_spent(cells[key], device.endurance)))
    heads = ("Array", "Mean", "99th percentile", "Largest", "Endurance", "Largest of endurance")
    return Table(heads, rows) if rows else None


def _spent(pulses: NDArray[Any], endurance: float) -> tuple[str, ...]:
    largest = int(pulses.max())
    return (
        count(float(pulses.mean(dtype=np.float64))),
        count(float(np.percentile(pulses, 99))),
        count(largest),
        count(endurance) if math.isfinite(endurance) else "not stated",
        percent(largest / endurance) if math.isfinite(endurance) else MISSING,
    )


def memory(run: Run) -> str:
    """Say what memory the update scheme needs, fast cells with the others; nothing if none."""
    chip = run.experiment.chip
    bits, cells = chip.programming.memory
    fast = cells > 1
    if (bits or fast) and run.experiment.network.kind != "resistive":
        bits, cells = signed_memory(chip)
    weights = sum(array["conductance"].size for _, _, _, array in _crossbars(run, array_name))
    words = []
    if bits:
        words.append(f"{bits} bits of digital memory a weight, {number(bits * weights / 8, 'B')}")
    if fast:
        words.append(f"{cells} memory cells a weight, {count(cells * weights)} in all")
    return f"The update scheme needs {' and '.join(words)}." if words else ""


def scales(runs: Sequence[Run]) -> Table:
    """Table of the physical scale, one column a run, with what its recipe comes to."""
    columns = [
        {
            name: number(value, unit)
            for name, value, unit in scale.rows(run.experiment, _fan_in(run))
        }
        for run in runs
    ]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [(name, *(column.get(name, MISSING) for column in columns)) for name in names]
    return Table(("Quantity", *labels(runs)), rows)


def physics(run: Run) -> Table | None:
    """Tabulate what the circuit of each layer, and its bias cells, must carry and resolve.

    None where the nodes are at virtual ground.
    """
    if run.experiment.network.kind in ("feedforward", "boltzmann"):
        return None
    rows, wired = [], run.experiment.chip.wires is not None
    for name, prefix, index, _ in _crossbars(run, layer_name):
        bits = _at(run.physical, prefix + "bits", index)
        rows.append(
            (
                name,
                number(_at(run.physical, prefix + "voltage", index), "V"),
                number(_at(run.physical, prefix + "voltage_p90", index), "V"),
                number(_at(run.physical, prefix + "difference", index), "V"),
                MISSING if math.isnan(bits) else f"{bits:.1f}",
                number(_at(run.physical, prefix + "power", index), "W"),
                percent(_at(run.physical, prefix + "above_write_threshold", index)),
                *(_losses(run, prefix, index) if wired else ()),
            )
        )
    heads = ("Layer", "|v|", "|v| 90 %", "|v⁺ − v⁻|", "Bits", "Power", "Above write threshold")
    return Table((*heads, "Loading of wires", "Lost in wires") if wired else heads, rows)


def _losses(run: Run, prefix: str, index: int) -> tuple[str, str]:
    """Return loading and loss of the wires of an array as text."""
    load = _at(run.physical, prefix + "wire_loading", index)
    loss = _at(run.physical, prefix + "wire_loss", index)
    return MISSING if math.isnan(load) else f"{load:.2g}", percent(loss)


def _crossbars(
    run: Run, name: Callable[[Run, int], str]
) -> Iterator[tuple[str, str, int, Mapping[str, NDArray[Any]]]]:
    """Name, prefix in `physical`, layer and cells of each array, then of the bias cells."""
    for index, cells in enumerate(run.arrays):
        yield name(run, index), "", index, cells
    for index, cells in enumerate(run.biases):
        if "conductance" in cells:
            yield f"Bias cells of layer {index + 1}", "bias_", index, cells


def layer_name(run: Run, index: int) -> str:
    """Name of a layer of units, such as "Hidden 1"."""
    return "Output" if index == len(run.arrays) - 1 else f"Hidden {index + 1}"


def array_name(run: Run, index: int) -> str:
    """Name of an array by the layers that it joins, such as "Input → hidden 1"."""
    before = "Input" if index == 0 else layer_name(run, index - 1)
    return f"{before} → {layer_name(run, index).lower()}"


def differences(runs: Sequence[Run]) -> Table | None:
    """Tabulate the settings in which the runs differ; None if there are none."""
    columns = [dict(_settings(json.loads(to_json(run.experiment)))) for run in runs]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    rows = [
        (key, *values)
        for key in keys
        if not key.endswith(("description", "source"))
        and len(set(values := [column.get(key, MISSING) for column in columns])) > 1
    ]
    return Table(("Setting", *labels(runs)), rows) if rows else None


def configuration(run: Run) -> str:
    """Write the resolved configuration in the manner of TOML, SI units."""
    tables: dict[str, list[str]] = {}
    for key, value in _settings(json.loads(to_json(run.experiment))):
        table, _, name = key.rpartition(".")
        tables.setdefault(table, []).append(f"{name} = {value}")
    return "\n\n".join(
        "\n".join([f"[{table}]", *lines] if table else lines) for table, lines in tables.items()
    )


def _settings(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted key and text of every setting; plain values before tables, as TOML wants it."""
    for key, value in tree.items():
        if value is not None and not isinstance(value, dict):
            yield prefix + key, "inf" if value == "inf" else json.dumps(value, ensure_ascii=False)
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{prefix}{key}.")


def _last(values: Mapping[str, NDArray[Any]], key: str) -> float:
    return _at(values, key, len(values[key]) - 1) if key in values else math.nan


def _at(values: Mapping[str, NDArray[Any]], key: str, index: int) -> float:
    """One entry; NaN where the run does not hold it."""
    if key not in values or not 0 <= index < len(values[key]):
        return math.nan
    return float(values[key][index])
