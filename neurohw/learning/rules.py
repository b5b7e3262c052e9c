"""The learning rules by name: what each can train, which keys it has, what hardware it needs.

A rule is a class in a file of its own, loaded when a machine is built; here is what has to be known
before. Needs are those of Scellier and Bengio (2017), Lillicrap et al. (2016) and the others that
the files name.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from neurohw.errors import InvalidValueError


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule needs of a chip, beyond what inference takes.

    Parameters
    ----------
    transport : {"none", "shared", "transposed", "fixed", "learned"}
        How weights come to act backwards: not at all; the cells conduct both ways while the network
        relaxes; the same arrays are read from their other side; arrays of their own that are
        written once, or that learn beside the others.
    symmetry : {"none", "learned", "exact"}
        Whether the way back has to have the weights of the way forth, from the devices, or comes to
        have them by learning.
    phases : tuple of str
        Stretches of a training sample, one after the other.
    local : str
        Signals that a synapse takes.
    memory : int
        Numbers that each unit holds from one phase to a later one.
    broadcast : str
        Signal that goes to all units alike; empty if there is none.
    """

    transport: Literal["none", "shared", "transposed", "fixed", "learned"]
    symmetry: Literal["none", "learned", "exact"]
    phases: tuple[str, ...]
    local: str
    memory: int = 0
    broadcast: str = ""

    @property
    def both_ways(self) -> bool:
        """Whether the cells of an array are reached from its units as well."""
        return self.transport in ("shared", "transposed")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A learning rule.

    Parameters
    ----------
    name : str
        Value of `learning.rule`.
    short : str
        Name in comparisons.
    description : str
    networks : tuple of str
        Values of `network.kind` that it trains.
    hardware : Hardware
    implementation : str
        ``module:class`` of a feed-forward rule; see `neurohw.learning.feedforward`. Empty for
        rules of networks that relax, whose machines build them.
    keys : tuple of str
        Keys of `learning` that this rule has and others may not have, tables included.
    needs : tuple of str
        Those of them that it cannot do without.
    coupled : tuple of str
        Those of them that are rates in step with the layers': what scales these scales them.
    requires : mapping of str to tuple of str
        Values that other keys have to have, the first one of each a good choice.
    decays : bool
        Whether its updates make weights decay, also without the key `weight_decay`.
    biased : bool
        Whether it teaches biases.
    staged : bool
        Whether layers learn one after the other, so that it takes some epochs to see anything.
    aligned : bool
        Whether it gives every hidden unit an error, to be compared with that of backpropagation.
    recipe : str
        Where comparisons start from; empty if it takes part in none.
    nearest : str
        Rule to take where the chip cannot carry this one; empty if there is none nearer.
    """

    name: str
    short: str
    description: str
    networks: tuple[str, ...]
    hardware: Hardware
    implementation: str = ""
    keys: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    coupled: tuple[str, ...] = ()
    requires: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    decays: bool = False
    biased: bool = True
    staged: bool = False
    aligned: bool = True
    recipe: str = ""
    nearest: str = ""

    def load(self) -> Any:
        """Return the class of a feed-forward rule."""
        module, _, name = self.implementation.partition(":")
        return getattr(importlib.import_module(module), name)


_BACKWARD = ("forward", "backward")
_FEEDBACK = ("feedback.range", "feedback.spread")
_FIXED = Hardware(
    transport="fixed",
    symmetry="none",
    phases=_BACKWARD,
    local="presynaptic state, error of the unit",
    memory=2,
)
_VALUES: Mapping[str, tuple[str, ...]] = {
    "network.output": ("linear",),
    "network.cost": ("squared",),
}
_SIGMOIDS: Mapping[str, tuple[str, ...]] = {
    "network.activation": ("sigmoid",),
    "network.output": ("sigmoid",),
    "network.cost": ("squared",),
}

_ALL = (
    Rule(
        name="equilibrium-propagation",
        short="ep",
        recipe="ep-1h-fast",
        description="contrast of a free and a nudged equilibrium (Scellier and Bengio 2017)",
        networks=("resistive", "hopfield"),
        hardware=Hardware(
            transport="shared",
            symmetry="exact",
            phases=("free", "nudged, with one sign or both"),
            local="states of both ends in two phases",
            memory=1,
        ),
    ),
    Rule(
        name="stdp",
        short="stdp",
        description="equilibrium propagation integrated along the nudged phase",
        networks=("hopfield",),
        hardware=Hardware(
            transport="shared",
            symmetry="exact",
            phases=("free", "nudged"),
            local="presynaptic state, rate of change of the postsynaptic one",
        ),
    ),
    Rule(
        name="contrastive-hebbian",
        short="chl",
        recipe="chl-1h",
        description="contrast of a free equilibrium and one of clamped outputs (Movellan 1991)",
        networks=("resistive", "hopfield"),
        hardware=Hardware(
            transport="shared",
            symmetry="exact",
            phases=("free", "clamped"),
            local="states of both ends in two phases",
            memory=1,
        ),
        requires={"learning.variant": ("contrastive_hebbian",)},
    ),
    Rule(
        name="backpropagation",
        short="bp",
        recipe="mlp-1h",
        description="errors through the same arrays, read backwards (Rumelhart et al. 1986)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="transposed",
            symmetry="exact",
            phases=_BACKWARD,
            local="presynaptic state, error of the unit",
            memory=2,
        ),
        implementation="neurohw.learning.backpropagation:Backpropagation",
        keys=("weight_decay",),
        nearest="kolen-pollack",
    ),
    Rule(
        name="feedback-alignment",
        short="fa",
        recipe="fa-1h-relu",
        description="errors through random weights of their own (Lillicrap et al. 2016)",
        networks=("feedforward",),
        hardware=_FIXED,
        implementation="neurohw.learning.feedback_alignment:FeedbackAlignment",
        keys=("weight_decay", *_FEEDBACK),
    ),
    Rule(
        name="direct-feedback-alignment",
        short="dfa",
        recipe="dfa-1h",
        description="errors of the outputs through random weights to every layer (Nøkland 2016)",
        networks=("feedforward",),
        hardware=_FIXED,
        implementation="neurohw.learning.feedback_alignment:DirectFeedbackAlignment",
        keys=("weight_decay", *_FEEDBACK),
    ),
    Rule(
        name="sign-symmetric",
        short="ss",
        recipe="sign-symmetric-1h",
        description="errors through the first signs of the weights (after Liao et al. 2016)",
        networks=("feedforward",),
        hardware=_FIXED,
        implementation="neurohw.learning.feedback_alignment:SignSymmetric",
        keys=("weight_decay", *_FEEDBACK),
    ),
    Rule(
        name="kolen-pollack",
        short="kp",
        recipe="kolen-pollack-1h",
        description="errors through weights that take the same updates (Akrout et al. 2019)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="learned",
            symmetry="learned",
            phases=_BACKWARD,
            local="presynaptic state, error of the unit, at both synapses; own weight",
            memory=2,
        ),
        implementation="neurohw.learning.learned_feedback:KolenPollack",
        keys=("weight_decay", *_FEEDBACK),
        needs=("weight_decay",),
    ),
    Rule(
        name="weight-mirror",
        short="wm",
        recipe="weight-mirror-1h",
        description="errors through weights that random signals teach (Akrout et al. 2019)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="learned",
            symmetry="learned",
            phases=(*_BACKWARD, "mirror"),
            local="presynaptic state, error of the unit; random signal and answer, own weight",
            memory=2,
        ),
        implementation="neurohw.learning.learned_feedback:WeightMirror",
        keys=("weight_decay", *_FEEDBACK, "feedback.mirror_rate"),
        decays=True,
    ),
    Rule(
        name="brainprop",
        short="brainprop",
        recipe="brainprop-1h",
        description="one reward, and feedback from the action taken (Pozzi et al. 2020)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="transposed",
            symmetry="exact",
            phases=_BACKWARD,
            local="presynaptic state, feedback of the unit",
            memory=2,
            broadcast="reward prediction error",
        ),
        implementation="neurohw.learning.brainprop:BrainProp",
        keys=("weight_decay", "brainprop"),
        requires=_VALUES,
        nearest="brainprop-reciprocal",
    ),
    Rule(
        name="brainprop-reciprocal",
        short="brainprop-r",
        recipe="brainprop-reciprocal-1h",
        description="the same, through feedback weights that learn by the same rule",
        networks=("feedforward",),
        hardware=Hardware(
            transport="learned",
            symmetry="learned",
            phases=_BACKWARD,
            local="presynaptic state, feedback of the unit, at both synapses; own weight",
            memory=2,
            broadcast="reward prediction error",
        ),
        implementation="neurohw.learning.brainprop:ReciprocalBrainProp",
        keys=("weight_decay", "brainprop", *_FEEDBACK),
        needs=("weight_decay",),
        requires=_VALUES,
    ),
    Rule(
        name="burst",
        short="burst",
        recipe="burst-1h",
        description="changes of burst rates carry the errors (Payeur et al. 2021)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="learned",
            symmetry="learned",
            phases=("forward", "baseline", "teacher"),
            local="presynaptic event rate, burst rate of the unit with and without a teacher;"
            " at lateral synapses bursts of both ends, at those of feedback also own weight",
            memory=3,
        ),
        implementation="neurohw.learning.burst:BurstPropagation",
        keys=("weight_decay", "burst", *_FEEDBACK),
        needs=("weight_decay",),
        requires=_SIGMOIDS,
    ),
    Rule(
        name="two-site",
        short="two-site",
        description="errors at apical dendrites, whose weights are Hebbian (Körding, König 2001)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="learned",
            symmetry="none",
            phases=_BACKWARD,
            local="presynaptic rate, learning signal of the unit; at apical synapses both rates",
            memory=2,
        ),
        implementation="neurohw.learning.two_site:TwoSite",
        recipe="two-site-1h",
        keys=("two_site", *_FEEDBACK),
        requires=_SIGMOIDS,
        decays=True,
        nearest="feedback-alignment",
    ),
    Rule(
        name="segregated",
        short="segregated",
        description="plateaus of apical dendrites in two phases (Guerguiev et al. 2017)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="fixed",
            symmetry="none",
            phases=("forward", "plateau", "target"),
            local="presynaptic rate, plateau of the unit in two phases",
            memory=2,
        ),
        implementation="neurohw.learning.segregated:Segregated",
        recipe="segregated-1h",
        keys=_FEEDBACK,
        requires=_SIGMOIDS,
    ),
    Rule(
        name="dendritic",
        short="dendritic",
        description="apical dendrites against interneurons (Sacramento et al. 2018)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="fixed",
            symmetry="none",
            phases=("forward", "nudged"),
            local="presynaptic rate, soma and dendrite of the unit; a nudge from one unit above",
            memory=2,
        ),
        implementation="neurohw.learning.dendritic:DendriticMicrocircuits",
        recipe="dendritic-2h",
        keys=("dendritic",),
        coupled=("dendritic.interneuron_rate",),
        requires=_SIGMOIDS,
    ),
    Rule(
        name="hebb",
        short="hebb",
        description="products of states, outputs clamped to targets (Hebb 1949)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="none",
            symmetry="none",
            phases=("forward",),
            local="states of both ends, targets at the outputs",
        ),
        implementation="neurohw.learning.hebbian:Hebb",
        keys=("centred",),
        aligned=False,
        recipe="hebb-1h",
    ),
    Rule(
        name="oja",
        short="oja",
        description="Hebb's rule with decay: principal component, means of classes (Oja 1982)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="none",
            symmetry="none",
            phases=("forward",),
            local="states of both ends, targets at the outputs, own weight",
        ),
        implementation="neurohw.learning.hebbian:Oja",
        decays=True,
        biased=False,
        aligned=False,
        recipe="oja-1h",
        nearest="hebb",
    ),
    Rule(
        name="sanger",
        short="sanger",
        description="Oja's rule with deflation: principal components in order (Sanger 1989)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="transposed",
            symmetry="exact",
            phases=("forward", "deflation"),
            local="states of both ends, what earlier units stand for",
            memory=1,
        ),
        implementation="neurohw.learning.hebbian:Sanger",
        requires={"chip.programming.events": ("batch",)},
        biased=False,
        aligned=False,
        recipe="sanger-1h",
        nearest="oja",
    ),
    Rule(
        name="krotov-hopfield",
        short="krotov-hopfield",
        description="competing hidden units without labels, then a readout (Krotov, Hopfield 2019)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="none",
            symmetry="none",
            phases=("forward",),
            local="presynaptic state, rank or level of the unit, own weight",
            broadcast="who won (lateral inhibition); the largest change, where steps are relative",
        ),
        implementation="neurohw.learning.krotov_hopfield:KrotovHopfield",
        keys=("competition",),
        needs=("competition",),
        decays=True,
        biased=False,
        staged=True,
        aligned=False,
        recipe="krotov-hopfield-1h",
        nearest="hebb",
    ),
    Rule(
        name="predictive-coding",
        short="pc",
        recipe="predictive-coding-1h",
        description="values relax between predictions and errors (Whittington and Bogacz 2017)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="transposed",
            symmetry="exact",
            phases=("forward", "relaxation"),
            local="presynaptic state, error of the unit",
            memory=2,
            broadcast="whether a step lowered the free energy, where it may be halved",
        ),
        implementation="neurohw.learning.predictive_coding:PredictiveCoding",
        keys=("weight_decay", "inference"),
        nearest="kolen-pollack",
    ),
    Rule(
        name="contrastive-divergence",
        short="cd",
        recipe="rbm",
        description="data against reconstructions of a Boltzmann machine (Hinton 2002)",
        networks=("boltzmann",),
        hardware=Hardware(
            transport="transposed",
            symmetry="exact",
            phases=("data", "reconstruction"),
            local="states of both ends in two phases",
            memory=1,
        ),
        keys=("weight_decay", "chain"),
        aligned=False,
    ),
)

RULES: Mapping[str, Rule] = {rule.name: rule for rule in _ALL}


def find(name: str) -> Rule:
    """Return a rule by its name, or its short one.

    Raises
    ------
    InvalidValueError
        There is no such rule; names those there are.
    """
    for rule in _ALL:
        if name in (rule.name, rule.short):
            return rule
    raise InvalidValueError(f"{name}: no such learning rule; there are {', '.join(RULES)}")


def of_network(kind: str) -> list[str]:
    """Return the names of the rules that train a kind of network."""
    return [rule.name for rule in _ALL if kind in rule.networks]


def own_keys() -> Iterator[str]:
    """Yield every key of `learning` that only some rules have."""
    yield from dict.fromkeys(key for rule in _ALL for key in rule.keys)


def available() -> list[dict[str, Any]]:
    """Name, description and needs of every rule."""
    return [
        {
            "name": rule.name,
            "description": rule.description,
            "short": rule.short,
            "networks": list(rule.networks),
            **msgspec.to_builtins(rule.hardware),
        }
        for rule in _ALL
    ]
