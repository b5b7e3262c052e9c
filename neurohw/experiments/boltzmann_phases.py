"""The reads of a Boltzmann machine as its chip spends them, one after the other.

An image is classified by a read of its pixels and one of each class's line; what these add to the
sums, and the free energies, are digital. Learning adds the reads of the chain, backwards and
forwards in turn, after one of the image with its label. DACs and comparators of the hidden units
and of the classes have one bit, which is not counted.
"""

import numpy as np
from numpy.typing import NDArray

from neurohw.experiments import virtual_ground
from neurohw.experiments.boltzmann_machine import BoltzmannMachine
from neurohw.experiments.feedforward_phases import of_reads
from neurohw.experiments.phases import Times, Usage, require_no_lengths
from neurohw.learning.feedforward import Read

Array = NDArray[np.floating]

NOT_COUNTED = (
    "free energies, probabilities and their draws, which are digital",
    "what lines at 0 V, and bias currents, draw of a supply",
)


def usage(
    machine: BoltzmannMachine, images: Array, labels: NDArray[np.integer], given: Times
) -> Usage:
    """Return what training images (samples, pixels) take; see `neurohw.experiments.phases`.

    Raises
    ------
    InvalidValueError
        Lengths of phases are given: there are none that settle.
    """
    require_no_lengths(given, "a boltzmann network")
    chip, rule = machine.chip, machine.rule
    array, costs = chip.arrays[0], chip.specification.built_costs
    inputs, classes = machine.encode(images), rule.classes
    lines = np.eye(classes, inputs.shape[1], inputs.shape[1] - classes) * chip.scale.unit_voltage
    inference = [
        Read(name="image", array=array, voltages=inputs, layer=0, times=rule.reads, biased=True),
        Read(name="classes", array=array, voltages=lines, layer=0, times=classes * rule.reads),
    ]
    labelled = inputs.copy()
    labelled[:, -classes:] = machine.targets(labels)
    units, visible = array.shape
    held = sum(virtual_ground.amplifiers(array, backwards=side) for side in (False, True))
    area = {
        "cells": virtual_ground.cell_area(costs, chip),
        "unused cells": virtual_ground.unused_area(costs, chip),
        "DAC": costs.dac_area * (visible - classes),
        "ADC": costs.adc_area * costs.adcs(units),
        "neurons": costs.neuron_area * (units + visible),
        "amplifiers": costs.amplifier_area * held,
    }
    learning = rule.phases(labelled, 0).reads
    return of_reads(
        chip, machine.experiment, units + visible, inference, learning, area, NOT_COUNTED
    )
