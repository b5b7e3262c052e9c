"""From a file to a network: its cells as they were written, or read out, after every check."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import BiasCurrents, CrossbarArray, SignedArray
from neurohw.errors import ExportError
from neurohw.experiments import run_file
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.programmed import machine_of, snapshot
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import AnyChip, Machine
from neurohw.export import logical
from neurohw.export.fitting import Fitted, other_chip, require_range, require_same_layers
from neurohw.export.formats import Contents, Format
from neurohw.export.mapping import crossbar_name, roles, weight_map
from neurohw.export.weight_map import WeightMap
from neurohw.mappings.chip_specification import ChipSpecification

Array = NDArray[np.floating]


def imported(
    form: Format,
    path: Path,
    network: Run | Experiment,
    *,
    chip: ChipSpecification | None = None,
    advance: Callable[[int], Any] | None = None,
) -> Run:
    """Return a run whose cells stand where a file says, evaluated as such.

    Parameters
    ----------
    form : Format
    path : Path
    network : Run or Experiment
        What the file holds: an experiment needs all of its arrays there. Arrays that are not in
        the file are those of a run.
    chip : ChipSpecification, optional
        Into which the network of the run was written before it was exported.
    advance : callable, optional
        Called with the number of cells of each tile that was read.

    Raises
    ------
    ExportError
        The file is damaged or does not fit the network; one line that names the place.
    """
    contents = form.read(path)
    machine, dataset = machine_of(network, chip)
    run = network if isinstance(network, Run) and chip is None else None
    whole = not isinstance(network, Run)
    found = run or snapshot(machine, dataset, {}, measured=False)
    take(contents, machine, weight_map(found), whole=whole, advance=advance)
    if whole:
        machine.prepare(0, dataset)
    checksum = run_file.checksum(network) if isinstance(network, Run) else ""
    start = {"run": str(path), "format": form.name, "checksum": checksum}
    return snapshot(machine, dataset, start)


def take(
    contents: Contents,
    machine: Machine,
    weights: WeightMap,
    *,
    whole: bool = True,
    exact: bool = False,
    advance: Callable[[int], Any] | None = None,
) -> float:
    """Let the cells of a machine stand where a file says.

    Parameters
    ----------
    contents : Contents
    machine : Machine
    weights : WeightMap
        Of the machine as it is.
    whole : bool
        Whether every array must be in the file.
    exact : bool
        Whether a file of weights, not of cells, is taken as it is; else it is programmed.
    advance : callable, optional

    Returns
    -------
    float
        Largest difference from the machine's cells, beyond what the format rounds to [S].
    """
    if contents.logical:
        logical.take(contents, machine.chip, exact=exact)
        return 0.0
    require_same_layers(contents, weights)
    fitted = {crossbar.name: Fitted(crossbar) for crossbar in weights.crossbars}
    places = {tile.name: tile for tile in weights.tiles()}
    for read in contents.tiles:
        tile = places.pop(read.name, None)
        if tile is None:
            known = ", ".join(list(fitted)[:8])
            raise ExportError(
                f"{contents.path}: array {read.name}: the chip has none, or it stands there twice;"
                f" the chip's crossbars are {known}{other_chip(contents, weights)}"
            )
        try:
            fitted[tile.crossbar.name].put(read, tile)
        except ExportError as error:
            hint = other_chip(contents, weights)
            raise ExportError(f"{contents.path}: {error}{hint}") from None
        if advance is not None:
            advance(read.conductance.size)
    if not any(each.values is not None for each in fitted.values()):
        raise ExportError(f"{contents.path}: holds no cells")
    for name, tile in places.items():
        if whole or fitted[tile.crossbar.name].values is not None:
            hint = other_chip(contents, weights)
            raise ExportError(
                f"{contents.path}: array {name}: is missing, and {len(places) - 1} others{hint}"
            )
    crossbars, difference = _crossbars(machine.chip), 0.0
    for name, (crossbar, narrow) in crossbars.items():
        for each in (fitted.get(name), fitted.get(narrow or "")):
            if each is not None and each.values is not None:
                sigma = crossbar.cells.law.write_sigma
                try:
                    require_range(each, 6 * sigma, measured=contents.measured)
                except ExportError as error:
                    raise ExportError(f"{contents.path}: {error}") from None
                difference = max(difference, each.difference)
    for name, (crossbar, narrow) in crossbars.items():
        own, beside = fitted.get(name), fitted.get(narrow or "")
        if own is not None:
            crossbar.take_over(own.taken, None if beside is None else beside.taken)
    _take_circuits(contents, machine.chip, whole=whole)
    return difference


def _crossbars(chip: AnyChip) -> dict[str, tuple[CrossbarArray, str | None]]:
    """Return every crossbar by its name, with the name of the narrower cells beside it."""
    found: dict[str, tuple[CrossbarArray, str | None]] = {}
    held: list[tuple[str, Any]] = [
        (f"layer{k}", array) for k, array in enumerate(chip.arrays, start=1)
    ]
    for k, bias in enumerate(chip.biases, start=1):
        if not isinstance(bias, BiasCurrents):
            held.append((f"bias{k}", bias.array))
    for layer, array in held:
        signed = isinstance(array, SignedArray)
        crossbars = array.every_crossbar if signed else [array]
        scheme = array.scheme if signed else None
        reference = signed and array.reference is not None
        for crossbar, (role, _) in zip(crossbars, roles(scheme, reference=reference), strict=True):
            name = crossbar_name(layer, role)
            found[name] = crossbar, f"{name}-narrow" if crossbar.scheme.carries else None
    return found


def _take_circuits(contents: Contents, chip: AnyChip, *, whole: bool) -> None:
    """Set bias currents and gains of amplifiers as a file says."""
    sources = {
        f"bias{k}": bias
        for k, bias in enumerate(chip.biases, start=1)
        if isinstance(bias, BiasCurrents)
    }
    for name in contents.currents.keys() - sources.keys():
        raise ExportError(f"{contents.path}: {name}: the network's chip has no bias currents there")
    for name, bias in sources.items():
        current = contents.currents.get(name)
        if current is None:
            if whole:
                raise ExportError(
                    f"{contents.path}: {name}: its currents are missing: give a run as the network"
                )
            continue
        _require_finite(contents, name, current, bias.values.shape)
        bias.restore({"current": current})
    for k, array in enumerate(chip.arrays, start=1):
        gains = contents.gains.get(f"layer{k}")
        if gains is not None and isinstance(array, SignedArray):
            _require_finite(contents, f"gains of layer{k}", gains, array.gains.shape)
            array.amplify(gains)


def _require_finite(contents: Contents, name: str, values: Array, shape: tuple[int, ...]) -> None:
    if values.shape != shape or not np.isfinite(values).all():
        raise ExportError(f"{contents.path}: {name}: must be {shape[0]} finite numbers")
