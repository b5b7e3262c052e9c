"""Energy of a phase: where ∫ v·i dt comes from, and where it goes.

All but diodes, limits and nonlinear cells is quadratic in the node voltages, so that the integral
of (1, v)ᵀ(1, v) over the phase gives the energy of every element.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.crossbar import WiredCrossbar
from neurohw.engines.equilibrium import Nudging, SeenArray, Source, joined_ideally
from neurohw.engines.transient.circuit import Circuit
from neurohw.engines.transient.engine import Waveform

Array = NDArray[np.floating]


class Energy(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Energy of a phase by class of elements, (batch,) arrays [J].

    delivered : inputs (drivers of the word lines), biases (their currents), nudging, diode sources
    (behind the diodes) and amplifiers; negative where a source takes energy up. dissipated : array
    1, array 2, …, leaks (conductance of sources and leaks at the nodes), nudging, diodes and
    current limits. stored : what the capacitors have gained. What cells to two rails lose without
    a current into their node is not in it: sources are known by their current and conductance.
    """

    delivered: Mapping[str, Array]
    dissipated: Mapping[str, Array]
    stored: Array

    @property
    def imbalance(self) -> Array:
        """Delivered less dissipated and stored energy: the error of the integration [J]."""
        delivered, dissipated = sum(self.delivered.values()), sum(self.dissipated.values())
        return np.asarray(delivered - dissipated - self.stored)


def energy(
    equation: Circuit,
    arrays: Sequence[SeenArray],
    sources: Sequence[Source],
    word_lines: Array,
    nudging: Nudging | None,
    waveform: Waveform,
    start: Array,
) -> Energy:
    """Return the energies of a tallied phase.

    word_lines (batch, inputs) are the voltages of all of them, start (batch, nodes) those of the
    nodes at the beginning, before ideal clamps pull them to theirs at once [V].
    """
    total, mean = waveform.moments[:, 0, 0], waveform.moments[:, 0, 1:]
    square = waveform.moments[:, 1:, 1:]
    layers = [slice(a, b) for a, b in pairwise(equation.layers)]
    zero = np.zeros(len(total))
    if equation.among is not None:
        arrays = [joined_ideally(np.zeros_like(array.conductance)) for array in arrays]
    biases, leaks, amplifiers = zero, zero, zero
    delivered, dissipated = {}, {}
    for k, (array, source, units) in enumerate(zip(arrays, sources, layers, strict=True)):
        g, own = array.conductance.astype(np.float64), square[:, units, units]
        if k == 0:
            lines = _driven(array, word_lines) * total - _dot(word_lines @ g.T, mean[:, units])
            into = _dot(word_lines @ g.T, mean[:, units])
            delivered["inputs"] = lines
        else:
            below = layers[k - 1]
            gain, backward, shift = _amplifier(equation, k - 1)
            v, vv, vy = mean[:, below], square[:, below, below], square[:, below, units]
            xv = gain[:, None] * vv + shift[:, None] * v[:, None, :]
            xx = gain * xv + shift * (gain * v + shift * total[:, None])[:, :, None]
            xy = gain[:, None] * vy + shift[:, None] * mean[:, None, units]
            assert array.input_sums is not None
            held: Array = np.diag(array.input_sums.astype(np.float64))
            if array.input_coupling is not None:
                held = held - array.input_coupling
            into = np.einsum("ji,bij->b", g, xy)
            lines = np.einsum("ij,bij->b", held, xx) - into
            if equation.network.neurons is not None and equation.network.neurons[k - 1].amplified:
                drawn = np.einsum("i,il,bli->b", backward, held, xv)
                drawn = drawn - np.einsum("i,ji,bij->b", backward, g, vy)
                amplifiers = amplifiers + lines - drawn
        matrix: Array = np.diag(array.unit_sums.astype(np.float64))
        if array.unit_coupling is not None:
            matrix = matrix - array.unit_coupling
        dissipated[f"array {k + 1}"] = lines - into + np.einsum("ij,bij->b", matrix, own)
        biases = biases + mean[:, units] @ source.current
        leaks = leaks + np.diagonal(own, axis1=1, axis2=2) @ source.conductance
    if equation.among is not None:
        delivered["inputs"] = waveform.cells[:, 1].sum(1)
        for k, units in enumerate(layers):
            dissipated[f"array {k + 1}"] = waveform.cells[:, 0, units].sum(1)
    outputs = layers[-1]
    nudged, conducted, clamped = zero, zero, np.zeros(len(total), bool)
    if nudging is not None:
        clamped, strength = nudging.clamped, nudging.conductor(np.float64)[:, 0]
        target, at = nudging.target.astype(np.float64), mean[:, outputs]
        squares = np.diagonal(square[:, outputs, outputs], axis1=1, axis2=2).sum(1)
        t_v, t_t = _dot(target, at), _dot(target, target) * total
        nudged = strength * (t_t - t_v)
        conducted = strength * (t_t - 2 * t_v + squares)
        if nudging.current is not None:
            nudged = nudged + _dot(nudging.current, at)
    # A clamp that charges a capacitor at once loses ½C·Δv² on the way, however well it conducts.
    pulled = np.clip(start, equation.low, equation.high)
    charge = equation.capacitance * (pulled - start)
    given = _behind_diodes(equation, waveform) + charge * pulled
    lost = waveform.lost[:, :2].sum(1) + 0.5 * charge * (pulled - start)
    nudged = nudged + np.where(clamped, given[:, outputs].sum(1), 0.0)
    conducted = conducted + np.where(clamped, lost[:, outputs].sum(1), 0.0)
    given[clamped, outputs] = lost[clamped, outputs] = 0.0
    end = waveform.voltages[:, -1]
    return Energy(
        delivered=delivered
        | {
            "biases": biases,
            "nudging": nudged,
            "diode sources": given.sum(1),
            "amplifiers": amplifiers,
        },
        dissipated=dissipated
        | {
            "leaks": leaks,
            "nudging": conducted,
            "diodes": lost.sum(1),
            "current limits": waveform.lost[:, 2].sum(1),
        },
        stored=0.5 * (end**2 - start**2) @ equation.capacitance,
    )


def _driven(array: SeenArray, word_lines: Array) -> Array:
    """Return the power that enters word lines while all units are at 0 V, (batch,) [W]."""
    if array.wires is None or array.cells is None:
        return np.asarray(word_lines**2 @ array.conductance.sum(axis=0, dtype=np.float64))
    power, tile = np.zeros(len(word_lines)), array.wires.tile
    units, inputs = array.cells.shape
    for first in range(0, inputs, tile):
        lines = word_lines[:, first : first + tile]
        for above in range(0, units, tile):
            cells = array.cells[above : above + tile, first : first + tile]
            grounded = np.zeros((len(lines), len(cells)))
            power += _dot(lines, WiredCrossbar(cells, array.wires).currents(lines, grounded)[0])
    return power


def _amplifier(equation: Circuit, layer: int) -> tuple[Array, Array, Array]:
    """Return gain, backward gain and shift [V] of a layer's amplifiers, (units,)."""
    if equation.network.neurons is None:
        one = np.ones(equation.network.layers[layer])
        return one, one, 0.0 * one
    neurons = equation.network.neurons[layer]
    return neurons.gain, neurons.backward_gain, neurons.shift


def _behind_diodes(equation: Circuit, waveform: Waveform) -> Array:
    """Return what the sources behind each node's diodes or clamps deliver, (batch, nodes) [J]."""
    given = np.zeros(equation.low.shape)
    for side, (clamp, sign) in enumerate(((equation.low, 1.0), (equation.high, -1.0))):
        source = np.where(np.isfinite(clamp), clamp, equation.diodes[:, side])
        given += sign * np.where(np.isfinite(source), source, 0.0) * waveform.charge[:, side]
    return given


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(np.einsum("bi,bi->b", a, b))
