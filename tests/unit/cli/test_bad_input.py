"""Bad input: one line that names file, key and value, status 2, nothing half-written."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurohw import library, public_data

DIGITS = ("train", "--recipe", "drn-digits")
EPIRAM = (*DIGITS, "--chip", "epiram")
FEW = (*DIGITS, "--set", "data.train=40", "--epochs", 1)


def refused(invoke, words, *parts):
    """Check that a command line is refused as it should be."""
    before = set(Path().rglob("*"))
    result = invoke(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert str(part) in result.stderr
    assert set(Path().rglob("*")) == before
    return result.stderr


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("train", "--recipe", "drn-digit"), ("drn-digit", "drn-digits")),
        ((*DIGITS, "--chip", "epirm"), ("chip", "epirm", "epiram")),
        ((*DIGITS, "--chip", "none.toml"), ("none.toml",)),
        ((*DIGITS, "--set", "learning.nuging=1"), ("learning.nuging", "nudging")),
        ((*DIGITS, "--set", "nudging"), ("nudging", "key=value")),
        ((*DIGITS, "--set", "training.batch=four"), ("training.batch", "four")),
        ((*DIGITS, "--set", "network.hidden=[0]"), ("network.hidden", "0")),
        ((*DIGITS, "--set", "learning.learning_rate=[1.0]"), ("learning_rate", "[1.0]", "2")),
        ((*DIGITS, "--epochs", "-1"), ("epochs", "-1")),
        ((*DIGITS, "--seed", "-1"), ("seed", "-1")),
        ((*DIGITS, "--set", 'chip.device.g_min="-1 uS"'), ("g_min", "-1 uS")),
        ((*DIGITS, "--set", "chip.device.g_min=nan"), ("g_min", "nan")),
        ((*DIGITS, "--set", 'chip.device.g_min="1 V"'), ("g_min", "1 V")),
        ((*EPIRAM, "--set", 'chip.device.g_min="1 S"'), ("g_min", "1 S", "g_max")),
        ((*EPIRAM, "--set", "chip.device.g_max=nan"), ("g_max", "nan")),
        ((*EPIRAM, "--set", 'chip.device.g_max="-1 uS"'), ("g_max", "-1 uS")),
        ((*EPIRAM, "--set", "chip.device.g_max=inf"), ("g_max", "inf")),
        ((*EPIRAM, "--set", "chip.device.pulses_up=0"), ("pulses_up", "0")),
        ((*EPIRAM, "--set", "chip.mapping.conductance_scale=[1,2,3]"), ("scale", "[1.0", "2")),
        ((*EPIRAM, "--set", "chip.mapping.spare_word_lines=-1"), ("spare_word_lines", "-1")),
        ((*EPIRAM, "--set", "chip.mapping.spare_bit_lines=1.5"), ("spare_bit_lines", "1.5")),
        (
            (*EPIRAM, "--set", "chip.mapping.spare_bitlines=1"),
            ("spare_bitlines", "spare_bit_lines"),
        ),
        ((*EPIRAM, "--set", "chip.mapping.tile=big"), ("mapping.tile", "big")),
        ((*EPIRAM, "--set", "chip.mapping.n_levels=100000000"), ("n_levels", "float32")),
        ((*EPIRAM, "--set", "chip.mapping.slice_bits=40"), ("slice_bits", "40", "float32")),
        ((*DIGITS, "--set", "network.hidden=64"), ("network.hidden", "64", "list")),
        ((*DIGITS, "--set", "network.hidden=[8,-3]"), ("network.hidden[1]", "-3")),
        ((*DIGITS, "--set", "network.hidden=[]"), ("network.hidden", "[]")),
        ((*DIGITS, "--set", "training.precision=float16"), ("training.precision", "float16")),
        ((*DIGITS, "--set", "training.batch=5000"), ("digits", "training.batch", "5000")),
        ((*DIGITS, "--set", "data.validation=1437"), ("digits", "1437")),
        ((*DIGITS, "--set", "learning.nudging=nan"), ("learning.nudging", "nan")),
        (("train",), ("--recipe", "CONFIG.toml")),
        ((*DIGITS, "mine.toml"), ("--recipe", "CONFIG.toml")),
        (("train", "none.toml"), ("none.toml",)),
        (("evaluate", "none.h5"), ("none.h5",)),
        (("report", "none.h5"), ("none.h5",)),
        (("new", "chip", "--from", "epirm", "-o", "a.toml"), ("epirm", "epiram")),
        (("new", "chip", "--from", "epiram", "-o", "no/folder/a.toml"), ("no/folder/a.toml",)),
    ],
)
def test_bad_words(invoke, words, parts):
    refused(invoke, words, *parts)


def test_public_data_without_files(invoke, monkeypatch, tmp_path):
    monkeypatch.setattr(public_data, "STANDARD", ())
    monkeypatch.setenv("NEUROHW_DATASETS", str(tmp_path / "none"))
    words = ("train", "--recipe", "drn-1h-fashion")
    refused(invoke, words, "fashion-mnist: no files in", tmp_path / "none", "apt-get install")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("epochs 3", ("mine.toml",)),
        ('preset = "drn-digits"\nepochs = 3\n', ("mine.toml", "epochs", "3")),
        ('preset = "drn-digits"\n[training]\nepochs = "three"\n', ("training.epochs", "three")),
        ('preset = "drn-digits"\nchip = "nosuch"\n', ("mine.toml", "chip", "nosuch")),
        ("\x00\xff", ("mine.toml",)),
    ],
)
def test_bad_configuration_file(invoke, text, parts):
    invoke("--version")
    Path("mine.toml").write_text(text, encoding="latin-1")
    refused(invoke, ("train", "mine.toml"), *parts)


@pytest.fixture
def run_path(invoke) -> Path:
    assert invoke(*FEW, "--out", "a.h5").exit_code == 0
    return Path("a.h5")


@pytest.mark.parametrize("command", ["evaluate", "info", "report"])
@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_truncated_run_file(invoke, run_path, command, keep):
    data = run_path.read_bytes()
    run_path.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    refused(invoke, (command, run_path), "a.h5")


@pytest.mark.parametrize("command", ["evaluate", "info", "report"])
def test_run_file_of_a_newer_schema(invoke, run_path, command):
    with h5py.File(run_path, "r+") as file:
        file.attrs["schema_version"] = 99
    refused(invoke, (command, run_path), "a.h5", "schema_version", "99")


@pytest.mark.parametrize("damage", ["truncated", "corrupt", "newer"])
def test_resume_of_a_bad_run_file(invoke, run_path, damage):
    if damage == "newer":
        with h5py.File(run_path, "r+") as file:
            file.attrs["schema_version"] = 99
    else:
        data = run_path.read_bytes()
        half = len(data) // 2
        run_path.write_bytes(data[:half] if damage == "truncated" else data[:half] + bytes(half))
    before = run_path.read_bytes()
    refused(invoke, (*FEW, "--out", "a.h5", "--resume"), "a.h5")
    assert run_path.read_bytes() == before


@pytest.mark.parametrize("command", ["evaluate", "info", "report"])
def test_corrupt_run_file(invoke, run_path, command):
    with h5py.File(run_path, "r+") as file:
        file["arrays/0/conductance"][0, 0] += 1e-6
    refused(invoke, (command, run_path), "a.h5", "checksum")


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_data_is_no_run_file(invoke, command):
    refused(invoke, (command, library.folder("datasets") / "digits.h5"), "digits.h5")


def test_report_into_a_folder(invoke, run_path):
    Path("folder").mkdir()
    refused(invoke, ("report", run_path, "--out", "folder"), "folder")


def idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + values.astype(np.uint8).tobytes()


def write_idx(folder: Path, labels: np.ndarray, cut: int = 0) -> None:
    folder.mkdir()
    images = np.zeros((12, 4, 4))
    for part in ("train", "t10k"):
        data = idx(images)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(data[: len(data) - cut])
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))


def test_truncated_idx(invoke):
    invoke("--version")
    write_idx(Path("data"), np.arange(12) % 3, cut=5)
    stderr = refused(invoke, (*DIGITS, "--set", "data.name=data"), "idx3-ubyte")
    assert "bytes" in stderr


@pytest.mark.parametrize(("place", "byte"), [(0, 7), (2, 99), (3, 9), (4, 255)])
def test_corrupt_idx(invoke, place, byte):
    invoke("--version")
    write_idx(Path("data"), np.arange(12) % 3)
    path = Path("data/train-images-idx3-ubyte")
    data = bytearray(path.read_bytes())
    data[place] = byte
    path.write_bytes(data)
    refused(invoke, (*DIGITS, "--set", "data.name=data"), "train-images-idx3-ubyte")


@pytest.mark.parametrize("keep", [0, 5, -4])
def test_truncated_gzip(invoke, keep):
    invoke("--version")
    write_idx(Path("data"), np.arange(12) % 3)
    path = Path("data/train-labels-idx1-ubyte.gz")
    path.write_bytes(path.read_bytes()[:keep])
    refused(invoke, (*DIGITS, "--set", "data.name=data"), "train-labels-idx1-ubyte.gz")


def write_npz(**changes: np.ndarray) -> None:
    labels = np.arange(12) % 3
    arrays = {
        "train_images": np.full((12, 16), 0.5),
        "train_labels": labels,
        "test_images": np.full((12, 16), 0.5),
        "test_labels": labels,
    }
    np.savez("data.npz", **(arrays | changes))


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("test_labels", np.arange(12) % 3 + 1, "3"),
        ("train_labels", np.arange(12) % 3 - 1, "-1"),
        ("train_labels", np.arange(12) / 2, "0.5"),
        ("train_labels", np.arange(11) % 3, "11"),
        ("train_images", np.full((12, 16), np.nan), "nan"),
        ("test_images", np.full((12, 9), 0.5), "9"),
    ],
)
def test_data_out_of_range(invoke, key, value, shown):
    invoke("--version")
    write_npz(**{key: value})
    refused(invoke, (*DIGITS, "--set", "data.name=data.npz"), "data.npz", key, shown)


def test_data_that_the_trained_network_does_not_fit(invoke):
    invoke("--version")
    write_npz()
    words = (*DIGITS, "--set", "data.name=data.npz", "--epochs", 1, "--out", "a.h5")
    settings = ("--set", "learning.variant=positive")
    assert invoke(*words, *settings).exit_code == 0
    write_npz(train_images=np.full((12, 25), 0.5), test_images=np.full((12, 25), 0.5))
    refused(invoke, (*words, *settings, "--resume"), "a.h5", "dataset.checksum")
    refused(invoke, ("evaluate", "a.h5"), "data.npz", "dataset.checksum")


def test_truncated_hdf5_data(invoke):
    invoke("--version")
    data = (library.folder("datasets") / "digits.h5").read_bytes()
    Path("data.h5").write_bytes(data[: len(data) // 2])
    refused(invoke, (*DIGITS, "--set", "data.name=data.h5"), "data.h5")


def test_corrupt_hdf5_data(invoke):
    invoke("--version")
    data = (library.folder("datasets") / "digits.h5").read_bytes()
    Path("data.h5").write_bytes(data[:1000] + bytes(5000) + data[6000:])
    refused(invoke, (*DIGITS, "--set", "data.name=data.h5"), "data.h5")


def test_unknown_data(invoke):
    refused(invoke, (*DIGITS, "--set", "data.name=digit"), "digit", "digits")


def test_more_images_wanted_than_there_are(invoke):
    refused(invoke, (*DIGITS, "--set", "data.train=100000"), "train", "100000")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that root cannot write to")
def test_unwritable_output(invoke):
    refused(invoke, (*DIGITS, "--out", "/proc/neurohw/a.h5"), "/proc/neurohw/a.h5")


def test_output_below_a_file(invoke):
    invoke("--version")
    Path("file").write_text("x")
    refused(invoke, (*DIGITS, "--out", "file/a.h5"), "file/a.h5")


@pytest.mark.parametrize(
    "words",
    [
        (*DIGITS, "--set", "data.name=none.npz"),
        (*DIGITS, "--set", "data.train=100000"),
        (*DIGITS, "--set", "training.batch=5000"),
        (*DIGITS, "--set", "learning.variant=negative", "--set", "learning.nudging=1e6"),
        (*DIGITS, "--set", "learning.learning_rate=1e200"),
        ("report", "none.h5"),
    ],
)
@pytest.mark.parametrize("out", ["new/a", "new/folder/a"])
def test_refused_work_leaves_no_folder(invoke, words, out):
    refused(invoke, (*words, "--out", out))


def test_output_is_a_folder(invoke):
    invoke("--version")
    Path("folder").mkdir()
    refused(invoke, (*DIGITS, "--out", "folder"), "folder", "not a file")


@pytest.mark.parametrize("variant", ["negative", "centered", "random_sign"])
def test_nudging_without_a_minimum(invoke, variant):
    words = (*DIGITS, "--set", f"learning.variant={variant}", "--set", "learning.nudging=1e6")
    refused(invoke, words, "nudging", "1e+06", "below", "S)")


def test_voltage_that_is_not_finite(invoke):
    words = (*FEW, "--set", "learning.learning_rate=1e200", "--out", "new/a.h5")
    stderr = refused(invoke, words, "epoch 1, mini-batch 2", "voltage of layer 1, unit 0", "nan")
    assert "free phase" in stderr


def test_relaxation_that_does_not_settle(invoke):
    words = (*FEW, "--set", "relaxation.tolerance=1e-12")
    refused(invoke, words, "relaxation.tolerance", "1e-12", "residual", "epoch 1, mini-batch 1")


def test_biases_that_do_not_fit_another_chip(invoke):
    words = (*FEW, "--set", "chip.bias.kind=rails", "--set", 'chip.bias.rail="8 mV"')
    assert invoke(*words, "--out", "a.h5").exit_code == 0
    refused(invoke, ("evaluate", "a.h5", "--chip", "epiram"), "chip.bias.kind", "rails")


def test_run_file_that_exists_is_kept(invoke):
    invoke("--version")
    Path("a.h5").write_text("precious")
    refused(invoke, (*DIGITS, "--out", "a.h5"), "a.h5", "--resume")
    assert Path("a.h5").read_text() == "precious"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--seed", 5), ("training.seed", "0", "5")),
        (("--chip", "epiram"), ("chip.name", "ideal", "epiram")),
        (("--set", "network.hidden=[64,64]"), ("network.hidden", "[64]", "[64, 64]")),
    ],
)
def test_resume_of_another_configuration(invoke, words, parts):
    few = (*FEW, "--set", "learning.learning_rate=0.02", "--set", "learning.bias_learning_rate=0")
    assert invoke(*few, "--out", "a.h5").exit_code == 0
    before = Path("a.h5").read_bytes()
    refused(invoke, (*few, *words, "--out", "a.h5", "--resume"), "a.h5", *parts)
    assert Path("a.h5").read_bytes() == before
