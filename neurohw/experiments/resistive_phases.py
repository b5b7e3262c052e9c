"""The phases of a resistive network as its chip spends them: what they dissipate, until when."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from neurohw.chip import BiasRails
from neurohw.circuits.costs import Costs
from neurohw.circuits.neuron import Neuron
from neurohw.engines.equilibrium import nudge
from neurohw.engines.kirchhoff import sparse_system
from neurohw.engines.power import power
from neurohw.experiments.machine import ResistiveMachine
from neurohw.experiments.phases import Phase, Times, Usage, relaxing_uses, settled, states_of
from neurohw.networks.resistive import ResistiveNetwork, dissipation
from neurohw.update import pairs

Array = NDArray[np.floating]

# Nodes up to which all eigenvalues are found.
_DENSE = 600


def usage(
    machine: ResistiveMachine, images: Array, labels: NDArray[np.integer], given: Times
) -> Usage:
    """Return what training images (samples, pixels) take; see `neurohw.experiments.phases`.

    Each phase lasts until the slowest time constant of the circuit has died down, unless given.
    """
    costs, network = machine.experiment.chip.built_costs, machine.network
    slowest = slowest_time(machine)
    times, settling = settled(costs, slowest, given)
    phases, imbalance = simulate(machine, images, machine.targets(labels), times)
    squares = pairs(machine.encode(images)).astype(np.float64) ** 2
    charging = costs.line_capacitance(network.layers[0]) * float(squares.sum(axis=1).mean())
    memory = machine.experiment.rule.hardware.memory
    uses = relaxing_uses(
        costs, network.inputs, network.layers, phases, (charging, charging), memory
    )
    return Usage(
        phases=phases,
        settling=settling,
        slowest=slowest,
        imbalance=imbalance,
        inference=uses[0],
        training=uses[1],
        area=_area(machine, costs),
    )


def slowest_time(machine: ResistiveMachine) -> float:
    """Return the longest time constant of any phase while no diode conducts [s]; ∞ if none ends.

    A node that no conductance meets stays where it is, and has none.
    """
    chip, network = machine.chip, machine.network
    matrix = sparse_system(network, chip.seen(0), chip.sources(0))
    capacitance = np.concatenate(capacitances(machine))
    nodes = len(capacitance)
    outputs = np.arange(nodes) >= nodes - network.layers[-1]
    strengths = {0.0}
    if chip.specification.nudging.built == "conductance":
        strengths |= {machine.rule.strength * sign for sign in _signs(machine)}
    longest = 0.0
    for strength in strengths:
        nudged = matrix + scipy.sparse.diags_array(np.where(outputs, strength, 0.0))
        held = np.flatnonzero(nudged.diagonal() != 0)
        if len(held) == 0:
            continue
        root = scipy.sparse.diags_array(1 / np.sqrt(capacitance[held]))
        scaled = scipy.sparse.csc_array(root @ nudged[held][:, held] @ root)
        rate = _slowest_rate(scaled, symmetric=_amplifiers(network) == 0)
        if rate <= 1e-12 * scaled.diagonal().max():
            return float("inf")
        longest = max(longest, 1 / rate)
    return longest


def _slowest_rate(matrix: scipy.sparse.csc_array, *, symmetric: bool) -> float:
    """Return the smallest real part of a matrix's eigenvalues; 0 of a singular one."""
    if matrix.shape[0] <= _DENSE:
        dense = matrix.toarray()
        rates = np.linalg.eigvalsh(dense) if symmetric else np.linalg.eigvals(dense).real
        return float(rates.min())
    find = scipy.sparse.linalg.eigsh if symmetric else scipy.sparse.linalg.eigs
    try:
        nearest = find(
            matrix, k=1, sigma=0.0, v0=np.ones(matrix.shape[0]), return_eigenvectors=False
        )
    except RuntimeError:  # exactly singular
        return 0.0
    return float(nearest.real.min())


def _amplifiers(network: ResistiveNetwork) -> int:
    """Return how many nodes have an amplifier."""
    return sum(len(n.gain) for n in network.neurons or () if n.amplified)


def simulate(
    machine: ResistiveMachine, images: Array, target: Array, times: tuple[float, float]
) -> tuple[dict[str, Phase], float]:
    """Return the phases of the mean sample, and the mean imbalance of their power.

    images (samples, pixels), target (samples, outputs) [V]; times, of the free phase and of each
    nudged one [s].
    """
    inputs = machine.encode(images)
    chip, rule, network = machine.chip, machine.rule, machine.network
    contrast = rule.contrast(chip.arrays[0].read(inputs), target, None, 0, inputs)
    kind, outputs = chip.specification.nudging.built, contrast.free.state[-1].astype(np.float64)
    farads = capacitances(machine)
    before: Sequence[Array] = [np.zeros_like(v) for v in contrast.free.state]
    phases, imbalance = {}, []
    for name, (sign, state) in states_of(contrast, rule.variant).items():
        nudging = None
        if sign:
            strength = np.full(len(target), sign * rule.strength)
            nudging = nudge(kind, strength, target.astype(np.float64) + rule.offsets, outputs)
        found = power(network, chip.seen(0), chip.sources(0), pairs(inputs), state, nudging)
        mean = {key: float(value.mean()) for key, value in found.dissipated.items()}
        imbalance.append(float(np.abs(found.imbalance).mean()))
        rails, at_nodes = _rails(machine, state)
        amplifiers = _amplifiers(network) * chip.specification.costs.amplifier_power
        phases[name] = Phase(
            time=times[name != "free"],
            arrays=sum(v for key, v in mean.items() if key.startswith("array")) + rails,
            # An active circuit that acts as a negative conductor takes its power from a supply.
            neurons=mean["diodes"] + mean["leaks"] - at_nodes + abs(mean["nudging"]) + amplifiers,
            wires=mean["wires"],
            charging=sum(
                float(((v.astype(np.float64) - u) ** 2 @ c).mean())
                for u, v, c in zip(before, state, farads, strict=True)
            ),
        )
        before = [v.astype(np.float64) for v in state]
    return phases, float(np.mean(imbalance))


def capacitances(machine: ResistiveMachine) -> list[Array]:
    """Return the capacitance of each node, a (units,) array a free layer [F]."""
    neurons = machine.network.neurons
    if neurons is None:
        return [np.full(units, Neuron().capacitance) for units in machine.network.layers]
    return [n.capacitance for n in neurons]


def _rails(machine: ResistiveMachine, state: Sequence[Array]) -> tuple[float, float]:
    """Return the power of bias cells to rails, and what the nodes see of it as leaks [W]."""
    cells, seen = 0.0, 0.0
    for bias, voltage in zip(machine.chip.biases, state, strict=False):
        if isinstance(bias, BiasRails):
            v = voltage.astype(np.float64)
            rails = np.tile(np.array(bias.word_lines), (len(v), 1))
            cells += float(dissipation(bias.array.values(), rails, v).mean())
            seen += float((v**2 @ bias.array.seen(0).unit_sums.astype(np.float64)).mean())
    return cells, seen


def _signs(machine: ResistiveMachine) -> tuple[float, ...]:
    """Return the signs that nudged phases have."""
    signs: dict[str, tuple[float, ...]] = {"positive": (1.0,), "negative": (-1.0,)}
    return signs.get(machine.rule.variant, (1.0, -1.0))


def _area(machine: ResistiveMachine, costs: Costs) -> dict[str, float]:
    """Return the area of each kind of circuit [m²]."""
    network, chip = machine.network, machine.chip
    widths = list(chip.scale.cell_scale)
    biases = [b.array.values().size for b in chip.biases if isinstance(b, BiasRails)]
    cells = [array.values().size for array in chip.arrays]
    wide = sum(w * n for w, n in zip(widths, cells, strict=True))
    wide += sum(w * n for w, n in zip(widths, biases, strict=False))
    nodes = sum(network.layers)
    capacitors = sum(float(c.sum()) for c in capacitances(machine))
    return {
        "cells": costs.pitch**2 * wide,
        # Padding and spare lines of tiles; bias cells have neither.
        "unused cells": costs.pitch**2
        * sum(w * array.cells.unused for w, array in zip(widths, chip.arrays, strict=True)),
        "DAC": costs.dac_area * (network.inputs + network.layers[-1]),
        "ADC": costs.adc_area * sum(costs.adcs(units) for units in network.layers),
        "neurons": costs.neuron_area * nodes + capacitors / costs.capacitor_density,
    }
