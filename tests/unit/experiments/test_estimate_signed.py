"""The estimate of signed weights: sums over cells written out, times, areas, conversions."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits.costs import Costs
from neurohw.errors import InvalidValueError
from neurohw.experiments import configuration, estimate, trainer, virtual_ground
from neurohw.experiments.hopfield_phases import array_power, settled
from neurohw.experiments.machine import build, computing, dataset_of

FEW = ("data.name=digits", "data.train=40", "network.hidden=[6]")
SCHEMES = {
    "pair": (),
    "offset": ("chip.mapping.scheme=offset", "chip.mapping.reference=column"),
    "sliced": ("chip.mapping.scheme=bit-sliced", "chip.mapping.reference=column"),
}


def load(recipe, *settings, chip="epiram", epochs=1):
    return configuration.load(recipe, chip=chip, settings=(*FEW, *settings), epochs=epochs)


def train(recipe, *settings, **words):
    return trainer.train(load(recipe, *settings, **words))


def machine_of(run):
    dataset = dataset_of(run.experiment)
    machine = build(run.experiment, dataset)
    machine.restore(run)
    return machine, dataset


def by_cells(array, lines, *, backwards=False):
    """Σ V²·G of every cell that a read drives, one by one; mean of the samples [W]."""
    total = 0.0
    for crossbar in array.every_crossbar:
        cells = crossbar.values()
        volts = lines
        if backwards and crossbar is array.reference:
            volts = lines.mean(axis=1, keepdims=True)
        for sample in volts:
            for (j, i), g in np.ndenumerate(cells):
                total += sample[j if backwards else i] ** 2 * g
    return total / len(lines)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_read_is_a_sum_over_cells(scheme):
    experiment = load("mlp-1h", *SCHEMES[scheme])
    array = build(experiment, dataset_of(experiment)).chip.arrays[1]
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 0.2, (3, 6)), rng.normal(0, 0.2, (3, 10))
    assert_allclose(virtual_ground.power(array, x)[0], by_cells(array, x))
    back = virtual_ground.power(array, y, backwards=True)
    assert_allclose(back[0], by_cells(array, y, backwards=True))
    assert back[1] == 0
    # A pair has two amplifiers a line, a reference column one for all units.
    held = {"pair": (20, 12), "offset": (11, 12), "sliced": (21, 18)}[scheme]
    assert held == tuple(virtual_ground.amplifiers(array, backwards=b) for b in (False, True))
    costs = Costs(node=50, half_pitches=2, wire_capacitance=0.2e-9)
    lines = {"pair": 20, "offset": 11, "sliced": 21}[scheme]
    expected = lines * 20e-18 * (x**2).sum(axis=1).mean()
    assert_allclose(virtual_ground.charging(costs, array, x), expected)


def test_amplified_units_drive_more():
    experiment = load("mlp-1h", "chip.mapping.scale=column")
    array = build(experiment, dataset_of(experiment)).chip.arrays[1]
    y = np.full((1, 10), 0.1)
    array.write(0.1 * array.values(), fit=True)
    assert array.gains.max() < 1
    assert_allclose(
        virtual_ground.power(array, y, backwards=True)[0],
        by_cells(array, y * array.gains, backwards=True),
    )


def test_wires_share_the_power_of_a_read():
    """What the sources deliver is what wireless cells take, less what the wires leave away."""
    settings = ("chip.wires.word_line=2 Ohm", "chip.wires.bit_line=2 Ohm")
    powers = []
    for wires in ((), settings):
        experiment = load("mlp-1h", *wires)
        array = build(experiment, dataset_of(experiment)).chip.arrays[1]
        powers.append(virtual_ground.power(array, np.full((1, 6), 0.2)))
    (cells, none), (fewer, lost) = powers
    assert none == 0 < lost < 0.01 * cells
    assert fewer + lost < cells
    # To first order cells lose twice what the wires take of the total.
    assert_allclose(cells - fewer, 2 * lost, rtol=0.02)


@pytest.fixture(scope="module")
def runs():
    return {
        "pair": train("mlp-1h", "chip.bias.kind=rails"),
        "offset": train("mlp-1h", "chip.bias.kind=rails", "chip.mapping.scheme=offset"),
        "hopfield": train("ep-1h", "chip.bias.kind=rails"),
    }


def costing(run, **costs):
    chip = run.experiment.chip
    changed = msgspec.structs.replace(chip, costs=msgspec.structs.replace(chip.costs, **costs))
    return replace(run, experiment=msgspec.structs.replace(run.experiment, chip=changed))


def test_reads_of_a_feedforward_network(runs):
    run = runs["pair"]
    found, costs = estimate.estimate(run, samples=4), run.experiment.chip.costs
    machine, dataset = machine_of(run)
    chip, unit = machine.chip, machine.chip.scale.unit_voltage
    inputs = machine.encode(dataset.train_images[:4])
    activity = machine.rule.forward(chip.arrays[0].read(inputs), 0, inputs)
    targets = machine.targets(dataset.train_labels[:4]) / unit
    errors = machine.rule.errors(activity, targets, 0)
    forward = by_cells(chip.arrays[0], inputs) + by_cells(chip.arrays[1], unit * activity.states[0])
    forward += sum(by_cells(b.array, np.full((1, 1), b.rail)) for b in chip.biases)
    backward = by_cells(chip.arrays[1], unit * errors[1], backwards=True)
    assert list(found.phases) == ["forward 1", "forward 2", "backward 2"]
    reads = [found.energy[scope]["array read"] for scope in ("inference", "training sample")]
    assert_allclose(reads, [100e-9 * forward, 100e-9 * (forward + backward)], rtol=1e-6)
    held = [2 * (6 + 10), 2 * (6 + 10 + 6)]
    for scope, dacs, adcs, lines in (
        ("inference", 64 + 6, 6 + 10, held[0]),
        ("training sample", 64 + 6 + 10, 6 + 10 + 6, held[1]),
    ):
        energy, latency = found.energy[scope], found.latency[scope]
        assert_allclose(energy["DAC"], dacs * costs.dac_energy)
        assert_allclose(energy["ADC"], adcs * costs.adc_energy)
        assert_allclose(energy["neurons"], lines * 100e-9 * costs.amplifier_power)
        times = {"inference": (6 + 8), "training sample": (6 + 8 + 6)}[scope]
        assert_allclose(latency["ADC"], times * costs.adc_time)
        assert_allclose(latency["DAC"], len(found.phases) * costs.dac_time, rtol=0.34)
    slow = estimate.estimate(costing(run, read_time=300e-9), samples=4)
    for scope, phases in (("inference", 2), ("training sample", 3)):
        assert_allclose(slow.latency[scope]["phases"], phases * 300e-9)
        assert_allclose(slow.energy[scope]["array read"], 3 * found.energy[scope]["array read"])
    assert found.slowest is found.imbalance is None
    assert "a read pulse each (chip.costs.read_time)." in found.notes[0]
    with pytest.raises(InvalidValueError, match=r"no such phases; chip\.costs\.read_time"):
        estimate.estimate(run, samples=4, free_time=1e-6)


def test_a_pair_has_twice_the_cells(runs):
    pair, offset = (estimate.estimate(runs[k], samples=2) for k in ("pair", "offset"))
    weights = 64 * 6 + 6 * 10 + 6 + 10
    assert_allclose(offset.area["cells"], weights * runs["pair"].experiment.chip.costs.pitch ** 2)
    assert_allclose(pair.area["cells"], 2 * offset.area["cells"])
    assert_allclose(pair.area["amplifiers"], 2 * offset.area["amplifiers"])
    same = ("DAC", "ADC", "neurons")
    assert [pair.area[k] for k in same] == [offset.area[k] for k in same]


@pytest.mark.parametrize("kind", ["pair", "hopfield"])
def test_pulses_of_all_crossbars_count(runs, kind):
    run = runs[kind]
    found = estimate.estimate(run, samples=2)
    held = [record for part in (run.arrays, run.biases) for record in part]
    counted = sum(float(v.sum()) for r in held for k, v in r.items() if k.startswith("pulses_"))
    assert found.pulses == counted > 0
    assert found.energy["training sample"]["programming"] > 0
    assert found.latency["training sample"]["programming"] > 0
    for table in (found.energy, found.latency):
        sample, total = table["training sample"], table["training run"]
        assert {k: found.trained * v for k, v in sample.items()} == total


def test_phases_of_a_hopfield_network(runs):
    run = runs["hopfield"]
    found = estimate.estimate(run, samples=3, free_time=1e-6, nudged_time=2e-6)
    machine, dataset = machine_of(run)
    chip, inputs = machine.chip, machine.encode(dataset.train_images[:3])
    targets = machine.targets(dataset.train_labels[:3])
    with computing():
        contrast = machine.rule.phases(chip.arrays[0].read(inputs), targets, None, 0, inputs)
    biases = sum(by_cells(b.array, np.full((1, 1), b.rail)) for b in chip.biases)
    expected = []
    for hidden, outputs in (contrast.free.state, contrast.upper):
        expected.append(
            biases
            + by_cells(chip.arrays[0], inputs)
            + by_cells(chip.arrays[1], hidden)
            + by_cells(chip.arrays[1], outputs, backwards=True)
        )
        power = array_power(machine, [inputs, hidden, outputs])[0]
        assert_allclose(power, expected[-1], rtol=1e-6)
    read = found.energy["training sample"]["array read"]
    assert_allclose(read, 1e-6 * expected[0] + 2e-6 * expected[1], rtol=1e-6)
    costs = run.experiment.chip.costs
    # Virtual grounds of pairs: units of both arrays, inputs of the second; and a driver a neuron.
    amplifiers = 2 * (6 + 10 + 6) + 16
    assert found.energy["inference"]["neurons"] > amplifiers * 1e-6 * costs.amplifier_power
    assert_allclose(found.area["amplifiers"], 2 * (6 + 10 + 6) * costs.amplifier_area)
    assert_allclose(found.area["neurons"], 16 * (costs.neuron_area + 500e-12))
    assert_allclose(found.energy["training sample"]["ADC"], 2 * 16 * costs.adc_energy)
    assert_allclose(found.energy["training sample"]["DAC"], (64 + 10) * costs.dac_energy)


def test_integrators_settle_as_by_hand():
    """Without weights above, hidden membranes follow u·(1 − exp(−t·h/C)); outputs stay at 0."""
    experiment = load("ep-1h", "chip.bias.kind=off", "chip.costs.adc_bits=6", chip="ideal")
    dataset = dataset_of(experiment)
    machine = build(experiment, dataset)
    chip = machine.chip
    chip.write([np.full((6, 64), 0.01), np.zeros((10, 6))], [])
    inputs = machine.encode(dataset.train_images[:1])
    current = chip.arrays[0].read(inputs)
    end, time, resting = settled(machine, current)
    share = float(end.state[0][0, 0]) / chip.scale.unit_voltage
    assert 0.1 < share < 1
    # Steps of a tenth of a time constant: (1 − 0.1)ⁿ in place of exp(−0.1·n).
    steps = np.ceil(np.log(share * 2**7) / -np.log(0.9))
    assert resting == 1
    assert time == pytest.approx(0.1 * steps * 1e-12 / chip.scale.leak, rel=1e-9)
    larger = load("ep-1h", "chip.bias.kind=off", "chip.neuron.capacitance=3 pF", chip="ideal")
    other = build(larger, dataset)
    assert settled(other, current)[1] == pytest.approx(3 * settled_of(other, 1e-12, current))


def settled_of(machine, capacitance, current):
    chip = machine.chip
    neuron = msgspec.structs.replace(chip.specification.neuron, capacitance=capacitance)
    chip.specification = msgspec.structs.replace(chip.specification, neuron=neuron)
    return settled(machine, current)[1]


def test_each_cell_that_updates_move_has_its_own_memory():
    found = estimate.of(load("mlp-1h", "chip.programming.accumulate=digital"), None, samples=2)
    assert "64 bits of digital memory a weight, which the update scheme keeps" in found.not_counted
