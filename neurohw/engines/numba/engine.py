"""Compiled engine: same algorithm and same results as `neurohw.engines.numpy`, fused."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import (
    Equilibrium,
    Nudging,
    Result,
    SeenArray,
    Source,
    total_conductances,
)
from neurohw.engines.numba.resistive import kernels
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]

# Arrays with more cells than this are worth two threads; their blocks have this many units.
_LARGE = 1 << 17
_BLOCK = 64


class NumbaEngine:
    """Sweeps that read each array once; large arrays in blocks on all threads."""

    def relax(
        self,
        network: ResistiveNetwork,
        arrays: Sequence[SeenArray],
        sources: Sequence[Source],
        input_current: Array,
        *,
        start: Equilibrium | None = None,
        nudging: Nudging | None = None,
        sweeps: int,
        tolerance: float = 0.0,
    ) -> Equilibrium:
        """See `neurohw.engines.equilibrium.Engine.relax`."""
        batch, dtype = len(input_current), input_current.dtype
        layers = network.layers
        rows = -(-batch // 4) * 4
        current = _padded(input_current, rows)
        state = tuple(_start(start, k, batch, rows, n, dtype) for k, n in enumerate(layers))
        backs = []
        for k, units in enumerate(layers):
            blocks = 1 if k == len(layers) - 1 else _blocks(layers[k + 1], units)
            back = np.zeros((blocks, rows, units), dtype)
            if start is not None and start.carry is not None and rows == batch:
                _repeat(start.carry[k], back[0])
            backs.append(back)
        if nudging is None:
            strength, target = np.empty(0, dtype), np.empty((0, 0), dtype)
        else:
            strength, target = _padded(nudging.strength, rows), _padded(nudging.target, rows)
        sweeps_done, residual, finite = kernels.relax(
            tuple(array.conductance for array in arrays[1:]),
            current,
            tuple(source.current for source in sources),
            tuple(total_conductances(arrays, sources)),
            network.low,
            network.high,
            strength,
            target,
            state,
            tuple(backs),
            start is None or start.carry is None or rows != batch,
            sweeps,
            tolerance,
        )
        result: Result = "fixed sweeps"
        if not finite:
            result = "not finite"
        elif tolerance > 0:
            result = "converged" if residual < tolerance else "not converged"
        return Equilibrium(
            state=state if rows == batch else tuple(v[:batch] for v in state),
            residual=residual,
            iterations=sweeps_done,
            result=result,
            carry=tuple(back[0] for back in backs) if rows == batch else None,
        )


def _blocks(units: int, inputs: int) -> int:
    return max(1, units // _BLOCK) if units * inputs > _LARGE else 1


def _padded(array: Array, rows: int) -> Array:
    """Return the array with rows of zeros added; the array itself where none are needed."""
    if len(array) == rows:
        return array
    padded = np.zeros((rows, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded


def _start(
    start: Equilibrium | None, layer: int, batch: int, rows: int, units: int, dtype: np.dtype
) -> Array:
    state = np.zeros((rows, units), dtype)
    if start is not None:
        _repeat(start.state[layer], state[:batch])
    return state


def _repeat(few: Array, many: Array) -> None:
    """Fill `many` with copies of `few` along the first axis."""
    size = len(few)
    for first in range(0, len(many), size):
        many[first : first + size] = few
