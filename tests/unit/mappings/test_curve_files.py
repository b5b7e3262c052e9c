"""Chips that name files of measured points hold the points from then on."""

import pytest

from neurohw.circuits.curves import Curve
from neurohw.errors import ConfigurationError
from neurohw.experiments import configuration
from neurohw.mappings.chip_specification import load

POINTS = "voltage_V,current_A\n-0.5,-2e-9\n0,0\n0.5,1e-5\n0.7,4e-5\n"
CURVE = Curve(voltage=(-0.5, 0.0, 0.5, 0.7), current=(-2e-9, 0.0, 1e-5, 4e-5))
CHIP = 'device = "ideal"\n[neuron]\nkind = "measured"\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "diode.csv").write_text(POINTS)
    (tmp_path / "parts" / "chip.toml").write_text(CHIP + 'curve = "diode.csv"\n')
    return tmp_path


@pytest.mark.parametrize("curve", ['"diode.csv"', '{ file = "diode.csv" }'])
def test_a_file_is_found_beside_the_chip_that_names_it(folder, curve):
    path = folder / "parts" / "chip.toml"
    path.write_text(CHIP + f"curve = {curve}\n")
    chip = load(path)
    assert chip.neuron.curve == CURVE
    (folder / "mine.toml").write_text('preset = "parts/chip.toml"\ntemperature = 350\n')
    assert load(folder / "mine.toml").neuron.curve == CURVE


def test_a_recipe_finds_it_too_and_is_complete_without_it(folder):
    recipe = folder / "recipe.toml"
    recipe.write_text(
        'preset = "drn-digits"\n[chip]\npreset = "ideal"\n[chip.neuron]\nkind = "measured"\n'
        'curve = "parts/diode.csv"\n'
    )
    experiment = configuration.load(recipe)
    assert experiment.chip.neuron.curve == CURVE
    (folder / "parts" / "diode.csv").unlink()
    assert configuration.from_json(configuration.to_json(experiment), "run") == experiment


def test_a_setting_may_replace_file_and_law(folder, monkeypatch):
    (folder / "other.csv").write_text("voltage_V,current_A\n-1,-1\n1,1\n")
    chip = str(folder / "parts" / "chip.toml")
    monkeypatch.chdir(folder)
    found = configuration.load("drn-digits", chip=chip, settings=["chip.neuron.curve=other.csv"])
    assert found.chip.neuron.curve == Curve(voltage=(-1.0, 1.0), current=(-1.0, 1.0))
    found = configuration.load("drn-digits", chip=chip, settings=["chip.neuron.curve.degree=1"])
    assert (found.chip.neuron.curve.degree, found.chip.neuron.curve.voltage) == (1, CURVE.voltage)


@pytest.mark.parametrize(
    ("curve", "fault"),
    [
        ('"none.csv"', "none.csv: cannot be read"),
        ("3", "neuron.curve = 3: must be the path of a CSV file, or a table"),
        ("{ file = 3 }", "neuron.curve.file = 3: must be a path"),
        ('{ file = "diode.csv", law = 1 }', "neuron.curve.law = 1: unknown key"),
        ('{ file = "diode.csv", degree = 9 }', "neuron.curve.degree = 9: must be from 1 to 4"),
        (
            '{ voltage = ["0 V", "1 S"], current = [0, 1] }',
            'neuron.curve.voltage[1] = "1 S": its unit must be V, not S',
        ),
        (
            "{ voltage = [0, 1], current = [1, 0] }",
            "neuron.curve.current = 0 A at 1 V, point 2: must be above 1 A at 0 V, point 1",
        ),
    ],
)
def test_impossible_curves_are_refused(folder, curve, fault):
    path = folder / "parts" / "chip.toml"
    path.write_text(CHIP + f"curve = {curve}\n")
    with pytest.raises(ConfigurationError) as failure:
        load(path)
    assert fault in str(failure.value)
    assert str(folder) in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    "neuron",
    [{"kind": "measured"}, {"kind": "diode", "curve": {"voltage": [0, 1], "current": [0, 1]}}],
)
def test_only_a_measured_neuron_has_a_curve(neuron):
    with pytest.raises(ConfigurationError, match=r"neuron\.curve: a file of points is needed by"):
        load({"device": "ideal", "neuron": neuron})
