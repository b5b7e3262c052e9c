import math

import pytest

from neurohw.devices import memory
from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.mappings.chip_specification import PRESETS, Bias, available, load


def test_there_is_a_chip_for_every_device():
    assert PRESETS.names() == memory.PRESETS.names()
    for row in available():
        assert row["name"] == row["device"]
        assert row["description"]


@pytest.mark.parametrize("name", PRESETS.names())
def test_presets_have_biases_off_except_the_ideal_one(name):
    chip = load(name)
    assert chip.bias.kind == ("current" if name == "ideal" else "off")
    assert chip.device == memory.load(name)
    assert chip.input.full_scale < chip.device.write_threshold


def test_a_chip_file_with_a_device_file_beside_it(tmp_path):
    (tmp_path / "cell.toml").write_text('preset = "pcmo"\ncycle_to_cycle = "2 %"\n')
    path = tmp_path / "lot.toml"
    path.write_text('device = "cell.toml"\nmapping = {conductance_scale = [4, 3]}\n')
    chip = load(path)
    assert (chip.name, chip.device.name, chip.device.cycle_to_cycle) == ("lot", "cell", 0.02)
    assert chip.device.nonlinearity_down == memory.load("pcmo").nonlinearity_down
    assert chip.conductance_scales(2) == (4.0, 3.0)


def test_rails_follow_the_inputs_unless_given():
    chip = load({"device": "epiram", "bias": {"kind": "rails"}, "input": {"full_scale": "0.3 V"}})
    assert chip.bias.rail is None
    assert load({"preset": "epiram", "bias": {"rail": "50 mV"}}).bias.rail == 0.05
    assert Bias().kind == "off"


def test_one_scale_serves_every_layer():
    assert load("epiram").conductance_scales(3) == (4.0, 4.0, 4.0)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"device": "epirm"}, 'chip: device = "epirm": unknown device; did you mean epiram?'),
        (
            {"preset": "epiram", "device": {"preset": "pmco"}},
            'chip: device.preset = "pmco": unknown device; did you mean pcmo?',
        ),
        ({}, "chip: device: is missing"),
        ({"device": 3}, "chip: device = 3: must be a name, a path or a table"),
        ({"device": "none.toml"}, 'chip: device = "none.toml": no such file'),
        ({"device": "ideal", "bias": {"kind": "on"}}, 'chip: bias.kind = "on": unknown value'),
        ({"device": "ideal", "bias": {"rail": -1}}, "chip: bias.rail = -1.0: must be finite"),
        ({"device": "ideal", "input": {"full_scale": "0 V"}}, "chip: input.full_scale = 0.0"),
        (
            {"device": "ideal", "input": {"full_scale": "2 S"}},
            'chip: input.full_scale = "2 S": its unit must be V, not S',
        ),
        (
            {"device": "ideal", "mapping": {"conductance_scale": [4, 0]}},
            "chip: mapping.conductance_scale = (4.0, 0.0): must be finite, above 0",
        ),
        (
            {"device": "ideal", "mapping": {"conductance_scale": []}},
            "chip: mapping.conductance_scale = (): must be finite, above 0",
        ),
        (
            {"device": "ideal", "mapping": {"unit_conductance": math.inf}},
            "chip: mapping.unit_conductance = inf: must be finite",
        ),
        (
            {"device": "epiram", "mapping": {"unit_conductance": "10 uS"}},
            "chip: mapping.unit_conductance = 10 uS: must be left out",
        ),
        (
            {"preset": "epiram", "device": {"g_min": "1 mS"}},
            "chip: device.g_min = 1 mS: must be below g_max = 12.35 uS",
        ),
    ],
)
def test_impossible_chips_are_refused(table, fault):
    with pytest.raises(ConfigurationError) as caught:
        load(table)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_costs_take_the_bits_of_converters_and_the_node_of_wires():
    chip = load(
        {
            "preset": "epiram",
            "wires": {"node": 22, "half_pitches": 2},
            "converters": {"input_dac": {"bits": 5}, "state_adc": {"bits": 12}},
            "costs": {"adc_bits": 6},
        }
    )
    built = chip.built_costs
    assert (built.node, built.half_pitches, built.dac_bits, built.adc_bits) == (22, 2, 5, 12)
    assert load("epiram").built_costs == load("epiram").costs


def test_a_chip_may_have_so_many_tiles():
    few = load({"preset": "epiram", "mapping": {"tile": 64, "tiles": 6}})
    # 2 × 2 tiles and 1 × 2.
    few.require_tiles([(100, 128), (10, 100)], 1)
    with pytest.raises(InvalidValueError, match=r"^mapping.tiles = 6: .* 12 tiles of 64 × 64: 6 "):
        few.require_tiles([(100, 128), (10, 100)], 2)
    whole = load({"preset": "epiram", "mapping": {"tiles": 1}})
    with pytest.raises(InvalidValueError, match=r"the network takes 2 tiles: 1 are missing"):
        whole.require_tiles([(100, 128), (10, 100)], 1)
    load("epiram").require_tiles([(1 << 15, 1 << 15)], 4)
