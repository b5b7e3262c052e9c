"""Robust least squares where each device has parameters of its own and all share some.

Levenberg–Marquardt on Huber's loss by reweighting. The normal equations are block by block, one a
device, bordered by the shared ones, so a step costs the same for any number of devices.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurohw.devices.fitting.following import CUT, State, loss

Array = NDArray[np.floating]
Residuals = Callable[[State], Array]

_NUDGE = 1e-5


@dataclass(frozen=True, eq=False)
class Prior:
    """Where parameters lie unless the traces say otherwise, how far from there, and their bounds.

    Each is a `State`; `width` is a standard deviation.
    """

    centre: State
    width: State
    least: State
    most: State


@dataclass(frozen=True, eq=False)
class Normal:
    """Bordered normal equations: blocks (devices, q, q), borders (devices, q, s), corner (s, s)."""

    blocks: Array
    borders: Array
    corner: Array
    own: Array
    shape: Array

    def solve(self, damping: float) -> State:
        """Return the step that is opposite to the gradient."""
        blocks = self.blocks + damping * _diagonals(self.blocks)
        corner = self.corner + damping * np.diag(np.diag(self.corner))
        right = np.concatenate((self.borders, self.own[:, :, None]), axis=2)
        solved = np.linalg.solve(blocks, right)
        through, own = solved[:, :, :-1], solved[:, :, -1]
        schur = corner - np.einsum("dqs,dqt->st", self.borders, through)
        shape = np.linalg.solve(schur, self.shape - np.einsum("dqs,dq->s", self.borders, own))
        return State(-(own - through @ shape), -shape)

    def covariance(self) -> "Covariance":
        """Return the covariance of the parameters where nothing is held at a bound."""
        inverse = np.linalg.inv(self.blocks)
        through = inverse @ self.borders
        shape = np.linalg.inv(self.corner - np.einsum("dqs,dqt->st", self.borders, through))
        return Covariance(own=inverse, follows=-through, shape=shape)


@dataclass(frozen=True, eq=False)
class Covariance:
    """Errors of a state.

    Parameters
    ----------
    own : (devices, q, q) array
        Of each device's parameters, the shared shape given.
    follows : (devices, q, s) array
        By how much these move with the shape.
    shape : (s, s) array
    """

    own: Array
    follows: Array
    shape: Array

    def common(self, weights: Array) -> Array:
        """Return what the shape's error does to a mean over devices, and to itself.

        weights (devices, q) add up to 1 over the devices; the result is (q + s, q + s).
        """
        mean = np.einsum("dq,dqs->qs", weights, self.follows)
        moves = np.concatenate((mean, np.eye(len(self.shape))), axis=0)
        return np.asarray(moves @ self.shape @ moves.T)


def minimise(
    residuals: Residuals, start: State, prior: Prior, devices: NDArray[np.int64], steps: int
) -> State:
    """Return the state of least loss, `steps` steps from `start` at most.

    devices is the device of each residual, rising.
    """
    state, damping = _held(start, prior), 1e-3
    residual = residuals(state)
    cost = _cost(residual, state, prior)
    for _ in range(steps):
        equations = normal(residuals, residual, state, prior, devices, bounded=True)
        while damping < 1e8:
            step = equations.solve(damping)
            trial = _held(State(state.own + step.own, state.shape + step.shape), prior)
            found = residuals(trial)
            less = cost - (trial_cost := _cost(found, trial, prior))
            if less > 0:
                break
            damping = max(4 * damping, 1e-6)
        else:
            return state
        state, residual, cost, damping = trial, found, trial_cost, damping / 5
        if less < 1e-3:
            return state
    return state


def normal(
    residuals: Residuals,
    residual: Array,
    state: State,
    prior: Prior,
    devices: NDArray[np.int64],
    *,
    bounded: bool,
) -> Normal:
    """Return the normal equations at a state.

    bounded: hold parameters at bounds that they would leave.
    """
    count, q = state.own.shape
    s = state.shape.size
    jacobian = np.empty((residual.size, q + s))
    for j in range(q + s):
        nudge = np.zeros(q + s)
        nudge[j] = _NUDGE
        moved = State(state.own + nudge[:q], state.shape + nudge[q:])
        jacobian[:, j] = (residuals(moved) - residual) / _NUDGE
    weight = CUT / np.maximum(np.abs(residual), CUT)
    edges = np.searchsorted(devices, np.arange(count + 1))
    blocks = np.empty((count, q + s, q + s))
    slopes = np.empty((count, q + s))
    for d in range(count):
        rows = slice(edges[d], edges[d + 1])
        weighted = jacobian[rows] * weight[rows, None]
        blocks[d] = weighted.T @ jacobian[rows]
        slopes[d] = weighted.T @ residual[rows]
    own, shape = _pull(state, prior)
    found = Normal(
        blocks=blocks[:, :q, :q] + np.eye(q) / prior.width.own[:, None, :] ** 2,
        borders=blocks[:, :q, q:].copy(),
        corner=blocks[:, q:, q:].sum(axis=0) + np.diag(1 / prior.width.shape**2),
        own=slopes[:, :q] + own / prior.width.own,
        shape=slopes[:, q:].sum(axis=0) + shape / prior.width.shape,
    )
    if bounded:
        _hold(found, state, prior)
    return found


def _hold(found: Normal, state: State, prior: Prior) -> None:
    """Take parameters at a bound that the gradient points through out of the equations."""
    held = ((state.own <= prior.least.own) & (found.own > 0)) | (
        (state.own >= prior.most.own) & (found.own < 0)
    )
    for d, j in zip(*np.nonzero(held), strict=True):
        found.blocks[d, j, :] = found.blocks[d, :, j] = 0.0
        found.blocks[d, j, j], found.borders[d, j, :], found.own[d, j] = 1.0, 0.0, 0.0
    kept = ((state.shape <= prior.least.shape) & (found.shape > 0)) | (
        (state.shape >= prior.most.shape) & (found.shape < 0)
    )
    for j in np.flatnonzero(kept):
        found.corner[j, :] = found.corner[:, j] = 0.0
        found.corner[j, j], found.borders[:, :, j], found.shape[j] = 1.0, 0.0, 0.0


def _held(state: State, prior: Prior) -> State:
    return State(
        np.clip(state.own, prior.least.own, prior.most.own),
        np.clip(state.shape, prior.least.shape, prior.most.shape),
    )


def _pull(state: State, prior: Prior) -> tuple[Array, Array]:
    return (
        (state.own - prior.centre.own) / prior.width.own,
        (state.shape - prior.centre.shape) / prior.width.shape,
    )


def _cost(residual: Array, state: State, prior: Prior) -> float:
    own, shape = _pull(state, prior)
    return float(loss(residual).sum() + 0.5 * (own**2).sum() + 0.5 * (shape**2).sum())


def _diagonals(blocks: Array) -> Array:
    return blocks * np.eye(blocks.shape[-1])
