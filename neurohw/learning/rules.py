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
    requires : mapping of str to tuple of str
        Values that other keys have to have, the first one of each a good choice.
    aligned : bool
        Whether it gives every hidden unit an error, to be compared with that of backpropagation.
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
    requires: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    aligned: bool = True
    nearest: str = ""

    def load(self) -> Any:
        """Return the class of a feed-forward rule."""
        module, _, name = self.implementation.partition(":")
        return getattr(importlib.import_module(module), name)


_BACKWARD = ("forward", "backward")

_ALL = (
    Rule(
        name="equilibrium-propagation",
        short="ep",
        description="contrast of a free and a nudged equilibrium (Scellier and Bengio 2017)",
        networks=("resistive", "hopfield"),
        hardware=Hardware(
            transport="shared",
            symmetry="exact",
            phases=("free", "nudged"),
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
        name="backpropagation",
        short="bp",
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
    ),
    Rule(
        name="predictive-coding",
        short="pc",
        description="values relax between predictions and errors (Whittington and Bogacz 2017)",
        networks=("feedforward",),
        hardware=Hardware(
            transport="transposed",
            symmetry="exact",
            phases=("forward", "relaxation"),
            local="presynaptic state, error of the unit",
            memory=2,
        ),
        implementation="neurohw.learning.predictive_coding:PredictiveCoding",
        keys=("weight_decay", "inference"),
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
