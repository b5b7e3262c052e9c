"""Data sets: what is shipped, what a user brings, and every way in which that can be wrong."""

import contextlib
import gzip
import hashlib
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurohw import data_files, datasets, library
from neurohw.errors import DataError

IDX_CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
IDX_NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


def idx_bytes(array):
    header = struct.pack(">HBB", 0, IDX_CODES[array.dtype.name], array.ndim)
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return header + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(folder, arrays, *, packed=False):
    folder.mkdir(exist_ok=True)
    for key, array in arrays.items():
        data = idx_bytes(array)
        path = folder / (IDX_NAMES[key] + (".gz" if packed else ""))
        path.write_bytes(gzip.compress(data) if packed else data)
    return folder


def write_hdf5(path, arrays, **attributes):
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file.create_dataset(key, data=array, compression="gzip")
        file.attrs.update(attributes)
    return path


def write_npz(path, arrays):
    np.savez_compressed(path, **arrays)
    return path


def write_csv(path, images, labels, header=None):
    lines = [] if header is None else [header]
    for label, image in zip(labels, images.reshape(len(images), -1), strict=True):
        lines.append(",".join(str(value) for value in (label, *image)))
    path.write_text("\n".join(lines) + "\n")
    return path


def refusal(action, *arguments):
    """Return the text of the DataError, which must be one line."""
    with pytest.raises(DataError) as caught:
        action(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def arrays():
    rng = np.random.default_rng(7)
    return {
        "train_images": rng.integers(0, 256, (24, 3, 4), dtype=np.uint8),
        "train_labels": np.arange(24, dtype=np.uint8) % 4,
        "test_images": rng.integers(0, 256, (8, 3, 4), dtype=np.uint8),
        "test_labels": np.arange(8, dtype=np.uint8) % 4,
    }


def assert_holds(dataset, arrays, maximum=255):
    """Check that a data set is `arrays` with the pixels divided by `maximum`."""
    for part in ("train", "test"):
        images = arrays[f"{part}_images"]
        expected = images.reshape(len(images), -1) / maximum
        found = getattr(dataset, f"{part}_images")
        assert found.dtype == np.float32 and found.flags.c_contiguous
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
        labels = getattr(dataset, f"{part}_labels")
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels, arrays[f"{part}_labels"])


# What is shipped.


def test_shipped_files_are_those_of_the_checksums():
    folder = library.folder("datasets")
    sums = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert sorted(name for _, name in sums) == sorted(path.name for path in folder.glob("*.h5"))
    for expected, name in sums:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected


@pytest.mark.parametrize(
    ("name", "training", "test", "shape"),
    [("mnist", 60_000, 10_000, (28, 28)), ("digits", 1437, 360, (8, 8))],
)
def test_shipped_data_sets(name, training, test, shape):
    dataset = datasets.load(name)
    assert dataset.name == name and dataset.classes == 10 and dataset.image_shape == shape
    assert dataset.train_images.shape == (training, np.prod(shape))
    assert dataset.test_images.shape == (test, np.prod(shape))
    for images in (dataset.train_images, dataset.test_images):
        assert images.dtype == np.float32 and images.min() == 0 and images.max() == 1
    for labels in (dataset.train_labels, dataset.test_labels):
        share = np.bincount(labels, minlength=10) / len(labels)
        assert labels.dtype == np.int64 and share.min() > 0.08 and share.max() < 0.13
    assert dataset.split == "as given" and len(dataset.checksum) == 64


def test_available_lists_what_load_takes():
    rows = {row["name"]: row for row in datasets.available()}
    assert rows["mnist"]["samples"] == 70_000 and rows["digits"]["samples"] == 1797
    assert all(row["description"] for row in rows.values())


def test_mnist_labels_belong_to_the_images():
    """The nearest class mean knows 82 % of MNIST, as is well known; shuffled labels give 10 %."""
    dataset = datasets.first(datasets.load("mnist"), 6000)
    means = np.stack(
        [dataset.train_images[dataset.train_labels == label].mean(0) for label in range(10)]
    )
    score = dataset.test_images @ means.T - 0.5 * (means**2).sum(1)
    assert 0.78 < np.mean(score.argmax(1) == dataset.test_labels) < 0.86


# A user's own data, one format after the other.


@pytest.mark.parametrize("names", ["train_images", "x_train"])
def test_npz(tmp_path, arrays, names):
    keys = {key: key for key in arrays}
    if names == "x_train":
        keys = dict(zip(arrays, ("x_train", "y_train", "x_test", "y_test"), strict=True))
    path = write_npz(tmp_path / "mine.npz", {keys[key]: array for key, array in arrays.items()})
    dataset = datasets.load(path)
    assert dataset.name == "mine" and dataset.classes == 4 and dataset.image_shape == (3, 4)
    assert_holds(dataset, arrays)


@pytest.mark.parametrize("ending", ["h5", "hdf5"])
def test_hdf5(tmp_path, arrays, ending):
    assert_holds(datasets.load(str(write_hdf5(tmp_path / f"mine.{ending}", arrays))), arrays)


def test_hdf5_attributes_declare_classes_and_maximum(tmp_path, arrays):
    for key in ("train_images", "test_images"):
        arrays[key] //= 16
    dataset = datasets.load(write_hdf5(tmp_path / "mine.h5", arrays, classes=7, maximum=16))
    assert dataset.classes == 7
    assert_holds(dataset, arrays, maximum=16)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_folder(tmp_path, arrays, packed):
    dataset = datasets.load(write_idx(tmp_path / "mine", arrays, packed=packed))
    assert dataset.name == "mine" and dataset.image_shape == (3, 4)
    assert_holds(dataset, arrays)


def test_idx_names_with_a_dot(tmp_path, arrays):
    folder = write_idx(tmp_path / "mine", arrays)
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace("-idx", ".idx"))
    assert_holds(datasets.load(folder), arrays)


@pytest.mark.parametrize("header", [None, "label,p1,p2", "\ufefflabel,p1,p2"])
def test_csv_folder(tmp_path, arrays, header):
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        write_csv(tmp_path / f"{part}.csv", images, labels, header)
    dataset = datasets.load(tmp_path)
    assert dataset.name == tmp_path.name and dataset.image_shape == (12,)
    assert_holds(dataset, arrays)


def test_csv_file_of_fractions(tmp_path, arrays):
    fractions = arrays["train_images"] / 255
    dataset = datasets.load(write_csv(tmp_path / "mine.csv", fractions, arrays["train_labels"]))
    images = np.concatenate([dataset.train_images, dataset.test_images])
    np.testing.assert_allclose(images, fractions.reshape(24, 12), rtol=1e-6, atol=1e-9)


def test_every_format_gives_the_same_checksum(tmp_path, arrays):
    for part in ("train", "test"):
        write_csv(tmp_path / f"{part}.csv", arrays[f"{part}_images"], arrays[f"{part}_labels"])
    sources = [
        write_npz(tmp_path / "a.npz", arrays),
        write_hdf5(tmp_path / "b.h5", arrays),
        write_idx(tmp_path / "c", arrays, packed=True),
        tmp_path,
    ]
    assert len({datasets.load(source).checksum for source in sources}) == 1


def test_checksum_changes_with_any_array(arrays):
    seen = {datasets.from_arrays("a", arrays).checksum}
    for key in arrays:
        changed = {name: array.copy() for name, array in arrays.items()}
        changed[key].flat[0] = 3 - changed[key].flat[0] if "labels" in key else 1
        seen.add(datasets.from_arrays("a", changed).checksum)
    assert len(seen) == 5


@given(
    array=st.sampled_from(sorted(IDX_CODES)).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
    ),
    packed=st.booleans(),
)
def test_idx_round_trip(tmp_path_factory, array, packed):
    path = tmp_path_factory.mktemp("idx") / "array"
    path.write_bytes(gzip.compress(idx_bytes(array)) if packed else idx_bytes(array))
    found = data_files.read_idx(path)
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


@given(data=st.binary(max_size=64))
def test_random_bytes_give_no_other_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bytes")
    for name in ("a.npz", "a.h5", "a.csv", "train-images-idx3-ubyte"):
        (folder / name).write_bytes(data)
        source = folder if name.startswith("train") else folder / name
        with contextlib.suppress(DataError):
            datasets.load(source)


@settings(derandomize=True)
@given(cut=st.integers(0, 399), position=st.integers(0, 10_000), ending=st.sampled_from("ab"))
def test_damaged_hdf5_and_npz(tmp_path_factory, cut, position, ending):
    """A cut file is refused; one with a changed byte is read or refused, in one line."""
    folder = tmp_path_factory.mktemp("damaged")
    images = np.random.default_rng(1).integers(0, 256, (12, 8), dtype=np.uint8)
    content = {"train_images": images, "train_labels": np.arange(12) % 2}
    path = folder / ("a.h5" if ending == "a" else "a.npz")
    (write_hdf5 if ending == "a" else write_npz)(path, content)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    assert str(path) in refusal(datasets.load, path)
    changed = bytearray(whole)
    changed[position % len(whole)] ^= 0xFF
    path.write_bytes(bytes(changed))
    try:
        datasets.load(path)
    except DataError as error:
        assert str(path) in str(error) and "\n" not in str(error)


# Ranges, splits, subsets.


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float64, np.float16])
def test_zeros_and_ones_stay_what_they_are(arrays, kind):
    for key in ("train_images", "test_images"):
        arrays[key] = (arrays[key] > 128).astype(kind)
    assert_holds(datasets.from_arrays("a", arrays), arrays, maximum=1)


def test_both_parts_are_scaled_alike(arrays):
    arrays["test_images"] = (arrays["test_images"] > 128).astype(np.uint8)
    assert_holds(datasets.from_arrays("a", arrays), arrays, maximum=255)


def test_whole_float_labels_are_taken(arrays):
    arrays["train_labels"] = arrays["train_labels"].astype(float)
    assert_holds(datasets.from_arrays("a", arrays), arrays)


def test_without_a_test_part_the_last_sixth_is_it(arrays):
    del arrays["test_images"], arrays["test_labels"]
    dataset = datasets.from_arrays("a", arrays)
    assert len(dataset.train_images) == 20 and len(dataset.test_images) == 4
    np.testing.assert_array_equal(dataset.test_labels, arrays["train_labels"][20:])
    assert "last sixth, 4 of 24" in dataset.split


def test_hold_out(arrays):
    whole = datasets.from_arrays("a", arrays)
    held = datasets.hold_out(whole, 10)
    np.testing.assert_array_equal(held.train_images, whole.train_images[:14])
    np.testing.assert_array_equal(held.test_images, whole.train_images[14:])
    np.testing.assert_array_equal(held.test_labels, whole.train_labels[14:])
    assert held.name == whole.name and held.checksum != whole.checksum and "10" in held.split


def test_first(arrays):
    whole = datasets.from_arrays("a", arrays)
    few = datasets.first(whole, 6)
    np.testing.assert_array_equal(few.train_images, whole.train_images[:6])
    np.testing.assert_array_equal(few.test_images, whole.test_images)
    assert few.checksum != whole.checksum and few.classes == 4
    assert datasets.first(whole, 24).checksum == whole.checksum


@pytest.mark.parametrize("count", [-1, 0, 24, 25])
def test_subsets_that_do_not_exist(arrays, count):
    dataset = datasets.from_arrays("mine", arrays)
    assert f"mine: validation = {count} is not from 1 to 23" in refusal(
        datasets.hold_out, dataset, count
    )
    if count != 24:
        assert f"train = {count} is not from 1 to 24" in refusal(datasets.first, dataset, count)


# What is refused.


@pytest.mark.parametrize(
    ("key", "change", "expected"),
    [
        ("train_images", lambda a: np.where(a == a[2, 1, 3], np.nan, a / 255), "nan; expected"),
        ("train_images", lambda a: a / 255 * 1.5, "real numbers 0 to 1"),
        ("train_images", lambda a: a.astype(float), "real numbers 0 to 1"),
        ("train_images", lambda a: np.full(a.shape, np.inf), "[0, 0, 0] is inf"),
        ("test_images", lambda a: a.astype(np.int16) - 300, "integers 0..255"),
        ("test_images", lambda a: a.astype(np.uint16) + 256, "integers 0..255"),
        ("test_images", lambda a: a[:, :2], "(2, 4), train (3, 4)"),
        ("train_images", lambda a: a[:, 0, 0], "shape (24,)"),
        ("train_images", lambda a: a[:0], "shape (0, 3, 4)"),
        ("train_images", lambda a: a.astype(complex), "complex128"),
        ("train_images", lambda a: a.astype(str), "type <U"),
        ("train_images", lambda a: a.astype(object), "object"),
        ("train_labels", lambda a: a[:-1], "shape (23,)"),
        ("train_labels", lambda a: np.eye(4)[a], "shape (24, 4)"),
        ("train_labels", lambda a: a.astype(str), "type <U"),
        ("train_labels", lambda a: a + 0.5, "[0] is 0.5; expected whole numbers"),
        ("train_labels", lambda a: a.astype(int) - 1, "[0] is -1"),
        ("train_labels", lambda a: a.astype(int) + 1, "no label is 0, yet one is 4"),
        ("train_labels", lambda a: a.astype(int) * 2**40, "[1] is 1099511627776"),
        ("train_labels", lambda a: np.where(a == 1, np.nan, a), "[1] is nan"),
        ("test_labels", lambda a: a + 1, "[3] is 4; expected whole numbers 0..3"),
    ],
)
def test_arrays_out_of_range(tmp_path, arrays, key, change, expected):
    arrays[key] = change(arrays[key])
    text = refusal(lambda: datasets.from_arrays("a", arrays, where="folder/mine.npz"))
    assert text.startswith(f"folder/mine.npz: {key}") and expected in text


@pytest.mark.parametrize("key", IDX_NAMES)
def test_missing_array_is_named(arrays, key):
    del arrays[key]
    text = refusal(datasets.from_arrays, "a", arrays)
    assert f"a: {key} is missing; it holds" in text


@pytest.mark.parametrize("value", [0, -1, 2.5, [1, 2], "ten", 10**9])
@pytest.mark.parametrize("key", ["classes", "maximum"])
def test_declared_numbers(arrays, key, value):
    assert f"a: {key} = " in refusal(datasets.from_arrays, "a", arrays | {key: value})


def test_more_labels_than_declared_classes(arrays):
    text = refusal(datasets.from_arrays, "a", arrays | {"classes": 3})
    assert "train_labels[3] is 3; expected whole numbers 0..2" in text


def test_sorted_samples_cannot_be_split(arrays):
    del arrays["test_images"], arrays["test_labels"]
    arrays["train_labels"] = np.sort(arrays["train_labels"])
    arrays["train_labels"][-2:] = 4
    text = refusal(datasets.from_arrays, "a", arrays)
    assert "no training image has label 4; shuffle" in text


def test_unknown_name():
    assert refusal(datasets.load, "mnits") == "unknown data set 'mnits'; did you mean 'mnist'?"
    assert "known: cifar-10, digits, fashion-mnist, " in refusal(datasets.load, "cats")


def test_missing_file(tmp_path):
    assert refusal(datasets.load, tmp_path / "a.npz").endswith("a.npz: no such file or folder")
    assert "no such file" in refusal(datasets.load, "folder/mnist")
    assert "cannot be read" in refusal(datasets.load, "x" * 5000)


def test_other_files_and_empty_folders(tmp_path):
    (tmp_path / "a.png").touch()
    assert "nor one of .csv, .h5, .hdf5, .npz" in refusal(datasets.load, tmp_path / "a.png")
    assert "train-images-idx3-ubyte" in refusal(datasets.load, tmp_path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: b"", "magic number missing"),
        (lambda data: data[:3], "magic number 000008 "),
        (lambda data: b"\1" + data[1:], "magic number 01000803"),
        (lambda data: data[:2] + b"\x07" + data[3:], "magic number 00000703"),
        (lambda data: data[:3] + b"\0" + data[4:], "magic number 00000800"),
        (lambda data: data[:3] + b"\xff" + data[4:], "magic number 000008ff"),
        (lambda data: data[:9], "header ends after 9 of 16 bytes"),
        (lambda data: data[:-1], "needs 304 bytes; the file has 303"),
        (lambda data: data + b"\0", "needs 304 bytes; the file has 305"),
        (lambda data: data[:4] + b"\xff" * 12 + data[16:], "shape (4294967295, 4294967295"),
        (lambda data: gzip.compress(data)[:-9], "cannot be read"),
        (lambda data: gzip.compress(data)[:40], "cannot be read"),
        (lambda data: gzip.compress(data)[:-6] + b"\0" * 6, "cannot be read"),
        (lambda data: gzip.compress(data)[:12] + b"\xff" * 50, "cannot be read"),
    ],
)
def test_damaged_idx(tmp_path, arrays, change, expected):
    path = write_idx(tmp_path, arrays) / IDX_NAMES["train_images"]
    path.write_bytes(change(path.read_bytes()))
    text = refusal(datasets.load, tmp_path)
    assert text.startswith(f"{path}: ") and expected in text


def test_idx_labels_without_images(tmp_path, arrays):
    (write_idx(tmp_path, arrays) / IDX_NAMES["test_images"]).unlink()
    assert f"{tmp_path}: test_images is missing" in refusal(datasets.load, tmp_path)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "holds no samples"),
        (["label,a,b", "", ""], "holds no samples"),
        (["0,1,2", "1,x,2"], "line 2, column 2: 'x' is not a number"),
        (["label,a,b", "0,1,2", "1,,2"], "line 3, column 2: '' is not a number"),
        (["0,1,2", "1,2"], "line 2 has 2 columns, not 3"),
        (["0;1;2", "1;2;3"], "line 2, column 1: '1;2;3' is not a number"),
        (["0", "1"], "has 1 column"),
        (["0,nan,2", "1,2,3"], "train_images[0, 0] is nan"),
        (["0,0.5,2", "1,2,3"], "train_images[0, 1] is 2.0; expected real numbers 0 to 1"),
        (["0,1,256", "1,2,3"], "train_images[0, 1] is 256; expected integers 0..255"),
        (["0,1,1e999", "1,2,3"], "is inf"),
        (["0.5,1,2", "1,2,3"], "train_labels[0] is 0.5"),
    ],
)
def test_damaged_csv(tmp_path, lines, expected):
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines))
    text = refusal(datasets.load, path)
    assert text.startswith(f"{path}: ") and expected in text


def test_csv_that_is_not_text(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(b"0,1,2\n\xff\xfe,3\n")
    assert f"{path}: cannot be read" in refusal(datasets.load, path)


def test_csv_that_only_numpy_refuses(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("0,1_0,2\n")
    assert "not a table of numbers" in refusal(datasets.load, path)


def test_damaged_hdf5(tmp_path, arrays):
    path = write_hdf5(tmp_path / "mine.h5", arrays)
    whole = path.read_bytes()
    for data in (b"", b"not HDF5", whole[:-1], whole[: len(whole) // 2]):
        path.write_bytes(data)
        assert f"{path}: cannot be read" in refusal(datasets.load, path)


def test_damaged_hdf5_chunk_names_the_array(tmp_path, arrays):
    path = write_hdf5(tmp_path / "mine.h5", arrays)
    with h5py.File(path) as file:
        chunk = file["train_images"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    assert f"{path}: train_images: cannot be read" in refusal(datasets.load, path)


def test_hdf5_and_npz_that_hold_something_else(tmp_path):
    assert "it holds other" in refusal(
        datasets.load, write_hdf5(tmp_path / "a.h5", {"other": [1, 2]})
    )
    assert "it holds nothing" in refusal(datasets.load, write_npz(tmp_path / "a.npz", {}))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_group("train_images")
    assert "b.h5: train_images: cannot be read" in refusal(datasets.load, tmp_path / "b.h5")


def test_damaged_npz(tmp_path, arrays):
    path = write_npz(tmp_path / "mine.npz", arrays)
    whole = path.read_bytes()
    single = tmp_path / "single.npy"
    np.save(single, arrays["train_images"])
    for data in (b"", b"text", single.read_bytes(), whole[: len(whole) // 2]):
        path.write_bytes(data)
        assert "is not a .npz file, or is cut short" in refusal(datasets.load, path)


def test_npz_with_pickles_is_refused(tmp_path, arrays):
    arrays["train_labels"] = arrays["train_labels"].astype(object)
    path = write_npz(tmp_path / "mine.npz", arrays)
    assert f"{path}: train_labels: cannot be read" in refusal(datasets.load, path)


def test_damaged_shipped_file(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "folder", lambda name: tmp_path)
    (tmp_path / "mnist.h5").write_bytes(b"cut")
    assert "mnist.h5: cannot be read" in refusal(datasets.load, "mnist")
    assert "mnist.h5: cannot be read" in refusal(datasets.available)


def test_home_folder_is_expanded(tmp_path, monkeypatch, arrays):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_npz(Path(tmp_path) / "mine.npz", arrays)
    assert datasets.load("~/mine.npz").name == "mine"
