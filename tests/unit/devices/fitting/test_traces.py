"""CSV files of pulse trains: what is read of them, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from neurohw.devices.fitting import traces
from neurohw.errors import DataError

HEADER = "device,cycle,pulse,polarity,conductance_S\n"


def read(tmp_path, text, **options):
    path = tmp_path / "pulses.csv"
    path.write_text(text)
    return traces.read(path, **options)


def test_a_cycle_is_one_trace_in_the_order_of_pulses(tmp_path):
    found = read(tmp_path, HEADER + "a,1,2,-1,3\na,1,0,1,1\n# remark\n\na,1,1,1,2\n")
    assert_array_equal(found.pulse, [0, 1, -1])
    assert_array_equal(found.reading, [1, 2, 3])
    assert_array_equal(found.seen, [False, True, True])
    assert found.devices == ("a",)


def test_pulses_counted_anew_for_each_polarity_are_two_traces(tmp_path):
    rows = "a,1,1,1,1\na,1,2,1,2\na,1,1,-1,2\na,1,2,-1,1\n"
    found = read(tmp_path, HEADER + rows)
    assert_array_equal(found.pulse, [0, 1, 0, -1])
    assert_array_equal(found.trace, [0, 0, 1, 1])
    assert_array_equal(found.cycle, [0, 0, 0, 0])


def test_missing_readings_are_gaps_where_their_pulses_are_known(tmp_path):
    # From 1 to 4 all pulses were up; how many of 5 to 7 were down is not known.
    rows = "a,1,1,1,1\na,1,4,1,4\na,1,7,-1,3\na,1,8,-1,2\na,1,9,-1,1\n"
    found = read(tmp_path, HEADER + rows)
    assert_array_equal(found.pulse, [0, 1, 1, 1, 0, -1, -1])
    assert_array_equal(found.reading, [1, np.nan, np.nan, 4, 3, 2, 1])
    assert_array_equal(found.number, [1, 2, 3, 4, 7, 8, 9])


def test_cycles_may_be_missing_and_of_unequal_length(tmp_path):
    rows = "b,7,0,1,1\nb,7,1,1,2\na,1,0,1,1\na,1,1,1,2\na,1,2,-1,1\na,3,0,1,1\na,3,1,1,2\n"
    found = read(tmp_path, HEADER + rows)
    assert found.devices == ("b", "a")
    assert_array_equal(found.device, [0, 0, 1, 1, 1, 1, 1])
    assert_array_equal(found.cycle, [0, 0, 0, 0, 0, 1, 1])


def test_columns_have_other_names_and_an_order_of_their_own(tmp_path):
    text = "G,note,polarity,pulse,cycle,device\n1,x,1,0,1,a\n2,x,1,1,1,a\n1,x,-1,2,1,a\n"
    found = read(tmp_path, text, columns={"conductance_S": "G"})
    assert_array_equal(found.reading, [1, 2, 1])


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ("a,1,0,1,1\na,1,1,1,nan\n", ("line 3", "conductance_S", "nan")),
        ("a,1,0,1,1\na,1,1,1,-2\n", ("line 3", "conductance_S", "-2")),
        ("a,1,0,1,1\na,1,1,1,\n", ("line 3", "conductance_S", '""')),
        ("a,1,0,1,1\na,1,1,1,inf\n", ("line 3", "conductance_S", "inf")),
        ("a,1,0,1,1\na,1,1,2,1\n", ("line 3", "polarity", "2")),
        ("a,1,0,1,1\na,1,1.5,1,1\n", ("line 3", "pulse", "1.5")),
        ("a,1,0,1,1\na,1,nan,1,1\n", ("line 3", "pulse", "nan")),
        ("a,1,0,1,1\na,1,1,1\n", ("line 3", "a,1,1,1", "5 columns")),
        ("a,1,1,1,1\na,1,1,1,1\n", ("line 3", "pulse = 1", "line 2", "device a")),
        ("a,1,0,1,1\na,1,1,1,2\n", ("polarity", "-1")),
        ("", ("no readings",)),
    ],
)
def test_refused_with_line_and_value(tmp_path, rows, parts):
    with pytest.raises(DataError) as refusal:
        read(tmp_path, HEADER + rows)
    for part in ("pulses.csv", *parts):
        assert part in str(refusal.value)


def test_refused_as_a_whole(tmp_path):
    with pytest.raises(DataError, match="no column conductance_S"):
        read(tmp_path, "device,cycle,pulse,polarity,G\n")
    with pytest.raises(DataError, match="conductance: unknown"):
        read(tmp_path, HEADER, columns={"conductance": "G"})
    with pytest.raises(DataError, match="cannot be read"):
        traces.read(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        traces.read(tmp_path / "bytes.csv")
