"""Compiled engine: same algorithm and same results as `neurohw.engines.numpy`, fused."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import (
    ROUNDING,
    Equilibrium,
    Nudging,
    Result,
    SeenArray,
    Source,
)
from neurohw.engines.numba.resistive import kernels
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]

# Arrays with more cells than this are worth two threads; their blocks have this many units.
_LARGE = 1 << 17
_BLOCK = 64


class NumbaEngine:
    """Sweeps over the layers, large arrays in blocks of units on all threads."""

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
        batch, dtype, layers = len(input_current), input_current.dtype, network.layers
        rows = batch + -batch % 4
        state = tuple([np.empty((rows, units), dtype) for units in layers])
        backs = tuple([np.empty(shape, dtype) for shape in _feedback_shapes(layers, rows)])
        carry = None if start is None else start.carry
        done, residual, finite = kernels.relax(
            tuple([array.conductance for array in arrays[1:]]),
            _padded(input_current, rows),
            tuple([source.current for source in sources]),
            tuple([source.conductance for source in sources]),
            tuple([array.unit_sums for array in arrays]),
            tuple([array.input_sums for array in arrays[1:]]),
            network.low,
            network.high,
            np.empty(0, dtype) if nudging is None else _padded(nudging.strength, rows),
            np.empty((0, 0), dtype) if nudging is None else _padded(nudging.target, rows),
            state if start is None else start.state,
            state if carry is None else carry,
            batch,
            start is None,
            carry is None,
            state,
            backs,
            sweeps,
            tolerance,
            ROUNDING * float(np.finfo(dtype).eps),
        )
        result: Result = "fixed sweeps"
        if not finite:
            result = "not finite"
        elif tolerance > 0:
            result = "converged" if residual < tolerance else "not converged"
        return Equilibrium(
            state=state if rows == batch else tuple(v[:batch] for v in state),
            residual=residual,
            iterations=done,
            result=result,
            carry=tuple([back[0] for back in backs]) if rows == batch else None,
        )


@lru_cache(maxsize=64)
def _feedback_shapes(layers: tuple[int, ...], rows: int) -> list[tuple[int, int, int]]:
    """Return (blocks, rows, units) of the feedback into each free layer."""
    blocks = [_blocks(above, units) for units, above in pairwise(layers)]
    return [(n, rows, units) for n, units in zip([*blocks, 1], layers, strict=True)]


def _blocks(units: int, inputs: int) -> int:
    return max(1, units // _BLOCK) if units * inputs > _LARGE else 1


def _padded(array: Array, rows: int) -> Array:
    """Return the array with rows of zeros added; the array itself where none are needed."""
    if len(array) == rows:
        return array
    padded = np.zeros((rows, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded
