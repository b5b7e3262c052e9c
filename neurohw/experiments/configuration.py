"""An experiment: recipe, chip and settings, checked and resolved before anything runs."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from neurohw import specification
from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.learning.variants import CLAMPED, Variant, circuit, require_circuit, require_experiment
from neurohw.mappings import chip_specification
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.networks.activations import ACTIVATIONS
from neurohw.presets import Presets
from neurohw.units import Seconds, show

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(ge=0)]


class DataSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is learnt.

    Parameters
    ----------
    name : str
        Shipped or public data set, or a path.
    train : int, optional
        Use only the first that many training images.
    validation : int
        Hold out the last that many training images and evaluate on them, not on the test set.
    crop : int
        Leave out that many pixels on every side of the images.
    threshold : float, optional
        Make images black and white: pixels of at least this are 1, others 0.
    """

    name: str = "mnist"
    train: Positive | None = None
    validation: Count = 0
    crop: Count = 0
    threshold: Annotated[float, Meta(gt=0, le=1)] | None = None

    def __post_init__(self) -> None:
        if self.train is not None and self.validation >= self.train:
            raise InvalidValueError(
                f"validation = {self.validation}: must be below train = {self.train}"
            )


class ConvolutionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A convolution with steps of 1 over square maps.

    Parameters
    ----------
    channels, kernel : int
        Maps that it makes; rows, as many as columns, of its kernel.
    pool : {"max", "average"}, optional
        Over fields of 2 × 2 positions; without it there is none.
    padding : int
        Rows and columns of zeros put around the maps that it reads.
    """

    channels: Positive
    kernel: Positive
    pool: Literal["max", "average"] | None = None
    padding: Count = 0


class NetworkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The network.

    Parameters
    ----------
    kind : {"resistive", "feedforward", "hopfield"}
        Deep resistive network; or signed weights, in layers one after the other, or between layers
        of integrators that go both ways.
    hidden : tuple of int
        Units of each hidden layer; behind convolutions there may be none.
    convolutions : tuple of ConvolutionSettings, optional
        Hopfield: layers of maps before the hidden ones.
    input_gain : float
        Resistive: dimensionless voltage of a pixel of 1.
    activation : {"hard-sigmoid", "sigmoid", "tanh", "relu"}
        Feedforward: of the hidden units. Hopfield, which has no relu: of all units.
    output : {"linear", "hard-sigmoid", "sigmoid", "tanh", "relu", "softmax"}
        Feedforward: of the outputs. Hopfield: softmax, of a readout of the last hidden layer; as
        the hidden units without it.
    cost : {"squared", "cross-entropy"}
        Feedforward; cross-entropy goes with the outputs softmax and sigmoid. Hopfield: the same
        with softmax, which needs it; squared without it.
    initial_range : float, optional
        Feedforward: weights start uniform between ± this; default Glorot's sqrt(6/(inputs +
        units)) of each layer.
    """

    kind: Literal["resistive", "feedforward", "hopfield"] = "resistive"
    hidden: tuple[Annotated[int, Meta(ge=2)], ...]
    convolutions: tuple[ConvolutionSettings, ...] | None = None
    input_gain: Annotated[float, Meta(gt=0)] | None = None
    activation: Literal["hard-sigmoid", "sigmoid", "tanh", "relu"] | None = None
    output: Literal["linear", "hard-sigmoid", "sigmoid", "tanh", "relu", "softmax"] | None = None
    cost: Literal["squared", "cross-entropy"] | None = None
    initial_range: Annotated[float, Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        if not self.hidden and not self.convolutions:
            raise InvalidValueError("hidden = []: must list at least one layer")


class RelaxationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an equilibrium is found.

    Parameters
    ----------
    free_sweeps, nudged_sweeps : int
        Sweeps over all layers in the free and in each nudged phase.
    tolerance : float
        0: exactly that many sweeps. Otherwise stop when a sweep changes no voltage by more than
        `tolerance` times the largest one of its layer, in a nudged phase times the largest
        distance from the free phase; the sweeps are then the limit. Where that distance is so
        small that float32 cannot hold it to the tolerance, the run stops and says so.
    free_time, nudged_time : float [s]
        Length of the free and of each nudged phase, for the engine ``transient``, which takes no
        notice of sweeps; no other has them.
    accelerator : {"none", "newton"}
        ``newton``: a Newton step of all nodes after each sweep, for deep networks; dense, so for
        at most some hundred nodes.
    dynamics : {"sweeps", "steps"}, optional
        Hopfield: ``sweeps``, as without it: layer after layer goes all of the way to rest;
        ``steps``: a sweep moves all membranes at once, a share of the way.
    step : float, optional
        Hopfield: that share, 0.5 without it; sweeps take no notice.
    overrelaxation : float, optional
        Hopfield: factor, 1 to 2, on the way that each layer goes in a sweep; 1 without it. Deep
        networks of hard sigmoids come to rest several times sooner near 1.8.
    start : {"zero", "stored"}, optional
        Hopfield: free phases start from 0 V, as without it, or from the image's last one.
    """

    free_sweeps: Positive
    nudged_sweeps: Positive
    tolerance: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    accelerator: Literal["none", "newton"] = "none"
    free_time: Seconds | None = None
    nudged_time: Seconds | None = None
    dynamics: Literal["sweeps", "steps"] | None = None
    step: Annotated[float, Meta(gt=0, le=1)] | None = None
    overrelaxation: Annotated[float, Meta(ge=1, lt=2)] | None = None
    start: Literal["zero", "stored"] | None = None

    def __post_init__(self) -> None:
        for key in ("free_time", "nudged_time"):
            value = getattr(self, key)
            if value is not None and not 0 < value < float("inf"):
                raise InvalidValueError(f"{key} = {value:g} s: must be finite, above 0")


class LearningSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Learning rule; rates are dimensionless, one number or one a layer.

    Parameters
    ----------
    rule : {"equilibrium-propagation", "stdp", "backpropagation"}
        ``stdp``, of Hopfield networks: equilibrium propagation whose update is integrated while
        the nudged phase runs, see `neurohw.learning.stdp`.
    variant : str
        ``positive``, ``negative``, ``random_sign``, ``centered``: sign of the nudging, one nudged
        phase or both. ``continual``, ``agnostic``: cells move while the nudged phase runs, see
        `neurohw.learning.continual`. ``coupled``, ``contrastive_hebbian``: the outputs are driven
        towards the targets, or to them, for which `chip.nudging.kind` is clamp. Of Hopfield
        networks, ``holomorphic``, with a smooth activation: points on a circle; ``langevin``:
        products of states averaged over the later part of each phase.
    nudging : float
        Magnitude of the nudging, of equilibrium propagation, which has to have it; of the variant
        contrastive_hebbian it is 1, also where it is left out.
    points : int, optional
        Hopfield: points of the variant holomorphic, an even number, 8 without it; other variants
        take no notice.
    averaged_sweeps : int, optional
        Hopfield: last sweeps of each phase that the variant langevin averages over, half of the
        nudged ones without it; other variants take no notice.
    learning_rate_decay : float
        Factor on all rates after each epoch.
    """

    rule: Literal["equilibrium-propagation", "stdp", "backpropagation"] = "equilibrium-propagation"
    variant: Variant = "centered"
    nudging: Annotated[float, Meta(gt=0)] | None = None
    points: Annotated[int, Meta(ge=2, multiple_of=2)] | None = None
    averaged_sweeps: Positive | None = None
    learning_rate: Rate | tuple[Rate, ...]
    bias_learning_rate: Rate | tuple[Rate, ...]
    learning_rate_decay: Annotated[float, Meta(gt=0, le=1)] = 0.99


class TrainingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Length of the training, and what computes it.

    images_per_epoch: of that many of the training images, drawn anew, is an epoch; default all.
    """

    epochs: Count
    images_per_epoch: Positive | None = None
    batch: Positive = 4
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    precision: Literal["float32", "float64"] = "float32"
    engine: Literal["numba", "numpy", "spice", "transient"] = "numba"


# Variants that a softmax readout has.
_OF_READOUT = ("positive", "negative", "random_sign", "centered")
# What each kind of network needs; it refuses what another one needs.
_NEEDS = {
    "resistive": ("network.input_gain", "relaxation", "learning.nudging"),
    "feedforward": ("network.activation", "network.output", "network.cost"),
    "hopfield": ("network.activation", "relaxation", "learning.nudging"),
}
_MAY_HAVE: dict[str, tuple[str, ...]] = {
    "resistive": (),
    "feedforward": ("network.initial_range",),
    "hopfield": (
        *("relaxation.dynamics", "relaxation.step", "relaxation.start"),
        *("relaxation.overrelaxation", "network.convolutions", "network.output", "network.cost"),
        *("learning.points", "learning.averaged_sweeps"),
    ),
}
_RULES = {
    "resistive": ("equilibrium-propagation",),
    "feedforward": ("backpropagation",),
    "hopfield": ("equilibrium-propagation", "stdp"),
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
        layers = self.layers
        for key in ("learning_rate", "bias_learning_rate"):
            rates = getattr(self.learning, key)
            if isinstance(rates, tuple) and len(rates) != layers:
                raise InvalidValueError(
                    f"learning.{key} = {list(rates)}: must be one number, or {layers}, one a layer"
                )
        self._require_of_kind()
        self._require_quiet()
        if self.relaxation is not None:
            self._require_variant(self.relaxation)
            self._require_lengths(self.relaxation)
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

    def _require_of_kind(self) -> None:
        """Refuse a rule or keys of another kind of network, and ask for those of this one."""
        kind = self.network.kind
        if self.learning.rule not in _RULES[kind]:
            raise InvalidValueError(
                f"learning.rule = {self.learning.rule}: a {kind} network learns by"
                f" {' or '.join(_RULES[kind])}"
            )
        needed, possible = _NEEDS[kind], _MAY_HAVE[kind]
        hebbian = self.learning.variant == "contrastive_hebbian"
        spared = ("learning.nudging",) if hebbian else ()
        for keys in (*_NEEDS.values(), *_MAY_HAVE.values()):
            for key in keys:
                value: Any = self
                for part in key.split("."):
                    value = getattr(value, part, None)
                if value is None and key in needed and key not in spared:
                    raise InvalidValueError(f"{key}: is missing")
                if value is not None and key not in (*needed, *possible):
                    raise InvalidValueError(f"{key}: a {kind} network has none")
        if kind == "hopfield" and self.network.activation not in ACTIVATIONS:
            raise InvalidValueError(
                f"network.activation = {self.network.activation}: a hopfield network has"
                f" {', '.join(ACTIVATIONS)}"
            )
        if kind == "hopfield":
            self._require_readout()

    def _require_readout(self) -> None:
        """Refuse what a Hopfield network with a softmax readout, or with convolutions, has not."""
        network, learning, circuit = self.network, self.learning, self.circuit.nudging.kind
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
        special = {
            "network.output = softmax": softmax and learning.variant not in _OF_READOUT,
            "network.convolutions": bool(network.convolutions)
            and learning.variant not in (*_OF_READOUT, *CLAMPED),
        }
        for where, refused in special.items():
            if refused:
                raise InvalidValueError(
                    f"learning.variant = {learning.variant}: not with {where}; take"
                    f" {', '.join(_OF_READOUT)}"
                )
        if softmax and circuit != "conductance":
            raise InvalidValueError(
                f"chip.nudging.kind = {circuit}: network.output = softmax is nudged through its"
                " array; take conductance"
            )
        if learning.rule == "stdp" and (softmax or network.convolutions):
            raise InvalidValueError(
                "learning.rule = stdp: not with network.convolutions or network.output = softmax"
            )

    def _require_quiet(self) -> None:
        """Refuse noise of the neurons where nothing models it, or where it lets nothing settle."""
        noise = self.chip.neuron.noise
        if noise > 0 and self.network.kind != "hopfield":
            raise InvalidValueError(
                f"chip.neuron.noise = {show(noise, 'V')}: only the membranes of network.kind ="
                " hopfield have noise"
            )
        if noise > 0 and self.phases.tolerance > 0:
            raise InvalidValueError(
                f"relaxation.tolerance = {self.phases.tolerance:g}: with chip.neuron.noise ="
                f" {show(noise, 'V')} nothing converges; take 0"
            )

    def _require_variant(self, relaxation: RelaxationSettings) -> None:
        """Refuse a variant that chip, network or another key cannot do."""
        learning = self.learning
        require_experiment(
            learning.variant,
            rule=learning.rule,
            network=self.network.kind,
            engine=self.training.engine,
            tolerance=relaxation.tolerance,
        )
        require_circuit(learning.variant, self.circuit, self.nudging)
        shorter = min(relaxation.free_sweeps, relaxation.nudged_sweeps)
        if learning.variant == "langevin" and (learning.averaged_sweeps or 1) > shorter:
            raise InvalidValueError(
                f"learning.averaged_sweeps = {learning.averaged_sweeps}: a phase has only {shorter}"
            )

    def _require_lengths(self, relaxation: RelaxationSettings) -> None:
        """Refuse lengths in time, or a tolerance, that the engine does not have."""
        timed = self.training.engine == "transient"
        for key in ("free_time", "nudged_time"):
            value = getattr(relaxation, key)
            if timed != (value is not None):
                raise InvalidValueError(
                    f"relaxation.{key} = {'none' if value is None else f'{value:g} s'}:"
                    f" training.engine = {self.training.engine} {'needs' if timed else 'has no'}"
                    f" phases of finite length"
                )
        if timed and relaxation.tolerance > 0:
            raise InvalidValueError(
                f"relaxation.tolerance = {relaxation.tolerance:g}: training.engine ="
                f" transient stops after relaxation.free_time and nudged_time, not at a tolerance"
            )

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
        """Number of crossbars: convolutions, hidden layers and output."""
        return len(self.network.convolutions or ()) + len(self.network.hidden) + 1

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """Learning rate of each layer's conductances."""
        return _each(self.learning.learning_rate, self.layers)

    @property
    def bias_learning_rates(self) -> tuple[float, ...]:
        """Learning rate of each layer's biases."""
        return _each(self.learning.bias_learning_rate, self.layers)


def load(
    source: str | Path | Experiment,
    *,
    chip: str | None = None,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    seed: int | None = None,
    engine: str | None = None,
) -> Experiment:
    """Resolve an experiment.

    Parameters
    ----------
    source : str, Path or Experiment
        A recipe's name, a TOML file, or an experiment to change.
    chip : str, optional
        Chip to use: a preset's name, or a TOML file.
    settings : sequence of str
        Changes ``key.path=value``, also into the chip: ``chip.device.cycle_to_cycle=2 %``.
    epochs, seed, engine : optional
        Short for ``training.epochs`` and so on; they are applied last.

    Raises
    ------
    ConfigurationError
        One line with file, key and value.
    """
    if isinstance(source, Experiment):
        table, name = json.loads(to_json(source)), source.recipe
    else:
        table, name = RECIPES.table(source), str(source)
    return resolve(
        table, name, chip=chip, settings=settings, epochs=epochs, seed=seed, engine=engine
    )


def resolve(
    table: specification.Table,
    name: str,
    *,
    chip: str | None = None,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    seed: int | None = None,
    engine: str | None = None,
) -> Experiment:
    """Resolve the complete table of an experiment, which is not changed; see `load`.

    name says in errors what the table is of.
    """
    table, changes = dict(table), list(settings)
    if epochs is not None:
        changes.append(f"training.epochs={epochs}")
    if seed is not None:
        changes.append(f"training.seed={seed}")
    if engine is not None:
        changes.append(f"training.engine={engine}")
    if chip is not None:
        table["chip"] = chip
    for change in changes:
        specification.apply(table, change)
    where = " ".join([name, *(f"--set {change}" for change in changes)])
    table["chip"] = chip_specification.PRESETS.table(table["chip"], where=where, at="chip")
    return specification.read(table, Experiment, where=where)


def recipes() -> list[dict[str, Any]]:
    """Name, description, layers and epochs of every recipe."""
    experiments = [load(name) for name in RECIPES.names()]
    return [
        {
            "name": experiment.recipe,
            "description": experiment.description,
            "data": experiment.data.name,
            "hidden": list(experiment.network.hidden),
            "convolutions": msgspec.to_builtins(experiment.network.convolutions or ()),
            "epochs": experiment.training.epochs,
        }
        for experiment in experiments
    ]


def to_json(experiment: Experiment) -> str:
    """Text that `from_json` turns into an equal experiment; infinity is the text ``"inf"``."""
    return json.dumps(_finite(msgspec.to_builtins(experiment)), indent=2)


def from_json(text: str, where: str) -> Experiment:
    """Experiment of `to_json`'s text; `ConfigurationError` naming `where` if it holds none."""
    try:
        table = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{where}: is not JSON: {error}") from None
    return specification.read(table, Experiment, where=where)


def _each(value: float | tuple[float, ...], layers: int) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,) * layers


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


RECIPES = Presets(
    kind="recipe",
    struct=Experiment,
    folder=Path(__file__).parent / "recipes",
    label="recipe",
    paths=(
        "chip",
        "chip.preset",
        *(f"chip.{key}" for key in chip_specification.DEVICES),
        "data.name",
        *(f"chip.{key}" for key in chip_specification.CURVES),
    ),
    parts={"chip": chip_specification.PRESETS},
    defaults={"chip": "ideal"},
)
