"""Replay: measured states of a real array, and the updates that rule and device law make of them.

Of free and nudged states and conductances that were measured, each cell between input x and node y
is to change by

    ΔG = −η/B · Σ_samples ½ [(x − y)²|_a − (x − y)²|_b] / (β_a − β_b)

(B samples; the learning rate η and β as `neurohw.learning.equilibrium_propagation` has them), and
the law of the chip's device says in how many pulses it does, and where it ends.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.devices.fabrication import fabricate
from neurohw.devices.programming import program
from neurohw.errors import DataError, UnsupportedError
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.measured_states import CONDUCTANCES
from neurohw.mappings.scale import physical_scale
from neurohw.update import Update

Array = NDArray[np.float64]

UPDATES = (*CONDUCTANCES, "wanted_S", "pulses", "new_conductance_S")


class Replayed(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What becomes of the cells of one array, (units, inputs) arrays.

    conductance as measured, wanted change and conductance after it [S]; pulses with their sign,
    None where the device takes any change without counting.
    """

    conductance: Array
    wanted: Array
    pulses: Array | None
    after: Array


def replay(
    states: Mapping[str, Sequence[Array]], conductances: Sequence[Array], experiment: Experiment
) -> list[Replayed]:
    """Return what rule and device make of measured states, taken as one mini-batch.

    Parameters
    ----------
    states : by phase, a (samples, nodes) array a layer, word lines first [V]
        Where both nudged phases are there these are compared, else the nudged and the free one.
    conductances : (units, inputs) of each array [S]
    experiment : Experiment
        Its chip's device and scale, its nudging and its learning rates.

    Raises
    ------
    DataError
        States and conductances of other sizes, other arrays than the experiment has, or a
        conductance beyond the device's limits.
    UnsupportedError
        Signed weights; nonlinear cells, or amplifiers, whose lines are not their nodes.
    """
    chip, kind = experiment.chip, experiment.network.kind
    if kind != "resistive":
        raise UnsupportedError(
            f"network.kind = {kind}: replay knows resistive networks, whose cells are their"
            " weights; signed weights are held by several cells behind amplifiers"
        )
    if chip.synapse is not None or chip.neuron.amplified:
        what = "synapse" if chip.synapse is not None else "neuron.gain"
        raise UnsupportedError(f"chip.{what}: replay knows resistors between nodes only")
    _require_fit(states, conductances, experiment)
    scale = physical_scale(chip, [g.shape[1] for g in conductances], experiment.input_gain)
    upper, lower, span = _compared(states, experiment.nudging)
    found = []
    for k, (g, rate) in enumerate(zip(conductances, experiment.learning_rates, strict=True)):
        factor = -scale.learning_rate(rate) / (span * len(upper[0]))
        wanted = factor * 0.5 * (_squares(upper, k) - _squares(lower, k))
        cells = fabricate(
            chip.device,
            *g.shape,
            width=scale.cell_scale[k],
            seed=experiment.training.seed,
            array=k,
        )
        outside = np.argwhere((g < 0.999 * cells.low) | (g > 1.001 * cells.high))
        if len(outside):
            j, i = outside[0]
            low, high = (np.broadcast_to(v, g.shape)[j, i] for v in (cells.low, cells.high))
            raise DataError(
                f"conductance of array {k + 1}, unit {j}, input {i} = {g[j, i]:.4g} S: the chip's"
                f" device has {low:.4g} to {high:.4g} S"
            )
        update = Update(presynaptic=np.eye(g.shape[1])[None], postsynaptic=wanted.T[None].copy())
        after, count = program(cells, g, update, 0)
        found.append(
            Replayed(
                conductance=g,
                wanted=wanted,
                pulses=None if cells.ideal else np.copysign(count, wanted) * (count > 0),
                after=np.asarray(after, np.float64),
            )
        )
    return found


def write(replayed: Sequence[Replayed], path: Path) -> None:
    """Write the updates, one line a cell, `UPDATES`; pulses are empty where none are counted."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(UPDATES)
        for k, array in enumerate(replayed, start=1):
            for (j, i), g in np.ndenumerate(array.conductance):
                pulses = "" if array.pulses is None else f"{array.pulses[j, i]:.10g}"
                values = repr(float(array.wanted[j, i])), pulses, repr(float(array.after[j, i]))
                writer.writerow((k, j, i, repr(float(g)), *values))


def _compared(
    states: Mapping[str, Sequence[Array]], nudging: float
) -> tuple[Sequence[Array], Sequence[Array], float]:
    """Return the states of the two phases and the difference of their nudging, dimensionless."""
    if "positive" in states and "negative" in states:
        return states["positive"], states["negative"], 2.0 * nudging
    if "positive" in states:
        return states["positive"], states["free"], nudging
    return states["negative"], states["free"], -nudging


def _squares(state: Sequence[Array], layer: int) -> Array:
    """Return Σ_samples (x − y)² of every cell of an array, (units, inputs) [V²]."""
    x, y = state[layer], state[layer + 1]
    return np.asarray(((x[:, None, :] - y[:, :, None]) ** 2).sum(axis=0))


def _require_fit(
    states: Mapping[str, Sequence[Array]], conductances: Sequence[Array], experiment: Experiment
) -> None:
    nodes = [v.shape[1] for v in next(iter(states.values()))]
    arrays = [(conductances[0].shape[1], *(len(g) for g in conductances))]
    inner = [g.shape[1] for g in conductances[1:]] == [len(g) for g in conductances[:-1]]
    if not inner or tuple(nodes) != arrays[0]:
        shapes = ", ".join(f"{len(g)} × {g.shape[1]}" for g in conductances)
        raise DataError(
            f"voltages of {'-'.join(map(str, nodes))} lines and nodes do not fit arrays of"
            f" {shapes} units and inputs"
        )
    if len(conductances) != experiment.layers:
        raise DataError(
            f"{len(conductances)} arrays of conductances: the experiment"
            f" {experiment.recipe} has {experiment.layers}"
        )
