"""Dendritic microcircuits on a chip: apical dendrites hear what interneurons fail to predict.

The two sweeps of `neurohw.networks.microcircuit`, with arrays for all weights: those of the layers
are the basal ones, and beside them stand, for each hidden layer, top-down weights (``feedback``),
those from its interneurons (``lateral``) and those to them (``interneurons``), whose last word
line carries 1 for the thresholds. Top-down weights are random, lateral ones are written as their
opposites and those to interneurons as the weights of the layer above, so that the circuit begins
in the self-predicting state, as far as cells can be written alike; where they cannot, apical
dendrites are not silent, unless `lateral_rate` lets them learn to be.

Top-down and lateral arrays are read one after the other, onto one apical dendrite, which one
conversion reads. An interneuron shares DAC and ADC of the unit that nudges it. No array is read
backwards; a unit holds the sum and the rate of the sweep up, as its basal dendrite would.

References
----------
Sacramento, Costa, Bengio, Senn (2018), "Dendritic cortical microcircuits approximate the
backpropagation algorithm", NeurIPS: MNIST 784-500-500-10 1.96 % in the form of two sweeps, rates
of 0.1 and 0.8 asked of the outputs, mini-batches of 10; 2.11 % with the weights between the hidden
layers frozen, 1.53 % with backpropagation. Its mixes and learning rates are not in the paper.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip import Moment
from neurohw.learning.feedback import FeedbackArrays
from neurohw.learning.feedforward import Activity, FeedforwardRule, Read
from neurohw.learning.settings import DendriticSettings
from neurohw.networks.feedforward import initial_weights
from neurohw.networks.microcircuit import Microcircuit, self_predicting
from neurohw.update import Update

Array = NDArray[np.floating]


class Compartments(msgspec.Struct, frozen=True, eq=False):
    """What the sweep down finds, (batch, units) a layer.

    rates, φ(u), of all layers; of hidden ones apical, and of the interneurons beside them φ(p),
    predicted, and φ(i), interneurons.
    """

    rates: list[Array]
    apical: list[Array]
    predicted: list[Array]
    interneurons: list[Array]


class DendriticMicrocircuits(FeedforwardRule):
    """Two sweeps, local predictions; see `FeedforwardRule` for the parameters."""

    def _prepare(self) -> None:
        chip = self.chip
        self.settings = settings = self.learning.dendritic or DendriticSettings()
        rates = settings.interneuron_rate
        low, last = rates if isinstance(rates, tuple) else (rates, rates)
        self._interneuron_rates = (*[low] * (len(chip.arrays) - 2), last)
        top_down = []
        for k, shape in enumerate(pairwise(self.network.sizes[1:])):
            key = randomness.key(randomness.stream(self.seed, "top_down", k))
            draws = randomness.uniforms(key, np.arange(shape[0] * shape[1]).reshape(shape))
            top_down.append(initial_weights(draws, settings.top_down_range))
        self._drawn = top_down
        circuit = self._self_predicting()
        self.top_down = FeedbackArrays(chip, top_down, learned=False)
        self.lateral = chip.add("lateral", circuit.from_interneurons, self.top_down.units)
        self.interneurons = chip.add(
            "interneurons", _with_thresholds(circuit), chip.scale.unit_conductances[1:]
        )
        self._found: Compartments | None = None

    def begin(self) -> None:
        """Let the interneurons predict what the layers now make."""
        self.chip.write_beside("interneurons", _with_thresholds(self._self_predicting()))

    def compartments(self, activity: Activity, targets: Array | None, event: int) -> Compartments:
        """Run the sweep down, for (batch, outputs) targets of 0 and 1, or without a teacher."""
        s, a, last = self.settings, activity.states, len(activity.states) - 1
        number = a[-1].dtype.type
        soma = activity.totals[-1]
        if targets is not None:
            wanted = s.rest_rate + (s.target_rate - s.rest_rate) * targets
            asked = np.log(wanted / (1 - wanted)).astype(soma.dtype)
            soma = soma + number(s.output_mix) * (asked - soma)
        rates = [self.network.activate(last, soma)]
        apical: list[Array] = []
        predicted: list[Array] = []
        interneurons: list[Array] = []
        for k in range(last - 1, -1, -1):
            p = self._guess(a[k], k, event)
            inter = p + number(s.interneuron_mix) * (soma - p)
            predicted.insert(0, self.network.activate(k + 1, p))
            interneurons.insert(0, self.network.activate(k + 1, inter))
            apical.insert(0, self._apical(rates[0], interneurons[0], k, event))
            soma = activity.totals[k] + number(s.apical_mix) * apical[0]
            rates.insert(0, self.network.activate(k, soma))
        return Compartments(rates, apical, predicted, interneurons)

    def errors(self, activity: Activity, targets: Array, event: int) -> list[Array]:
        """Return φ(b) − φ(u) of each layer, (batch, units), for (batch, outputs) targets."""
        self._found = self.compartments(activity, targets, event)
        return [a - r for a, r in zip(activity.states, self._found.rates, strict=True)]

    def error_reads(self, activity: Activity, errors: Sequence[Array], event: int) -> list[Read]:
        """Return the reads of the last `errors`: interneurons, then top-down and lateral."""
        found = self._found
        assert found is not None  # errors come first
        reads = []
        for k in range(len(self.lateral) - 1, -1, -1):
            above = self._driven("error_dac", found.rates[k + 1], k, event)
            beside = self._driven("error_dac", found.interneurons[k], k, event)
            lines = self._lines(activity.states[k], k, event)
            for name, array, volts, layer in (
                ("interneurons", self.interneurons[k], lines, k + 1),
                ("top-down", self.top_down.array(k), above, k),
                ("lateral", self.lateral[k], beside, k),
            ):
                reads.append(
                    Read(
                        name=f"{name} {k + 1}",
                        array=array,
                        voltages=volts,
                        layer=layer,
                        converted=name != "top-down",
                    )
                )
        return reads

    def beside_updates(
        self, activity: Activity, errors: Sequence[Array], rates: Sequence[float], event: int
    ) -> Mapping[str, Sequence[Update]]:
        """Return the updates of the arrays that learn, of the last `errors`."""
        found, s, scale = self._found, self.settings, self.chip.scale
        assert found is not None  # errors come first
        factor, unit = self._decayed(rates), scale.unit_voltage
        hidden = range(len(self.lateral))
        inter, volt = found.interneurons, activity.states[0].dtype.type(unit)
        updates: dict[str, list[Update]] = {
            "interneurons": [
                self.outer(
                    self._with_one(activity.states[k] * volt),
                    inter[k] - found.predicted[k],
                    scale.learning_rate(factor * self._interneuron_rates[k], k + 1) * unit,
                )
                for k in hidden
            ]
        }
        if s.lateral_rate > 0:
            updates["lateral"] = [
                self.outer(inter[k], found.apical[k], -factor * s.lateral_rate * units)
                for k, units in enumerate(self.top_down.units)
            ]
        if s.top_down_rate > 0:
            updates["feedback"] = [
                self.outer(
                    found.rates[k + 1],
                    found.rates[k] - self._expected(found.rates[k + 1], k, event),
                    factor * s.top_down_rate * units,
                )
                for k, units in enumerate(self.top_down.units)
            ]
        return updates

    def _self_predicting(self) -> Microcircuit:
        """Return the circuit in which nothing reaches the dendrites without a teacher."""
        weights, biases = self.chip.logical()
        return self_predicting(weights, self._drawn, biases or None)

    def _decayed(self, rates: Sequence[float]) -> float:
        """Return the factor that the epochs so far put on all learning rates."""
        given = self.learning.learning_rate
        for k, rate in enumerate(rates):
            first = given[k] if isinstance(given, tuple) else given
            if first:
                return rate / self.chip.scale.learning_rate(first, k)
        return 1.0

    def _guess(self, states: Array, layer: int, event: int) -> Array:
        """Return p beside a hidden layer, (batch, units above), dimensionless."""
        volts = self._lines(states, layer, event)
        current = self.interneurons[layer].read(volts, Moment(event, phase=1))
        sums = current * states.dtype.type(1 / self.chip.scale.current(layer + 1))
        return self._read("state_adc", sums, layer + 1, event)

    def _lines(self, states: Array, layer: int, event: int) -> Array:
        """Return what drives the lines to the interneurons, (batch, units + 1) [V]."""
        return self._with_one(self._driven("state_dac", states, layer, event))

    def _with_one(self, volts: Array) -> Array:
        """Return voltages with one line more, of the unit voltage."""
        one = np.full((len(volts), 1), self.chip.scale.unit_voltage, volts.dtype)
        return np.concatenate((volts, one), axis=1)

    def _apical(self, above: Array, beside: Array, layer: int, event: int) -> Array:
        """Return the voltage of apical dendrites, (batch, units), dimensionless."""
        driven = self._driven("error_dac", beside, layer, event)
        current = self.lateral[layer].read(driven, Moment(event, phase=1))
        unit = self.top_down.units[layer] * self.chip.scale.unit_voltage
        sums = self._from_above(above, layer, event) + current * above.dtype.type(1 / unit)
        return self._read("error_adc", sums, layer, event)

    def _from_above(self, above: Array, layer: int, event: int) -> Array:
        """Return the top-down part of it."""
        driven = self._driven("error_dac", above, layer, event)
        return self.top_down.sums(driven, layer, Moment(event, phase=1))

    def _expected(self, above: Array, layer: int, event: int) -> Array:
        """Return the rates that top-down weights alone predict, for their own learning."""
        return self.network.activate(layer, self._from_above(above, layer, event))


def _with_thresholds(circuit: Microcircuit) -> list[Array]:
    """Return the weights to interneurons, their thresholds as a line more, (units, lines + 1)."""
    return [
        np.column_stack((weights, threshold))
        for weights, threshold in zip(
            circuit.to_interneurons, circuit.interneuron_thresholds, strict=True
        )
    ]
