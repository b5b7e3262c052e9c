"""The tables of an experiment: data, network, relaxation, training.

That of learning is in `neurohw.learning.settings`.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from neurohw.errors import InvalidValueError
from neurohw.units import Seconds

Power = Annotated[float, Meta(ge=1)]
Sum = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Range = Annotated[float, Meta(gt=0)]


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


class PowerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Exponents of a network with power activations, or with the cost power.

    Parameters
    ----------
    hidden : float, or one a hidden layer
        n, of hidden states max(z/s, 0)ⁿ.
    unit_sum : float, or one a hidden layer
        s, the sum at which a state is 1.
    output_gain : float
        β, of outputs tanh(β·z).
    cost : float
        m, of the cost Σ|a − t|ᵐ with targets ±1.
    """

    hidden: Power | tuple[Power, ...] = 4.5
    unit_sum: Sum | tuple[Sum, ...] = 1.0
    output_gain: Annotated[float, Meta(gt=0)] = 1.0
    cost: Annotated[float, Meta(gt=1)] = 6.0


class NetworkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The network.

    Parameters
    ----------
    kind : {"resistive", "feedforward", "hopfield", "boltzmann"}
        Deep resistive network; or signed weights: in layers one after the other, between layers of
        integrators that go both ways, or between inputs with classes and one layer of binary units.
    hidden : tuple of int
        Units of each hidden layer; behind convolutions there may be none.
    convolutions : tuple of ConvolutionSettings, optional
        Hopfield: layers of maps before the hidden ones.
    input_gain : float
        Resistive: dimensionless voltage of a pixel of 1.
    activation : {"hard-sigmoid", "sigmoid", "tanh", "relu", "power"}
        Feedforward: of the hidden units. Hopfield, which has no relu or power: of all units.
    output : {"linear", "hard-sigmoid", "sigmoid", "tanh", "relu", "softmax"}
        Feedforward: of the outputs. Hopfield: softmax, of a readout of the last hidden layer; as
        the hidden units without it.
    cost : {"squared", "cross-entropy", "power"}
        Feedforward; cross-entropy goes with the outputs softmax and sigmoid, power with tanh.
        Hopfield: cross-entropy with softmax, which needs it; squared without it.
    power : PowerSettings, optional
        Feedforward: of the activation, and of the cost, power.
    initial_range : float or tuple of float, optional
        Feedforward, Hopfield: weights start uniform between ± this, one number a layer or one;
        default Glorot's sqrt(6/(inputs + units)) of each layer.
    initial_deviation : float, optional
        Feedforward: weights of hidden layers start normal, around 0, with this standard deviation.
    targets : (float, float), optional
        Feedforward, Hopfield: what an output is taught where the label is another one, and where it
        is its own; 0 and 1 without it.
    """

    kind: Literal["resistive", "feedforward", "hopfield", "boltzmann"] = "resistive"
    hidden: tuple[Annotated[int, Meta(ge=2)], ...]
    convolutions: tuple[ConvolutionSettings, ...] | None = None
    input_gain: Annotated[float, Meta(gt=0)] | None = None
    activation: Literal["hard-sigmoid", "sigmoid", "tanh", "relu", "power"] | None = None
    output: Literal["linear", "hard-sigmoid", "sigmoid", "tanh", "relu", "softmax"] | None = None
    cost: Literal["squared", "cross-entropy", "power"] | None = None
    power: PowerSettings | None = None
    initial_range: Range | tuple[Range, ...] | None = None
    initial_deviation: Annotated[float, Meta(ge=0)] | None = None
    targets: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.hidden and not self.convolutions:
            raise InvalidValueError(
                "hidden = []: must list at least one layer, unless convolutions do"
            )
        if self.targets is not None and not self.targets[0] < self.targets[1]:
            raise InvalidValueError(
                f"targets = {list(self.targets)}: the second, of the right output, must be above"
                " the first"
            )
        powers = "power" in (self.activation, self.cost)
        if powers != (self.power is not None):
            raise InvalidValueError(
                "power: the table of exponents goes with activation = power or cost = power"
            )
        for key in ("hidden", "unit_sum") if self.power is not None else ():
            value = getattr(self.power, key)
            if len(self.each(value)) != len(self.hidden):
                raise InvalidValueError(
                    f"power.{key} = {list(value)}: must be one number, or {len(self.hidden)}, one a"
                    f" hidden layer"
                )

    def each(self, value: float | tuple[float, ...]) -> tuple[float, ...]:
        """Return one number a hidden layer, of one for all or of as many."""
        return value if isinstance(value, tuple) else (value,) * len(self.hidden)


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
