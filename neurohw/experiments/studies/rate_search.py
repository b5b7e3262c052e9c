"""The learning rates of each rule on each chip: the recipe's, times the best of some factors.

Tried are 1/3, 1 and 3, and further as long as the best is at an end, `MOST` at most, by the error
on held-out training images after a few epochs with one seed; downwards where none learns anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from neurohw.errors import StudyError
from neurohw.experiments.machine import build, dataset_of
from neurohw.experiments.studies.jobs import Job, Outcome
from neurohw.experiments.studies.plan import Plan, compared, experiment_of
from neurohw.experiments.studies.study import with_seed
from neurohw.experiments.studies.sweep import Workshop
from neurohw.learning.rules import Rule

FACTORS = (1 / 3, 1.0, 3.0)
MOST = 6
_STEP = 3.0
# An error beyond this share of that of guessing is of a network that has learnt nothing.
_NOTHING = 0.95


@dataclass
class Candidate:
    """A rule on a chip, on its way."""

    rule: Rule
    chip: str
    message: str = ""
    searched: dict[float, float] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The factor of least error; of equals the largest, which learns fastest."""
        return min(self.searched, key=lambda factor: (self.searched[factor], -factor))


def best_factors(plan: Plan, shop: Workshop, factors: Sequence[float]) -> dict[str, float]:
    """Return by short names which of some factors on their recipes' rates are best for rules.

    On the first chip of the plan.

    Raises
    ------
    ConfigurationError, InvalidValueError
        The chip or the network of the plan cannot carry a rule.
    StudyError
        A rule fails with all of them.
    """
    candidates = [Candidate(rule, plan.chips[0]) for rule in compared(plan.rules)]
    for candidate in candidates:
        experiment = experiment_of(plan, candidate.rule, candidate.chip)
        build(experiment, dataset_of(experiment))
    search(plan, candidates, shop, factors)
    for candidate in candidates:
        if candidate.searched[candidate.best] >= 1:
            raise StudyError(
                f"{candidate.rule.short}: fails with every learning rate that is tried"
            )
    return {candidate.rule.short: candidate.best for candidate in candidates}


def search(
    plan: Plan,
    candidates: Sequence[Candidate],
    shop: Workshop,
    factors: Sequence[float] = FACTORS,
) -> None:
    """Fill in what the search finds, all candidates side by side."""
    wanted = [(c, factor) for c in candidates if not c.message for factor in factors]
    labels = dataset_of(experiment_of(plan, wanted[0][0].rule, wanted[0][0].chip)).train_labels
    nothing = _NOTHING * (1 - 1 / len(np.unique(labels)))
    while wanted:
        jobs = []
        for candidate, factor in wanted:
            rule, chip = candidate.rule, candidate.chip
            experiment = experiment_of(plan, rule, chip, factor=factor, search=True)
            jobs.append(Job.whole(with_seed(experiment, plan.seeds[0])))
        outcomes = shop.run(jobs)
        for (candidate, factor), job in zip(wanted, jobs, strict=True):
            candidate.searched[factor] = _error(outcomes[job.name])
        tried = {id(c): c for c, _ in wanted}.values()
        wanted = [(c, factor) for c in tried for factor in _further(c, nothing)]


def _further(candidate: Candidate, nothing: float) -> list[float]:
    """Return the factor to try next: beyond the end at which the best one is, if any.

    nothing, the error from which on a network has learnt nothing.
    """
    tried = sorted(candidate.searched)
    if len(tried) >= MOST:
        return []
    best = candidate.best
    if best == tried[0] or candidate.searched[best] >= nothing:
        return [tried[0] / _STEP]
    return [best * _STEP] if best == tried[-1] else []


def _error(outcome: Outcome) -> float:
    """Return the last error, 1 where training failed or ended in no number."""
    error = outcome.test_error
    return error if outcome.status == "done" and np.isfinite(error) else 1.0
