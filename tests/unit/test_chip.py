import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import BiasCurrents, BiasRails, Chip, CrossbarArray
from neurohw.devices import memory, programming
from neurohw.devices.fabrication import fabricate
from neurohw.devices.programming import first_write
from neurohw.mappings import chip_specification
from neurohw.networks.resistive import deep_resistive_network
from neurohw.update import Update

UNITS, INPUTS = 7, 10
DEVICES = {
    "ideal": memory.load("ideal"),
    "epiram": memory.load("epiram"),
    "spread": msgspec.structs.replace(memory.load("epiram"), range_spread=0.1),
    "analog": msgspec.structs.replace(memory.load("epiram"), whole_pulses=False),
}


def size_of(device):
    return 10e-6 if np.isinf(device.g_max) else device.g_max


def make_array(name="epiram", *, driven=False, dtype="float64", seed=0):
    device = DEVICES[name]
    cells = fabricate(device, UNITS, INPUTS, width=1.0, seed=2, array=0)
    wanted = size_of(device) * np.random.default_rng(seed).uniform(size=(UNITS, INPUTS))
    return CrossbarArray(first_write(cells, wanted).astype(dtype), cells, driven=driven)


def make_update(array, seed=1):
    rng, dtype = np.random.default_rng(seed), array.values().dtype
    size = 0.1 * array.values().max()
    return Update(
        presynaptic=rng.normal(size=(1, 3, INPUTS)).astype(dtype),
        postsynaptic=(size * rng.normal(size=(1, 3, UNITS))).astype(dtype),
        column=(size * rng.normal(size=(1, UNITS))).astype(dtype),
    )


def assert_sums_belong(array, rtol=1e-13):
    g, seen = array.values(), array.seen(0)
    assert_array_equal(seen.conductance, g)
    assert_allclose(seen.unit_sums, g.sum(axis=1), rtol=rtol)
    if array.driven:
        assert seen.input_sums is None
    else:
        assert_allclose(seen.input_sums, g.sum(axis=0), rtol=rtol)


def test_reads_sum_the_currents_of_a_line():
    array = make_array()
    g, rng = array.values(), np.random.default_rng(3)
    forward, backward = rng.normal(size=(4, INPUTS)), rng.normal(size=(4, UNITS))
    currents, back = array.read(forward), array.read_transposed(backward)
    assert (currents.shape, back.shape) == ((4, UNITS), (4, INPUTS))
    for b in range(4):
        for j in range(UNITS):
            total = sum(g[j, i] * forward[b, i] for i in range(INPUTS))
            assert_allclose(currents[b, j], total, rtol=1e-10, atol=1e-13 * np.abs(g).max())
        for i in range(INPUTS):
            total = sum(g[j, i] * backward[b, j] for j in range(UNITS))
            assert_allclose(back[b, i], total, rtol=1e-10, atol=1e-13 * np.abs(g).max())


def test_cells_stand_where_a_read_out_found_them():
    array = make_array()
    # Outside of the limits, too.
    found = 1.5 * array.values()
    array.take_over(found)
    assert_array_equal(array.values(), found)
    assert_sums_belong(array)


def test_a_read_out_of_the_same_cells_changes_no_bit():
    array = make_array("ideal")
    array.program(make_update(array), 0)
    before = array.record()
    array.take_over(array.values())
    for key, values in array.record().items():
        assert_array_equal(values, before[key], err_msg=key)


def test_values_are_a_copy():
    array = make_array()
    values = array.values()
    held = values.copy()
    values[:] = 0
    assert_array_equal(array.values(), held)


@pytest.mark.parametrize("driven", [False, True])
@pytest.mark.parametrize("name", DEVICES)
def test_seen_and_programmed(name, driven):
    array = make_array(name, driven=driven)
    assert_sums_belong(array)
    before, update = array.values(), make_update(array)
    assert array.program(update, 7) is None
    expected, count = programming.program(array.cells, before, update, 7)
    assert_allclose(array.values(), expected, rtol=0, atol=1e-5 * size_of(DEVICES[name]))
    assert np.abs(array.values() - before).max() > 0.01 * size_of(DEVICES[name])
    if array.cells.whole:
        assert_array_equal(array.pulses, count)
    assert_sums_belong(array)


@pytest.mark.parametrize("batch", [1, 4, 6])
@pytest.mark.parametrize("name", DEVICES)
def test_program_returns_the_next_read(name, batch):
    array = make_array(name)
    next_input = np.random.default_rng(4).normal(size=(batch, INPUTS))
    projection = array.program(make_update(array), 0, next_input)
    scale = np.abs(next_input) @ array.values().T
    assert projection.shape == (batch, UNITS)
    assert np.all(np.abs(projection - array.read(next_input)) <= 1e-13 * scale)


def test_pulses_add_up():
    array = make_array()
    g, total = array.values(), np.zeros((UNITS, INPUTS))
    for event in range(3):
        update = make_update(array, seed=event)
        array.program(update, event)
        g, count = programming.program(array.cells, g, update, event)
        total += count
    assert_array_equal(array.pulses, total)
    assert total.max() > 10


@pytest.mark.parametrize("name", DEVICES)
def test_write(name):
    array = make_array(name)
    wanted = size_of(DEVICES[name]) * np.random.default_rng(5).uniform(size=(UNITS, INPUTS))
    array.write(wanted)
    assert_array_equal(array.values(), first_write(array.cells, wanted))
    assert_sums_belong(array)


@pytest.mark.parametrize("driven", [False, True])
@pytest.mark.parametrize("name", DEVICES)
def test_a_restored_array_goes_on_with_the_same_bits(name, driven):
    array = make_array(name, driven=driven, dtype="float32")
    array.program(make_update(array), 0)
    record = array.record()
    other = make_array(name, driven=driven, dtype="float32", seed=9)
    other.restore({key: values.copy() for key, values in record.items()})
    assert set(record) == (
        {"conductance", "unit_sums", "g_min", "g_max"}
        | (set() if driven else {"input_sums"})
        | ({"pulses"} if array.cells.whole else set())
        | (set() if name == "ideal" else {"up_level", "up_rate", "down_level", "down_rate"})
    )
    update = make_update(array, seed=2)
    array.program(update, 1)
    other.program(update, 1)
    after = array.record()
    for key, values in other.record().items():
        assert_array_equal(values, after[key])
    assert np.any(after["conductance"] != record["conductance"])


def make_chip(device="ideal", bias="off", hidden=(6, 5), seed=1, dtype="float64", **mapping):
    specification = chip_specification.load(
        {"device": device, "bias": {"kind": bias}, "mapping": mapping}
    )
    network = deep_resistive_network(4, hidden, 3, dtype)
    return Chip(specification, network, 20.0, seed=seed, dtype=dtype), network


def test_an_ideal_chip_starts_as_published():
    chip, network = make_chip(hidden=(200, 50))
    for k, (array, inputs) in enumerate(zip(chip.arrays, network.fan_in, strict=True)):
        g = array.values() / chip.scale.unit_conductance
        assert g.shape == (network.layers[k], inputs)
        assert g.min() == 0
        assert g.max() <= 1 / np.sqrt(inputs)
        cells = g.size
        assert abs(np.mean(g == 0) - 0.5) < 4 * 0.5 / np.sqrt(cells)
        positive = g[g > 0]
        expected, deviation = 0.5 / np.sqrt(inputs), 1 / np.sqrt(12 * inputs)
        assert abs(positive.mean() - expected) < 4 * deviation / np.sqrt(positive.size)
    assert [array.driven for array in chip.arrays] == [True, False, False]


@pytest.mark.parametrize("device", ["epiram", "ag-a-si"])
def test_cells_of_each_layer_have_the_width_of_its_window(device):
    chip, network = make_chip(device, conductance_scale=(4.0, 2.0, 1.0))
    limits = chip.specification.device
    scales = np.array([4.0, 2.0, 1.0]) / np.sqrt(network.fan_in)
    for array, width in zip(chip.arrays, scales / scales[0], strict=True):
        assert_allclose(array.cells.low, limits.g_min * width, rtol=1e-12)
        assert_allclose(array.cells.high, limits.g_max * width, rtol=1e-12)
        assert array.values().min() >= array.cells.low.min()
        assert array.values().max() <= array.cells.high.max() * (1 + 1e-12)
        assert len(np.unique(array.values())) > 3
    assert_allclose(chip.scale.unit_conductance * scales[0], limits.g_max, rtol=1e-12)


def test_fabrication_is_a_function_of_the_seed():
    table = {"preset": "epiram", "range_spread": 0.1}
    one, same, other = (make_chip(table, "rails", seed=seed)[0] for seed in (1, 1, 2))
    for k, array in enumerate(one.arrays):
        assert_array_equal(array.values(), same.arrays[k].values())
        assert np.any(array.cells.low != other.arrays[k].cells.low)
        assert np.any(array.values() != other.arrays[k].values())
    first = one.arrays[0].cells.low.ravel()[:12]
    assert np.all(first != one.biases[0].array.cells.low.ravel()[:12])
    streams = {array.cells.cycle_stream for array in one.arrays}
    streams |= {bias.array.cells.cycle_stream for bias in one.biases}
    assert len(streams) == 6


def test_a_chip_without_biases_adds_nothing():
    chip, network = make_chip(bias="off", dtype="float32")
    assert chip.biases == []
    sources = chip.sources(0)
    for source, units in zip(sources, network.layers, strict=True):
        for added in (source.current, source.conductance):
            assert (added.shape, added.dtype) == ((units,), np.float32)
            assert_array_equal(added, 0)


def test_bias_currents():
    chip, network = make_chip(bias="current")
    bias = chip.biases[1]
    assert isinstance(bias, BiasCurrents)
    assert_array_equal(bias.source(0).current, np.zeros(network.layers[1]))
    change = 1e-6 * np.arange(network.layers[1])
    update = Update(presynaptic=np.ones((1, 1, 1)), postsynaptic=change[None, None])
    bias.program(update, 0)
    bias.program(update, 1)
    source = chip.sources(2)[1]
    assert_allclose(source.current, 2 * change, rtol=1e-12)
    assert_array_equal(source.conductance, 0)
    fresh = make_chip(bias="current")[0].biases[1]
    fresh.restore(bias.record())
    assert_array_equal(fresh.source(0).current, source.current)


@pytest.mark.parametrize("device", ["ideal", "epiram"])
def test_bias_rails(device):
    chip, network = make_chip(device, bias="rails")
    bias, units = chip.biases[1], network.layers[1]
    assert isinstance(bias, BiasRails)
    rail = chip.scale.unit_voltage
    assert bias.word_lines == (rail, -rail)
    g = bias.array.values()
    assert g.shape == (units, 2)
    low, high = chip.scale.window(1)
    assert_allclose(g, low, rtol=1e-12)
    size = 0.5 * (high if np.isfinite(high) else chip.scale.unit_conductance)
    update = Update(presynaptic=np.array([[[1.0, 0.0]]]), postsynaptic=np.full((1, 1, units), size))
    bias.program(update, 0)
    g, source = bias.array.values(), chip.sources(0)[1]
    assert np.all(g[:, 0] > g[:, 1])
    assert_allclose(source.current, rail * (g[:, 0] - g[:, 1]), rtol=1e-10)
    assert_allclose(source.conductance, g.sum(axis=1), rtol=1e-12)
    fresh = make_chip(device, bias="rails", seed=1)[0].biases[1]
    fresh.restore(bias.record())
    assert_array_equal(fresh.source(0).current, source.current)
    assert_array_equal(fresh.source(0).conductance, source.conductance)


def test_write_a_trained_network():
    chip, network = make_chip("epiram", bias="off")
    rng = np.random.default_rng(6)
    wanted = [
        rng.uniform(*chip.scale.logical_window(k), size=array.values().shape)
        for k, array in enumerate(chip.arrays)
    ]
    chip.write(wanted, [])
    for array, g in zip(chip.arrays, wanted, strict=True):
        level = (
            np.ptp(array.cells.high - array.cells.low)
            + (array.cells.high - array.cells.low).max() / chip.specification.device.pulses_up
        )
        assert_allclose(array.values(), g * chip.scale.unit_conductance, rtol=0, atol=level)
        assert_sums_belong(array)
    chip, network = make_chip(bias="current")
    currents = [rng.normal(size=units) for units in network.layers]
    chip.write(wanted, currents)
    for k, current in enumerate(currents):
        source = chip.sources(0)[k]
        assert_allclose(source.current, current * chip.scale.unit_current, rtol=1e-12)
    chip.write(wanted, [])
    assert_allclose(chip.sources(0)[0].current, currents[0] * chip.scale.unit_current, rtol=1e-12)
    with pytest.raises(ValueError, match="zip"):
        chip.write(wanted[:2], currents)


def test_the_chip_is_seen_as_its_arrays_are():
    chip, network = make_chip(bias="rails")
    for seen, array in zip(chip.seen(3), chip.arrays, strict=True):
        assert_array_equal(seen.conductance, array.values())
        assert (seen.input_sums is None) == array.driven
    assert len(chip.sources(3)) == len(network.layers)


def test_transposed_reads_may_have_another_gain():
    converters = {"transposed_gain_error": 0.1, "transposed_gain_spread": 0.02}
    network = deep_resistive_network(200, (6,), 3)
    made = [
        Chip(
            chip_specification.load({"device": "ideal", "converters": keys}),
            network,
            10.0,
            seed=1,
            dtype="float64",
        ).arrays[0]
        for keys in ({}, converters)
    ]
    voltages = np.random.default_rng(0).normal(size=(2, 6))
    plain, other = (array.read_transposed(voltages) for array in made)
    met = np.abs(plain) > 0
    gains = (other / np.where(met, plain, 1.0))[:, met.all(axis=0)]
    assert_allclose(gains[0], gains[1], rtol=1e-12)
    count = gains.shape[1]
    assert abs(gains[0].mean() - 1.1) < 4 * 0.022 / np.sqrt(count)
    assert abs(gains[0].std() / 0.022 - 1) < 4 / np.sqrt(2 * count)
    inputs = np.random.default_rng(1).normal(size=(2, 200))
    assert_array_equal(made[0].read(inputs), made[1].read(inputs))
