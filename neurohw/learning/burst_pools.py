"""Burst-dependent plasticity of pools of spiking neurons, on exclusive or.

A pool stands for a unit. Its neurons fire events at the rate that its synapses ask for, each neuron
by itself at random, and an event is a burst with the probability that the pool's dendrite sets. A
synapse of pool j from pool i changes with every event and every burst of j,

    Δw_ji = η·ẽ_i·(bursts_j − P̄_j·events_j)/N

where ẽ is a running average of a pool's events and P̄ the ratio of running averages of bursts and
events: a pool that bursts more than it used to strengthens what drives it. An example is shown
first without a teacher, so that P̄ settles, then with one at the dendrite of the output, whose
bursts reach the dendrites below through fixed feedback.

Fewer details than in the paper, and shorter: a burst is one mark on an event, without the times of
its spikes and refractoriness; synapses change only while there is a teacher; an example takes 1.5 s
of 50 ms steps, there 8 s.

References
----------
Payeur, Guerguiev, Zenke, Richards, Naud (2021), Nature Neuroscience 24, 1010: pools of 500 neurons,
running averages over 2 s, 2000 examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import InvalidValueError

Array = NDArray[np.float64]

EXAMPLES: tuple[tuple[tuple[float, float], float], ...] = (
    ((0.0, 0.0), 0.0),
    ((0.0, 1.0), 1.0),
    ((1.0, 0.0), 1.0),
    ((1.0, 1.0), 0.0),
)


# Of a running average of events, of the highest, so that its ratio is a number.
_LEAST = 1e-3


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """Sizes, times and rates.

    Parameters
    ----------
    hidden : int
        Pools between the two inputs and the output.
    neurons : int
        Of each pool.
    rate : float [Hz]
        Highest event rate.
    probability : float
        That an event is a burst, at rest.
    step, baseline, teaching : float [s]
        Of time; without and with a teacher, of each example.
    average, trace : float [s]
        Time constants of P̄ and of ẽ. P̄ begins anew with each example: where that is shorter than
        `average`, it is the mean of the example so far.
    teacher : float
        Drive of the output's dendrite for an error of 1.
    learning_rate : float
        Change of a weight for a burst of all neurons, all inputs at their highest rates.
    """

    hidden: int = 10
    neurons: int = 500
    rate: float = 10.0
    probability: float = 0.2
    step: float = 0.05
    baseline: float = 1.0
    teaching: float = 0.5
    average: float = 2.0
    trace: float = 0.1
    teacher: float = 3.0
    learning_rate: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1 or self.rate * self.step > 1:
            raise InvalidValueError(
                f"probability = {self.probability}, rate·step = {self.rate * self.step:g}: an event"
                " in a step, and a burst, need a probability between 0 and 1"
            )


@dataclass
class BurstPools:
    """Networks of pools side by side that learn exclusive or, 2 to hidden to 1, each by itself.

    Parameters
    ----------
    settings : PoolSettings
    networks : int
    seed : int

    Attributes
    ----------
    weights, biases : list of arrays
        (networks, hidden, 2) and (networks, 1, hidden); (networks, hidden) and (networks, 1).
    feedback : (networks, hidden, 1) array
        Fixed, from the output's bursts to the dendrites of the hidden pools.
    saturated : int
        Hidden pools and steps in which the burst probability was within 1 % of 0 or 1.
    """

    settings: PoolSettings
    networks: int = 1
    seed: int = 0
    saturated: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        count, hidden = self.networks, self.settings.hidden
        normal = self._rng.normal
        self.weights = [normal(0, 4, (count, hidden, 2)), normal(0, 1, (count, 1, hidden))]
        self.biases = [normal(0, 2, (count, hidden)), np.zeros((count, 1))]
        self.feedback = normal(0, 8, (count, hidden, 1))

    def respond(self, inputs: Sequence[float]) -> Array:
        """Return the event rate of each output, of the highest, without noise, (networks,)."""
        lines = np.broadcast_to(np.asarray(inputs, np.float64), (self.networks, 2))
        return self._driven(1, self._driven(0, lines))[:, 0]

    def solved(self) -> NDArray[np.bool_]:
        """Return which outputs are on the right side of the middle for all examples."""
        right = [(self.respond(x) > 0.5) == (target > 0.5) for x, target in EXAMPLES]
        return np.asarray(np.all(right, axis=0))

    def train(self, examples: int) -> None:
        """Show so many examples, in random order, in rounds of all four."""
        order = np.arange(len(EXAMPLES))
        for number in range(examples):
            if number % len(EXAMPLES) == 0:
                order = self._rng.permutation(len(EXAMPLES))
            self.show(*EXAMPLES[order[number % len(EXAMPLES)]])

    def show(self, inputs: Sequence[float], target: float) -> None:
        """Run one example, and learn while there is a teacher."""
        s, shape = self.settings, (self.networks,)
        layers = (s.hidden, 1)
        lines = np.broadcast_to(np.asarray(inputs, np.float64), (*shape, 2))
        traces = [np.zeros((*shape, n)) for n in (2, *layers)]
        bursting = np.zeros((*shape, 1))
        event_averages = [np.full((*shape, n), _LEAST) for n in layers]
        burst_averages = [s.probability * a for a in event_averages]
        rest = np.log(s.probability / (1 - s.probability))
        follow, most = s.step / s.trace, s.neurons * s.rate * s.step
        untaught = round(s.baseline / s.step)
        for tick in range(untaught + round(s.teaching / s.step)):
            taught = tick >= untaught
            driven = (lines, self._driven(0, traces[0]), self._driven(1, traces[1]))
            events = [self._rng.binomial(s.neurons, rate * s.rate * s.step) for rate in driven]
            error = (target - traces[2]) * (1 - traces[2]) if taught else np.zeros((*shape, 1))
            # Of what the output's bursts are at rest nothing is heard.
            heard = _through(self.feedback, bursting - s.probability * traces[2])
            chances = [_sigmoid(rest + u) for u in (heard * (1 - traces[1]), s.teacher * error)]
            self.saturated += int(np.count_nonzero(np.abs(chances[0] - 0.5) > 0.49))
            bursts = [self._rng.binomial(n, p) for n, p in zip(events[1:], chances, strict=True)]
            if taught:
                for k in range(2):
                    ratio = burst_averages[k] / event_averages[k]
                    change = s.learning_rate * (bursts[k] - ratio * events[k + 1]) / s.neurons
                    self.weights[k] += change[:, :, None] * traces[k][:, None, :]
                    self.biases[k] += change
            for trace, count in zip(traces, events, strict=True):
                trace += follow * (count / most - trace)
            bursting += follow * (bursts[1] / most - bursting)
            # Running averages that begin with the example: equal weights until they are full.
            slow = max(s.step / s.average, 1 / (tick + 1))
            for k in range(2):
                event_averages[k] += slow * (events[k + 1] / most - event_averages[k])
                burst_averages[k] += slow * (bursts[k] / most - burst_averages[k])
                np.maximum(event_averages[k], _LEAST, out=event_averages[k])

    def _driven(self, layer: int, below: Array) -> Array:
        """Return the event rates, of the highest, that a layer's synapses ask for."""
        return _sigmoid(_through(self.weights[layer], below) + self.biases[layer])


def _through(weights: Array, lines: Array) -> Array:
    """Return (networks, units) sums of (networks, lines)."""
    return np.asarray((weights @ lines[:, :, None])[:, :, 0])


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))
