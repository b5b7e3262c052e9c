import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.errors import InvalidValueError
from neurohw.networks.connections import Connection, convolution, square_map

RNG = np.random.default_rng(0)


def convolved(image, weights, padding):
    """Return (rows, columns, channels) of a (rows, columns, depth) image, one weight at a time."""
    channels, kernel, _, depth = weights.shape
    image = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    width = len(image) - kernel + 1
    found = np.zeros((width, width, channels))
    for y, x, c in np.ndindex(found.shape):
        for dy, dx, d in np.ndindex(kernel, kernel, depth):
            found[y, x, c] += weights[c, dy, dx, d] * image[y + dy, x + dx, d]
    return found


def pooled(maps, how):
    """Return what reaches the units, and (field, channel) positions of the largest."""
    side, channels = len(maps) // 2, maps.shape[2]
    found, places = np.zeros((side, side, channels)), {}
    for y, x, c in np.ndindex(found.shape):
        field = [(maps[2 * y + i, 2 * x + j, c], i, j) for i in (0, 1) for j in (0, 1)]
        largest = max(field, key=lambda each: each[0])
        places[y, x, c] = 2 * y + largest[1], 2 * x + largest[2]
        found[y, x, c] = largest[0] if how == "max" else np.mean([each[0] for each in field])
    return found, places


def make(pool="max", padding=0, depth=2, **options):
    joined = convolution(6 - 2 * padding, depth, 3, 3, padding=padding, pool=pool, **options)
    weights = RNG.normal(size=joined.shape)
    return joined, weights, RNG.uniform(size=(2, joined.inputs))


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("pool", ["max", "average", None])
def test_a_convolution_is_that_of_its_definition(pool, padding):
    joined, weights, signals = make(pool, padding)
    currents = joined.lines(signals) @ weights.T
    found = joined.collected(currents)
    for sample, image in enumerate(signals.reshape(2, joined.side, joined.side, 2)):
        expected = convolved(image, weights.reshape(3, 3, 3, 2), padding)
        assert_allclose(currents[sample], expected.reshape(-1, 3), rtol=1e-12, atol=1e-12)
        if pool is not None:
            expected, _ = pooled(expected, pool)
        assert_allclose(found[sample], expected.ravel(), rtol=1e-12, atol=1e-12)
    assert joined.units == found.shape[1]
    assert joined.positions == currents.shape[1] == 16


def test_only_the_largest_of_a_field_gets_what_comes_back():
    joined, weights, signals = make("max")
    currents = joined.lines(signals) @ weights.T
    above = RNG.uniform(0.1, 1, size=(2, joined.units))
    found = joined.driven(above, currents).reshape(2, 4, 4, 3)
    for sample in range(2):
        _, places = pooled(currents[sample].reshape(4, 4, 3), "max")
        for (y, x, c), (row, column) in places.items():
            field = found[sample, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2, c]
            assert np.count_nonzero(field) == 1
            assert found[sample, row, column, c] == above.reshape(2, 2, 2, 3)[sample, y, x, c]


def test_of_equal_currents_one_gets_it():
    joined, _, _ = make("max")
    above = np.ones((1, joined.units))
    found = joined.driven(above, np.zeros((1, 16, 3))).reshape(4, 4, 3)
    assert_array_equal(found[::2, ::2], 1)
    assert found.sum() == joined.units


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("pool", ["max", "average", None])
def test_the_way_back_is_the_transpose(pool, padding):
    """Both ways are those of the dense weights for which the array stands."""
    joined, weights, signals = make(pool, padding)
    currents = joined.lines(signals) @ weights.T
    above = RNG.normal(size=(2, joined.units))
    back = joined.returned(joined.driven(above, currents) @ weights)
    arriving = joined.collected(currents)
    for sample in range(2):
        dense = joined.joined(weights, currents[sample])
        assert dense.shape == (joined.units, joined.inputs)
        assert_allclose(arriving[sample], dense @ signals[sample], rtol=1e-12, atol=1e-12)
        assert_allclose(back[sample], above[sample] @ dense, rtol=1e-12, atol=1e-12)


def test_channels_of_images_may_come_first():
    last, _, signals = make("average")
    first, _, _ = make("average", channels_first=True)
    turned = np.moveaxis(signals.reshape(2, 6, 6, 2), 3, 1).reshape(2, -1)
    assert_array_equal(first.lines(turned), last.lines(signals))


def test_biases_belong_to_channels():
    joined, _, _ = make("max")
    assert_array_equal(joined.spread(np.arange(3.0)), np.tile([0.0, 1.0, 2.0], 4))
    signals = RNG.normal(size=(5, joined.units))
    maps = signals.reshape(5, 4, 3)
    assert_allclose(joined.by_line(signals), maps.sum(axis=1), rtol=1e-12)


def test_a_dense_connection_leaves_everything_as_it_is():
    dense = Connection(inputs=4, units=3)
    signals = RNG.normal(size=(2, 4))
    ways = (dense.lines, dense.collected, dense.driven, dense.returned, dense.by_line, dense.joined)
    assert all(way(signals) is signals for way in ways)
    assert (dense.shape, dense.fans, dense.positions, dense.switched) == ((3, 4), (4, 3), 1, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(kernel=7), "here: kernel = 7: does not fit a map of 6 × 6"),
        (dict(kernel=9, padding=1), "does not fit a map of 6 × 6 with padding 1"),
        (dict(kernel=2, padding=2), "padding = 2: must be below kernel = 2"),
        (dict(kernel=2, pool="max"), "a map of 5 × 5 has no whole number of fields of 2 × 2"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InvalidValueError, match=message):
        convolution(6, 1, 2, **{"kernel": 3, **arguments}, where="here")


def test_images_must_be_square():
    assert square_map((8, 8), (0, 1)) == (8, 1, False)
    assert square_map((3, 8, 8), (1, 2)) == (8, 3, True)
    assert square_map((8, 8, 3), (0, 1)) == (8, 3, False)
    for shape, axes in (((8, 6), (0, 1)), ((64,), None)):
        with pytest.raises(InvalidValueError, match="are no square pictures"):
            square_map(shape, axes)
