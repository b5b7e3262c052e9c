"""Chips with nonlinear cells: what their files say, what goes together, and that they learn."""

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from neurohw import engines
from neurohw.chip import Chip
from neurohw.circuits.curves import Curve
from neurohw.errors import ConfigurationError, InvalidValueError, UnsupportedError
from neurohw.experiments import configuration
from neurohw.experiments.trainer import train
from neurohw.learning.resistive import ResistivePropagation
from neurohw.mappings.chip_specification import load
from neurohw.networks.resistive import deep_resistive_network

VOLTAGE = np.linspace(-1, 1, 21)
CURRENT = 5e-6 * np.sinh(VOLTAGE / 0.4)
CUBIC = {"voltage": ["-1 V", "1 V"], "coefficients": [1, 0, 2]}


@pytest.fixture
def cell(tmp_path):
    path = tmp_path / "cell.csv"
    rows = [f"{v},{i}" for v, i in zip(VOLTAGE, CURRENT, strict=True)]
    path.write_text("\n".join(["voltage_V,current_A", *rows]))
    return path


@pytest.mark.parametrize("synapse", ['"cell.csv"', '{ file = "cell.csv", degree = 7 }'])
def test_a_cell_is_fitted_by_a_polynomial(cell, synapse):
    chip_file = cell.with_name("chip.toml")
    chip_file.write_text(f'device = "ideal"\nsynapse = {synapse}\n')
    curve = load(chip_file).synapse
    assert curve.degree == (7 if "degree" in synapse else 5)
    assert_allclose(curve.voltage, VOLTAGE)
    assert 1e-9 < curve.residual < 1e-3
    network = Chip(
        load(chip_file), deep_resistive_network(3, (4,), 2), 1.0, seed=0, dtype="float32"
    ).network
    # f of a sinh is V·sinh(u/V); the fit's slope at 0 differs from the sinh's a little.
    law = network.synapse.law
    assert_allclose(law.current(VOLTAGE), 0.4 * np.sinh(VOLTAGE / 0.4), rtol=0.01)


@pytest.mark.parametrize(("points", "degree"), [(2, 1), (5, 4), (6, 5), (21, 5)])
def test_few_points_are_fitted_by_a_lower_degree(tmp_path, points, degree):
    path = tmp_path / "cell.csv"
    rows = [f"{v},{v + v**3}" for v in np.linspace(-1, 1, points)]
    path.write_text("\n".join(["voltage_V,current_A", *rows]))
    assert load({"device": "ideal", "synapse": str(path)}).synapse.degree == degree


def test_cells_of_lines_do_not_learn():
    """Only Python gives them: in a chip's file a degree is never missing."""
    lines = Curve(voltage=(-1.0, 0.0, 1.0), current=(-1e-6, 0.0, 2e-6))
    chip = Chip(
        msgspec.structs.replace(load("ideal"), synapse=lines),
        deep_resistive_network(3, (4,), 2),
        1.0,
        seed=0,
        dtype="float64",
    )
    with pytest.raises(UnsupportedError, match=r"synapse\.degree: missing.*learning too, needs"):
        rule_of(chip)


def test_coefficients_need_no_file():
    assert load({"device": "ideal", "synapse": CUBIC}).synapse == Curve(
        voltage=(-1.0, 1.0), coefficients=(1.0, 0.0, 2.0)
    )


@pytest.mark.parametrize(
    ("synapse", "fault"),
    [
        ({"voltage": [0, 1], "coefficients": [1]}, "synapse.voltage = 0 to 1 V: cells need both"),
        ({"voltage": [-1, 1], "coefficients": [1, 0, -1]}, "synapse.coefficients = [1.0, 0.0,"),
        ({"file": "none.csv"}, "none.csv: cannot be read"),
        ({"voltage": [-1, 1], "coefficients": [0.0]}, "synapse.coefficients = [0.0]: the current"),
        ({"voltage": [-1, 1]}, "synapse.current: has 0 points"),
        ({"voltage": [1], "current": [1]}, "synapse.current: has 1 points and voltage 1"),
        ({"voltage": 1, "current": [1]}, "synapse.voltage = 1"),
        (True, "synapse = True: must be the path of a CSV file, or a table"),
    ],
)
def test_impossible_cells_are_refused(synapse, fault):
    with pytest.raises(ConfigurationError) as failure:
        load({"device": "ideal", "synapse": synapse})
    assert fault in str(failure.value)


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"wires": {"word_line": 1, "bit_line": 1}}, "wires"),
        ({"bias": {"kind": "rails"}}, r"bias\.kind = rails"),
        ({"neuron": {"gain": 2}}, r"neuron\.gain"),
        ({"neuron": {"offset": "1 mV"}}, r"neuron\.gain, backward_gain or offset"),
    ],
)
def test_what_does_not_go_together_is_named(other, name):
    with pytest.raises(UnsupportedError, match=f"synapse together with {name}"):
        load({"device": "ideal", "synapse": CUBIC, **other})


def test_nudging_is_bounded_by_the_softest_state():
    """Cells that saturate hold the outputs less than their conductances say."""
    bounds = []
    for coefficients in ([1], [1, 0, -0.2]):
        synapse = {"voltage": [-1, 1], "coefficients": coefficients}
        chip = Chip(
            load({"device": "ideal", "synapse": synapse}),
            deep_resistive_network(3, (4,), 2),
            1.0,
            seed=0,
            dtype="float64",
        )
        bounds.append(bound_of(chip))
    assert bounds[1] == pytest.approx(0.4 * bounds[0], rel=1e-3)


def rule_of(chip):
    """Return a rule whose nudging is far beyond any bound."""
    return ResistivePropagation(
        chip.network,
        engines.load("numpy"),
        chip,
        variant="centered",
        nudging=1e6,
        free_sweeps=1,
        nudged_sweeps=1,
    )


def bound_of(chip):
    """Return the bound that the nudging breaks."""
    with pytest.raises(InvalidValueError, match="below") as failure:
        rule_of(chip).check_stability()
    return float(str(failure.value).split("below ")[1].split(",")[0])


@pytest.mark.parametrize("measured", [False, True])
def test_digits_are_learnt(cell, measured):
    """From nine wrong in ten to about four in three epochs, on measured nodes too."""
    settings = [
        "network.hidden=[16]",
        "data.train=600",
        "learning.nudging=0.1",
        f"chip.synapse={cell}",
    ]
    if measured:
        diode = cell.with_name("diode.csv")
        diode.write_text("voltage_V,current_A\n-1,-1e-9\n0,0\n1,1\n")
        settings += ["chip.neuron.kind=measured", f"chip.neuron.curve={diode}"]
    experiment = configuration.load("drn-digits", chip="ideal", settings=settings, epochs=3)
    run = train(experiment)
    assert run.history["test_error"][-1] < 0.55
    assert np.all(run.physical["power"] > 0)
    assert configuration.from_json(configuration.to_json(run.experiment), "run") == experiment
