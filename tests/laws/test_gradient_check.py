"""The laboratory shows what theory says: slopes in the nudging, bias against noise."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.experiments.gradient_check import check

SMALL = ("training.engine=numpy", "data.name=digits", "data.train=40")
HOPFIELD = (*SMALL, "network.hidden=[6, 5]", "network.activation=tanh")
RESISTIVE = (*SMALL, "network.hidden=[6]")


def curves(recipe, settings, **options):
    found = check(recipe, settings=settings, samples=4, **options)
    return {setting.variant: points for setting, points in found.curves.items()}, found


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [("ep-2h", HOPFIELD), ("drn-digits", RESISTIVE)],
    ids=["hopfield", "resistive"],
)
def test_the_error_grows_with_its_order_in_the_nudging(recipe, settings):
    """Order 1 from one side, 2 from both; the next order is of the size of β times the first."""
    betas = np.array([0.01, 0.02])
    found, _ = curves(
        recipe, settings, converged=True, variants=["positive", "centered"], nudgings=betas
    )
    for variant, order in (("positive", 1), ("centered", 2)):
        assert [p.kinks for p in found[variant]] == [0, 0]
        errors = [p.overall.relative_error for p in found[variant]]
        assert_allclose(np.log2(errors[1] / errors[0]), order, atol=0.1)


def test_small_centered_nudging_gives_the_gradient():
    found, _ = curves("ep-2h", HOPFIELD, converged=True, variants=["centered"], nudgings=[1e-3])
    (point,) = found["centered"]
    assert point.overall.one_minus_cosine < 1e-8
    assert max(part.one_minus_cosine for part in (*point.layers, *point.biases)) < 1e-8
    assert point.free_error < 1e-7


def test_read_noise_moves_the_best_nudging_up():
    """Spread falls as 1/β, bias grows: with noise in each phase more nudging does better."""
    found = check(
        "drn-digits",
        settings=(*RESISTIVE, "chip.device.reading.correlation=phase"),
        over=("chip.device.reading.relative", ["0", "1e-3"]),
        nudgings=[0.001, 0.01, 0.03],
        samples=4,
    )
    quiet, loud = found.curves.values()
    assert [point.repeats for point in (quiet[0], loud[0])] == [1, 8]
    assert all(point.overall.spread == 0 for point in quiet)
    # The same draws at all three, through networks that differ by the nudging.
    spreads = np.array([point.overall.spread for point in loud])
    assert_allclose(spreads[:2] / spreads[1:], [10, 3], rtol=0.1)
    assert loud[0].overall.bias < 0.5 * loud[0].overall.spread
    best = [point.nudging for point in found.best.values()]
    assert best == [0.001, 0.03]


def test_converters_that_are_too_coarse_cost_the_angle():
    """An ADC of the voltages: what the phases differ by is small beside their size."""
    found = check(
        "drn-digits",
        settings=(*RESISTIVE, "chip.converters.read=states"),
        over=("chip.converters.state_adc.bits", ["6", "20"]),
        nudgings=[0.01],
        samples=4,
    )
    coarse, fine = (point.overall.one_minus_cosine for point in found.points)
    assert coarse > 0.05 > 10 * fine


def test_fewer_sweeps_leave_the_network_farther_from_rest():
    found = check(
        "ep-2h",
        settings=HOPFIELD,
        variants=["positive"],
        sweeps=[(5, 3), (150, 40)],
        nudgings=[0.05],
        samples=4,
    )
    few, many = found.points
    # Stored equilibria start at rest, to half precision; what is short is the nudged phase.
    assert few.overall.relative_error > 3 * many.overall.relative_error
    zero = check(
        "ep-2h",
        settings=(*HOPFIELD, "relaxation.start=zero"),
        variants=["positive"],
        sweeps=[(5, 3)],
        nudgings=[0.05],
        samples=4,
    )
    assert zero.points[0].free_error > 0.01 > few.free_error
