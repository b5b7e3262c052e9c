"""Netlists of tiles: ngspice reads them, and carries the currents that the map says."""

import numpy as np
import pytest

from neurohw.errors import UnsupportedError
from neurohw.export import formats, writing
from neurohw.export.mapping import weight_map

SMALL = ("data.train=40", "network.hidden=[9]", "data.crop=2")
BROKEN = ("chip.mapping.tile=20", "chip.mapping.spare_word_lines=2", "chip.device.stuck.open=5 %")
WIRES = ("chip.wires.word_line=3 Ohm", "chip.wires.bit_line=2 Ohm", "chip.wires.tile=12")


def written(run, tmp_path, *settings):
    form, out, weights = formats.load("spice", settings), tmp_path / "x.cir", weight_map(run)
    writing.write(form, weights, out)
    return form, out, weights


@pytest.mark.parametrize(
    "settings", [SMALL, (*SMALL, *BROKEN), (*SMALL, *WIRES)], ids=["whole", "repaired", "wired"]
)
def test_ngspice_agrees_with_the_map(settings, make_run, tmp_path):
    run = make_run("drn-digits", "epiram", settings)
    form, out, weights = written(run, tmp_path)
    same, sentence = form.verify(weights, out)
    assert same, sentence
    # Another conductance is found out.
    text = out.read_text()
    smallest = min(weights.tiles(), key=lambda tile: np.prod(tile.shape))
    at = text.index(f".subckt {smallest.name.replace('-', '_')}\n")
    line = next(x for x in text[at:].splitlines() if x.startswith("r_"))
    name, a, b, value = line.split()
    other = f"{name} {a} {b} {2 * float(value)!r}"
    out.write_text(text[:at] + text[at:].replace(line, other, 1))
    same, _ = form.verify(weights, out)
    assert not same


def test_each_tile_is_a_subcircuit_with_a_pin_a_line(make_run, tmp_path):
    run = make_run("drn-digits", "epiram", (*SMALL, *BROKEN))
    _, out, weights = written(run, tmp_path)
    lines = out.read_text().splitlines()
    for tile in weights.tiles():
        name = tile.name.replace("-", "_")
        first, last = lines.index(f".subckt {name}"), lines.index(f".ends {name}")
        pins = " ".join(x[2:] for x in lines[first + 1 : last] if x.startswith("+ ")).split()
        words, bits = tile.shape
        assert pins == [f"w{i}" for i in range(words)] + [f"b{j}" for j in range(bits)]
        cells = [x.split() for x in lines[first:last] if x.startswith("r_")]
        assert len(cells) == np.count_nonzero(np.nan_to_num(tile.matrix()))
        name, word, bit, resistance = cells[-1]
        held = tile.matrix()[int(word[1:]), int(bit[1:])]
        assert name == f"r_{bit[1:]}_{word[1:]}"
        assert float(resistance) == 1 / float(held)


def test_wires_are_left_out_on_request(make_run, tmp_path):
    run = make_run("drn-digits", "epiram", (*SMALL, *WIRES))
    _, out, _ = written(run, tmp_path, "wires=none")
    assert "\nrw_" not in out.read_text()
    _, wired, _ = written(run, tmp_path / "wired")
    assert "\nrw_" in wired.read_text()


def test_a_tile_too_large_for_ngspice_is_said(make_run, tmp_path):
    run = make_run("drn-digits", "epiram", ("data.train=40", "network.hidden=[130]"))
    weights = weight_map(run, ["layer1"])
    form, out = formats.load("spice"), tmp_path / "x.cir"
    writing.write(form, weights, out)
    with pytest.raises(
        UnsupportedError, match="layer1-0-0, the smallest tile, has 128 x 130 cells"
    ):
        form.verify(weights, out)
