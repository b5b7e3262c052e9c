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
Mix = Annotated[float, Meta(gt=0, lt=1)]


class Competition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How hidden units compete; see `neurohw.learning.competition` for the symbols.

    Parameters
    ----------
    epochs : int, optional
        Of each hidden layer, one after the other; the readout has those that are left. Two thirds
        of the training's without it, shared out. With 0 the hidden layers stay as they begin: a
        control.
    power : float
        p, of the weighted inner product and of the norm.
    rank : int
        Place, the winner's being 1, of the unit of each sample that unlearns it.
    anti_hebbian : float
        Δ, how strongly.
    inhibition : float, optional
        w, of lateral inhibition: units then learn by the states where it settles, not by rank.
    threshold : float
        State, a sum of inputs, from which units learn a sample, with inhibition; those that are
        below it, and above 0, unlearn it.
    step : {"largest", "fixed"}
        The learning rate is the largest change of any weight in a mini-batch, for which all must be
        known; or it is a factor on the sum of its samples, which every synapse can do by itself.
    optimizer : {"adam", "none"}
        Digital filter of the readout's gradient; its rate is then what a weight changes by where
        its gradient has one sign.
    """

    epochs: Annotated[int, Meta(ge=0)] | None = None
    power: Annotated[float, Meta(gt=1)] = 2.0
    rank: Annotated[int, Meta(ge=2)] = 2
    anti_hebbian: Rate = 0.4
    inhibition: Rate | None = None
    threshold: Annotated[float, Meta(ge=0)] = 0.0
    step: Literal["largest", "fixed"] = "largest"
    optimizer: Literal["adam", "none"] = "adam"

    def each(self, layers: int, epochs: int) -> int:
        """Return the epochs of each of so many hidden layers in a training of so many epochs."""
        return 2 * epochs // (3 * layers) if self.epochs is None else self.epochs

    @property
    def reads_out(self) -> bool:
        """Whether every weight must be known as a number before a mini-batch is learnt."""
        return self.power != 2 or self.step == "largest"


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


class TwoSiteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Pyramidal neurons with two sites of integration, after Körding and König (2001).

    Parameters
    ----------
    apical_rate : float
        Learning rate of apical weights, Hebbian, on the mean over a mini-batch.
    apical_decay : float
        Share of an apical weight, times that rate, that is lost a mini-batch.
    mixing : float
        Share of the soma's rate in the learning signal: 0 for two sites, ½ for one.
    """

    apical_rate: Rate = 0.01
    apical_decay: Rate = 0.1
    mixing: Annotated[float, Meta(ge=0, le=0.5)] = 0.0


class DendriticSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Dendritic microcircuits; see `neurohw.networks.microcircuit` for the symbols.

    Parameters
    ----------
    apical_mix, interneuron_mix, output_mix : float
        λ, λ_I and λ_N.
    rest_rate, target_rate : float
        Rates that the teacher asks of outputs: of the others, and of the one of the label.
    top_down_range : float
        Top-down weights start uniform between ± this.
    interneuron_rate : float or tuple of two
        Learning rate of the weights to interneurons: one number, or that of those which predict
        hidden layers and that of those which predict outputs.
    lateral_rate, top_down_rate : float
        Of those from interneurons, and of top-down weights; at 0 they stay as they were written.
    """

    apical_mix: Mix = 0.3
    interneuron_mix: Mix = 0.3
    output_mix: Mix = 0.5
    rest_rate: Mix = 0.1
    target_rate: Mix = 0.8
    top_down_range: Annotated[float, Meta(gt=0)] = 1.0
    # tuple[Rate, Rate] beside a number makes msgspec 0.22 crash.
    interneuron_rate: Rate | Annotated[tuple[Rate, ...], Meta(min_length=2, max_length=2)] = 0.1
    lateral_rate: Rate = 0.0
    top_down_rate: Rate = 0.0


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
        Factor on all rates after each epoch; krotov-hopfield, whose rates fall as its stages have
        it, takes no notice.
    weight_decay : float, optional
        Feedforward: λ of λ/2·Σ W² beside the cost: weights shrink by their learning rate times it.
    centred : bool, optional
        Hebb: signals of units are taken less their mean over the mini-batch.
    competition : Competition, optional
        Of the rule krotov-hopfield, which needs it. Learning rates are those of its steps, and of
        the readout.
    inference : InferenceSettings, optional
        Predictive coding: how its values relax; as published without it.
    chain : ChainSettings, optional
        Contrastive divergence: one step from the images without it.
    feedback : FeedbackSettings, optional
        Of rules with arrays of feedback.
    brainprop : BrainPropSettings, optional
    burst : BurstSettings, optional
    two_site : TwoSiteSettings, optional
    dendritic : DendriticSettings, optional
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
    centred: bool | None = None
    competition: Competition | None = None
    inference: InferenceSettings | None = None
    chain: ChainSettings | None = None
    feedback: FeedbackSettings | None = None
    brainprop: BrainPropSettings | None = None
    burst: BurstSettings | None = None
    two_site: TwoSiteSettings | None = None
    dendritic: DendriticSettings | None = None

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise InvalidValueError(
                f"rule = {self.rule}: unknown value; {nearest(self.rule, RULES)}"
            )
