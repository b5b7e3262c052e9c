"""Many small networks trained by several rules, and watched on their way.

Each network of a number is trained once by every rule, with the same hidden layers, chip, size of
mini-batches and seed, drawn or dealt out by its number. Learning rates would give rules away, so
each is drawn, from what a search on held-out images found best for the rule down to a part of it,
evenly in its logarithm. So would activations and schedules: all networks have sigmoids, the squared
error and rates that stay as they are. What rules keep of their recipes is the ratio of the rates of
layers, and what they cannot do without; and some need networks that relax.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from neurohw.errors import InvalidValueError, StudyError
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.machine import build, dataset_of
from neurohw.experiments.recording import TIMES, log_times
from neurohw.experiments.studies import jobs, rate_search
from neurohw.experiments.studies import plan as plans
from neurohw.experiments.studies.jobs import Job, Outcome
from neurohw.experiments.studies.study import with_seed
from neurohw.experiments.studies.sweep import SCHEMA_VERSION, Told, Workshop, require_schema

FORMAT = "neurohw observation"

RULES = (
    *("bp", "fa", "ss", "kp", "wm", "burst", "two-site", "segregated", "pc"),
    *("ep", "chl"),
)
CHIPS = ("ideal", "ecram", "epiram", "gst-pcm")
HIDDEN = ((32,), (64,), (100,), (64, 32))
# Sweeps from the image's last equilibrium on: no bound on what they leave, but one on the time.
SETTINGS = tuple(
    f"{rule}:relaxation.{change}"
    for rule in ("ep", "chl")
    for change in ("tolerance=0", "free_sweeps=10", "nudged_sweeps=6", "start=stored")
)
# On the recipes' rates, which are for other activations.
FACTORS = tuple(2.0**k for k in range(-3, 8))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is trained.

    Parameters
    ----------
    rules, chips : tuple of str
    dataset : str
    hidden : tuple of tuples of int
        Hidden layers; networks get the chips and these in turn.
    networks : int
        Of each rule.
    epochs : int
    batches : tuple of int
        Sizes of mini-batches to draw from.
    spread : float
        Learning rates are drawn between the rule's over this and the rule's.
    times : int
        At which networks are recorded.
    seed : int
        Of all draws; the networks have this seed and those after it.
    settings : tuple of str
        See `studies.plan.Plan`.
    """

    rules: tuple[str, ...] = RULES
    chips: tuple[str, ...] = CHIPS
    dataset: str = "digits"
    hidden: tuple[tuple[int, ...], ...] = HIDDEN
    networks: int = 96
    epochs: int = 10
    batches: tuple[int, ...] = (10, 20)
    spread: float = 5.0
    times: int = TIMES
    seed: int = 0
    settings: tuple[str, ...] = SETTINGS

    def __post_init__(self) -> None:
        if len(set(self.rules)) < 2:
            raise InvalidValueError("rules: must be two or more, to be told apart")
        for key in ("chips", "hidden", "batches"):
            if not getattr(self, key):
                raise InvalidValueError(f"{key}: must be one or more")
        if self.networks < 4:
            raise InvalidValueError(f"networks = {self.networks}: must be 4 or more of each rule")
        if self.spread < 1:
            raise InvalidValueError(f"spread = {self.spread:g}: must be 1 or more")


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """A number's draw: what its networks of all rules share.

    factor is that on the rule's learning rates.
    """

    number: int
    hidden: tuple[int, ...]
    chip: str
    batch: int
    factor: float


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What the folder of an observation says of itself.

    Parameters
    ----------
    plan : Plan
    factors : dict of float
        That the search found, by rule.
    jobs : dict of lists of str
        Names of the jobs of each rule, by the number of the network: chips and recipes may be
        others by the time that the results are read.
    """

    format: str = FORMAT
    schema_version: int = SCHEMA_VERSION
    plan: Plan
    factors: dict[str, float] = {}
    jobs: dict[str, list[str]] = {}


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """A network that was trained, the kind it is of, and where its recording lies."""

    rule: str
    kind: str
    network: Network
    outcome: Outcome
    recording: Path


def networks(plan: Plan) -> list[Network]:
    """Return the draws of a plan."""
    found = []
    for number in range(plan.networks):
        rng = np.random.default_rng([plan.seed, number])
        factor = plan.spread ** rng.uniform(-1, 0)
        batch = int(rng.choice(plan.batches))
        row, column = divmod(number, len(plan.hidden))
        found.append(
            Network(
                number=number,
                hidden=plan.hidden[column],
                chip=plan.chips[row % len(plan.chips)],
                batch=batch,
                factor=factor,
            )
        )
    return found


def observe(
    plan: Plan,
    folder: Path,
    *,
    workers: int = 1,
    resume: bool = False,
    progress: Told | None = None,
) -> list[Observed]:
    """Train what is missing of a plan, and return its networks, rule after rule.

    Parameters
    ----------
    plan : Plan
    folder : Path
        Of results and recordings.
    workers, progress
        See `Workshop`.
    resume : bool
        Go on with what is in the folder, of this plan.

    Raises
    ------
    InvalidValueError
        A rule or chip that there is not, or one that does not go with the other.
    StudyError
        The folder holds something else, or cannot be written; or a rule fails with every rate.
    """
    draws = networks(plan)
    _check(plan, draws)
    shop = Workshop(folder / "jobs", workers, progress=progress)
    _prepare(folder, plan, resume)
    head = read_head(folder)
    factors = head.factors or _search(plan, shop)
    wanted = {
        rule: [_job(plan, rule, draw, factor) for draw in draws] for rule, factor in factors.items()
    }
    names = {rule: [job.name for job in made] for rule, made in wanted.items()}
    if head.jobs and head.jobs != names:
        raise StudyError(
            f"{folder}: is of chips or recipes that are others now; choose another --out"
        )
    if not head.jobs:
        _write(folder, msgspec.structs.replace(head, factors=factors, jobs=names))
    shop.run([job for made in wanted.values() for job in made])
    return read(folder)[1]


def read(folder: Path) -> tuple[Plan, list[Observed]]:
    """Return the plan of a folder with those of its networks that have run, rule after rule.

    Raises
    ------
    StudyError
        There is no observation, one of another schema, or a result that cannot be read.
    """
    head = read_head(folder)
    results, draws = folder / "jobs", networks(head.plan)
    found = []
    for rule, names in head.jobs.items():
        for draw, name in zip(draws, names, strict=True):
            path = jobs.path_of(results, name)
            if path.exists():
                result = jobs.read(path)
                experiment: Any = msgspec.json.decode(result.experiment)
                found.append(
                    Observed(
                        rule=rule,
                        kind=experiment["network"]["kind"],
                        network=draw,
                        outcome=result.outcome,
                        recording=jobs.recording_of(results, name),
                    )
                )
    if not found:
        raise StudyError(f"{folder}: nothing is observed yet; neurohw observe --resume does")
    return head.plan, found


def read_head(folder: Path) -> Head:
    """Return what the folder of an observation says of itself; `StudyError` if it is none."""
    path = folder / "observation.json"
    try:
        return msgspec.convert(require_schema(path, FORMAT), Head)
    except msgspec.ValidationError as error:
        raise StudyError(f"{path}: is no observation: {error}") from None


def _prepare(folder: Path, plan: Plan, resume: bool) -> None:
    """Make the folder of an observation ready for it."""
    path, results = folder / "observation.json", folder / "jobs"
    if path.exists():
        held = read_head(folder)
        if not resume:
            raise StudyError(
                f"{folder}: holds results; go on with --resume, or choose another --out"
            )
        if held.plan != plan:
            changed = next(k for k in plan.__struct_fields__ if _differ(k, held.plan, plan))
            raise StudyError(
                f"{folder}: {changed} = {getattr(held.plan, changed)} there, and"
                f" {getattr(plan, changed)} here; choose another --out"
            )
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{results}: cannot be made: {error.strerror}") from None
    jobs.sweep_up(results)
    if not path.exists():
        _write(folder, Head(plan=plan))


def _differ(key: str, one: Plan, other: Plan) -> bool:
    return bool(getattr(one, key) != getattr(other, key))


def _write(folder: Path, head: Head) -> None:
    jobs.replace(folder / "observation.json", msgspec.json.format(msgspec.json.encode(head)))


def _check(plan: Plan, draws: Sequence[Network]) -> None:
    """Build one network of each kind, so that what cannot be is refused before anything runs."""
    kinds = {(draw.chip, draw.hidden): draw for draw in draws}
    for rule in plans.compared(plan.rules):
        for draw in kinds.values():
            fewest = msgspec.structs.replace(draw, batch=max(plan.batches))
            experiment = _experiment(plan, rule.short, fewest, 1.0)
            if experiment.network.kind == "boltzmann":
                raise InvalidValueError(
                    f"{rule.short}: a boltzmann machine has no outputs to observe"
                )
            dataset = dataset_of(experiment)
            build(experiment, dataset)
            log_times(plan.epochs * experiment.steps(len(dataset.train_images)), plan.times)


def _search(plan: Plan, shop: Workshop) -> dict[str, float]:
    """Return the best factor of each rule, on the first chip with a layer of middle size."""
    single = sorted(plan.hidden, key=lambda sizes: (len(sizes), sizes))
    shallow = [sizes for sizes in single if len(sizes) == len(single[0])]
    wanted = _compared(
        plan,
        rules=plan.rules,
        chips=plan.chips[:1],
        hidden=shallow[len(shallow) // 2],
        batch=max(plan.batches),
        seeds=(plan.seed,),
        search_epochs=plan.epochs,
    )
    return rate_search.best_factors(wanted, shop, FACTORS)


def _experiment(plan: Plan, name: str, draw: Network, factor: float) -> Experiment:
    """Return the experiment of a rule for a draw; factor is that of the rule."""
    rule = plans.compared([name])[0]
    wanted = _compared(
        plan, rules=(name,), chips=(draw.chip,), hidden=draw.hidden, batch=draw.batch
    )
    found = plans.experiment_of(wanted, rule, draw.chip, factor=factor * draw.factor)
    return with_seed(found, plan.seed + draw.number)


def _compared(plan: Plan, **choices: Any) -> plans.Plan:
    """Return the comparison of networks that are alike, with what a plan says of all of them."""
    return plans.Plan(
        dataset=plan.dataset, epochs=plan.epochs, alike=True, settings=plan.settings, **choices
    )


def _job(plan: Plan, name: str, draw: Network, factor: float) -> Job:
    """Return the job of a rule's network."""
    return Job(_experiment(plan, name, draw, factor), plan.epochs, times=plan.times)
