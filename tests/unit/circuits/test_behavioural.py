"""Functions of decks are the characteristics that they are written from."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits import behavioural
from neurohw.circuits.curves import Curve
from neurohw.circuits.netlist import Elements, Netlist, options
from neurohw.engines.spice.session import session

POINTS = np.linspace(-0.3, 0.7, 48)
CURVES = {
    "two points": Curve(voltage=(-0.1, 0.3), current=(-1 / 3, 2 / 7)),
    "steep": Curve(voltage=(-1.0, 0.0, 0.001, 0.01), current=(-1e-9, 0.0, 1e-5, 1e-3)),
    "many points": Curve(voltage=tuple(POINTS), current=tuple(1e-9 * np.expm1(POINTS / 0.03))),
    "line": Curve(voltage=(-1.0, 1.0), coefficients=(1 / 3,)),
    "polynomial": Curve(voltage=(-0.7, 0.9), coefficients=(2e-6, 1e-6, 1e-5, 0, 2e-5, 0, 1e-5)),
    "fit": Curve(voltage=tuple(POINTS), current=tuple(np.sinh(3 * POINTS)), degree=5),
}


@pytest.mark.parametrize("name", CURVES)
def test_ngspice_evaluates_the_same_function(name):
    """Far beyond both ends too, and at the knots."""
    characteristic = CURVES[name].characteristic()
    knots = np.array(CURVES[name].voltage)
    beside = np.concatenate((knots, knots + 1e-9, knots - 1e-9))
    voltage = np.concatenate((np.linspace(-60, 60, 25), np.linspace(-1, 1, 41) / 3, beside))
    probes = range(len(voltage))
    sources = Elements(
        names=tuple(f"v{k}" for k in probes),
        nodes=tuple(f"in{k} 0" for k in probes),
        values=voltage[:, None],
    )
    deck = Netlist(
        title="a function",
        fixed=(
            *options(),
            *behavioural.function("current", characteristic),
            *(f"b{k} out{k} 0 v=current(v(in{k}))" for k in probes),
        ),
        groups={"sources": sources},
    )
    session().load(deck)
    found = session().operating_point([f"out{k}" for k in probes])
    expected = characteristic.current(voltage)
    # Rounding of the largest term of a sum; sixteen digits are written.
    largest = np.abs(characteristic.coefficients).max()
    assert_allclose(found, expected, rtol=1e-12, atol=1e-15 * largest)


def test_two_pieces_are_one_condition():
    lines = behavioural.function(
        "f", Curve(voltage=(-1.0, 0.0, 1.0), current=(-2.0, 0.0, 3.0)).characteristic()
    )
    assert lines == (
        ".param f_x0=-1.0",
        ".param f_c0_1=2.0",
        ".param f_c0_0=-2.0",
        ".param f_x1=0.0",
        ".param f_c1_1=3.0",
        ".param f_c1_0=0.0",
        ".param f_u0=0.0",
        ".func f(u) {(u < f_u0 ? (f_c0_0+(u-f_x0)*f_c0_1) : (f_c1_0+(u-f_x1)*f_c1_1))}",
    )
