"""Arrays of signed weights, by every scheme, against dense algebra."""

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.chip import SignedArray, SignedChip
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.mappings import chip_specification
from neurohw.update import Update

UNITS, INPUTS = 5, 7
EXACT = msgspec.structs.replace(chip_specification.load("ideal").device, g_min=1e-6, g_max=9e-6)
SCHEMES = {
    "unlimited": {},
    "pair": {"scheme": "differential-pair"},
    "offset": {"scheme": "offset"},
    "column": {"scheme": "offset", "reference": "column"},
    "sliced": {"scheme": "bit-sliced", "slice_bits": 4, "slices": 3},
}


def make_array(name="pair", *, chip="ideal", size=0.5, dtype="float64", **keys):
    """Return one array, and the weights [S] that were written."""
    specification = chip_specification.load(chip)
    device = specification.device
    if chip == "ideal" and name != "unlimited":
        device = EXACT
    mapping = chip_specification.Mapping(**SCHEMES.get(name, {}) | keys)
    specification = msgspec.structs.replace(specification, device=device, mapping=mapping)
    weights = size * np.random.default_rng(0).uniform(-1, 1, (UNITS, INPUTS))
    built = SignedChip(specification, [weights], seed=3, dtype=dtype)
    return built.arrays[0], weights * built.scale.unit_conductances[0]


def make_update(size, *, events=1, seed=1, dtype="float64", **more):
    rng = np.random.default_rng(seed)
    return Update(
        presynaptic=rng.normal(size=(events, 2, INPUTS)).astype(dtype),
        postsynaptic=(size * rng.normal(size=(events, 2, UNITS))).astype(dtype),
        **more,
    )


@pytest.mark.parametrize("name", SCHEMES)
def test_reads_are_those_of_the_written_weights(name):
    array, wanted = make_array(name)
    error = array.scheme.error
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(3, INPUTS)), rng.normal(size=(3, UNITS))
    weights = array.values()
    assert_allclose(weights, wanted, rtol=0, atol=error + 1e-12 * abs(wanted).max())
    scale = 1e-12 * 9e-6 * INPUTS
    assert_allclose(array.seen(0).conductance, weights, rtol=1e-12, atol=scale)
    assert_allclose(array.read(x), x @ weights.T, rtol=1e-12, atol=scale)
    assert_allclose(array.read_transposed(y), y @ weights, rtol=1e-12, atol=scale)


@pytest.mark.parametrize("name", SCHEMES)
def test_what_is_read_backwards_may_have_another_gain(name):
    """Of each input line as a whole: also of what a fixed reference takes off."""
    array, _ = make_array(name)
    gains = np.linspace(0.8, 1.2, INPUTS)
    other = SignedArray(
        array.crossbars, array.scheme, reference=array.reference, transposed_gain=gains
    )
    x, y = np.ones((2, INPUTS)), np.random.default_rng(5).normal(size=(3, UNITS))
    assert_array_equal(other.read_transposed(y), gains * array.read_transposed(y))
    assert_array_equal(other.read(x), array.read(x))
    seen = other.seen(0)
    scale = 1e-12 * 9e-6 * UNITS
    assert_allclose(seen.backwards(y), other.read_transposed(y), rtol=1e-12, atol=scale)


@pytest.mark.parametrize("name", SCHEMES)
def test_an_exact_update_changes_the_weights_by_it(name):
    array, wanted = make_array(name)
    rng = np.random.default_rng(2)
    size = 0.002 * abs(wanted).max()
    update = make_update(
        size, column=size * rng.normal(size=(1, UNITS)), row=size * rng.normal(size=(1, INPUTS))
    )
    before, x = array.values(), rng.normal(size=(2, INPUTS))
    projection = array.program(update, 0, x)
    after = before + update.dense(before, 0)
    assert_allclose(array.values(), after, rtol=0, atol=1e-11 * abs(wanted).max())
    assert_allclose(projection, array.read(x), rtol=0, atol=1e-11 * abs(wanted).max() * INPUTS)


@pytest.mark.parametrize("name", ["unlimited", "pair", "offset", "column"])
def test_decay_takes_weights_towards_0(name):
    array, wanted = make_array(name)
    update = make_update(0.0, decay=np.linspace(0.0, 0.1, UNITS)[None])
    before = array.values()
    array.program(update, 0)
    left = 1 - update.decay[0][:, None]
    assert_allclose(array.values(), left * before, rtol=0, atol=1e-12 * abs(wanted).max())


def test_decay_of_slices_is_refused():
    with pytest.raises(UnsupportedError, match=r"update\.decay"):
        make_array("sliced")[0].program(make_update(0.0, decay=np.ones((1, UNITS))), 0)


def test_one_side_is_only_raised_and_a_refresh_makes_room():
    array, _ = make_array(chip="epiram", sides="one", refresh=0, size=0.01)
    update = make_update(2e-7, seed=4)
    before = [c.values() for c in array.crossbars]
    for event in range(40):
        array.program(update, event)
    after = [c.values() for c in array.crossbars]
    wanted = update.dense(array.values(), 0)
    # Beyond five standard deviations of the cells' noise a rise is a rise.
    noise = 5 * array.crossbars[0].cells.law.sigma * np.sqrt(array.pulses.max())
    assert np.all(after[0][wanted < 0] == before[0][wanted < 0])
    assert np.all(after[1][wanted > 0] == before[1][wanted > 0])
    assert np.all(after[0][wanted > 1e-7] > before[0][wanted > 1e-7] - noise)
    spent = array.scheme.spent(after)
    assert spent.any()
    weights = array.values()
    array._rewrite(41)
    assert not array.scheme.spent([c.values() for c in array.crossbars])[~spent].any()
    # The nearest level of a steep curve of 64 pulses is at most this far.
    assert np.abs(array.values() - weights)[spent].max() < 0.03 * array.scheme.largest
    assert_array_equal(array.values()[~spent], weights[~spent])


def test_a_carry_makes_room_in_the_last_slice():
    array, wanted = make_array("sliced", refresh=5, slices=2)
    update = make_update(0.01 * abs(wanted).max(), seed=6)
    before = array.values()
    for event in range(30):
        array.program(update, event)
    total = 30 * update.dense(before, 0)
    inside = np.abs(before + total) < array.scheme.largest
    # A carry leaves half of the last slice's way to its limit to the updates until the next.
    slice_range = array.scheme.coefficients[-1] * (EXACT.g_max - EXACT.g_min)
    free = inside & (np.abs(total) < 6 * 0.24 * slice_range)
    assert (free & (np.abs(total) > 0.6 * slice_range)).any()
    missed = np.abs(array.values() - before - total)
    assert missed[free].max() <= 1e-11 * np.abs(wanted).max()


def test_a_verified_write_meets_its_tolerance_within_its_budget():
    free, wanted = make_array("offset", chip="gst-pcm")
    array, _ = make_array("offset", chip="gst-pcm", verify_pulses=300, verify_tolerance=0.02)
    assert array.pulses.sum() > 0
    assert array.pulses.max() <= 300
    missed = np.abs(array.values() - wanted)
    assert np.mean(missed <= 0.02 * 2 * array.scheme.largest * 1.001) > 0.9
    few, _ = make_array("offset", chip="gst-pcm", verify_pulses=4)
    assert few.pulses.max() <= 4
    assert np.abs(few.values() - wanted).max() > np.abs(free.values() - wanted).max()


def test_a_column_of_its_own_gain_holds_weights_that_its_range_does_not():
    array, wanted = make_array("offset", scale="column")
    wanted = wanted * np.linspace(0.1, 9.0, UNITS)[:, None]
    array.write(wanted, fit=True)
    assert_allclose(array.values(), wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())
    update = make_update(1e-3 * np.abs(wanted).max())
    update = msgspec.structs.replace(update, row=1e-9 * np.ones((1, INPUTS)))
    before = array.values()
    array.program(update, 0)
    change = array.values() - before
    free = np.abs(before) < 0.9 * np.abs(wanted).max(axis=1, keepdims=True)
    free[0] = False  # its range is too small for the change
    assert_allclose(change[free], update.dense(before, 0)[free], rtol=1e-6)


@pytest.mark.parametrize("name", ["pair", "column"])
def test_a_record_restores_everything(name):
    array, _ = make_array(name, chip="epiram", dtype="float32", refresh=2, sides="both")
    other, _ = make_array(name, chip="epiram", dtype="float32", refresh=2, size=0.1)
    update = make_update(1e-6, dtype="float32")
    array.program(update, 0)
    other.restore(array.record())
    for event in (1, 2):
        array.program(update, event)
        other.program(update, event)
    for key, value in array.record().items():
        assert_array_equal(value, other.record()[key])


def test_wires_take_current_from_every_crossbar_alike():
    wires = {"word_line": 50.0, "bit_line": 50.0, "tile": 4}
    chips = [
        chip_specification.load({"device": {"law": "ideal", "g_min": 1e-6, "g_max": 9e-6}, **more})
        for more in ({}, {"wires": wires})
    ]
    weights = np.random.default_rng(0).uniform(-1, 1, (UNITS, INPUTS))
    plain, wired = (SignedChip(c, [weights], seed=0, dtype="float64").arrays[0] for c in chips)
    x, y = np.ones((2, INPUTS)), np.ones((3, UNITS))
    seen = wired.seen(0).conductance
    assert_allclose(wired.read(x), x @ seen.T, rtol=0, atol=1e-16)
    assert_allclose(wired.read_transposed(y), y @ seen, rtol=0, atol=1e-16)
    assert_array_equal(wired.values(), plain.values())
    lost = np.abs(plain.values() - seen).max()
    # At most tile segments on both lines carry at most tile cells' currents.
    assert 0 < lost < 8 * 50.0 * (4 * 9e-6) * 9e-6
    before, update = wired.values(), make_update(1e-8)
    wired.program(update, 0)
    assert_allclose(wired.values(), before + update.dense(before, 0), rtol=0, atol=1e-18)


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"scheme": "single-ended"}, InvalidValueError),
        ({"sides": "one"}, InvalidValueError),
        ({"weight_range": (1.0, 2.0)}, InvalidValueError),
    ],
)
def test_mappings_that_hold_no_signed_weights_are_refused(keys, error):
    with pytest.raises(error, match=r"^mapping\."):
        make_array("", **keys)
