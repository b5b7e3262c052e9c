"""Compiled engine: same algorithm and same results as `neurohw.engines.numpy`, fused."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neurohw.engines import synapses
from neurohw.engines.descent import Settle, descend
from neurohw.engines.equilibrium import (
    ROUNDING,
    Accelerator,
    Equilibrium,
    Nudging,
    Result,
    SeenArray,
    Source,
    refuse_duration,
)
from neurohw.engines.numba.neuron import kernels as neuron_kernels
from neurohw.engines.numba.resistive import kernels
from neurohw.engines.synapses import NonlinearCells
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]

# Arrays with more cells than this are worth two threads; their blocks have this many units.
_LARGE = 1 << 17
_BLOCK = 64
# So are layers of more nodes, all samples counted, where diodes are real or cells nonlinear.
_MANY = 1 << 13


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
        accelerator: Accelerator = "none",
        inputs: Array | None = None,
        duration: float | None = None,
    ) -> Equilibrium:
        """See `neurohw.engines.equilibrium.Engine.relax`."""
        refuse_duration(duration)
        if network.synapse is not None:
            return synapses.relax(
                _settle_cells,
                network,
                arrays,
                sources,
                input_current,
                start=start,
                nudging=nudging,
                sweeps=sweeps,
                tolerance=tolerance,
                accelerator=accelerator,
                inputs=inputs,
                polynomial=True,
            )
        if not _is_plain(network, arrays, nudging, accelerator):
            return descend(
                _settling(network, input_current.dtype),
                network,
                arrays,
                sources,
                input_current,
                start=start,
                nudging=nudging,
                sweeps=sweeps,
                tolerance=tolerance,
                accelerator=accelerator,
            )
        batch, dtype, layers = len(input_current), input_current.dtype, network.layers
        rows = batch + -batch % 4
        state = tuple([np.empty((rows, units), dtype) for units in layers])
        coupled = any(array.unit_coupling is not None for array in arrays)
        backs = tuple([np.empty(shape, dtype) for shape in _feedback_shapes(layers, rows, coupled)])
        carry = None if start is None else start.carry
        done, residual, finite = kernels.relax(
            tuple([array.conductance for array in arrays[1:]]),
            _padded(input_current, rows),
            tuple([source.current for source in sources]),
            tuple([source.conductance for source in sources]),
            tuple([array.unit_sums for array in arrays]),
            tuple([array.input_sums for array in arrays[1:]]),
            _couplings(network, arrays, coupled, dtype),
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


def _is_plain(
    network: ResistiveNetwork,
    arrays: Sequence[SeenArray],
    nudging: Nudging | None,
    accelerator: Accelerator,
) -> bool:
    """Whether ideal diodes, wires and nudging by conductors are all there is."""
    return (
        (network.neurons is None or all(n.ideal and not n.amplified for n in network.neurons))
        and accelerator == "none"
        and (
            nudging is None
            or (nudging.current is None and bool(np.isfinite(nudging.strength).all()))
        )
    )


def _settling(network: ResistiveNetwork, dtype: np.dtype) -> Settle:
    """Return what settles a layer in compiled code."""
    parameters = [_parameters(network, layer) for layer in range(len(network.layers))]
    none = np.zeros((0, 0), dtype)

    def settle(
        layer: int, current: Array, total: Array, coupling: Array | None, before: Array
    ) -> Array:
        voltage = before.copy()
        meeting = (
            np.ascontiguousarray(current),
            np.ascontiguousarray(total),
            none if coupling is None else np.ascontiguousarray(coupling),
            parameters[layer],
        )
        element = _element(network, layer)
        work = voltage.size if coupling is None else voltage.size * len(coupling) // 16
        if element[2].size > 0:
            measured = (
                neuron_kernels.settle_measured
                if work < _MANY
                else neuron_kernels.settle_measured_on_all_threads
            )
            measured(*meeting, *element, voltage)
            return voltage
        kernel = neuron_kernels.settle if work < _MANY else neuron_kernels.settle_on_all_threads
        kernel(*meeting, voltage)
        return voltage

    return settle


def _settle_cells(cells: NonlinearCells, layer: int, state: Sequence[Array]) -> Array:
    """Return the voltages of a layer among nonlinear cells, (batch, units)."""
    network, voltage = cells.network, state[layer].copy()
    kernel = (
        neuron_kernels.settle_among_cells
        if voltage.size < _MANY
        else neuron_kernels.settle_among_cells_on_all_threads
    )
    kernel(
        cells.polynomials(state, layer),
        *cells.window(state, layer),
        _parameters(network, layer),
        _element(network, layer),
        voltage,
    )
    return voltage


def _parameters(network: ResistiveNetwork, layer: int) -> Array:
    """Return what kernels take of a layer's diodes, ideal ones too; see `Neurons.parameters`."""
    if network.neurons is not None:
        return network.neurons[layer].parameters
    parameters = np.zeros((network.layers[layer], 5))
    parameters[:, 0], parameters[:, 1] = network.low[layer], network.high[layer]
    return parameters


def _element(network: ResistiveNetwork, layer: int) -> tuple[Array, Array, Array]:
    """Return knots, anchors and coefficients of measured elements, or empty arrays."""
    curve = None if network.neurons is None else network.neurons[layer].curve
    if curve is None:
        return np.zeros(0), np.zeros(0), np.zeros((0, 0))
    return curve.knots, curve.anchors, curve.coefficients


def _couplings(
    network: ResistiveNetwork, arrays: Sequence[SeenArray], coupled: bool, dtype: np.dtype
) -> tuple[Array, ...] | tuple[None, ...]:
    """Return what wires couple each node with, (units, tile) a layer [S], or None for each.

    Wires join the units of a tile only, and so `neurohw.engines.kirchhoff.couplings` are 0 outside
    its blocks.
    """
    if not coupled:
        return (None,) * len(arrays)
    sizes = {None if array.wires is None else array.wires.tile for array in arrays}
    tile = sizes.pop() if len(sizes) == 1 else None
    found = []
    for k, units in enumerate(network.layers):
        side = units if tile is None else min(units, tile)
        blocks = np.zeros((units, side), dtype)
        above = arrays[k + 1].input_coupling if k + 1 < len(arrays) else None
        for coupling in (arrays[k].unit_coupling, above):
            if coupling is not None:
                for first in range(0, units, side):
                    own = coupling[first : first + side, first : first + side]
                    blocks[first : first + side, : len(own)] += own
        found.append(blocks)
    return tuple(found)


@lru_cache(maxsize=64)
def _feedback_shapes(
    layers: tuple[int, ...], rows: int, coupled: bool
) -> list[tuple[int, int, int]]:
    """Return (blocks, rows, units) of the feedback into each free layer."""
    blocks = [1 if coupled else _blocks(above, units) for units, above in pairwise(layers)]
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
