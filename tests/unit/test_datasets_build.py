"""The script that builds the shipped data sets, on small synthetic files."""

import gzip
import hashlib
import importlib.util
import re
import sys

import numpy as np
import pytest

from neurohw import datasets, library
from neurohw.errors import DataError


def load_build():
    spec = importlib.util.spec_from_file_location(
        "datasets_build", library.folder("datasets") / "build.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = load_build()


@pytest.fixture
def source(tmp_path):
    """Return a folder of four small IDX files, the first gzipped, and their checksums."""
    rng = np.random.default_rng(3)
    folder = tmp_path / "idx"
    folder.mkdir()
    checksums = {}
    for name in build.MNIST_SHA256:
        count = 30 if name.startswith("train") else 10
        shape = (count, 5, 6) if "images" in name else (count,)
        values = rng.integers(0, 256, shape) if "images" in name else np.arange(count) % 10
        sizes = np.array(shape, ">u4").tobytes()
        data = bytes([0, 0, 8, len(shape)]) + sizes + values.astype(np.uint8).tobytes()
        checksums[name] = hashlib.sha256(data).hexdigest()
        if len(checksums) == 1:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)
    return folder, checksums


def test_what_is_built_is_what_the_idx_files_hold(tmp_path, source):
    folder, checksums = source
    path = tmp_path / "small.h5"
    build.write(path, build.read(folder, checksums), build.MNIST)
    assert datasets.load(path).checksum == datasets.load(folder).checksum


def test_same_arrays_give_the_same_bytes(tmp_path, source):
    arrays = build.read(*source)
    paths = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for path in paths:
        build.write(path, arrays, build.MNIST)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_other_contents_are_refused(source):
    folder, checksums = source
    name = "t10k-labels-idx1-ubyte"
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(DataError, match=rf"{name}: SHA-256 .* expected {checksums[name]}"):
        build.read(folder, checksums)
    (folder / name).unlink()
    with pytest.raises(DataError, match=name):
        build.read(folder, checksums)


def test_digits_are_those_of_scikit_learn(tmp_path):
    pytest.importorskip("sklearn")
    path = tmp_path / "digits.h5"
    build.write(path, build.read_digits(), build.DIGITS)
    assert datasets.load(path).checksum == datasets.load("digits").checksum


def test_main_writes_the_files_and_their_sums(tmp_path, source, monkeypatch):
    pytest.importorskip("sklearn")
    folder, checksums = source
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(build, "MNIST_SHA256", checksums)
    monkeypatch.setattr(sys, "argv", ["build.py", str(folder), "--out", str(out)])
    build.main()
    lines = (out / "SHA256SUMS").read_text().splitlines()
    names = [re.sub("^[0-9a-f]{64}  ", "", line) for line in lines]
    assert names == ["digits.h5", "mnist.h5", "xor.h5"]
    digest = hashlib.sha256((out / "mnist.h5").read_bytes()).hexdigest()
    assert lines[1].startswith(digest)


def test_main_refuses_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["build.py", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        build.main()
    assert caught.value.code == 2
    assert re.fullmatch(r"error: .*train-images-idx3-ubyte.*\n", capsys.readouterr().err)
