import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits import crossbar as module
from neurohw.circuits.crossbar import WiredCrossbar, exact_currents
from neurohw.circuits.interconnect import Interconnect
from neurohw.errors import ConvergenceError, InvalidValueError

SHAPES = [(1, 1), (1, 6), (7, 1), (5, 9), (16, 16), (40, 24)]
ENDS = ["one end", "both ends"]


def make(shape, resistance=1.0, *, decades=2, seed=0, **options):
    rng = np.random.default_rng(seed)
    wires = Interconnect(word_line=resistance, bit_line=1.7 * resistance, **options)
    return WiredCrossbar(10 ** rng.uniform(-4 - decades, -4, shape), wires)


def voltages(crossbar, batch, seed=1):
    rng = np.random.default_rng(seed)
    units, inputs = crossbar.conductance.shape
    return rng.normal(size=(batch, inputs)), rng.normal(size=(batch, units))


def assert_agree(found, expected, share=1e-10):
    largest = max(np.abs(current).max() for current in expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        assert_allclose(ours, theirs, rtol=0, atol=share * largest)


@pytest.mark.parametrize("driven_from", ENDS)
@pytest.mark.parametrize("sensed_at", ENDS)
@pytest.mark.parametrize("resistance", [1e-3, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_currents_are_those_of_the_whole_circuit(shape, resistance, driven_from, sensed_at):
    ends = {"driven_from": driven_from, "sensed_at": sensed_at}
    crossbar = make(shape, resistance, source=5.0, sense=0.3, **ends)
    inputs, units = voltages(crossbar, 3)
    assert_agree(crossbar.currents(inputs, units), exact_currents(crossbar, inputs, units))


@pytest.mark.parametrize("batch", [1, 8, 9, 17])
def test_any_number_of_voltages_at_once(batch):
    crossbar = make((12, 10), 20.0)
    inputs, units = voltages(crossbar, batch)
    together = crossbar.currents(inputs, units)
    alone = [crossbar.currents(inputs[[b]], units[[b]]) for b in range(batch)]
    assert_agree(together, [np.concatenate(part) for part in zip(*alone, strict=True)], 1e-12)


def test_extreme_ratios_and_missing_cells():
    crossbar = make((32, 32), 10.0, decades=6)
    g = crossbar.conductance.copy()
    g[3], g[:, 5], g[7, 7] = 0.0, 0.0, 1.0
    crossbar = WiredCrossbar(g, crossbar.wires)
    inputs, units = voltages(crossbar, 2)
    assert_agree(crossbar.currents(inputs, units), exact_currents(crossbar, inputs, units), 1e-9)


@pytest.mark.kernels
def test_one_cell_is_a_chain_of_resistors():
    wires = Interconnect(word_line=3.0, bit_line=5.0, source=7.0, sense=11.0)
    crossbar = WiredCrossbar(np.array([[0.1]]), wires)
    into, out = crossbar.currents(np.array([[2.0]]), np.array([[0.5]]))
    assert_allclose([into[0, 0], out[0, 0]], 1.5 / (10 + 3 + 5 + 7 + 11), rtol=1e-14)


def test_short_wires_leave_an_ideal_crossbar():
    crossbar = make((20, 30), 1e-7)
    inputs, units = voltages(crossbar, 4)
    g = crossbar.conductance
    assert_allclose(crossbar.read(inputs), inputs @ g.T, rtol=0, atol=1e-8 * 30 * g.max())
    assert_allclose(crossbar.read_transposed(units), units @ g, rtol=0, atol=1e-8 * 20 * g.max())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_laws_of_a_network_of_resistors(shape):
    crossbar = make(shape, 300.0, source=50.0)
    inputs, units = voltages(crossbar, 5)
    into, out = crossbar.currents(inputs, units)
    largest = np.abs(into).max()
    assert_allclose(into.sum(axis=1), out.sum(axis=1), rtol=0, atol=1e-12 * largest * into.size)
    assert np.all((inputs * into).sum(axis=1) >= (units * out).sum(axis=1))
    one, other = crossbar.read(inputs), crossbar.read_transposed(units)
    forward, backward = (one * units).sum(axis=1), (other * inputs).sum(axis=1)
    assert_allclose(forward, backward, rtol=1e-11, atol=1e-12 * np.abs(forward).max())


@pytest.mark.kernels
def test_terminals_stand_for_the_whole_crossbar():
    crossbar = make((9, 14), 100.0, sense=20.0, driven_from="both ends")
    matrix = crossbar.terminals
    inputs, units = voltages(crossbar, 3)
    into, out = crossbar.currents(inputs, units)
    found = np.hstack((inputs, units)) @ matrix
    assert_allclose(found, np.hstack((into, -out)), rtol=0, atol=1e-12 * np.abs(into).max())
    assert_allclose(matrix, matrix.T, rtol=0)
    assert_allclose(matrix.sum(axis=0), 0, rtol=0, atol=1e-12 * matrix.max())
    assert np.linalg.eigvalsh(matrix)[0] > -1e-12 * matrix.max()


@pytest.mark.parametrize("value", [-1e-9, np.nan, np.inf])
def test_refused_conductances(value):
    g = np.full((3, 4), 1e-5)
    g[1, 2] = value
    with pytest.raises(InvalidValueError, match=f"unit 1, input 2 is {value}"):
        WiredCrossbar(g, Interconnect(word_line=1.0, bit_line=1.0))


def test_too_few_iterations_are_an_error(monkeypatch):
    monkeypatch.setattr(module, "_MOST", 1)
    crossbar = make((16, 16), 1e3)
    with pytest.raises(ConvergenceError, match="16 units and 16 inputs: the residual is still"):
        crossbar.currents(*voltages(crossbar, 1))


@pytest.mark.parametrize("far", [False, True])
def test_word_lines_are_driven_before_the_first_unit(far):
    """Two units, one input: the cells are the rungs of a ladder."""
    ends = "both ends" if far else "one end"
    wires = Interconnect(word_line=30.0, bit_line=20.0, source=7.0, driven_from=ends)
    cells = np.array([[1e-2], [3e-2]])
    nodes = np.diag(1 / (1 / cells[:, 0] + 20.0)) + np.array([[1, -1], [-1, 1]]) / 30.0
    source = np.array([2.0, 2.0 if far else 0.0]) / 37.0
    nodes += np.diag(source) / 2.0
    expected = np.linalg.solve(nodes, source) / (1 / cells[:, 0] + 20.0)
    found = WiredCrossbar(cells, wires).read(np.array([[2.0]]))
    assert_allclose(found, expected[None], rtol=1e-12)


@pytest.mark.parametrize("near", [False, True])
def test_bit_lines_are_sensed_behind_the_last_input(near):
    """One unit, two inputs: currents of a voltage on the bit line."""
    ends = "both ends" if near else "one end"
    wires = Interconnect(word_line=20.0, bit_line=30.0, sense=7.0, sensed_at=ends)
    cells = np.array([[1e-2, 3e-2]])
    nodes = np.diag(1 / (1 / cells[0] + 20.0)) + np.array([[1, -1], [-1, 1]]) / 30.0
    source = np.array([2.0 if near else 0.0, 2.0]) / 37.0
    nodes += np.diag(source) / 2.0
    expected = np.linalg.solve(nodes, source) / (1 / cells[0] + 20.0)
    found = WiredCrossbar(cells, wires).read_transposed(np.array([[2.0]]))
    assert_allclose(found, expected[None], rtol=1e-12)


@pytest.mark.parametrize("shape", [(4,), (0, 4), (4, 0), (2, 2, 2)])
def test_refused_shapes_of_arrays(shape):
    with pytest.raises(InvalidValueError, match=r"must be \(units, inputs\)"):
        WiredCrossbar(np.full(shape, 1e-5), Interconnect(word_line=1.0, bit_line=1.0))


@pytest.mark.parametrize(
    ("inputs", "units", "words"),
    [
        ((3, 5), (3, 4), "inputs have the shape"),
        ((3, 6), (3, 5), "units have the shape"),
        ((3, 6), (2, 4), "units have the shape"),
        ((6,), (4,), "inputs have the shape"),
    ],
)
def test_refused_shapes_of_voltages(inputs, units, words):
    crossbar = make((4, 6))
    with pytest.raises(InvalidValueError, match=words):
        crossbar.currents(np.ones(inputs), np.ones(units))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refused_voltages(value):
    crossbar = make((4, 6))
    with pytest.raises(InvalidValueError, match="voltages of the inputs: must be finite"):
        crossbar.read(np.full((2, 6), value))
    with pytest.raises(InvalidValueError, match="voltages of the units: must be finite"):
        crossbar.read_transposed(np.full((2, 4), value))
    with pytest.raises(InvalidValueError, match="inputs have the shape"):
        crossbar.read(np.ones(6))


def test_the_array_keeps_its_own_cells():
    g = np.full((2, 3), 1e-5)
    crossbar = WiredCrossbar(g, Interconnect(word_line=1.0, bit_line=1.0))
    before = crossbar.read(np.ones((1, 3)))
    g[:] = -1.0
    assert_allclose(crossbar.read(np.ones((1, 3))), before, rtol=0)
