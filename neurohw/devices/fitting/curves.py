"""How large a step is along the range, law by law, for many devices at once.

Every law is described in the same terms, so that one filter fits them all: a device's limits, its
steps up and down at the centre of its range [S], and a shape, which says how steps change along
the range. A shape is common to all devices, or each has its own, where the law has spread for it.
Limits, steps and shape translate into the law's own keys and back.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.devices.law import LEAST_CURVATURE
from neurohw.devices.laws.label import label

Array = NDArray[np.floating]

CENTRE = 0.5
_KNOTS = 9
# Of label curves: beyond it they are no longer told from soft bounds.
_STEEPEST = 1 - 1e-9


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The mean steps of one law.

    Parameters
    ----------
    law : str
    start, least, most, width : tuples of float
        Of the shape: where a fit starts, its bounds, and how far it is expected to go.
    own : bool
        Whether each device has its own shape.
    places : int
        At which steps are tabulated; 2 where they lie on a line.
    asymptotic : bool
        Whether steps vanish at the limits, so that the curve says where they are; else only cells
        that are driven against them do.
    varied : bool
        Whether the size of steps changes along the range, so that noise relative to it differs
        from noise that is always the same.
    """

    law: str
    start: tuple[float, ...] = ()
    least: tuple[float, ...] = ()
    most: tuple[float, ...] = ()
    width: tuple[float, ...] = ()
    own: bool = False
    places: int = 2
    asymptotic: bool = False
    varied: bool = True

    @cached_property
    def grid(self) -> Array:
        """Places from 0, the lower limit, to 1, the upper one."""
        return np.linspace(0.0, 1.0, self.places)

    def relative(self, shape: Array) -> Array:
        """Return steps up and down over those at the centre.

        Parameters
        ----------
        shape : (..., parameters) array

        Returns
        -------
        (..., places, 2) array
        """
        ones = np.ones((*shape.shape[:-1], self.places))
        return np.stack((ones, ones), axis=-1)

    def about(self, values: Array, centre: float) -> Array:
        """Return a device's limits, steps and shape, these two about a centre that all share.

        Only laws whose cells have their nominal step there, whatever their limits, tell it from
        the centre of a cell's own range.
        """
        return values

    def keys(self, low: float, high: float, up: float, down: float, shape: Array) -> dict[str, Any]:
        """Return the law's keys of a device: limits and steps at the centre [S]."""
        first, second = self.sizes(low, high, up, down, shape)
        return {
            "g_min": low,
            "g_max": high,
            "step": max(first, second) / (high - low),
            "up_down": 1 - second / first if first >= second else first / second - 1,
        }

    def sizes(self, low: float, high: float, up: float, down: float, shape: Array) -> Array:
        """Return the sizes up and down that the law has spread of, in whatever unit."""
        return np.array((up, down))


class SoftBoundsCurves(Curves):
    """Steps in proportion to the distance from the limit ahead."""

    def relative(self, shape: Array) -> Array:
        """Return steps up and down over those at the centre."""
        x = np.broadcast_to(self.grid, (*shape.shape[:-1], self.places))
        return np.stack((2 * (1 - x), 2 * x), axis=-1)

    def about(self, values: Array, centre: float) -> Array:
        """Return a device with its steps at the centre of all."""
        low, high, up, down = values
        place = (centre - low) / (high - low)
        return np.array((low, high, 2 * up * (1 - place), 2 * down * place))


class LinearCurves(Curves):
    """Steps that fall along a line towards the limit."""

    def relative(self, shape: Array) -> Array:
        """Return steps up and down over those at the centre."""
        up, down = shape[..., :1], shape[..., 1:]
        away = (self.grid - CENTRE) / CENTRE
        return np.stack((1 - up * away, 1 + down * away), axis=-1)

    def about(self, values: Array, centre: float) -> Array:
        """Return a device with its steps at the centre of all, and what they lose from there."""
        low, high, up, down, first, second = values
        away = (2 * centre - low - high) / (high - low)
        here = up * (1 - first * away), down * (1 + second * away)
        ends = up * (1 - first), down * (1 - second)
        return np.array((low, high, *here, 1 - ends[0] / here[0], 1 - ends[1] / here[1]))

    def keys(self, low: float, high: float, up: float, down: float, shape: Array) -> dict[str, Any]:
        """Return the law's keys of a device."""
        shape = np.clip(shape, 0.0, 1.0)
        slopes = {"slope_up": shape[0], "slope_down": shape[1]}
        return super().keys(low, high, up, down, shape) | slopes


class LabelCurves(Curves):
    """NeuroSim's label curves, whose steps lie on a line too, one that may also rise.

    The shape is what a step loses from the centre to the upper limit, up and down: tanh(1/2A).
    """

    def relative(self, shape: Array) -> Array:
        """Return steps up and down over those at the centre."""
        away = (self.grid - CENTRE) / CENTRE
        return np.asarray(1 - shape[..., None, :] * away[:, None])

    def keys(self, low: float, high: float, up: float, down: float, shape: Array) -> dict[str, Any]:
        """Return the law's keys of a device."""
        shares = self.sizes(low, high, up, down, shape)
        labels = label(2 * np.arctanh(np.clip(shape, -_STEEPEST, _STEEPEST)))
        return {
            "g_min": low,
            "g_max": high,
            "pulses_up": 1 / shares[0],
            "pulses_down": 1 / shares[1],
            "nonlinearity_up": labels[0],
            "nonlinearity_down": labels[1],
        }

    def sizes(self, low: float, high: float, up: float, down: float, shape: Array) -> Array:
        """Return the shares of a range of pulses that one pulse is."""
        shares = np.array((up, down)) / (high - low)
        # A step at the centre, of n pulses along the curve, solved for 1/n.
        bend = 2 * np.arctanh(np.clip(shape, -_STEEPEST, _STEEPEST))
        sign = np.array((1.0, -1.0))
        curved = np.abs(bend) > LEAST_CURVATURE
        bend = np.where(curved, bend, 1.0)
        along = np.maximum(-sign * 2 * shares * shape, -0.999)
        return np.asarray(np.where(curved, -sign * np.log1p(along) / bend, shares))


class PowerCurves(Curves):
    """Steps that fall with a power of the distance from the limit ahead."""

    def relative(self, shape: Array) -> Array:
        """Return steps up and down over those at the centre."""
        up, down = shape[..., :1], shape[..., 1:]
        x = self.grid
        return np.asarray(np.stack((((1 - x) / CENTRE) ** up, (x / CENTRE) ** down), axis=-1))

    def keys(self, low: float, high: float, up: float, down: float, shape: Array) -> dict[str, Any]:
        """Return the law's keys of a device."""
        exponents = {"exponent_up": shape[0], "exponent_down": shape[1]}
        return super().keys(low, high, up, down, shape) | exponents

    def sizes(self, low: float, high: float, up: float, down: float, shape: Array) -> Array:
        """Return steps at the limits behind [S]."""
        return np.asarray(np.array((up, down)) / CENTRE**shape)


class ExponentialStepCurves(Curves):
    """Steps that change exponentially along the range."""

    def relative(self, shape: Array) -> Array:
        """Return steps up and down over those at the centre."""
        z = self.grid - CENTRE
        amplitudes, exponents = shape[..., :2, None], shape[..., 2:, None]
        signs = np.array(((1.0,), (-1.0,)))
        steps = (1 - amplitudes * np.exp(signs * exponents * z)) / (1 - amplitudes)
        return np.asarray(np.swapaxes(np.maximum(steps, 0.0), -1, -2))

    def keys(self, low: float, high: float, up: float, down: float, shape: Array) -> dict[str, Any]:
        """Return the law's keys of a device."""
        names = ("amplitude_up", "amplitude_down", "exponent_up", "exponent_down")
        return super().keys(low, high, up, down, shape) | dict(zip(names, shape, strict=True))

    def sizes(self, low: float, high: float, up: float, down: float, shape: Array) -> Array:
        """Return steps less their exponential part [S]."""
        return np.array((up, down)) / (1 - shape[:2])


class PiecewiseCurves(Curves):
    """Steps joined by straight lines between knots; that at the centre has the size 1.

    The shape is, up then down, the slope at the centre and how it changes at each knot inside, so
    that what is expected of a shape is that it bends little.
    """

    def relative(self, shape: Array) -> Array:
        """Return steps up and down over those at the centre."""
        both = shape.reshape(*shape.shape[:-1], 2, _KNOTS - 1)
        steps = np.maximum(1 + both @ _hinges(_KNOTS), 0.0)
        return np.asarray(np.swapaxes(steps, -1, -2))

    def keys(self, low: float, high: float, up: float, down: float, shape: Array) -> dict[str, Any]:
        """Return the law's keys of a device."""
        steps = self.relative(shape)
        given = super().keys(low, high, up, down, shape)
        return given | {"steps_up": steps[:, 0], "steps_down": steps[:, 1]}


@lru_cache(maxsize=1)
def _hinges(knots: int) -> Array:
    """Return what a slope at the centre and its changes at knots add: (changes, knots)."""
    at = np.arange(knots) - knots // 2
    above = [np.maximum(at - k, 0) for k in range(knots // 2)]
    below = [np.maximum(-k - at, 0) for k in range(1, knots // 2)]
    return np.array([at, *above, *below], dtype=np.float64)


# A slope a knot, and changes of it.
_KNOT_SHAPE: dict[str, Any] = {
    "start": (0.0,) * 2 * (_KNOTS - 1),
    "least": (-9.0,) * 2 * (_KNOTS - 1),
    "most": (9.0,) * 2 * (_KNOTS - 1),
    "width": (1.0, *(0.2,) * (_KNOTS - 2)) * 2,
}

# The simplest first; of laws that predict equally well the first is taken.
CURVES: dict[str, Curves] = {
    curves.law: curves
    for curves in (
        Curves(law="constant-step", varied=False),
        SoftBoundsCurves(law="soft-bounds", asymptotic=True),
        LabelCurves(
            law="exponential",
            start=(0.5, -0.5),
            least=(-_STEEPEST,) * 2,
            most=(_STEEPEST,) * 2,
            width=(2.0, 2.0),
            own=True,
        ),
        LinearCurves(
            law="linear",
            start=(0.5, 0.5),
            least=(0.0, 0.0),
            most=(1.0, 1.0),
            width=(2.0, 2.0),
            own=True,
        ),
        PowerCurves(
            law="power",
            start=(1.0, 1.0),
            least=(0.0, 0.0),
            most=(9.0, 9.0),
            width=(5.0, 5.0),
            places=65,
            asymptotic=True,
        ),
        ExponentialStepCurves(
            law="exponential-step",
            start=(0.5, 0.5, 2.0, 2.0),
            least=(-20.0, -20.0, -15.0, -15.0),
            most=(0.95, 0.95, 15.0, 15.0),
            width=(3.0, 3.0, 8.0, 8.0),
            places=65,
        ),
        PiecewiseCurves(law="piecewise", places=_KNOTS, **_KNOT_SHAPE),
        PiecewiseCurves(law="table", places=_KNOTS, **_KNOT_SHAPE),
    )
}
