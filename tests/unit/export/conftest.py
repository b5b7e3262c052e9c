"""Untrained small runs of every kind of network, on chips of every scheme."""

import numpy as np
import pytest

from neurohw.experiments import configuration
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import beside_records, restore_chip

TILED = ("chip.mapping.tile=16", "chip.mapping.spare_word_lines=2")
BROKEN = (*TILED, "chip.mapping.spare_bit_lines=1", "chip.device.stuck.yield=93 %")
SMALL = ("data.train=40", "network.hidden=[9]")
SIGNED = ("data.name=digits", *SMALL)
# A recipe, a chip and settings each: all schemes, biases, tilings, repairs and fabrications.
CASES = {
    "resistive, ideal": ("drn-digits", "ideal", SMALL),
    "resistive, sources": ("drn-digits", "ecram", (*SMALL, *TILED, "chip.bias.kind=current")),
    "resistive, repaired": ("drn-digits", "epiram", (*SMALL, *BROKEN, "chip.bias.kind=rails")),
    "resistive, carry": ("drn-digits", "epiram", (*SMALL, "chip.programming.accumulate=carry")),
    "signed cells": ("mlp-1h", "ideal", SIGNED),
    "pairs": ("mlp-1h", "epiram", (*SIGNED, *BROKEN, "chip.bias.kind=rails")),
    "pairs, by column": ("mlp-1h", "epiram", (*SIGNED, "chip.mapping.scale=column")),
    "offset": (
        "ep-1h",
        "epiram",
        (*SIGNED, *TILED, "chip.mapping.scheme=offset", "chip.mapping.reference=column"),
    ),
    "slices": ("ep-1h", "epiram", (*SIGNED, "chip.mapping.scheme=bit-sliced")),
    "arrays beside": ("fa-1h", "epiram", SIGNED),
    "pairs, one limit spread": ("mlp-1h", "pcm", SIGNED),
    "pairs, carry": ("mlp-1h", "epiram", (*SIGNED, "chip.programming.accumulate=carry")),
}


def fresh(recipe, chip, settings, seed=0):
    """Return the machine of an experiment and a run of it, before any training."""
    experiment = configuration.load(recipe, chip=chip, settings=settings, seed=seed)
    dataset = dataset_of(experiment)
    with computing():
        machine = build(experiment, dataset)
        machine.prepare(0, dataset)
    carried = machine.carried()
    return machine, Run(
        experiment=experiment,
        dataset={"name": dataset.name, "checksum": dataset.checksum},
        arrays=[array.record() for array in machine.chip.arrays],
        biases=[bias.record() for bias in machine.chip.biases],
        beside=beside_records(machine.chip),
        state={key: value for key, value in carried.items() if key.endswith("_range")},
        counters={"epoch": 0},
        history={"test_error": np.zeros(0)},
        physical={},
        times={},
        versions={},
    )


@pytest.fixture(scope="session", params=CASES, ids=str)
def built(request):
    """A machine and its run, built once."""
    return fresh(*CASES[request.param])


@pytest.fixture
def case(built):
    """A machine and its run, whose cells a test may move."""
    yield built
    machine, run = built
    restore_chip(machine.chip, run)


@pytest.fixture(scope="session")
def make_run():
    """Make an untrained run of a recipe, a chip and settings."""
    return lambda recipe, chip, settings, seed=0: fresh(recipe, chip, settings, seed)[1]
