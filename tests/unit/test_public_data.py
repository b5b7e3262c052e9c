"""Fashion-MNIST and CIFAR-10: found, checked against the published sums, read; small files."""

import gzip
import hashlib
import io
import os
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from neurohw import datasets, public_data
from neurohw.data_files import CIFAR_NAMES, IDX_NAMES
from neurohw.errors import DataError
from neurohw.public_data import PUBLIC

RNG = np.random.default_rng(11)


def idx_contents():
    """Return four small IDX files: 20 images of 4 × 3 to train, 10 to test, of ten classes."""
    contents = {}
    for key, name in IDX_NAMES.items():
        count = 20 if key.startswith("train") else 10
        shape = (count, 4, 3) if key.endswith("images") else (count,)
        values = RNG.integers(0, 256, shape) if len(shape) > 1 else np.arange(count) % 10
        sizes = np.array(shape, ">u4").tobytes()
        contents[name] = bytes([0, 0, 8, len(shape)]) + sizes + values.astype(np.uint8).tobytes()
    return contents


def cifar_contents(count=4):
    """Return six small files in the format of CIFAR-10's binary version."""
    labels = np.arange(6 * count).reshape(6, count, 1) % 10
    pixels = RNG.integers(0, 256, (6, count, 3072))
    tables = np.concatenate([labels, pixels], axis=2).astype(np.uint8)
    return {name: table.tobytes() for name, table in zip(CIFAR_NAMES, tables, strict=True)}


def write_files(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder


def write_archive(path, contents):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def refusal(source):
    with pytest.raises(DataError) as caught:
        datasets.load(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """Look nowhere but in the folders that a test names."""
    monkeypatch.setattr(public_data, "STANDARD", (tmp_path / "standard",))
    monkeypatch.delenv(public_data.VARIABLE, raising=False)


@pytest.fixture
def publish(monkeypatch):
    """Take small contents for the published ones of a name."""

    def change(name, contents, kind="sha256"):
        digests = {file: hashlib.new(kind, data).hexdigest() for file, data in contents.items()}
        monkeypatch.setitem(PUBLIC, name, replace(PUBLIC[name], digests=digests))
        return contents

    return change


# The public files themselves, where there are any.


@pytest.mark.parametrize(
    ("name", "training", "shape"),
    [("fashion-mnist", 6000, (28, 28)), ("cifar-10", 5000, (3, 32, 32))],
)
def test_published_files_are_those_of_the_sums(monkeypatch, name, training, shape):
    monkeypatch.undo()
    if public_data.find(name) is None:
        pytest.skip(f"the files of {name} are not installed")
    dataset = datasets.load(name)
    assert dataset.name == name and dataset.image_shape == shape
    assert np.bincount(dataset.train_labels).tolist() == [training] * 10
    assert np.bincount(dataset.test_labels).tolist() == [1000] * 10


# Where they are looked for.


@pytest.mark.parametrize("place", ["", "fashion-mnist", "FashionMNIST/raw"])
def test_fashion_is_found_in_a_named_folder(tmp_path, monkeypatch, publish, place):
    contents = publish("fashion-mnist", idx_contents())
    write_files(tmp_path / "mine" / place, contents)
    folders = [str(tmp_path / "none"), str(tmp_path / "mine")]
    monkeypatch.setenv(public_data.VARIABLE, os.pathsep.join(folders))
    dataset = datasets.load("fashion-mnist")
    assert (dataset.name, dataset.classes, dataset.image_shape) == ("fashion-mnist", 10, (4, 3))
    pixels = np.frombuffer(contents["t10k-images-idx3-ubyte"], np.uint8, offset=16)
    np.testing.assert_allclose(dataset.test_images.ravel(), pixels / 255, rtol=1e-6)


def test_gzipped_files_of_the_system_are_found(tmp_path, publish):
    contents = publish("fashion-mnist", idx_contents())
    packed = {f"{name}.gz": gzip.compress(data) for name, data in contents.items()}
    write_files(tmp_path / "standard" / "fashion-mnist", packed)
    assert len(datasets.load("fashion-mnist").train_images) == 20


@pytest.mark.parametrize("packed", [False, True])
def test_cifar_is_found(tmp_path, monkeypatch, publish, packed):
    contents = publish("cifar-10", cifar_contents(), "sha1")
    if packed:
        write_archive(tmp_path / "cifar-10-binary.tar.gz", contents)
    else:
        write_files(tmp_path / "cifar-10-batches-bin", contents)
    monkeypatch.setenv(public_data.VARIABLE, str(tmp_path))
    assert datasets.load("cifar-10").name == "cifar-10"


def test_one_folder_may_hold_the_files_of_both(tmp_path, monkeypatch, publish):
    write_files(tmp_path, publish("fashion-mnist", idx_contents()))
    write_files(tmp_path, publish("cifar-10", cifar_contents(), "sha1"))
    write_files(tmp_path, {"train.csv": b"0,1\n1,0\n"})
    monkeypatch.setenv(public_data.VARIABLE, str(tmp_path))
    assert datasets.load("fashion-mnist").image_shape == (4, 3)
    assert datasets.load("cifar-10").image_shape == (3, 32, 32)


def test_list_says_where_the_files_are_or_how_to_get_them(tmp_path, monkeypatch, publish):
    write_files(tmp_path / "fashion-mnist", publish("fashion-mnist", idx_contents()))
    monkeypatch.setenv(public_data.VARIABLE, str(tmp_path))
    rows = {row["name"]: row for row in datasets.available()}
    assert rows["fashion-mnist"]["path"] == str(tmp_path / "fashion-mnist")
    assert rows["cifar-10"]["path"] == ""
    assert "cifar-10-binary.tar.gz" in rows["cifar-10"]["description"]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("fashion-mnist", "apt-get install dataset-fashion-mnist"),
        ("cifar-10", "cifar-10-binary.tar.gz"),
    ],
)
def test_without_files_the_line_says_what_to_do(tmp_path, monkeypatch, name, remedy):
    monkeypatch.setenv(public_data.VARIABLE, str(tmp_path / "empty"))
    text = refusal(name)
    assert text.startswith(f"{name}: no files in {tmp_path / 'empty'}, {tmp_path / 'standard'}: ")
    assert remedy in text and public_data.VARIABLE in text


def test_nearest_name():
    assert refusal("fashion_mnist").endswith("did you mean 'fashion-mnist'?")


# What is refused by name.


def test_one_file_missing(tmp_path, monkeypatch, publish):
    contents = publish("fashion-mnist", idx_contents())
    del contents["t10k-images-idx3-ubyte"], contents["t10k-labels-idx1-ubyte"]
    folder = write_files(tmp_path / "fashion-mnist", contents)
    monkeypatch.setenv(public_data.VARIABLE, str(tmp_path))
    expected = f"{folder}: t10k-images-idx3-ubyte (or t10k-images-idx3-ubyte.gz) is missing"
    assert refusal("fashion-mnist") == expected


@pytest.mark.parametrize(
    ("name", "make", "file", "kind"),
    [
        ("fashion-mnist", idx_contents, "train-labels-idx1-ubyte", "sha256"),
        ("cifar-10", cifar_contents, "test_batch.bin", "sha1"),
    ],
)
def test_other_contents_are_refused(tmp_path, monkeypatch, publish, name, make, file, kind):
    contents = publish(name, make(), kind)
    expected = PUBLIC[name].digests[file]
    contents[file] = contents[file][:-1] + bytes([contents[file][-1] ^ 1])
    found = hashlib.new(kind, contents[file]).hexdigest()
    folder = write_files(tmp_path, contents)
    monkeypatch.setenv(public_data.VARIABLE, str(tmp_path))
    word = {"sha1": "SHA-1", "sha256": "SHA-256"}[kind]
    assert refusal(name) == (
        f"{folder / file}: {word} of the contents is {found}, expected {expected}:"
        " damaged, or another data set"
    )


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        (lambda data: data[:-1], "needs 28 bytes; the file has 27"),
        (lambda data: b"\1" + data[1:], "magic number 01000801"),
    ],
)
def test_damaged_idx_is_named_before_its_sum(tmp_path, monkeypatch, publish, cut, expected):
    contents = publish("fashion-mnist", idx_contents())
    name = "train-labels-idx1-ubyte"
    write_files(tmp_path, contents | {name: cut(contents[name])})
    monkeypatch.setenv(public_data.VARIABLE, str(tmp_path))
    text = refusal("fashion-mnist")
    assert text.startswith(str(tmp_path / name)) and expected in text


# CIFAR-10's format by path, without sums.


@pytest.mark.parametrize("packed", [False, True])
def test_cifar_format(tmp_path, packed):
    contents = cifar_contents()
    if packed:
        path = write_archive(tmp_path / "small.tar.gz", contents | {"readme.html": b"x"})
    else:
        path = write_files(tmp_path / "small", contents)
    dataset = datasets.load(path)
    assert (dataset.name, dataset.classes, dataset.image_shape) == ("small", 10, (3, 32, 32))
    assert dataset.train_images.shape == (20, 3072) and dataset.test_images.shape == (4, 3072)
    assert dataset.train_labels.tolist() == [sample % 10 for sample in range(20)]
    # Image 1 of batch 2: a label, then the red, green and blue planes row by row.
    record = contents["data_batch_2.bin"][3073:]
    image = dataset.train_images[5].reshape(3, 32, 32)
    for channel, row, column in ((0, 0, 0), (1, 2, 3), (2, 31, 31)):
        byte = record[1 + channel * 1024 + row * 32 + column]
        assert image[channel, row, column] == np.float32(byte) / np.float32(255)


def relabelled(data, label):
    return data[:3073] + bytes([label]) + data[3074:]


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        (
            "data_batch_3.bin",
            lambda data: data[:-1],
            "has 12291 bytes; expected a multiple of 3073",
        ),
        ("test_batch.bin", lambda data: b"", "has 0 bytes; expected a multiple of 3073"),
        ("data_batch_5.bin", lambda data: relabelled(data, 10), "label of image 1 is 10; expected"),
    ],
)
def test_damaged_cifar(tmp_path, file, change, expected):
    contents = cifar_contents()
    contents[file] = change(contents[file])
    folder = write_files(tmp_path / "small", contents)
    text = refusal(folder)
    assert text.startswith(f"{folder / file}: ") and expected in text


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("file", ["data_batch_1.bin", "data_batch_4.bin", "test_batch.bin"])
def test_cifar_with_a_file_missing(tmp_path, file, packed):
    contents = cifar_contents(1)
    del contents[file]
    if packed:
        path = write_archive(tmp_path / "small.tar.gz", contents)
    else:
        path = write_files(tmp_path / "small", contents)
    assert refusal(path) == f"{path}: {file} is missing"


@pytest.mark.parametrize("kept", [0, 20, -500])
def test_damaged_archive(tmp_path, kept):
    path = write_archive(tmp_path / "small.tar.gz", cifar_contents(1))
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(path).startswith(f"{path}: cannot be read: ")


# Colours.


@pytest.mark.parametrize(("shape", "rows"), [((3, 5, 6), 1), ((5, 6, 3), 0), ((5, 6, 1), 0)])
def test_cropping_keeps_the_channels(shape, rows):
    images = RNG.integers(0, 256, (6, *shape), dtype=np.uint8)
    arrays = {"train_images": images, "train_labels": np.arange(6) % 2}
    whole = datasets.from_arrays("a", arrays)
    cut = datasets.cropped(whole, 1)
    kept = images[:, :, 1:-1, 1:-1] if rows else images[:, 1:-1, 1:-1]
    assert cut.image_shape == kept.shape[1:]
    expected = kept[:5].reshape(5, -1) / np.float32(255)
    np.testing.assert_allclose(cut.train_images, expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(12,), (5, 6, 2), (2, 2, 2, 3)])
def test_what_is_no_picture_is_not_cropped(shape):
    arrays = {"train_images": np.zeros((6, *shape)), "train_labels": np.arange(6) % 2}
    with pytest.raises(DataError, match="crop = 1: images are of shape"):
        datasets.cropped(datasets.from_arrays("a", arrays), 1)
