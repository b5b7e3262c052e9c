"""The exact gradient of the network that a chip holds, by implicit differentiation, in float64.

The network is that of the cells at rest, without read noise, with inputs and targets as they
should be; its cost is that of the free equilibrium, relaxed to rounding.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip import BiasRails
from neurohw.engines.equilibrium import Equilibrium, Source, joined_ideally
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.engines.hopfield_rest import rest
from neurohw.engines.numpy import NumpyEngine
from neurohw.errors import ConvergenceError, UnsupportedError
from neurohw.experiments.relaxing_machine import RelaxingMachine
from neurohw.learning import hopfield_reference, reference
from neurohw.networks.hopfield import HopfieldNetwork
from neurohw.networks.resistive import ResistiveNetwork, encode
from neurohw.update import pairs

Array = NDArray[np.float64]

# Of resistive networks; nonlinear cells have no Newton steps.
_SWEEPS, _PLAIN_SWEEPS, _TOLERANCE = 1000, 100_000, 1e-12
# Of Hopfield networks: from here on the way to the minimum no longer matters.
_CLOSE = 1e-9
# Dimensionless: outputs this near to their targets have nothing to learn, and a layer learns
# nothing where no bias current moves the cost by more than this.
_LEARNT, _VANISHED = 1e-6, 1e-9


class ExactGradient(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The gradient of a mini-batch's mean cost at its free equilibrium.

    weights, (units, inputs) of each array, and biases, one a layer where the chip has them, are
    derivatives of the dimensionless cost by dimensionless weights and currents; state (batch,
    units) of each free layer [V]; cost (batch,), dimensionless; clamped (layers,), the share of
    nodes that stand at a limit; vanished (batch, layers), whether nothing of a cost that is not 0
    reaches a layer.
    """

    weights: Sequence[Array]
    biases: Sequence[Array]
    state: Sequence[Array]
    cost: Array
    clamped: Array
    vanished: NDArray[np.bool_]


def exact_gradient(
    machine: RelaxingMachine, images: NDArray[np.floating], labels: NDArray[np.integer]
) -> ExactGradient:
    """Return the gradient for (n, pixels) images in [0, 1] and their labels.

    Raises
    ------
    ConvergenceError
        No equilibrium is found; names the sample.
    UnsupportedError
        The chip's wires have resistance.
    """
    chip = machine.chip
    network: Any = machine.network
    unit, volts = chip.scale.nudging(1.0), chip.scale.unit_voltage
    if chip.specification.wires is not None:
        raise UnsupportedError(
            "chip.wires: the exact gradient is that of cells joined by wires without resistance;"
            " leave them out"
        )
    inputs: Any = encode(images, chip.specification.input.full_scale, "float64")
    target = np.eye(network.layers[-1])[labels] * volts
    seen = chip.seen()
    conductances = [array.conductance.astype(np.float64) for array in seen]
    sources = [
        Source(
            current=source.current.astype(np.float64),
            conductance=source.conductance.astype(np.float64),
        )
        for source in chip.sources()
    ]
    held: list[Any] = [source.conductance for source in sources]
    if isinstance(network, HopfieldNetwork):
        # Only signed weights have amplifiers that make the two directions differ.
        gains = [1.0 if a.transposed_gain is None else a.transposed_gain for a in seen]
        state = _hopfield_rest(machine, conductances, gains, sources, inputs)
        adjoint = hopfield_reference.adjoint(network, conductances, held, state, target, gains)
        gradients = hopfield_reference.from_adjoint(
            network, conductances, inputs, state, adjoint, gains
        )
        at_limits = [~network.free(k, v) for k, v in enumerate(state)]
        outputs = network.forward(len(state) - 1, state[-1])
        cost = network.costs(outputs, target)
    else:
        network, inputs = _in_double(network), pairs(inputs)
        state = _resistive_rest(network, conductances, sources, inputs)
        adjoint = reference.adjoint(network, conductances, held, inputs, state, target)
        gradients = reference.from_adjoint(network, inputs, state, adjoint)
        limits = zip(network.low, network.high, strict=True)
        at_limits = [(v <= low) | (v >= high) for v, (low, high) in zip(state, limits, strict=True)]
        outputs = state[-1]
        cost = 0.5 * (((outputs - target) / volts) ** 2).sum(axis=1)
    wrong = np.abs(outputs - target).max(axis=1, keepdims=True) > _LEARNT * volts
    reaching = [np.abs(layer).max(axis=1) * (unit / volts) for layer in adjoint]
    return ExactGradient(
        weights=[g * (unit / volts**2) for g in gradients[0]],
        biases=[
            _by_rail_cell(bias, v, layer) * (unit / volts**2)
            if isinstance(bias, BiasRails)
            else by_current * (unit / volts)
            for bias, v, layer, by_current in zip(
                chip.biases, state, adjoint, gradients[1], strict=False
            )
        ],
        state=state,
        cost=cost.astype(np.float64),
        clamped=np.array([mask.mean() for mask in at_limits]),
        vanished=wrong & (np.stack(reaching, axis=1) < _VANISHED),
    )


def _by_rail_cell(bias: BiasRails, voltage: Array, adjoint: Array) -> Array:
    """Return the gradient by the cells between nodes and rails, (units, 2) [V²/S]."""
    drops = np.array(bias.word_lines) - voltage[:, :, None]
    return np.asarray(np.einsum("bj,bjr->jr", adjoint, drops) / len(voltage))


def _hopfield_rest(
    machine: Any,
    conductances: Sequence[Array],
    gains: Sequence[Array | float],
    sources: Sequence[Source],
    inputs: Array,
) -> list[Array]:
    """Return the equilibrium to which the experiment's free phase leads from 0 V."""
    arrays = [
        msgspec.structs.replace(
            joined_ideally(g), transposed_gain=np.broadcast_to(gain, g.shape[1]).astype(np.float64)
        )
        for g, gain in zip(conductances, gains, strict=True)
    ]
    lines = machine.network.connections[0].lines(inputs)
    words = machine.network, arrays, sources, lines @ conductances[0].T
    way = HopfieldEngine(machine.engine.step, machine.engine.overrelaxation)
    sweeps = machine.experiment.phases.free_sweeps
    begun = way.relax(*words, sweeps=sweeps, tolerance=_CLOSE)
    return [u.astype(np.float64) for u in rest(*words, begun)]


def _in_double(network: ResistiveNetwork) -> ResistiveNetwork:
    low, high = (
        tuple(limits.astype(np.float64) for limits in side) for side in (network.low, network.high)
    )
    return replace(network, low=low, high=high)


def _resistive_rest(
    network: ResistiveNetwork,
    conductances: Sequence[Array],
    sources: Sequence[Source],
    inputs: Array,
) -> list[Array]:
    arrays = [joined_ideally(g) for g in conductances]
    words = network, arrays, sources, inputs @ conductances[0].T
    linear = network.synapse is None

    def relax(sweeps: int, start: Equilibrium | None) -> Equilibrium:
        return NumpyEngine().relax(
            *words,
            start=start,
            sweeps=sweeps,
            tolerance=_TOLERANCE,
            accelerator="newton" if linear else "none",
            inputs=inputs,
        )

    found = relax(_SWEEPS if linear else _PLAIN_SWEEPS, None)
    if found.result != "converged":
        after = relax(1, found)
        moves = [
            np.abs(a - b).max(axis=1) / np.abs(b).max()
            for a, b in zip(after.state, found.state, strict=True)
        ]
        moved = np.nan_to_num(np.max(moves, axis=0), nan=np.inf)
        worst = int(moved.argmax())
        raise ConvergenceError(
            f"sample {worst}: the free equilibrium was not found: after {found.iterations} sweeps a"
            f" voltage still moves by {moved[worst]:.3g} of the largest one; take weaker amplifiers"
            " or larger leaks, or leave the sample out"
        )
    return [v.astype(np.float64) for v in found.state]
