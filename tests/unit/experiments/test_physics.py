"""What a network asks of its chip, against the same sums written out cell by cell."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw import engines
from neurohw.circuits import tiles
from neurohw.engines.equilibrium import Nudging
from neurohw.errors import NumericalError
from neurohw.experiments import physics
from neurohw.experiments.machine import build, dataset_of
from neurohw.update import pairs

KEYS = {
    *("voltage", "voltage_p90", "difference", "bits", "power"),
    *("above_write_threshold", "saturated_low", "saturated_high"),
}
BIAS_KEYS = {
    *("bias_power", "bias_above_write_threshold", "bias_saturated_low", "bias_saturated_high"),
}
EXACT = ("training.precision=float64", "network.hidden=[8, 6]")


def machine_and_data(experiment):
    data = dataset_of(experiment)
    return build(experiment, data), data


def phases(machine, data, strengths):
    """Relax the free phase and one nudged phase a strength with the readable engine."""
    relaxation, arrays = machine.experiment.relaxation, machine.chip.arrays
    engine, sources = engines.load("numpy"), machine.chip.sources(0)
    inputs = pairs(machine.encode(data.train_images))
    seen = [array.seen(0) for array in arrays]
    current = inputs @ arrays[0].values().T
    words = (machine.network, seen, sources, current)
    free = engine.relax(*words, sweeps=relaxation.free_sweeps)
    targets = machine.targets(data.train_labels)
    nudged = [
        engine.relax(
            *words,
            start=free,
            nudging=Nudging(strength=np.full(len(inputs), strength), target=targets),
            sweeps=relaxation.nudged_sweeps,
        ).state
        for strength in strengths
    ]
    return inputs, free.state, nudged


@pytest.mark.parametrize("variant", ["positive", "negative", "centered"])
@pytest.mark.parametrize("chip", ["ideal", "epiram"])
def test_voltages_resolution_and_power(small, variant, chip):
    experiment = small(*EXACT, f"learning.variant={variant}", chip=chip)
    machine, data = machine_and_data(experiment)
    rows = physics.measure(machine, data)
    assert set(rows) == KEYS
    assert all(values.shape == (3,) for values in rows.values())

    beta = machine.chip.scale.nudging(experiment.learning.nudging)
    signs = {"positive": [beta], "negative": [-beta], "centered": [beta, -beta]}[variant]
    inputs, free, nudged = phases(machine, data, signs)
    others = nudged[1] if variant == "centered" else free
    below = inputs
    for k, (voltage, a, b) in enumerate(zip(free, nudged[0], others, strict=True)):
        size = np.sort(np.abs(voltage).ravel())
        difference = np.mean(np.abs(a - b))
        rank = 0.9 * (len(size) - 1)
        low, part = int(rank), rank - int(rank)
        g = machine.chip.arrays[k].values()
        power = np.mean(
            [
                sum(
                    g[j, i] * (x[i] - y[j]) ** 2
                    for j in range(g.shape[0])
                    for i in range(g.shape[1])
                )
                for x, y in zip(below, voltage, strict=True)
            ]
        )
        assert_allclose(rows["voltage"][k], size.mean(), rtol=1e-9)
        assert_allclose(
            rows["voltage_p90"][k], (1 - part) * size[low] + part * size[low + 1], rtol=1e-9
        )
        assert_allclose(rows["difference"][k], difference, rtol=1e-6)
        largest = max(size[-1], np.abs(a).max(), np.abs(b).max())
        assert_allclose(rows["bits"][k], np.log2(2 * largest / difference), rtol=1e-6)
        assert_allclose(rows["power"][k], power, rtol=1e-9)
        below = voltage


def test_power_of_wires_counts(small):
    """Power is what the terminals take in: the quadratic form of their conductances."""
    wires = ("chip.wires.word_line=300", "chip.wires.bit_line=200", "chip.wires.tile=40")
    machine, data = machine_and_data(small(*EXACT, *wires, chip="epiram"))
    rows = physics.measure(machine, data)
    assert set(rows) == KEYS | {"wire_loading", "wire_loss"}
    inputs = pairs(machine.encode(data.train_images))
    seen = machine.chip.seen(0)
    relaxation = machine.experiment.relaxation
    free = engines.load("numpy").relax(
        machine.network,
        seen,
        machine.chip.sources(0),
        inputs @ seen[0].conductance.T,
        sweeps=relaxation.free_sweeps,
    )
    whole = [tiles.reduce(array.values(), array.seen(0).wires) for array in machine.chip.arrays]
    for k, (below, units) in enumerate(zip((inputs, *free.state), free.state, strict=False)):
        y = whole[k]
        power = (below**2 @ y.input_sums) - np.einsum("bi,ij,bj->b", below, y.input_coupling, below)
        power += (units**2 @ y.unit_sums) - np.einsum("bi,ij,bj->b", units, y.unit_coupling, units)
        power -= 2 * np.einsum("bj,ji,bi->b", units, y.transfer, below)
        assert_allclose(rows["power"][k], power.mean(), rtol=1e-6)
        lost = 1 - y.transfer.sum() / machine.chip.arrays[k].values().sum()
        assert_allclose(rows["wire_loss"][k], lost, rtol=1e-9)


def test_share_above_the_write_threshold(small):
    experiment = small(*EXACT, 'chip.device.write_threshold="0.06 V"', chip="epiram")
    machine, data = machine_and_data(experiment)
    shares = physics.measure(machine, data)["above_write_threshold"]
    below, free, _ = phases(machine, data, [])
    for k, voltage in enumerate(free):
        drops = np.abs(below[:, None, :] - voltage[:, :, None])
        assert_allclose(shares[k], np.mean(drops > 0.06), rtol=1e-12)
        below = voltage
    assert 0 < shares[0] < 1
    assert shares[-1] == 0


def test_a_drop_at_the_threshold_does_not_write():
    inputs, units = np.array([[-1.0, 0.0, 2.0]]), np.array([[1.0, 0.5]])
    drops = np.abs(inputs[0][None] - units[0][:, None]).ravel()
    for threshold in (0.25, 0.5, 1.0, 1.5, 2.0, np.inf):
        share = physics._share_above(inputs, units, threshold)
        assert share == np.mean(drops > threshold), threshold


def test_ideal_memory_is_never_written_by_reading(small):
    machine, data = machine_and_data(small())
    rows = physics.measure(machine, data)
    assert_array_equal(rows["above_write_threshold"], 0)
    assert_array_equal(rows["saturated_high"], 0)
    zeros = [np.mean(array.values() == 0) for array in machine.chip.arrays]
    assert min(zeros) > 0
    assert_array_equal(rows["saturated_low"], zeros)


def test_share_of_cells_at_a_limit(small):
    spread = ("chip.device.range_spread=5 %", *EXACT)
    machine, data = machine_and_data(small(*spread, chip="epiram"))
    for array in machine.chip.arrays:
        low, high = array.cells.low, array.cells.high
        part = np.linspace(0.2, 0.8, low.size).reshape(low.shape)
        array._conductance[:] = low + part * (high - low)
    first = machine.chip.arrays[0]
    first._conductance[0, :12] = first.cells.low[0, :12]
    first._conductance[3, :7] = first.cells.high[3, :7]
    rows = physics.measure(machine, data)
    cells = first.values().size
    assert_allclose(rows["saturated_low"], [12 / cells, 0, 0], rtol=1e-12)
    assert_allclose(rows["saturated_high"], [7 / cells, 0, 0], rtol=1e-12)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_cell_written_to_its_limit_counts_in_either_precision(small, precision):
    machine, data = machine_and_data(small(f"training.precision={precision}", chip="epiram"))
    for array in machine.chip.arrays:
        array.write(np.full(array.values().shape, array.cells.high[0, 0]))
    assert_array_equal(physics.measure(machine, data)["saturated_high"], 1)


@pytest.mark.parametrize("chip", ["ideal", "epiram"])
def test_power_and_write_threshold_of_bias_cells(small, chip):
    device = () if chip == "ideal" else ('chip.device.write_threshold="8.2 mV"',)
    rails = ("chip.bias.kind=rails", 'chip.bias.rail="8 mV"')
    machine, data = machine_and_data(small(*EXACT, *rails, *device, chip=chip))
    threshold = machine.chip.specification.device.write_threshold
    size = machine.chip.arrays[0].values().max()
    draws = np.random.default_rng(3)
    for bias in machine.chip.biases:
        bias.array.write(size * draws.uniform(size=bias.array.values().shape))
    rows = physics.measure(machine, data)
    assert set(rows) == KEYS | BIAS_KEYS
    assert all(values.shape == (3,) for values in rows.values())

    _, free, _ = phases(machine, data, [])
    shares = []
    for k, (voltage, bias) in enumerate(zip(free, machine.chip.biases, strict=True)):
        drops = np.array([8e-3, -8e-3]) - voltage[:, :, None]
        power = np.mean([np.sum(bias.array.values() * each**2) for each in drops])
        shares.append(np.mean(np.abs(drops) > threshold))
        assert_allclose(rows["bias_power"][k], power, rtol=1e-9)
        assert_allclose(rows["bias_above_write_threshold"][k], shares[k], rtol=1e-12)
    assert (0 < max(shares) < 1) == (chip == "epiram")


def test_share_of_bias_cells_at_a_limit(small):
    machine, data = machine_and_data(small(*EXACT, "chip.bias.kind=rails", chip="epiram"))
    arrays = [bias.array for bias in machine.chip.biases]
    for array in arrays:
        array.write(np.full(array.values().shape, array.cells.high / 2))
    arrays[0]._conductance[2:5, 0] = arrays[0].cells.low[0, 0]
    arrays[1]._conductance[1] = arrays[1].cells.high[0, 0]
    rows = physics.measure(machine, data)
    assert_allclose(rows["bias_saturated_low"], [3 / 16, 0, 0], rtol=1e-12)
    assert_allclose(rows["bias_saturated_high"], [0, 2 / 12, 0], rtol=1e-12)


@pytest.mark.parametrize("kind", ["off", "current"])
def test_only_bias_cells_are_measured_as_such(small, kind):
    machine, data = machine_and_data(small(f"chip.bias.kind={kind}", chip="epiram"))
    assert set(physics.measure(machine, data)) == KEYS


def test_phases_that_do_not_differ_need_infinite_resolution(small):
    machine, data = machine_and_data(small())
    machine.rule.strength = 0.0
    rows = physics.measure(machine, data)
    assert_array_equal(rows["difference"], 0)
    assert_array_equal(rows["bits"], np.inf)


def test_a_network_that_is_dead_until_nudged_needs_few_bits(small):
    machine, data = machine_and_data(small("chip.bias.kind=off"))
    machine.chip.arrays[0].write(np.zeros((8, 128)))
    rows = physics.measure(machine, data)
    assert_array_equal(rows["voltage"], 0)
    assert rows["difference"][-1] > 0
    assert np.isfinite(rows["bits"][-1])


def test_only_the_first_images_are_measured(small):
    few, many = small("data.train=256"), small("data.train=300")
    results = [physics.measure(*machine_and_data(each)) for each in (few, many)]
    for key in KEYS:
        assert_array_equal(results[0][key], results[1][key])


def test_a_voltage_that_is_not_finite_is_an_error(small):
    machine, data = machine_and_data(small())
    machine.chip.arrays[1]._conductance[2, 3] = np.nan
    with pytest.raises(
        NumericalError, match=r"voltage of layer [12], unit \d is nan in the free phase"
    ):
        physics.measure(machine, data)


def test_what_is_measured_is_the_circuits_not_what_its_adcs_say(small):
    plain, coarse = (
        physics.measure(*machine_and_data(small(*keys)))
        for keys in ((), ("chip.converters.state_adc.bits=4",))
    )
    assert {k: v.tobytes() for k, v in plain.items()} == {k: v.tobytes() for k, v in coarse.items()}
