"""What an update scheme does to cells in the mean, and what it keeps and loses."""

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import CrossbarArray
from neurohw.chip.fabrication import fabricate_array
from neurohw.devices import memory, trains
from neurohw.devices.fabrication import fabricate
from neurohw.devices.laws import ConstantStep, Piecewise, SoftBounds
from neurohw.devices.programming import symmetry_points
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.mappings.programming import Programming
from neurohw.update import Update

RANGE = {"g_min": 1e-6, "g_max": 21e-6}
SPAN = 20e-6
EVEN = ConstantStep(**RANGE, step=0.01)
LAME = SoftBounds(**RANGE, step=0.02, centre=0.4, up_down=0.3)


def array_of(device, shape, *, start=11e-6, fast=None, dtype="float32", **programming):
    """Return an array of a device, all cells alike in conductance [S]."""
    options = {"width": 1.0, "seed": 3}
    cells = fabricate(device, *shape, array=0, **options)
    extra = None if fast is None else fabricate(fast, *shape, array=1, **options)
    return CrossbarArray(
        np.full(shape, start, dtype),
        cells,
        driven=True,
        programming=Programming(**programming),
        fast=extra,
    )


def update_of(x, d, dtype="float32"):
    """Return an update of (event, inputs) and (event, units) signals, a rank each event."""
    return Update(
        presynaptic=np.asarray(x, dtype)[:, None], postsynaptic=np.asarray(d, dtype)[:, None]
    )


@pytest.mark.parametrize("largest", [7.3, 50.0])
def test_the_mean_change_of_pulse_trains_is_the_product_of_both_lines(largest):
    """Of 10,000 events at 100 cells, whose lines pulse independently from event to event."""
    events = 10_000
    device = msgspec.structs.replace(EVEN, up_down=0.25)
    array = array_of(device, (10, 10), pulses="train")
    steps = array.cells.law.step_up, array.cells.law.step_down
    x = np.linspace(-1, 0.8, 10)
    d = largest * min(steps) * np.linspace(-0.5, 1, 10)
    array.program(update_of(np.tile(x, (events, 1)), np.tile(d, (events, 1))), 5)
    wanted = np.outer(d, x)
    wanted /= np.where(wanted > 0, *steps)
    mean = array.pulses / events
    slots = min(trains.MOST_SLOTS, np.ceil(largest))
    chance = np.abs(wanted) / slots
    error = np.sqrt(slots * chance * (1 - np.minimum(chance, 1)) / events)
    fits = np.abs(d) <= np.abs(d).max() * min(1, trains.MOST_SLOTS / largest)
    assert fits.sum() >= 6
    assert np.all(np.abs(mean - np.abs(wanted))[fits] <= 4 * error[fits] + 1e-6)
    assert np.all((mean - np.abs(wanted) <= 4 * error + 1e-6)[~fits])


def test_the_sign_scheme_gives_one_pulse_of_the_sign():
    array = array_of(EVEN, (3, 4), pulses="sign", threshold=0.5)
    step = array.cells.law.step_up
    size = np.array([[0.4, -0.4, 0.6, -7.0]])
    array.program(update_of(size, step * np.ones((1, 3))), 0)
    expected = 11e-6 + step * np.array([0, 0, 1, -1])
    assert_allclose(array.values(), np.tile(expected, (3, 1)), rtol=1e-6)


def fabricated(device, polarities, wanted, **programming):
    """Return an array as chips have it, first written to `wanted` [S]."""
    return fabricate_array(
        ChipSpecification(device=device),
        fabricate(device, *wanted.shape, width=1.0, seed=3, array=0),
        wanted,
        Programming(polarities=polarities, **programming),
        number=0,
        fast_number=1,
        seed=3,
        dtype="float64",
        driven=True,
    )


@pytest.mark.parametrize(("polarities", "up", "down"), [("known", 1, 1), ("alike", 1 / 0.8, 0.75)])
@pytest.mark.parametrize("whole", [False, True])
def test_a_controller_that_knows_one_step_errs_by_the_difference(polarities, up, down, whole):
    """Of steps of 1 and 0.6, it takes all for 0.8: with whole pulses in the mean of many cells."""
    device = msgspec.structs.replace(EVEN, up_down=0.4, whole_pulses=whole)
    array = fabricated(device, polarities, np.full((400, 2), 11e-6))
    array.program(update_of([[1, -1]], np.full((1, 400), 1.1e-6), "float64"), 0)
    found = (array.values() - 11e-6).mean(axis=0)
    # Rounding deviates by half a step, of 0.2 uS.
    assert_allclose(
        found, 1.1e-6 * np.array([up, -down]), rtol=0, atol=4e-7 / 20 if whole else 1e-15
    )


def test_the_mean_of_trains_is_off_likewise():
    """Of 4000 events of 5.5 pulses each, whose trains deviate by some of them."""
    device = msgspec.structs.replace(EVEN, up_down=0.4, step=1e-5)
    array = fabricated(device, "alike", np.full((5, 2), 11e-6), pulses="train")
    array.program(update_of(np.tile([1, -1], (4000, 1)), np.full((4000, 5), 1.1e-9), "float64"), 0)
    found = (array.values() - 11e-6).mean(axis=0)
    assert_allclose(found, 4.4e-6 * np.array([1.25, -0.75]), rtol=0.02)


@pytest.mark.parametrize("polarities", ["known", "alike"])
def test_writing_again_finds_the_levels_of_the_first_time(polarities):
    """The ladder of a table is of steps as they are, not as pulses are counted."""
    device = Piecewise(**RANGE, step=0.1, up_down=-0.6, steps_up=(2.0, 1.0), steps_down=(1.0, 2.0))
    wanted = np.linspace(1e-6, 21e-6, 40).reshape(1, 40)
    array = fabricated(device, polarities, wanted)
    first = array.values()
    array.write(wanted)
    assert_array_equal(array.values(), first)
    assert len(np.unique(first)) > 10


def test_nearest_rounding():
    array = array_of(EVEN, (1, 4), rounding="nearest")
    step = array.cells.law.step_up
    array.program(update_of([[0.4, -0.6, 1.4, 2.6]], [[step]]), 0)
    assert_allclose(array.values()[0], 11e-6 + step * np.array([0, -1, 1, 3]), rtol=1e-6)


def test_mixed_precision_loses_no_gradient():
    """What cells took and what the memory holds is what was wanted, event by event."""
    rng = np.random.default_rng(0)
    device = msgspec.structs.replace(EVEN, g_min=0.0, g_max=2.0**10, step=2.0**-10)
    array = array_of(device, (5, 6), start=512.0, accumulate="digital")
    wanted = np.zeros((5, 6))
    for event in range(60):
        # Multiples of 2^-20 steps below 16 steps are exact in float32.
        x, d = (np.rint(rng.normal(size=(1, n)) * 2**10) / 2**10 for n in (6, 5))
        array.program(update_of(x, d), event)
        wanted += d.T @ x
        held = array.record()["accumulated"]
        assert_array_equal(array.values() - 512 + held, wanted)
        assert np.abs(held).max() < 1
    assert array.pulses.max() > 3


def test_momentum_and_adam_are_what_they_are_called():
    rng = np.random.default_rng(1)
    ideal = {"g_min": 0.0, "g_max": 1.0, "law": "ideal"}
    device = memory.load(ideal)
    momentum = array_of(device, (3, 4), start=0.5, dtype="float64", optimizer="momentum")
    adam = array_of(device, (3, 4), start=0.5, dtype="float64", optimizer="adam", adam_step=0.01)
    velocity, mean, square = np.zeros((3, 3, 4))
    expected, other = np.full((2, 3, 4), 0.5)
    for event in range(5):
        x, d = rng.normal(size=(1, 4)), 1e-3 * rng.normal(size=(1, 3))
        for array in (momentum, adam):
            array.program(update_of(x, d, "float64"), event)
        g = d.T @ x
        velocity = 0.9 * velocity + g
        expected = expected + velocity
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g**2
        t = event + 1
        other = other + 0.01 * (mean / (1 - 0.9**t)) / np.sqrt(square / (1 - 0.999**t))
    assert_allclose(momentum.values(), expected, rtol=1e-12)
    assert_allclose(adam.values(), other, rtol=1e-5)


def test_write_verify_ends_near_the_wanted_value_within_its_pulses():
    device = msgspec.structs.replace(LAME, step=0.002, step_noise=0.5, step_spread=0.3)
    options = {"pulses": "write-verify", "verify_pulses": 30, "verify_tolerance": 0.003}
    array = array_of(device, (30, 40), **options)
    near = 20 * device.step * SPAN
    array.program(update_of(np.linspace(-1, 1, 40)[None], near * np.ones((1, 30))), 0)
    missed = np.abs(array.values() - 11e-6 - near * np.linspace(-1, 1, 40))
    assert array.pulses.max() <= 30
    reached = missed <= 1.001 * 0.003 * SPAN
    assert np.all(reached | (array.pulses == 30))
    assert reached.mean() > 0.8
    # Further than the pulses can take it.
    before = array.pulses.copy()
    array.program(update_of(np.ones((1, 40)), -0.5 * SPAN * np.ones((1, 30))), 1)
    assert_array_equal(array.pulses - before, 30)


def test_terms_in_sequence_drift_to_the_symmetry_point_and_their_net_does_not():
    """Two terms that cancel: digital logic sees none, pulses up and down see asymmetry."""
    point = symmetry_points(array_of(LAME, (4, 16)).cells).item()
    g, up = np.linspace(2e-6, 20e-6, 16), LAME.step * SPAN
    ends = {}
    for pulses in ("count", "train"):
        for order in ("net", "sequential"):
            array = array_of(LAME, (4, 16), pulses=pulses, order=order)
            array.write(np.tile(g, (4, 1)))
            start = array.values()
            cancelling = Update(
                presynaptic=np.ones((1, 2, 16), "float32"),
                postsynaptic=(up * np.array([[[1.0], [-1.0]]]) * np.ones((1, 2, 4))).astype("f4"),
            )
            for event in range(300):
                array.program(cancelling, event)
            ends[pulses, order] = array.values()
            if (pulses, order) == ("count", "net"):
                assert_array_equal(array.values(), start)
    # A pulse up, and 10/7 down in the mean: cells stay within some pulses of the point.
    assert_allclose(ends["count", "sequential"], point, rtol=0, atol=5 * up)
    assert_allclose(ends["count", "sequential"].mean(), point, rtol=0, atol=1.5 * up)
    assert_allclose(ends["train", "sequential"].mean(), point, rtol=0, atol=3 * up)
    assert np.ptp(ends["train", "net"]) > 5 * up


def learned(steps, rate, noise, **programming):
    """Return the error of weights that learn a linear map from noisy targets, in ranges."""
    rng = np.random.default_rng(7)
    shape, device = (8, 12), msgspec.structs.replace(LAME, step=0.01)
    fast = device if programming.get("accumulate") == "analog" else None
    array = array_of(device, shape, fast=fast, **programming)
    wanted = 1e-6 + SPAN * rng.uniform(0.55, 0.85, shape)
    tail = []
    for event in range(steps):
        x = rng.choice([-1.0, 1.0], size=(1, 12))
        error = x @ (wanted - array.values()).T + noise * SPAN * rng.normal(size=(1, 8))
        array.program(update_of(x, rate * error), event)
        if event >= steps // 2:
            tail.append(array.values())
    return np.sqrt(np.mean((np.mean(tail, axis=0) - wanted) ** 2)) / SPAN


def test_tiki_taka_learns_where_asymmetry_pulls_plain_updates_away():
    plain = learned(2000, 0.02, 0.5)
    transferred = learned(2000, 0.02, 0.5, accumulate="analog", transfer_rate=0.1)
    assert plain > 0.1
    assert transferred < plain / 3


def test_carrying_moves_what_is_there_and_adds_up_small_changes():
    device = msgspec.structs.replace(EVEN, step=1 / 64)
    cells = fabricate(device, 3, 4, width=1.0, seed=0, array=0)
    narrow = fabricate(device, 3, 4, width=0.1, seed=0, array=1)
    array = CrossbarArray(
        np.zeros((3, 4), "float32"),
        cells,
        driven=True,
        programming=Programming(accumulate="carry", carry_every=10),
        fast=narrow,
    )
    array.write(np.full((3, 4), 11e-6))
    start, small = array.values(), narrow.law.step_up
    for event in range(200):
        array.program(update_of(np.ones((1, 4)), small * np.full((1, 3), 0.5)), event)
    record = array.record()
    assert record["main_pulses"].min() >= 8
    # 100 small steps with stochastic rounding: the deviation is 7 of them.
    assert_allclose(array.values() - start, 100 * small, atol=4 * 7.1 * small, rtol=0)
    assert_allclose(
        record["conductance"], record["main_conductance"] + record["fast_conductance"], rtol=1e-6
    )


def test_half_selected_cells_feel_their_share():
    array = array_of(EVEN, (200, 100), half_select=0.02)
    x, d = np.zeros((1, 100)), np.zeros((1, 200))
    x[0, :10], d[0, :50] = 1.0, 5 * array.cells.law.step_up
    array.program(update_of(x, d), 0)
    felt = (array.values() - 11e-6) / array.cells.law.step_up
    # Word lines carry 50 cells of 5 pulses, bit lines 10.
    for part, pulses in ((felt[50:, :10], 250), (felt[:50, 10:], 50)):
        mean = 0.02 * pulses
        assert abs(part.mean() - mean) < 4 * np.sqrt(0.25 / part.size) + 1e-3 * mean
    assert_array_equal(felt[50:, 10:], 0)


SCHEMES = {
    "train": {"pulses": "train"},
    "train in sequence": {"pulses": "train", "order": "sequential"},
    "sequence": {"order": "sequential"},
    "sign": {"pulses": "sign"},
    "write-verify": {"pulses": "write-verify", "accumulate": "digital"},
    "momentum": {"optimizer": "momentum"},
    "adam": {"optimizer": "adam", "adam_step": 0.02, "accumulate": "digital"},
    "tiki-taka": {"accumulate": "analog", "transfer_every": 2, "pulses": "train"},
    "carry": {"accumulate": "carry", "carry_every": 2},
    "half-selected": {"half_select": 0.01},
}


def test_write_verify_keeps_what_is_less_than_its_tolerance():
    """Changes of a fifth of the tolerance add up in the memory, and none is lost."""
    device = msgspec.structs.replace(EVEN, step=0.001, step_noise=0.3)
    options = {"pulses": "write-verify", "verify_tolerance": 0.005, "accumulate": "digital"}
    array = array_of(device, (3, 4), **options)
    for event in range(103):
        array.program(update_of(np.ones((1, 4)), 0.001 * SPAN * np.ones((1, 3))), event)
    moved = array.values() - 11e-6 + array.record()["accumulated"]
    assert_allclose(moved, 0.103 * SPAN, rtol=1e-4)
    # Of cells at their limit no more is kept than the range.
    for event in range(103, 110):
        array.program(update_of(np.ones((1, 4)), SPAN * np.ones((1, 3))), event)
    assert_allclose(array.record()["accumulated"], SPAN, rtol=1e-4)


@pytest.mark.parametrize("name", SCHEMES)
def test_a_restored_array_goes_on_with_the_same_bits(name):
    rng = np.random.default_rng(4)
    device = msgspec.structs.replace(LAME, step_noise=0.3, step_spread=0.2, write_noise=0.01)
    fast = device if "carry_every" in SCHEMES[name] or "transfer_every" in SCHEMES[name] else None
    arrays = [array_of(device, (9, 20), fast=fast, **SCHEMES[name]) for _ in range(2)]
    arrays[0].write(rng.uniform(2e-6, 20e-6, (9, 20)))
    updates = [
        Update(
            presynaptic=rng.normal(size=(2, 2, 20)).astype("f4"),
            postsynaptic=(LAME.step * SPAN * rng.normal(size=(2, 2, 9))).astype("f4"),
            row=(LAME.step * SPAN * rng.normal(size=(2, 20))).astype("f4"),
        )
        for _ in range(3)
    ]
    coming = rng.normal(size=(3, 20)).astype("f4")
    for k, update in enumerate(updates[:2]):
        arrays[0].program(update, 2 * k)
    arrays[1].restore({key: value.copy() for key, value in arrays[0].record().items()})
    before = arrays[0].values()
    one, other = (array.program(updates[2], 4, coming) for array in arrays)
    assert_array_equal(one, other)
    after = arrays[0].record()
    for key, values in arrays[1].record().items():
        assert_array_equal(values, after[key])
    assert np.any(after["conductance"] != before)
    assert_allclose(one, arrays[0].read(coming), rtol=0, atol=1e-5 * np.abs(one).max())
    assert_allclose(arrays[0].seen(0).unit_sums, arrays[0].values().sum(axis=1), rtol=1e-5)
