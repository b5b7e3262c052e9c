import numpy as np
import pytest
from msgspec.structs import replace
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.engines.hopfield import HopfieldEngine
from neurohw.errors import ConfigurationError, InvalidValueError, UnsupportedError
from neurohw.experiments import configuration, trainer
from neurohw.experiments.hopfield_phases import usage
from neurohw.experiments.machine import build, dataset_of
from neurohw.learning.stdp import SpikeTimingPropagation, course, directed

FEW = ("data.name=digits", "data.train=60", "network.hidden=[8]", "learning.rule=stdp")


def load(*settings, recipe="ep-1h", epochs=2, **options):
    return configuration.load(recipe, settings=(*FEW, *settings), epochs=epochs, **options)


def test_training_is_that_with_the_contrast():
    """In float64, where rounding does not decide a sign."""
    words = ("training.precision=float64", "network.hidden=[8, 6]")
    words += ("learning.learning_rate=0.2", "learning.bias_learning_rate=0.2")
    rules = ("learning.rule=equilibrium-propagation", "learning.rule=stdp")
    contrast, integral = (trainer.train(load(*words, rule)) for rule in rules)
    for ours, theirs in zip(integral.arrays, contrast.arrays, strict=True):
        size = np.abs(theirs["conductance"]).max()
        assert_allclose(ours["conductance"], theirs["conductance"], rtol=0, atol=1e-10 * size)
    assert integral.history["cost"][-1] < integral.history["cost"][0]


def test_a_direction_is_the_mean_before_times_the_change_behind():
    before = np.array([[[1.0, 2.0]], [[3.0, 2.0]], [[3.0, 0.0]]])
    behind = np.array([[[0.5]], [[1.0]], [[4.0]]])
    means, changes = course(before)
    assert_array_equal(means[:, 0], [[2.0, 2.0], [3.0, 1.0]])
    assert_array_equal(changes[:, 0], [[2.0, 0.0], [0.0, -2.0]])
    assert_array_equal(directed(before, behind), [[[2 * 0.5 + 3 * 3.0, 2 * 0.5 + 1 * 3.0]]])


@pytest.mark.parametrize("step", [None, 0.5])
def test_a_path_holds_what_each_sweep_left(make_hopfield, step):
    problem, engine = make_hopfield((5, 4)), HopfieldEngine(step)
    whole = problem.relax(engine, sweeps=3, keep_path=True)
    assert [v.shape for v in whole.path] == [(4, 4, n) for n in (5, 4, 3)]
    assert not any(v[0].any() for v in whole.path)
    for sweeps in (1, 2, 3):
        for found, layer in zip(
            whole.path, problem.relax(engine, sweeps=sweeps).state, strict=True
        ):
            assert_array_equal(found[sweeps], layer)
    assert problem.relax(engine, sweeps=3).path is None


def test_what_it_cannot_integrate_is_refused():
    experiment = load()
    machine = build(experiment, dataset_of(experiment))
    assert isinstance(machine.rule, SpikeTimingPropagation)
    inputs = machine.encode(np.zeros((4, 64), "float32"))
    current, target = machine.chip.arrays[0].read(inputs), machine.targets(np.arange(4))
    contrast = replace(machine.rule.phases(current, target, None, 0, inputs), path=None)
    with pytest.raises(InvalidValueError, match=r"contrast\.path: is missing"):
        machine.rule.updates(contrast, inputs, [1.0, 1.0], [1.0, 1.0])


def test_chips_that_convert_states_are_refused():
    experiment = load("chip.converters.state_adc.bits=8")
    with pytest.raises(UnsupportedError, match=r"chip\.converters: with learning\.rule = stdp"):
        build(experiment, dataset_of(experiment))


def test_other_networks_are_refused():
    with pytest.raises(ConfigurationError, match="a resistive network learns by equilibrium"):
        load(recipe="drn-digits")


def test_its_energy_is_not_estimated():
    experiment = load()
    data = dataset_of(experiment)
    few = data.train_images[:4], data.train_labels[:4]
    with pytest.raises(UnsupportedError, match=r"learning\.rule = stdp: chips have no costs"):
        usage(build(experiment, data), *few, (None, None))
