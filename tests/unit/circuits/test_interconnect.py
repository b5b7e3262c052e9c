import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw.circuits.interconnect import RESISTANCE_BY_NODE, Interconnect, loading, of_node
from neurohw.errors import InvalidValueError


def chain(nodes, both_ends):
    """Conductance matrix of segments of 1 S, the first node tied to a terminal by one more."""
    matrix = 2 * np.eye(nodes) - np.eye(nodes, k=1) - np.eye(nodes, k=-1)
    if not both_ends:
        matrix[-1, -1] = 1
    return matrix


@pytest.mark.parametrize("ends", ["one end", "both ends"])
@pytest.mark.parametrize("shape", [(1, 1), (6, 9), (12, 3)])
def test_loading_is_the_largest_eigenvalue_of_the_drops(shape, ends):
    units, inputs = shape
    wires = Interconnect(word_line=2.0, bit_line=3.0, driven_from=ends, sensed_at="both ends")
    words = np.linalg.inv(chain(units, ends == "both ends"))
    bits = np.linalg.inv(chain(inputs, True))
    drops = 2.0 * np.kron(words, np.eye(inputs)) + 3.0 * np.kron(np.eye(units), bits)
    expected = 5e-5 * np.linalg.eigvalsh(drops).max()
    assert_allclose(loading(np.full(shape, 5e-5), wires), expected, rtol=1e-12)


def test_loading_of_a_large_array_follows_the_known_rule():
    wires = Interconnect(word_line=1.0, bit_line=1.0)
    found = loading(np.full((128, 128), 50e-6), wires)
    assert_allclose(found, 0.82 * 50e-6 * 128**2, rtol=0.02)


def test_wires_of_a_node():
    assert of_node(22) == Interconnect(word_line=4.92, bit_line=4.92)
    assert of_node(14, half_pitches=2).word_line == 10.1 / 2
    assert_allclose(of_node(50, temperature=400.0).bit_line, 1.34 * 1.451)
    assert_allclose(of_node(22, temperature=250.0).word_line, 4.92 * (1 - 0.2255))
    resistances = [RESISTANCE_BY_NODE[node] for node in sorted(RESISTANCE_BY_NODE)]
    assert resistances == sorted(resistances, reverse=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"word_line": 0.0}, "word_line = 0.0"),
        ({"bit_line": -1.0}, "bit_line = -1.0"),
        ({"bit_line": np.inf}, "bit_line = inf"),
        ({"word_line": np.nan}, "word_line = nan"),
        ({"source": -1.0}, "source = -1.0"),
        ({"sense": np.nan}, "sense = nan"),
        ({"driven_from": "both"}, 'driven_from = "both"'),
        ({"sensed_at": ""}, 'sensed_at = ""'),
    ],
)
def test_refused_resistances(options, words):
    with pytest.raises(InvalidValueError, match=words):
        Interconnect(**{"word_line": 1.0, "bit_line": 1.0} | options)


@pytest.mark.parametrize(
    ("node", "options", "words"),
    [
        (7, {}, "node = 7: known are 200, "),
        (22, {"half_pitches": 3}, "half_pitches = 3"),
        (22, {"temperature": 99.0}, "temperature = 99.0"),
        (22, {"temperature": np.nan}, "temperature = nan"),
    ],
)
def test_refused_nodes(node, options, words):
    with pytest.raises(InvalidValueError, match=words):
        of_node(node, **options)
