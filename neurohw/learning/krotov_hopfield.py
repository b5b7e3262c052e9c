"""Competing hidden units on a chip: one layer after the other without labels, then a readout.

The layer whose rate is above 0 learns, the others rest. A hidden layer is read forwards only; its
units compete for each sample, and those that win, or come close, take it up as in
`neurohw.learning.competition.plasticity`, through one factored update with decay. The readout alone
sees labels: the gradient of the cost by its weights, through a digital filter (Adam).

With a power p = 2 the sums of the array are the currents that compete, and with steps of fixed size
nothing else is read. Any other power, or steps relative to the largest change of a weight, take
every weight of the layer as a number, so its cells are read out, one input line after the other,
before each mini-batch is learnt.

References
----------
Krotov, Hopfield (2019), "Unsupervised learning by competing hidden units", PNAS 116, 7723; Kingma,
Ba (2015), "Adam", ICLR.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.learning.competition import kernels
from neurohw.learning.competition.plasticity import gated, norms, weighted
from neurohw.learning.feedforward import Activity, FeedforwardRule, Learnt, Read
from neurohw.learning.settings import Competition
from neurohw.update import Update

Array = NDArray[np.floating]

# Shares of the last mean and mean square that Adam keeps, and what it divides by at least.
FIRST, SECOND, LEAST = 0.9, 0.999, 1e-8
# How far from 1 the norm of a unit that has settled may be.
_SETTLED = 0.01


class KrotovHopfield(FeedforwardRule):
    """Competition in hidden layers, a readout with labels; see the module."""

    def _prepare(self) -> None:
        assert self.learning.competition is not None  # the rule needs it
        self.competition: Competition = self.learning.competition
        hidden = self.network.sizes[1:-1]
        # Samples that each unit won in the last, or running, epoch in which its layer learnt.
        self.wins = [np.zeros(units, np.int64) for units in hidden]
        self._learning: int | None = None
        shape = self.network.sizes[-1], self.network.sizes[-2]
        self._means = np.zeros((2, *shape), self.chip.arrays[-1].values().dtype)
        self._steps = 0

    def factors(self, epoch: int, epochs: int) -> list[float]:
        """Return the factors on the layers' rates in an epoch: 0 of those that rest.

        The rate of a hidden layer falls to 0 in a straight line. That of the readout stays for the
        first third of its epochs and is halved after each sixth from then on: of 300 epochs, after
        the first 100 and then every 50.
        """
        hidden = len(self.wins)
        each = self.competition.each(hidden, epochs)
        factors = [0.0] * (hidden + 1)
        layer, place = divmod(epoch, each) if each else (hidden, epoch)
        if layer < hidden:
            factors[layer] = 1 - place / each
        else:
            share = (epoch - hidden * each) / (epochs - hidden * each)
            factors[-1] = 0.5 ** max(0, math.floor(6 * share + 1e-9) - 1)
        return factors

    def learn(
        self,
        inputs: Array,
        activity: Activity,
        targets: Array,
        event: int,
        rates: Sequence[float],
        bias_rates: Sequence[float],
    ) -> Learnt:
        """Return the update of the one layer that learns, none of the others."""
        updates: list[Update | None] = [None] * len(rates)
        layer = next(k for k, rate in enumerate(rates) if rate > 0)
        rate = rates[layer] / self.chip.scale.learning_rate(1.0, layer)
        if layer < len(self.wins):
            updates[layer] = self._compete(layer, rate, inputs, activity)
        else:
            updates[layer] = self._read_out(rate, activity, targets)
        self.disturb(inputs, activity, [], event)
        return Learnt(updates=updates, bias_updates=[])

    def errors(self, activity: Activity, targets: Array, event: int) -> list[Array]:
        """Return δ of the outputs alone."""
        return [self.network.output_error(activity.totals[-1], activity.states[-1], targets)]

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return the read-out of the first layer, where learning takes one, a line at a time.

        Without it learning takes no reads.
        """
        if not self.competition.reads_out:
            return []
        array = self.chip.arrays[0]
        inputs = array.shape[1]
        lines = self.chip.scale.unit_voltage * np.eye(inputs, dtype=activity.states[0].dtype)
        return [
            Read(name="read-out", array=array, voltages=lines, layer=0, times=inputs, shared=True)
        ]

    def warnings(self) -> list[str]:
        """Return how many units of the layer that learns won nothing in the epoch."""
        layer, self._learning = self._learning, None
        if layer is None:
            return []
        dead, units = int((self.wins[layer] == 0).sum()), len(self.wins[layer])
        if dead == 0:
            return []
        return [f"layer {layer + 1}: {dead} of {units} units won no image (dead units)"]

    def measures(self) -> dict[str, float]:
        """Return the shares of units without a win, and of winners whose norm is 1 within 1 %."""
        dead = np.concatenate([wins == 0 for wins in self.wins])
        found = [
            norms(self._weights(k), self.competition.power)[wins > 0]
            for k, wins in enumerate(self.wins)
        ]
        winners = np.concatenate(found)
        settled = np.abs(winners - 1) < _SETTLED
        return {
            "dead_units": float(dead.mean()),
            "settled_units": float(settled.mean()) if settled.size else 0.0,
        }

    def carried(self) -> dict[str, NDArray[Any]]:
        """Return wins and the filter of the readout, for the run file."""
        learning = -1 if self._learning is None else self._learning
        return {
            **{f"wins_{k}": wins.copy() for k, wins in enumerate(self.wins)},
            "readout_means": self._means.copy(),
            "readout_steps": np.array([self._steps, learning]),
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `carried` returned; of a finished run there is nothing."""
        if "readout_means" not in state:
            return
        for k, wins in enumerate(self.wins):
            wins[:] = state[f"wins_{k}"]
        self._means[:] = state["readout_means"]
        self._steps, learning = (int(v) for v in state["readout_steps"])
        self._learning = None if learning < 0 else learning

    def _weights(self, layer: int) -> Array:
        """Return the dimensionless weights of a layer, (units, inputs): a read-out."""
        values = self.chip.arrays[layer].values()
        return np.asarray(values * values.dtype.type(1 / self.chip.scale.unit_conductances[layer]))

    def _compete(self, layer: int, rate: float, inputs: Array, activity: Activity) -> Update:
        """Return what a hidden layer takes up of a mini-batch, and count who won."""
        scale, setting = self.chip.scale, self.competition
        dtype, unit = inputs.dtype.type, scale.unit_voltage
        lines = activity.states[layer - 1] if layer else inputs * dtype(1 / unit)
        weights = self._weights(layer) if setting.reads_out else None
        currents = activity.totals[layer]
        if setting.power != 2:
            assert weights is not None  # such a power reads them out
            currents = lines @ weighted(weights, setting.power).T
        gates = self._gates(currents)
        if self._learning != layer:
            self._learning = layer
            self.wins[layer][:] = 0
        self.wins[layer] += (gates > 0).sum(axis=0)
        pulls = gates * currents
        if weights is not None and setting.step == "largest":
            largest = float(kernels.largest_change(weights, lines, gates, pulls.sum(axis=0)))
            rate = rate / largest if largest > 0 else 0.0
        signals = gates * dtype(rate * scale.unit_conductances[layer])
        decay = pulls * dtype(rate)
        if self.chip.specification.programming.by_sample:
            return Update(presynaptic=lines[:, None], postsynaptic=signals[:, None], decay=decay)
        return Update(
            presynaptic=lines[None], postsynaptic=signals[None], decay=decay.sum(axis=0)[None]
        )

    def _gates(self, currents: Array) -> Array:
        """Return g (batch, units) for currents (batch, units)."""
        setting, kind = self.competition, currents.dtype.type
        gates = np.empty_like(currents)
        if setting.inhibition is None:
            kernels.rank(currents, setting.rank, kind(setting.anti_hebbian), gates)
            return gates
        kernels.settle(currents, setting.inhibition, gates)
        return gated(gates, setting.threshold, setting.anti_hebbian)

    def _read_out(self, rate: float, activity: Activity, targets: Array) -> Update:
        """Return the step of the readout, as products of a line an output."""
        delta = self.errors(activity, targets, 0)[0]
        below = activity.states[-2]
        dtype = below.dtype.type
        gradient = delta.T @ below * dtype(1 / len(below))
        unit = self.chip.scale.unit_conductances[-1]
        step = gradient * dtype(-rate * unit)
        if self.competition.optimizer == "adam":
            self._steps += 1
            first, second = self._means
            first += dtype(1 - FIRST) * (gradient - first)
            second += dtype(1 - SECOND) * (gradient * gradient - second)
            mean = first * dtype(1 / (1 - FIRST**self._steps))
            square = second * dtype(1 / (1 - SECOND**self._steps))
            step = mean / (np.sqrt(square) + dtype(LEAST)) * dtype(-rate * unit)
        return Update(presynaptic=step[None], postsynaptic=np.eye(len(step), dtype=dtype)[None])
