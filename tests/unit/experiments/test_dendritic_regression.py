"""A small microcircuit in time: apical dendrites fall silent, then the outputs learn."""

import numpy as np

from neurohw.engines.dendritic import DendriticEngine
from neurohw.experiments.dendritic_regression import Task, learn


def test_lateral_weights_learn_to_predict_the_layer_above_and_basal_ones_the_targets():
    task = Task(
        sizes=(3, 5, 2),
        teacher=4,
        alone=40,
        taught=20,
        time=8e-3,
        gate=3e-3,
        rates_alone=(1e5, 5e5),
        rates_taught=(1e4, 3e4, 0.0, 1e5),
    )
    shown = []
    course = learn(DendriticEngine, task, every=20, progress=shown.append)
    assert shown == list(range(1, 61))
    assert course.patterns == [0, 20, 40, 60]
    assert np.mean(course.apical[30:40]) < 0.75 * np.mean(course.apical[:10])
    to_interneurons, from_interneurons = np.transpose(course.mismatch)
    assert to_interneurons[2] < to_interneurons[0]
    assert from_interneurons[2] < 0.9 * from_interneurons[0]
    # Basal weights wait for the teacher.
    assert course.error[2] == course.error[0]
    assert course.error[3] < course.error[2]
