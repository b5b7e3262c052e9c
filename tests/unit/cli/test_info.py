"""`neurohw info`, `neurohw list` and `neurohw new chip`."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import inspect
from numpy.testing import assert_allclose

from neurohw import datasets
from neurohw.cli.info import kind_of_file
from neurohw.cli.listing import available
from neurohw.cli.new import MEANINGS, chip_text
from neurohw.cli.output import plain
from neurohw.devices import memory
from neurohw.devices.laws import Exponential
from neurohw.experiments import machine, run_file
from neurohw.mappings import chip_specification
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.units import show

CHIPS = [str(entry["name"]) for entry in chip_specification.available()]


def facts_of(invoke, *words):
    result = invoke("info", *words, "--json")
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    return json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("kind", ["recipes", "chips", "devices", "datasets"])
def test_list(invoke, kind):
    names = [entry["name"] for entry in json.loads(invoke("list", kind, "--json").stdout)]
    assert names
    lines = invoke("list", kind).stdout.splitlines()
    assert [line.split()[0] for line in lines] == names


def test_chip_wins_over_the_device_of_the_same_name(invoke):
    facts = facts_of(invoke, "epiram", "--recipe", "drn-digits")
    assert facts["kind"] == "chip"
    assert facts["device"]["name"] == "epiram"


def test_a_chip_for_signed_weights_is_shown_with_such_a_network(invoke):
    facts = facts_of(invoke, "pcm")
    assert facts["scale_recipe"] == "mlp-1h"
    assert facts["device"]["law"] == "one-sided"
    assert any(row["quantity"] == "largest weight of layer 1" for row in facts["scale"])


@pytest.mark.parametrize("chip", [chip for chip in CHIPS if chip != "pcm"])
def test_physical_scale_of_every_chip(invoke, chip):
    facts = facts_of(invoke, chip, "--recipe", "drn-digits")
    scale = {row["quantity"]: (row["value"], row["unit"]) for row in facts["scale"]}
    assert scale["nudging β"][1] == "S"
    assert scale["learning rate of layer 1"][1] == "S/V²"
    biases = chip_specification.load(chip).bias.kind != "off"
    assert ("bias learning rate of layer 1" in scale) == biases
    shown = invoke("info", chip, "--recipe", "drn-digits").stdout
    assert "scale of the network drn-digits on this chip" in shown


def test_quantities_are_shown_with_units(invoke):
    shown = invoke("info", "epiram", "--recipe", "drn-digits").stdout
    (line,) = [line for line in shown.splitlines() if line.strip().startswith("g_max  ")]
    assert line.endswith("uS")


def test_device_file(invoke):
    Path("mine.toml").write_text('law = "ideal"\ng_min = "1 uS"\ng_max = "inf S"\n')
    facts = facts_of(invoke, "mine.toml")
    assert facts["kind"] == "device"
    assert_allclose(facts["g_min"], 1e-6)
    assert facts["g_max"] == "inf"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('preset = "epiram"\ncycle_to_cycle = "1 %"\n', "device"),
        ('preset = "epiram"\ndescription = "ours"\nsource = "lot 7"\n', "device"),
        ('preset = "law.toml"\n', "device"),
        ('preset = "law.toml"\nname = "mine"\n', "device"),
        ('preset = "chip.toml"\n', "chip"),
        ('preset = "epiram"\n[mapping]\nconductance_scale = 3.0\n', "chip"),
        ('preset = "epiram"\n', "chip"),
        ('preset = "drn-digits"\n', "recipe"),
        ('preset = "drn-digits"\n[training]\nepochs = 2\n', "recipe"),
    ],
)
def test_kind_of_a_file_that_refers_to_a_preset(tmp_path, monkeypatch, text, kind):
    monkeypatch.chdir(tmp_path)
    Path("law.toml").write_text('law = "ideal"\ng_min = "1 uS"\ng_max = "9 uS"\n')
    Path("chip.toml").write_text('device = "law.toml"\n')
    Path("mine.toml").write_text(text)
    assert kind_of_file(Path("mine.toml")) == kind


def test_device_file_that_refers_to_a_preset(invoke):
    Path("mine.toml").write_text('preset = "epiram"\ncycle_to_cycle = "1 %"\n')
    facts = facts_of(invoke, "mine.toml")
    assert (facts["kind"], facts["name"], facts["cycle_to_cycle"]) == ("device", "mine", 0.01)


def test_a_key_that_is_nearly_one_of_a_device_tells_it(invoke):
    Path("mine.toml").write_text('preset = "epiram"\ng_mx = "9 uS"\n')
    result = invoke("info", "mine.toml")
    assert result.exit_code == 2
    assert "did you mean g_max?" in result.stderr


def test_presets_that_lead_back_to_themselves_are_refused(invoke):
    invoke("--version")
    Path("mine.toml").write_text('preset = "other.toml"\n')
    Path("other.toml").write_text('preset = "mine.toml"\ng_max = "9 uS"\n')
    result = invoke("info", "mine.toml")
    assert result.exit_code == 2
    assert "leads back to itself" in result.stderr


def test_tiles_and_spare_lines_of_a_chip_file(invoke):
    Path("mine.toml").write_text(
        'preset = "epiram"\n[device.stuck]\nyield = "98 %"\n'
        "[mapping]\ntile = 32\nspare_word_lines = 2\n"
    )
    words = ("info", "mine.toml", "--recipe", "drn-digits")
    first, second = facts_of(invoke, *words[1:])["tiles"]
    assert (first["tiles"], second["tiles"]) == ([2, 4], [1, 2])
    assert 0 < first["left"] < first["stuck"] and 0 < first["word_lines"] <= 16
    assert first["unused"] == 8 * 32 * 34 - 64 * 128
    shown = invoke(*words).stdout.splitlines()
    row = shown[shown.index("tiles") + 2].split()
    assert row[:4] == ["1", "2", "×", "4"]
    assert row[4:] == [str(first[key]) for key in ("stuck", "left", "word_lines")] + ["0", "512"]


def test_device_by_name(invoke, monkeypatch):
    names = {entry["name"] for entry in memory.available()} - set(CHIPS)
    monkeypatch.setattr(chip_specification, "available", lambda: [])
    assert facts_of(invoke, names.pop() if names else "epiram")["kind"] == "device"


@pytest.mark.parametrize("kind", ["chip", "device"])
def test_kind_tells_a_chip_from_a_device_of_the_same_name(invoke, kind):
    facts = facts_of(invoke, "epiram", "--kind", kind, "--recipe", "drn-digits")
    assert (facts["kind"], facts["name"]) == (kind, "epiram")
    assert ("law" in facts) == (kind == "device")
    assert ("mapping" in facts) == (kind == "chip")


@pytest.mark.parametrize(
    ("kind", "target", "words"),
    [
        ("run", "epiram", "epiram: no such file"),
        ("run", "digits", "digits: no such file"),
        ("chip", "digits", "unknown chip"),
        ("device", "epirm", "unknown device; did you mean"),
        ("device", "drn-xs", "unknown device"),
        ("device", "mine.toml", "mine.toml: "),
        ("dataset", "epiram", "epiram"),
        ("recipe", "epiram", "unknown recipe"),
    ],
)
def test_what_is_not_of_the_kind_is_refused(invoke, kind, target, words):
    Path("mine.toml").write_text('preset = "drn-digits"\n')
    result = invoke("info", target, "--kind", kind)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_chip_file(invoke):
    invoke("new", "chip", "--from", "epiram", "-o", "mine.toml")
    facts = facts_of(invoke, "mine.toml", "--recipe", "drn-digits")
    assert (facts["kind"], facts["name"]) == ("chip", "mine")


def test_cells_that_do_not_work_are_counted(invoke):
    Path("mine.toml").write_text(
        'preset = "epiram"\n[device]\nrange_spread = "60 %"\nstuck = { yield = "98 %" }\n'
    )
    stuck, crossed, *_ = facts_of(invoke, "mine.toml", "--recipe", "drn-digits")["warnings"]
    assert stuck.startswith("crossbar 1: ")
    assert stuck.endswith(" of 8,192 cells are stuck")
    assert "spread makes the limits of " in crossed
    shown = invoke("info", "mine.toml", "--recipe", "drn-digits")
    assert f"warning: {stuck}" in shown.stderr


def test_wires_of_a_chip_are_measured_on_the_recipe(invoke):
    Path("mine.toml").write_text(
        'device = "epiram"\n[wires]\nword_line = "600 Ohm"\nbit_line = "300 Ohm"\n'
    )
    facts = facts_of(invoke, "mine.toml", "--recipe", "drn-digits")
    assert facts["wire_loading"][0] > 1
    assert 0 < facts["wire_loss"][0] < 1
    shown = invoke("info", "mine.toml", "--recipe", "drn-digits")
    load, loss = facts["wire_loading"][0], 100 * facts["wire_loss"][0]
    line = f"loading {load:.2g} above 1, mean current loss {loss:.3g} %: tiles are too large"
    assert f"warning: wires of layer 1: {line}" in shown.stderr
    assert "wire_loading" in shown.stdout
    assert "wire_loading" not in facts_of(invoke, "epiram", "--recipe", "drn-digits")


def test_converters_against_what_they_have_to_resolve(invoke):
    Path("mine.toml").write_text(
        'device = "ideal"\n[converters]\nread = "difference"\ninput_dac = { bits = 4 }\n'
        'nudge_dac = { bits = 6, full_scale = "1 V" }\nstate_adc = { bits = 8 }\n'
        'difference_adc = { bits = 7, full_scale = ["1 mV", "40 mV"] }\n'
    )
    facts = facts_of(invoke, "mine.toml", "--recipe", "drn-digits")
    rows = {row["name"]: row for row in facts["resolution"]}
    assert list(rows) == [
        *("input_dac", "nudge_dac"),
        *(f"{kind}_adc of layer {k}" for kind in ("state", "difference") for k in (1, 2)),
    ]
    assert_allclose(rows["input_dac"]["step"], 0.2 / 15)
    nudge = rows["nudge_dac"]
    # 8 mV of 1 V: a step of 1/127 V is enough, of 1/63 V is not.
    assert (nudge["bits_needed"], nudge["voltage"]) == (7, 0.2 / 25)
    first = rows["difference_adc of layer 1"]
    assert_allclose(first["step"], 1e-3 / 64)
    assert 1e-3 / 2 ** first["bits_needed"] <= first["difference"] / 2
    assert 1e-3 / 2 ** (first["bits_needed"] - 1) > first["difference"] / 2
    assert rows["state_adc of layer 2"]["difference"] is None
    shown = invoke("info", "mine.toml", "--recipe", "drn-digits").stdout
    assert "  nudge_dac: 6 bits, range 1 V, step 15.87 mV, |v| 8 mV, needs 7 bits" in shown
    assert "resolution" not in facts_of(invoke, "epiram", "--recipe", "drn-digits")
    few = ("--set", "data.train=40", "--epochs", 1, "--chip", "mine.toml", "--out", "a.h5")
    invoke("train", "--recipe", "drn-digits", *few)
    trained = {row["name"]: row for row in facts_of(invoke, "a.h5")["resolution"]}
    assert list(trained) == list(rows)
    ranges = run_file.load("a.h5").state["state_range"]
    assert trained["state_adc of layer 1"]["full_scale"] == ranges[0]


def test_converters_of_feedforward_and_hopfield_networks(invoke, monkeypatch):
    monkeypatch.setattr(machine, "dataset_of", lambda experiment: datasets.load("digits"))
    Path("mine.toml").write_text(
        'device = "ideal"\n[converters]\nstate_adc = { bits = 8 }\nstate_dac = { bits = 1 }\n'
        'error_dac = { bits = 6, full_scale = "10 mV" }\n'
    )
    facts = facts_of(invoke, "mine.toml")
    assert facts["scale_recipe"] == "mlp-1h"
    rows = {row["name"]: row for row in facts["resolution"]}
    expected = [*(f"state_adc of layer {k}" for k in (1, 2)), "state_dac of layer 1"]
    assert list(rows) == [*expected, "error_dac of layer 2"]
    assert rows["error_dac of layer 2"]["step"] == pytest.approx(10e-3 / 32)
    # Rectified states are as large as the largest sums, but for the steps of these.
    sums, states = (rows[f"{key} of layer 1"]["full_scale"] for key in ("state_adc", "state_dac"))
    assert 0 < states <= sums
    Path("other.toml").write_text('device = "ideal"\n[converters]\nstate_adc = { bits = 8 }\n')
    rows = facts_of(invoke, "other.toml", "--recipe", "ep-1h")["resolution"]
    assert [row["name"] for row in rows] == [f"state_adc of layer {k}" for k in (1, 2)]
    # Membranes lie between 0 and the unit voltage, a float32.
    assert all(0 < row["voltage"] < row["full_scale"] <= np.float32(0.2) for row in rows)


def test_recipe_and_own_configuration(invoke):
    facts = facts_of(invoke, "drn-digits")
    assert (facts["kind"], facts["name"]) == ("recipe", "drn-digits")
    Path("mine.toml").write_text('preset = "drn-digits"\n[network]\nhidden = [6]\n')
    assert facts_of(invoke, "mine.toml")["network"]["hidden"] == [6]
    assert "hidden" in invoke("info", "drn-digits").stdout


def test_dataset_by_name_and_by_file(invoke):
    facts = facts_of(invoke, "digits")
    assert (facts["kind"], facts["classes"], facts["image_shape"]) == ("dataset", 10, [8, 8])
    assert "8, 8" in invoke("info", "digits").stdout
    from neurohw import library

    copy = Path("copy.h5")
    copy.write_bytes((library.folder("datasets") / "digits.h5").read_bytes())
    assert facts_of(invoke, copy)["checksum"] == facts["checksum"]


def test_run(invoke):
    few = ("--set", "data.train=40", "--epochs", 2, "--out", "a.h5")
    assert invoke("train", "--recipe", "drn-digits", *few).exit_code == 0
    facts = facts_of(invoke, "a.h5")
    assert (facts["kind"], facts["recipe"], facts["epochs"]) == ("run", "drn-digits", 2)
    run = run_file.load("a.h5")
    assert facts["history"]["cost"] == run.history["cost"].tolist()
    assert facts["checksum"] == run_file.checksum(run)
    scale = {row["quantity"]: (row["value"], row["unit"]) for row in facts["scale"]}
    assert scale["input full scale"] == (run.experiment.chip.input.full_scale, "V")
    assert scale["bias learning rate of layer 2"][1] == "S"
    shown = invoke("info", "a.h5").stdout
    assert "scale of the network drn-digits on this chip" in shown
    assert ", ".join(show(float(v), "V") for v in run.physical["voltage"]) in shown
    assert ", ".join(show(float(v), "S/V²") for v in run.history["learning_rate"]) in shown
    assert "learning_rate        0.02, 0.02" in shown


def test_unknown_name_suggests_the_nearest(invoke):
    result = invoke("info", "epirm")
    assert result.exit_code == 2
    assert "epirm" in result.stderr
    assert "epiram" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("chip", CHIPS)
def test_new_chip_is_complete_and_the_same(invoke, chip):
    result = invoke("new", "chip", "--from", chip, "-o", "mine.toml")
    assert result.exit_code == 0
    made = chip_specification.load("mine.toml")
    assert msgspec.structs.replace(made, name=chip) == chip_specification.load(chip)


def test_new_chip_from_an_own_file(invoke):
    Path("mine.toml").write_text('preset = "epiram"\n[device]\ncycle_to_cycle = "0.123456 %"\n')
    assert invoke("new", "chip", "--from", "mine.toml", "-o", "next.toml").exit_code == 0
    made = chip_specification.load("next.toml")
    assert msgspec.structs.replace(made, name="mine") == chip_specification.load("mine.toml")


def test_new_chip_replaces_only_when_told(invoke):
    Path("mine.toml").write_text("precious")
    result = invoke("new", "chip", "--from", "epiram", "-o", "mine.toml")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: mine.toml: exists")
    assert Path("mine.toml").read_text() == "precious"
    assert invoke("new", "chip", "--from", "epiram", "-o", "mine.toml", "--force").exit_code == 0
    assert "precious" not in Path("mine.toml").read_text()


def keys_of(kind, path=""):
    """Return the key paths of a configuration struct, of every one of a union."""
    keys = set()
    for struct in getattr(kind, "types", (kind,)):
        while isinstance(struct, inspect.Metadata):
            struct = struct.type
        if isinstance(struct, inspect.StructType):
            keys |= {f"{path}{struct.tag_field}"} if struct.tag_field else set()
            for field in struct.fields:
                key = path + field.encode_name
                keys |= keys_of(field.type, f"{key}.") or {key}
    return keys


def test_new_chip_has_every_key():
    keys = keys_of(inspect.type_info(ChipSpecification))
    # A curve, and the device of a fast array, are files to the user, a converter one line.
    lines = {"neuron.curve", "programming.fast_device"}
    lines |= {key for key in MEANINGS if key.endswith(("_dac", "_adc"))}
    inside = {key for key in keys if key.startswith(tuple(f"{line}." for line in lines))}
    assert set(MEANINGS) == keys - inside - {"name"} | lines
    text = chip_text("epiram", Path("mine.toml"))
    known = keys_of(inspect.type_info(Exponential), "device.")
    for key in MEANINGS:
        if key.startswith("device.") and key not in known:
            continue
        assert f"{key.rpartition('.')[2]} = " in text


def test_new_chip_has_the_points_of_measured_curves(tmp_path):
    (tmp_path / "parts").mkdir()
    points = "voltage_V,current_A\n-1,-2e-6\n-0.1,-1e-8\n0,0\n0.7,3e-5\n"
    (tmp_path / "parts" / "diode.csv").write_text(points)
    source = tmp_path / "parts" / "chip.toml"
    source.write_text(
        'device = "ideal"\nsynapse = { file = "diode.csv", degree = 1 }\n'
        '[neuron]\nkind = "measured"\ncurve = "diode.csv"\n'
    )
    mine = tmp_path / "chip.toml"
    mine.write_text(chip_text(str(source), mine))
    assert chip_specification.load(mine) == chip_specification.load(source)


def test_info_says_how_far_a_fit_is_from_the_points(invoke, tmp_path):
    rows = [f"{v},{1e-6 * np.sinh(4 * v)}" for v in np.linspace(-1, 1, 41)]
    (tmp_path / "cell.csv").write_text("\n".join(["voltage_V,current_A", *rows]))
    (tmp_path / "chip.toml").write_text('device = "ideal"\nsynapse = "cell.csv"\n')
    result = invoke("info", str(tmp_path / "chip.toml"), "--recipe", "drn-digits", "--json")
    facts = json.loads(result.stdout)
    residual = chip_specification.load(tmp_path / "chip.toml").synapse.residual
    assert facts["synapse_residual"] == residual
    assert 1e-5 < residual < 0.05
    assert "neuron_curve_residual" not in facts


def test_json_is_strict():
    value = {"a": np.array([np.nan, np.inf, 1.0]), "b": (-np.inf, np.int64(3)), "c": Path("x")}
    assert plain(value) == {"a": [None, "inf", 1.0], "b": ["-inf", 3], "c": "x"}


def test_a_rule_is_found_by_both_of_its_names(invoke):
    short, long = (invoke("info", name, "--json") for name in ("fa", "feedback-alignment"))
    assert (short.exit_code, long.exit_code) == (0, 0)
    assert short.stdout == long.stdout


def test_available_says_what_each_entry_is():
    assert all(entry["description"] for kind in ("recipes", "chips") for entry in available(kind))
