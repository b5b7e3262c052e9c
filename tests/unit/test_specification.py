import math
from typing import Annotated, Literal

import msgspec
import pytest

from neurohw.errors import ConfigurationError, InvalidValueError
from neurohw.specification import apply, nearest, parse, read
from neurohw.units import Fraction, Siemens


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    limit: Siemens
    noise: Fraction = 0.0
    law: Literal["ideal", "exponential"] = "ideal"

    def __post_init__(self):
        if not self.limit > 0:
            raise InvalidValueError(f"limit = {self.limit}: must be above 0")


class Board(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    cell: Cell
    size: Annotated[int, msgspec.Meta(ge=1)] = 1
    rate: float | tuple[float, ...] = 1.0
    other: Siemens | None = None
    on: bool = False


def board(**changes):
    return {"cell": {"limit": "25 uS", "noise": "3.5 %"}} | changes


def test_quantities_are_converted_at_every_depth():
    built = read(board(other="1 mS", rate=[1, 2.5]), Board, where="here")
    assert built == Board(
        cell=Cell(limit=25e-6, noise=0.035), other=1e-3, rate=(1.0, 2.5), size=1, on=False
    )


def test_a_file_is_read(tmp_path):
    path = tmp_path / "board.toml"
    path.write_text('size = 3\n[cell]\nlimit = "1 S"\n')
    assert read(path, Board, where=str(path)) == Board(cell=Cell(limit=1.0), size=3)
    path.write_text("\ufeff" + path.read_text())
    assert parse(path)["size"] == 3


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (board(sise=2), "here: sise = 2: unknown key; did you mean size?"),
        (board(zz="a"), 'here: zz = "a": unknown key; known: cell, size, rate, other, on'),
        (board(cell={"limt": 1}), "here: cell.limt = 1: unknown key; did you mean limit?"),
        (board(cell={}), "here: cell.limit: is missing"),
        ({}, "here: cell: is missing"),
        (board(cell=3), "here: cell = 3: expected table, got whole number"),
        (board(size="big"), 'here: size = "big": expected whole number, got text'),
        (board(size=0), "here: size = 0: expected whole number >= 1"),
        (board(size=1.5), "here: size = 1.5: expected whole number, got number"),
        (board(on=1), "here: on = 1: expected true or false, got whole number"),
        (board(rate=[1, "x"]), 'here: rate[1] = "x": expected number, got text'),
        (board(rate=[1, math.nan]), "here: rate[1] = nan: not a number"),
        (board(rate=math.inf), "here: rate = inf: must be finite"),
        (board(other="1 V"), 'here: other = "1 V": its unit must be S, not V'),
        (board(cell={"limit": math.nan}), "here: cell.limit = nan: not a number"),
        (board(cell={"limit": "-1 S"}), "here: cell.limit = -1.0: must be above 0"),
        (
            board(cell={"limit": 1, "law": "ideel"}),
            'here: cell.law = "ideel": unknown value; did you mean ideal?',
        ),
        ([1], "here: the table = [1]: expected table, got list"),
    ],
)
def test_a_fault_is_one_line_with_key_and_value(table, fault):
    with pytest.raises(ConfigurationError) as caught:
        read(table, Board, where="here")
    assert str(caught.value) == fault


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"size = ", "is not TOML"),
        (b"size = '\xff'", "is not UTF-8 text"),
        (None, "cannot be read"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, content, fault):
    path = tmp_path / "board.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        parse(path)
    assert str(caught.value).startswith(f"{path}: {fault}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("a.b=3", 3),
        ("a.b = 3.5", 3.5),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b=true", True),
        ("a.b=inf", math.inf),
        ("a.b=25 uS", "25 uS"),
        ("a.b=word", "word"),
        ('a.b="word"', "word"),
        ("a.b=x=y", "x=y"),
        ("a.b=1\nc=2", "1\nc=2"),
    ],
)
def test_apply_reads_the_value_as_toml_or_as_text(setting, value):
    table = {"a": {"b": 0, "kept": 1}}
    apply(table, setting)
    assert table == {"a": {"b": value, "kept": 1}}


def test_apply_leaves_shared_tables_alone():
    shared = {"b": 0}
    table = {"a": shared}
    apply(table, "a.b=1")
    assert shared == {"b": 0}


def test_apply_goes_into_what_stands_there_by_name():
    table = {"chip": "epiram"}
    apply(table, "chip.device.noise=0.1")
    assert table == {"chip": {"preset": "epiram", "device": {"noise": 0.1}}}


@pytest.mark.parametrize("setting", ["a", "=3", "a..b=3", "a.b.c=3"])
def test_apply_refuses(setting):
    with pytest.raises(ConfigurationError, match=r"^--set "):
        apply({"a": {"b": 1}}, setting)


def test_nearest_lists_all_when_nothing_is_near():
    assert nearest("zzz", ["ideal", "epiram"]) == "known: ideal, epiram"


def test_a_refusal_is_one_line_whatever_a_key_is():
    with pytest.raises(ConfigurationError) as error:
        read(board(**{"si\r\n ze\x1b[2J": 3}), Board, where="here")
    assert str(error.value).startswith(r"here: si ze\x1b[2J = 3: unknown key")
    assert str(error.value).isprintable()
