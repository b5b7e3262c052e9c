"""Tiles as sub-circuits for SPICE: a file to include."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TextIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.circuits import netlist, tiles
from neurohw.circuits.interconnect import Wires
from neurohw.engines.spice.session import session
from neurohw.errors import ExportError, UnsupportedError
from neurohw.export import manifest
from neurohw.export.formats import Format
from neurohw.export.weight_map import CELLS_AT_ONCE, Tile, WeightMap

Array = NDArray[np.floating]

_PINS_A_LINE = 16
# What ngspice verifies in seconds; with wires every cell has two nodes of its own.
_MOST_CELLS, _MOST_WIRED_CELLS = 1 << 14, 1 << 12
_LARGEST, _AGREEMENT = 0.2, 1e-6
_BLOCK = CELLS_AT_ONCE >> 4


class SpiceNetlist(Format, frozen=True):
    """One ``.subckt`` a tile, its pins w0, w1, … and b0, b1, …: word lines, then bit lines.

    Cells are resistors, those of 0 S and lines without a weight are left out. With wires, cell
    (word line i, bit line j) has the nodes w_j_i and b_j_i.

    Parameters
    ----------
    wires : {"chip", "none"}
        Whether the resistances of the chip's wires are there, where it has any.
    """

    name = "spice"
    description = "netlist to include, a sub-circuit a tile, with or without wires"
    suffix = ".cir"
    reads = False

    wires: Literal["chip", "none"] = "chip"

    def write(self, weights: WeightMap, out: Path) -> None:  # noqa: D102
        experiment = weights.run.experiment
        for crossbar in weights.crossbars:
            if np.min(crossbar.conductance) < 0:
                raise ExportError(
                    f"format = spice: {crossbar.name}: has negative conductances, which no resistor"
                    " has"
                )
        facts = manifest.manifest(weights)
        with out.open("w", encoding="utf-8") as file:
            file.write(
                f"* Crossbars of {experiment.recipe} on {experiment.chip.name}, run"
                f" {facts['checksum'][:12]}; neurohw\n"
                "* Pins of a sub-circuit: word lines w0, w1, ... (inputs), then bit lines b0, b1,"
                " ... (units)\n"
                f"* {facts['equation']}\n"
            )
            for layer in weights.layers:
                file.write(
                    f"* {layer.name}: scheme {layer.scheme}, scale {layer.scale!r} 1/S, reference"
                    f" {float(layer.reference)!r} S\n"
                )
                for crossbar in layer.crossbars:
                    wires = self.wires_of(weights, crossbar.name, crossbar.role)
                    for tile in crossbar.tiles():
                        file.write(
                            f"* {tile.name}: role {crossbar.role}, coefficient"
                            f" {crossbar.coefficient!r}\n"
                        )
                        _write(weights, tile, wires, file)

    def wires_of(self, weights: WeightMap, name: str, role: str) -> Wires | None:
        """Return the wires of a crossbar; bias cells and references have none."""
        within = name.startswith("layer") and not role.startswith("reference")
        chip = weights.run.experiment.chip
        return chip.interconnect if self.wires == "chip" and within else None

    def verify(self, weights: WeightMap, path: Path) -> tuple[bool, str]:
        """Let ngspice read the file, and compare currents of its smallest tile with the map's.

        All lines of the tile are driven with random voltages of up to ± 0.2 V, word lines and bit
        lines alike.

        Raises
        ------
        UnsupportedError
            ngspice is missing, refuses the file, or the smallest tile is too large for it.
        """
        tile = min(weights.tiles(), key=lambda each: np.prod(each.shape))
        wires = self.wires_of(weights, tile.crossbar.name, tile.crossbar.role)
        words, bits = tile.shape
        most = _MOST_CELLS if wires is None else _MOST_WIRED_CELLS
        if words * bits > most:
            raise UnsupportedError(
                f"{path}: {tile.name}, the smallest tile, has {words} x {bits} cells: too many for"
                f" ngspice to verify, which is asked for {most}; export with a --chip of smaller"
                " tiles"
            )
        lines = _LARGEST * (2 * np.random.default_rng(0).uniform(size=words + bits) - 1)
        found = _measured(path, tile, lines)
        g = _held(tile.matrix())
        inputs, units = lines[None, :words], lines[None, words:]
        if wires is None:
            drops = g.T * (inputs.T - units)
            expected = np.concatenate([drops.sum(axis=1), -drops.sum(axis=0)])
        else:
            whole = msgspec.structs.replace(wires, tile=max(tile.shape))
            fed, sensed = tiles.currents(g, whole, inputs, units)
            expected = np.concatenate([fed[0], -sensed[0]])
        off = float(np.abs(found - expected).max() / np.abs(expected).max())
        return off < _AGREEMENT, (
            f"ngspice {session().version} reads {tile.name}, {words} x {bits} lines: its currents"
            f" at random voltages differ from the map's by {off:.1e} of the largest"
        )


def _measured(path: Path, tile: Tile, lines: Array) -> Array:
    """Return the currents into the pins of a tile whose lines are at voltages [V], by ngspice."""
    words, bits = pins(tile)
    names = [*words, *bits]
    sources = netlist.elements(
        "line", [f"v{name}" for name in names], [f"{name} 0" for name in names], lines
    )
    deck = netlist.Netlist(
        title=f"currents of {tile.name}",
        fixed=(
            *netlist.options(),
            f".include {path.resolve()}",
            f"xtile {' '.join(names)} {subcircuit(tile)}",
        ),
        groups={"lines": sources},
    )
    engine = session()
    engine.load(deck)
    try:
        return -engine.operating_point([f"v{name}#branch" for name in names])
    finally:
        engine.unload()


def subcircuit(tile: Tile) -> str:
    """Return the name of the sub-circuit of a tile."""
    return tile.name.replace("-", "_")


def pins(tile: Tile) -> tuple[list[str], list[str]]:
    """Return the names of the pins of word lines and of bit lines."""
    words, bits = tile.shape
    return [f"w{i}" for i in range(words)], [f"b{j}" for j in range(bits)]


def _write(weights: WeightMap, tile: Tile, wires: Wires | None, file: TextIO) -> None:
    words, bits = pins(tile)
    every = [*words, *bits]
    file.write(f".subckt {subcircuit(tile)}\n")
    for first in range(0, len(every), _PINS_A_LINE):
        file.write(f"+ {' '.join(every[first : first + _PINS_A_LINE])}\n")
    for line in _lines(weights, tile, wires, words, bits):
        file.write(line + "\n")
    file.write(f".ends {subcircuit(tile)}\n")


def _lines(
    weights: WeightMap, tile: Tile, wires: Wires | None, words: list[str], bits: list[str]
) -> Iterator[str]:
    """Yield the lines of wires and cells."""
    if wires is not None:
        (block,) = weights.blocks(tile, tile.shape[0] * tile.shape[1])
        whole = msgspec.structs.replace(wires, tile=max(tile.shape))
        segments, cells = netlist.wired_crossbar("", _held(block.target), whole, words, bits)
        yield from segments
        yield from cells.lines()
        return
    for block in weights.blocks(tile, _BLOCK):
        part = words[block.first : block.first + len(block.target)]
        yield from netlist.crossbar("", _held(block.target), part, bits, block.first).lines()


def _held(target: Array) -> Array:
    """Return conductances (bit lines, word lines), 0 where no weight lies [S]."""
    return np.nan_to_num(target.T.astype(np.float64))
