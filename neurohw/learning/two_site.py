"""Pyramidal neurons with two sites: the soma sends rates up, the apical dendrite errors down.

A unit has the rate A of its soma, which basal inputs drive, and the rate D of the bursts that its
apical dendrite triggers, with V from the layer above,

    A = σ(W·A_below),   D = (V·D_above) ⊙ A·(1 − A),   D_out = (t − A)·A·(1 − A)

Depressing synapses pass on A, facilitating ones D. Basal synapses learn with the signal of the
apical site, apical ones by Hebb's rule, to which we add decay, as it has no bound of its own:

    ΔW = η·D·A_belowᵀ,   ΔV = η_V·(A·A_aboveᵀ − κ·V)

With V = Wᵀ this is backpropagation; Hebb's rule does not lead there, and the angle of what V
brings down to what Wᵀ would is noted every epoch. D is a difference from a baseline where bursts
cannot be negative. The one-site control learns with (1 − α)·D + α·A in place of D.

References
----------
Körding, König (2001), "Supervised and unsupervised learning with two sites of synaptic
integration", J. Comput. Neurosci. 11:207.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neurohw.learning.feedback import FeedbackArrays, LayeredFeedback, drawn
from neurohw.learning.feedforward import Activity
from neurohw.learning.settings import TwoSiteSettings
from neurohw.update import Update

Array = NDArray[np.floating]


class TwoSite(LayeredFeedback):
    """Errors through Hebbian apical weights; see `FeedforwardRule` for the parameters."""

    def _prepare(self) -> None:
        self.settings = self.learning.two_site or TwoSiteSettings()
        shapes = list(pairwise(self.network.sizes[1:]))
        weights = drawn(shapes, self.learning.feedback, self.seed)
        self.back: FeedbackArrays = FeedbackArrays(self.chip, weights, learned=True)

    def errors(self, activity: Activity, targets: Array, event: int) -> list[Array]:
        """Return −D of each layer, (batch, units), for (batch, outputs) targets.

        Of the one-site control with the share of A that is mixed in.
        """
        deltas = super().errors(activity, targets, event)
        share = self.settings.mixing
        if share == 0:
            return deltas
        return [
            delta * delta.dtype.type(1 - share) - a * a.dtype.type(share)
            for delta, a in zip(deltas, activity.states, strict=True)
        ]

    def beside_updates(
        self, activity: Activity, errors: Sequence[Array], rates: Sequence[float], event: int
    ) -> Mapping[str, Sequence[Update]]:
        """Return the updates of the apical weights; those of biases have no part in them."""
        rate, decay = self.settings.apical_rate, self.settings.apical_decay
        states = activity.states
        if rate == 0:
            return {}
        return {
            "feedback": [
                self.outer(states[k + 1], states[k], rate * unit, rate * decay)
                for k, unit in enumerate(self.back.units)
            ]
        }
