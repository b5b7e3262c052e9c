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


def deviation(resistance, change, *, shares, of="transfer"):
    """Return the largest error after a change without a refresh, over the mean cell."""
    g = cells()
    model = TerminalModel(g, wires(resistance, refresh=400), driven=False)
    after = g + change * cells(1)
    model.advance(after, 9, 10 if shares else 9)
    model.follow(after)
    exact = tiles.reduce(after, wires(resistance))
    return np.abs(getattr(model, of) - getattr(exact, of)).max() / g.mean()


@pytest.mark.parametrize(
    ("of", "shares", "order"),
    [
        ("transfer", True, 2),
        ("transfer", False, 1),
        ("unit_coupling", True, 2),
        ("input_coupling", True, 2),
        ("unit_coupling", False, 1),
        ("unit_sums", True, 2),
    ],
)
def test_the_error_between_refreshes_has_an_order_in_resistance_and_in_change(of, shares, order):
    base = deviation(0.2, 0.1, shares=shares, of=of)
    half = deviation(0.1, 0.1, shares=shares, of=of)
    assert_allclose(np.log2(base / half), order, rtol=0.05)
    smaller = deviation(0.2, 0.05, shares=shares, of=of)
    assert_allclose(base / smaller, 2, rtol=0.1)
    # No more than what the largest change of every cell of three tiles causes at a far corner.
    assert base < 3 * 16**2 * 0.2 * 0.1 * 20e-6


def test_equal_voltages_drive_no_current():
    g = cells()
    model = TerminalModel(g, wires(30.0), driven=False)
    model.retake(g + cells(1))
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
    share = tiles.passed(g, wires())
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
        model.retake(g + cells(2))
        model.follow(g + cells(2))
    for key in ("transfer", "unit_sums", "input_sums", "unit_coupling", "input_coupling"):
        assert_array_equal(getattr(first, key), getattr(second, key))


def test_refreshes_fall_on_multiples_of_events(monkeypatch):
    model, done = TerminalModel(cells(), wires(refresh=80), driven=True), []
    monkeypatch.setattr(model, "refresh", lambda conductance: done.append("refresh"))
    monkeypatch.setattr(model, "retake", lambda conductance: done.append("shares"))
    for event in range(77, 83):
        model.advance(cells(), event, event + 1)
    assert done == ["shares", "refresh", "shares"]
    model.advance(cells(), 76, 81)
    assert done[-1] == "refresh"
