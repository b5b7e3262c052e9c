"""What converters do to the gradient that equilibrium propagation estimates."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from neurohw.circuits.converters import Converter
from neurohw.circuits.readout import Converters, Readout
from neurohw.experiments import configuration
from neurohw.experiments.machine import build, dataset_of

BITS = range(2, 19)
WAYS = {
    "states": lambda bits: {"state_adc": Converter(bits=bits)},
    "difference": lambda bits: {
        "read": "difference",
        "state_adc": Converter(bits=bits),
        "difference_adc": Converter(bits=bits),
    },
}


def made(nudging):
    """Return a small network on the digits, inputs of 16 samples, and their phases."""
    settings = ["network.hidden=[16]", "data.train=100", "training.precision=float64"]
    settings += [f"learning.nudging={nudging}"]
    experiment = configuration.load("drn-digits", settings=settings, engine="numpy")
    dataset = dataset_of(experiment)
    machine = build(experiment, dataset)
    inputs = machine.encode(dataset.train_images[:16])
    targets = machine.targets(dataset.train_labels[:16])
    phases = machine.rule.phases(machine.chip.arrays[0].read(inputs), targets, None, 0)
    return machine, inputs, phases


@pytest.fixture(scope="module")
def case():
    return made(0.02)


def gradient(case, **keys):
    """Return the first array's update with a readout, all cells."""
    machine, inputs, phases = case
    machine.chip.readout = Readout(Converters(**keys), machine.network.layers, seed=0)
    contrast = machine.rule.read(phases, 0)
    update = machine.rule.updates(contrast, inputs, [1.0, 1.0], [1.0, 1.0])[0][0]
    return update.dense(np.zeros((16, 128)), 0).ravel()


def cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b))) if b.any() else 0.0


def bits_for(case, way):
    """Return the bits with which the gradient first has a cosine of 0.95 with the ideal one."""
    ideal = gradient(case)
    return next(b for b in BITS if cosine(ideal, gradient(case, **WAYS[way](b))) > 0.95)


def test_small_nudging_costs_bits_unless_the_difference_is_converted(case):
    """The difference of the phases goes as β; the voltages, and the range of states, do not."""
    weak = {way: bits_for(case, way) for way in WAYS}
    strong = {way: bits_for(made(0.32), way) for way in WAYS}
    assert abs(weak["states"] - strong["states"] - 4) <= 1
    assert abs(weak["difference"] - strong["difference"]) <= 1
    assert weak["states"] >= weak["difference"] + 4


def test_offsets_that_differ_between_the_phases(case):
    """They act as a wrong difference of the phases; one circuit for both does no harm to it."""
    ideal = gradient(case)
    phases = case[2]
    spread = 10 * np.abs(phases.upper[0] - phases.lower[0]).mean()
    found = {
        sampling: cosine(
            ideal, gradient(case, sampling=sampling, sampling_offset_spread=float(spread))
        )
        for sampling in ("shared", "separate")
    }
    assert found["separate"] < 0.5 < 0.99 < found["shared"]


def test_without_errors_nothing_changes(case):
    machine, _, phases = case
    machine.chip.readout = Readout(Converters(), machine.network.layers, seed=0)
    assert machine.rule.read(phases, 0) is phases
    ideal = gradient(case)
    for read in ("states", "difference"):
        keys = {"read": read, "state_adc": Converter(), "difference_adc": Converter()}
        error = gradient(case, **keys) - ideal
        # Forming m ± d/2 costs a rounding of m.
        assert np.abs(error).max() < 1e-9 * np.abs(ideal).max()
    assert_array_equal(gradient(case, state_adc=Converter()), ideal)
