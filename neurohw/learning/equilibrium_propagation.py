"""Equilibrium propagation: the contrast of two equilibria is the gradient of the cost.

With the nudged equilibria at strengths a and b (either may be the free one, strength 0), the
gradient of the mean cost by conductance g_ij is estimated by the batch mean of

    ½ [(v_i − v_j)²|_a − (v_i − v_j)²|_b] / (a − b)

(a and b counted in the chip's unit of conductance, so that a learning rate is in S/V²), which
every cell can form from its own voltage drop. With d = v_a − v_b and m = (v_a + v_b)/2 of each
node it is m_i·d_i + m_j·d_j − (m_i·d_j + d_i·m_j): two line sums and products of two lines.

References
----------
Scellier and Bengio (2017), Front. Comput. Neurosci. 11:24; Kendall et al. (2020),
arXiv:2006.01981; Laborieux et al. (2021), Front. Neurosci. 15:633674, for the centered variant.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip import BiasRails, Chip
from neurohw.engines.equilibrium import (
    Engine,
    Equilibrium,
    Nudging,
    require_settled,
)
from neurohw.engines.kirchhoff import couplings, total_conductances
from neurohw.errors import InvalidValueError
from neurohw.learning import kernels
from neurohw.networks.resistive import ResistiveNetwork, nudging_bound
from neurohw.update import Update

Array = NDArray[np.floating]

Variant = Literal["positive", "negative", "random_sign", "centered"]


class Contrast(msgspec.Struct, frozen=True, eq=False):
    """The free equilibrium of a mini-batch, and the two that are compared.

    upper and lower hold a (batch, units) array a free layer [V]; span is the difference of
    their nudging strengths, in units of the chip's unit of conductance.
    """

    free: Equilibrium
    upper: Sequence[Array]
    lower: Sequence[Array]
    span: float


class EquilibriumPropagation:
    """Free phase, nudged phase or phases, local contrast.

    Parameters
    ----------
    network, engine, chip
        What relaxes, what finds the equilibrium, what holds the conductances.
    variant : {"positive", "negative", "random_sign", "centered"}
        Nudged phases: +β, −β, one of the two drawn for each mini-batch, or both.
    nudging : float
        β, dimensionless.
    free_sweeps, nudged_sweeps, tolerance
        See `neurohw.engines.equilibrium.Engine.relax`.
    seed : int
        Of the random sign.
    """

    def __init__(
        self,
        network: ResistiveNetwork,
        engine: Engine,
        chip: Chip,
        *,
        variant: Variant,
        nudging: float,
        free_sweeps: int,
        nudged_sweeps: int,
        tolerance: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.network = network
        self.engine = engine
        self.chip = chip
        self.variant = variant
        self.nudging = nudging
        self.strength = chip.scale.nudging(nudging)
        self.free_sweeps = free_sweeps
        self.nudged_sweeps = nudged_sweeps
        self.tolerance = tolerance
        self._sign_stream = randomness.stream(seed, "sign")

    def check_stability(self) -> None:
        """Refuse a negative nudging that leaves the nudged network without a minimum.

        Raises
        ------
        InvalidValueError
            Naming β and the bound that it broke.
        """
        if self.variant == "positive":
            return
        arrays = self.chip.seen(0)
        totals = total_conductances(self.network, arrays, self.chip.sources(0))
        conductances = [array.conductance for array in arrays]
        bound = nudging_bound(conductances, totals, couplings(self.network, arrays))
        if self.strength >= bound:
            unit = self.chip.scale.unit_conductance
            raise InvalidValueError(
                f"learning.nudging = {self.nudging:g}: with negative nudging it must be"
                f" below {bound / unit:.4g}, the smallest eigenvalue of the outputs' Schur"
                f" complement ({bound:.3g} S); take less nudging or the variant positive"
            )

    def contrast(
        self, input_current: Array, target: Array, start: Equilibrium | None, event: int
    ) -> Contrast:
        """Relax the free and the nudged phases of one mini-batch.

        input_current (batch, units) [A], target (batch, outputs) [V].
        """
        arrays, sources = self.chip.seen(event), self.chip.sources(event)
        free = self.engine.relax(
            self.network,
            arrays,
            sources,
            input_current,
            start=start,
            sweeps=self.free_sweeps,
            tolerance=self.tolerance,
        )
        require_settled(free, "free", self.tolerance)
        batch = len(input_current)
        signs = self._signs(event)
        strength = _strengths(signs, self.strength, batch, input_current.dtype)
        if len(signs) == 2:
            input_current = np.concatenate((input_current, input_current))
            target = np.concatenate((target, target))
        nudged = self.engine.relax(
            self.network,
            arrays,
            sources,
            input_current,
            start=free,
            nudging=Nudging(strength=strength, target=target),
            sweeps=self.nudged_sweeps,
            tolerance=self.tolerance,
        )
        require_settled(nudged, "nudged", self.tolerance)
        upper = [v[:batch] for v in nudged.state]
        if len(signs) == 2:
            lower = [v[batch:] for v in nudged.state]
            return Contrast(free, upper, lower, 2.0 * self.nudging)
        return Contrast(free, upper, free.state, signs[0] * self.nudging)

    def updates(
        self,
        contrast: Contrast,
        inputs: Array,
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> tuple[list[Update], list[Update]]:
        """Return the updates of the arrays, and of the biases where the chip has them.

        Each is minus the rate times the mean estimated gradient.

        Parameters
        ----------
        contrast : Contrast
        inputs : (batch, inputs) array [V]
            As `CrossbarArray.read` of the first array takes them.
        rates : sequence of float [S/V²]
            One an array.
        bias_rates : sequence of float
            One a layer, as `rates` for bias cells, in [A/V] for bias currents.
        """
        batch, dtype = len(inputs), inputs.dtype
        per_sample = 1.0 / (batch * contrast.span)
        layers = self.network.layers
        last = len(layers) - 1
        post = [np.empty((2 * batch if k else batch, n), dtype) for k, n in enumerate(layers)]
        columns = [np.empty(n, dtype) for n in layers]
        rows = [np.empty(n, dtype) for n in layers[:last]]
        pre = [np.empty((2 * batch, n), dtype) for n in layers[:last]]
        differences = [np.empty(n, dtype) for n in layers]
        kernels.contrast(
            tuple(contrast.upper),
            tuple(contrast.lower),
            np.array(rates, dtype) * dtype.type(-per_sample),
            tuple(pre),
            tuple(post),
            tuple(rows),
            tuple(columns),
            tuple(differences),
        )
        updates = [
            Update(
                presynaptic=pre[k - 1][None] if k else inputs[None],
                postsynaptic=post[k][None],
                row=rows[k - 1][None] if k else None,
                column=columns[k][None],
                paired=self.chip.arrays[k].paired,
            )
            for k in range(last + 1)
        ]
        bias_updates = []
        one = np.ones((1, 1, 1), dtype)
        for k, bias in enumerate(self.chip.biases):
            rate = dtype.type(bias_rates[k] * per_sample)
            if isinstance(bias, BiasRails):
                signals = contrast.upper[k], contrast.lower[k]
                bias_updates.append(_rail_update(bias, *signals, -rate))
            else:
                currents = (rate * differences[k])[None, None]
                bias_updates.append(Update(presynaptic=one, postsynaptic=currents))
        return updates, bias_updates

    def _signs(self, event: int) -> tuple[float, ...]:
        if self.variant == "centered":
            return (1.0, -1.0)
        if self.variant == "random_sign":
            return (1.0,) if randomness.key(self._sign_stream, event)[0] & 1 else (-1.0,)
        return (1.0,) if self.variant == "positive" else (-1.0,)


@lru_cache(maxsize=16)
def _strengths(signs: tuple[float, ...], strength: float, batch: int, dtype: np.dtype) -> Array:
    """Return the nudging of each sample, all samples with one sign before those with another."""
    return np.repeat(np.array(signs, dtype) * dtype.type(strength), batch)


def _rail_update(bias: BiasRails, upper: Array, lower: Array, scale: np.floating) -> Update:
    """Return the update of cells between the units and two rails."""
    rails = np.array(bias.word_lines, upper.dtype)
    difference = (upper - lower) * scale
    mean = (upper + lower) * upper.dtype.type(0.5)
    return Update(
        presynaptic=rails[None, None],
        postsynaptic=-difference.sum(axis=0)[None, None],
        column=np.einsum("bj,bj->j", mean, difference)[None],
    )
