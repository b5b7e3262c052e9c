"""The machine of an experiment: voltages, targets, errors, rates, and what it refuses."""

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw import datasets
from neurohw.errors import ConvergenceError, DataError, InvalidValueError
from neurohw.experiments.machine import build, dataset_of


def test_sizes_follow_data_and_configuration(small):
    experiment = small("network.hidden=[12, 6]", "learning.variant=positive")
    machine = build(experiment, dataset_of(experiment))
    assert machine.network.inputs == 128
    assert machine.network.layers == (12, 6, 10)
    assert [array.values().shape for array in machine.chip.arrays] == [(12, 128), (6, 12), (10, 6)]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_inputs_and_targets_are_voltages(small, precision):
    experiment = small(f"training.precision={precision}", 'chip.input.full_scale="0.3 V"')
    machine = build(experiment, dataset_of(experiment))
    images = np.random.default_rng(0).random((3, 64)).astype(np.float32)
    voltages, targets = machine.encode(images), machine.targets(np.array([3, 0, 9]))
    assert voltages.dtype == targets.dtype == precision
    assert_allclose(voltages, 0.3 * images, rtol=1e-6)
    wanted = np.zeros((3, 10))
    wanted[[0, 1, 2], [3, 0, 9]] = 0.3 / experiment.network.input_gain
    assert_allclose(targets, wanted, rtol=1e-6)


def test_outputs_do_not_depend_on_the_company(small):
    experiment = small("training.precision=float64", "data.train=600")
    data = dataset_of(experiment)
    machine = build(experiment, data)
    outputs = machine.outputs(data.train_images)
    assert outputs.shape == (600, 10)
    alone = np.concatenate([machine.outputs(data.train_images[[k]]) for k in (0, 499, 500, 599)])
    scale = np.abs(outputs).max()
    assert_allclose(outputs[[0, 499, 500, 599]], alone, rtol=1e-10, atol=1e-12 * scale)


def test_error_is_the_share_of_wrong_labels(small):
    experiment = small("training.precision=float64")
    data = dataset_of(experiment)
    machine = build(experiment, data)
    answers = [int(np.argmax(v)) for v in machine.outputs(data.test_images)]
    wrong = sum(a != b for a, b in zip(answers, data.test_labels.tolist(), strict=True))
    assert machine.error(data.test_images, data.test_labels) == wrong / len(answers)
    assert machine.error(data.test_images, np.array(answers)) == 0.0


def test_rates_decay_with_the_epoch(small):
    experiment = small("learning.learning_rate=[0.01, 0.03]", "learning.bias_learning_rate=0.02")
    machine = build(experiment, dataset_of(experiment))
    scale, decay = machine.chip.scale, experiment.learning.learning_rate_decay
    rates, bias_rates = machine.learning_rates(3)
    wanted = [scale.learning_rate(rate) * decay**3 for rate in (0.01, 0.03)]
    assert_allclose(rates, wanted, rtol=1e-12)
    assert_allclose(bias_rates, [scale.bias_learning_rate(0.02) * decay**3] * 2, rtol=1e-12)


def test_bias_cells_learn_in_the_unit_of_cells(small):
    experiment = small("chip.bias.kind=rails", "learning.bias_learning_rate=0.02")
    machine = build(experiment, dataset_of(experiment))
    _, bias_rates = machine.learning_rates(0)
    assert_allclose(bias_rates, [machine.chip.scale.learning_rate(0.02)] * 2, rtol=1e-12)


def test_too_much_negative_nudging_names_the_bound_that_it_broke(small):
    def built(variant, nudging):
        settings = (f"learning.variant={variant}", f"learning.nudging={nudging!r}")
        experiment = small(*settings)
        return build(experiment, dataset_of(experiment))

    machine = built("positive", 1e6)
    arrays = [array.values().astype(np.float64) for array in machine.chip.arrays]
    hidden = np.diag(arrays[0].sum(1) + arrays[1].sum(0))
    outputs = np.diag(arrays[1].sum(1))
    schur = outputs - arrays[1] @ np.linalg.inv(hidden) @ arrays[1].T
    bound = np.linalg.eigvalsh(schur)[0] / machine.chip.scale.unit_conductance
    for variant in ("negative", "centered", "random_sign"):
        built(variant, float(bound * 0.999)).rule.check_stability()
        with pytest.raises(InvalidValueError, match=r"learning\.nudging") as refusal:
            built(variant, float(bound * 1.001)).rule.check_stability()
        assert f"below {bound:.4g}" in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_data_are_cut_as_configured(small):
    whole = datasets.load("digits")
    data = dataset_of(small("data.train=50", "data.validation=20"))
    assert_array_equal(data.train_images, whole.train_images[:30])
    assert_array_equal(data.test_images, whole.train_images[30:50])
    assert_array_equal(data.test_labels, whole.train_labels[30:50])
    assert len({data.checksum, whole.checksum, dataset_of(small()).checksum}) == 3


def test_a_batch_needs_that_many_images(small):
    dataset_of(small("training.batch=40"))
    with pytest.raises(DataError, match=r"digits: training\.batch = 41: .* 40 training images"):
        dataset_of(small("training.batch=41"))


def test_validation_leaves_something_to_train_on(small):
    experiment = small("data.validation=39", "training.batch=1")
    assert len(dataset_of(experiment).train_images) == 1
    settings = msgspec.structs.replace(experiment.data, train=None, validation=1437)
    with pytest.raises(DataError, match="1437"):
        dataset_of(msgspec.structs.replace(experiment, data=settings))


def test_evaluation_that_does_not_settle_says_so(small):
    experiment = small("relaxation.tolerance=1e-12", "relaxation.free_sweeps=1")
    data = dataset_of(experiment)
    with pytest.raises(ConvergenceError, match=r"relaxation\.tolerance = 1e-12: the free phase"):
        build(experiment, data).outputs(data.test_images)


def test_word_lines_are_driven_by_dacs(small):
    experiment = small("chip.converters.input_dac.bits=2", "training.precision=float64")
    machine = build(experiment, dataset_of(experiment))
    images = np.linspace(0, 1, 64)[None]
    assert_allclose(np.unique(machine.encode(images)), 0.2 / 3 * np.arange(4), atol=1e-15)
    half = small("chip.converters.input_dac.full_scale=0.1 V", "training.precision=float64")
    machine = build(half, dataset_of(half))
    assert_allclose(machine.encode(images), np.minimum(0.2 * images, 0.1))
    noisy = small("chip.converters.input_dac.noise=1 mV")
    machine = build(noisy, dataset_of(noisy))
    first, second = machine.encode(images, 0), machine.encode(images, 1)
    assert not np.any(first == second)
    assert_array_equal(first, machine.encode(images))


def test_ranges_are_calibrated_on_the_first_images(small):
    settings = ("chip.converters.state_adc.bits=8", "chip.converters.calibration_samples=5")
    experiment = small(*settings, "training.precision=float64")
    data = dataset_of(experiment)
    machine = build(experiment, data)
    machine.calibrate(data)
    inputs = machine.encode(data.train_images[:5])
    targets = machine.targets(data.train_labels[:5])
    phases = machine.rule.phases(machine.chip.arrays[0].read(inputs), targets, None, 0)
    for k, (upper, lower) in enumerate(zip(phases.upper, phases.lower, strict=True)):
        largest = np.abs(np.concatenate((upper, lower))).max()
        assert_allclose(machine.chip.readout.ranges["state"][k], largest, rtol=1e-9)
    ideal = build(small(), data)
    ideal.calibrate(data)
    assert not ideal.chip.readout.ranges
