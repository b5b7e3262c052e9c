"""The exact gradient of the network that a chip holds."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.chip import BiasRails
from neurohw.circuits.interconnect import Wires
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.errors import ConvergenceError, UnsupportedError
from neurohw.experiments import configuration, exact_gradient
from neurohw.experiments.machine import build, dataset_of

SMALL = ("training.engine=numpy", "data.name=digits", "data.train=40", "network.hidden=[6, 5]")
RATES = ("learning.learning_rate=0.1", "learning.bias_learning_rate=0.1")
SAMPLES = 3


def make(recipe, *settings):
    experiment = configuration.load(
        recipe, settings=[*SMALL, *RATES, "training.precision=float64", *settings]
    )
    dataset = dataset_of(experiment)
    machine = build(experiment, dataset)
    if experiment.network.kind == "resistive":
        # No cell at 0, below which none can be, and no node at its limit by chance.
        unit, rng = machine.chip.scale.nudging(1.0), np.random.default_rng(0)
        rails = [bias.array for bias in machine.chip.biases if isinstance(bias, BiasRails)]
        for array in (*machine.chip.arrays, *rails):
            array.write(rng.uniform(0.05, 0.5, array.values().shape) * unit)
    return machine, dataset.train_images[:SAMPLES], dataset.train_labels[:SAMPLES]


def cost(machine, images, labels):
    return exact_gradient.exact_gradient(machine, images, labels).cost.mean()


def ends(machine, batch, restore, held, place, unit):
    """Return the slope of the cost by what `restore` writes, at a place, of a size in units."""
    costs = []
    for sign in (1, -1):
        moved = held.copy()
        moved[place] += sign * 1e-4 * unit
        restore(moved)
        costs.append(cost(machine, *batch))
    restore(held)
    return (costs[0] - costs[1]) / 2e-4


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("ep-2h", ("network.activation=sigmoid", "chip.input.full_scale=0.5 V")),
        ("ep-2h", ("network.activation=sigmoid", "chip.converters.transposed_gain_spread=0.3")),
        ("drn-digits", ()),
        ("drn-digits", ("chip.neuron.gain=4", "chip.neuron.backward_gain=0.25")),
    ],
    ids=["hopfield", "other gain backwards", "resistive", "amplified"],
)
def test_it_is_the_slope_of_the_cost(recipe, settings):
    machine, *batch = make(recipe, *settings)
    exact = exact_gradient.exact_gradient(machine, *batch)
    unit = machine.chip.scale.nudging(1.0)
    for array, weights in zip(machine.chip.arrays, exact.weights, strict=True):
        place = np.unravel_index(np.abs(weights).argmax(), weights.shape)
        slope = ends(machine, batch, array.write, array.values(), place, unit)
        assert_allclose(weights[place], slope, rtol=1e-4)
    for bias, gradient in zip(machine.chip.biases, exact.biases, strict=True):
        place = (int(np.abs(gradient).argmax()),)
        held, current = bias.source().current, unit * machine.chip.scale.unit_voltage
        slope = ends(
            machine, batch, lambda v, b=bias: b.restore({"current": v}), held, place, current
        )
        assert_allclose(gradient[place], slope, rtol=1e-4)


def test_its_equilibrium_has_the_gain_of_transposed_reads():
    machine, images, labels = make("ep-2h", "chip.converters.transposed_gain_error=0.3")
    chip, inputs = machine.chip, machine.encode(images)
    words = machine.network, chip.seen(), chip.sources(), chip.arrays[0].read(inputs)
    relaxed = HopfieldEngine().relax(*words, sweeps=1000).state
    found = exact_gradient.exact_gradient(machine, images, labels).state
    for v, u in zip(found, relaxed, strict=True):
        assert_allclose(v, u, atol=1e-6 * machine.network.unit_voltage)


def test_cells_to_rails_have_a_gradient():
    machine, *batch = make("drn-digits", "chip.bias.kind=rails")
    unit = machine.chip.scale.nudging(1.0)
    exact = exact_gradient.exact_gradient(machine, *batch)
    for bias, gradient in zip(machine.chip.biases, exact.biases, strict=True):
        place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        slope = ends(machine, batch, bias.array.write, bias.array.values(), place, unit)
        assert_allclose(gradient[place], slope, rtol=1e-4)


def test_what_the_limits_keep_from_a_layer_is_counted():
    """Biases far below 0 clip every node: outputs that should be 1 learn nothing."""
    machine, *batch = make("ep-2h")
    weights, biases = machine.chip.logical()
    assert not exact_gradient.exact_gradient(machine, *batch).vanished.all()
    machine.chip.write(weights, [np.full_like(b, -100.0) for b in biases])
    exact = exact_gradient.exact_gradient(machine, *batch)
    assert exact.vanished.tolist() == [[True] * 3] * SAMPLES
    assert exact.clamped.tolist() == [1.0] * 3
    assert not any(part.any() for part in exact.weights)


def test_wires_with_resistance_are_refused():
    machine, *batch = make("drn-digits")
    specification = SimpleNamespace(wires=Wires(word_line=1.0, bit_line=1.0))
    chip = SimpleNamespace(scale=machine.chip.scale, specification=specification)
    wired = SimpleNamespace(chip=chip, network=machine.network)
    with pytest.raises(UnsupportedError, match=r"chip\.wires: .*leave them out"):
        exact_gradient.exact_gradient(wired, *batch)


def test_what_does_not_settle_is_named(monkeypatch):
    monkeypatch.setattr(exact_gradient, "_SWEEPS", 1)
    machine, *batch = make("drn-digits")
    with pytest.raises(ConvergenceError, match=r"^sample [0-2]: .*after 1 sweeps"):
        exact_gradient.exact_gradient(machine, *batch)


def test_it_is_taken_where_the_chips_own_way_leads():
    """In one of these images over-relaxed sweeps end in another minimum than plain ones."""
    rested = ("relaxation.free_sweeps=2000", "relaxation.tolerance=1e-9", "data.train=20")
    maps = "network.convolutions=[{channels=3,kernel=3,pool='max'},{channels=4,kernel=2,padding=1}]"
    factor = "relaxation.overrelaxation=1.3"
    start = "network.initial_range=0.3"
    machine, *_ = make("ep-conv", "network.hidden=[6]", maps, factor, start, *rested)
    data = dataset_of(machine.experiment)
    inputs = machine.encode(data.train_images)
    found = machine.rule.free_phase(machine.chip.arrays[0].read(inputs), None, 0, inputs)
    exact = exact_gradient.exact_gradient(machine, data.train_images, data.train_labels)
    assert found.result == "converged"
    for ours, state in zip(found.state, exact.state, strict=True):
        assert_allclose(ours, state, rtol=0, atol=1e-6 * np.abs(state).max())
