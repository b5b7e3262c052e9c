"""The compiled pass over an array does what the readable law says, cell by cell."""

import msgspec
import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw import randomness
from neurohw.chip import CrossbarArray
from neurohw.devices import kernels, programming
from neurohw.devices.fabrication import fabricate
from neurohw.devices.memory import load
from neurohw.devices.programming import first_write
from neurohw.errors import InvalidValueError
from neurohw.update import Update, pairs

SPREAD = {"nonlinearity_spread": 0.2, "range_spread": 0.1}
DEVICES = {
    "epiram": load("epiram"),
    "strongly curved": load("pcmo"),
    "unlike directions": load("gst-pcm"),
    "spread": msgspec.structs.replace(load("ag-a-si"), **SPREAD),
    "no noise": msgspec.structs.replace(load("hzo-fefet"), cycle_to_cycle=0.0),
    "analog": msgspec.structs.replace(load("alox-hfo2"), whole_pulses=False),
    "analog spread": msgspec.structs.replace(load("epiram"), whole_pulses=False, **SPREAD),
    "straight": msgspec.structs.replace(load("epiram"), nonlinearity_up=0.0, nonlinearity_down=0.0),
}
BOUNDED = msgspec.structs.replace(load("ideal"), g_min=1e-6, g_max=20e-6)
IDEAL = {"ideal": load("ideal"), "bounded": BOUNDED}

# Beside the limits of a vector (4, 8, 16), a tile (784), a tile of ideal cells (1568).
SHAPES = [(1, 15), (2, 8), (7, 33), (5, 300), (3, 785), (3, 1570)]
TINY = [(1, 5), (3, 9), (2, 261)]


def span(device):
    return 10e-6 if np.isinf(device.g_max) else device.g_max - device.g_min


def make_array(device, shape, dtype, rng, *, driven=False, paired=False):
    cells = fabricate(device, *shape, width=1.0, seed=11, array=3)
    wanted = device.g_min + span(device) * rng.uniform(-0.1, 1.1, shape)
    return CrossbarArray(
        first_write(cells, wanted).astype(dtype), cells, driven=driven, paired=paired
    )


def make_update(device, shape, dtype, rng, *, events, rank, parts, share=0.1, paired=False):
    """Return an update of a share of the range: several pulses a cell, or a few in the array."""
    units, inputs = shape
    size = share * span(device)

    def normal(*shape):
        return rng.normal(size=shape)

    pieces = {
        "presynaptic": normal(events, rank, inputs // (1 + paired)) / np.sqrt(rank),
        "postsynaptic": size * normal(events, rank, units) ** 3,
    }
    if "row" in parts:
        pieces["row"] = size * normal(events, inputs)
    if "column" in parts:
        pieces["column"] = size * normal(events, units)
    if "decay" in parts:
        pieces["decay"] = share * rng.uniform(-2, 2, (events, units))
    lines = {name: piece.astype(dtype) for name, piece in pieces.items()}
    return Update(**lines, paired=paired)


def exact(update, event):
    """Return one event of an update in float64."""
    names = ("presynaptic", "postsynaptic", "row", "column", "decay")
    lines = {name: getattr(update, name) for name in names}
    return msgspec.structs.replace(
        update, **{n: v[event : event + 1].astype(float) for n, v in lines.items() if v is not None}
    )


def oracle(cells, conductance, update, first_event, margin):
    """Apply the readable law; also say which cells' draws stay clear of every threshold."""
    g, count = conductance.astype(float), np.zeros(conductance.shape)
    clear = np.ones(g.shape, bool)
    index = np.arange(g.size).reshape(g.shape)
    for event in range(len(update.presynaptic)):
        part = exact(update, event)
        if cells.whole:
            wanted = part.dense(g, 0)
            pulses = wanted / np.where(wanted > 0, cells.law.step_up, cells.law.step_down)
            key = randomness.key(cells.rounding_stream, first_event + event)
            drawn = pulses + randomness.roundings(key, index)
            clear &= np.abs(drawn - np.rint(drawn)) > margin * (1 + np.abs(pulses))
        g, used = programming.program(cells, g, part, first_event + event)
        count += used
    return g, count, clear


def check_sums(array, projection, next_input, dtype):
    """Line sums and the projection are those of the conductances that the pass left."""
    g, seen = array.values().astype(float), array.seen(0)
    share = {"float64": 1e-13, "float32": 1e-5}[dtype]
    assert_allclose(seen.unit_sums, g.sum(axis=1), rtol=share)
    if array.driven:
        assert seen.input_sums is None
    else:
        assert_allclose(seen.input_sums, g.sum(axis=0), rtol=share, atol=share * g.max())
    inputs = pairs(next_input.astype(float)) if array.paired else next_input.astype(float)
    scale = np.abs(inputs) @ g.T
    assert projection.shape == scale.shape
    assert projection.dtype == dtype
    assert np.all(np.abs(projection - inputs @ g.T) <= share * scale)
    assert_allclose(array.read(next_input), projection, rtol=0, atol=share * scale.max())


def next_voltages(array, rng, dtype, batch=None):
    lines = array.values().shape[1] // (1 + array.paired)
    return rng.normal(size=(batch or int(rng.integers(1, 10)), lines)).astype(dtype)


def check_ideal(device, shape, dtype, seed, paired=False, batch=None, **options):
    rng = np.random.default_rng(seed)
    array = make_array(device, shape, dtype, rng, driven=bool(seed % 2), paired=paired)
    update = make_update(device, shape, dtype, rng, paired=paired, **options)
    before = array.values()
    g = before.astype(float)
    for event in range(options["events"]):
        g, _ = programming.program(array.cells, g, exact(update, event), event)
    next_input = next_voltages(array, rng, dtype, batch)
    projection = array.program(update, 0, next_input)
    share = {"float64": 1e-10, "float32": 1e-5}[dtype]
    assert_allclose(array.values(), g, rtol=0, atol=share * span(device))
    assert np.abs(array.values() - before).max() > 1e-3 * span(device)
    low, high = (limit.astype(dtype).item() for limit in (array.cells.low, array.cells.high))
    assert array.values().min() >= low
    assert array.values().max() <= high
    check_sums(array, projection, next_input, dtype)


def check_device(device, shape, dtype, seed, paired=False, **options):
    rng = np.random.default_rng(seed)
    array = make_array(device, shape, dtype, rng, paired=paired)
    update = make_update(device, shape, dtype, rng, paired=paired, **options)
    cells, before, first_event = array.cells, array.values(), 5
    margin = {"float64": 1e-6, "float32": 1e-5}[dtype]
    expected, count, clear = oracle(cells, before, update, first_event, margin)
    next_input = next_voltages(array, rng, dtype)
    projection = array.program(update, first_event, next_input)
    assert clear.mean() > 0.98
    # The normals of the kernel differ from the oracle's by 1e-5 at most.
    share = {"float64": 3e-7, "float32": 3e-6}[dtype] * options["events"]
    allowed = share * span(device) + 1e-5 * cells.law.sigma * np.sqrt(count * options["events"])
    off = np.abs(array.values() - expected) / allowed
    assert off[clear].max() <= 1
    if cells.whole:
        assert_array_equal(array.pulses[clear], count[clear])
        assert count.max() > 0
    low, high = (v.astype(dtype) for v in np.broadcast_arrays(cells.low, cells.high))
    assert np.all((array.values() >= low) & (array.values() <= high))
    assert np.any(array.values() != before)
    check_sums(array, projection, next_input, dtype)


RANDOM_OPTIONS = [
    {"events": 1, "rank": 4, "parts": ("column",)},
    {"events": 1, "rank": 8, "parts": ("row", "column")},
    {"events": 1, "rank": 1, "parts": ()},
    {"events": 1, "rank": 4, "parts": ("column", "decay")},
    {"events": 2, "rank": 3, "parts": ("row", "column", "decay")},
    {"events": 3, "rank": 9, "parts": ("row",)},
    {"events": 2, "rank": 5, "parts": ("decay",)},
    {"events": 1, "rank": 2, "parts": ("row", "decay")},
    {"events": 1, "rank": 6, "parts": ("column",)},
    {"events": 3, "rank": 7, "parts": ("row", "column", "decay")},
]


def describe(options):
    return f"{options['events']} events, rank {options['rank']}, {'+'.join(options['parts'])}"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", RANDOM_OPTIONS, ids=describe)
@pytest.mark.parametrize("name", IDEAL)
def test_ideal_cells(name, options, shape, dtype):
    check_ideal(IDEAL[name], shape, dtype, options["rank"] + shape[1], **options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", RANDOM_OPTIONS, ids=describe)
@pytest.mark.parametrize("name", DEVICES)
def test_cells_of_a_device(name, options, shape, dtype):
    check_device(DEVICES[name], shape, dtype, options["rank"] + shape[1], **options)


PAIRED = [
    {"events": 1, "rank": 4, "parts": ("column",), "batch": 4},
    {"events": 1, "rank": 3, "parts": (), "batch": 2},
    {"events": 1, "rank": 4, "parts": ("column",), "batch": 5},
    {"events": 1, "rank": 8, "parts": ("column",), "batch": 4},
    {"events": 2, "rank": 4, "parts": ("row", "decay"), "batch": 4},
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(1, 2), (5, 34), (4, 300), (3, 3200)], ids=str)
@pytest.mark.parametrize("options", PAIRED, ids=describe)
@pytest.mark.parametrize("name", IDEAL)
def test_ideal_cells_on_paired_word_lines(name, options, shape, dtype):
    check_ideal(IDEAL[name], shape, dtype, shape[1], paired=True, **options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", [RANDOM_OPTIONS[0], RANDOM_OPTIONS[4]], ids=describe)
@pytest.mark.parametrize("name", ["spread", "analog"])
def test_cells_of_a_device_on_paired_word_lines(name, options, dtype):
    check_device(DEVICES[name], (5, 300), dtype, 3, paired=True, **options)


@pytest.mark.kernels
def test_a_tiny_array_on_paired_word_lines():
    check_ideal(IDEAL["bounded"], (3, 10), "float64", 1, paired=True, **PAIRED[0])


FEW = {"events": 2, "rank": 4, "parts": ("row", "column", "decay"), "share": 2e-4}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(20, 33), (5, 300), (3, 1030)], ids=str)
@pytest.mark.parametrize("name", DEVICES)
def test_updates_of_a_few_pulses(name, shape, dtype):
    check_device(DEVICES[name], shape, dtype, 7, **FEW)


@pytest.mark.kernels
@pytest.mark.parametrize("name", ["spread", "straight"])
def test_updates_of_a_few_pulses_in_a_tiny_array(name):
    check_device(DEVICES[name], (2, 261), "float64", 7, **FEW)


@pytest.mark.kernels
@pytest.mark.parametrize("shape", TINY, ids=str)
@pytest.mark.parametrize("options", RANDOM_OPTIONS[3:5], ids=describe)
@pytest.mark.parametrize("name", [*IDEAL, "spread", "analog", "straight"])
def test_tiny_arrays(name, options, shape):
    if name in IDEAL:
        check_ideal(IDEAL[name], shape, "float64", 1, **options)
    else:
        check_device(DEVICES[name], shape, "float64", 1, **options)


@pytest.mark.kernels
@pytest.mark.parametrize("name", ["ideal", "epiram"])
def test_a_pass_without_next_input_changes_the_cells_alike(name):
    device = {**IDEAL, **DEVICES}[name]
    options = {"events": 1, "rank": 4, "parts": ("column",)}
    results = []
    for next_input in (None, np.ones((2, 9))):
        rng = np.random.default_rng(0)
        array = make_array(device, (3, 9), "float64", rng)
        update = make_update(device, (3, 9), "float64", rng, **options)
        projection = array.program(update, 1, next_input)
        assert (projection is None) == (next_input is None)
        results.append(array.values())
    assert_array_equal(*results)


def programmed(name, shape, dtype, paired):
    """Return everything that two passes over an array leave, the sums over units last."""
    device = {**IDEAL, **DEVICES}[name]
    rng = np.random.default_rng(4)
    array = make_array(device, shape, dtype, rng, paired=paired)
    options = {"events": 2, "rank": 5, "parts": ("row", "column", "decay")}
    if paired:
        options = {"events": 1, "rank": 4, "parts": ("column",)}
    next_input = next_voltages(array, rng, dtype, batch=4 if paired else 5)
    for event in (0, 2):
        update = make_update(device, shape, dtype, rng, paired=paired, **options)
        projection = array.program(update, event, next_input)
    seen = array.seen(4)
    return [array.values(), array.pulses, projection, seen.unit_sums, seen.input_sums]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(7, 300), (129, 34)], ids=str)
@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("name", ["ideal", "spread"])
def test_serial_and_parallel_passes_give_the_same_bits(monkeypatch, name, paired, shape, dtype):
    monkeypatch.setattr(kernels, "SMALL", np.prod(shape) + 1)
    *serial, _ = programmed(name, shape, dtype, paired)
    monkeypatch.setattr(kernels, "SMALL", 0)
    *parallel, _ = programmed(name, shape, dtype, paired)
    for one, other in zip(serial, parallel, strict=True):
        assert_array_equal(one, other)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("name", ["ideal", "spread"])
def test_one_and_two_threads_give_the_same_bits(monkeypatch, name, paired):
    shape = (129, 300)
    monkeypatch.setattr(kernels, "SMALL", 0)
    results, before = [], numba.get_num_threads()
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            results.append(programmed(name, shape, "float32", paired))
    finally:
        numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert_array_equal(one, two)


@pytest.mark.parametrize("next_lines", [0, 4, 7])
@pytest.mark.parametrize("rank", [3, 4])
def test_paired_lines_take_an_update_of_all_of_them(rank, next_lines):
    rng = np.random.default_rng(1)
    options = {"events": 1, "rank": rank, "parts": ("column",)}
    arrays = [make_array(IDEAL["ideal"], (6, 10), "float64", rng, paired=True) for _ in range(2)]
    arrays[1].write(arrays[0].values())
    half = make_update(IDEAL["ideal"], (6, 10), "float64", rng, paired=True, **options)
    whole = msgspec.structs.replace(half, presynaptic=pairs(half.presynaptic), paired=False)
    coming = rng.normal(size=(next_lines, 5)) if next_lines else None
    one, other = (a.program(u, 0, coming) for a, u in zip(arrays, (half, whole), strict=True))
    values = [array.values() for array in arrays]
    assert_allclose(values[1], values[0], rtol=1e-12, atol=1e-14 * values[0].max())
    if coming is not None:
        assert_allclose(other, one, rtol=1e-10, atol=1e-12 * np.abs(one).max())


def test_lines_that_the_array_does_not_have_are_refused():
    rng = np.random.default_rng(0)
    options = {"events": 1, "rank": 4, "parts": ("column",)}
    for paired in (False, True):
        array = make_array(IDEAL["ideal"], (3, 8), "float32", rng, paired=paired)
        good, other = (
            make_update(IDEAL["ideal"], (3, 8), "float32", rng, paired=p, **options)
            for p in (paired, not paired)
        )
        before = array.values()
        if not paired:
            with pytest.raises(InvalidValueError, match=r"update\.paired = True"):
                array.program(other, 0)
        with pytest.raises(InvalidValueError, match=r"7\] input lines: the array takes"):
            array.program(good, 0, np.ones((4, 7), np.float32))
        short = msgspec.structs.replace(good, presynaptic=good.presynaptic[:, :, 1:].copy())
        with pytest.raises(InvalidValueError, match="input lines: the array takes"):
            array.program(short, 0)
        assert_array_equal(array.values(), before)
    with pytest.raises(InvalidValueError, match="5 inputs: paired ones are even"):
        make_array(IDEAL["ideal"], (3, 5), "float32", rng, paired=True)
