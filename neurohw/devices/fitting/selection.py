"""Which law predicts best: cross-validation over cycles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurohw.devices.fitting.law_fit import LawFit, fit_law
from neurohw.devices.fitting.ranges import Ranges
from neurohw.devices.fitting.traces import Traces

Array = NDArray[np.floating]

_FOLDS = 4
# Rows of the pieces that a device's only cycle is cut into.
_PIECE = 12


@dataclass(frozen=True, eq=False, kw_only=True)
class Score:
    """How well a law predicts traces that it was not fitted to.

    Parameters
    ----------
    law : str
    score : float
        Mean log-likelihood of a reading given those before it, by Huber's loss, conductances over
        the typical range of a device.
    behind, error : float
        By how much the best law is better in all readings together, and its standard error.
    """

    law: str
    score: float
    behind: float
    error: float

    @property
    def as_good(self) -> bool:
        """Whether it is within two standard errors of the best."""
        return self.behind <= max(2 * self.error, 0.5)


def compare(
    traces: Traces,
    ranges: Ranges,
    fits: Sequence[LawFit],
    told: Callable[[float], None] = lambda share: None,
) -> list[Score]:
    """Score laws by traces left out: each device's mean curves are fitted to its other cycles.

    The noise, and how alike devices are, is taken from all traces. A device with one cycle has it
    cut into pieces.
    """
    traces = _in_cycles(traces)
    folds = min(_FOLDS, int(traces.cycle.max()) + 1)
    fold = traces.cycle % folds
    scores = np.zeros((len(fits), traces.reading.size))
    for k, fit in enumerate(fits):
        prior = fit.shrunk
        for held in range(folds):
            rows = fold == held
            trained = fit_law(traces.where(~rows), fit.curves, ranges, start=fit, prior=prior)
            scores[k, rows] = trained.on(traces.where(rows))
            told((k * folds + held + 1) / (len(fits) * folds))
    # Readings of a trace depend on each other.
    edges = np.flatnonzero(np.diff(traces.trace, prepend=-1))
    sums = np.add.reduceat(scores, edges, axis=1)
    best = int(sums.sum(axis=1).argmax())
    behind = sums[best] - sums
    errors = behind.std(axis=1) * np.sqrt(behind.shape[1])
    readings = int(traces.seen.sum())
    return [
        Score(
            law=fit.curves.law,
            score=float(sums[k].sum()) / readings,
            behind=float(behind[k].sum()),
            error=float(errors[k]),
        )
        for k, fit in enumerate(fits)
    ]


def chosen(scores: Sequence[Score]) -> Score:
    """Return the first, and so the simplest, of the laws that are as good as the best."""
    return next(score for score in scores if score.as_good)


def _in_cycles(traces: Traces) -> Traces:
    """Return traces of which some device has two cycles or more, cut if need be."""
    if traces.cycle.max() > 0:
        return traces
    trace = traces.trace.copy()
    cycle, pulse = traces.cycle.copy(), traces.pulse.copy()
    next_trace = 0
    for rows in np.split(np.arange(pulse.size), np.flatnonzero(np.diff(traces.trace)) + 1):
        starts = [rows[0]]
        for row in rows[1:-1]:
            if row - starts[-1] >= _PIECE and np.isfinite(traces.reading[row]):
                starts.append(row)
        for piece, first in enumerate(starts):
            trace[first : rows[-1] + 1] = next_trace
            cycle[first : rows[-1] + 1] = piece
            pulse[first] = 0
            next_trace += 1
    return replace(traces, trace=trace, cycle=cycle, pulse=pulse)
