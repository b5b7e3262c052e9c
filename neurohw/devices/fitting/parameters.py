"""A fitted law in the terms of its TOML file: keys, values and their intervals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from neurohw.devices.fitting.following import FAR
from neurohw.devices.fitting.law_fit import LawFit
from neurohw.devices.fitting.population import LEVEL, population

Array = NDArray[np.floating]

_QUANTILES = 21
_SIEMENS = ("g_min", "g_max")
# Keys with limits, which intervals keep.
_LEAST = {
    **dict.fromkeys(
        ("g_min", "step", "slope_up", "slope_down", "exponent_up", "exponent_down"), 0.0
    ),
    **dict.fromkeys(("steps_up", "steps_down"), 0.0),
    **dict.fromkeys(("pulses_up", "pulses_down"), 1.0),
}
_MOST = {"slope_up": 1.0, "slope_down": 1.0}
_SHARES = ("step", "cycle_to_cycle", "step_noise", "write_noise")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One key of a device file.

    Parameters
    ----------
    key : str
    value, low, high : float, or (entries,) array
        And the ends of its 95 % interval.
    unit : {"S", "%", ""}
    """

    key: str
    value: Any
    low: Any
    high: Any
    unit: str

    @property
    def found(self) -> bool:
        """Whether there is any of it; only of spread may there be none."""
        return "spread" not in self.key or self.value > 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Nominal:
    """The device in the middle: limits, steps at the centre [S] and shape, and their covariances.

    Parameters
    ----------
    values : (4 + …,) array
    between, shared : covariance matrices
        Of what is known from `freedom` + 1 devices, and of what all have in common.
    freedom : float
    devices : (devices, 4 + …) array
        The same of each device.
    errors : (devices, 4 + …, 4 + …) array
        Their covariances.
    """

    values: Array
    between: Array
    shared: Array
    freedom: float
    devices: Array
    errors: Array

    @property
    def span(self) -> float:
        """Range [S]."""
        return float(self.values[1] - self.values[0])

    def errors_of(self, slopes: Array) -> Array:
        """Return half the 95 % intervals of quantities with these slopes: (quantities, n)."""
        tail = (1 + LEVEL) / 2
        between = np.einsum("ki,ij,kj->k", slopes, self.between, slopes)
        shared = np.einsum("ki,ij,kj->k", slopes, self.shared, slopes)
        wide = t.ppf(tail, self.freedom) if np.isfinite(self.freedom) else norm.ppf(tail)
        return np.asarray(np.sqrt(wide**2 * between + norm.ppf(tail) ** 2 * shared))


def nominal(fit: LawFit) -> Nominal:
    """Return the device in the middle of those of a fit."""
    state, unit = fit.state, fit.ranges.unit
    count, own = state.own.shape
    n = own + state.shape.size
    devices = np.hstack((state.own, state.shapes()))[:, :n]
    devices[:, :2] = devices[:, :2] * unit + fit.ranges.offset
    devices[:, 2:4] = unit * np.exp(devices[:, 2:4])
    scale = np.ones_like(devices)
    scale[:, :2], scale[:, 2:4] = unit, devices[:, 2:4]
    covariance = fit.covariance
    errors = np.zeros((count, n, n))
    errors[:, :own, :own] = covariance.own
    errors *= scale[:, :, None] * scale[:, None, :]
    if count == 1:
        common = covariance.common(np.ones((1, own))) * np.outer(scale[0], scale[0])
        return Nominal(
            values=devices[0],
            between=np.zeros((n, n)),
            shared=common + errors[0],
            freedom=np.inf,
            devices=devices,
            errors=errors,
        )
    limits = [population(devices[:, j], np.sqrt(errors[:, j, j])).mean for j in (0, 1)]
    devices, errors = _about(fit, devices, errors, sum(limits) / 2)
    values, deviation, weights = devices[0].copy(), np.zeros(n), np.empty((count, own))
    for j in range(own):
        found = population(devices[:, j], np.sqrt(errors[:, j, j]))
        values[j], deviation[j], weights[:, j] = found.mean, found.error, found.weights
    together = np.eye(n)
    if count > 2:
        apart = devices[:, :own] - values[:own]
        size = np.sqrt((apart**2).sum(axis=0))
        together[:own, :own] = (apart.T @ apart) / np.maximum(np.outer(size, size), 1e-300)
        np.fill_diagonal(together, 1.0)
    typical = scale.mean(axis=0)
    return Nominal(
        values=values,
        between=together * np.outer(deviation, deviation),
        shared=covariance.common(weights) * np.outer(typical, typical),
        freedom=count - 1,
        devices=devices,
        errors=errors,
    )


def _about(fit: LawFit, devices: Array, errors: Array, centre: float) -> tuple[Array, Array]:
    """Return devices and covariances with steps about the centre that all share."""

    def moved(values: Array) -> Array:
        return fit.curves.about(values, centre)

    slopes = [_slopes(moved, values, _nudges(values)) for values in devices]
    return (
        np.array([moved(values) for values in devices]),
        np.array([s.T @ covariance @ s for s, covariance in zip(slopes, errors, strict=True)]),
    )


def parameters(fit: LawFit, middle: Nominal) -> list[Parameter]:
    """Return the keys of the law, then of noise, then of spread between devices."""
    if fit.curves.law == "table":
        mean = [p for p in _mean(fit, middle) if p.key in _SIEMENS] + _distributions(fit, middle)
    else:
        mean = _mean(fit, middle)
    return mean + _noise(fit, middle) + _spread(fit, middle)


def _keys(fit: LawFit, values: Array) -> dict[str, Any]:
    low, high, up, down, *shape = values
    return fit.curves.keys(low, high, up, down, np.array(shape))


def _mean(fit: LawFit, middle: Nominal) -> list[Parameter]:
    def flat(values: Array) -> Array:
        return np.concatenate([np.atleast_1d(v) for v in _keys(fit, values).values()])

    slopes = _slopes(flat, middle.values, _nudges(middle.values)).T
    half = middle.errors_of(slopes)
    found, at = [], 0
    for key, value in _keys(fit, middle.values).items():
        size = np.size(value)
        error = half[at : at + size] if np.ndim(value) else half[at]
        at += size
        unit = "S" if key in _SIEMENS else "%" if key in _SHARES else ""
        low = np.maximum(value - error, min(_LEAST.get(key, -np.inf), np.min(value)))
        high = np.minimum(value + error, _MOST.get(key, np.inf))
        found.append(Parameter(key=key, value=value, low=low, high=high, unit=unit))
    return found


def _noise(fit: LawFit, middle: Nominal) -> list[Parameter]:
    share = fit.ranges.unit / middle.span
    named = {"cycle_to_cycle": "cycle", "step_noise": "step", "write_noise": "write"}
    if fit.noise.profile is not None:
        value = fit.noise.write * share
        only = Parameter(key="write_noise", value=value, low=value, high=value, unit="%")
        return [only] if value > 0 else []
    errors = fit.following.noise_errors(fit.state, fit.noise)
    ends = np.zeros((1, middle.values.size))
    ends[0, :2] = -1.0, 1.0
    range_error = float(middle.errors_of(ends)[0]) / middle.span
    found = []
    for key, name in named.items():
        if name in errors:
            value = getattr(fit.noise, name) * (1.0 if name == "step" else share)
            half = norm.ppf((1 + LEVEL) / 2) * errors[name]
            # Shares of a range are as uncertain as the range.
            factor = float(np.exp(half if name == "step" else np.hypot(half, range_error)))
            found.append(
                Parameter(key=key, value=value, low=value / factor, high=value * factor, unit="%")
            )
    return found


def _spread(fit: LawFit, middle: Nominal) -> list[Parameter]:
    """Return standard deviations between devices, less what errors of estimates add to them."""
    if len(middle.devices) < 2:
        return []
    label = fit.curves.law == "exponential"

    def sizes(values: Array) -> Array:
        low, high, up, down, *shape = values
        return fit.curves.sizes(low, high, up, down, np.array(shape))

    typical = sizes(middle.values)
    typical = typical if label else np.full(2, typical.max())

    def steps(values: Array) -> Array:
        up, down = sizes(values) / typical
        return np.array((0.5 * (up + down), 0.5 * (up - down)))

    named: list[tuple[str, Callable[[Array], Array], str]] = [
        ("step_spread", lambda v: steps(v)[:1], "%"),
        ("asymmetry_spread", lambda v: steps(v)[1:], ""),
    ]
    if label:
        both = float(np.hypot(*middle.values[:2]))
        named.append(("range_spread", lambda v: v[:2] * np.sqrt(2) / both, "%"))
        named.append(("nonlinearity_spread", lambda v: _labels(fit, v), ""))
    else:
        named.append(("low_spread", lambda v: v[:1] / (0.5 * middle.span), "%"))
        named.append(("high_spread", lambda v: v[1:2] / (0.5 * middle.span), "%"))
        if fit.curves.own:
            named.append(("slope_spread", lambda v: v[4:], "%"))
    return [_between(key, quantity, unit, middle) for key, quantity, unit in named]


def _labels(fit: LawFit, values: Array) -> Array:
    keys = _keys(fit, values)
    return np.array((keys["nonlinearity_up"], keys["nonlinearity_down"]))


def _between(key: str, quantity: Callable[[Array], Array], unit: str, middle: Nominal) -> Parameter:
    """Return the spread of a quantity, of the mean variance where it has several entries."""
    values = np.array([quantity(v) for v in middle.devices])
    errors = []
    for v, covariance in zip(middle.devices, middle.errors, strict=True):
        slopes = _slopes(quantity, v, _nudges(v))
        errors.append(np.sqrt(np.einsum("ik,ij,jk->k", slopes, covariance, slopes)))
    found = [population(y, e) for y, e in zip(values.T, np.array(errors).T, strict=True)]
    spread, least, most = (
        float(np.sqrt(np.mean([getattr(one, name) ** 2 for one in found])))
        for name in ("spread", "least", "most")
    )
    return Parameter(key=key, value=spread if least > 0 else 0.0, low=least, high=most, unit=unit)


def _slopes(quantity: Callable[[Array], Array], values: Array, nudges: Array) -> Array:
    """Return derivatives by central differences: (values, quantities)."""
    return np.array(
        [
            (quantity(values + nudge) - quantity(values - nudge)) / (2 * nudge.sum())
            for nudge in np.diag(nudges)
        ]
    )


def _nudges(values: Array) -> Array:
    nudges = np.full(values.size, 1e-5)
    nudges[:2] *= values[1] - values[0]
    nudges[2:4] *= values[2:4]
    return nudges


def _distributions(fit: LawFit, middle: Nominal) -> list[Parameter]:
    """Return the quantiles of changes at each knot: the mean step, and residuals about it."""
    assert fit.noise.profile is not None
    low, high, up, down, *shape = middle.values
    steps = fit.curves.relative(np.array(shape)) * np.array((up, down))
    deviations = fit.noise.profile * fit.ranges.unit
    following = fit.following
    traces, state = following.traces, fit.state
    residual = following.follow(state, fit.noise)
    limits = state.own[traces.device]
    place = (fit.before - limits[:, 0]) / (limits[:, 1] - limits[:, 0])
    levels = np.linspace(0, 1, _QUANTILES)
    knots = fit.curves.places
    changes = []
    for column, sign in enumerate((1, -1)):
        rows = following.seen & (traces.pulse == sign) & np.isfinite(place)
        at, size = np.clip(place[rows], 0, 1) * (knots - 1), np.clip(residual[rows], -FAR, FAR)
        table = []
        for k in range(knots):
            near = size[np.abs(at - k) <= 0.5]
            near = near if near.size >= 2 * _QUANTILES else size
            spread = np.quantile(near - near.mean(), levels)
            table.append(sign * steps[k, column] + deviations[k, column] * spread)
        changes.append(np.array(table))
    size = 0.5 * (up + down) / (high - low)
    places = low + (high - low) * fit.curves.grid
    return [
        Parameter(key=key, value=value, low=value, high=value, unit=unit)
        for key, value, unit in (
            ("step", size, "%"),
            ("conductance", places, "S"),
            ("changes_up", changes[0], "S"),
            ("changes_down", changes[1], "S"),
        )
    ]
