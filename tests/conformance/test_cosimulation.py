"""One ngspice transient through many phases: same states and same learning as at rest."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits.curves import Curve
from neurohw.circuits.synapse import Synapse
from neurohw.engines.equilibrium import Nudging
from neurohw.engines.spice.cosimulation import Phase, cosimulate
from neurohw.engines.transient.circuit import circuit
from neurohw.engines.transient.engine import integrate
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.experiments import configuration, cosimulation, trainer
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.update import pairs

# The slowest time constant of the recipe's circuit is 0.75 us.
LONG, SHORT = 10e-6, 0.5e-6


NODES = 'chip.neuron={kind="measured",low_voltage=0.1,curve={voltage=[0,0.1],current=[0,1e-4]}}'
CELLS = (
    "chip.synapse={voltage=[-10,10],coefficients=[1,0,0.01]}",
    *("relaxation.accelerator=none", "relaxation.free_sweeps=20000"),
    "relaxation.nudged_sweeps=20000",
)
CHIPS = pytest.mark.parametrize(
    "settings", [(), (NODES,), (NODES, *CELLS)], ids=["diodes", "measured nodes", "and cells"]
)


def made(*settings, epochs=2):
    experiment = configuration.load("drn-xor", epochs=epochs, settings=settings)
    dataset = dataset_of(experiment)
    return build(experiment, dataset), dataset


def phase(machine, dataset, sample, strength):
    return Phase(
        inputs=pairs(machine.encode(dataset.train_images[sample : sample + 1]))[0],
        target=machine.targets(dataset.train_labels)[sample],
        strength=strength,
        cells=[array.values() for array in machine.chip.arrays],
        currents=[source.current for source in machine.chip.sources(0)],
    )


def run(machine, phases, duration):
    states = []

    def played():
        for each in phases:
            states.append((yield each))

    leaks = [source.conductance for source in machine.chip.sources(0)]
    cosimulate(machine.network, leaks, played(), count=len(phases), duration=duration)
    return states


@CHIPS
def test_phases_that_do_not_settle_are_the_transient_engines(settings):
    """The integrator, without the short ramps at the beginning of each phase."""
    machine, dataset = made(*settings)
    plan = [(1, 0.0), (1, 2e-6), (2, 0.0), (3, -2e-7)]
    states = run(machine, [phase(machine, dataset, *each) for each in plan], SHORT)
    chip, begun = machine.chip, np.zeros((1, sum(machine.network.layers)))
    for (sample, strength), state in zip(plan, states, strict=True):
        one = slice(sample, sample + 1)
        equation = circuit(
            machine.network,
            chip.seen(0),
            chip.sources(0),
            chip.arrays[0].read(machine.encode(dataset.train_images[one])),
            Nudging(
                strength=np.array([strength]), target=machine.targets(dataset.train_labels)[one]
            ),
            machine.encode(dataset.train_images[one]),
        )
        ended = integrate(equation, begun, np.array([SHORT]), 1e-6).voltages[:, -1]
        largest = np.abs(ended).max()
        assert np.abs(ended - begun).max() > 0.1 * largest
        # A ramp of a thousandth of the phase, 0.5 ns, delays by half of it at 0.1 us or more.
        assert_allclose(np.concatenate(state), ended[0], rtol=0, atol=5e-3 * largest)
        begun = ended


@CHIPS
def test_learns_as_the_trainer_does(settings):
    machine, dataset = made(*settings)
    before = [array.values() for array in machine.chip.arrays]
    with computing():
        learnt = cosimulation.train(machine, dataset, epochs=2, duration=LONG)
    reference = trainer.train(machine.experiment)
    assert_allclose(learnt.cost, reference.history["cost"], rtol=1e-4)
    assert_allclose(learnt.error, reference.history["train_error"])
    for array, other, start in zip(machine.chip.arrays, reference.arrays, before, strict=True):
        wanted = other["conductance"] - start
        # What is left after 13 time constants, and ngspice's tolerance, over the nudged way.
        assert_allclose(array.values() - start, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    for bias, other in zip(machine.chip.biases, reference.biases, strict=True):
        largest = np.abs(other["current"]).max()
        assert_allclose(bias.values, other["current"], rtol=0, atol=1e-4 * largest)


def test_what_fails_in_between_is_raised():
    machine, dataset = made()
    good = phase(machine, dataset, 1, 0.0)
    with pytest.raises(InvalidValueError, match="2 phases are missing"):
        leaks = [source.conductance for source in machine.chip.sources(0)]
        cosimulate(machine.network, leaks, (each for each in [good, good]), count=4, duration=SHORT)
    bad = msgspec.structs.replace(good, strength=np.nan)
    with pytest.raises(InvalidValueError, match="source vnudging: must be finite"):
        run(machine, [good, bad, good], SHORT)
    assert len(run(machine, [good, good], SHORT)) == 2


@pytest.mark.parametrize(("count", "duration"), [(0, 1e-6), (1, 0.0), (1, np.inf), (1, np.nan)])
def test_phases_have_number_and_length(count, duration):
    machine, dataset = made()
    with pytest.raises(InvalidValueError, match="both must be above 0"):
        cosimulate(
            machine.network,
            [],
            (each for each in [phase(machine, dataset, 1, 0.0)]),
            count=count,
            duration=duration,
        )


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("learning.variant=random_sign", "random_sign"),
        ("training.precision=float32", "float32"),
        ("chip.bias.kind=rails", "rails"),
        ("chip.nudging.kind=current", r"chip\.nudging"),
        ("chip.nudging.offset=1 mV", r"chip\.nudging"),
        ("chip.hold.droop=1 %", r"chip\.hold"),
        ("chip.neuron.current_limit=1 uA", r"chip\.neuron\.current_limit"),
    ],
)
def test_what_it_lacks_is_refused(setting, fault):
    machine, dataset = made(setting, "relaxation.tolerance=0")
    with pytest.raises(UnsupportedError, match=fault):
        cosimulation.train(machine, dataset, epochs=1, duration=LONG)


def test_cells_out_of_their_range_are_an_error():
    machine, dataset = made()
    given = phase(machine, dataset, 1, 0.0)
    reach = 0.9 * np.abs(given.inputs).max()
    cells = Synapse(Curve(voltage=(-reach, reach), coefficients=(1.0,)))
    network = replace(machine.network, synapse=cells)
    leaks = [source.conductance for source in machine.chip.sources(0)]
    with pytest.raises(
        InvalidValueError, match=r"synapse\.voltage = .*drops at the cells of array"
    ):
        cosimulate(network, leaks, (each for each in [given]), count=1, duration=SHORT)


def test_nudging_without_a_minimum_is_refused():
    with pytest.raises(InvalidValueError, match=r"learning\.nudging = 100: with negative nudging"):
        cosimulation.train(*made("learning.nudging=100"), epochs=1, duration=LONG)


def test_there_must_be_an_epoch():
    with pytest.raises(InvalidValueError, match="epochs = 0"):
        cosimulation.train(*made(), epochs=0, duration=LONG)
