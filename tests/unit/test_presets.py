import msgspec
import pytest

from neurohw.errors import ConfigurationError
from neurohw.presets import Presets


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    size: int
    colour: str = "red"


class Whole(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    part: Part


@pytest.fixture
def wholes(tmp_path):
    shipped = {
        "parts/small.toml": "size = 1",
        "parts/large.toml": 'preset = "small"\nsize = 9',
        "wholes/plain.toml": 'part = "small"',
    }
    for name, text in shipped.items():
        path = tmp_path / "shipped" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    parts = Presets(kind="part", struct=Part, folder=tmp_path / "shipped" / "parts")
    return Presets(
        kind="whole",
        struct=Whole,
        folder=tmp_path / "shipped" / "wholes",
        paths=("part", "part.preset"),
        parts={"part": parts},
        defaults={"part": "large"},
    )


def test_a_name_a_path_and_a_table_give_the_same(wholes):
    path = wholes.folder / "plain.toml"
    expected = Whole(name="plain", part=Part(name="small", size=1))
    assert wholes.names() == ["plain"]
    for source in ("plain", path, str(path), {"name": "plain", "part": "small"}):
        assert wholes.load(source) == expected


def test_a_table_overrides_its_preset_part_by_part(wholes):
    built = wholes.load({"preset": "plain", "part": {"colour": "blue"}})
    assert built == Whole(name="plain", part=Part(name="small", size=1, colour="blue"))


def test_a_part_with_its_own_preset_replaces(wholes):
    built = wholes.load({"preset": "plain", "part": {"preset": "large", "colour": "blue"}})
    assert built.part == Part(name="large", size=9, colour="blue")


def test_defaults_stand_in_for_what_nothing_sets(wholes):
    assert wholes.load({"name": "bare"}).part.name == "large"
    assert wholes.load({"preset": "plain"}).part.name == "small"


def test_paths_are_relative_to_the_file_they_stand_in(wholes, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "part.toml").write_text("size = 5")
    for number, text in enumerate(['part = "part.toml"', 'part = {preset = "./part.toml"}']):
        path = tmp_path / "own" / f"{number}.toml"
        path.write_text(text)
        assert wholes.load(path).part.size == 5
    (tmp_path / "above.toml").write_text('preset = "own/0.toml"')
    assert wholes.load(tmp_path / "above.toml") == Whole(
        name="above", part=Part(name="part", size=5)
    )


def test_the_file_that_holds_the_fault_is_named(wholes, tmp_path):
    part, whole = tmp_path / "part.toml", tmp_path / "whole.toml"
    whole.write_text('part = "part.toml"')
    part.write_text("sise = 5")
    with pytest.raises(ConfigurationError) as caught:
        wholes.load(whole)
    assert str(caught.value) == f"{part}: sise = 5: unknown key; did you mean size?"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('part = "smal"', 'part = "smal": unknown part; did you mean small?'),
        ("part = 3", "part = 3: must be a name, a path or a table"),
        ('preset = "plane"', 'preset = "plane": unknown whole; did you mean plain?'),
    ],
)
def test_a_fault_in_a_reference_names_the_file(wholes, tmp_path, text, fault):
    path = tmp_path / "whole.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        wholes.load(path)
    assert str(caught.value) == f"{path}: {fault}"


def test_a_missing_file_and_a_circle_are_refused(wholes, tmp_path):
    with pytest.raises(ConfigurationError, match="no such file"):
        wholes.load(tmp_path / "none.toml")
    (tmp_path / "a.toml").write_text('preset = "b.toml"')
    (tmp_path / "b.toml").write_text(f'preset = "../{tmp_path.name}/a.toml"')
    with pytest.raises(ConfigurationError, match="leads back to itself"):
        wholes.load(tmp_path / "a.toml")
