"""An experiment: everything that decides a run's result, checked before anything runs."""

from typing import Any

import msgspec

from neurohw.errors import InvalidValueError
from neurohw.experiments.settings import (
    DataSettings,
    NetworkSettings,
    RelaxationSettings,
    TrainingSettings,
)
from neurohw.learning import rules
from neurohw.learning.settings import LearningSettings
from neurohw.learning.variants import (
    circuit,
    require_circuit,
    require_experiment,
    require_network,
)
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.networks.activations import ACTIVATIONS
from neurohw.units import show

# Variants that a softmax readout has.
# What each kind of network needs; it refuses what another one needs.
_NEEDS = {
    "resistive": ("network.input_gain", "relaxation", "learning.nudging"),
    "feedforward": ("network.activation", "network.output", "network.cost"),
    "hopfield": ("network.activation", "relaxation", "learning.nudging"),
    "boltzmann": (),
}
_MAY_HAVE: dict[str, tuple[str, ...]] = {
    "resistive": (),
    "feedforward": (
        *("network.initial_range", "network.initial_deviation", "network.power"),
        "network.targets",
    ),
    "hopfield": (
        *("relaxation.dynamics", "relaxation.step", "relaxation.start"),
        *("relaxation.overrelaxation", "network.convolutions", "network.output", "network.cost"),
        *("learning.points", "learning.averaged_sweeps", "network.initial_range"),
        "network.targets",
    ),
    "boltzmann": (),
}


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides a run's result."""

    recipe: str = "custom"
    description: str = ""
    chip: ChipSpecification
    data: DataSettings = msgspec.field(default_factory=DataSettings)
    network: NetworkSettings
    relaxation: RelaxationSettings | None = None
    learning: LearningSettings
    training: TrainingSettings

    def __post_init__(self) -> None:
        _require_of_kind(self)
        layers = self.layers
        given = {
            "learning.learning_rate": self.learning.learning_rate,
            "learning.bias_learning_rate": self.learning.bias_learning_rate,
            "network.initial_range": self.network.initial_range,
        }
        for key, values in given.items():
            if isinstance(values, tuple) and len(values) != layers:
                raise InvalidValueError(
                    f"{key} = {list(values)}: must be one number, or {layers}, one a layer"
                )
        _require_rule(self)
        _require_competition(self)
        _require_quiet(self)
        if self.relaxation is not None:
            _require_variant(self, self.relaxation)
            _require_overrelaxation(self, self.relaxation)
            _require_lengths(self, self.relaxation)
        elif self.learning.variant != "centered":
            raise InvalidValueError(
                f"learning.variant = {self.learning.variant}: a {self.network.kind} network has"
                " none, it is not nudged"
            )
        elif self.training.engine != "numba":
            raise InvalidValueError(
                f"training.engine = {self.training.engine}: a {self.network.kind} network does not"
                f" relax, so there is no engine to choose"
            )
        try:
            self.chip.conductance_scales(layers)
            self.chip.weight_ranges(layers)
        except InvalidValueError as error:
            raise InvalidValueError(f"chip.{error}") from None

    @property
    def circuit(self) -> ChipSpecification:
        """The chip, nudged as the variant needs it where the chip does not say how."""
        return circuit(self.learning.variant, self.chip)

    @property
    def phases(self) -> RelaxationSettings:
        """How a network that relaxes does so."""
        assert self.relaxation is not None  # networks that relax need them
        return self.relaxation

    @property
    def input_gain(self) -> float:
        """Dimensionless voltage of a pixel of 1; 1 where a network has no key for it."""
        return 1.0 if self.network.input_gain is None else self.network.input_gain

    @property
    def lines_per_pixel(self) -> int:
        """Word lines of a pixel: a resistive network has two, of opposite voltages."""
        return 2 if self.network.kind == "resistive" else 1

    @property
    def nudging(self) -> float:
        """β, of equilibrium propagation."""
        if self.learning.nudging is None:
            return 1.0  # only the variant contrastive_hebbian goes without
        return self.learning.nudging

    def steps(self, images: int) -> int:
        """Return the mini-batches of an epoch, given so many training images."""
        return (self.training.images_per_epoch or images) // self.training.batch

    @property
    def layers(self) -> int:
        """Number of crossbars: convolutions, hidden layers and output; of a Boltzmann machine 1."""
        if self.network.kind == "boltzmann":
            return 1
        return len(self.network.convolutions or ()) + len(self.network.hidden) + 1

    @property
    def rule(self) -> rules.Rule:
        """What is known of the learning rule."""
        return rules.RULES[self.learning.rule]

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """Learning rate of each layer's conductances."""
        return _each(self.learning.learning_rate, self.layers)

    @property
    def initial_ranges(self) -> tuple[float | None, ...]:
        """Limit of each layer's first weights, None where it is to be found of its size."""
        given = self.network.initial_range
        return given if isinstance(given, tuple) else (given,) * self.layers

    @property
    def bias_learning_rates(self) -> tuple[float, ...]:
        """Learning rate of each layer's biases."""
        return _each(self.learning.bias_learning_rate, self.layers)


def _require_of_kind(experiment: Experiment) -> None:
    """Refuse a rule or keys of another kind of network, and ask for those of this one."""
    kind = experiment.network.kind
    if kind not in experiment.rule.networks:
        raise InvalidValueError(
            f"learning.rule = {experiment.learning.rule}: trains network.kind ="
            f" {' or '.join(experiment.rule.networks)}; a {kind} network learns by"
            f" {', '.join(rules.of_network(kind))}"
        )
    needed, possible = _NEEDS[kind], _MAY_HAVE[kind]
    hebbian = experiment.learning.variant == "contrastive_hebbian"
    spared = ("learning.nudging",) if hebbian else ()
    for keys in (*_NEEDS.values(), *_MAY_HAVE.values()):
        for key in keys:
            value: Any = experiment
            for part in key.split("."):
                value = getattr(value, part, None)
            if value is None and key in needed and key not in spared:
                raise InvalidValueError(f"{key}: is missing")
            if value is not None and key not in (*needed, *possible):
                raise InvalidValueError(f"{key}: a {kind} network has none")
    if kind == "hopfield" and experiment.network.activation not in ACTIVATIONS:
        raise InvalidValueError(
            f"network.activation = {experiment.network.activation}: a hopfield network has"
            f" {', '.join(ACTIVATIONS)}"
        )
    if kind == "hopfield":
        if experiment.training.engine not in ("numba", "numpy"):
            raise InvalidValueError(
                f"training.engine = {experiment.training.engine}: Hopfield networks have numba and"
                " numpy"
            )
        _require_readout(experiment)
    if kind == "boltzmann" and len(experiment.network.hidden) != 1:
        raise InvalidValueError(
            f"network.hidden = {list(experiment.network.hidden)}: a boltzmann network has one"
            " hidden layer"
        )


def _require_rule(experiment: Experiment) -> None:
    """Refuse keys of other rules, and a network or chip that the rule cannot work with."""
    rule, learning = experiment.rule, experiment.learning
    for key in rules.own_keys():
        value: Any = learning
        for part in key.split("."):
            value = getattr(value, part, None)
        if value is None and key in rule.needs:
            raise InvalidValueError(f"learning.{key}: is missing")
        if value is not None and key not in rule.keys:
            raise InvalidValueError(f"learning.{key}: the rule {rule.name} has none")
    for key, allowed in rule.requires.items():
        value = experiment
        for part in key.split("."):
            value = getattr(value, part)
        if value not in allowed:
            raise InvalidValueError(
                f"learning.rule = {rule.name}: not with {key} = {value}; take"
                f" {' or '.join(allowed)}"
            )
    if not rule.biased and max(experiment.bias_learning_rates) > 0:
        raise InvalidValueError(
            f"learning.bias_learning_rate = {max(experiment.bias_learning_rates):g}: the rule"
            f" {rule.name} teaches no biases; take 0"
        )
    if learning.centred and experiment.chip.programming.events == "sample":
        raise InvalidValueError(
            "chip.programming.events = sample: not with learning.centred = true, which takes the"
            " mean of a mini-batch; take false"
        )
    mapping = experiment.chip.mapping
    if rule.decays or learning.weight_decay:
        for key, value in (("sides", "one"), ("scheme", "bit-sliced")):
            if getattr(mapping, key) == value:
                always = rule.decays or "weight_decay" in rule.needs
                other = f"take learning.rule = {rule.nearest or 'feedback-alignment'}"
                raise InvalidValueError(
                    f"learning.rule = {rule.name}: makes weights decay, but with chip.mapping.{key}"
                    f" = {value} updates do not move all cells both ways;"
                    f" {other if always else 'leave out learning.weight_decay'}, or take"
                    " mapping.scheme = offset"
                )
        programming = experiment.chip.programming
        for key, value in (("pulses", "train"), ("order", "sequential")):
            if getattr(programming, key) == value:
                raise InvalidValueError(
                    f"learning.rule = {rule.name}: makes weights decay, which is no product of two"
                    f" lines, to be pulsed alone by chip.programming.{key} = {value}; take"
                    f" {'net' if key == 'order' else 'count'}"
                )
    if rule.hardware.both_ways and not experiment.chip.transposed_read:
        other = f"learning.rule = {rule.nearest}, or " if rule.nearest else ""
        raise InvalidValueError(
            f"learning.rule = {rule.name}: needs cells that are reached from both sides, but"
            f" chip.transposed_read = false; take {other}a chip with transposed_read = true"
        )


def _require_competition(experiment: Experiment) -> None:
    """Refuse stages of competing layers that the training has no epochs for, and other sizes."""
    competition = experiment.learning.competition
    if competition is None:
        return
    hidden, epochs = experiment.network.hidden, experiment.training.epochs
    if competition.epochs is None and epochs > 0 and competition.each(len(hidden), epochs) == 0:
        raise InvalidValueError(
            f"training.epochs = {epochs}: too few for {len(hidden)} hidden layers, one after the"
            f" other, and a readout; take {-(-3 * len(hidden) // 2)} or more, or"
            " learning.competition.epochs = 0 for hidden layers as they begin"
        )
    if 0 < epochs < competition.each(len(hidden), epochs) * len(hidden):
        raise InvalidValueError(
            f"training.epochs = {epochs}: learning.competition.epochs = {competition.epochs} for"
            f" each of {len(hidden)} hidden layers, and what is left for the readout; lower it too"
        )
    if competition.inhibition is None and competition.rank > min(hidden):
        raise InvalidValueError(
            f"learning.competition.rank = {competition.rank}: a layer has {min(hidden)} units"
        )
    if competition.optimizer == "adam" and experiment.chip.programming.events == "sample":
        raise InvalidValueError(
            "chip.programming.events = sample: not with learning.competition.optimizer = adam,"
            " which takes the mean of a mini-batch; take none"
        )
    if min(experiment.learning_rates) <= 0:
        raise InvalidValueError(
            f"learning.learning_rate = {min(experiment.learning_rates):g}: must be above 0;"
            f" learning.competition.epochs = 0 leaves hidden layers as they are"
        )


def _require_readout(experiment: Experiment) -> None:
    """Refuse what a Hopfield network with a softmax readout, or with convolutions, has not."""
    network, learning = experiment.network, experiment.learning
    kind = experiment.circuit.nudging.kind
    softmax = network.output == "softmax"
    if network.output is not None and not softmax:
        raise InvalidValueError(
            f"network.output = {network.output}: the outputs of a hopfield network are softmax,"
            " or as its hidden units, without this key"
        )
    if softmax != (network.cost == "cross-entropy"):
        raise InvalidValueError(
            "network.cost = cross-entropy and network.output = softmax: in a hopfield network"
            " one needs the other"
        )
    if softmax and network.targets is not None:
        raise InvalidValueError(
            f"network.targets = {list(network.targets)}: the outputs of a softmax are taught"
            " one-hot; leave it out"
        )
    lowest = -1 if network.activation == "tanh" else 0
    if network.targets and not (lowest <= network.targets[0] and network.targets[1] <= 1):
        raise InvalidValueError(
            f"network.targets = {list(network.targets)}: outputs of network.activation ="
            f" {network.activation} lie between {lowest} and 1"
        )
    require_network(learning.variant, softmax=softmax, convolutional=bool(network.convolutions))
    if softmax and kind != "conductance":
        raise InvalidValueError(
            f"chip.nudging.kind = {kind}: network.output = softmax is nudged through its"
            " array; take conductance"
        )
    if learning.rule == "stdp" and (softmax or network.convolutions):
        raise InvalidValueError(
            "learning.rule = stdp: not with network.convolutions or network.output = softmax"
        )


def _require_quiet(experiment: Experiment) -> None:
    """Refuse noise of the neurons where nothing models it, or where it lets nothing settle."""
    noise = experiment.chip.neuron.noise
    if noise > 0 and experiment.network.kind != "hopfield":
        raise InvalidValueError(
            f"chip.neuron.noise = {show(noise, 'V')}: only the membranes of network.kind ="
            " hopfield have noise"
        )
    if noise > 0 and experiment.phases.tolerance > 0:
        raise InvalidValueError(
            f"relaxation.tolerance = {experiment.phases.tolerance:g}: with chip.neuron.noise ="
            f" {show(noise, 'V')} nothing converges; take 0"
        )


def _require_overrelaxation(experiment: Experiment, relaxation: RelaxationSettings) -> None:
    """Refuse sweeps that go further than to rest where they would not end there."""
    factor = relaxation.overrelaxation or 1.0
    wrong = {
        "relaxation.dynamics = steps": relaxation.dynamics == "steps",
        "chip.neuron.noise": experiment.chip.neuron.noise > 0,
        f"network.activation = {experiment.network.activation}": (
            experiment.network.activation != "hard-sigmoid"
        ),
    }
    for what, holds in wrong.items():
        if factor > 1 and holds:
            raise InvalidValueError(
                f"relaxation.overrelaxation = {factor:g}: not with {what}; take 1"
            )


def _require_variant(experiment: Experiment, relaxation: RelaxationSettings) -> None:
    """Refuse a variant that chip, network or another key cannot do."""
    learning = experiment.learning
    require_experiment(
        learning.variant,
        rule=learning.rule,
        network=experiment.network.kind,
        engine=experiment.training.engine,
        tolerance=relaxation.tolerance,
    )
    require_circuit(learning.variant, experiment.circuit, experiment.nudging)
    shorter = min(relaxation.free_sweeps, relaxation.nudged_sweeps)
    if learning.variant == "langevin" and (learning.averaged_sweeps or 1) > shorter:
        raise InvalidValueError(
            f"learning.averaged_sweeps = {learning.averaged_sweeps}: a phase has only {shorter}"
        )


def _require_lengths(experiment: Experiment, relaxation: RelaxationSettings) -> None:
    """Refuse lengths in time, or a tolerance, that the engine does not have."""
    timed = experiment.training.engine == "transient"
    for key in ("free_time", "nudged_time"):
        value = getattr(relaxation, key)
        if timed != (value is not None):
            raise InvalidValueError(
                f"relaxation.{key} = {'none' if value is None else f'{value:g} s'}:"
                f" training.engine = {experiment.training.engine} {'needs' if timed else 'has no'}"
                f" phases of finite length"
            )
    if timed and relaxation.tolerance > 0:
        raise InvalidValueError(
            f"relaxation.tolerance = {relaxation.tolerance:g}: training.engine ="
            f" transient stops after relaxation.free_time and nudged_time, not at a tolerance"
        )


def _each(value: float | tuple[float, ...], layers: int) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,) * layers
