"""Bad input: one line that names file, key and value, status 2, nothing half-written."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurohw import library

DIGITS = ("train", "--recipe", "drn-digits")


def files() -> set[Path]:
    return {path for path in Path().rglob("*") if path.is_file()}


def refused(invoke, words, *parts):
    """Check that a command line is refused as it should be."""
    before = files()
    result = invoke(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert str(part) in result.stderr
    assert files() == before
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
        (
            (*DIGITS, "--chip", "epiram", "--set", 'chip.device.g_min="1 S"'),
            ("g_min", "1 S", "g_max"),
        ),
        (("train", "none.toml"), ("none.toml",)),
        (("evaluate", "none.h5"), ("none.h5",)),
        (("report", "none.h5"), ("none.h5",)),
        (("new", "chip", "--from", "epirm", "-o", "a.toml"), ("epirm", "epiram")),
        (("new", "chip", "--from", "epiram", "-o", "no/folder/a.toml"), ("no/folder/a.toml",)),
    ],
)
def test_bad_words(invoke, trainer, words, parts):
    refused(invoke, words, *parts)
    assert not trainer.calls


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
def test_bad_configuration_file(invoke, trainer, text, parts):
    invoke("--version")
    Path("mine.toml").write_text(text, encoding="latin-1")
    refused(invoke, ("train", "mine.toml"), *parts)
    assert not trainer.calls


@pytest.fixture
def run_path(invoke, trainer) -> Path:
    invoke(*DIGITS, "--epochs", 1, "--out", "a.h5")
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


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_data_is_no_run_file(invoke, trainer, command):
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


def test_label_out_of_range(invoke):
    invoke("--version")
    labels = np.arange(12) % 3
    np.savez(
        "data.npz",
        train_images=np.zeros((12, 16)),
        train_labels=labels,
        test_images=np.zeros((12, 16)),
        test_labels=labels + 1,
    )
    refused(invoke, (*DIGITS, "--set", "data.name=data.npz"), "data.npz", "test_labels", "3")


def test_truncated_hdf5_data(invoke):
    invoke("--version")
    data = (library.folder("datasets") / "digits.h5").read_bytes()
    Path("data.h5").write_bytes(data[: len(data) // 2])
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


def test_nudging_without_a_minimum(invoke):
    words = (*DIGITS, "--set", "learning.variant=negative", "--set", "learning.nudging=1e6")
    refused(invoke, words, "nudging", "1e+06")


def test_run_file_that_exists_is_kept(invoke):
    invoke("--version")
    Path("a.h5").write_text("precious")
    refused(invoke, (*DIGITS, "--out", "a.h5"), "a.h5", "--resume")
    assert Path("a.h5").read_text() == "precious"


def test_resume_of_another_configuration(invoke):
    few = ("--epochs", 1, "--set", "data.train=40", "--out", "a.h5")
    assert invoke(*DIGITS, *few).exit_code == 0
    before = Path("a.h5").read_bytes()
    refused(invoke, (*DIGITS, *few, "--seed", 5, "--resume"), "a.h5", "seed")
    assert Path("a.h5").read_bytes() == before
