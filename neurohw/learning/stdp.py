"""Equilibrium propagation as spike-timing-dependent plasticity: its update in terms of rates.

While a nudged phase runs, and only then, each directed synapse from i to j changes by

    dW_ij/dt ∝ ρ_i · dρ_j/dt,

the rate before it times the rate of change behind it, both there at that moment. The cell between
two nodes of a Hopfield network is the synapse of both directions and takes the sum,

    ρ_i·dρ_j/dt + ρ_j·dρ_i/dt = d(ρ_i·ρ_j)/dt,

whose integral from the free equilibrium to the nudged one is the contrast of the two. Nothing has
to be kept from the free phase. The integral of one direction alone is, to first order in the
nudging, the free ρ_i times the change of ρ_j: the update of networks with a weight a direction.

A relaxation is a path of discrete moments. Over each step a rate counts with its mean, for which
the product rule holds exactly, whatever the step.

References
----------
Scellier and Bengio (2017), Front. Comput. Neurosci. 11:24, for the integral; Bengio et al. (2017),
Neural Computation 29:555, and (2015), arXiv:1509.05936, for the rule; Scellier et al. (2018),
arXiv:1808.04873, for networks with a weight a direction.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.learning.equilibrium_propagation import Contrast
from neurohw.learning.hopfield import HopfieldPropagation
from neurohw.update import Update, bias_update

Array = NDArray[np.floating]


class SpikeTimingPropagation(HopfieldPropagation):
    """Free phase, nudged phase or phases, and the integral over the latter, of a Hopfield network.

    Changes of a phase with negative nudging count with the opposite sign. Parameters as for
    `EquilibriumPropagation`.

    Raises
    ------
    UnsupportedError
        A chip whose readout is not ideal: this rule reads no states.
    """

    def __init__(self, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        if not self.chip.readout.ideal:
            raise UnsupportedError(
                "chip.converters: with learning.rule = stdp the cells integrate what their lines"
                " carry; leave out what samples and converts states"
            )

    def _options(self, *, nudged: bool) -> dict[str, Any]:
        return {"keep_path": True} if nudged else {}

    def updates(
        self,
        contrast: Contrast,
        inputs: Array,
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> tuple[list[Update], list[Update]]:
        """Return the updates of the arrays and of the biases; see `EquilibriumPropagation`.

        Of the contrast only path and span count.

        Raises
        ------
        InvalidValueError
            The contrast has no path.
        """
        if contrast.path is None:
            raise InvalidValueError("contrast.path: is missing; the rule stdp integrates along it")
        batch, dtype = len(inputs), inputs.dtype
        phases = contrast.path[0].shape[1] // batch
        per_sample = 1.0 / (batch * contrast.span)
        # Positive nudging comes before negative.
        gate = np.repeat(np.array([1, -1][:phases], dtype), batch)[:, None]
        middles, steps = [], []
        for k, path in enumerate(contrast.path):
            middle, change = course(self.network.forward(k, path))
            middles.append(middle)
            steps.append(gate * change)
        # Of each sample, over all phases.
        whole = [d.sum(axis=0).reshape(phases, batch, -1).sum(axis=0) for d in steps]
        updates = []
        for k, rate in enumerate(rates):
            scale = dtype.type(rate * per_sample)
            if k == 0:
                # Inputs stand still: their share of the integral is one product.
                pre, post = inputs, scale * whole[0]
            else:
                pre = _lines(middles[k - 1], steps[k - 1])
                post = scale * _lines(steps[k], middles[k])
            update = Update(presynaptic=pre[None], postsynaptic=post[None])
            updates.append(update.by_sample(batch) if self._by_sample else update)
        bias_updates = [
            bias_update(d, rate * per_sample, by_sample=self._by_sample)
            for rate, d in zip(bias_rates, whole, strict=True)
        ]
        return updates, bias_updates[: len(self.chip.biases)]


def course(path: Array) -> tuple[Array, Array]:
    """Return the mean of a signal over each step of its path, and its change.

    path (moments, …); both (moments − 1, …).
    """
    return path.dtype.type(0.5) * (path[1:] + path[:-1]), np.diff(path, axis=0)


def directed(presynaptic: Array, postsynaptic: Array) -> Array:
    """Return ∫ρ_i·dρ_j of each directed synapse along a transient, (batch, units, inputs) [V²].

    Parameters
    ----------
    presynaptic : (moments, batch, inputs) array [V]
        What the neurons before the synapses put out.
    postsynaptic : (moments, batch, units) array [V]
        What those behind them put out; or their membranes, for the rule ρ(u_i)·du_j/dt.
    """
    means, steps = course(presynaptic)[0], course(postsynaptic)[1]
    return np.asarray(np.einsum("tbi,tbj->bji", means, steps))


def _lines(first: Array, second: Array) -> Array:
    """Return (steps, samples, units) signals one after the other, (2·steps·samples, units)."""
    return np.concatenate((first, second)).reshape(-1, first.shape[2])
