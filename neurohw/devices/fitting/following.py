"""Following traces with a law: each reading predicted from those before it, and how far it is off.

A pulse moves the state along the law's mean step and by its noise, within the limits; a reading is
the state with write noise. An extended Kalman filter follows the state, so the residuals are
one-step predictions: noise of pulses, which stays in the state, and noise of readings, which does
not, are told apart, and a reading's noise does not pass for a place on the curve, which would bend
the curve where changes are regressed on readings.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import norm

from neurohw.devices.fitting import kernels
from neurohw.devices.fitting.curves import Curves
from neurohw.devices.fitting.traces import Traces

Array = NDArray[np.floating]

# Residuals count by Huber's loss, linear beyond this many deviations: 98 % efficient.
CUT = 2.0
_CONSISTENT = float(2 * norm.cdf(CUT) - 1)
# A reading moves the state as if it were this many deviations away at most.
FAR = 4.0

# Deviation of a reading, of the range, below which differences are taken for rounding.
FLOOR = 1e-4
_LEAST_NOISE = 1e-5

# Log-likelihood that a source of noise must gain to be one, at 95 %.
_GAIN = 1.92


@dataclass(frozen=True, eq=False)
class State:
    """What is fitted of the mean curves, conductances over a common unit.

    Parameters
    ----------
    own : (devices, 4 + …) array
        Low, high, logarithms of the steps up and down at the centre, then the shape where each
        device has its own.
    shape : (parameters,) array
        Common to all devices; empty where each has its own.
    """

    own: Array
    shape: Array

    def shapes(self) -> Array:
        """Shape of each device: (devices, parameters)."""
        if self.own.shape[1] > 4:
            return self.own[:, 4:]
        return np.broadcast_to(self.shape, (len(self.own), self.shape.size))


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise of pulses and of readings, over the common unit; the second relative to a step.

    `profile`, of a table: deviations up and down at places, (places, 2), in place of the first
    two.
    """

    cycle: float
    step: float
    write: float
    profile: Array | None = None


class Following:
    """Traces and a law that follows them.

    Parameters
    ----------
    traces : Traces
    scaled : (rows,) array
        Their readings over the common unit.
    curves : Curves

    Attributes
    ----------
    seen, counted : (rows,) arrays of bool
        Readings that say what a pulse did, and those of them that say how much noise there is.
    """

    def __init__(self, traces: Traces, scaled: Array, curves: Curves) -> None:
        self.traces = traces
        self.curves = curves
        self.reading = np.ascontiguousarray(scaled)
        self.seen = traces.seen
        self.counted = self.seen
        self.deviation, self.gain, self.spread, self.away, self.state = np.ones((5, scaled.size))

    def table(self, state: State, noise: Noise) -> Array:
        """Return steps and deviations of each device: (devices, places, 4)."""
        steps = self.curves.relative(state.shapes()) * np.exp(state.own[:, None, 2:4])
        if noise.profile is None:
            deviations = np.hypot(noise.cycle, noise.step * steps)
        else:
            deviations = np.broadcast_to(noise.profile, steps.shape)
        return np.ascontiguousarray(np.concatenate((steps, deviations), axis=2))

    def follow(self, state: State, noise: Noise, *, frozen: bool = False) -> Array:
        """Return residuals in deviations, 0 where there is no reading: (rows,).

        frozen: with the gains and deviations of the last time.
        """
        kernels.follow(
            self.reading,
            self.traces.pulse,
            self.traces.device,
            self.table(state, noise),
            np.ascontiguousarray(state.own[:, 0]),
            np.ascontiguousarray(state.own[:, 1]),
            noise.write**2 + FLOOR**2,
            FAR,
            frozen,
            self.deviation,
            self.gain,
            self.spread,
            self.away,
            self.state,
        )
        return np.where(self.seen, self.away / self.spread, 0.0)

    def scores(self, state: State, noise: Noise, *, most: float = np.inf) -> Array:
        """Return the log-likelihood of each counted reading by Huber's loss, else 0: (rows,).

        Residuals count as `most` deviations at most.
        """
        residual = np.clip(self.follow(state, noise), -most, most)
        likelihood = -loss(residual) - _CONSISTENT * np.log(self.spread)
        return np.where(self.counted, likelihood, 0.0)

    def noise(self, state: State, start: Noise, *, choose: bool) -> Noise:
        """Return the noise of greatest likelihood, mean curves given.

        choose: leave out sources that do not make the traces more likely.
        """
        sources = ["cycle", "step", "write"] if self.curves.varied else ["cycle", "write"]
        best, score = self._likeliest(state, start, sources)
        for source in ("step", "write", "cycle") if choose else ():
            fewer = [other for other in sources if other != source]
            if source in sources and fewer:
                less, lower = self._likeliest(state, best, fewer)
                if lower > score - _GAIN:
                    best, score, sources = less, lower, fewer
        return best

    def _likeliest(self, state: State, start: Noise, sources: list[str]) -> tuple[Noise, float]:
        def noise_of(logarithms: Array) -> Noise:
            return _noise(dict(zip(sources, np.exp(logarithms), strict=True)))

        def cost(logarithms: Array) -> float:
            return -float(self.scores(state, noise_of(logarithms)).sum())

        given = {"cycle": max(start.cycle, 1e-3), "write": max(start.write, 1e-3)}
        given["step"] = max(start.step, 0.03)
        found = minimize(
            cost,
            [np.log(given[source]) for source in sources],
            method="L-BFGS-B",
            bounds=[(np.log(_LEAST_NOISE), np.log(20.0))] * len(sources),
            options={"maxiter": 12, "ftol": 1e-6},
        )
        return noise_of(found.x), -float(found.fun)

    def noise_errors(self, state: State, noise: Noise) -> dict[str, float]:
        """Return the standard error of the logarithm of each source that there is."""
        sources = [name for name in ("cycle", "step", "write") if getattr(noise, name) > 0]
        step = 0.05

        def cost(moves: Array) -> float:
            values = {
                name: getattr(noise, name) * np.exp(move)
                for name, move in zip(sources, moves, strict=True)
            }
            return -float(self.scores(state, _noise(values)).sum())

        n = len(sources)
        unit = step * np.eye(n)
        hessian = np.empty((n, n))
        for i in range(n):
            for j in range(n):
                hessian[i, j] = (
                    cost(unit[i] + unit[j]) - cost(unit[i] - unit[j])
                    - cost(unit[j] - unit[i]) + cost(-unit[i] - unit[j])
                ) / (4 * step**2)  # fmt: skip
        variances = np.diag(np.linalg.pinv(hessian))
        return dict(zip(sources, np.sqrt(np.maximum(variances, 0.0)), strict=True))


def _noise(sources: dict[str, Any]) -> Noise:
    cycle, step, write = (float(sources.get(name, 0.0)) for name in ("cycle", "step", "write"))
    return Noise(cycle=cycle, step=step, write=write)


def loss(residual: Array) -> Array:
    """Return Huber's loss of residuals in deviations."""
    size = np.abs(residual)
    return np.where(size < CUT, 0.5 * size**2, CUT * (size - 0.5 * CUT))
