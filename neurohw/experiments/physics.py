"""What a trained network asks of its chip: voltages, resolution, power, stress, saturation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import BiasRails, CrossbarArray, SignedArray, SignedChip
from neurohw.circuits import tiles
from neurohw.circuits.synapse import Synapse
from neurohw.datasets import Dataset
from neurohw.experiments import wiring
from neurohw.experiments.hopfield_machine import HopfieldMachine
from neurohw.experiments.machine import ResistiveMachine
from neurohw.experiments.step import Machine
from neurohw.learning.equilibrium_propagation import Contrast
from neurohw.networks.resistive import dissipation
from neurohw.update import pairs

Array = NDArray[np.floating]

_SAMPLES = 256


def measure(machine: Machine, dataset: Dataset) -> dict[str, Array]:
    """Measure what the chip as it is carries of the first training images.

    Of a feed-forward network only the shares of saturated cells, one an array; of a Hopfield
    network these, and what concerns voltages and the difference of the phases.

    Returns
    -------
    dict of (layers,) arrays
        voltage, mean |v| of a layer's nodes in the free phase, and voltage_p90, its 90th
        percentile [V]; difference, mean |v_a − v_b| of the phases that are compared [V]; bits,
        of a converter over ± the largest voltage of any phase, whose step is that difference;
        power, dissipated in the free phase in the array below the layer [W];
        above_write_threshold, share of its cells and samples whose voltage drop could write;
        saturated_low and saturated_high, share of its cells at a limit. A chip with bias cells to
        rails adds the last four of the cells of each layer, as bias_power and so on. Wires add
        wire_loading and wire_loss, see `neurohw.experiments.wiring`; power then includes theirs,
        and cells count with the voltages of their terminals. A device of limited endurance adds
        worn_out, the share of cells past it. Read noise is that of one mini-batch.
    """
    if isinstance(machine.chip, SignedChip):
        found = _saturation(machine.chip.arrays) | wiring.measure(machine.chip.crossbars)
        if isinstance(machine, HopfieldMachine):
            found |= _columns(_measure_phases(_contrast(machine, dataset)))
        return found
    assert isinstance(machine, ResistiveMachine)  # no other kind is on such a chip
    arrays, contrast = machine.chip.arrays, _contrast(machine, dataset)
    threshold = machine.chip.specification.device.write_threshold
    rows = _measure_phases(contrast)
    below = pairs(machine.encode(dataset.train_images[:_SAMPLES]))
    for k, array in enumerate(arrays):
        voltage = contrast.free.state[k]
        rows[k] |= _measure_cells(array, below, voltage, threshold, machine.network.synapse)
        below = machine.network.forward(k, voltage)
    bias_rows = []
    for bias, voltage in zip(machine.chip.biases, contrast.free.state, strict=False):
        if isinstance(bias, BiasRails):
            rails = np.tile(np.array(bias.word_lines, voltage.dtype), (len(voltage), 1))
            cells = _measure_cells(bias.array, rails, voltage, threshold)
            bias_rows.append({f"bias_{key}": value for key, value in cells.items()})
    measured = _columns(rows) | _columns(bias_rows) | wiring.measure(arrays)
    if any(array.wears for array in arrays):
        measured["worn_out"] = np.array([array.worn for array in arrays])
    return measured


def _contrast(machine: ResistiveMachine | HopfieldMachine, dataset: Dataset) -> Contrast:
    """Return the phases of the first training images, from 0 V."""
    inputs = machine.encode(dataset.train_images[:_SAMPLES])
    projection = machine.chip.arrays[0].read(inputs)
    targets = machine.targets(dataset.train_labels[:_SAMPLES])
    return machine.rule.phases(projection, targets, None, 0, inputs, leave_out=True)


def _measure_phases(contrast: Contrast) -> list[dict[str, float]]:
    """Return voltages and what learning has to resolve, a layer each."""
    rows = []
    for voltage, upper, lower in zip(
        contrast.free.state, contrast.upper, contrast.lower, strict=True
    ):
        size = np.abs(voltage)
        difference = float(np.abs(upper - lower).mean(dtype=np.float64))
        largest = max(float(np.abs(v).max()) for v in (voltage, upper, lower))
        rows.append(
            {
                "voltage": float(size.mean(dtype=np.float64)),
                "voltage_p90": float(np.quantile(size, 0.9)),
                "difference": difference,
                "bits": float(np.log2(2.0 * largest / difference)) if difference > 0 else np.inf,
            }
        )
    return rows


def _columns(rows: Sequence[dict[str, float]]) -> dict[str, Array]:
    """Return rows of equal keys as one array a key."""
    return {key: np.array([row[key] for row in rows]) for row in rows[:1] for key in row}


def _measure_cells(
    array: CrossbarArray,
    inputs: Array,
    units: Array,
    threshold: float,
    synapse: Synapse | None = None,
) -> dict[str, float]:
    """Return power [W] and shares of the cells that join (batch, inputs) and (batch, units) [V]."""
    g, wires = array.values(), array.seen().wires
    if wires is None:
        power = dissipation(g, inputs, units, synapse)
    else:
        into, out = tiles.currents(g, wires, inputs, units)
        power = (inputs * into).sum(axis=1) - (units * out).sum(axis=1)
    return {
        "power": float(power.mean()),
        "above_write_threshold": _share_above(inputs, units, threshold),
        **_saturated([array]),
    }


def _saturation(arrays: Sequence[SignedArray]) -> dict[str, Array]:
    """Return the shares of the cells of each array that stand at a limit."""
    return _columns([_saturated(array.crossbars) for array in arrays])


def _saturated(crossbars: Sequence[CrossbarArray]) -> dict[str, float]:
    """Return the shares of cells at either limit, over crossbars of one shape."""
    low, high = [], []
    for crossbar in crossbars:
        g, cells = crossbar.main_values(), crossbar.cells
        span = cells.high - cells.low
        margin = np.where(np.isfinite(span), 1e-6 * span, 0.0)
        low.append(np.mean(g <= cells.low + margin))
        high.append(np.mean(g >= cells.high - margin))
    return {"saturated_low": float(np.mean(low)), "saturated_high": float(np.mean(high))}


def _share_above(inputs: Array, units: Array, threshold: float) -> float:
    """Return the share of cells and samples with |v_i − v_j| above the threshold."""
    if np.isinf(threshold):
        return 0.0
    count = 0
    for x, y in zip(inputs, units, strict=True):
        ordered = np.sort(x)
        count += int(np.searchsorted(ordered, y - threshold, side="left").sum())
        count += int((len(x) - np.searchsorted(ordered, y + threshold, side="right")).sum())
    return count / float(inputs.shape[1] * units.size)
