"""Equilibrium propagation in deep Hopfield networks.

With the nudged equilibria at strengths a and b (either may be the free one, strength 0), the
gradient of the mean cost by the weight between i and j, and by a bias, is estimated by the batch
means of

    −[ρ_i·ρ_j|_a − ρ_i·ρ_j|_b] / (a − b),   −[ρ_j|_a − ρ_j|_b] / (a − b)

a and b counted in the chip's unit of conductance. With d = ρ|_a − ρ|_b and m = (ρ|_a + ρ|_b)/2 of
each node the first is −(m_i·d_j + d_i·m_j): products of two lines, in which no two large numbers
are taken from each other. Of a convolution they are those of each position, added up: its lines
carry patches, and backwards what pooling lets through, whose largest may be another in a and b.

A readout's weights are no part of the energy; they follow (t − y)·ρ, means of both states.

The variant *langevin* compares two stationary distributions of membranes with noise, the free one
and that nudged by +β: in place of products of two last states it takes their means over the last
sweeps of each phase. The expected update then is the gradient of [F(β) − F(0)]/β with the free
energy F = −T·ln ∫exp(−(E + β·C)/T), which tends to the mean cost as β does to 0, where the
dynamics have Boltzmann's distribution (`neurohw.circuits.membrane`). Without noise, and at rest,
it is the variant positive.

References
----------
Scellier and Bengio (2017), Front. Comput. Neurosci. 11:24, also for the stochastic form; Laborieux
et al. (2021), Front. Neurosci. 15:633674.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import Equilibrium, Nudging
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.errors import InvalidValueError
from neurohw.learning import holomorphic
from neurohw.learning.equilibrium_propagation import Contrast, EquilibriumPropagation
from neurohw.learning.variants import (
    POINTS,
    POSITIVE,
    require_fixed_lengths,
    require_network,
)
from neurohw.update import Update, bias_update

Array = NDArray[np.floating]
Lines = tuple[Array, Array]


class HopfieldPropagation(EquilibriumPropagation):
    """Free phase, nudged phase or phases, and their contrast, of a deep Hopfield network.

    See `EquilibriumPropagation`.

    Parameters
    ----------
    points : int
        Of the circle of the variant holomorphic, even; others take no notice.
    averaged_sweeps : int, optional
        Last sweeps of each phase that the variant langevin averages over, half of the nudged ones
        without it; others take no notice.
    """

    def __init__(
        self,
        *words: Any,
        points: int = POINTS,
        averaged_sweeps: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*words, **options)
        self.points = points
        self._averaged_sweeps = averaged_sweeps

    @property
    def averaged_sweeps(self) -> int:
        """Last sweeps of each phase that the variant langevin averages over."""
        return self._averaged_sweeps or -(-self.nudged_sweeps // 2)

    def check_stability(self) -> None:
        """Refuse a negative nudging that block sweeps cannot follow.

        Steps go down any energy; the exact minimum of an output is only where the energy bends
        upwards, that is for a nudging weaker than the leak. With a transposed gain there is no
        energy, but the same bound: what flows into an output does not depend on the gain.

        Raises
        ------
        InvalidValueError
            Naming β and the bound that it broke; or a variant that the network cannot have.
        UnsupportedError
            Complex states where activation or chip cannot have them.
        """
        require_network(
            self.variant,
            softmax=self.network.softmax,
            convolutional=self.network.convolutional,
        )
        require_fixed_lengths(self.variant, self.tolerance)
        if self.variant == "holomorphic":
            holomorphic.require(self.network, self.chip)
        shorter = min(self.free_sweeps, self.nudged_sweeps)
        if self.variant == "langevin" and self.averaged_sweeps > shorter:
            raise InvalidValueError(
                f"learning.averaged_sweeps = {self.averaged_sweeps}: a phase has only {shorter}"
            )
        kind = self._require_nudging()
        sweeps = isinstance(self.engine, HopfieldEngine) and self.engine.step is None
        if self.variant in POSITIVE or kind != "conductance" or not sweeps:
            return
        if self.network.softmax:
            return  # what pulls is no conductor, and no block is minimised under it
        leak = self.chip.sources()[-1].conductance.min()
        if self.strength >= leak:
            raise InvalidValueError(
                f"learning.nudging = {self.nudging:g}: with negative nudging and block sweeps it"
                f" {self._below(leak, 'the leak of the outputs')}; take less nudging,"
                " chip.nudging.kind = current, relaxation.dynamics = steps, or the variant positive"
            )

    def updates(
        self,
        contrast: Contrast,
        inputs: Array,
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> tuple[list[Update], list[Update]]:
        """Return the updates of the arrays and of the biases; see `EquilibriumPropagation`."""
        terms = self._between
        if contrast.points:
            terms = self._on_the_circle
        elif self.variant == "langevin":
            terms = self._averaged
        products, differences = terms(contrast, inputs)
        per_sample, by_sample = 1.0 / (len(inputs) * contrast.span), self._by_sample
        connections = self.network.connections
        updates = []
        for rate, (pre, post), connection in zip(rates, products, connections, strict=True):
            scaled = inputs.dtype.type(rate * per_sample) * post
            update = Update(presynaptic=pre[None], postsynaptic=scaled[None])
            if by_sample:
                update = update.by_sample(len(inputs), positions=connection.positions)
            updates.append(update)
        bias_updates = [
            bias_update(connection.by_line(d), rate * per_sample, by_sample=by_sample)
            for rate, d, connection in zip(bias_rates, differences, connections, strict=True)
        ]
        return updates, bias_updates[: len(self.chip.biases)]

    def _between(self, contrast: Contrast, inputs: Array) -> tuple[list[Lines], list[Array]]:
        """Return what the lines of each array carry, and what its units' biases get, of two phases.

        Lines (products·batch·positions, word lines) and (…, bit lines), biases (batch, units).
        """
        half = inputs.dtype.type(0.5)
        means: list[Array] = [inputs]
        differences: list[Array] = [inputs[:0]]
        for k, (upper, lower) in enumerate(zip(contrast.upper, contrast.lower, strict=True)):
            a, b = self.network.forward(k, upper), self.network.forward(k, lower)
            means.append(half * (a + b))
            differences.append(a - b)
            if contrast.unsettled is not None and contrast.unsettled.any():
                # Circuits that hold or convert states make differences where there are none.
                differences[-1][contrast.unsettled] = 0
        if not self.network.convolutional:
            products = _products(means, differences)
        else:
            products = [
                self._of_positions(k, *zip(means[k : k + 2], differences[k : k + 2], strict=True))
                for k in range(len(self.network.layers))
            ]
        if self.network.softmax:
            assert contrast.target is not None  # `phases` sets it
            error = inputs.dtype.type(contrast.span) * (contrast.target - means[-1])
            if contrast.unsettled is not None:
                error[contrast.unsettled] = 0
            products[-1], differences[-1] = (means[-2], error), error
        return products, differences[1:]

    def _of_positions(self, k: int, below: Lines, above: Lines) -> Lines:
        """Return the lines of an array, of means and differences of the layers that it joins."""
        connection, half = self.network.connections[k], above[0].dtype.type(0.5)
        # What comes in is in patches already, and does not move.
        mean, difference = below if k == 0 else map(connection.lines, below)
        if not connection.switched:
            post_mean, post_difference = map(connection.driven, above)
        else:
            middle = self.chip.arrays[k].read(mean)
            step = half * self.chip.arrays[k].read(difference) if k else middle.dtype.type(0)
            move = half * above[1]
            upper = connection.driven(above[0] + move, middle + step)
            lower = connection.driven(above[0] - move, middle - step)
            post_mean, post_difference = half * (upper + lower), upper - lower
        if k == 0:
            return _flat(mean), _flat(post_difference)
        pre, post = (mean, difference), (post_difference, post_mean)
        return np.concatenate(list(map(_flat, pre))), np.concatenate(list(map(_flat, post)))

    def _on_the_circle(self, contrast: Contrast, inputs: Array) -> tuple[list[Lines], list[Array]]:
        """Return the same of the variant holomorphic."""
        forward = self.network.forward
        free = [forward(k, u) for k, u in enumerate(contrast.free.state)]
        points = [[forward(k, u) for k, u in enumerate(point)] for point in contrast.points]
        derivatives, squares = holomorphic.signals(free, points)
        products = _products([inputs, *free], [inputs[:0], *derivatives])
        for k, ((below, _), (_, above)) in enumerate(pairwise(squares), start=1):
            pre, post = products[k]
            products[k] = np.concatenate((pre, below)), np.concatenate((post, above))
        return products, derivatives

    def _averaged(self, contrast: Contrast, inputs: Array) -> tuple[list[Lines], list[Array]]:
        """Return the same of the variant langevin, means over sweeps of both paths."""
        assert contrast.path is not None and contrast.free.path is not None
        times, batch = self.averaged_sweeps, len(inputs)
        upper, lower = (
            [layer[-times:].reshape(times * batch, -1) for layer in path]
            for path in (contrast.path, contrast.free.path)
        )
        every = msgspec.structs.replace(contrast, upper=upper, lower=lower)
        products, differences = self._between(every, np.concatenate([inputs] * times))
        means = [d.reshape(times, batch, -1).mean(axis=0) for d in differences]
        share = inputs.dtype.type(1 / times)
        # Inputs stand still: the mean of their products is one product.
        return [(inputs, means[0]), *((pre, share * post) for pre, post in products[1:])], means

    def _options(self, *, nudged: bool) -> dict[str, Any]:
        return {"keep_path": True} if self.variant == "langevin" else {}

    def _signs(self, event: int) -> tuple[complex, ...]:
        if self.variant == "holomorphic":
            return holomorphic.half_circle(self.points)
        return super()._signs(event)

    def _compared(
        self,
        free: Equilibrium,
        signs: tuple[complex, ...],
        points: Sequence[Sequence[Any]],
        event: int,
        path: Sequence[Array] | None,
    ) -> Contrast:
        if self.variant != "holomorphic":
            return super()._compared(free, signs, points, event, path)
        upper, lower = ([np.ascontiguousarray(v.real) for v in points[k]] for k in (0, -1))
        return Contrast(free, upper, lower, self.points * self.nudging, points=points)

    def nudging_of(
        self, signs: tuple[complex, ...], outputs: Array, target: Array, event: int
    ) -> Nudging:
        """Return what pulls the outputs, by what they put out."""
        lines = self.network.forward(len(self.network.layers) - 1, outputs)
        return super().nudging_of(signs, lines, target, event)


def _flat(lines: Array) -> Array:
    """Return lines of samples and positions one after the other."""
    return lines.reshape(-1, lines.shape[-1])


def _products(means: Sequence[Array], differences: Sequence[Array]) -> list[Lines]:
    """Return m_i·d_j + d_i·m_j of each array as products of its lines; inputs do not move."""
    found = [(means[0], differences[1])]
    for k in range(1, len(means) - 1):
        pre, post = (means[k], differences[k]), (differences[k + 1], means[k + 1])
        found.append((np.concatenate(pre), np.concatenate(post)))
    return found
