"""Measured characteristics in netlists: functions that behavioural sources take.

The sub-circuits `measured_clamp` and `nonlinear_cell` call a function by name; the deck defines it
from the same pieces that the engines have, straight beyond its ends.
"""

import numpy as np

from neurohw.circuits.curves import Characteristic
from neurohw.circuits.netlist import Elements, instance

ELEMENT, CELL = "element_current", "cell_law"


def function(name: str, characteristic: Characteristic) -> tuple[str, ...]:
    """Return the lines of a deck that define a characteristic as a function of u.

    Its numbers are parameters, because ngspice keeps eleven digits of those in an expression; it
    is a tree of conditions with a polynomial in Horner's form at the end of each branch.
    """
    knots, anchors = characteristic.knots, characteristic.anchors
    parameters: list[str] = []

    def parameter(label: str, value: float) -> str:
        parameters.append(f".param {name}_{label}={float(value)!r}")
        return f"{name}_{label}"

    def piece(k: int) -> str:
        away = f"(u-{parameter(f'x{k}', anchors[k])})"
        coefficients = np.trim_zeros(characteristic.coefficients[k], "b")
        value = ""
        for power in range(len(coefficients) - 1, -1, -1):
            c = parameter(f"c{k}_{power}", coefficients[power])
            value = f"({c}+{away}*{value})" if value else c
        return value or "0"

    def branch(first: int, last: int) -> str:
        if first == last:
            return piece(first)
        middle = (first + last) // 2
        below, above = branch(first, middle), branch(middle + 1, last)
        return f"(u < {parameter(f'u{middle}', knots[middle])} ? {below} : {above})"

    body = branch(0, len(anchors) - 1)
    return (*parameters, f".func {name}(u) {{{body}}}")


def nonlinear_cells(resistors: Elements) -> list[str]:
    """Return the lines of nonlinear cells that stand where a crossbar's resistors do."""
    return [
        instance(f"x{name}", nodes, "nonlinear_cell", conductance=1 / resistance)
        for name, nodes, (resistance,) in zip(
            resistors.names, resistors.nodes, resistors.values.tolist(), strict=True
        )
    ]
