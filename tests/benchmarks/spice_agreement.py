"""How far the Numba engine and ngspice are apart: `python tests/benchmarks/spice_agreement.py`.

Prints percentiles over 100 random networks of every kind, and over 32 with measured curves, as
relative errors.
"""

import importlib.util
import time
from pathlib import Path

import numpy as np

from neurohw.engines.spice.session import session
from neurohw.experiments import verification


def load_networks():
    path = Path(__file__).parents[1] / "conformance" / "test_ngspice.py"
    specification = importlib.util.spec_from_file_location("networks", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def main() -> None:
    """Compare, and print a table."""
    networks, began = load_networks(), time.perf_counter()
    found: dict[tuple[float, str], list[tuple[float, float]]] = {}
    for number in range(networks.NETWORKS):
        ideality, wired, amplified, _ = networks.KINDS[number % len(networks.KINDS)]
        agreement = verification.compare(networks.circuit(number))
        errors = agreement.state_error.max(), agreement.update_error.max()
        kind = (
            f"{'wires' if wired else 'no wires'}, {'amplifiers' if amplified else 'no amplifiers'}"
        )
        found.setdefault((ideality, kind), []).append(errors)
    seconds = time.perf_counter() - began
    print(f"{networks.NETWORKS} networks, ngspice {session().version}, {seconds:.0f} s")
    print(f"{'':34}{'states: p50, p90, max':31}update: p50, p90, max")
    for (ideality, kind), errors in sorted(found.items()):
        row(f"N = {ideality:g}, {kind}", errors)
    row("all", [pair for errors in found.values() for pair in errors])
    measured: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for number in range(networks.MEASURED_NETWORKS):
        circuit = networks.measured_circuit(number)
        agreement = verification.compare(circuit, networks.oracle(circuit))
        nodes, cells = networks.MEASURED_KINDS[number % len(networks.MEASURED_KINDS)]
        errors = agreement.state_error.max(), agreement.update_error.max()
        measured.setdefault((nodes or "diodes", cells or "resistors"), []).append(errors)
    print(f"{networks.MEASURED_NETWORKS} networks with measured curves; nodes, cells")
    for (nodes, cells), errors in sorted(measured.items()):
        row(f"{nodes}, {cells}", errors)
    row("all", [pair for errors in measured.values() for pair in errors])


def row(label: str, errors: list[tuple[float, float]]) -> None:
    states, updates = np.array(errors).T
    cells = [f"{np.quantile(e, q):8.1e}" for e in (states, updates) for q in (0.5, 0.9, 1.0)]
    print(f"{label:34}{'  '.join(cells)}")


if __name__ == "__main__":
    main()
