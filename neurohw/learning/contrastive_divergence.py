"""Contrastive divergence: a Boltzmann machine's crossbar read both ways, data against its dreams.

A mini-batch v_0, its labels on lines beside its pixels, gives the hidden units their states h_0;
read backwards these give v_1, which gives h_1, and so on for k steps. The cells then follow

    ΔW = η·(⟨h·vᵀ⟩_0 − ⟨h·vᵀ⟩_k),   Δb = η·(⟨v⟩_0 − ⟨v⟩_k),   Δc = η·(⟨h⟩_0 − ⟨h⟩_k)

*Persistent* chains go on where the last mini-batch left them in place of starting from the data.
Neither is the gradient of any function; with k the first tends to that of the log-likelihood, and
the error of a reconstruction may fall where the likelihood does not.

States are *drawn* of the probability σ of a sum, the classes of the softmax of theirs, and hidden
units count with their probabilities in the averages. Or they come of *read noise*: a unit is a
comparator, which gives 1 where its sum is above 0, the largest class wins, and every read of every
sample has its own noise, for which the chip's `reading.correlation` has to be sweep. Nothing else
is random then, and states count as they are. A unit's noise of standard deviation s gives it nearly
σ(sum/T) with T = s/1.702, another for each unit and state: what is learnt is a machine at this
temperature, whose mean is measured where free energies are compared, of sums that are means of
several reads.

References
----------
Hinton (2002), Neural Comput. 14, 1771; Tieleman (2008), ICML, for persistent chains; Hinton (2012),
"A practical guide to training restricted Boltzmann machines"; Larochelle and Bengio (2008), ICML,
for classes decided by free energy. 1.702: Camilli (1994), Am. Stat. 48, 4, for σ and the normal
distribution.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.chip import Moment
from neurohw.chip.boltzmann_chip import BoltzmannChip
from neurohw.errors import InvalidValueError, NumericalError
from neurohw.learning.feedforward import Read
from neurohw.learning.settings import ChainSettings
from neurohw.networks.boltzmann import free_energies
from neurohw.update import Update, bias_update

Array = NDArray[np.floating]

# The normal distribution is this near to σ of so many of its standard deviations.
_PROBIT = 1.702
# Samples of which the temperature is measured, and reads that are averaged, where noise samples.
_SAMPLES, _READS = 4, 8


class Phases(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Visible and hidden states that are compared, of the data and at the ends of the chains.

    visible (batch, inputs) and hidden (batch, units) each, dimensionless; reads, in their order.
    """

    data: tuple[Array, Array]
    model: tuple[Array, Array]
    reads: Sequence[Read]


class ContrastiveDivergence:
    """Gibbs sampling by reads of both directions, and the difference of two correlations.

    Parameters
    ----------
    chip : BoltzmannChip
    classes : int
        The last inputs, of which one is 1; 0 without labels.
    chain : ChainSettings
    weight_decay : float
        Share of the weights that is lost at a learning rate of 1.
    seed : int

    Attributes
    ----------
    chains : (batch, units) array or None
        Hidden states at the ends of persistent chains.

    Raises
    ------
    InvalidValueError
        Read noise is to sample that the chip has not, or not anew at every read.
    """

    def __init__(
        self,
        chip: BoltzmannChip,
        classes: int,
        chain: ChainSettings,
        *,
        weight_decay: float = 0.0,
        seed: int = 0,
    ) -> None:
        if chain.sampling == "read-noise":
            _require_noise(chip)
        self.chip = chip
        self.classes = classes
        self.chain = chain
        self.weight_decay = weight_decay
        self.chains: Array | None = None
        self._seed = seed
        self._pixels = chip.arrays[0].shape[1] - classes

    def phases(self, inputs: Array, event: int) -> Phases:
        """Sample both phases of a mini-batch (batch, inputs) [V]; chains that persist move on.

        Raises
        ------
        NumericalError
            A sum is NaN or infinite.
        """
        unit = inputs.dtype.type(self.chip.scale.unit_voltage)
        reads: list[Read] = []
        start, hidden = self._hidden(inputs, event, 0, reads)
        data = inputs / unit, start
        if self.chain.persistent and self.chains is not None:
            hidden = self.chains
        for step in range(1, self.chain.steps + 1):
            visible = self._visible(hidden * unit, event, 2 * step - 1, reads)
            end, hidden = self._hidden(visible * unit, event, 2 * step, reads)
        if self.chain.persistent:
            self.chains = hidden
        return Phases(data=data, model=(visible, end), reads=reads)

    def updates(
        self, phases: Phases, rate: float, bias_rate: float
    ) -> tuple[list[Update], list[Update]]:
        """Return the updates of the array, and of hidden and visible biases where there are any.

        rate [S/V²]; bias_rate [A/V].
        """
        (v, h), (dreamt, end) = phases.data, phases.model
        unit, batch, dtype = self.chip.scale.unit_voltage, len(v), v.dtype.type
        by_sample = self.chip.specification.programming.by_sample
        update = Update(
            presynaptic=np.concatenate((v, dreamt))[None] * dtype(unit),
            postsynaptic=np.concatenate((h, -end))[None] * dtype(rate * unit / batch),
        )
        if by_sample:
            update = update.by_sample(batch)
        if self.weight_decay > 0:
            events, _, units = update.postsynaptic.shape
            share = self.weight_decay * rate / self.chip.scale.learning_rate(1.0, 0)
            decay = np.full((events, units), share / events, v.dtype)
            update = msgspec.structs.replace(update, decay=decay)
        scale = bias_rate * unit / batch
        bias_updates = [
            bias_update(difference, scale, by_sample=by_sample)
            for _, difference in zip(self.chip.biases, (h - end, v - dreamt), strict=False)
        ]
        return [update], bias_updates

    def free_energies(self, inputs: Array, event: int) -> Array:
        """Return F of each class (batch, classes) for inputs whose class lines are at 0 V [V].

        In units of the temperature, up to what all classes of a sample share.
        """
        moment = Moment(event)
        totals = self._totals(self._averaged(inputs, event), 0, moment)
        lines = np.eye(self.classes, inputs.shape[1], self._pixels, dtype=inputs.dtype)
        lines *= inputs.dtype.type(self.chip.scale.unit_voltage)
        current = self._averaged(lines, event)
        by_class = current * current.dtype.type(1 / self.chip.scale.current(0))
        class_bias = np.zeros(self.classes, inputs.dtype)
        if self.chip.biases:
            source = self.chip.biases[1].source(moment).current[self._pixels :]
            class_bias = source * source.dtype.type(1 / self.chip.scale.current(0))
        t = inputs.dtype.type(self.temperature(inputs[:_SAMPLES], event))
        return free_energies(totals / t, by_class / t, class_bias / t)

    def hidden(self, inputs: Array, event: int) -> Array:
        """Return the probabilities of the hidden units (batch, units) for inputs [V]."""
        totals = self._totals(self._averaged(inputs, event), 0, Moment(event))
        return _sigmoid(totals / totals.dtype.type(self.temperature(inputs[:_SAMPLES], event)))

    @property
    def reads(self) -> int:
        """How many reads of an image, and of a class, are averaged to compare free energies."""
        return 1 if self.chain.sampling == "drawn" else _READS

    def temperature(self, inputs: Array, event: int) -> float:
        """Return the mean temperature of the hidden units for inputs [V]; 1 where they draw."""
        if self.chain.sampling == "drawn":
            return 1.0
        taken = [
            self._totals(self._read(inputs, event, phase, transposed=False), 0, Moment(event))
            for phase in range(1, _READS + 1)
        ]
        return float(np.sqrt(np.var(taken, axis=0, ddof=1).mean()) / _PROBIT)

    def disturb(self, phases: Phases, event: int) -> int:
        """Let the reads of a mini-batch move cells that they stress; return the steps taken."""
        if not self.chip.disturbed:
            return 0
        return sum(
            read.array.disturb(read.voltages, event, phase, transposed=read.transposed)
            for phase, read in enumerate(phases.reads)
        )

    def _hidden(
        self, lines: Array, event: int, phase: int, reads: list[Read]
    ) -> tuple[Array, Array]:
        """Return what hidden units count with, and their states, both (batch, units)."""
        name = f"hidden {phase // 2}" if phase else "data"
        reads.append(
            Read(name=name, array=self.chip.arrays[0], voltages=lines, layer=0, biased=True)
        )
        current = self._read(lines, event, phase, transposed=False)
        totals = self._totals(current, 0, Moment(event, phase=phase))
        if self.chain.sampling == "read-noise":
            states = (totals > 0).astype(totals.dtype)
            return states, states
        probability = _sigmoid(totals)
        return probability, (self._draws(totals.shape, event, phase) < probability).astype(
            totals.dtype
        )

    def _visible(self, lines: Array, event: int, phase: int, reads: list[Read]) -> Array:
        """Return the states of the visible units, (batch, inputs)."""
        reads.append(
            Read(
                name=f"visible {(phase + 1) // 2}",
                array=self.chip.arrays[0],
                voltages=lines,
                layer=1,
                transposed=True,
                biased=True,
            )
        )
        current = self._read(lines, event, phase, transposed=True)
        totals = self._totals(current, 1, Moment(event, phase=phase))
        pixels, labels = totals[:, : self._pixels], totals[:, self._pixels :]
        found = np.zeros_like(totals)
        if self.chain.sampling == "read-noise":
            found[:, : self._pixels] = pixels > 0
        else:
            # Largest of sums and draws of a Gumbel distribution: a draw of their softmax.
            draws = self._draws(totals.shape, event, phase)
            found[:, : self._pixels] = draws[:, : self._pixels] < _sigmoid(pixels)
            labels = labels - np.log(-np.log(draws[:, self._pixels :] + np.float32(2**-26)))
        if self.classes:
            found[np.arange(len(found)), self._pixels + labels.argmax(axis=1)] = 1
        return found

    def _read(self, lines: Array, event: int, phase: int, *, transposed: bool) -> Array:
        """Return the currents of a read [A]; each sample's own where read noise samples."""
        array = self.chip.arrays[0]
        read = array.read_transposed if transposed else array.read
        if self.chain.sampling == "drawn":
            return read(lines, Moment(event, phase=phase))
        rows = [
            read(lines[k : k + 1], Moment(event, phase=phase, sweep=k)) for k in range(len(lines))
        ]
        return np.concatenate(rows)

    def _totals(self, current: Array, side: int, moment: Moment) -> Array:
        """Return dimensionless sums of hidden (0) or visible (1) units, with their biases."""
        if self.chip.biases:
            current = current + self.chip.biases[side].source(moment).current
        total = current * current.dtype.type(1 / self.chip.scale.current(0))
        if not np.isfinite(total).all():
            sample, unit = np.argwhere(~np.isfinite(total))[0]
            layer = ("hidden", "visible")[side]
            raise NumericalError(
                f"input of {layer} unit {unit} is {total[sample, unit]}, sample {sample}"
            )
        return np.asarray(total)

    def _averaged(self, lines: Array, event: int) -> Array:
        """Return the currents of the hidden units, means of some reads [A]."""
        array = self.chip.arrays[0]
        taken = [array.read(lines, Moment(event, phase=phase)) for phase in range(self.reads)]
        return np.asarray(np.mean(taken, axis=0)) if len(taken) > 1 else taken[0]

    def _draws(self, shape: tuple[int, ...], event: int, phase: int) -> Array:
        key = randomness.key(randomness.stream(self._seed, "gibbs", phase), event)
        return randomness.roundings(key, np.arange(np.prod(shape)).reshape(shape))


def _sigmoid(totals: Array) -> Array:
    # Of the half argument: tanh does not overflow.
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * totals), totals.dtype)


def _require_noise(chip: BoltzmannChip) -> None:
    reading = chip.specification.device.reading
    if not chip.noisy or reading.correlation != "sweep":
        raise InvalidValueError(
            "learning.chain.sampling = read-noise: needs chip.device.reading with noise, and with"
            f" correlation = sweep, anew at every read, not {reading.correlation}; or take drawn"
        )
