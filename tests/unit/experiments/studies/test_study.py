"""Studies: keys, axes, designs, points, and what is refused before anything runs."""

import numpy as np
import pytest

from neurohw.errors import ConfigurationError
from neurohw.experiments.studies import keys, study


@pytest.mark.parametrize(
    "word, paths",
    [
        ("chip.device.cycle_to_cycle", ["chip.device.cycle_to_cycle"]),
        ("device.cycle_to_cycle", ["chip.device.cycle_to_cycle"]),
        ("nudging", ["learning.nudging"]),
        ("rule", ["learning.rule"]),
        ("device", ["chip.device"]),
        ("converters.adc_bits", ["chip.converters.state_adc.bits"]),
        ("array.interconnect_resistance", ["chip.wires.word_line", "chip.wires.bit_line"]),
    ],
)
def test_short_keys_are_ends_of_full_ones(word, paths):
    assert [key.path for key in keys.find(word)] == paths


def test_an_unknown_key_names_the_nearest_and_an_ambiguous_one_all():
    with pytest.raises(ConfigurationError, match=r"did you mean device\.cycle_to_cycle\?"):
        keys.find("device.cycle_to_cycl")
    with pytest.raises(ConfigurationError, match=r"chip\.converters\.input_dac\.bits, chip\.conv"):
        keys.find("bits")


def test_quantities_are_read_in_si_and_bits_harm_when_there_are_few():
    (key,) = keys.find("device.g_min")
    assert key.value("250 nS") == pytest.approx(250e-9)
    assert keys.find("converters.adc_bits")[0].less_is_worse
    with pytest.raises(ConfigurationError, match=r"device\.g_min"):
        key.value("250 V")


def axis(**changes):
    return {
        "kind": "range",
        "key": "device.cycle_to_cycle",
        "low": "0.1 %",
        "high": "10 %",
    } | changes


@pytest.mark.parametrize(
    "changes, values",
    [
        ({"points": 3}, [0.001, 0.01, 0.1]),
        ({"points": 3, "scale": "linear"}, [0.001, 0.0505, 0.1]),
        ({"key": "training.batch", "low": 1, "high": 8, "points": 4}, [1, 2, 4, 8]),
        ({"key": "training.batch", "low": 1, "high": 3, "points": 9}, [1, 2, 3]),
    ],
)
def test_ranges(table, changes, values):
    (found,) = study.load(table | {"axes": [axis(**changes)]}).axes
    np.testing.assert_allclose(found.values, values, rtol=1e-12)
    assert type(found.values[0]) is type(values[0])


def test_a_grid_holds_every_combination_and_the_references(table):
    table["axes"] += [
        {
            "kind": "cases",
            "name": "rule",
            "cases": [{"name": "EP"}, {"name": "backprop", "recipe": "mlp-1h"}],
        }
    ]
    table["axes"][0]["values"] = ["1 %", "10 %"]
    points = study.points(study.load(table))
    places = [(noise, rule) for noise in (0.01, 0.1, 0) for rule in ("EP", "backprop")]
    assert [p.values for p in points] == places
    assert [p.reference for p in points] == [4, 5, 4, 5, 4, 5]
    assert [p.experiment.recipe for p in points[:2]] == ["drn-digits", "mlp-1h"]
    assert points[2].experiment.chip.device.cycle_to_cycle == 0.1
    assert points[4].at(7).training.seed == 7


def test_what_replaces_a_table_goes_before_what_changes_it(table):
    table["axes"] += [{"kind": "list", "key": "device", "values": ["gst-pcm", "ag-a-si"]}]
    for point in study.points(study.load(table)):
        device = point.experiment.chip.device
        assert (device.cycle_to_cycle, device.name) == point.values


@pytest.mark.parametrize("kind", ["sobol", "latin-hypercube"])
def test_samples_fill_each_axis_evenly(table, kind):
    table |= {
        "design": {"kind": kind, "points": 8},
        "axes": [axis(), axis(key="nudging", low=0.1, high=1)],
    }
    points = study.points(study.load(table))
    assert len(points) == 8
    for k, (low, high) in enumerate([(0.001, 0.1), (0.1, 1.0)]):
        places = np.log([p.values[k] / low for p in points]) / np.log(high / low)
        # Both have one point in each eighth.
        assert sorted((8 * places).astype(int)) == list(range(8))
    assert [p.values for p in points] == [p.values for p in study.points(study.load(table))]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"axes": [axis(key="device.noise_")]}, "noise: key = device.noise_: unknown key"),
        ({"axes": [axis(high="200 %")]}, r"noise: device.cycle_to_cycle = 200 %: .*cycle_to_cycle"),
        ({"axes": [axis(low=0)]}, "must be finite, above 0, low below high"),
        ({"axes": [axis(key="training.seed", low=1, high=2)]}, "give seeds"),
        ({"axes": []}, "axes = .*at least one"),
        ({"axes": [axis(), axis()]}, "names must differ"),
        ({"axes": [axis(), axis(name="again")]}, "cycle_to_cycle: is varied twice"),
        ({"axes": [axis(name="seed")]}, "name = seed: is a column of the table"),
        ({"axes": [axis(ideal=[0])]}, "ideal"),
        ({"axes": [axis(points=400), axis(key="nudging", points=400)]}, "100000 at most"),
        ({"axes": [axis(points=10**6)]}, "points"),
        ({"seeds": [1, 1]}, "must be different"),
        ({"stopping": {"error": 0.5}, "halving": {}}, "leave out halving"),
        ({"axes": [{"kind": "lists", "key": "nudging"}]}, "did you mean list"),
    ],
)  # fmt: skip
def test_bad_studies_are_refused_with_their_point(table, changes, message):
    with pytest.raises(ConfigurationError, match=message):
        study.points(study.load(table | changes))


def test_an_axis_of_epochs_goes_before_those_of_the_study(table):
    table["axes"] = [{"kind": "list", "key": "training.epochs", "values": [1, 4]}]
    points = study.points(study.load(table))
    assert [point.experiment.training.epochs for point in points] == [1, 4]


def test_halving_has_rungs():
    assert study.Halving(epochs=1, factor=3).rungs(10) == [1, 3, 9, 10]
    assert study.Halving(epochs=5).rungs(5) == [5]


@pytest.mark.parametrize("name", study.STUDIES.names())
def test_every_point_of_the_shipped_studies_resolves(name):
    found = study.load(name)
    points = study.points(found)
    assert found.description
    assert len(points) * len(found.seed_list) <= 130
