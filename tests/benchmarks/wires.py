"""Crossbars with wires: the fast solver against one sparse LU of the same circuit."""

from functools import partial
from statistics import median

import numpy as np
from table import Row, interleaved, row

from neurohw.circuits.crossbar import WiredCrossbar, exact_currents
from neurohw.circuits.interconnect import Interconnect, loading

INPUTS_AT_ONCE = 8


def against_lu(side: int, *, rounds: int) -> list[Row]:
    """Compare both on an array of 1 to 100 µS with 2 Ω a segment; they must agree to 1e-9."""
    rng = np.random.default_rng(0)
    conductance = 10 ** rng.uniform(-6, -4, (side, side))
    crossbar = WiredCrossbar(conductance, Interconnect(word_line=2.0, bit_line=2.0))
    inputs = rng.random((INPUTS_AT_ONCE, side))
    units = np.zeros((INPUTS_AT_ONCE, side))
    tasks = {
        "LU": partial(exact_currents, crossbar, inputs, units),
        "fast": partial(crossbar.currents, inputs, units),
    }
    exact, fast = tasks["LU"](), tasks["fast"]()
    off = max(np.abs(a - b).max() for a, b in zip(exact, fast, strict=True))
    off /= np.abs(exact[0]).max()
    if not off < 1e-9:
        raise SystemExit(f"wires, {side}²: the solvers differ by {off:.2g} of the largest current")
    seconds = interleaved(tasks, rounds=rounds)
    ratios = [a / b for a, b in zip(seconds["LU"], seconds["fast"], strict=True)]
    name = f"wires, {side}², {INPUTS_AT_ONCE} inputs"
    return [
        row(f"{name}: fast", 1e3 * min(seconds["fast"]), "ms"),
        row(f"{name}: LU / fast", median(ratios), "×"),
        row(f"{name}: difference", off, "of largest"),
        row(f"{name}: loading", loading(conductance, crossbar.wires), ""),
    ]
