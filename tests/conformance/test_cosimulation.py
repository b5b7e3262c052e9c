"""A network that is trained inside ngspice goes where the Numba engine takes it, step by step."""

import numpy as np
import pytest

from neurohw.experiments import configuration, trainer
from neurohw.experiments.machine import build, computing, dataset_of


def trajectory(recipe: str, engine: str, updates: int) -> list[list[np.ndarray]]:
    """Return the conductances and bias currents after each update, mini-batches in order."""
    experiment = configuration.load(recipe, engine=engine)
    dataset = dataset_of(experiment)
    machine = build(experiment, dataset)
    chip, batch = machine.chip, experiment.training.batch
    rates, states, start = machine.learning_rates(0), [], None
    with computing():
        for event in range(updates):
            places = (np.arange(batch) + event * batch) % len(dataset.train_images)
            inputs = machine.encode(dataset.train_images[places])
            targets = machine.targets(dataset.train_labels[places])
            current = chip.arrays[0].read(inputs)
            contrast = machine.rule.contrast(current, targets, start, event, inputs)
            changes = machine.rule.updates(contrast, inputs, *rates)
            for parts, updated in zip((chip.arrays, chip.biases), changes, strict=True):
                for part, update in zip(parts, updated, strict=True):
                    part.program(update, event)
            start = contrast.free
            states.append(
                [array.values() for array in chip.arrays]
                + [bias.record()["current"] for bias in chip.biases]
            )
    return states


@pytest.mark.parametrize(("recipe", "updates"), [("drn-xor", 110), ("drn-digits-16", 4)])
def test_conductances_agree_after_every_update(recipe, updates):
    numba, spice = (trajectory(recipe, engine, updates) for engine in ("numba", "spice"))
    for event, (ours, theirs) in enumerate(zip(numba, spice, strict=True)):
        for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max(), (event, k)
            if event:
                a, b = a - numba[event - 1][k], b - spice[event - 1][k]
                assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max(), ("update", event, k)
    for last, first in zip(numba[-1], numba[0], strict=True):
        assert np.abs(last - first).max() > 1e-3 * np.abs(first).max(), "every part must learn"


def test_exclusive_or_is_learnt():
    experiment = configuration.load("drn-xor")
    run = trainer.train(experiment)
    assert run.history["test_error"][-1] == 0


def test_training_inside_ngspice_is_that_of_numba(tmp_path):
    runs = [
        trainer.train(configuration.load("drn-xor", epochs=2, engine=engine))
        for engine in ("numba", "spice")
    ]
    ours, theirs = runs
    np.testing.assert_allclose(ours.history["cost"], theirs.history["cost"], rtol=1e-6)
    for key, values in ours.physical.items():
        np.testing.assert_allclose(values, theirs.physical[key], rtol=1e-5, err_msg=key)
