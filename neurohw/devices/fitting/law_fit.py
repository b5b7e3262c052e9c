"""One law fitted to traces: mean curves and noise in turn, until neither moves.

The mean curves are those of least Huber loss of one-step predictions, with the filter's gains held
while they are sought; the noise is that of greatest likelihood, mean curves held.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neurohw.devices.fitting.blocks import Covariance, Prior, minimise, normal
from neurohw.devices.fitting.curves import Curves
from neurohw.devices.fitting.following import CUT, FAR, FLOOR, Following, Noise, State
from neurohw.devices.fitting.population import population
from neurohw.devices.fitting.ranges import Ranges, successive
from neurohw.devices.fitting.traces import Traces

Array = NDArray[np.floating]

_ROUNDS = 8
_STEPS = 12
# Least deviation of shapes between devices that is reckoned with.
_ALIKE = 0.01
# How far from the ends of cycles limits are that no cell is driven against, of the range.
_NEAR = 0.05
# Readings beyond this many deviations are outliers.
OUTLIER = 5.0


@dataclass(frozen=True, eq=False, kw_only=True)
class LawFit:
    """A law as fitted.

    Parameters
    ----------
    curves : Curves
    ranges : Ranges
    state : State
    noise : Noise
        Both over ``ranges.unit``, conductances less ``ranges.offset``.
    following : Following
        As it followed the traces last.
    prior : Prior
    """

    curves: Curves
    ranges: Ranges
    state: State
    noise: Noise
    following: Following
    prior: Prior

    @cached_property
    def residual(self) -> Array:
        """Residuals of the rows that have one, in deviations."""
        return self.following.follow(self.state, self.noise)[self.following.seen]

    @property
    def outliers(self) -> int:
        """How many readings are more than 5 deviations away."""
        return int(np.count_nonzero(np.abs(self.residual) > OUTLIER))

    @property
    def parameters(self) -> int:
        """How many parameters the mean curves have."""
        return self.state.own.size + self.state.shape.size

    @cached_property
    def covariance(self) -> Covariance:
        """Errors of the state, from the slopes of the residuals and from their size."""
        following, state = self.following, self.state
        residual = following.follow(state, self.noise)

        def residuals(moved: State) -> Array:
            return following.follow(moved, self.noise, frozen=True)

        equations = normal(
            residuals, residual, state, self.prior, following.traces.device, bounded=False
        )
        seen = self.residual
        within = max(float(np.mean(np.abs(seen) < CUT)), 0.5)
        free = max(seen.size - self.parameters, 1)
        factor = float((np.clip(seen, -CUT, CUT) ** 2).sum()) / free / within
        found = equations.covariance()
        return replace(found, own=factor * found.own, shape=factor * found.shape)

    def on(self, traces: Traces) -> Array:
        """Return the log-likelihood of other traces' readings, 0 where none: (rows,).

        All outliers count the same, so that they do not decide which law is better.
        """
        scaled = (traces.reading - self.ranges.offset) / self.ranges.unit
        return Following(traces, scaled, self.curves).scores(self.state, self.noise, most=FAR)

    @property
    def shrunk(self) -> Prior:
        """What shape to expect of a device, from those that all have; else the prior."""
        own = self.state.own
        if own.shape[1] == 4 or len(own) < 3:
            return self.prior
        centre, width = self.prior.centre.own.copy(), self.prior.width.own.copy()
        errors = np.sqrt(np.diagonal(self.covariance.own, axis1=1, axis2=2))
        for j in range(4, own.shape[1]):
            found = population(own[:, j], errors[:, j])
            centre[:, j], width[:, j] = found.mean, max(found.spread, _ALIKE)
        return replace(
            self.prior,
            centre=State(centre, self.prior.centre.shape),
            width=State(width, self.prior.width.shape),
        )

    @property
    def expected(self) -> Array:
        """State of each row that the first reading of its trace leads to without noise."""
        f = self.following
        blind = Following(f.traces, np.where(f.traces.pulse == 0, f.reading, np.nan), self.curves)
        blind.deviation[:] = 0.0
        blind.follow(self.state, self.noise, frozen=True)
        return blind.state

    @property
    def before(self) -> Array:
        """State before each row's pulse as the filter has it, over the unit; NaN at a start."""
        f = self.following
        before = np.concatenate(([np.nan], f.state[:-1]))
        return np.where(f.traces.pulse == 0, np.nan, before)


def fit_law(
    traces: Traces,
    curves: Curves,
    ranges: Ranges,
    start: LawFit | None = None,
    prior: Prior | None = None,
    told: Callable[[float], None] = lambda share: None,
) -> LawFit:
    """Fit a law; with `start` from where another fit of it ended, whose noise it keeps.

    prior is that of the ranges unless given; told is told the share that is done.
    """
    following = Following(traces, (traces.reading - ranges.offset) / ranges.unit, curves)
    prior = prior or _prior(curves, ranges)
    state, noise = (prior.centre, _first_noise(following, ranges))
    if start is not None:
        state, noise = start.state, start.noise

    def residuals(moved: State) -> Array:
        return following.follow(moved, noise, frozen=True)

    for k in range(_ROUNDS if start is None else 1):
        following.follow(state, noise)
        state = minimise(residuals, state, prior, traces.device, _STEPS)
        told((k + 1) / _ROUNDS)
        if start is None:
            last, noise = noise, following.noise(state, noise, choose=False)
            if _close(last, noise):
                break
    found = LawFit(
        curves=curves, ranges=ranges, state=state, noise=noise, following=following, prior=prior
    )
    if start is None:
        residual = following.follow(state, noise)
        following.counted = following.seen & (np.abs(residual) <= OUTLIER)
        noise = following.noise(state, noise, choose=True)
        noise = _for_parameters(noise, following, found.parameters)
        told(1.0)
    if curves.law == "table":
        noise = _profile(found, noise)
    return replace(found, noise=noise)


def _prior(curves: Curves, ranges: Ranges) -> Prior:
    unit = ranges.unit
    low, high = (ranges.low - ranges.offset) / unit, (ranges.high - ranges.offset) / unit
    width, zero = high - low, -ranges.offset / unit
    count, own = len(low), len(curves.start) if curves.own else 0

    def state(
        limits: tuple[Array, Array], steps: tuple[Array, Array], shape: tuple[float, ...]
    ) -> State:
        shapes = np.broadcast_to(np.array(shape, np.float64), (count, len(shape)))
        columns = np.stack(np.broadcast_arrays(*limits, *steps), axis=1)
        if own:
            return State(np.hstack((columns, shapes)), np.empty(0))
        return State(columns, np.array(shape, np.float64))

    steps = np.log(ranges.up / unit), np.log(ranges.down / unit)
    loose = 2.0 if curves.asymptotic else _NEAR
    return Prior(
        centre=state((low, high), steps, curves.start),
        width=state((loose * width, loose * width), (np.full(count, 1.5),) * 2, curves.width),
        least=state(
            (np.maximum(low - width, zero), high - 0.4 * width),
            (steps[0] - 5, steps[1] - 5),
            curves.least,
        ),
        most=state(
            (low + 0.4 * width, high + 2 * width), (steps[0] + 5, steps[1] + 5), curves.most
        ),
    )


def _first_noise(following: Following, ranges: Ranges) -> Noise:
    """Return a guess: most of what changes are off the typical step by is noise of pulses."""
    traces = following.traces
    first, last = successive(traces)
    device, pulses = traces.device[last], last - first
    step = np.where(traces.pulse[last] > 0, ranges.up[device], -ranges.down[device]) * pulses
    change = following.reading[last] - following.reading[first]
    off = np.abs(change - step / ranges.unit) / np.sqrt(pulses)
    typical = max(1.48 * float(np.median(off)), 10 * FLOOR)
    return Noise(cycle=0.7 * typical, step=0.1, write=0.3 * typical)


def _close(last: Noise, noise: Noise) -> bool:
    pairs = ((last.cycle, noise.cycle), (last.step, noise.step), (last.write, noise.write))
    return all(abs(a - b) <= 0.01 * max(a, b) or max(a, b) < 10 * FLOOR for a, b in pairs)


def _for_parameters(noise: Noise, following: Following, parameters: int) -> Noise:
    """Return noise that counts what the mean curves' parameters have taken from the residuals."""
    rows = int(following.seen.sum())
    factor = np.sqrt(rows / max(rows - parameters, 1))
    cycle, write = (
        source * factor if source > FLOOR else 0.0 for source in (noise.cycle, noise.write)
    )
    return Noise(cycle=cycle, step=noise.step * factor, write=write)


def _profile(fit: LawFit, noise: Noise) -> Noise:
    """Return the noise of pulses place by place, by the variance that residuals have there."""
    following, grid = fit.following, fit.curves.grid
    pulse, device = following.traces.pulse, following.traces.device
    start = np.hypot(noise.cycle, 10 * FLOOR)
    profile = np.full((grid.size, 2), start)
    for _ in range(4):
        noise = Noise(cycle=noise.cycle, step=0.0, write=noise.write, profile=profile)
        following.follow(fit.state, noise)
        low, high = fit.state.own[device, 0], fit.state.own[device, 1]
        place = np.clip((fit.before - low) / (high - low), 0, 1)
        size = np.minimum(np.abs(following.away), FAR * following.spread)
        for column, sign in enumerate((1, -1)):
            rows = following.seen & (pulse == sign) & np.isfinite(place)
            bins = np.rint(place[rows] * (grid.size - 1)).astype(np.intp)
            own = np.interp(place[rows], grid, profile[:, column]) ** 2
            excess = size[rows] ** 2 - following.spread[rows] ** 2
            count = np.bincount(bins, minlength=grid.size)
            total = np.bincount(bins, excess, grid.size), np.bincount(bins, own, grid.size)
            variance = (total[0] + total[1]) / np.maximum(count, 1)
            # Too few for a variance: that of all.
            variance = np.where(count < 8, start**2, variance)
            profile[:, column] = np.sqrt(np.maximum(variance, (10 * FLOOR) ** 2))
    return Noise(cycle=noise.cycle, step=0.0, write=noise.write, profile=profile)
