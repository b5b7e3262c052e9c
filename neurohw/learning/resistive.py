"""Equilibrium propagation in resistive networks: the squared voltage drops of two equilibria.

With the nudged equilibria at strengths a and b (either may be the free one, strength 0), the
gradient of the mean cost by conductance g_ij is estimated by the batch mean of

    ½ [(v_i − v_j)²|_a − (v_i − v_j)²|_b] / (a − b)

(a and b counted in the chip's unit of conductance, so that a learning rate is in S/V²), which
every cell can form from its own voltage drop. Behind bidirectional amplifiers the gradient of an
array takes a factor, `ResistiveNetwork.weights`. With d = v_a − v_b and m = (v_a + v_b)/2 of each
node it is m_i·d_i + m_j·d_j − (m_i·d_j + d_i·m_j): two line sums and products of two lines. Of
nonlinear cells, see `neurohw.learning.co_content`.

References
----------
Kendall et al. (2020), arXiv:2006.01981; Scellier (2024), arXiv:2402.11674.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import BiasRails
from neurohw.circuits.synapse import Synapse
from neurohw.engines.equilibrium import SeenArray
from neurohw.engines.kirchhoff import couplings, total_conductances
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.learning import co_content, kernels
from neurohw.learning.equilibrium_propagation import Contrast, EquilibriumPropagation
from neurohw.learning.variants import POSITIVE
from neurohw.networks.resistive import nudging_bound
from neurohw.update import Update, pairs

Array = NDArray[np.floating]


class ResistivePropagation(EquilibriumPropagation):
    """Free phase, nudged phase or phases, and their contrast, of a resistive network.

    See `EquilibriumPropagation`.

    Raises
    ------
    UnsupportedError
        Nonlinear cells whose law is no polynomial.
    """

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        if self.network.synapse is not None:
            self.network.synapse.require_polynomial()
        self._weights = np.array(self.network.weights)

    def check_stability(self) -> None:
        """Refuse a negative nudging that leaves the nudged network without a minimum.

        Raises
        ------
        InvalidValueError
            Naming β and the bound that it broke.
        UnsupportedError
            A variant that the circuit cannot do.
        """
        if self.variant in ("holomorphic", "langevin"):
            raise UnsupportedError(
                f"learning.variant = {self.variant}: only with network.kind = hopfield"
            )
        kind = self._require_nudging()
        if self.variant in POSITIVE or kind != "conductance":
            return
        arrays = self.chip.seen()
        if self.network.synapse is not None:
            # No state makes the circuit softer than its cells' smallest slope.
            arrays = [_scaled(array, self.network.synapse.smallest_slope) for array in arrays]
        totals = total_conductances(self.network, arrays, self.chip.sources())
        bound = nudging_bound(
            self.network,
            [array.conductance for array in arrays],
            totals,
            couplings(self.network, arrays),
        )
        if self.strength >= bound:
            what = f"the smallest eigenvalue of the outputs' Schur complement ({bound:.3g} S)"
            raise InvalidValueError(
                f"learning.nudging = {self.nudging:g}: with negative nudging it"
                f" {self._below(bound, what)}; take less nudging,"
                " chip.nudging.kind = current, or the variant positive"
            )

    def updates(
        self,
        contrast: Contrast,
        inputs: Array,
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> tuple[list[Update], list[Update]]:
        """Return the updates of the arrays and of the biases; see `EquilibriumPropagation`."""
        batch, dtype = len(inputs), inputs.dtype
        per_sample = 1.0 / (batch * contrast.span)
        layers = self.network.layers
        last = len(layers) - 1
        post = [np.empty((2 * batch if k else batch, n), dtype) for k, n in enumerate(layers)]
        columns = [np.empty(n, dtype) for n in layers]
        rows = [np.empty(n, dtype) for n in layers[:last]]
        pre = [np.empty((2 * batch, n), dtype) for n in layers[:last]]
        differences = [np.empty(n, dtype) for n in layers]
        weights = self._weights * -per_sample
        kernels.contrast(
            tuple(contrast.upper),
            tuple(contrast.lower),
            tuple([self.network.forward(k, v) for k, v in enumerate(contrast.upper[:last])]),
            tuple([self.network.forward(k, v) for k, v in enumerate(contrast.lower[:last])]),
            (weights * rates).astype(dtype),
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
        if self.network.synapse is not None:
            updates = self._of_nonlinear_cells(
                self.network.synapse, contrast, inputs, weights * rates
            )
        elif self._by_sample:
            updates = self._of_samples(updates, contrast, weights * rates)
        bias_updates = []
        one = np.ones((1, 1, 1), dtype)
        for k, bias in enumerate(self.chip.biases):
            rate = dtype.type(bias_rates[k] * self._weights[k] * per_sample)
            if isinstance(bias, BiasRails):
                signals = contrast.upper[k], contrast.lower[k]
                bias_updates.append(_rail_update(bias, *signals, -rate, self._by_sample))
            else:
                currents = (rate * differences[k])[None, None]
                bias_updates.append(Update(presynaptic=one, postsynaptic=currents))
        return updates, bias_updates

    def _of_nonlinear_cells(
        self, synapse: Synapse, contrast: Contrast, inputs: Array, scales: Array
    ) -> list[Update]:
        """Return the updates of the arrays; scales, one an array [S/V²]."""
        lines = pairs(inputs) if self.chip.arrays[0].paired else inputs
        nodes = list(zip(contrast.upper, contrast.lower, strict=True))
        forward = self.network.forward
        below = [(forward(k, u), forward(k, v)) for k, (u, v) in enumerate(nodes[:-1])]
        return [
            co_content.update(
                synapse, before, after, float(scale), driven=k == 0, by_sample=self._by_sample
            )
            for k, (before, after, scale) in enumerate(
                zip([(lines, lines), *below], nodes, scales, strict=True)
            )
        ]

    def _of_samples(
        self, updates: Sequence[Update], contrast: Contrast, scales: Array
    ) -> list[Update]:
        """Return the updates with an event a sample, each with its part of the line sums."""
        found, row = [], None
        for k, (update, u, v) in enumerate(
            zip(updates, contrast.upper, contrast.lower, strict=True)
        ):
            scale = u.dtype.type(scales[k])
            column = scale * _mean_times_difference(u, v)
            found.append(update.by_sample(len(u), row, column))
            if k + 1 < len(updates):
                lines = self.network.forward(k, u), self.network.forward(k, v)
                row = u.dtype.type(scales[k + 1]) * _mean_times_difference(*lines)
        return found


def _scaled(array: SeenArray, factor: float) -> SeenArray:
    """Return an array without wires, every conductance times a factor."""
    sums = array.input_sums
    return SeenArray(
        conductance=factor * array.conductance,
        unit_sums=factor * array.unit_sums,
        input_sums=None if sums is None else factor * sums,
    )


def _mean_times_difference(upper: Array, lower: Array) -> Array:
    return (upper + lower) * upper.dtype.type(0.5) * (upper - lower)


def _rail_update(
    bias: BiasRails, upper: Array, lower: Array, scale: np.floating, by_sample: bool
) -> Update:
    """Return the update of cells between the units and two rails."""
    rails = np.array(bias.word_lines, upper.dtype)
    difference = (upper - lower) * scale
    column = (upper + lower) * upper.dtype.type(0.5) * difference
    if not by_sample:
        difference, column = difference.sum(axis=0)[None], column.sum(axis=0)[None]
    return Update(
        presynaptic=np.broadcast_to(rails, (len(difference), 1, 2)),
        postsynaptic=-difference[:, None],
        column=column,
    )
