"""Netlist text: what it says, and what it refuses because ngspice would not."""

import re

import numpy as np
import pytest
import scipy.sparse

from neurohw import library
from neurohw.circuits import netlist
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.netlist import Netlist
from neurohw.errors import InvalidValueError


def test_text_holds_every_element_with_all_digits():
    resistors = netlist.crossbar("1", np.array([[3e-6, 0.0], [0.0, 1e-5]]), ["a", "b"], ["c", "d"])
    voltages = netlist.elements("input", ["va", "vb"], ["a 0", "b 0"], np.array([0.1, -1 / 3]))
    deck = Netlist(title="two", fixed=("vd d 0 0",), groups={"r": resistors, "v": voltages})
    assert deck.text().splitlines() == [
        "* two",
        "vd d 0 0",
        "r1_0_0 a c 333333.3333333333",
        "r1_1_1 b d 99999.99999999999",
        "va a 0 0.1",
        "vb b 0 -0.3333333333333333",
        ".op",
        ".end",
    ]
    assert resistors.alterable == ["r1_0_0=", "r1_1_1="]


def test_only_circuits_of_the_same_elements_alter_to_each_other():
    def deck(g, title="", fixed=()):
        cells = netlist.crossbar("1", np.array([g]), ["a", "b"], ["c"])
        return Netlist(title=title, fixed=fixed, groups={"cells": cells})

    assert deck([1.0, 2.0]).alters_to(deck([3.0, 4.0], title="other"))
    assert not deck([1.0, 2.0]).alters_to(deck([1.0, 0.0]))
    assert not deck([1.0, 0.0]).alters_to(deck([0.0, 1.0]))
    assert not deck([1.0, 2.0]).alters_to(deck([1.0, 2.0], fixed=("r a 0 1",)))


def test_wires_run_as_described():
    """Two tiles of two inputs and one: one unit more than a tile has."""
    wires = Wires(word_line=1.0, bit_line=2.0, source=10.0, sense=20.0, tile=2)
    lines, cells = netlist.wired_crossbar("1", np.ones((3, 2)), wires, ["p", "q"], ["x", "y", "z"])
    joined = [line.split(maxsplit=1)[1] for line in lines]
    word = [j for j in joined if j.startswith("p") or j.startswith("w1_0_0")]
    assert word == ["p w1_0_0 11.0", "w1_0_0 w1_1_0 1.0", "p w1_2_0 11.0"]
    assert [j for j in joined if "b1_1" in j] == ["b1_1_0 b1_1_1 2.0", "b1_1_1 y 22.0"]
    assert len({line.split()[0] for line in lines}) == len(lines)
    assert dict(zip(cells.names, cells.nodes, strict=True))["r1_2_1"] == "w1_2_1 b1_2_1"


def test_wires_driven_from_both_ends():
    ends = {"driven_from": "both ends", "sensed_at": "both ends"}
    wires = Wires(word_line=1.0, bit_line=2.0, source=10.0, sense=20.0, **ends)
    lines, _ = netlist.wired_crossbar("1", np.ones((2, 2)), wires, ["p", "q"], ["x", "y"])
    joined = {line.split(maxsplit=1)[1] for line in lines}
    assert {"p w1_0_0 11.0", "w1_1_0 p 11.0", "x b1_0_0 22.0", "b1_0_1 x 22.0"} <= joined


@pytest.mark.parametrize("value", [-1e-6, np.nan, np.inf])
@pytest.mark.parametrize("wires", [None, Wires(word_line=1.0, bit_line=1.0)])
def test_impossible_conductances_are_refused(value, wires):
    g = np.array([[1e-6, 1e-6], [1e-6, value]])
    with pytest.raises(InvalidValueError, match=rf"r2_1_1 .*unit 1, input 1\) is {value} S"):
        if wires is None:
            netlist.crossbar("2", g, ["a", "b"], ["c", "d"])
        else:
            netlist.wired_crossbar("2", g, wires, ["a", "b"], ["c", "d"])


def test_sources_without_a_value_are_refused():
    with pytest.raises(InvalidValueError, match="input vb has nan: must be finite"):
        netlist.elements("input", ["va", "vb"], ["a 0", "b 0"], np.array([0.0, np.nan]))


def test_floating_nodes_are_refused():
    joined = scipy.sparse.coo_array(np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]]))
    netlist.require_held(["a", "b", "c"], np.array([False, True, True]), joined)
    with pytest.raises(InvalidValueError, match=r"^c floats"):
        netlist.require_held(["a", "b", "c"], np.array([False, True, False]), joined)


def test_shipped_cells_say_what_they_are():
    folder = library.folder("circuits")
    files = [*folder.glob("cells/*.cir"), *folder.glob("models/*.lib")]
    assert len(files) >= 5
    for path in files:
        text = path.read_text(encoding="utf-8")
        for word in ("nodes", "parameters", "equation", "source"):
            assert re.search(rf"^\* {word} ", text, re.MULTILINE), (path, word)


def test_cells_stand_alone_in_a_deck():
    lines = netlist.cells("diode_clamp")
    assert not any(line.startswith(".include") for line in lines)
    assert sum(line.startswith(".model shockley") for line in lines) == 2
