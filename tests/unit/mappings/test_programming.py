import msgspec
import pytest

from neurohw.errors import ConfigurationError, InvalidValueError, NeurohwError
from neurohw.experiments import configuration
from neurohw.mappings import chip_specification
from neurohw.mappings.programming import Programming


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": -1.0}, r"threshold = -1\.0: must be finite, 0 or more"),
        ({"verify_pulses": 0}, r"verify_pulses = 0: must be 1 or more"),
        ({"momentum": 1.0}, r"momentum = 1\.0: must lie between 0 and 1"),
        ({"half_select": 1.5}, r"half_select = 1\.5: must lie"),
        ({"adam_step": 0.0}, r"adam_step = 0\.0: must lie"),
        ({"carry_base": 1.0}, r"carry_base = 1\.0: must be finite, above 1"),
        ({"pulses": "train", "optimizer": "adam"}, r"pulses = train: optimizer = adam needs"),
        ({"order": "sequential", "accumulate": "digital"}, r"order = sequential: accumulate = dig"),
        ({"order": "sequential", "pulses": "write-verify"}, r"pulses = write-verify writes"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, message):
    with pytest.raises(InvalidValueError, match=message):
        Programming(**settings)


def test_a_chip_file_with_a_fast_array(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'device = "reram-sb"\n[programming]\naccumulate = "analog"\nfast_device = "ecram"\n'
        'transfer_rate = 0.1\nhalf_select = "0.1 %"\n'
    )
    experiment = configuration.load(
        "drn-digits", chip=str(path), settings=["chip.programming.fast_device.step=0.5 %"]
    )
    programming = experiment.chip.programming
    assert (programming.fast_device.name, programming.fast_device.step) == ("ecram", 0.005)
    assert programming.half_select == 0.001
    text = configuration.to_json(experiment)
    assert configuration.from_json(text, "here") == experiment
    with pytest.raises(ConfigurationError, match=r"pulses = \"trains\": unknown value"):
        configuration.load("drn-digits", settings=["chip.programming.pulses=trains"])


def test_adam_needs_a_range():
    with pytest.raises(InvalidValueError, match="finite g_max"):
        chip_specification.ChipSpecification(
            device=chip_specification.load("ideal").device,
            programming=Programming(optimizer="adam"),
        )


def test_memory_beside_the_weights():
    assert Programming().memory == (0, 1)
    assert Programming(optimizer="adam", accumulate="digital").memory == (96, 1)
    assert Programming(optimizer="momentum", accumulate="carry").memory == (32, 2)
    assert msgspec.structs.replace(Programming(), accumulate="analog").memory == (0, 2)


@pytest.mark.parametrize(
    ("settings", "other"),
    [
        (("chip.device=ideal",), "law = ideal"),
        (("chip.device=reram-sb", "chip.mapping.sides=one"), r"mapping\.sides = one"),
    ],
)
def test_one_step_for_both_polarities_needs_both(settings, other):
    changes = (*settings, "chip.programming.polarities=alike")
    with pytest.raises(
        NeurohwError, match=rf"polarities = alike: needs pulses up and down.*{other}"
    ):
        configuration.load("mlp-1h", settings=changes)
