"""Backpropagation on a chip: errors travel back through the same cells as the states came.

Both directions are reads of the same arrays, so what cells and wires do to a read acts in both.

References
----------
Rumelhart, Hinton, Williams (1986), Nature 323, 533; Burr et al. (2015), IEEE TED 62, 3498, for
training through the arrays.
"""

from neurohw.learning.feedback import LayeredFeedback, Transposed


class Backpropagation(LayeredFeedback):
    """Forward and backward reads, outer products; see `FeedforwardRule` for the parameters."""

    def _prepare(self) -> None:
        self.back = Transposed(self.chip)
