"""Weights to cells and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.mappings.schemes import BitSliced, DifferentialPair, Direct, Offset

LOW, HIGH = 1e-6, 9e-6


@st.composite
def schemes(draw):
    low = draw(st.floats(0.0, 1e-5))
    window = {
        "low": low,
        "high": low + draw(st.floats(1e-7, 1e-4)),
        "rounding": draw(st.sampled_from(["nearest", "stochastic"])),
    }
    kind = draw(st.sampled_from(["pair", "one side", "offset", "sliced"]))
    window["n_levels"] = draw(st.sampled_from([0, 2, 3, 16, 256]))
    if kind == "sliced":
        slices, bits = draw(st.integers(2, 4)), draw(st.integers(2, 5))
        return BitSliced(**window, slices=slices, bits=bits)
    if kind == "offset":
        return Offset(**window)
    return DifferentialPair(**window, sides="one" if kind == "one side" else "both")


@settings(max_examples=150, deadline=None)
@given(schemes(), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_cells_lie_in_the_window_and_give_the_weights_back_within_the_error(
    scheme, units, inputs, seed
):
    rng = np.random.default_rng(seed)
    wanted = scheme.largest * rng.uniform(-1, 1, (units, inputs))
    wanted[rng.uniform(size=wanted.shape) < 0.2] = scheme.largest
    draws = rng.uniform(size=wanted.shape)
    cells = scheme.to_conductances(wanted, draws)
    # Rounding of float64 only, of numbers up to the window's upper limit.
    exact = 1e-14 * scheme.high
    for cell in cells:
        assert np.all(cell >= scheme.low - exact)
        assert np.all(cell <= scheme.high + exact)
    held = scheme.to_weights(cells)
    assert np.abs(held - wanted).max() <= scheme.error + 20 * exact


@pytest.mark.parametrize("levels", [2, 5, 16])
@pytest.mark.parametrize("kind", [DifferentialPair, Offset])
def test_the_stated_error_is_reached(kind, levels):
    scheme = kind(low=LOW, high=HIGH, n_levels=levels)
    wanted = np.linspace(-scheme.largest, scheme.largest, 20_001)[None]
    error = np.abs(scheme.to_weights(scheme.to_conductances(wanted)) - wanted).max()
    assert error > 0.99 * scheme.error


def test_weights_beyond_the_largest_are_clipped():
    for scheme in (
        DifferentialPair(low=LOW, high=HIGH),
        Offset(low=LOW, high=HIGH),
        BitSliced(low=LOW, high=HIGH),
    ):
        cells = scheme.to_conductances(np.array([[-1.0, 1.0]]))
        assert_allclose(
            scheme.to_weights(cells), [[-scheme.largest, scheme.largest]], rtol=0, atol=1e-14 * HIGH
        )


def test_stochastic_rounding_is_unbiased():
    scheme = Offset(low=LOW, high=HIGH, n_levels=5, rounding="stochastic")
    draws = (np.arange(1000)[None] + 0.5) / 1000
    wanted = np.full((1, 1000), 0.3 * scheme.largest)
    held = scheme.to_weights(scheme.to_conductances(wanted, draws))
    # Evenly spaced draws meet the mean up to one of 1000 steps of half of the largest.
    assert_allclose(held.mean(), wanted[0, 0], rtol=0, atol=1e-3 * 0.5 * scheme.largest)
    assert len(np.unique(held)) == 2


def test_one_side_rests_at_the_lower_limit():
    positive, negative = DifferentialPair(low=LOW, high=HIGH, sides="one").to_conductances(
        np.array([[3e-6, -2e-6, 0.0]])
    )
    assert_allclose(positive, [[4e-6, LOW, LOW]])
    assert_allclose(negative, [[LOW, 3e-6, LOW]])


def test_a_reference_column_counts_for_every_unit():
    scheme = Offset(low=LOW, high=HIGH)
    cells = np.array([[4e-6, 5e-6], [6e-6, 7e-6]])
    assert_allclose(scheme.to_weights([cells], np.array([1e-6, 2e-6])), [[3e-6, 3e-6], [5e-6] * 2])


def test_spent_are_cells_that_cannot_be_moved_on():
    pair = DifferentialPair(low=LOW, high=HIGH, sides="one")
    low, middle, high = np.full((1, 1), LOW), np.full((1, 1), 5e-6), np.full((1, 1), HIGH)
    assert not pair.spent([low, middle])
    assert pair.spent([low, high])
    assert DifferentialPair(low=LOW, high=HIGH).spent([low, middle])
    assert not BitSliced(low=LOW, high=HIGH).spent([high, middle])
    assert BitSliced(low=LOW, high=HIGH).spent([middle, low])


def test_a_cell_without_limits_is_the_weight():
    wanted = np.array([[-2.0, 3.0]])
    scheme = Direct()
    assert_array_equal(scheme.to_weights(scheme.to_conductances(wanted)), wanted)
    assert not scheme.spent([wanted]).any()
