"""The experiment of each rule in a comparison: equal budgets, and changes of one rule."""

import pytest

from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.experiments import configuration
from neurohw.experiments.studies.plan import Plan, experiment_of, settings_of
from neurohw.learning import rules


def test_every_rule_with_a_recipe_can_be_compared():
    for rule in rules.RULES.values():
        if rule.recipe:
            hidden = (12,) if rule.name == "contrastive-divergence" else (12, 9)
            plan = Plan(rules=(rule.name,), chips=("ideal",), hidden=hidden)
            experiment = experiment_of(plan, rule, "ideal", factor=2.0)
            assert experiment.learning.rule == rule.name
            assert experiment.network.hidden == hidden
            assert not isinstance(experiment.network.initial_range, tuple)
            assert experiment.training.batch == 32
            rates = configuration.load(rule.recipe).learning_rates
            wanted = rates if len(rates) == len(experiment.learning_rates) else rates[:1] * 2
            assert experiment.learning_rates[:2] == pytest.approx([2 * r for r in wanted[:2]])
    with pytest.raises(ConfigurationError, match="a boltzmann network has one hidden layer"):
        experiment_of(
            Plan(rules=("cd",), chips=("ideal",), hidden=(12, 9)), rules.find("cd"), "ideal"
        )


def test_rates_stand_layer_by_layer_and_those_in_step_with_them_are_scaled():
    recipe = configuration.load("dendritic-2h")
    plan = Plan(rules=("dendritic",), chips=("ideal",), hidden=(12, 9))
    found = experiment_of(plan, rules.find("dendritic"), "ideal", factor=3.0)
    assert found.learning_rates == pytest.approx([3 * rate for rate in recipe.learning_rates])
    table, before = found.learning.dendritic, recipe.learning.dendritic
    assert table.interneuron_rate == pytest.approx([3 * r for r in before.interneuron_rate])


def test_rules_keep_alike_what_they_cannot_do_without_and_teach_no_biases_that_they_have_not():
    plan = Plan(rules=("burst",), chips=("ideal",), alike=True)
    for name in ("burst", "kp", "brainprop-r"):
        rule = rules.find(name)
        found = experiment_of(plan, rule, "ideal").learning.weight_decay
        assert found == configuration.load(rule.recipe).learning.weight_decay > 0
    for name in ("oja", "sanger"):
        assert max(experiment_of(plan, rules.find(name), "ideal").bias_learning_rates) == 0


def test_networks_can_be_alike_where_rules_allow_it():
    plan = Plan(rules=("bp",), chips=("ideal",), alike=True)
    for name in ("bp", "fa", "burst", "pc", "two-site", "brainprop", "ep", "chl"):
        network = experiment_of(plan, rules.find(name), "ideal").network
        assert network.activation == "sigmoid"
        assert network.cost == ("squared" if network.kind == "feedforward" else None)
        output = {"feedforward": "sigmoid", "hopfield": None}[network.kind]
        assert network.output == ("linear" if name == "brainprop" else output)


def test_a_change_can_be_of_one_rule():
    change = "fa:learning.feedback.range=0.25"
    plan = Plan(rules=("bp",), chips=("ideal",), settings=(change, "data.train=100"))
    changed, other = (experiment_of(plan, rules.find(name), "ideal") for name in ("fa", "dfa"))
    assert changed.learning.feedback.range == 0.25
    assert other.learning.feedback is None or other.learning.feedback.range != 0.25
    assert changed.data.train == other.data.train == 100
    with pytest.raises(InvalidValueError, match="none: no such learning rule"):
        settings_of(("none:data.train=100",), rules.find("bp"))
    # A colon behind the equals sign belongs to the value.
    assert settings_of(("data.name=C:own.npz",), rules.find("bp")) == ["data.name=C:own.npz"]


def test_the_search_holds_out_training_images_and_the_runs_hold_out_none():
    plan = Plan(rules=("bp",), chips=("ideal",), settings=("data.train=200",))
    rule = rules.find("bp")
    searched = experiment_of(plan, rule, "ideal", search=True)
    assert searched.data.validation == 200 // 6
    assert searched.training.epochs == 1
    assert experiment_of(plan, rule, "ideal").data.validation == 0
