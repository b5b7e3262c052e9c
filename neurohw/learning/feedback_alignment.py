"""Feedback alignment: errors come down through random weights that are never programmed.

    δ_k−1 = (B_k · δ_k) ⊙ φ'(z_k−1)

with B_k an array of its own. The forward weights come to agree with B, so that B·δ turns towards
Wᵀ·δ. *Direct*: every hidden layer has the error of the outputs, δ_k = (B_k · δ_out) ⊙ φ'(z_k).
*Sign-symmetric*: B_k are of one magnitude, with the signs that the transposed weights have as the
chip is first written; learning turns few of these.

Mismatch of the cells of B does no harm, as any B will do; drift does, as W follows a B that moves.

References
----------
Lillicrap, Cownden, Tweed, Akerman (2016), Nature Communications 7, 13276 (preprint
arXiv:1411.0247: MNIST 784-1000-10, 2.1 % with feedback alignment, 2.4 % with backpropagation);
Nøkland (2016), NeurIPS, arXiv:1609.01596, direct; Liao, Leibo, Poggio (2016), AAAI,
arXiv:1510.05067, sign-symmetric, there with signs that follow the weights.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.chip import Moment
from neurohw.learning.feedback import FeedbackArrays, LayeredFeedback, drawn, spread
from neurohw.learning.feedforward import Activity, Read
from neurohw.learning.settings import FeedbackSettings

Array = NDArray[np.floating]


class FeedbackAlignment(LayeredFeedback):
    """Random feedback, layer by layer; see `FeedforwardRule` for the parameters."""

    def _prepare(self) -> None:
        self.feedback = self.learning.feedback or FeedbackSettings()
        self.back: FeedbackArrays = FeedbackArrays(self.chip, self._weights(), learned=self.learned)

    learned = False

    def _weights(self) -> list[Array]:
        """Return what the feedback arrays are written to, dimensionless."""
        hidden = self.network.sizes[1:]
        return drawn(list(itertools.pairwise(hidden)), self.feedback, self.seed)


class SignSymmetric(FeedbackAlignment):
    """Feedback of one magnitude, with the first signs of the transposed weights.

    The magnitude is `range`, or the root mean square of the layer's weights.
    """

    def begin(self) -> None:
        """Take the signs of the weights as they now are."""
        self.chip.write_beside("feedback", self._weights())

    def _weights(self) -> list[Array]:
        held = self.chip.logical()[0]
        return [
            spread(
                np.sign(w.T) * (self.feedback.range or float(np.sqrt(np.mean(w**2)))),
                k,
                self.feedback,
                self.seed,
            )
            for k, w in enumerate(held[1:])
        ]


class DirectFeedbackAlignment(FeedbackAlignment):
    """Random feedback from the outputs to every hidden layer."""

    def errors(self, activity: Activity, targets: Array, event: int) -> list[Array]:
        """Return δ of each layer; see `LayeredFeedback`. The reads need not wait for each other."""
        z, a, last = activity.totals, activity.states, len(self.chip.arrays) - 1
        error, moment = self.network.output_error(z[-1], a[-1], targets), Moment(event, phase=1)
        deltas = []
        for k in range(last):
            driven = self._driven("error_dac", error, last - 1, event)
            back = self._read("error_adc", self.back.sums(driven, k, moment), k, event)
            deltas.append(back * self.network.slope(k, z[k], a[k]))
        return [*deltas, error]

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return the read that leads to each hidden layer."""
        last = len(self.chip.arrays) - 1
        driven = self._driven("error_dac", errors[-1], last - 1, event) if last else errors[-1]
        return [
            Read(name=f"backward {k + 1}", array=self.back.array(k), voltages=driven, layer=k)
            for k in range(last)
        ]

    def _weights(self) -> list[Array]:
        *hidden, outputs = self.network.sizes[1:]
        return drawn([(units, outputs) for units in hidden], self.feedback, self.seed)
