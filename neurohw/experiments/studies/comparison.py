"""Learning rules side by side: equal data, layers, mini-batches and epochs, on several chips.

The learning rates of each rule are searched for on each chip, with training images held out (see
`neurohw.experiments.studies.rate_search`). With the best all training images and several seeds are
trained; the test set is seen only then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from neurohw.errors import InvalidValueError, NeurohwError
from neurohw.experiments import estimate
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.feedforward_machine import FeedforwardMachine
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.experiments.studies.jobs import Job, Outcome
from neurohw.experiments.studies.plan import Plan, compared, experiment_of
from neurohw.experiments.studies.rate_search import Candidate, search
from neurohw.experiments.studies.study import with_seed
from neurohw.experiments.studies.sweep import Workshop
from neurohw.learning.rules import Hardware
from neurohw.mappings import chip_specification

_ESTIMATED = 32


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A rule on a chip.

    Parameters
    ----------
    rule, chip : str
        The rule's short name; the chip.
    hardware : Hardware
    message : str
        Why the rule was refused, or failed; empty if it did not.
    network, activation : str
        Kind of network, and activations of hidden units and outputs.
    rates : tuple of float
        Learning rate of each layer that the search chose.
    searched : mapping of str to float
        Error on held-out images by factor on the recipe's rates; 1 where training failed.
    errors : tuple of tuples of float
        Test error after each epoch, a row a seed, as fractions.
    angles : tuple of tuples of float
        Mean angle of the errors of each hidden layer to those of backpropagation [deg], before
        training and after each epoch, mean of the seeds; none of backpropagation itself, and of
        rules without errors.
    energy, time : float
        That the chip takes for a training sample [J], [s]; NaN where there is no estimate.
    short : int
        Samples whose pulses stand for those of all, 0 where there are none.
    not_counted : tuple of str
        What energy and time leave out.
    estimate_message : str
        Why there is none.
    images : int
        Training images of an epoch.
    """

    rule: str
    chip: str
    hardware: Hardware
    message: str = ""
    network: str = ""
    activation: str = ""
    rates: tuple[float, ...] = ()
    searched: Mapping[str, float] = {}
    errors: tuple[tuple[float, ...], ...] = ()
    angles: tuple[tuple[float, ...], ...] = ()
    energy: float = float("nan")
    time: float = float("nan")
    short: int = 0
    not_counted: tuple[str, ...] = ()
    estimate_message: str = ""
    images: int = 0

    @property
    def mean(self) -> float:
        """Mean test error of the seeds after the last epoch; NaN where there is none."""
        return float(np.mean([row[-1] for row in self.errors])) if self.errors else float("nan")

    @property
    def deviation(self) -> float:
        """Standard deviation of the seeds' errors; NaN of fewer than two."""
        last = [row[-1] for row in self.errors]
        return float(np.std(last, ddof=1)) if len(last) > 1 else float("nan")

    def samples_to(self, target: float) -> float:
        """Return after how many samples the mean error is at most target; NaN if it never is."""
        if not self.errors:
            return float("nan")
        reached = np.flatnonzero(np.mean(self.errors, axis=0) <= target)
        return float((reached[0] + 1) * self.images) if reached.size else float("nan")

    @property
    def trained(self) -> int:
        """Samples of one training run."""
        return self.images * (len(self.errors[0]) if self.errors else 0)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A plan with an entry for each rule on each chip, chip after chip."""

    plan: Plan
    entries: Sequence[Entry]

    def of(self, chip: str) -> list[Entry]:
        """Return the entries of a chip."""
        return [entry for entry in self.entries if entry.chip == chip]


def compare(
    plan: Plan,
    *,
    folder: Path | None = None,
    workers: int = 1,
    progress: Callable[..., None] | None = None,
    counted: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run what is missing of a comparison, and return it.

    Parameters
    ----------
    plan : Plan
    folder : Path, optional
        Of the results of single runs, where a later call finds them; without, nothing is kept.
    workers, progress
        See `neurohw.experiments.studies.sweep.Workshop`.
    counted : callable, optional
        Called after the runs, with how many entries have their costs and angles, and of how many.

    Raises
    ------
    InvalidValueError
        A rule that there is not, or one without a recipe; or no chip can carry any of them.
    ConfigurationError
        A chip that there is not.
    StudyError
        A result cannot be read or written.
    """
    found = compared(plan.rules)
    for chip in plan.chips:
        chip_specification.load(chip)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    shop = Workshop(folder, workers, progress=progress)
    candidates = [Candidate(rule, chip) for chip in plan.chips for rule in found]
    for candidate in candidates:
        try:
            experiment = experiment_of(plan, candidate.rule, candidate.chip)
            build(experiment, dataset_of(experiment))
        except NeurohwError as error:
            candidate.message = str(error)
    if all(candidate.message for candidate in candidates):
        raise InvalidValueError(candidates[0].message)
    search(plan, candidates, shop)
    return Comparison(plan=plan, entries=_finals(plan, candidates, shop, counted))


def _finals(
    plan: Plan,
    candidates: Sequence[Candidate],
    shop: Workshop,
    counted: Callable[[int, int], None] | None,
) -> list[Entry]:
    jobs: dict[tuple[int, int], Job] = {}
    for number, candidate in enumerate(candidates):
        if candidate.searched:
            experiment = experiment_of(plan, candidate.rule, candidate.chip, factor=candidate.best)
            jobs |= {(number, seed): Job.whole(with_seed(experiment, seed)) for seed in plan.seeds}
    outcomes = shop.run(list(jobs.values()))
    entries = []
    for number, candidate in enumerate(candidates):
        if counted is not None:
            counted(number, len(candidates))
        seeds = plan.seeds if candidate.searched else ()
        found = [jobs[number, seed] for seed in seeds]
        entries.append(_entry(candidate, [(job, outcomes[job.name]) for job in found]))
    return entries


def _entry(candidate: Candidate, runs: Sequence[tuple[Job, Outcome]]) -> Entry:
    known: dict[str, Any] = {
        "rule": candidate.rule.short,
        "chip": candidate.chip,
        "hardware": candidate.rule.hardware,
    }
    failed = [outcome.message for _, outcome in runs if outcome.status != "done"]
    if candidate.message or failed:
        return Entry(**known, message=candidate.message or failed[0])
    experiment = runs[0][0].experiment
    dataset = dataset_of(experiment)
    steps = experiment.steps(len(dataset.train_images))
    network = experiment.network
    return Entry(
        **known,
        network=network.kind,
        activation=", ".join(str(v) for v in (network.activation, network.output) if v),
        rates=experiment.learning_rates,
        searched={f"{f:.3g}": e for f, e in sorted(candidate.searched.items())},
        errors=tuple(outcome.test_errors for _, outcome in runs),
        angles=_angles([job.experiment for job, _ in runs], [o for _, o in runs]),
        images=steps * experiment.training.batch,
        **_costs(experiment),
    )


def _angles(
    experiments: Sequence[Experiment], outcomes: Sequence[Outcome]
) -> tuple[tuple[float, ...], ...]:
    names = sorted(key for key in outcomes[0].measures if key.startswith("angle_"))
    if not names:
        return ()
    first = []
    for experiment in experiments:
        dataset = dataset_of(experiment)
        with computing():
            machine = build(experiment, dataset)
            assert isinstance(machine, FeedforwardMachine)  # no others measure angles
            machine.prepare(0, dataset)
            first.append(machine.angles(dataset))
    later = [np.array([o.measures[name] for o in outcomes], np.float64) for name in names]
    return tuple(
        (float(np.mean([row[k] for row in first])), *np.mean(later[k], axis=0).tolist())
        for k in range(len(names))
    )


def _costs(experiment: Experiment) -> dict[str, Any]:
    """Return what an entry has of the costs of a training sample, or why there is no estimate."""
    try:
        found = estimate.of(experiment, None, samples=_ESTIMATED)
    except NeurohwError as error:
        return {"estimate_message": str(error)}
    return {
        "energy": sum(found.energy["training sample"].values()),
        "time": sum(found.latency["training sample"].values()),
        "short": (found.short or 0) if found.pulses else 0,
        "not_counted": tuple(found.not_counted),
    }
