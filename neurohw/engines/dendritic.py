"""Dendritic microcircuits in time: membranes, interneurons and weights that never stop learning.

With the weights of `neurohw.networks.microcircuit`, counted at the soma, and conductances g over
the membrane's capacitance, membranes follow

    du_k/dt = (b_k + λ·v_k − u_k)/τ + σ·ξ           1/τ = g_leak + g_basal + g_apical
    du_N/dt = (b_N + λ_N·(t − b_N) − u_N)/τ_N + σ·ξ    1/τ_N = g_leak + g_basal (+ g_soma, taught)
    di_k/dt = (p_k + λ_I·(u_{k+1} − p_k) − i_k)/τ_I + σ·ξ    1/τ_I = g_leak + g_dendrite + g_soma

where λ = g_apical·τ, λ_N = g_soma·τ_N and λ_I = g_soma·τ_I. Each weight follows the change that
`microcircuit.changes` names, low-pass filtered with the time constant of plasticity, all the time:
there are no phases. Membranes that have not settled after a pattern begins teach, too, unless
plasticity is held for a while, so that "phase-free" depends on slow patterns or such a gate.

This is the readable engine; `neurohw.engines.numba.dendritic` is compiled.

References
----------
Sacramento, Costa, Bengio, Senn (2018), "Dendritic cortical microcircuits approximate the
backpropagation algorithm", NeurIPS; Urbanczik and Senn (2014), Neuron 81:521, for the rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.errors import InvalidValueError, NumericalError
from neurohw.networks.microcircuit import Microcircuit, Mixes, logistic, soft_plus

Array = NDArray[np.floating]

RATES = {"logistic": logistic, "soft-plus": soft_plus}
# Explicit Euler of these membranes is stable below 2, and near the course in time below this.
_LARGEST_STEP = 0.3


@dataclass(frozen=True, kw_only=True)
class Membranes:
    """Conductances over capacitance, noise and filter.

    Parameters
    ----------
    leak, basal, apical, dendrite, soma : float [1/s]
        g of the leak, of the basal and apical dendrite, of the interneurons' dendrite, and of the
        currents that nudge interneurons and taught outputs.
    noise : float [1/√s]
        σ; voltages are dimensionless.
    plasticity_time : float [s]
        Time constant of the filter of all changes of weights; the smallest is the step.
    step : float [s]
        Of the integration.
    rate : {"soft-plus", "logistic"}
        φ.

    Raises
    ------
    InvalidValueError
        A negative number, or a step above 0.3 of the shortest time constant.
    """

    leak: float = 100.0
    basal: float = 1000.0
    apical: float = 800.0
    dendrite: float = 1000.0
    soma: float = 800.0
    noise: float = 0.0
    plasticity_time: float = 30e-3
    step: float = 1e-4
    rate: Literal["soft-plus", "logistic"] = "soft-plus"

    def __post_init__(self) -> None:
        for key in ("leak", "basal", "apical", "dendrite", "soma", "noise", "step"):
            if not 0 <= getattr(self, key) < np.inf:
                raise InvalidValueError(f"{key} = {getattr(self, key):g}: must be finite, from 0")
        if self.plasticity_time < self.step:
            raise InvalidValueError(
                f"plasticity_time = {self.plasticity_time:g} s: must be at least the step,"
                f" {self.step:g} s"
            )
        fastest = max(self.hidden_rate, self.interneuron_rate, self.output_rate(taught=True))
        if self.step * fastest > _LARGEST_STEP:
            raise InvalidValueError(
                f"step = {self.step:g} s: must be at most {_LARGEST_STEP:g} of the shortest time"
                f" constant, {1 / fastest:.3g} s"
            )

    @property
    def hidden_rate(self) -> float:
        """1/τ [1/s]."""
        return self.leak + self.basal + self.apical

    @property
    def interneuron_rate(self) -> float:
        """1/τ_I [1/s]."""
        return self.leak + self.dendrite + self.soma

    def output_rate(self, *, taught: bool) -> float:
        """1/τ_N [1/s]."""
        return self.leak + self.basal + (self.soma if taught else 0.0)

    @property
    def mixes(self) -> Mixes:
        """λ, λ_I and λ_N."""
        return Mixes(
            hidden=self.apical / self.hidden_rate,
            interneuron=self.soma / self.interneuron_rate,
            output=self.soma / self.output_rate(taught=True),
        )


@dataclass(frozen=True, kw_only=True)
class LearningRates:
    """Of each family of weights [1/s], a number a layer; see `microcircuit.Microcircuit`."""

    basal: Sequence[float]
    top_down: Sequence[float]
    from_interneurons: Sequence[float]
    to_interneurons: Sequence[float]


@dataclass(eq=False)
class State:
    """A circuit in time: its weights, somas, interneurons, and the filtered changes of weights.

    Arrays are float64 and change in place; without thresholds.
    """

    circuit: Microcircuit
    somas: list[Array] = field(init=False)
    interneurons: list[Array] = field(init=False)
    filtered: list[list[Array]] = field(init=False)

    def __post_init__(self) -> None:
        self.somas = [np.zeros(len(w)) for w in self.circuit.basal]
        self.interneurons = [np.zeros(len(w)) for w in self.circuit.to_interneurons]
        self.filtered = [[np.zeros_like(w) for w in weights] for weights in self.weights]

    @property
    def weights(self) -> tuple[Sequence[Array], ...]:
        """Basal, top-down, from and to interneurons: the order of `LearningRates`."""
        c = self.circuit
        return c.basal, c.top_down, c.from_interneurons, c.to_interneurons


@dataclass(frozen=True, eq=False, kw_only=True)
class Presentation:
    """What a pattern did in the later half of its time.

    apical : (hidden layers,) array
        Root mean square over neurons and time of the apical dendrites' voltage.
    outputs : (outputs,) array
        Mean of the outputs' somas.
    """

    apical: Array
    outputs: Array


class DendriticEngine:
    """Integrates microcircuits step by step, in NumPy.

    Parameters
    ----------
    membranes : Membranes
    rates : LearningRates
    seed : int
        Of the noise.
    """

    def __init__(self, membranes: Membranes, rates: LearningRates, seed: int = 0) -> None:
        self.membranes = membranes
        self.rates = rates
        self.seed = seed

    def present(
        self,
        state: State,
        inputs: Array,
        teaching: Array | None,
        *,
        time: float,
        gate: float = 0.0,
        event: int = 0,
    ) -> Presentation:
        """Show one pattern for a time; somas and weights of the state move.

        Parameters
        ----------
        state : State
        inputs : (inputs,) array
            r_0.
        teaching : (outputs,) array, optional
            t; outputs are free without.
        time, gate : float [s]
            How long it is shown, and for how long of it nothing is learnt.
        event : int
            Number of the pattern, for its noise.

        Raises
        ------
        NumericalError
            A membrane is NaN or infinite: learning rates are too large.
        """
        membranes = self.membranes
        steps, held = (round(t / membranes.step) for t in (time, gate))
        units = [len(u) for u in (*state.somas, *state.interneurons)]
        noise = np.zeros((0, sum(units)))
        if membranes.noise > 0:
            key = randomness.key(randomness.stream(self.seed, "dendrite_noise"), event)
            draws = randomness.normals(key, np.arange(steps * sum(units)))
            scale = membranes.noise * np.sqrt(membranes.step)
            noise = scale * draws.reshape(steps, -1).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            square, outputs = self._run(state, inputs, teaching, steps, held, noise)
        if not all(np.isfinite(u).all() for u in (*state.somas, *state.interneurons)):
            raise NumericalError(f"pattern {event}: a membrane diverged; take smaller rates")
        return Presentation(apical=np.sqrt(square), outputs=outputs)

    def _run(
        self,
        state: State,
        inputs: Array,
        teaching: Array | None,
        steps: int,
        held: int,
        noise: Array,
    ) -> tuple[Array, Array]:
        """Return the mean square of each layer's apical dendrites, and the mean outputs."""
        m, mixes, phi = self.membranes, self.membranes.mixes, RATES[self.membranes.rate]
        u, inter, c = state.somas, state.interneurons, state.circuit
        hidden = range(len(inter))
        rates = self.rates
        families = (rates.basal, rates.top_down, rates.from_interneurons, rates.to_interneurons)
        square, outputs = np.zeros(len(inter)), np.zeros(len(u[-1]))
        share = m.step / m.plasticity_time
        for step in range(steps):
            r, s = [inputs, *map(phi, u)], [phi(i) for i in inter]
            b = [w @ x for w, x in zip(c.basal, r[:-1], strict=True)]
            p = [c.to_interneurons[k] @ r[k + 1] for k in hidden]
            v = [c.top_down[k] @ r[k + 2] + c.from_interneurons[k] @ s[k] for k in hidden]
            if step >= steps // 2:
                square += [np.mean(x**2) for x in v]
                outputs += u[-1]
            wanted = (
                [np.outer(r[k + 1] - phi(b[k]), r[k]) for k in range(len(u))],
                [np.outer(r[k + 1] - phi(c.top_down[k] @ r[k + 2]), r[k + 2]) for k in hidden],
                [np.outer(-v[k], s[k]) for k in hidden],
                [np.outer(s[k] - phi(p[k]), r[k + 1]) for k in hidden],
            )
            moves = [(b[k] + mixes.hidden * v[k] - u[k]) * (m.step * m.hidden_rate) for k in hidden]
            pull = 0.0 if teaching is None else mixes.output * (teaching - b[-1])
            rate = m.output_rate(taught=teaching is not None)
            moves.append((b[-1] + pull - u[-1]) * (m.step * rate))
            moves += [
                (p[k] + mixes.interneuron * (u[k + 1] - p[k]) - inter[k])
                * (m.step * m.interneuron_rate)
                for k in hidden
            ]
            first = 0
            for membrane, move in zip((*u, *inter), moves, strict=True):
                membrane += move
                if len(noise):
                    membrane += noise[step, first : first + len(membrane)]
                first += len(membrane)
            for kind, each in enumerate(state.weights):
                for k, w in enumerate(each):
                    filtered = state.filtered[kind][k]
                    target = wanted[kind][k] if step >= held else 0.0
                    filtered += share * (target - filtered)
                    w += families[kind][k] * m.step * filtered
        late = steps - steps // 2
        return square / late, outputs / late
