"""Whether a second phase leaves the minimum of the first one."""

import math

import numpy as np
import pytest

from neurohw.experiments import attractors, configuration
from neurohw.experiments.machine import build, computing, dataset_of

FEW = ("data.name=digits", "network.hidden=[64, 64]", "relaxation.start=zero")
FEW = (*FEW, "training.precision=float64", "training.engine=numpy")
GLOROT = [math.sqrt(6 / fans) for fans in (64 + 64, 64 + 64, 64 + 10)]


def build_from(initial_range):
    settings = (*FEW, f"network.initial_range={initial_range}")
    experiment = configuration.load("ep-2h-fast", settings=settings)
    return build(experiment, dataset_of(experiment))


@pytest.fixture(scope="module")
def machine():
    return build_from(GLOROT)


def test_strong_nudging_leaves_the_minimum_that_weak_nudging_keeps(machine):
    data = dataset_of(machine.experiment)
    images, labels = data.train_images[:100], data.train_labels[:100]
    with computing():
        found = [
            attractors.switching(machine, images, labels, nudging)
            for nudging in (0.001, 0.1, 0.5, np.inf)
        ]
    apart = [each.apart for each in found]
    assert apart[0] == 0
    assert apart == sorted(apart)
    # Clamped, as in contrastive Hebbian learning: in about every fourth image of untrained weights.
    assert 0.15 < apart[-1] < 0.45
    assert all(each.answers <= each.apart for each in found)
    assert found[-1].answers > 0.1


def test_weights_that_begin_small_leave_one_minimum():
    machine = build_from([value / 2 for value in GLOROT])
    data = dataset_of(machine.experiment)
    with computing():
        found = attractors.switching(
            machine, data.train_images[:100], data.train_labels[:100], np.inf
        )
    assert (found.apart, found.answers) == (0, 0)


def test_two_schedules_find_the_same_minimum_of_nearly_all_images(machine):
    images = dataset_of(machine.experiment).train_images[:40]
    with computing():
        same = attractors.parting(machine, images, machine.engine, machine.engine)
    assert (same.apart, same.answers) == (0, 0)
