"""The spike-timing curve of the rule dW/dt ∝ ρ_i·dρ_j/dt, an experiment after Bengio et al.

Two leaky integrators i and j of time constant τ, joined by a synapse, each take up a fluctuating
current of their own, of correlation time τ_s, and fire at random at the rate ρ(u)·f. The rule knows
nothing of spike times: a spike of i stands for its rate, so that it changes the synapse by dρ_j/dt
of that moment. Sorted by how long after that spike j fires, the changes draw the curve of
spike-timing-dependent plasticity, because j fires soon after a moment at which its rate rises and
soon before one at which it falls. With C the autocovariance of ρ_j and m its mean, the mean is

    E[dρ_j/dt (t) | spike of j at t + Δt] = −C′(Δt)/m
                                          = ± σ²/m · (e^(−|Δt|/τ) − e^(−|Δt|/τ_s))/(τ − τ_s),

with the sign of Δt: for fast currents the exponential windows that are measured at synapses.

References
----------
Bengio et al. (2015), arXiv:1509.05936, and (2017), Neural Computation 29:555; Bi and Poo (1998),
J. Neurosci. 18:10464, for measured windows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from neurohw import randomness
from neurohw.errors import InvalidValueError

Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Neurons:
    """Integrators that fluctuate and fire.

    Parameters
    ----------
    membrane_time, current_time : float [s]
        τ and τ_s, which differ.
    mean, deviation : float
        m and σ, of the output ρ between 0 and 1, whose ends should be rarely reached.
    rate : float [Hz]
        f, of spikes at ρ = 1.
    step : float [s]
        Of the simulation.

    Raises
    ------
    InvalidValueError
        A number that is not above 0, two equal times, a step above a tenth of either, or one in
        which more than one spike is to be expected.
    """

    membrane_time: float = 20e-3
    current_time: float = 2e-3
    mean: float = 0.5
    deviation: float = 0.12
    rate: float = 50.0
    step: float = 0.2e-3

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if not 0 < value < np.inf:
                raise InvalidValueError(f"{key} = {value:g}: must be finite, above 0")
        if self.membrane_time == self.current_time:
            raise InvalidValueError(
                f"current_time = {self.current_time:g}: must differ from membrane_time"
            )
        shortest = min(self.membrane_time, self.current_time)
        if self.step > 0.1 * shortest or self.step * self.rate > 1:
            raise InvalidValueError(
                f"step = {self.step:g}: must be at most a tenth of each time constant, and 1 / rate"
            )

    def outputs(self, seed: int, neuron: int, steps: int) -> Array:
        """Return ρ of one neuron at each step, (steps,)."""
        # Before it the fluctuation builds up.
        ahead = int(10 * (self.membrane_time + self.current_time) / self.step)
        key = randomness.key(randomness.stream(seed, "fluctuation", neuron))
        drive = randomness.normals(key, np.arange(ahead + steps)).astype(np.float64)
        slow, fast = (np.exp(-self.step / t) for t in (self.membrane_time, self.current_time))
        fluctuation = lfilter([1.0], np.convolve([1.0, -slow], [1.0, -fast]), drive)[ahead:]
        # The variance of an autoregression of two factors.
        product = slow * fast
        variance = (1 + product) / ((1 - product) * (1 - slow**2) * (1 - fast**2))
        size = self.deviation / np.sqrt(variance)
        return np.asarray(np.clip(self.mean + size * fluctuation, 0.0, 1.0))

    def spikes(self, output: Array, seed: int, neuron: int) -> NDArray[np.bool_]:
        """Return in which steps a neuron fires whose ρ is output, (steps,)."""
        key = randomness.key(randomness.stream(seed, "spike", neuron))
        draws = randomness.uniforms(key, np.arange(len(output)))
        return np.asarray(draws <= output * (self.rate * self.step))

    def expected(self, difference: Array) -> Array:
        """Return the closed form of the curve at time differences Δt [s], in 1/s."""
        times = self.membrane_time, self.current_time
        slow, fast = (np.exp(-np.abs(difference) / time) for time in times)
        size = self.deviation**2 / (self.mean * (times[0] - times[1]))
        return np.asarray(np.sign(difference) * size * (slow - fast))


@dataclass(frozen=True, eq=False, kw_only=True)
class TimingCurve:
    """Mean change of a synapse by pairs of spikes, in bins of their time difference, (bins,).

    difference, t_post − t_pre in the middle of a bin [s]; change, dρ_j/dt of its pairs [1/s], with
    its standard error, and `expected` from the closed form; pairs, how many.
    """

    difference: Array
    change: Array
    error: Array
    expected: Array
    pairs: NDArray[np.integer]


def timing_curve(
    neurons: Neurons,
    *,
    synapses: int,
    duration: float,
    reach: float = 80e-3,
    bins: int = 20,
    seed: int = 0,
) -> TimingCurve:
    """Simulate synapses, each between two neurons of its own, and sort their changes.

    Parameters
    ----------
    neurons : Neurons
    synapses : int
    duration : float [s]
        That each is simulated for.
    reach : float [s]
        Largest |t_post − t_pre|.
    bins : int
        On either side of 0.
    seed : int

    Raises
    ------
    InvalidValueError
        A duration of less than three times the reach, or bins shorter than a step.
    """
    width = int(reach / (bins * neurons.step))
    if width < 1 or duration < 3 * reach:
        raise InvalidValueError(
            f"bins = {bins}, duration = {duration:g}: need bins of a step at least"
            f" and three times the reach of {reach:g} s"
        )
    positive = np.arange(1, bins * width + 1)
    lags = np.concatenate((-positive[::-1], positive))
    steps = round(duration / neurons.step)
    sums = np.zeros((3, len(lags)))
    for synapse in range(synapses):
        before, behind = (neurons.outputs(seed, 2 * synapse + k, steps) for k in (0, 1))
        slope = np.gradient(behind, neurons.step)
        fires = neurons.spikes(behind, seed, 2 * synapse + 1)
        moments = np.flatnonzero(neurons.spikes(before, seed, 2 * synapse))
        moments = moments[(moments >= lags[-1]) & (moments < steps - lags[-1])]
        pairs = fires[moments[:, None] + lags].astype(np.float64)
        change = slope[moments]
        sums += np.stack([np.ones_like(change), change, change**2]) @ pairs
    count, total, squares = sums.reshape(3, -1, width).sum(axis=2)
    mean = total / count
    return TimingCurve(
        difference=neurons.step * lags.reshape(-1, width).mean(axis=1),
        change=mean,
        error=np.sqrt(squares / count - mean**2) / np.sqrt(count),
        expected=neurons.expected(neurons.step * lags).reshape(-1, width).mean(axis=1),
        pairs=count.astype(int),
    )
