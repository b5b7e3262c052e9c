"""Cauchy's formula: around a circle of nudgings the error falls with the number of points."""

import pytest
from numpy.testing import assert_allclose

from neurohw.experiments.gradient_check import check

SMALL = (
    *("training.engine=numpy", "data.name=digits", "data.train=40", "network.hidden=[6, 5]"),
    "relaxation.tolerance=1e-12",
)


def errors(activation, points, nudging, variant="holomorphic"):
    """Return the relative errors of converged gradients, one a number of points."""
    found = check(
        "ep-2h",
        settings=(*SMALL, f"network.activation={activation}"),
        converged=True,
        variants=[variant],
        over=("learning.points", [str(number) for number in points]),
        nudgings=[nudging],
        samples=4,
    )
    return [point.overall.relative_error for point in found.points]


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_the_error_falls_with_the_points(activation):
    """The bars of the method, at a nudging where two points are off by half a percent or more."""
    two, eight, sixteen = errors(activation, [2, 8, 16], 0.1)
    assert two > 5e-3
    assert eight < 1e-6
    assert sixteen < 1e-10


def test_its_order_in_the_nudging_is_the_number_of_points():
    """(0.2/0.1)^4 of four points; the next order, β^4 times the first, moves it by some percent."""
    (near,), (far,) = errors("tanh", [4], 0.1), errors("tanh", [4], 0.2)
    assert_allclose(far / near, 2**4, rtol=0.1)


def test_two_points_are_the_variant_centered():
    (two,) = errors("sigmoid", [2], 0.1)
    (centered,) = errors("sigmoid", [2], 0.1, "centered")
    # Newton steps and bisection end within rounding of each other.
    assert_allclose(two, centered, rtol=1e-9)
