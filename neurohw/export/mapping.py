"""From a run to its weight map: which crossbars of its file hold which weights."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.devices.redundancy import Tiling
from neurohw.errors import ConfigurationError, UnsupportedError
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.run_file import Run
from neurohw.export.weight_map import Crossbar, Layer, WeightMap
from neurohw.mappings.scale import physical_scale
from neurohw.mappings.schemes import BitSliced, DifferentialPair, Direct, Offset, Scheme
from neurohw.mappings.signed_scale import scheme_of, signed_scale

Array = NDArray[np.floating]
Record = dict[str, NDArray[Any]]

_NAMES: dict[type[Scheme], str] = {
    DifferentialPair: "differential-pair",
    Offset: "offset",
    BitSliced: "bit-sliced",
    Direct: "signed",
}


def weight_map(run: Run, layers: Collection[str] = ()) -> WeightMap:
    """Return the map of a run's cells as its chip holds them.

    Parameters
    ----------
    run : Run
    layers : collection of str
        Names of the layers wanted, such as ``layer1`` or ``bias2``, or ``1`` for both of a layer;
        all of them without.

    Raises
    ------
    ConfigurationError
        There is no such layer.
    UnsupportedError
        The run was written before run files held the limits of narrower cells.
    """
    found = list(_layers(run))
    currents = {
        f"bias{k}": record["current"]
        for k, record in enumerate(run.biases, start=1)
        if "current" in record
    }
    names = [layer.name for layer in found] + list(currents)
    for name in layers:
        if name not in names and f"layer{name}" not in names:
            raise ConfigurationError(f"layer = {name}: there are {', '.join(names)}")
    if layers:
        wanted = {*layers, *(f"{kind}{name}" for name in layers for kind in ("layer", "bias"))}
        found = [layer for layer in found if layer.name in wanted]
        currents = {name: values for name, values in currents.items() if name in wanted}
    return WeightMap(run=run, layers=found, currents=currents)


def roles(scheme: Scheme | None, *, reference: bool) -> list[tuple[str, float]]:
    """Return role and coefficient of each crossbar of an array, as `SignedArray` orders them.

    scheme None: single-ended. reference says whether one of cells is there.
    """
    if scheme is None:
        return [("conductance", 1.0)]
    coefficients = scheme.coefficients
    names: list[str] = {
        DifferentialPair: ["positive", "negative"],
        BitSliced: [f"slice{k}" for k in range(1, len(coefficients) + 1)],
        Offset: ["offset"],
        Direct: ["signed"],
    }[type(scheme)]
    found = list(zip(names, coefficients, strict=True))
    return [*found, ("reference", -sum(coefficients))] if reference else found


def crossbar_name(layer: str, role: str) -> str:
    """Return the name of the crossbar of a layer whose cells have a role."""
    return layer if role in ("conductance", "signed", "offset") else f"{layer}-{role}"


def _layers(run: Run) -> Iterator[Layer]:
    """Yield the layers of weights, then those of bias cells."""
    experiment, chip = run.experiment, run.experiment.chip
    resistive = experiment.network.kind == "resistive"
    scheme = None if resistive else scheme_of(chip)
    scales, bias_scales, widths = _scales(run)
    for k, record in enumerate(run.arrays):
        yield _layer(experiment, f"layer{k + 1}", record, scheme, scales[k], widths[k])
    for k, record in enumerate(run.biases):
        if "conductance" in record:
            yield _layer(experiment, f"bias{k + 1}", record, scheme, bias_scales[k], widths[k])


def _scales(run: Run) -> tuple[list[float], list[float], list[float]]:
    """Return 1/S of weights, 1/S of bias cells and the width of cells, of each layer."""
    experiment, chip = run.experiment, run.experiment.chip
    if experiment.network.kind == "resistive":
        fan_in = [record["conductance"].shape[1] for record in run.arrays]
        scale = physical_scale(chip, fan_in, experiment.input_gain)
        each = [1 / scale.unit_conductance] * len(fan_in)
        return each, each, list(scale.cell_scale)
    signed = signed_scale(chip, len(run.arrays))
    rail = chip.bias.rail or signed.unit_voltage
    units = signed.unit_conductances
    return (
        [1 / unit for unit in units],
        [rail / signed.current(k) for k in range(len(units))],
        [1.0] * len(units),
    )


def _layer(
    experiment: Experiment,
    name: str,
    record: Record,
    scheme: Scheme | None,
    scale: float,
    width: float,
) -> Layer:
    units, inputs = record["conductance"].shape
    reference = scheme is not None and f"conductance_{len(scheme.coefficients)}" in record
    crossbars: list[Crossbar] = []
    for k, (role, coefficient) in enumerate(roles(scheme, reference=reference)):
        end = "" if scheme is None else f"_{k}"
        crossbars += _crossbars(experiment, name, role, coefficient, record, end, width)
    return Layer(
        name=name,
        scheme="single-ended" if scheme is None else _NAMES[type(scheme)],
        units=units,
        inputs=inputs,
        scale=scale,
        gains=record["gains"] if "gains" in record else np.ones(units),
        reference=0.0 if reference or scheme is None else _middle(scheme),
        paired=experiment.network.kind == "resistive" and name == "layer1",
        crossbars=crossbars,
    )


def _middle(scheme: Scheme) -> float:
    """Return what the circuit subtracts where no cells do [S]."""
    return sum(scheme.coefficients) * scheme.middle if scheme.referenced else 0.0


def _crossbars(
    experiment: Experiment,
    layer: str,
    role: str,
    coefficient: float,
    record: Record,
    end: str,
    width: float,
) -> Iterator[Crossbar]:
    """Yield a crossbar of an array, and the one of narrower cells beside it where there is one."""
    chip = experiment.chip
    device, narrower = chip.device, chip.programming.fast_device or chip.device
    base = width / chip.programming.carry_base
    carries = f"main_conductance{end}" in record
    for suffix, prefix, window in (
        ("", "main_" if carries else "", (device.g_min * width, device.g_max * width)),
        ("-narrow", "fast_", (narrower.g_min * base, narrower.g_max * base)),
    ):
        if suffix and not carries:
            continue
        limits = "fast_" if suffix else ""
        if f"{limits}g_min{end}" not in record:
            raise UnsupportedError(
                f"{layer}: the run file has no limits of the narrower cells: it was written by an"
                " earlier version; train anew"
            )
        conductance = record[f"{prefix}conductance{end}"]
        units, inputs = conductance.shape
        # Bias cells and references have neither tiles nor spare lines.
        tiled = layer.startswith("layer") and role != "reference"
        span = window[1] - window[0]
        yield Crossbar(
            name=crossbar_name(layer, role) + suffix,
            role=role + suffix,
            coefficient=coefficient,
            conductance=conductance,
            low=record[f"{limits}g_min{end}"],
            high=record[f"{limits}g_max{end}"],
            window=window,
            tolerance=chip.mapping.verify_tolerance * span if np.isfinite(span) else None,
            tiling=chip.tiling(units, inputs) if tiled else Tiling(units=units, inputs=inputs),
            word_lines=record.get(f"{limits}word_lines{end}"),
            bit_lines=record.get(f"{limits}bit_lines{end}"),
        )
