"""The table `learning` of an experiment, with a table of its own for what some rules have."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from neurohw.errors import InvalidValueError
from neurohw.learning.rules import RULES
from neurohw.learning.variants import Variant
from neurohw.specification import nearest
from neurohw.units import Fraction

Positive = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(ge=0)]


class InferenceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the values of predictive coding relax; see `neurohw.learning.predictive_coding`.

    Parameters
    ----------
    mode : {"strict", "fixed-prediction", "incremental"}
        Down the free energy; with predictions of the forward pass; or while cells are programmed
        after every step.
    steps : int
        Most sets of errors that are taken of a mini-batch: n move the values n − 1 times.
    rate : float
        Of a step, in time constants of a unit.
    halving : bool
        Strict: a step that would raise the free energy of a sample is taken back, and its rate
        halved. Without it every step is taken, and none is left out, as noise may need it.
    tolerance : float
        With halving: a sample has settled where the free energy falls by less than this times the
        rate, over the output variance and the number of hidden units and outputs.
    output_variance : float
        Σ of the outputs: one over the strength with which they are nudged.
    """

    mode: Literal["strict", "fixed-prediction", "incremental"] = "strict"
    steps: Positive = 50
    rate: Annotated[float, Meta(gt=0, le=1)] = 0.1
    halving: bool = True
    tolerance: Annotated[float, Meta(ge=0)] = 1e-6
    output_variance: Annotated[float, Meta(gt=0)] = 1.0


class ChainSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The Markov chains of contrastive divergence; see `neurohw.learning.contrastive_divergence`.

    Parameters
    ----------
    steps : int
        k, reconstructions from the start of a chain to what is compared with the data.
    persistent : bool
        Chains go on where the last mini-batch left them; without it they start from its images.
    sampling : {"drawn", "read-noise"}
        Units draw their states with the probability of their sums; or are comparators, whose chance
        is the read noise of the cells.
    """

    steps: Positive = 1
    persistent: bool = False
    sampling: Literal["drawn", "read-noise"] = "drawn"


class FeedbackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arrays through which errors come down, beside those of the layers.

    Parameters
    ----------
    range : float, optional
        Weights start uniform between ± this; default Glorot's sqrt(6/(units + units above)) of
        each. Of sign-symmetric feedback, the magnitude of all; default the root mean square of
        the weights of the layer.
    spread : float
        Standard deviation of each weight about what it was to be, as a share of that: of feedback
        that is written once and not verified. What the chip's cells spread comes on top.
    mirror_rate : float, optional
        Share of the distance to what a weight mirror sees that its feedback goes a mini-batch;
        0.01 without it.
    """

    range: Annotated[float, Meta(gt=0)] | None = None
    spread: Annotated[Fraction, Meta(ge=0)] = 0.0
    mirror_rate: Annotated[float, Meta(gt=0, le=1)] | None = None

    @property
    def mirrored(self) -> float:
        """The rate of a weight mirror."""
        return 0.01 if self.mirror_rate is None else self.mirror_rate


class BrainPropSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Choices of an action: `exploration`, the probability to draw it from the softmax of values.

    0.02 as in Pozzi, Bohte and Roelfsema (2020).
    """

    exploration: Annotated[float, Meta(ge=0, le=1)] = 0.02


class BurstSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bursts, with the values of Payeur et al. (2021).

    Parameters
    ----------
    probability : float
        That an event of an output is a burst, without a teacher.
    lateral_range : float
        Weights between the dendrites of a layer start uniform between ± this.
    lateral_rate : float
        Learning rate of these, on the mean over a mini-batch.
    """

    probability: Annotated[float, Meta(gt=0, le=0.5)] = 0.2
    lateral_range: Annotated[float, Meta(gt=0)] = 0.01
    lateral_rate: Annotated[float, Meta(ge=0)] = 1e-4


class LearningSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Learning rule; rates are dimensionless, one number or one a layer.

    Parameters
    ----------
    rule : str
        A name of `neurohw.learning.rules`, which says what networks it trains and which of the
        keys that may be left out it has.
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
    weight_decay : float, optional
        Feedforward: λ of λ/2·Σ W² beside the cost: weights shrink by their learning rate times it.
    inference : InferenceSettings, optional
        Predictive coding: how its values relax; as published without it.
    chain : ChainSettings, optional
        Contrastive divergence: one step from the images without it.
    feedback : FeedbackSettings, optional
        Of rules with arrays of feedback.
    brainprop : BrainPropSettings, optional
    burst : BurstSettings, optional
    """

    rule: str = "equilibrium-propagation"
    variant: Variant = "centered"
    nudging: Annotated[float, Meta(gt=0)] | None = None
    points: Annotated[int, Meta(ge=2, multiple_of=2)] | None = None
    averaged_sweeps: Positive | None = None
    learning_rate: Rate | tuple[Rate, ...]
    bias_learning_rate: Rate | tuple[Rate, ...]
    learning_rate_decay: Annotated[float, Meta(gt=0, le=1)] = 0.99
    weight_decay: Annotated[float, Meta(gt=0)] | None = None
    inference: InferenceSettings | None = None
    chain: ChainSettings | None = None
    feedback: FeedbackSettings | None = None
    brainprop: BrainPropSettings | None = None
    burst: BurstSettings | None = None

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise InvalidValueError(
                f"rule = {self.rule}: unknown value; {nearest(self.rule, RULES)}"
            )
