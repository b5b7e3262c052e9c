"""Formats of instruments: what they write is as documented, and reads back to the same cells."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from neurohw.errors import ConfigurationError, ExportError
from neurohw.export import formats, writing
from neurohw.export.importing import imported, take
from neurohw.export.mapping import weight_map

SMALL = ("data.train=40", "network.hidden=[40]", "chip.mapping.tile=16")


def written(name, run, tmp_path, *settings, layers=()):
    form, out, weights = formats.load(name, settings), tmp_path / "out", weight_map(run, layers)
    writing.write(form, weights, out)
    return form, out, weights


def tiles_read(form, out):
    return {tile.name: tile for tile in form.read(out).tiles}


@pytest.fixture(scope="module")
def small(make_run):
    """32 × 9 and 9 × 10 cells on tiles of 28 lines, with stuck cells and spare lines."""
    settings = ("data.train=40", "network.hidden=[9]", "data.crop=2", "chip.mapping.tile=28")
    broken = ("chip.mapping.spare_word_lines=2", "chip.device.stuck.yield=93 %")
    return make_run("drn-digits", "epiram", (*settings, *broken))


def test_fusion_csv_as_documented(small, tmp_path):
    """Five lines of heads, names, then a line a layer, output by output, in microsiemens."""
    _, out, weights = written("fusion-csv", small, tmp_path)
    lines = out.read_text().splitlines()
    tiles = list(weights.tiles())
    assert len(lines) == 5 + 1 + len(tiles)
    heads = [line.split(",") for line in lines[:6]]
    assert heads[0] == [str(k) for k in range(1, len(tiles) + 1)]
    assert set(heads[1]) == {"AnalogLinear"}
    assert heads[5] == [tile.name for tile in tiles]
    for k, tile in enumerate(tiles):
        words, bits = tile.shape
        assert [heads[row][k] for row in (2, 3, 4)] == [str(words * bits), str(bits), str(words)]
        values = np.array(lines[6 + k].split(","), float).reshape(bits, words)
        expected = np.nan_to_num(tile.matrix().T.astype(float)) * 1e6
        assert_allclose(values, expected, rtol=1e-12)


def test_fusion_csv_of_a_file_by_hand(tmp_path):
    (tmp_path / "hand.csv").write_text(
        "1,3\nAnalogLinear,AnalogConv2d\n6,2\n2,1\n3,2\nfc,conv\n1.0,2,3,40,5,6\n0.5,0.25\n"
    )
    found = tiles_read(formats.load("fusion-csv"), tmp_path / "hand.csv")
    assert_allclose(found["fc"].conductance, 1e-6 * np.array([[1, 40], [2, 5], [3, 6]]))
    assert_allclose(found["conv"].conductance, 1e-6 * np.array([[0.5], [0.25]]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("6,2\n", "6,3\n", 1), "num_weights = 3, height = 1, width = 2"),
        (lambda text: text.replace("40,5,6", "40,5"), "layer fc: 5 conductances: num_weights = 6"),
        (lambda text: text.replace("40,5", "x,5"), "layer fc: could not convert string"),
        (lambda text: text.replace("40,5", "nan,5"), "layer fc: a conductance is not finite"),
        (lambda text: text[: text.index("2,1")], "id: 2 entries for 0 layers: is the file cut off"),
        (lambda text: text + "1,2\n", "there are more lines than layers"),
        (lambda text: text[:-2], "does not end with a line: is the file cut off"),
    ],
)
def test_a_damaged_fusion_csv_is_refused(change, message, tmp_path):
    text = "1,3\nA,A\n6,2\n2,1\n3,2\nfc,conv\n1.0,2,3,40,5,6\n0.5,0.25\n"
    (tmp_path / "bad.csv").write_text(change(text))
    with pytest.raises(ExportError, match=message):
        list(formats.load("fusion-csv").read(tmp_path / "bad.csv").tiles)


def test_fusion_csv_says_what_the_chip_does_not_take(small, tmp_path):
    form, out, _ = written("fusion-csv", small, tmp_path)
    assert form.notes(out) == []
    out.write_text("1\nA\n1\n1\n1\nfc\n41.5\n")
    assert form.notes(out) == ["The largest conductance is 41.5 uS; the Fusion chip takes 40 uS."]


def test_arc_one_as_its_software_saves_it(small, tmp_path):
    _, out, weights = written("arc-one", small, tmp_path, "read_voltage=0.5 V")
    tile = next(weights.tiles())
    session, _, heads, *rows = (out / f"{tile.name}.csv").read_text().splitlines()
    assert session == f"neurohw {tile.name}"
    assert heads == (
        "Wordline,Bitline,Resistance,Amplitude (V),Pulse width (s),Tag,ReadTag,ReadVoltage"
    )
    assert len(rows) == tile.weights
    word, bit, resistance, *rest = rows[-1].split(",")
    assert rest == ["0.5", "0", "S R2 V=0.5", "R2 V=0.5", "0.5"]
    assert 1 <= int(word) <= 32 and 1 <= int(bit) <= 32
    held = float(tile.matrix()[int(word) - 1, int(bit) - 1])
    assert float(resistance) == pytest.approx(1 / held, rel=1e-12)


def test_the_last_row_of_a_cell_is_its_resistance(small, tmp_path):
    """A session that the instrument went on with has a row for each pulse and read."""
    form, out, weights = written("arc-one", small, tmp_path)
    tile = next(weights.tiles())
    path = out / f"{tile.name}.csv"
    word, bit = (int(np.flatnonzero(lines >= 0)[0]) for lines in (tile.inputs, tile.units))
    more = f"{word + 1},{bit + 1},250000.0,1.2,1e-06,P,R2 V=0.1,0.1\n"
    path.write_text(path.read_text() + more)
    read = tiles_read(form, out)[tile.name].conductance
    assert read[word, bit] == pytest.approx(4e-6)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("29,31,1e6,0.1,0,S R2,R2,0.1", "Wordline = 29, Bitline = 31: the tile has lines 1 to 30"),
        ("0,1,1e6,0.1,0,S R2,R2,0.1", "lines count from 1"),
        ("1,1,-5,0.1,0,S R2,R2,0.1", "Resistance = -5: lines count from 1, and a resistance"),
        ("1,1,1e6,0.1", "4 fields, there are 8 heads: is the file cut off"),
        ("1,one,1e6,0.1,0,S R2,R2,0.1", "invalid literal"),
    ],
)
def test_a_damaged_session_is_refused_with_its_line(row, message, small, tmp_path):
    form, out, weights = written("arc-one", small, tmp_path)
    path = out / f"{next(weights.tiles()).name}.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, row]) + "\n")
    with pytest.raises(ExportError, match=f"line {len(lines) + 1}: .*{message}"):
        list(form.read(out).tiles)


def test_sessions_that_were_renamed_are_refused(small, tmp_path):
    form, out, weights = written("arc-one", small, tmp_path)
    first, second = (out / f"{tile.name}.csv" for tile in list(weights.tiles())[:2])
    first.write_text(second.read_text())
    with pytest.raises(ExportError, match=f"line 1: is the session of neurohw {second.stem}"):
        list(form.read(out).tiles)


def test_resistances_in_other_units_are_refused(small, tmp_path):
    form, out, weights = written("arc-one", small, tmp_path)
    for tile in weights.tiles():
        path = out / f"{tile.name}.csv"
        head, rows = path.read_text().splitlines()[:3], path.read_text().splitlines()[3:]
        kilo = [
            ",".join([*r.split(",")[:2], repr(float(r.split(",")[2]) / 1e3), *r.split(",")[3:]])
            for r in rows
        ]
        path.write_text("\n".join([*head, *kilo]) + "\n")
    with pytest.raises(ExportError, match="are about 1e3 too large"):
        imported(form, out, small)


def test_more_lines_than_the_instrument_has_are_refused(make_run, tmp_path):
    run = make_run("drn-digits", "epiram", ("data.train=40", "network.hidden=[9]"))
    with pytest.raises(ExportError, match="128 word lines and 9 bit lines, the instrument has 32"):
        written("arc-one", run, tmp_path)
    assert list(tmp_path.iterdir()) == []
    tiled = make_run("drn-digits", "epiram", (*SMALL, "chip.bias.kind=rails"))
    with pytest.raises(ExportError, match=r"bias1 have 2 word lines and 40 .* no tiles; leave"):
        written("arc-one", tiled, tmp_path)


@pytest.mark.parametrize("name", ["arc-one", "fusion-csv"])
def test_the_network_is_the_same_after_the_way_there_and_back(name, small, tmp_path):
    form, out, _ = written(name, small, tmp_path)
    back = imported(form, out, small)
    for found, expected in zip(back.arrays, small.arrays, strict=True):
        assert_array_equal(found["conductance"], expected["conductance"])


@pytest.mark.parametrize("name", ["arc-one", "fusion-csv"])
def test_every_scheme_comes_back(name, case, tmp_path):
    machine, run = case
    weights = weight_map(run)
    signed = any(crossbar.role == "signed" for crossbar in weights.crossbars)
    large = max(max(tile.shape) for tile in weights.tiles()) > 32
    if signed or (large and name == "arc-one"):
        with pytest.raises(ExportError, match=f"format = {name}"):
            written(name, run, tmp_path)
        return
    form, out, _ = written(name, run, tmp_path)
    for crossbar in machine.chip.crossbars:
        crossbar.take_over(np.full(crossbar.values().shape, 2e-6), None)
    assert take(form.read(out), machine, weights, whole=False) == 0
    for array, record in zip(machine.chip.arrays, run.arrays, strict=True):
        assert_array_equal(array.record()["conductance"], record["conductance"])


def test_measured_cells_may_be_outside_of_their_limits(small, tmp_path):
    form, out, weights = written("arc-one", small, tmp_path)
    tile = next(weights.tiles())
    word, bit = (int(np.flatnonzero(lines >= 0)[0]) for lines in (tile.inputs, tile.units))
    path = out / f"{tile.name}.csv"
    path.write_text(path.read_text() + f"{word + 1},{bit + 1},50000.0,0.1,0,S R2,R2,0.1\n")
    back = imported(form, out, small)
    unit, line = tile.units[bit], tile.inputs[word]
    assert back.arrays[0]["conductance"][unit, line] == pytest.approx(20e-6)


@pytest.mark.parametrize("name", ["arc-one", "fusion-csv", "spice"])
def test_negative_conductances_are_refused(name, make_run, tmp_path):
    few = ("data.name=digits", "data.train=40", "network.hidden=[9]", "chip.mapping.tile=32")
    run = make_run("mlp-1h", "ideal", few)
    with pytest.raises(ExportError, match="layer1: has negative conductances"):
        written(name, run, tmp_path)


def test_unknown_options_are_refused_with_the_nearest():
    with pytest.raises(ConfigurationError, match=r"retry = 3: unknown key; did you mean retries\?"):
        formats.load("pulses", ["retry=3"])
    with pytest.raises(ConfigurationError, match="read_voltage = 0"):
        formats.load("arc-one", ["read_voltage=0 V"])
