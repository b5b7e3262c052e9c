"""The phases of a Hopfield network as its chip spends them.

While it relaxes, each array carries signals both ways at once: forwards those of the layer below,
and, but for the first, backwards those of the layer above. Every line that takes up currents is
held at 0 V by an amplifier, and every neuron drives its lines by one more.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.costs import Costs
from neurohw.engines.equilibrium import Equilibrium, Nudging, nudge
from neurohw.engines.hopfield import Dynamics, HopfieldEngine
from neurohw.errors import UnsupportedError
from neurohw.experiments import virtual_ground
from neurohw.experiments.hopfield_machine import HopfieldMachine
from neurohw.experiments.phases import BITS, Phase, Times, Usage, relaxing_uses, states_of
from neurohw.learning.stdp import SpikeTimingPropagation

Array = NDArray[np.floating]

NOT_COUNTED = ("what lines at 0 V, neurons and bias currents draw of a supply",)
# Settling is followed in steps of this share of an integrator's time constant, for so many.
_STEP = 0.1
_STEPS = 500
_CONSTANT = "time constant of an integrator"
# A phase ends when this share of the samples has settled, or where those steps end.
_SETTLED = 0.9


def usage(
    machine: HopfieldMachine, images: Array, labels: NDArray[np.integer], given: Times
) -> Usage:
    """Return what training images (samples, pixels) take; see `neurohw.experiments.phases`.

    Raises
    ------
    UnsupportedError
        The machine learns by the rule ``stdp``; or its network has convolutions or a readout.
    """
    chip, rule, network = machine.chip, machine.rule, machine.network
    for key, there in (
        ("network.convolutions", network.convolutional),
        ("network.output = softmax", network.softmax),
    ):
        if there:
            raise UnsupportedError(f"{key}: chips have no costs of its circuits")
    if isinstance(rule, SpikeTimingPropagation):
        raise UnsupportedError(
            "learning.rule = stdp: chips have no costs of the circuits that integrate at each cell"
        )
    costs = machine.experiment.chip.built_costs
    inputs, targets = machine.encode(images), machine.targets(labels)
    current = chip.arrays[0].read(inputs)
    contrast = rule.phases(current, targets, None, 0, inputs)
    states = states_of(contrast, rule.variant)
    outputs = network.forward(len(network.layers) - 1, contrast.free.state[-1])
    nudgings = {
        name: None if sign == 0 else _nudging(machine, sign, targets, outputs)
        for name, (sign, _) in states.items()
    }
    times, settling = _lengths(machine, costs, current, nudgings, given)
    phases: dict[str, Phase] = {}
    charging, imbalances = [], []
    before = [np.zeros_like(inputs), *(np.zeros_like(u) for u in contrast.free.state)]
    for name, (_, state) in states.items():
        lines = [inputs, *(network.forward(k, u) for k, u in enumerate(state))]
        steps = [after - v for after, v in zip(lines, before, strict=True)]
        cells, wires = array_power(machine, lines)
        lost, imbalance = _neurons(machine, current, state, nudgings[name])
        phases[name] = Phase(
            time=times[name != "free"],
            arrays=cells,
            neurons=lost + costs.amplifier_power * (_held(machine) + sum(network.layers)),
            wires=wires,
            charging=_capacitance(machine) * sum(float((d**2).sum(1).mean()) for d in steps[1:]),
        )
        charging.append(_charging(machine, costs, steps))
        imbalances.append(imbalance)
        before = lines
    energies = charging[0], sum(charging)
    memory = machine.experiment.rule.hardware.memory
    uses = relaxing_uses(costs, network.inputs, network.layers, phases, energies, memory)
    return Usage(
        phases=phases,
        settling=settling,
        slowest=time_constant(machine),
        imbalance=float(np.mean(imbalances)),
        inference=uses[0],
        training=uses[1],
        area=_area(machine, costs),
        not_counted=NOT_COUNTED,
    )


def array_power(machine: HopfieldMachine, lines: Sequence[Array]) -> tuple[float, float]:
    """Return the mean power of all cells, those of biases included, and of wires [W].

    lines, those of the inputs and what the neurons of each layer put out, (samples, units) [V].
    """
    chip, found = machine.chip, []
    for k, array in enumerate(chip.arrays):
        found += [virtual_ground.power(array, lines[k]), virtual_ground.bias_power(chip, k)]
        if k > 0:
            found.append(virtual_ground.power(array, lines[k + 1], backwards=True))
    cells, wires = zip(*found, strict=True)
    return sum(cells), sum(wires)


def time_constant(machine: HopfieldMachine) -> float:
    """Return that of an integrator by itself, its capacitance over its leak [s]."""
    return _capacitance(machine) / machine.chip.scale.leak


def settled(
    machine: HopfieldMachine,
    current: Array,
    start: Equilibrium | None = None,
    nudging: Nudging | None = None,
) -> tuple[Equilibrium, float, float]:
    """Follow the integrators for 50 time constants; return where they end, and when they settle.

    The time is that after which 9 of 10 samples put out what stays within half a step of the ADC
    of where it ends [s]; with the share of the samples that do. It is all of the 50 where fewer
    have come to rest until shortly before the end, as some do that leave a saddle of the energy.

    Parameters
    ----------
    machine : HopfieldMachine
    current : (samples, units) array [A]
        Of the first array.
    start : Equilibrium, optional
        Default all membranes at 0 V.
    nudging : Nudging, optional
    """
    network, chip = machine.network, machine.chip
    engine, arrays, sources = HopfieldEngine(_STEP), chip.seen(0), chip.sources(0)

    def after(steps: int, at: Equilibrium | None) -> Equilibrium:
        return engine.relax(
            network, arrays, sources, current, start=at, nudging=nudging, sweeps=steps
        )

    end, at = after(_STEPS, start), start
    bits = machine.experiment.chip.built_costs.adc_bits or BITS
    half = 0.5 ** (bits + 1) * network.unit_voltage
    last = np.zeros(len(current))
    for step in range(1, _STEPS + 1):
        at = after(1, at)
        pairs = enumerate(zip(at.state, end.state, strict=True))
        moves = [np.abs(network.forward(k, u) - network.forward(k, v)) for k, (u, v) in pairs]
        last[np.concatenate(moves, axis=1).max(axis=1) > half] = step
    steps = 1 + float(np.quantile(last, _SETTLED, method="higher"))
    resting = last < steps
    if steps > _STEPS * _SETTLED:
        steps, resting = _STEPS, last < _STEPS * _SETTLED
    return end, steps * _STEP * time_constant(machine), float(resting.mean())


def _lengths(
    machine: HopfieldMachine,
    costs: Costs,
    current: Array,
    nudgings: Mapping[str, Nudging | None],
    given: Times,
) -> tuple[tuple[float, float], str]:
    """Return the lengths of the free and of the nudged phases [s], and how they were found."""
    if given[0] is not None and given[1] is not None:
        return (given[0], given[1]), f"as the run or the options give them; {_CONSTANT}"
    end, free, share = settled(machine, current)
    nudged = [settled(machine, current, end, n)[1:] for n in nudgings.values() if n is not None]
    times = given[0] or free, given[1] or max(time for time, _ in nudged)
    share, bits = min(share, *(s for _, s in nudged)), costs.adc_bits or BITS
    return (
        times,
        f"{100 * share:.0f} % of the samples settle to half a step of {bits} bits; {_CONSTANT}",
    )


def _nudging(machine: HopfieldMachine, sign: float, targets: Array, outputs: Array) -> Nudging:
    """Return what pulls outputs, which in the free phase put out so much [V]."""
    strength = np.full(len(targets), sign * machine.rule.strength)
    kind = machine.chip.specification.nudging.built
    return nudge(kind, strength, targets.astype(np.float64) + machine.rule.offsets, outputs)


def _neurons(
    machine: HopfieldMachine, current: Array, state: Sequence[Array], nudging: Nudging | None
) -> tuple[float, float]:
    """Return what leaks and nudging dissipate [W], and how far from rest the membranes are.

    The latter is the power that charges membranes which are not held at a limit, over the former.
    """
    network, sources = machine.network, machine.chip.sources(0)
    dynamics = Dynamics(
        network=network,
        arrays=machine.chip.seen(0),
        sources=sources,
        input_current=current,
        nudging=nudging,
        step=None,
    )
    last = len(state) - 1
    lost, charged = np.zeros(len(current)), np.zeros(len(current))
    for k, (membrane, source) in enumerate(zip(state, sources, strict=True)):
        u = membrane.astype(np.float64)
        arriving = dynamics.arriving(state, k).astype(np.float64)
        free = (u > network.low) & (u < network.high)
        if nudging is not None and k == last:
            pull, outputs = nudging.conductor(np.float64), network.forward(k, u)
            arriving += nudging.injected(np.float64) - pull * outputs
            lost += (np.abs(pull) * (nudging.target - outputs) ** 2).sum(axis=1)
            free &= ~nudging.clamped[:, None]
        leak = source.conductance.astype(np.float64)
        lost += u**2 @ leak
        charged += (u * (arriving - leak * u) * free).sum(axis=1)
    return float(lost.mean()), float(np.abs(charged).mean() / lost.mean()) if lost.any() else 0.0


def _capacitance(machine: HopfieldMachine) -> float:
    """Return that of an integrator [F]."""
    return machine.chip.specification.neuron.capacitance


def _charging(machine: HopfieldMachine, costs: Costs, steps: Sequence[Array]) -> float:
    """Return the energy of the arrays' lines, whose voltages step by so much [J]."""
    total = 0.0
    for k, array in enumerate(machine.chip.arrays):
        total += virtual_ground.charging(costs, array, steps[k])
        if k > 0:
            total += virtual_ground.charging(costs, array, steps[k + 1], backwards=True)
    return total


def _held(machine: HopfieldMachine) -> int:
    """Return how many lines are held at 0 V."""
    first, *others = machine.chip.arrays
    both = sum(
        virtual_ground.amplifiers(array, backwards=backwards)
        for array in others
        for backwards in (False, True)
    )
    return virtual_ground.amplifiers(first) + both


def _area(machine: HopfieldMachine, costs: Costs) -> dict[str, float]:
    """Return the area of each kind of circuit [m²]."""
    network, nodes = machine.network, sum(machine.network.layers)
    capacitors = nodes * _capacitance(machine)
    return {
        "cells": virtual_ground.cell_area(costs, machine.chip),
        "unused cells": virtual_ground.unused_area(costs, machine.chip),
        "DAC": costs.dac_area * (network.inputs + network.layers[-1]),
        "ADC": costs.adc_area * sum(costs.adcs(units) for units in network.layers),
        "neurons": costs.neuron_area * nodes + capacitors / costs.capacitor_density,
        "amplifiers": costs.amplifier_area * _held(machine),
    }
