"""The reads of a feed-forward network as its chip spends them, one after the other.

Each array is read forwards by pulses that its inputs' DACs give, and, but for the first, backwards
by those of the errors; the sums are converted and go through the activations as numbers. A unit has
one DAC and a share of one ADC, which serve the unit line below it and the input line above it.
"""

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.costs import Costs
from neurohw.errors import InvalidValueError
from neurohw.experiments import virtual_ground
from neurohw.experiments.feedforward_machine import FeedforwardMachine
from neurohw.experiments.phases import Phase, Times, Usage, Use

Array = NDArray[np.floating]

NOT_COUNTED = (
    "activations, errors of the outputs and words of the update, which are digital",
    "what lines at 0 V, and bias currents, draw of a supply",
)


def usage(
    machine: FeedforwardMachine, images: Array, labels: NDArray[np.integer], given: Times
) -> Usage:
    """Return what training images (samples, pixels) take; see `neurohw.experiments.phases`.

    Raises
    ------
    InvalidValueError
        Lengths of phases are given: there are none that settle.
    """
    if given != (None, None):
        raise InvalidValueError(
            "free_time, nudged_time: a feed-forward network has no such phases;"
            " chip.costs.read_time is the length of its reads"
        )
    chip, costs = machine.chip, machine.experiment.chip.built_costs
    forward, backward = _lines(machine, images, labels)
    phases, charging = {}, {}
    for k, (array, lines) in enumerate(zip(chip.arrays, forward, strict=True)):
        name = f"forward {k + 1}"
        cells, wires = virtual_ground.power(array, lines)
        biases = virtual_ground.bias_power(chip, k)[0]
        held = virtual_ground.amplifiers(array)
        phases[name] = _phase(costs, cells + biases, wires, held)
        charging[name] = virtual_ground.charging(costs, array, lines)
    inference = dict(phases)
    for k in reversed(backward):
        name = f"backward {k + 1}"
        array, lines = chip.arrays[k], backward[k]
        cells, wires = virtual_ground.power(array, lines, backwards=True, phase=1)
        held = virtual_ground.amplifiers(array, backwards=True)
        phases[name] = _phase(costs, cells, wires, held)
        charging[name] = virtual_ground.charging(costs, array, lines, backwards=True)
    inputs, *units = machine.network.sizes
    hidden = units[:-1]
    reads = [(n, m) for n, m in zip((inputs, *hidden), units, strict=True)]
    errors = [(m, n) for n, m in zip(hidden, units[1:], strict=True)]

    def use(names: dict[str, Phase], sides: list[tuple[int, int]]) -> Use:
        return Use(
            phases=list(names.values()),
            dacs=sum(driven for driven, _ in sides),
            adcs=sum(read for _, read in sides),
            dac_time=len(sides) * costs.dac_time if costs.dac_bits else 0.0,
            adc_time=sum(costs.reading_time(read) for _, read in sides),
            charging=sum(charging[name] for name in names),
        )

    return Usage(
        phases=phases,
        settling="a read pulse each (chip.costs.read_time)",
        slowest=None,
        imbalance=None,
        inference=use(inference, reads),
        training=use(phases, reads + errors),
        area=_area(machine, costs),
        not_counted=NOT_COUNTED,
    )


def _lines(
    machine: FeedforwardMachine, images: Array, labels: NDArray[np.integer]
) -> tuple[list[Array], dict[int, Array]]:
    """Return what drives each array forwards, and backwards by its index, (samples, lines) [V]."""
    chip, rule, unit = machine.chip, machine.rule, machine.chip.scale.unit_voltage
    inputs = machine.encode(images)
    activity = rule.forward(chip.arrays[0].read(inputs), 0, inputs)
    errors = rule.errors(activity, machine.targets(labels) / unit, 0)
    forward = [inputs, *(unit * states for states in activity.states[:-1])]
    return forward, {k: unit * errors[k] for k in range(1, len(errors))}


def _phase(costs: Costs, cells: float, wires: float, held: int) -> Phase:
    """Return a read of so much power [W], with so many lines held at 0 V."""
    return Phase(
        time=costs.read_time,
        arrays=cells,
        neurons=held * costs.amplifier_power,
        wires=wires,
        charging=0.0,
    )


def _area(machine: FeedforwardMachine, costs: Costs) -> dict[str, float]:
    """Return the area of each kind of circuit [m²]."""
    chip, (inputs, *units) = machine.chip, machine.network.sizes
    held = sum(virtual_ground.amplifiers(array) for array in chip.arrays)
    held += sum(virtual_ground.amplifiers(array, backwards=True) for array in chip.arrays[1:])
    # Outputs have DACs for their errors, where these go back.
    driven = sum(units) if len(units) > 1 else 0
    return {
        "cells": virtual_ground.cell_area(costs, chip),
        "unused cells": virtual_ground.unused_area(costs, chip),
        "DAC": costs.dac_area * (inputs + driven),
        "ADC": costs.adc_area * sum(costs.adcs(n) for n in units),
        "neurons": costs.neuron_area * sum(units),
        "amplifiers": costs.amplifier_area * held,
    }
