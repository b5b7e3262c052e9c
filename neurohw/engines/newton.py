"""Newton's step of all nodes at once, which coordinate descent lacks in deep networks.

Between sweeps, which decide what each diode does, the network is nearly linear: one step with the
matrix of all nodes' conductances and the diodes' slopes carries every voltage to where the
currents of the linearised circuit balance. Steps that leave a larger imbalance are shortened, or
not taken. Dense, so for networks of at most a few thousand nodes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import Nudging, SeenArray, Source
from neurohw.engines.kirchhoff import couplings, injected, system
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]

_SHORTEST = 2.0**-10
# Numbers in the systems that are solved at once, for as many samples as this allows.
_AT_ONCE = 1 << 21


class Newton:
    """The linear part of one relaxation, and steps of all its nodes.

    Parameters
    ----------
    network, arrays, sources, input_current, nudging
        See `neurohw.engines.equilibrium.Engine.relax`.
    """

    def __init__(
        self,
        network: ResistiveNetwork,
        arrays: Sequence[SeenArray],
        sources: Sequence[Source],
        input_current: Array,
        nudging: Nudging | None,
    ) -> None:
        self.network = network
        self.ends = np.cumsum(network.layers)[:-1]
        self.matrix = system(network, arrays, sources)
        self.injected = injected(network, arrays, sources, input_current)
        self.added = np.zeros(self.injected.shape)
        self.driven = np.zeros(self.injected.shape, bool)
        if nudging is not None:
            outputs = slice(-network.layers[-1], None)
            self.added[:, outputs] = nudging.conductor(np.float64)
            self.injected[:, outputs] += nudging.injected(np.float64)
            self.driven[nudging.clamped, outputs] = True
        layer = np.repeat(np.arange(len(network.layers)), network.layers)
        coupled = [coupling is not None for coupling in couplings(network, arrays)]
        eliminated = (layer % 2 == 0) & ~np.array(coupled)[layer]
        self._eliminated, self._left = np.flatnonzero(eliminated), np.flatnonzero(~eliminated)
        self._at_once = max(1, _AT_ONCE // (len(layer) * max(len(self._left), 1)))
        self.low, self.high = np.concatenate(network.low), np.concatenate(network.high)

    def step(self, state: Sequence[Array]) -> list[Array]:
        """Return the state after a step, each sample's no less balanced than before."""
        v = np.concatenate(state, axis=1).astype(np.float64)
        leaving, slope, held = self._balance(v)
        change = np.empty_like(v)
        for first in range(0, len(v), self._at_once):
            some = slice(first, first + self._at_once)
            change[some] = self._solve(leaving[some], slope[some] + self.added[some], held[some])
        before, length = self._miss(leaving, held), np.ones((len(v), 1))
        found = v
        while length.max() >= _SHORTEST:
            trial = np.clip(v + length * change, self.low, self.high)
            leaving, _, held = self._balance(trial)
            better = self._miss(leaving, held) <= before
            done = (better & (length[:, 0] > 0))[:, None]
            found = np.where(done, trial, found)
            length = np.where(done, 0.0, 0.5 * length)
        return [
            part.astype(old.dtype)
            for part, old in zip(np.split(found, self.ends, axis=1), state, strict=True)
        ]

    def _solve(self, leaving: Array, added: Array, held: NDArray[np.bool_]) -> Array:
        """Return the changes of (batch, nodes) voltages that bring the linear circuit to balance.

        The layers of one parity see each other only through those of the other, unless wires
        couple their nodes: they are eliminated, and a system of the others is left.
        """
        free = np.where(held, 0.0, 1.0)
        wanted = -leaving * free
        pivot = np.where(held, 1.0, np.diag(self.matrix) + added)
        # A node that nothing holds: descent leaves it where it is, and so does this.
        pivot = np.where(pivot == 0, 1.0, pivot)
        a, b = self._eliminated, self._left
        forward = self.matrix[np.ix_(b, a)] * free[:, b, None] * (free / pivot)[:, None, a]
        system = self.matrix[np.ix_(b, b)] * free[:, b, None] * free[:, None, b]
        diagonal = np.arange(len(b))
        system[:, diagonal, diagonal] = pivot[:, b]
        system -= forward @ (self.matrix[np.ix_(a, b)] * free[:, None, b])
        change = np.zeros_like(leaving)
        right = wanted[:, b] - np.einsum("sij,sj->si", forward, wanted[:, a])
        try:
            change[:, b] = np.linalg.solve(system, right[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            return change
        back = (change[:, b] * free[:, b]) @ self.matrix[np.ix_(a, b)].T
        change[:, a] = (wanted[:, a] - back * free[:, a]) / pivot[:, a]
        return change

    def _balance(self, v: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Return what leaves each node [A], its diodes' slopes [S], and which nodes are held."""
        leaving = v @ self.matrix.T + self.added * v - self.injected
        slope = np.zeros_like(v)
        if self.network.neurons is not None:
            parts = np.split(v, self.ends, axis=1)
            drawn = [n.current(part) for n, part in zip(self.network.neurons, parts, strict=True)]
            leaving += np.concatenate([current for current, _ in drawn], axis=1)
            slope = np.concatenate([derivative for _, derivative in drawn], axis=1)
        held = self.driven | ((v <= self.low) & (leaving > 0)) | ((v >= self.high) & (leaving < 0))
        return leaving, slope, held

    def _miss(self, leaving: Array, held: NDArray[np.bool_]) -> Array:
        """Return how far from balance each sample is."""
        miss = np.where(held, 0.0, leaving)
        total: Array = np.einsum("bi,bi->b", miss, miss / np.diag(self.matrix).clip(1e-300))
        return total
