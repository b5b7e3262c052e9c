import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.circuits import tiles
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.terminal_model import TerminalModel


def cells(seed=0):
    """Draw 24 by 40 cells of up to 20 µS; a third are missing."""
    g = np.random.default_rng(seed).uniform(-10e-6, 20e-6, (24, 40))
    return np.maximum(g, 0.0)


def wires(resistance=1.0, **options):
    return Wires(word_line=resistance, bit_line=resistance, tile=16, **options)


@pytest.mark.parametrize("driven", [False, True])
def test_a_refresh_is_exact(driven):
    g = cells()
    model, exact = TerminalModel(g, wires(), driven=driven), tiles.reduce(g, wires())
    for key in ("transfer", "unit_sums", "unit_coupling", "input_sums", "input_coupling"):
        found = getattr(model, key)
        if driven and key.startswith("input"):
            assert found is None
        else:
            expected = getattr(exact, key)
            assert_allclose(found, expected, rtol=0, atol=1e-12 * exact.unit_sums.max())


def deviation(resistance, change):
    """Return the largest error of a terminal conductance, over the mean cell."""
    g = cells()
    model = TerminalModel(g, wires(resistance), driven=False)
    after = np.maximum(g + change * cells(1), 0.0)
    model.follow(after)
    exact = tiles.reduce(after, wires(resistance))
    errors = [
        np.abs(getattr(model, key) - getattr(exact, key)).max()
        for key in ("transfer", "unit_coupling", "input_coupling")
    ]
    return max(errors) / g.mean()


def test_between_refreshes_the_error_is_resistance_times_change():
    base = deviation(0.1, 0.1)
    # No less than the drop that one changed cell causes at its own place, no more than what the
    # largest change of every cell causes at the far corners of three tiles.
    largest = 0.1 * 20e-6
    assert 0.1 * largest < base < 3 * 16**2 * 0.1 * largest
    assert_allclose(deviation(0.1, 0.05), base / 2, rtol=0.05)
    assert_allclose(deviation(0.05, 0.1), base / 2, rtol=0.05)


def test_equal_voltages_drive_no_current():
    g = cells()
    model = TerminalModel(g, wires(30.0), driven=False)
    model.follow(g + cells(1))
    of_units = model.unit_sums - model.unit_coupling.sum(axis=1) - model.transfer.sum(axis=1)
    assert_allclose(of_units, 0, rtol=0, atol=1e-14 * model.unit_sums.max())
    of_inputs = model.input_sums - model.input_coupling.sum(axis=1) - model.transfer.sum(axis=0)
    assert_allclose(of_inputs, 0, rtol=0, atol=1e-14 * model.input_sums.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.kernels
def test_follow_reads_on_the_way(dtype):
    g = cells().astype(dtype)
    model = TerminalModel(g, wires(), driven=True)
    voltages = np.random.default_rng(2).normal(size=(8, 40)).astype(dtype)
    changed = g + cells(1).astype(dtype)
    found = model.follow(changed, voltages)
    share = tiles.reduce(g, wires(), driven=True).passed
    expected = tiles.reduce(g, wires(), driven=True).transfer + share * (changed - g)
    rounding = 100 * np.finfo(dtype).eps
    assert_allclose(model.transfer, expected, rtol=0, atol=rounding * expected.max())
    product = voltages @ model.transfer.T
    assert_allclose(found, product, rtol=0, atol=rounding * np.abs(product).max())


def test_a_restored_model_goes_on_bitwise():
    g = cells()
    first = TerminalModel(g, wires(), driven=False)
    first.follow(g + cells(1))
    second = TerminalModel(cells(3), wires(), driven=False)
    second.restore(g + cells(1), first.record())
    for model in (first, second):
        model.follow(g + cells(2))
    for key in ("transfer", "unit_sums", "input_sums", "unit_coupling", "input_coupling"):
        assert_array_equal(getattr(first, key), getattr(second, key))


def test_refreshes_fall_on_multiples_of_events():
    model = TerminalModel(cells(), wires(refresh=5), driven=True)
    due = [event for event in range(20) if model.is_due(event, event + 1)]
    assert due == [4, 9, 14, 19]
    assert model.is_due(3, 7)
    assert not model.is_due(5, 9)
