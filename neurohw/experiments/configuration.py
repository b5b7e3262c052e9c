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
from neurohw.mappings import chip_specification
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.presets import Presets
from neurohw.units import Seconds

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(ge=0)]


class DataSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is learnt.

    Parameters
    ----------
    name : str
        Shipped data set, or a path.
    train : int, optional
        Use only the first that many training images.
    validation : int
        Hold out the last that many training images and evaluate on them, not on the test set.
    """

    name: str = "mnist"
    train: Positive | None = None
    validation: Count = 0

    def __post_init__(self) -> None:
        if self.train is not None and self.validation >= self.train:
            raise InvalidValueError(
                f"validation = {self.validation}: must be below train = {self.train}"
            )


class NetworkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Deep resistive network: units of each hidden layer, dimensionless voltage of a pixel of 1."""

    kind: Literal["resistive"] = "resistive"
    hidden: tuple[Annotated[int, Meta(ge=2)], ...]
    input_gain: Annotated[float, Meta(gt=0)]

    def __post_init__(self) -> None:
        if not self.hidden:
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
    """

    free_sweeps: Positive
    nudged_sweeps: Positive
    tolerance: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    accelerator: Literal["none", "newton"] = "none"
    free_time: Seconds | None = None
    nudged_time: Seconds | None = None

    def __post_init__(self) -> None:
        for key in ("free_time", "nudged_time"):
            value = getattr(self, key)
            if value is not None and not 0 < value < float("inf"):
                raise InvalidValueError(f"{key} = {value:g} s: must be finite, above 0")


class LearningSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Learning rule; rates are dimensionless, one number or one a layer.

    Parameters
    ----------
    variant : {"positive", "negative", "random_sign", "centered"}
        Sign of the nudging: one nudged phase, or both.
    nudging : float
        Magnitude of the nudging.
    learning_rate_decay : float
        Factor on all rates after each epoch.
    """

    rule: Literal["equilibrium-propagation"] = "equilibrium-propagation"
    variant: Literal["positive", "negative", "random_sign", "centered"] = "centered"
    nudging: Annotated[float, Meta(gt=0)]
    learning_rate: Rate | tuple[Rate, ...]
    bias_learning_rate: Rate | tuple[Rate, ...]
    learning_rate_decay: Annotated[float, Meta(gt=0, le=1)] = 0.99


class TrainingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Length of the training, and what computes it."""

    epochs: Count
    batch: Positive = 4
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    precision: Literal["float32", "float64"] = "float32"
    engine: Literal["numba", "numpy", "spice", "transient"] = "numba"


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides a run's result."""

    recipe: str = "custom"
    description: str = ""
    chip: ChipSpecification
    data: DataSettings = msgspec.field(default_factory=DataSettings)
    network: NetworkSettings
    relaxation: RelaxationSettings
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
        timed = self.training.engine == "transient"
        for key in ("free_time", "nudged_time"):
            value = getattr(self.relaxation, key)
            if timed != (value is not None):
                raise InvalidValueError(
                    f"relaxation.{key} = {'none' if value is None else f'{value:g} s'}:"
                    f" training.engine = {self.training.engine} {'needs' if timed else 'has no'}"
                    f" phases of finite length"
                )
        if timed and self.relaxation.tolerance > 0:
            raise InvalidValueError(
                f"relaxation.tolerance = {self.relaxation.tolerance:g}: training.engine ="
                f" transient stops after relaxation.free_time and nudged_time, not at a tolerance"
            )
        try:
            self.chip.conductance_scales(layers)
        except InvalidValueError as error:
            raise InvalidValueError(f"chip.{error}") from None

    @property
    def layers(self) -> int:
        """Number of crossbars: hidden layers and output."""
        return len(self.network.hidden) + 1

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """Learning rate of each layer's conductances."""
        return _each(self.learning.learning_rate, self.layers)

    @property
    def bias_learning_rates(self) -> tuple[float, ...]:
        """Learning rate of each layer's biases."""
        return _each(self.learning.bias_learning_rate, self.layers)


def load(
    source: str | Path,
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
    source : str or Path
        A recipe's name, or a TOML file.
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
    table = RECIPES.table(source)
    changes = list(settings)
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
    where = " ".join([str(source), *(f"--set {change}" for change in changes)])
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
