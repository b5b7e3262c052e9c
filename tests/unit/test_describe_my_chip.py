import re
from pathlib import Path

from neurohw.experiments import configuration
from neurohw.mappings import chip_specification
from neurohw.mappings.scale import physical_scale
from neurohw.units import show

TEXT = (Path(__file__).parents[2] / "docs" / "describe-my-chip.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_python_blocks_run_and_print_the_table(capsys):
    exec("\n".join(blocks("python")), {})
    printed = capsys.readouterr().out.splitlines()
    rows = re.findall(r"^\| (\S.* (?:of 1|layer \d).*?) \| (.*?) \|$", TEXT, re.MULTILINE)
    assert [f"{quantity:24} {value}" for quantity, value in rows] == printed


def test_the_chip_file_says_what_its_comments_say(tmp_path):
    (text,) = blocks("toml")
    path = tmp_path / "my-chip.toml"
    path.write_text(text, encoding="utf-8")
    chip = chip_specification.load(path)
    assert (chip.name, chip.device.name) == ("my-chip", "rram-lot-7")
    assert (chip.device.g_max, chip.input.full_scale) == (40e-6, 0.3)
    assert configuration.load("drn-digits", chip=str(path)).chip == chip


def test_the_numbers_of_the_reading_are_those_of_the_chip():
    experiment = configuration.load("drn-xs", chip="epiram")
    scale = physical_scale(experiment.chip, [1568, 100], experiment.network.input_gain)
    assert f"targets are {show(scale.unit_voltage, 'V')}" in TEXT
    full_scale = experiment.chip.input.full_scale
    low, high = (1e6 * full_scale * share for share in (1e-6, 1e-5))
    assert f"{low:g} to {high:g} µV" in TEXT
    assert f"write threshold ({show(experiment.chip.device.write_threshold, 'V')} here)" in TEXT
