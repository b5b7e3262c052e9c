"""The registry of rules: what is declared holds, and what a chip cannot carry is refused."""

import msgspec
import pytest

from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.experiments import configuration
from neurohw.learning import rules
from neurohw.learning.feedforward import FeedforwardRule
from neurohw.learning.settings import LearningSettings

FEEDFORWARD = [rule for rule in rules.RULES.values() if "feedforward" in rule.networks]


@pytest.mark.parametrize("rule", FEEDFORWARD, ids=lambda rule: rule.name)
def test_every_rule_of_feedforward_networks_is_a_class_with_the_keys_it_names(rule):
    assert issubclass(rule.load(), FeedforwardRule)
    fields = {field.name for field in msgspec.structs.fields(LearningSettings)}
    assert {key.split(".")[0] for key in rule.keys} <= fields
    assert set(rule.needs) <= set(rule.keys)


def test_names_short_and_long_are_one_rules_own():
    names = [name for rule in rules.RULES.values() for name in {rule.name, rule.short}]
    assert len(names) == len(set(names))
    assert rules.find("bp") is rules.find("backpropagation")
    assert all(r.nearest in (*rules.RULES, "") for r in rules.RULES.values())
    with pytest.raises(InvalidValueError, match="backprob: no such learning rule; there are equ"):
        rules.find("backprob")


def test_a_rule_that_reads_backwards_needs_a_chip_that_can():
    with pytest.raises(ConfigurationError, match=r"transposed_read = false; .*transposed_read = t"):
        configuration.load("mlp-1h", settings=["chip.transposed_read=false"])


def test_a_rule_of_another_network_is_refused_with_those_that_train_it():
    with pytest.raises(ConfigurationError, match="a feedforward network learns by backprop"):
        configuration.load("mlp-1h", settings=["learning.rule=stdp"])


def test_an_unknown_rule_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match=r"learning\.rule = .*did you mean backprop"):
        configuration.load("mlp-1h", settings=["learning.rule=backprobagation"])
