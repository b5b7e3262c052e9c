"""BrainProp: learning from one action, one reward, and attention that runs back from the action.

The outputs are values q of actions. The network takes the best one, or with a small probability one
drawn from the softmax of q; the reward r is 1 for the label, 0 otherwise. One number goes to all
synapses, δ = r − q_s of the action s; from unit s alone feedback runs down,

    f_L = onehot(s),   f_k−1 = (W_kᵀ · f_k) ⊙ φ'(z_k−1),   ΔW_k = η·δ·f_k·a_k−1ᵀ

which is the gradient of ½·(r − q_s)². On a chip the feedback is a read backwards with one driven
line, or one of reciprocal arrays that take the same updates and decay together with the weights
(Kolen and Pollack 1994).

References
----------
Pozzi, Bohte, Roelfsema (2020), NeurIPS, "Attention-gated brain propagation: how the brain can
implement reward-based error backpropagation": MNIST 784-1500-1000-500-10 without biases, η = 0.1,
mini-batches of 128; its early stopping uses the test set, ours does not.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.learning.feedback import FeedbackArrays, FeedbackMap, LayeredFeedback, Transposed
from neurohw.learning.feedback import drawn as drawn_feedback
from neurohw.learning.feedforward import Activity, Read
from neurohw.learning.learned_feedback import reciprocal
from neurohw.learning.settings import BrainPropSettings
from neurohw.update import Update

Array = NDArray[np.floating]


class BrainProp(LayeredFeedback):
    """Feedback through the arrays of the layers; see `FeedforwardRule` for the parameters."""

    def _prepare(self) -> None:
        self.exploration = (self.learning.brainprop or BrainPropSettings()).exploration
        self.back: FeedbackMap = Transposed(self.chip)

    def choose(self, values: Array, event: int) -> NDArray[np.intp]:
        """Return the action of each sample, (batch,), for (batch, outputs) values."""
        key = randomness.key(randomness.stream(self.seed, "choice"), event)
        explores, draw = randomness.uniforms(key, np.arange(2 * len(values)).reshape(2, -1))
        weights = np.exp(values - values.max(axis=1, keepdims=True), dtype=np.float64)
        total = weights.cumsum(axis=1)
        drawn = (total < draw[:, None] * total[:, -1:]).sum(axis=1)
        best = values.argmax(axis=1)
        return np.asarray(np.where(explores <= self.exploration, drawn, best))

    def errors(self, activity: Activity, targets: Array, event: int) -> list[Array]:
        """Return −δ·f of each layer, (batch, units), for one-hot targets (batch, outputs)."""
        values = activity.states[-1]
        rows, action = np.arange(len(values)), self.choose(values, event)
        surprise = targets[rows, action] - values[rows, action]
        attention = np.zeros_like(values)
        attention[rows, action] = 1
        gates = self.downwards(activity, attention, event)
        return [-surprise[:, None] * gate for gate in gates]

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return the reads of the feedback, which carry f: the number δ does not go through."""
        values = activity.states[-1]
        attention = np.zeros_like(values)
        attention[np.arange(len(values)), self.choose(values, event)] = 1
        return super().error_reads(activity, self.downwards(activity, attention, event), event)


class ReciprocalBrainProp(BrainProp):
    """Feedback through arrays of its own, which learn by the same rule."""

    def _prepare(self) -> None:
        super()._prepare()
        shapes = list(itertools.pairwise(self.network.sizes[1:]))
        weights = drawn_feedback(shapes, self.learning.feedback, self.seed)
        self.back = self.arrays = FeedbackArrays(self.chip, weights, learned=True)

    def beside_updates(
        self, activity: Activity, errors: Sequence[Array], rates: Sequence[float], event: int
    ) -> Mapping[str, Sequence[Update]]:
        """Return the updates of the reciprocal arrays."""
        return {"feedback": reciprocal(self, self.arrays, activity, errors, rates)}
