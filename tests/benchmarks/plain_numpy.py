"""Equilibrium propagation of a network with one hidden layer, in plain NumPy, written well.

What the fused engine is measured against: the same algorithm, dimensionless, centered variant.
The input term and the line sums are formed once a mini-batch, in one product; an array's update
is one product too; both nudged phases relax together; everything large is in place.
"""

import numpy as np


class OneHiddenLayer:
    """A deep resistive network and its training.

    first (hidden, inputs) and second (outputs, hidden) are the conductances, changed in place;
    the first half of the hidden units is held at or above 0, the second half at or below. rates
    and bias_rates hold one number a layer.
    """

    def __init__(self, first, second, *, batch, sweeps, nudging, rates, bias_rates):
        self.first, self.second = first, second
        outputs, hidden = second.shape
        dtype = first.dtype
        self.sweeps, self.nudging = sweeps, nudging
        self.steps = [dtype.type(rate / (batch * 2 * nudging)) for rate in rates]
        self.bias_steps = [dtype.type(rate / (batch * 2 * nudging)) for rate in bias_rates]
        self.hidden_bias, self.output_bias = np.zeros(hidden, dtype), np.zeros(outputs, dtype)
        # A line of ones below the inputs makes sums of products, and products of sums.
        self.lines = np.ones((batch + 1, first.shape[1]), dtype)
        self.signals = np.empty((batch + 1, hidden), dtype)
        self.change = np.empty_like(first)
        self.strength = np.repeat(np.array([[nudging], [-nudging]], dtype), batch, axis=0)
        self.free = np.zeros((batch, hidden), dtype), np.zeros((batch, outputs), dtype)

    def step(self, inputs, targets):
        """Train on a mini-batch: inputs (batch, inputs), targets (batch, outputs)."""
        batch = len(inputs)
        self.lines[:batch] = inputs
        read = self.lines @ self.first.T
        current = read[:batch] + self.hidden_bias
        hidden_total = read[batch] + self.second.sum(axis=0)
        output_total = self.second.sum(axis=1)
        self.relax(*self.free, current, hidden_total, self.output_bias, output_total)
        hidden, output = (np.concatenate((v, v)) for v in self.free)
        self.relax(
            hidden,
            output,
            np.concatenate((current, current)),
            hidden_total,
            self.output_bias + self.strength * np.concatenate((targets, targets)),
            output_total + self.strength,
        )
        self.update(hidden[:batch], hidden[batch:], output[:batch], output[batch:])

    def relax(self, hidden, output, current, hidden_total, output_current, output_total):
        """Sweep over both layers, each unit set to its exact minimum, in place."""
        half = hidden.shape[1] // 2
        above, below = hidden[:, :half], hidden[:, half:]
        for _ in range(self.sweeps):
            np.dot(output, self.second, out=hidden)
            np.add(hidden, current, out=hidden)
            np.divide(hidden, hidden_total, out=hidden)
            np.maximum(above, 0, out=above)
            np.minimum(below, 0, out=below)
            np.dot(hidden, self.second.T, out=output)
            np.add(output, output_current, out=output)
            np.divide(output, output_total, out=output)

    def update(self, hidden_up, hidden_down, output_up, output_down):
        """Move every conductance against the contrast of its squared voltage drops."""
        batch = len(hidden_up)
        hidden, hidden_moved = (hidden_up + hidden_down) / 2, hidden_up - hidden_down
        output, output_moved = (output_up + output_down) / 2, output_up - output_down
        hidden_line = np.einsum("bj,bj->j", hidden, hidden_moved)
        output_line = np.einsum("bj,bj->j", output, output_moved)

        np.multiply(hidden_moved, self.steps[0], out=self.signals[:batch])
        np.multiply(hidden_line, -self.steps[0], out=self.signals[batch])
        np.dot(self.signals.T, self.lines, out=self.change)
        np.add(self.first, self.change, out=self.first)
        np.clip(self.first, 0, np.inf, out=self.first)

        contrast = hidden_line + output_line[:, None]
        contrast -= output_moved.T @ hidden
        contrast -= output.T @ hidden_moved
        contrast *= self.steps[1]
        np.subtract(self.second, contrast, out=self.second)
        np.clip(self.second, 0, np.inf, out=self.second)

        self.hidden_bias += self.bias_steps[0] * hidden_moved.sum(axis=0)
        self.output_bias += self.bias_steps[1] * output_moved.sum(axis=0)
