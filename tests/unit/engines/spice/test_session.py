"""ngspice in this process: what fails says so, keeps the deck, and leaves the process alive."""

import subprocess
import sys

import numpy as np
import pytest

from neurohw import engines
from neurohw.circuits import netlist
from neurohw.circuits.netlist import Netlist
from neurohw.engines.spice import session as module
from neurohw.engines.spice.session import Session, session
from neurohw.errors import ConvergenceError, UnsupportedError


def divider(fixed=()):
    resistors = netlist.crossbar("1", np.array([[1e-3], [3e-3]]), ["a"], ["b", "0"])
    voltages = netlist.elements("input", ["va"], ["a 0"], np.array([2.0]))
    lines = (*netlist.options(), "rload b 0 1000", *fixed)
    return Netlist(title="divider", fixed=lines, groups={"r": resistors, "v": voltages})


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(session(), "folder", tmp_path)
    return session()


def test_operating_point_of_a_divider():
    session().load(divider())
    np.testing.assert_allclose(session().operating_point(["a", "b"]), [2.0, 1.0], rtol=1e-12)


@pytest.mark.parametrize(
    "wrong",
    ["vloop a 0 1", "bjump b 0 i=v(b)>0.5 ? 1 : -1"],
    ids=["loop of sources", "discontinuous source"],
)
def test_no_operating_point(here, tmp_path, wrong):
    here.load(divider([wrong]))
    with pytest.raises(ConvergenceError, match="finds no operating point in") as caught:
        here.operating_point(["b"])
    (kept,) = tmp_path.iterdir()
    assert str(kept) in str(caught.value)
    assert wrong in kept.read_text()
    here.load(divider())
    np.testing.assert_allclose(here.operating_point(["b"]), [1.0], rtol=1e-12)


def test_refused_circuit(here, tmp_path):
    with pytest.raises(UnsupportedError, match="refuses the circuit in"):
        here.load(divider(["xmissing a b no_such_cell"]))
    assert len(list(tmp_path.iterdir())) == 1
    here.load(divider())
    np.testing.assert_allclose(here.operating_point(["b"]), [1.0], rtol=1e-12)


def test_notes_are_not_failures():
    """A steep source makes ngspice step gmin, which it notes on standard error."""
    session().load(divider(["bsteep c 0 i=1e-3*tanh(100*(v(c)-0.3))", "rc a c 10k"]))
    (voltage,) = session().operating_point(["c"])
    np.testing.assert_allclose((2 - voltage) / 10e3, 1e-3 * np.tanh(100 * (voltage - 0.3)))


def test_no_transient_looks_for_rest():
    """A node between capacitors has no voltage at rest, though a transient may find one."""
    session().load(divider(["c1 a middle 1p", "c2 middle 0 1p"]))
    with pytest.raises(ConvergenceError, match="finds no operating point"):
        session().operating_point(["middle"])


def test_missing_library_is_one_line_how_to_install():
    code = (
        "import neurohw.engines.spice.session as s; s.find_library = lambda name: None; s.session()"
    )
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stderr.splitlines()[-1].endswith(module.MISSING)


def test_old_versions_are_refused(monkeypatch):
    monkeypatch.setattr(module, "OLDEST_VERSION", 999)
    with pytest.raises(UnsupportedError, match="too old; 999 or newer"):
        Session()


def test_engine_asks_for_the_inputs(make_problem):
    with pytest.raises(UnsupportedError, match="needs the inputs' voltages"):
        make_problem((3,)).relax("spice", sweeps=1)


def test_unknown_engine():
    with pytest.raises(UnsupportedError, match="known engines are numba, numpy, spice"):
        engines.load("analog")
