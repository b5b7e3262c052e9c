"""Physical scale of an experiment: what the numbers of its recipe are on its chip."""

from collections.abc import Sequence

from neurohw.experiments.experiment import Experiment
from neurohw.mappings.scale import physical_scale
from neurohw.mappings.signed_scale import signed_scale


def rows(experiment: Experiment, fan_in: Sequence[int]) -> list[tuple[str, float, str]]:
    """Rows (quantity, value, unit) of a table for people, the recipe's own numbers first.

    fan_in (layers,) are the word lines of each array, the doubled input first. Learning rates are
    those of the first epoch.
    """
    if experiment.network.kind != "resistive":
        return _signed_rows(experiment)
    scale = physical_scale(experiment.chip, fan_in, experiment.input_gain)
    found = [
        ("input full scale", experiment.chip.input.full_scale, "V"),
        ("nudging β", scale.nudging(experiment.nudging), "S"),
    ]
    for layer, rate in enumerate(experiment.learning_rates, start=1):
        found.append((f"learning rate of layer {layer}", scale.learning_rate(rate), "S/V²"))
    if experiment.chip.bias.kind != "off":
        for layer, rate in enumerate(experiment.bias_learning_rates, start=1):
            value = scale.bias_learning_rate(rate)
            found.append((f"bias learning rate of layer {layer}", value, scale.bias_rate_unit))
    return found + scale.rows()


def _signed_rows(experiment: Experiment) -> list[tuple[str, float, str]]:
    """Return the rows of a network of signed weights."""
    scale = signed_scale(experiment.chip, experiment.layers)
    found = []
    if experiment.network.kind == "hopfield":
        found.append(("leak of an integrator", scale.leak, "S"))
        found.append(("nudging β", scale.nudging(experiment.nudging), "S"))
    for layer, rate in enumerate(experiment.learning_rates):
        value = scale.learning_rate(rate, layer)
        found.append((f"learning rate of layer {layer + 1}", value, "S/V²"))
    if experiment.chip.bias.kind != "off":
        for layer, rate in enumerate(experiment.bias_learning_rates):
            value = scale.bias_learning_rate(rate, layer)
            found.append((f"bias learning rate of layer {layer + 1}", value, "S"))
    return found + scale.rows()
