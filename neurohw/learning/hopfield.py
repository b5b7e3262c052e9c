"""Equilibrium propagation in deep Hopfield networks.

With the nudged equilibria at strengths a and b (either may be the free one, strength 0), the
gradient of the mean cost by the weight between i and j, and by a bias, is estimated by the batch
means of

    −[ρ_i·ρ_j|_a − ρ_i·ρ_j|_b] / (a − b),   −[ρ_j|_a − ρ_j|_b] / (a − b)

a and b counted in the chip's unit of conductance. With d = ρ|_a − ρ|_b and m = (ρ|_a + ρ|_b)/2 of
each node the first is −(m_i·d_j + d_i·m_j): products of two lines, in which no two large numbers
are taken from each other.

References
----------
Scellier and Bengio (2017), Front. Comput. Neurosci. 11:24.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import Nudging
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.errors import InvalidValueError
from neurohw.learning.equilibrium_propagation import Contrast, EquilibriumPropagation
from neurohw.update import Update, bias_update

Array = NDArray[np.floating]


class HopfieldPropagation(EquilibriumPropagation):
    """Free phase, nudged phase or phases, and their contrast, of a deep Hopfield network.

    See `EquilibriumPropagation`.
    """

    def check_stability(self) -> None:
        """Refuse a negative nudging that block sweeps cannot follow.

        Steps go down any energy; the exact minimum of an output is only where the energy bends
        upwards, that is for a nudging weaker than the leak. With a transposed gain there is no
        energy, but the same bound: what flows into an output does not depend on the gain.

        Raises
        ------
        InvalidValueError
            Naming β and the bound that it broke.
        """
        kind = self.chip.specification.nudging.kind
        sweeps = isinstance(self.engine, HopfieldEngine) and self.engine.step is None
        if self.variant == "positive" or kind != "conductance" or not sweeps:
            return
        leak = self.chip.sources()[-1].conductance.min()
        if self.strength >= leak:
            bound = leak / self.chip.scale.leak
            raise InvalidValueError(
                f"learning.nudging = {self.nudging:g}: with negative nudging and block sweeps it"
                f" must be below {bound:.4g}, the leak of the outputs; take less nudging,"
                " relaxation.dynamics = steps, or the variant positive"
            )

    def updates(
        self,
        contrast: Contrast,
        inputs: Array,
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> tuple[list[Update], list[Update]]:
        """Return the updates of the arrays and of the biases; see `EquilibriumPropagation`."""
        dtype = inputs.dtype
        per_sample = 1.0 / (len(inputs) * contrast.span)
        means: list[Array] = [inputs]
        differences: list[Array] = [np.zeros_like(inputs)]
        for k, (upper, lower) in enumerate(zip(contrast.upper, contrast.lower, strict=True)):
            a, b = self.network.forward(k, upper), self.network.forward(k, lower)
            means.append(dtype.type(0.5) * (a + b))
            differences.append(a - b)
        updates, by_sample = [], self._by_sample
        for k, rate in enumerate(rates):
            scale = dtype.type(rate * per_sample)
            pre, post = [means[k]], [scale * differences[k + 1]]
            if k > 0:
                pre.append(differences[k])
                post.append(scale * means[k + 1])
            update = Update(
                presynaptic=np.concatenate(pre)[None], postsynaptic=np.concatenate(post)[None]
            )
            updates.append(update.by_sample(len(inputs)) if by_sample else update)
        bias_updates = [
            bias_update(d, rate * per_sample, by_sample=by_sample)
            for rate, d in zip(bias_rates, differences[1:], strict=True)
        ]
        return updates, bias_updates[: len(self.chip.biases)]

    def _nudge(
        self, signs: tuple[float, ...], outputs: Array, target: Array, event: int
    ) -> Nudging:
        """Return what pulls the outputs, by what they put out."""
        lines = self.network.forward(len(self.network.layers) - 1, outputs)
        return super()._nudge(signs, lines, target, event)
