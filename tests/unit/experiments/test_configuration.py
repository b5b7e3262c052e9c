import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurohw.errors import ConfigurationError
from neurohw.experiments.configuration import RECIPES, from_json, load, recipes, to_json
from neurohw.mappings.chip_specification import PRESETS

# hidden, input gain, sweeps, nudging, rates, bias rates, epochs
PUBLISHED = {
    "drn-xs": ((100,), 100, 4, 1, (0.006,) * 2, (0.006,) * 2, 10),
    "drn-1h": ((1024,), 480, 4, 1, (0.006,) * 2, (0.006,) * 2, 50),
    "drn-xl": ((32768,), 800, 4, 1, (0.006,) * 2, (0.006,) * 2, 100),
    "drn-2h": ((1024,) * 2, 2000, 5, 1, (0.002, 0.006, 0.018), (0.002, 0.006, 0.018), 50),
    "drn-3h": (
        (1024,) * 3,
        4000,
        6,
        2,
        (0.005, 0.02, 0.08, 0.005),
        (0.0005, 0.002, 0.008, 0.0005),
        50,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipes_hold_the_published_settings(name):
    hidden, gain, sweeps, nudging, rates, bias_rates, epochs = PUBLISHED[name]
    experiment = load(name)
    assert (experiment.recipe, experiment.chip.name) == (name, "ideal")
    assert experiment.data.name == "mnist"
    assert (experiment.network.hidden, experiment.network.input_gain) == (hidden, gain)
    relaxation = experiment.relaxation
    assert (relaxation.free_sweeps, relaxation.nudged_sweeps) == (sweeps, sweeps)
    assert relaxation.tolerance == 0
    assert (experiment.learning.variant, experiment.learning.nudging) == ("centered", nudging)
    assert (experiment.learning_rates, experiment.bias_learning_rates) == (rates, bias_rates)
    assert experiment.learning.learning_rate_decay == 0.99
    assert (experiment.training.epochs, experiment.training.batch) == (epochs, 4)


def test_fashion_recipe_holds_the_published_settings():
    """Except that 5 sweeps hold its 4 backward ones, and the rate of biases has its momentum."""
    experiment = load("drn-1h-fashion")
    assert experiment.data.name == "fashion-mnist"
    assert (experiment.network.hidden, experiment.network.input_gain) == ((1024,), 5 * 60)
    assert (experiment.phases.free_sweeps, experiment.phases.nudged_sweeps) == (4, 5)
    learning, programming = experiment.learning, experiment.chip.programming
    assert (learning.variant, learning.nudging, learning.learning_rate_decay) == (
        "centered",
        0.5,
        0.99,
    )
    assert (programming.optimizer, programming.momentum) == ("momentum", 0.9)
    assert experiment.learning_rates == (0.005, 0.005)
    assert experiment.bias_learning_rates == pytest.approx([0.005 / (1 - 0.9)] * 2)
    assert (experiment.training.epochs, experiment.training.batch) == (100, 32)


def test_every_recipe_is_listed():
    listed = recipes()
    own = {"drn-digits", "drn-digits-16", "drn-xor", "ep-1h", "ep-2h", "kendall", "mlp-1h"}
    own |= {"ep-3h", "ep-1h-fast", "ep-2h-fast", "ep-3h-fast", "ep-conv", "ep-conv-fashion"}
    own |= {"drn-1h-fashion", "mlp-2h", "neurosim-400-100-10"}
    own |= {"two-site-1h", "segregated-1h", "dendritic-2h"}
    own |= {"fa-1h", "fa-1h-relu", "dfa-1h", "sign-symmetric-1h", "kolen-pollack-1h"}
    own |= {"weight-mirror-1h", "brainprop-1h", "brainprop-3h", "brainprop-reciprocal-1h"}
    own |= {"burst-1h", "burst-3h", "hebb-1h", "oja-1h", "sanger-1h"}
    kinds = ("", "-1h", "-chip", "-cifar10", "-demo", "-end-to-end", "-stack")
    own |= {f"krotov-hopfield{kind}" for kind in kinds}
    own |= {"predictive-coding", "predictive-coding-1h", "rbm", "chl-1h"}
    assert {row["name"] for row in listed} == own | set(PUBLISHED)
    assert all(row["description"] for row in listed)


def test_one_rate_serves_every_layer():
    experiment = load("drn-2h", settings=["learning.learning_rate=0.01"])
    assert experiment.learning_rates == (0.01,) * 3


def test_settings_reach_into_the_chip():
    experiment = load(
        "drn-xs",
        chip="epiram",
        settings=[
            "chip.device.cycle_to_cycle=3 %",
            "chip.mapping.conductance_scale=[2,3]",
            "data.validation=10000",
        ],
        epochs=3,
        seed=7,
    )
    assert experiment.chip.name == "epiram"
    assert experiment.chip.device.pulses_up == 64
    assert experiment.chip.device.cycle_to_cycle == 0.03
    assert experiment.chip.mapping.conductance_scale == (2.0, 3.0)
    assert experiment.data.validation == 10_000
    assert (experiment.training.epochs, experiment.training.seed) == (3, 7)


def test_settings_may_change_chip_and_device_and_then_override_them():
    settings_ = ["chip=pcmo", "chip.device=gst-pcm", "chip.device.pulses_up=7"]
    experiment = load("drn-xs", settings=settings_)
    assert (experiment.chip.name, experiment.chip.device.name) == ("pcmo", "gst-pcm")
    assert experiment.chip.device.pulses_up == 7


def test_a_file_can_start_from_a_recipe_and_hold_paths(tmp_path):
    (tmp_path / "chip.toml").write_text('preset = "pcmo"\n')
    path = tmp_path / "mine.toml"
    path.write_text(
        'preset = "drn-digits"\nchip = "chip.toml"\n[data]\nname = "mine.npz"\n'
        "[training]\nepochs = 2\n"
    )
    experiment = load(path)
    assert (experiment.recipe, experiment.chip.name) == ("mine", "chip")
    assert experiment.data.name == str(tmp_path / "mine.npz")
    assert (experiment.training.epochs, experiment.training.batch) == (2, 4)
    assert load(str(path)) == experiment
    overridden = load(path, settings=["chip.device.pulses_up=3"])
    assert (overridden.chip.name, overridden.chip.device.pulses_up) == ("chip", 3)


def test_a_file_without_a_chip_runs_on_the_ideal_one(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        "[network]\nhidden = [8]\ninput_gain = 25\n"
        "[relaxation]\nfree_sweeps = 4\nnudged_sweeps = 4\n"
        "[learning]\nnudging = 1\nlearning_rate = 0.01\nbias_learning_rate = 0.01\n"
        "[training]\nepochs = 1\n"
    )
    experiment = load(path)
    assert (experiment.chip.name, experiment.layers) == ("ideal", 2)


@pytest.mark.parametrize("recipe", ["drn-xs", "drn-3h", "drn-digits"])
@pytest.mark.parametrize("chip", PRESETS.names())
def test_json_keeps_everything(recipe, chip):
    experiment = load(recipe, chip=chip)
    assert from_json(to_json(experiment), "run") == experiment


@settings(max_examples=50, deadline=None)
@given(
    rate=st.floats(min_value=0, max_value=1e300),
    tolerance=st.floats(min_value=0, max_value=1, exclude_max=True),
    endurance=st.floats(min_value=1e-300, allow_nan=False),
)
def test_json_keeps_every_float(rate, tolerance, endurance):
    experiment = load("drn-digits")
    replace = msgspec.structs.replace
    changed = replace(
        experiment,
        relaxation=replace(experiment.relaxation, tolerance=tolerance),
        learning=replace(experiment.learning, learning_rate=(rate, 0.1)),
        chip=replace(experiment.chip, device=replace(experiment.chip.device, endurance=endurance)),
    )
    assert from_json(to_json(changed), "run") == changed


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "run.h5: is not JSON"),
        ("[]", "run.h5: the table = []: expected table, got list"),
        ("{}", "run.h5: chip: is missing"),
    ],
)
def test_json_of_something_else_is_refused(text, fault):
    with pytest.raises(ConfigurationError) as caught:
        from_json(text, "run.h5")
    assert str(caught.value).startswith(fault)


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("training.bach=1", "training.bach = 1: unknown key; did you mean batch?"),
        ("training.batch=0", "training.batch = 0: expected whole number >= 1"),
        (
            "chip.converters.state_adc.bits=24",
            "chip.converters.state_adc.bits = 24: must be 0 (infinite resolution) to 22; float32",
        ),
        (
            "chip.converters.difference_adc.full_scale=[1 mV]",
            'chip.converters.difference_adc.full_scale = "[1 mV]": not a quantity such as',
        ),
        ("training.epochs=-1", "training.epochs = -1: expected whole number >= 0"),
        ("training.epochs=1.5", "training.epochs = 1.5: expected whole number, got number"),
        ("training.seed=-1", "training.seed = -1: expected whole number >= 0"),
        (
            "training.engine=cuda",
            'training.engine = "cuda": unknown value; known: numba',
        ),
        ("training.engine=transient", "relaxation.free_time = none: training.engine = transient"),
        (
            "relaxation.free_time=1 us",
            "relaxation.free_time = 1e-06 s: training.engine = numba has",
        ),
        ("relaxation.nudged_time=0 s", "relaxation.nudged_time = 0 s: must be finite, above 0"),
        ("relaxation.free_time=1 V", 'relaxation.free_time = "1 V": its unit must be s, not V'),
        ("chip=epirm", 'chip = "epirm": unknown chip; did you mean epiram?'),
        ("chip=none.toml", 'chip = "none.toml": no such file'),
        ("chip.device=epirm", 'chip.device = "epirm": unknown device; did you mean epiram?'),
        ("chip.device.g_min=25 V", 'chip.device.g_min = "25 V": its unit must be S, not V'),
        ("chip.device.g_min=-1 uS", "chip.device.g_min = -1 uS: must be finite, 0 or more"),
        ("chip.device.g_max=nan", "chip.device.g_max = nan: not a number"),
        ("network.hidden=[]", "network.hidden = []: must list at least one layer"),
        ("network.hidden=[1]", "network.hidden[0] = 1: expected whole number >= 2"),
        ("network.hidden=100", "network.hidden = 100: expected list, got whole number"),
        ("network.input_gain=0", "network.input_gain = 0: expected number > 0.0"),
        ("network.input_gain=inf", "network.input_gain = inf: must be finite"),
        (
            "network.hidden=[8,8]",
            "learning.learning_rate = [0.006, 0.006]: must be one number, or 3, one a layer",
        ),
        (
            "learning.bias_learning_rate=[1,2,3]",
            "learning.bias_learning_rate = [1.0, 2.0, 3.0]: must be one number, or 2",
        ),
        ("learning.learning_rate=-1", "learning.learning_rate = -1: expected number >= 0.0"),
        ("learning.nudging=-1", "learning.nudging = -1: expected number > 0.0"),
        ("learning.variant=center", 'learning.variant = "center": unknown value; did you mean'),
        (
            "chip.mapping.conductance_scale=[1,2,3]",
            "chip.mapping.conductance_scale = [1.0, 2.0, 3.0]: must be one number, or 2",
        ),
        ("data={train=10, validation=10}", "data.validation = 10: must be below train = 10"),
        ("data.train=true", "data.train = True: expected whole number, got true or false"),
    ],
)
def test_a_wrong_setting_is_one_line(setting, fault):
    with pytest.raises(ConfigurationError) as caught:
        load("drn-xs", settings=[setting])
    assert str(caught.value).startswith(f"drn-xs --set {setting}: {fault}")
    assert "\n" not in str(caught.value)


def test_unknown_recipes_and_files_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r'^recipe = "drn-x": unknown recipe'):
        load("drn-x")
    with pytest.raises(ConfigurationError, match="no such file"):
        load(tmp_path / "none.toml")


def test_infinity_is_text_in_json():
    text = to_json(load("drn-digits"))
    assert '"g_max": "inf"' in text
    assert "Infinity" not in text
    assert from_json(text, "run").chip.device.g_max == math.inf


@pytest.mark.parametrize("recipe", ["drn-digits", "ep-1h"])
def test_variants_that_clamp_the_outputs_have_a_circuit_for_it(recipe):
    assert load(recipe).circuit.nudging.kind == "conductance"
    coupled = load(recipe, settings=["learning.variant=coupled"])
    assert coupled.chip.nudging.kind is None
    assert coupled.circuit.nudging.kind == "clamp"
    assert from_json(to_json(coupled), "text") == coupled
    hebbian = ["learning.variant=contrastive_hebbian", "learning.nudging=1"]
    assert load(recipe, settings=hebbian).nudging == 1
    for kind in ("current", "conductance"):
        with pytest.raises(ConfigurationError, match=rf"coupled: .*kind = {kind} pulls them"):
            load(coupled, settings=[f"chip.nudging.kind={kind}"])
    with pytest.raises(ConfigurationError, match=r"nudging = 0.5: .* take 1, or leave it out"):
        load(recipe, settings=[*hebbian, "learning.nudging=0.5"])


def test_contrastive_hebbian_learning_needs_no_nudging(tmp_path):
    path = tmp_path / "mine.toml"
    text = RECIPES.folder.joinpath("ep-1h.toml").read_text()
    text = text.replace('"random_sign"', '"contrastive_hebbian"')
    path.write_text(text.replace("nudging = 1.0\n", ""))
    assert load(path).nudging == 1


@pytest.mark.parametrize("points", ["7", "0"])
def test_points_on_the_circle_are_even(points):
    with pytest.raises(ConfigurationError, match="points"):
        load("ep-1h", settings=[f"learning.points={points}"])


def test_only_hopfield_networks_have_points():
    with pytest.raises(ConfigurationError, match=r"learning\.points: a resistive network has none"):
        load("drn-digits", settings=["learning.points=8"])
