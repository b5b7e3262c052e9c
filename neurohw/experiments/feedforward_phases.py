"""The reads of a feed-forward network as its chip spends them, one after the other.

Each array is read forwards by pulses that its inputs' DACs give; then come the reads that bring the
errors, of the same arrays backwards or of others, as the learning rule takes them. Sums are
converted and go through the activations as numbers. A unit has one DAC and a share of one ADC,
which serve all lines that end at it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import SignedChip
from neurohw.circuits.costs import Costs
from neurohw.experiments import virtual_ground
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.feedforward_machine import FeedforwardMachine
from neurohw.experiments.phases import Phase, Times, Usage, Use, require_no_lengths
from neurohw.learning.feedforward import Read

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
    require_no_lengths(given, "a feed-forward network")
    inference, learning = _reads(machine, images, labels)
    area = _area(machine, machine.experiment.chip.built_costs, [*inference, *learning])
    return of_reads(
        machine.chip,
        machine.experiment,
        sum(machine.network.sizes[1:]),
        inference,
        learning,
        area,
        NOT_COUNTED,
    )


def of_reads(
    chip: SignedChip,
    experiment: Experiment,
    units: int,
    inference: Sequence[Read],
    learning: Sequence[Read],
    area: Mapping[str, float],
    not_counted: Sequence[str],
) -> Usage:
    """Return what samples take whose classification, and what learning adds to it, are reads.

    units, how many hold numbers for the rule; see `Usage` for the others.
    """
    hardware, batch = experiment.rule.hardware, experiment.training.batch
    costs, phases, charging = chip.specification.built_costs, {}, {}

    def times(read: Read) -> float:
        return read.times / batch if read.shared else read.times

    for read in (*inference, *learning):
        backwards = read.transposed
        cells, wires = virtual_ground.power(
            read.array, read.voltages, backwards=backwards, phase=int(read in learning)
        )
        biases = virtual_ground.bias_power(chip, read.layer)[0] if read.biased else 0.0
        held = virtual_ground.amplifiers(read.array, backwards=backwards)
        phases[read.name] = _phase(costs, cells + biases, wires, held, times(read))
        charging[read.name] = virtual_ground.charging(
            costs, read.array, read.voltages, backwards=backwards
        )

    passed = costs.line_capacitance(units) * chip.scale.unit_voltage**2

    def use(reads: Sequence[Read], *, learns: bool = False) -> Use:
        sides = [(times(read), *_sides(read)) for read in reads]
        return Use(
            phases=[phases[read.name] for read in reads],
            dacs=sum(n * driven for n, driven, _ in sides),
            adcs=sum(n * read for n, _, read in sides),
            dac_time=sum(n for n, *_ in sides) * costs.dac_time if costs.dac_bits else 0.0,
            adc_time=sum(n * costs.reading_time(read) for n, _, read in sides),
            # A signal to all units is on a line that passes them.
            charging=sum(times(read) * charging[read.name] for read in reads)
            + (passed if learns and hardware.broadcast else 0.0),
            numbers=hardware.memory * units if learns else 0,
        )

    return Usage(
        phases=phases,
        settling="a read pulse each (chip.costs.read_time)",
        slowest=None,
        imbalance=None,
        inference=use(inference),
        training=use([*inference, *learning], learns=True),
        area=area,
        not_counted=not_counted,
    )


def _reads(
    machine: FeedforwardMachine, images: Array, labels: NDArray[np.integer]
) -> tuple[list[Read], list[Read]]:
    """Return the reads of an inference, and those that learning adds."""
    chip, rule, unit = machine.chip, machine.rule, machine.chip.scale.unit_voltage
    inputs = machine.encode(images)
    activity = rule.forward(chip.arrays[0].read(inputs), 0, inputs)
    errors = rule.errors(activity, machine.targets(labels) / unit, 0)
    return rule.forward_reads(inputs, activity, 0), rule.error_reads(activity, errors, 0)


def _sides(read: Read) -> tuple[int, int]:
    """Return the lines that a read drives, and those that its ADCs read."""
    units, inputs = read.array.shape
    driven, ends = (units, inputs) if read.transposed else (inputs, units)
    return driven, ends if read.converted else 0


def _phase(costs: Costs, cells: float, wires: float, held: int, times: float) -> Phase:
    """Return so many reads of so much power [W], with so many lines held at 0 V."""
    return Phase(
        time=times * costs.read_time,
        arrays=cells,
        neurons=held * costs.amplifier_power,
        wires=wires,
        charging=0.0,
    )


def _area(machine: FeedforwardMachine, costs: Costs, reads: Sequence[Read]) -> dict[str, float]:
    """Return the area of each kind of circuit [m²]."""
    chip, (inputs, *units) = machine.chip, machine.network.sizes
    sides = {(id(read.array), read.transposed): read for read in reads}
    held = sum(virtual_ground.amplifiers(r.array, backwards=r.transposed) for r in sides.values())
    # Outputs have DACs for their errors, where these go back.
    driven = sum(units) if len(sides) > len(units) else sum(units[:-1])
    return {
        "cells": virtual_ground.cell_area(costs, chip),
        "unused cells": virtual_ground.unused_area(costs, chip),
        "DAC": costs.dac_area * (inputs + driven),
        "ADC": costs.adc_area * sum(costs.adcs(n) for n in units),
        "neurons": costs.neuron_area * sum(units),
        "amplifiers": costs.amplifier_area * held,
    }
