"""The plain NumPy program that speed is measured against trains the same network."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw import randomness
from neurohw.experiments import configuration
from neurohw.experiments.machine import build, dataset_of
from neurohw.experiments.trainer import train
from neurohw.update import pairs

PATH = Path(__file__).parents[1] / "benchmarks" / "plain_numpy.py"
BATCH, STEPS = 4, 25


@pytest.fixture(scope="module")
def plain_numpy():
    spec = importlib.util.spec_from_file_location("plain_numpy", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("precision, tolerance", [("float64", 1e-10), ("float32", 1e-4)])
def test_conductances_after_an_epoch(plain_numpy, precision, tolerance):
    settings = [f"training.precision={precision}", f"data.train={BATCH * STEPS}"]
    experiment = configuration.load("drn-digits", settings=settings, epochs=1)
    dataset = dataset_of(experiment)
    machine = build(experiment, dataset)
    scale = machine.chip.scale
    initial = [array.values() / scale.unit_conductance for array in machine.chip.arrays]
    network = plain_numpy.OneHiddenLayer(
        *(g.astype(precision) for g in initial),
        batch=BATCH,
        sweeps=experiment.relaxation.free_sweeps,
        nudging=experiment.learning.nudging,
        rates=experiment.learning_rates,
        bias_rates=experiment.bias_learning_rates,
    )
    inputs = pairs(machine.encode(dataset.train_images)) / scale.unit_voltage
    targets = machine.targets(dataset.train_labels) / scale.unit_voltage
    order = randomness.permutation(experiment.training.seed, "shuffle", 0, BATCH * STEPS)
    for batch in order.reshape(STEPS, BATCH):
        network.step(inputs[batch].astype(precision), targets[batch].astype(precision))
    run = train(experiment)
    held = zip(run.arrays, initial, (network.first, network.second), strict=True)
    for record, before, ours in held:
        theirs = record["conductance"] / scale.unit_conductance
        change = np.abs(theirs - before).max()
        assert_allclose(ours, theirs, rtol=0, atol=tolerance * change)
    for record, ours in zip(run.biases, (network.hidden_bias, network.output_bias), strict=True):
        theirs = record["current"] / scale.unit_current
        assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())
