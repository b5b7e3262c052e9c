"""Learning rules side by side: equal data, layers, mini-batches and epochs, on several chips.

Each rule starts from its recipe, which gives activations, cost and what the rule has of its own.
Its learning rates are then searched for on each chip: the recipe's times 1/3, 1 and 3, and further
as long as the best is at an end, `MOST` at most, by the error on held-out training images after a
few epochs with one seed. With the best factor all training images and several seeds are trained;
the test set is seen only then.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from neurohw.errors import InvalidValueError, NeurohwError, StudyError
from neurohw.experiments import configuration, estimate
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.feedforward_machine import FeedforwardMachine
from neurohw.experiments.machine import build, computing, dataset_of
from neurohw.experiments.studies.jobs import Job, Outcome
from neurohw.experiments.studies.study import with_seed
from neurohw.experiments.studies.sweep import Workshop
from neurohw.learning import rules
from neurohw.learning.rules import Hardware, Rule
from neurohw.mappings import chip_specification

FACTORS = (1 / 3, 1.0, 3.0)
MOST = 6
_STEP = 3.0
# Share of the training images that is held out in the search.
_HELD_OUT = 6
_ESTIMATED = 32

# What makes networks alike, by their kind; a rule that has to have something else keeps it.
_ALIKE: dict[str, dict[str, str]] = {
    "feedforward": {
        "network.activation": "sigmoid",
        "network.output": "sigmoid",
        "network.cost": "squared",
    },
    "hopfield": {"network.activation": "sigmoid", "relaxation.overrelaxation": "1"},
}

Rates = tuple[float, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared.

    Parameters
    ----------
    rules : tuple of str
        Names, or short ones.
    chips : tuple of str
        Presets or files.
    dataset : str
    hidden : tuple of int
    epochs, batch : int
    seeds : tuple of int
    search_epochs : int
        Of each run of the search for learning rates; as many more as it takes where layers learn
        one after the other.
    target : float
        Test error to be reached, as a fraction.
    alike : bool
        Give all rules sigmoids and the squared error, where they can have them, rates that stay as
        they are and are the biases' too, and no weight decay that they can do without, in place of
        what their recipes have. Rules with power activations keep all of theirs.
    settings : tuple of str
        Changes ``key.path=value`` of every experiment, or ``rule:key.path=value`` of those of one.
    """

    rules: tuple[str, ...]
    chips: tuple[str, ...]
    dataset: str = "mnist"
    hidden: tuple[int, ...] = (256,)
    epochs: int = 5
    batch: int = 32
    seeds: tuple[int, ...] = (0, 1, 2)
    search_epochs: int = 1
    target: float = 0.03
    alike: bool = False
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.rules or not self.seeds:
            raise InvalidValueError("rules, seeds: must be at least one of each")
        if not 0 < self.target < 1:
            raise InvalidValueError(f"target = {self.target}: must lie between 0 and 1")


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
    rates: Rates = ()
    searched: Mapping[str, float] = {}
    errors: tuple[tuple[float, ...], ...] = ()
    angles: tuple[tuple[float, ...], ...] = ()
    energy: float = float("nan")
    time: float = float("nan")
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


@dataclass
class _Candidate:
    """A rule on a chip, on its way."""

    rule: Rule
    chip: str
    message: str = ""
    searched: dict[float, float] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The factor of least error; of equals the largest, which learns fastest."""
        return min(self.searched, key=lambda factor: (self.searched[factor], -factor))


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
    candidates = [_Candidate(rule, chip) for chip in plan.chips for rule in found]
    for candidate in candidates:
        try:
            experiment = experiment_of(plan, candidate.rule, candidate.chip)
            build(experiment, dataset_of(experiment))
        except NeurohwError as error:
            candidate.message = str(error)
    if all(candidate.message for candidate in candidates):
        raise InvalidValueError(candidates[0].message)
    _search(plan, candidates, shop)
    return Comparison(plan=plan, entries=_finals(plan, candidates, shop, counted))


def compared(names: Sequence[str]) -> list[Rule]:
    """Return the rules of names, or of short ones, each once.

    Raises
    ------
    InvalidValueError
        There is no such rule, or it has no recipe.
    """
    found = list({rule.name: rule for rule in map(rules.find, names)}.values())
    for rule in found:
        if not rule.recipe:
            raise InvalidValueError(f"{rule.short}: the rule {rule.name} has no recipe to compare")
    return found


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
    candidates = [_Candidate(rule, plan.chips[0]) for rule in compared(plan.rules)]
    for candidate in candidates:
        experiment = experiment_of(plan, candidate.rule, candidate.chip)
        build(experiment, dataset_of(experiment))
    _search(plan, candidates, shop, factors)
    for candidate in candidates:
        if candidate.searched[candidate.best] >= 1:
            raise StudyError(
                f"{candidate.rule.short}: fails with every learning rate that is tried"
            )
    return {candidate.rule.short: candidate.best for candidate in candidates}


def experiment_of(
    plan: Plan, rule: Rule, chip: str, *, factor: float = 1.0, search: bool = False
) -> Experiment:
    """Return the experiment of a rule on a chip, its recipe's learning rates times a factor.

    Raises
    ------
    ConfigurationError
        The chip cannot carry the rule, or a setting is wrong.
    """
    recipe = configuration.load(rule.recipe)
    layers = recipe.layers
    if recipe.network.kind != "boltzmann":  # whose one array has the only hidden layer at its end
        layers += len(plan.hidden) - len(recipe.network.hidden)
    # Layers that learn one after the other share two thirds of the epochs.
    least = -(-3 * len(plan.hidden) // 2) if rule.staged else 1
    alike = plan.alike and recipe.network.power is None
    if alike and "weight_decay" not in rule.needs:
        learning = msgspec.structs.replace(recipe.learning, weight_decay=None)
        recipe = msgspec.structs.replace(recipe, learning=learning)
    changes = [
        f"data.name={plan.dataset}",
        f"network.hidden={list(plan.hidden)}",
        f"training.batch={plan.batch}",
        f"training.epochs={max(plan.search_epochs, least) if search else plan.epochs}",
    ]
    for key in ("learning_rate", "bias_learning_rate"):
        given = getattr(recipe.learning, "learning_rate" if alike else key)
        changes.append(f"learning.{key}={list(_rates(given, layers, factor))}")
    if alike:
        wanted = {"learning.learning_rate_decay": "1"} | _ALIKE.get(recipe.network.kind, {})
        wanted |= {key: values[0] for key, values in rule.requires.items() if key in wanted}
        changes += [f"{key}={value}" for key, value in wanted.items()]
    changes += settings_of(plan.settings, rule)
    experiment = configuration.load(recipe if alike else rule.recipe, chip=chip, settings=changes)
    if not search:
        return experiment
    held_out = max(1, len(dataset_of(experiment).train_images) // _HELD_OUT)
    train = experiment.data.train
    if train is not None and held_out >= train:
        raise InvalidValueError(f"data.train = {train}: too few to hold some out")
    data = msgspec.structs.replace(experiment.data, validation=held_out)
    return msgspec.structs.replace(experiment, data=data)


def settings_of(settings: Sequence[str], rule: Rule) -> list[str]:
    """Return those of some changes that are for all rules, or for this one.

    Raises
    ------
    InvalidValueError
        A change is for a rule that there is not.
    """
    found = []
    for setting in settings:
        name, _, change = setting.partition(":")
        if not change or "=" in name:
            found.append(setting)
        elif rules.find(name) is rule:
            found.append(change)
    return found


def _rates(value: float | Rates, layers: int, factor: float) -> Rates:
    """Return rates of so many layers: the first one of a recipe's for all but the outputs."""
    first, last = (value[0], value[-1]) if isinstance(value, tuple) else (value, value)
    return (*(factor * first for _ in range(layers - 1)), factor * last)


def _search(
    plan: Plan,
    candidates: Sequence[_Candidate],
    shop: Workshop,
    factors: Sequence[float] = FACTORS,
) -> None:
    """Fill in what the search finds, all candidates side by side."""
    wanted = [(c, factor) for c in candidates if not c.message for factor in factors]
    while wanted:
        jobs = []
        for candidate, factor in wanted:
            rule, chip = candidate.rule, candidate.chip
            experiment = experiment_of(plan, rule, chip, factor=factor, search=True)
            jobs.append(_job(with_seed(experiment, plan.seeds[0])))
        outcomes = shop.run(jobs)
        for (candidate, factor), job in zip(wanted, jobs, strict=True):
            candidate.searched[factor] = _error(outcomes[job.name])
        tried = {id(c): c for c, _ in wanted}.values()
        wanted = [(c, factor) for c in tried for factor in _further(c)]


def _further(candidate: _Candidate) -> list[float]:
    """Return the factor to try next: beyond the end at which the best one is, if any."""
    tried = sorted(candidate.searched)
    if len(tried) >= MOST:
        return []
    best = candidate.best
    if candidate.searched[best] >= 1:
        return [tried[0] / _STEP]
    if best == tried[0]:
        return [best / _STEP]
    return [best * _STEP] if best == tried[-1] else []


def _finals(
    plan: Plan,
    candidates: Sequence[_Candidate],
    shop: Workshop,
    counted: Callable[[int, int], None] | None,
) -> list[Entry]:
    jobs: dict[tuple[int, int], Job] = {}
    for number, candidate in enumerate(candidates):
        if candidate.searched:
            experiment = experiment_of(plan, candidate.rule, candidate.chip, factor=candidate.best)
            jobs |= {(number, seed): _job(with_seed(experiment, seed)) for seed in plan.seeds}
    outcomes = shop.run(list(jobs.values()))
    entries = []
    for number, candidate in enumerate(candidates):
        if counted is not None:
            counted(number, len(candidates))
        seeds = plan.seeds if candidate.searched else ()
        found = [jobs[number, seed] for seed in seeds]
        entries.append(_entry(candidate, [(job, outcomes[job.name]) for job in found]))
    return entries


def _entry(candidate: _Candidate, runs: Sequence[tuple[Job, Outcome]]) -> Entry:
    known: dict[str, Any] = {
        "rule": candidate.rule.short,
        "chip": candidate.chip,
        "hardware": candidate.rule.hardware,
    }
    failed = [outcome.message for _, outcome in runs if outcome.status != "done"]
    if candidate.message or failed:
        return Entry(**known, message=candidate.message or failed[0])
    experiment = runs[0][0].experiment
    energy, time, why = _costs(experiment)
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
        energy=energy,
        time=time,
        estimate_message=why,
        images=steps * experiment.training.batch,
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


def _costs(experiment: Experiment) -> tuple[float, float, str]:
    """Return energy [J] and time [s] of a training sample, or why there is no estimate."""
    try:
        found = estimate.of(experiment, None, samples=_ESTIMATED)
    except NeurohwError as error:
        return float("nan"), float("nan"), str(error)
    energy, time = found.energy["training sample"], found.latency["training sample"]
    return sum(energy.values()), sum(time.values()), ""


def _job(experiment: Experiment) -> Job:
    return Job(experiment, experiment.training.epochs)


def _error(outcome: Outcome) -> float:
    """Return the last error, 1 where training failed or ended in no number."""
    error = outcome.test_error
    return error if outcome.status == "done" and np.isfinite(error) else 1.0
