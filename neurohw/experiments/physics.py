"""What a trained network asks of its chip: voltages, resolution, power, stress, saturation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import BiasRails, CrossbarArray, SignedArray, SignedChip
from neurohw.circuits import tiles
from neurohw.circuits.synapse import Synapse
from neurohw.datasets import Dataset
from neurohw.experiments import wiring
from neurohw.experiments.machine import ResistiveMachine
from neurohw.experiments.step import Machine
from neurohw.networks.resistive import dissipation
from neurohw.update import pairs

Array = NDArray[np.floating]

_SAMPLES = 256


def measure(machine: Machine, dataset: Dataset) -> dict[str, Array]:
    """Measure what the chip as it is carries of the first training images.

    Of networks that are not resistive only the shares of saturated cells, one an array.

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
        and cells count with the voltages of their terminals.
    """
    if isinstance(machine.chip, SignedChip):
        return _saturation(machine.chip.arrays) | wiring.measure(machine.chip.crossbars)
    assert isinstance(machine, ResistiveMachine)  # no other kind is on such a chip
    images = dataset.train_images[:_SAMPLES]
    inputs = machine.encode(images)
    arrays = machine.chip.arrays
    contrast = machine.rule.contrast(
        arrays[0].read(inputs), machine.targets(dataset.train_labels[:_SAMPLES]), None, 0, inputs
    )
    threshold = machine.chip.specification.device.write_threshold
    rows: dict[str, list[float]] = {}

    def add(values: dict[str, float], prefix: str = "") -> None:
        for key, value in values.items():
            rows.setdefault(prefix + key, []).append(value)

    below = pairs(inputs)
    for k, array in enumerate(arrays):
        voltage = contrast.free.state[k]
        size = np.abs(voltage)
        upper, lower = contrast.upper[k], contrast.lower[k]
        difference = float(np.abs(upper - lower).mean(dtype=np.float64))
        largest = max(float(np.abs(v).max()) for v in (voltage, upper, lower))
        add(
            {
                "voltage": float(size.mean(dtype=np.float64)),
                "voltage_p90": float(np.quantile(size, 0.9)),
                "difference": difference,
                "bits": float(np.log2(2.0 * largest / difference)) if difference > 0 else np.inf,
            }
            | _measure_cells(array, below, voltage, threshold, machine.network.synapse)
        )
        below = machine.network.forward(k, voltage)
    for bias, voltage in zip(machine.chip.biases, contrast.free.state, strict=False):
        if isinstance(bias, BiasRails):
            rails = np.tile(np.array(bias.word_lines, voltage.dtype), (len(voltage), 1))
            add(_measure_cells(bias.array, rails, voltage, threshold), "bias_")
    return {key: np.array(values) for key, values in rows.items()} | wiring.measure(arrays)


def _measure_cells(
    array: CrossbarArray,
    inputs: Array,
    units: Array,
    threshold: float,
    synapse: Synapse | None = None,
) -> dict[str, float]:
    """Return power [W] and shares of the cells that join (batch, inputs) and (batch, units) [V]."""
    g, wires = array.values(), array.seen(0).wires
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
    rows = [_saturated(array.crossbars) for array in arrays]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def _saturated(crossbars: Sequence[CrossbarArray]) -> dict[str, float]:
    """Return the shares of cells at either limit, over crossbars of one shape."""
    low, high = [], []
    for crossbar in crossbars:
        g, cells = crossbar.values(), crossbar.cells
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
