"""What is compared, and the experiment of each rule: equal data, layers, mini-batches and epochs.

Each rule starts from its recipe, which gives activations, cost and what the rule has of its own.
"""

from collections.abc import Sequence
from operator import attrgetter

import msgspec

from neurohw.errors import InvalidValueError
from neurohw.experiments import configuration
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.machine import dataset_of
from neurohw.learning import rules
from neurohw.learning.rules import Rule

# One training image in so many is held out in the search.
_HELD_OUT = 6

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


def experiment_of(
    plan: Plan, rule: Rule, chip: str, *, factor: float = 1.0, search: bool = False
) -> Experiment:
    """Return the experiment of a rule on a chip, its recipe's learning rates times a factor.

    Raises
    ------
    ConfigurationError
        The chip cannot carry the rule, or a setting is wrong.
    """
    recipe = whole = configuration.load(rule.recipe)
    layers = recipe.layers
    if recipe.network.kind != "boltzmann":  # whose one array has the only hidden layer at its end
        layers += len(plan.hidden) - len(recipe.network.hidden)
    if isinstance(recipe.network.initial_range, tuple):
        # Found for layers of the recipe's sizes.
        network = msgspec.structs.replace(recipe.network, initial_range=None)
        recipe = msgspec.structs.replace(recipe, network=network)
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
        given = getattr(recipe.learning, "learning_rate" if alike and rule.biased else key)
        changes.append(f"learning.{key}={list(_rates(given, layers, factor))}")
    for key in rule.coupled:
        given = attrgetter(key)(recipe.learning)
        scaled = [factor * rate for rate in given] if isinstance(given, tuple) else factor * given
        changes.append(f"learning.{key}={scaled}")
    if alike:
        wanted = {"learning.learning_rate_decay": "1"} | _ALIKE.get(recipe.network.kind, {})
        wanted |= {key: values[0] for key, values in rule.requires.items() if key in wanted}
        changes += [f"{key}={value}" for key, value in wanted.items()]
    changes += settings_of(plan.settings, rule)
    experiment = configuration.load(
        rule.recipe if recipe is whole else recipe, chip=chip, settings=changes
    )
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
    """Return rates of so many layers: a recipe's; of more or fewer, its first for hidden ones."""
    given = value if isinstance(value, tuple) else (value,) * layers
    if len(given) != layers:
        given = (*given[:1] * (layers - 1), given[-1])
    return tuple(factor * rate for rate in given)
