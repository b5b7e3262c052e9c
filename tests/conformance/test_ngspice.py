"""ngspice, given the same resistors and nearly ideal diodes, finds the engine's voltages.

A diode of emission coefficient n conducts I at n·Vt·ln(1 + I/Is), not at 0 V. A node between
resistors is a mean of its neighbours, so no voltage of a network can be further off than that
drop, the only thing by which the two circuits differ. A negative nudging conductor enlarges it
a little; the circuits here have strengths for which twice the drop is enough.

Run as a program, this file writes the deck and the result in tests/golden anew.
"""

import ctypes
import json
import logging
import os
from collections.abc import Iterator, Sequence
from ctypes.util import find_library
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw import randomness
from neurohw.engines.equilibrium import Nudging, SeenArray, Source
from neurohw.engines.numpy import NumpyEngine
from neurohw.networks.resistive import deep_resistive_network

GOLDEN = Path(__file__).parents[1] / "golden" / "resistive-6-5-3-nudged"
REGENERATE = "python tests/conformance/test_ngspice.py"
SATURATION_CURRENT, THERMAL_VOLTAGE = 1e-14, 0.02585
RAIL = 1.5
# What ngspice says while it works, which PySpice takes for failure.
NOTES = ("Note", "Trying", "Using", "Supplies", "Warning")

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*invalid escape sequence:{category}")
    for category in ("DeprecationWarning", "SyntaxWarning")
]


@dataclass(frozen=True, eq=False)
class Circuit:
    """A deep resistive network of volts and tens of kilohms, one sample.

    sizes, driven nodes first; resistances [Ω], infinite where there is no resistor: (units,
    inputs) of each array and (units, 2) to the rails of each layer; inputs, targets [V];
    currents into the nodes of each layer [A]; nudging [S].
    """

    sizes: tuple[int, ...]
    inputs: np.ndarray
    arrays: Sequence[np.ndarray]
    rails: Sequence[np.ndarray]
    currents: Sequence[np.ndarray]
    nudging: float
    targets: np.ndarray


def circuit(sizes: tuple[int, ...], biases: str, nudging: float) -> Circuit:
    """Return a random circuit in round numbers; about half of its array cells are 0 S."""
    drawn = iter(range(1000))

    def uniform(*shape: int) -> np.ndarray:
        key = randomness.key(randomness.stream(next(drawn), "initial"))
        cells = np.arange(np.prod(shape)).reshape(shape)
        return randomness.uniforms(key, cells).astype(np.float64)

    def resistances(units: int, inputs: int) -> np.ndarray:
        draws = uniform(units, inputs)
        # Every unit meets at least one resistor: a node that meets none has no voltage.
        unit = np.arange(units)
        draws[unit, unit % inputs] = np.maximum(draws[unit, unit % inputs], 0.8)
        return np.where(draws > 0.5, np.round(20e3 / np.maximum(2 * draws - 1, 0.05), -2), np.inf)

    layers = sizes[1:]
    currents = [np.round(1e-4 * (uniform(n) - 0.5), 6) for n in layers]
    rails = [np.round(20e3 + 60e3 * uniform(n, 2), -2) for n in layers]
    return Circuit(
        sizes=sizes,
        inputs=np.round(4 * uniform(sizes[0]) - 2, 2),
        arrays=[resistances(m, n) for n, m in pairwise(sizes)],
        rails=[r if biases == "rails" else np.full_like(r, np.inf) for r in rails],
        currents=[c if biases == "currents" else np.zeros_like(c) for c in currents],
        nudging=nudging,
        targets=np.round(uniform(sizes[-1]), 1),
    )


def netlist(this: Circuit, emission: float) -> str:
    """Return the SPICE deck; node n<layer>_<unit>, layer 0 driven."""
    last = len(this.sizes) - 1
    lines = [
        f"* deep resistive network {'-'.join(map(str, this.sizes))}, volts, ohms, amperes",
        f"* regenerate: {REGENERATE}",
        ".options reltol=1e-6 abstol=1e-15 vntol=1e-9",
        f".model clamp d(is={SATURATION_CURRENT!r} n={emission!r})",
    ]
    if np.isfinite(this.rails[0]).any():
        lines += [f"vplus plus 0 {RAIL!r}", f"vminus minus 0 {-RAIL!r}"]
    lines += [f"vn0_{i} n0_{i} 0 {float(v)!r}" for i, v in enumerate(this.inputs)]
    for k in range(1, last + 1):
        for (j, i), r in np.ndenumerate(this.arrays[k - 1]):
            if np.isfinite(r):
                lines.append(f"r{k}_{j}_{i} n{k - 1}_{i} n{k}_{j} {float(r)!r}")
        for (j, side), r in np.ndenumerate(this.rails[k - 1]):
            if np.isfinite(r):
                lines.append(f"r{k}_{j}_rail{side} {('plus', 'minus')[side]} n{k}_{j} {float(r)!r}")
        for j, current in enumerate(this.currents[k - 1]):
            lines.append(f"i{k}_{j} 0 n{k}_{j} {float(current)!r}")
        if k < last:
            half = this.sizes[k] // 2
            for j in range(this.sizes[k]):
                lines.append(f"d{k}_{j} {f'0 n{k}_{j}' if j < half else f'n{k}_{j} 0'} clamp")
    if this.nudging != 0:
        for j, target in enumerate(this.targets):
            lines.append(f"vt{j} t{j} 0 {float(target)!r}")
            lines.append(f"rt{j} t{j} n{last}_{j} {round(1 / this.nudging, 3)!r}")
    return "\n".join([*lines, ".op", ".end", ""])


def relaxed(this: Circuit) -> list[np.ndarray]:
    """Return the engine's voltages of each free layer [V]."""
    network = deep_resistive_network(this.sizes[0] // 2, this.sizes[1:-1], this.sizes[-1])
    conductances = [1 / r for r in this.arrays]
    seen = [SeenArray(conductance=g, unit_sums=g.sum(1), input_sums=g.sum(0)) for g in conductances]
    sources = [
        Source(current=current + (1 / r) @ [RAIL, -RAIL], conductance=(1 / r).sum(1))
        for current, r in zip(this.currents, this.rails, strict=True)
    ]
    nudging = Nudging(strength=np.array([this.nudging]), target=this.targets[None])
    equilibrium = NumpyEngine().relax(
        network,
        seen,
        sources,
        this.inputs[None] @ conductances[0].T,
        nudging=nudging,
        sweeps=100_000,
        tolerance=1e-13,
    )
    assert equilibrium.result == "converged"
    return [v[0] for v in equilibrium.state]


def tolerance(this: Circuit, state: Sequence[np.ndarray], emission: float) -> float:
    """Return how far ideal and real diodes can be apart, from the largest current in one [V]."""
    largest = max(np.abs(this.inputs).max(), RAIL, *(np.abs(v).max() for v in state))
    conductance = max(
        (1 / array).sum(1).max() + (1 / rails).sum(1).max() + (1 / above).sum(0).max()
        for array, rails, above in zip(this.arrays, this.rails, this.arrays[1:], strict=False)
    )
    current = 2 * largest * conductance + max(np.abs(c).max() for c in this.currents)
    drop = emission * THERMAL_VOLTAGE * np.log1p(current / SATURATION_CURRENT)
    return float(drop if this.nudging >= 0 else 2 * drop)


def start_ngspice() -> "object | str":
    """Return PySpice's ngspice, one a process, or why there is none."""
    library = os.environ.get("NGSPICE_LIBRARY_PATH") or find_library("ngspice")
    if library is None:
        return "libngspice is missing; apt install libngspice0"
    try:
        # PySpice cannot try a second time in a process, so the library is tried first.
        ctypes.CDLL(library)
    except OSError as error:
        return f"libngspice does not load: {error}"
    try:
        from PySpice.Spice.NgSpice.Shared import NgSpiceCommandError, NgSpiceShared
    except ImportError:
        return "PySpice is missing; pip install 'neurohw[spice]'"
    logging.getLogger("PySpice").setLevel(logging.CRITICAL)

    class NgSpice(NgSpiceShared):
        def exec_command(self, command: str, join_lines: bool = True) -> object:
            try:
                return super().exec_command(command, join_lines)
            except NgSpiceCommandError:
                if self._error_in_stdout or not all(s.startswith(NOTES) for s in self._stderr):
                    raise
                return self.stdout if join_lines else self._stdout

    NgSpiceShared.LIBRARY_PATH = library
    return NgSpice.new_instance()


def solved(ngspice: object, deck: str, sizes: Sequence[int]) -> list[np.ndarray]:
    """Return ngspice's voltages of each free layer [V]."""
    ngspice.load_circuit(deck)
    ngspice.exec_command("op")
    plot = ngspice.plot(None, ngspice.last_plot)
    state = [
        np.array([float(plot[f"n{k}_{j}"].to_waveform(to_float=True)[0]) for j in range(size)])
        for k, size in enumerate(sizes)
        if k > 0
    ]
    ngspice.remove_circuit()
    ngspice.destroy()
    return state


@pytest.fixture(scope="module")
def ngspice() -> Iterator[object]:
    found = start_ngspice()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.mark.parametrize("emission", [1e-3, 1e-5])
@pytest.mark.parametrize("nudging", [0.0, 1e-5, -1e-5])
@pytest.mark.parametrize("biases", ["currents", "rails", "none"])
@pytest.mark.parametrize("sizes", [(6, 5, 3), (6, 4, 4, 2), (8, 5, 4, 3, 2)])
def test_same_voltages(ngspice, sizes, biases, nudging, emission):
    this = circuit(sizes, biases, nudging)
    ours = relaxed(this)
    theirs = solved(ngspice, netlist(this, emission), sizes)
    hidden = np.concatenate(ours[:-1])
    assert 0 < np.count_nonzero(hidden) < hidden.size, "some diodes must conduct, some not"
    assert np.abs(hidden).max() > 0.1
    allowed = tolerance(this, ours, emission)
    assert allowed < 1.5e-3
    for a, b in zip(ours, theirs, strict=True):
        assert_allclose(a, b, rtol=0, atol=allowed)


def golden_circuit() -> tuple[Circuit, float]:
    return circuit((6, 5, 3), "currents", 1e-5), 1e-3


def test_golden_deck():
    assert GOLDEN.with_suffix(".cir").read_text() == netlist(*golden_circuit())


def test_golden_result_is_the_engines():
    this, emission = golden_circuit()
    ours = relaxed(this)
    result = json.loads(GOLDEN.with_suffix(".json").read_text())
    for a, b in zip(ours, result["voltages"], strict=True):
        assert_allclose(a, b, rtol=0, atol=tolerance(this, ours, emission))


def test_golden_result_is_ngspices(ngspice):
    result = json.loads(GOLDEN.with_suffix(".json").read_text())
    theirs = solved(ngspice, GOLDEN.with_suffix(".cir").read_text(), (6, 5, 3))
    for a, b in zip(theirs, result["voltages"], strict=True):
        assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def regenerate() -> None:
    """Write the golden deck and ngspice's result."""
    this, emission = golden_circuit()
    deck, found = netlist(this, emission), start_ngspice()
    if isinstance(found, str):
        raise SystemExit(found)
    result = {
        "regenerate": REGENERATE,
        "ngspice": found.ngspice_version,
        "unit": "V, one list a free layer",
        "voltages": [
            [float(f"{v:.9g}") for v in state] for state in solved(found, deck, this.sizes)
        ],
    }
    GOLDEN.with_suffix(".cir").write_text(deck)
    GOLDEN.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    regenerate()
