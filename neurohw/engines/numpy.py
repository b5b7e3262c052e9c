"""The readable oracle: exact block coordinate descent on the co-content, in plain NumPy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits import neuron
from neurohw.engines import synapses
from neurohw.engines.descent import descend
from neurohw.engines.equilibrium import (
    Accelerator,
    Equilibrium,
    Nudging,
    SeenArray,
    Source,
    refuse_duration,
)
from neurohw.engines.synapses import NonlinearCells
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]

# Halvings after which an interval is as short as rounding lets it be.
_HALVINGS = 70


class NumpyEngine:
    """Sweeps over the layers, even ones first, each node set to its exact minimum.

    A node's minimum is the mean of its neighbours' voltages, weighted by conductance, plus what
    its sources add, held by its diodes. Nodes that wires couple are set one after the other.
    Nonlinear cells are added up one by one, and the balance is found by halving an interval.
    """

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
                polynomial=False,
            )

        def settle(
            layer: int, current: Array, total: Array, coupling: Array | None, before: Array
        ) -> Array:
            if coupling is None:
                return _settle(network, layer, slice(None), current, total)
            voltage = before.copy()
            for j in range(network.layers[layer]):
                unit = slice(j, j + 1)
                arriving = current[:, unit] + voltage @ coupling[unit].T
                voltage[:, unit] = _settle(network, layer, unit, arriving, total[:, unit])
            return voltage

        return descend(
            settle,
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


def _settle(
    network: ResistiveNetwork, layer: int, units: slice, current: Array, total: Array
) -> Array:
    """Return the voltages of some units of a layer, (batch, units)."""
    if network.neurons is not None:
        return neuron.settle(current, total, network.neurons[layer], units)
    # A node that no conductance meets stays at 0 V.
    total = np.broadcast_to(total, current.shape)
    voltage = np.divide(current, total, out=np.zeros_like(current), where=total != 0)
    return np.clip(voltage, network.low[layer][units], network.high[layer][units])


def _settle_cells(cells: NonlinearCells, layer: int, state: Sequence[Array]) -> Array:
    """Return the voltages of a layer among nonlinear cells, (batch, units)."""
    network, before = cells.network, state[layer]
    flow = cells.flowing(state, layer)
    low, high = (
        np.repeat(end[:, None], before.shape[1], axis=1) for end in cells.window(state, layer)
    )
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        into = flow(middle)
        if network.neurons is not None:
            into = into - network.neurons[layer].current(middle)[0]
        low, high = np.where(into > 0, middle, low), np.where(into > 0, high, middle)
    # What is no number shows in the currents only.
    voltage = (0.5 * (low + high) + 0 * into).astype(before.dtype)
    return np.clip(voltage, network.low[layer], network.high[layer])
