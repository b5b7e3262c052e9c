"""Data sets: shipped and public ones by name, a user's own from files.

Whatever the format, a data set is up to four arrays:

- `train_images`, `test_images`: (n, ...) with n at least 1. Real numbers lie in [0, 1]; integers
  lie in 0..255 and are divided by 255 (integers that are all 0 or 1 are taken as they are).
- `train_labels`, `test_labels`: (n,) whole numbers 0..classes-1, every class in the training part.

Without a test part, the last sixth of the samples becomes it: shuffle them beforehand.
"""

import difflib
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from neurohw import library
from neurohw.data_files import NAMES, listed, read, reading
from neurohw.errors import DataError
from neurohw.public_data import PUBLIC, find, locate

_Array = npt.NDArray[Any]

_MOST_CLASSES = 65536
_CHANNELS = (1, 3)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Labelled images in two parts.

    Parameters
    ----------
    name : str
    train_images, test_images : (n, d) float32 array, in [0, 1]
    train_labels, test_labels : (n,) int64 array, 0..classes-1
    classes : int
    image_shape : tuple of int
        Shape of one image, for example (28, 28), or with colours (3, 32, 32); its product is d,
        and its axes run through d in this order, the last one fastest.
    checksum : str
        SHA-256 over the contents of the four arrays, in hexadecimal.
    split : str
        How the test part came about, in words.
    """

    name: str
    train_images: npt.NDArray[np.float32]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.int64]
    classes: int
    image_shape: tuple[int, ...]
    checksum: str
    split: str = "as given"


def load(source: str | Path) -> Dataset:
    """Load a shipped or public data set by name, or a user's own by path.

    Parameters
    ----------
    source : str or Path
        A name from `available`, or the path of a .npz, .h5 or .csv file, of a folder with the four
        IDX files of MNIST's names (gzipped or not), of a folder with train.csv and test.csv, or
        of a folder or .tar.gz with the six files of CIFAR-10's binary version. The module's
        description says what the arrays must look like. By name, "fashion-mnist" and "cifar-10"
        are looked for where `neurohw.public_data.find` says, and must be the published files.

    Raises
    ------
    DataError
        Unknown name, missing or damaged file, one that is not the published one, or arrays that do
        not look as described.
    """
    shipped = _shipped()
    if isinstance(source, str) and source in PUBLIC:
        path = locate(source)
        return from_arrays(source, read(path, PUBLIC[source].digests), where=str(path))
    if isinstance(source, str) and source in shipped:
        path = shipped[source]
    else:
        path = Path(source).expanduser()
        with reading(path):
            if not path.exists():
                raise DataError(_not_found(str(source), [*shipped, *PUBLIC]))
    name = path.resolve().name if path.is_dir() else path.stem.removesuffix(".tar")
    return from_arrays(name, read(path), where=str(path))


def available() -> list[dict[str, object]]:
    """List the data sets with a name: name, description and number of samples.

    Public ones have their folder or archive too, as `path`, empty where there is none.
    """
    rows: list[dict[str, object]] = []
    for name, path in _shipped().items():
        with reading(path), h5py.File(path, "r") as file:
            samples = len(file["train_labels"]) + len(file["test_labels"])
            description = str(file.attrs.get("description", ""))
        rows.append({"name": name, "description": description, "samples": samples})
    for name, data in PUBLIC.items():
        found = find(name)
        description = data.description if found else f"{data.description}; no files: {data.remedy}"
        row = {"name": name, "description": description, "samples": data.samples}
        rows.append({**row, "path": str(found or "")})
    return rows


def hold_out(dataset: Dataset, count: int) -> Dataset:
    """Return `dataset` with its last `count` training images as the test part (validation)."""
    most = len(dataset.train_images) - 1
    if not 1 <= count <= most:
        raise DataError(f"{dataset.name}: validation = {count} is not from 1 to {most}")
    return _with_parts(
        dataset,
        dataset.train_images[:-count],
        dataset.train_labels[:-count],
        dataset.train_images[-count:],
        dataset.train_labels[-count:],
        f"the last {count} training samples are held out for validation",
    )


def first(dataset: Dataset, count: int) -> Dataset:
    """Return `dataset` with only its first `count` training images."""
    most = len(dataset.train_images)
    if not 1 <= count <= most:
        raise DataError(f"{dataset.name}: train = {count} is not from 1 to {most}")
    return _with_parts(
        dataset,
        dataset.train_images[:count],
        dataset.train_labels[:count],
        dataset.test_images,
        dataset.test_labels,
        dataset.split,
    )


def cropped(dataset: Dataset, border: int) -> Dataset:
    """Return `dataset` with that many pixels left out on every side of its images."""
    shape, axes = dataset.image_shape, picture_axes(dataset.image_shape)
    if axes is None or min(shape[axis] for axis in axes) <= 2 * border:
        raise DataError(f"{dataset.name}: crop = {border}: images are of shape {shape}")
    inner = tuple(
        slice(border, size - border) if axis in axes else slice(None)
        for axis, size in enumerate(shape)
    )

    def cut(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        kept = images.reshape(len(images), *shape)[:, *inner]
        return np.ascontiguousarray(kept).reshape(len(images), -1)

    smaller = tuple(size - 2 * border if axis in axes else size for axis, size in enumerate(shape))
    return replace(_with_images(dataset, cut), image_shape=smaller)


def picture_axes(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return which axes of an image are its rows and columns, None where it is no picture.

    Of three axes, the first or else the last one may be that of 1 or 3 channels.
    """
    if len(shape) == 2:
        return 0, 1
    if len(shape) == 3 and shape[0] in _CHANNELS:
        return 1, 2
    return (0, 1) if len(shape) == 3 and shape[2] in _CHANNELS else None


def binarised(dataset: Dataset, threshold: float) -> Dataset:
    """Return `dataset` in black and white: pixels of at least the threshold are 1, others 0."""
    return _with_images(dataset, lambda images: (images >= threshold).astype(np.float32))


def from_arrays(name: str, arrays: Mapping[str, Any], *, where: str | None = None) -> Dataset:
    """Check arrays, scale the images and bind them.

    Parameters
    ----------
    name : str
    arrays : mapping
        train_images, train_labels and, both or neither, test_images, test_labels, as the module
        describes them. Optional: `classes`, the number of classes (largest label plus one if left
        out), and `maximum`, the integer that means 1.0 (255 if left out).
    where : str, optional
        What errors name as the origin, normally a file; `name` if left out.

    Raises
    ------
    DataError
        In one line: where, which array, which value.
    """
    where = where or name
    for given, needed in (
        ("train_labels", "train_images"),
        ("train_images", "train_labels"),
        ("test_labels", "test_images"),
        ("test_images", "test_labels"),
    ):
        if needed not in arrays and (given in arrays or given.startswith("train")):
            raise DataError(f"{where}: {needed} is missing; it holds {listed(arrays)}")
    raw = {part: np.asarray(arrays[part]) for part in NAMES if part in arrays}
    parts = ("train", "test") if "test_images" in raw else ("train",)
    maximum = _scalar(arrays, "maximum", where) or _largest_integer(raw)
    images, labels = {}, {}
    classes = _scalar(arrays, "classes", where)
    for part in parts:
        key = f"{part}_images"
        images[part] = _checked_images(raw[key], maximum, f"{where}: {key}")
        shape = raw[key].shape
        if shape[1:] != raw["train_images"].shape[1:]:
            train_shape = raw["train_images"].shape[1:]
            raise DataError(f"{where}: {key} has images of shape {shape[1:]}, train {train_shape}")
        key = f"{part}_labels"
        labels[part] = _checked_labels(raw[key], shape[0], classes, f"{where}: {key}")
        classes = classes or _count_classes(labels["train"], f"{where}: {key}")
    split = "as given"
    if "test" not in parts:
        split = _split_last_sixth(images, labels, where)
    assert classes is not None
    return Dataset(
        name=name,
        train_images=images["train"],
        train_labels=labels["train"],
        test_images=images["test"],
        test_labels=labels["test"],
        classes=classes,
        image_shape=tuple(int(size) for size in raw["train_images"].shape[1:]),
        checksum=_checksum(images["train"], labels["train"], images["test"], labels["test"]),
        split=split,
    )


def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted(library.folder("datasets").glob("*.h5"))}


def _not_found(source: str, names: Collection[str]) -> str:
    if Path(source).suffix or Path(source).name != source:
        return f"{source}: no such file or folder"
    near = difflib.get_close_matches(source, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {listed(names)}, or a path"
    return f"unknown data set {source!r}; {hint}"


def _scalar(arrays: Mapping[str, Any], key: str, where: str) -> int | None:
    if key not in arrays:
        return None
    value = np.asarray(arrays[key])
    if value.ndim or value.dtype.kind not in "iu" or not 1 <= value <= _MOST_CLASSES:
        text = " ".join(str(value).split())[:40]
        raise DataError(f"{where}: {key} = {text} is not one whole number, 1 to {_MOST_CLASSES}")
    return int(value)


def _largest_integer(raw: Mapping[str, _Array]) -> int:
    """Return the integer that means 1.0: 1 if neither part has a larger one, else 255."""
    images = [raw[key] for key in ("train_images", "test_images") if key in raw]
    integers = [array for array in images if array.dtype.kind in "iu" and array.size]
    return 255 if any(array.max() > 1 for array in integers) else 1


def _checked_images(raw: _Array, maximum: int, where: str) -> npt.NDArray[np.float32]:
    """Return images (n, ...) as (n, d) float32 in [0, 1]."""
    if raw.dtype.kind not in "biuf":
        raise DataError(f"{where} has type {raw.dtype}; expected integers or real numbers")
    if raw.ndim < 2 or raw.size == 0:
        raise DataError(f"{where} has shape {raw.shape}; expected (images, pixels...), none 0")
    largest = maximum if raw.dtype.kind in "iu" else 1
    if not (raw.min() >= 0 and raw.max() <= largest):
        place, value = _first(~((raw >= 0) & (raw <= largest)), raw)
        expected = f"integers 0..{largest}" if raw.dtype.kind in "iu" else "real numbers 0 to 1"
        raise DataError(f"{where}{place} is {value}; expected {expected}")
    flat = raw.reshape(len(raw), -1)
    scaled = np.empty(flat.shape, np.float32)
    np.divide(flat, np.float32(largest), out=scaled, casting="same_kind")
    return scaled


def _checked_labels(
    raw: _Array, count: int, classes: int | None, where: str
) -> npt.NDArray[np.int64]:
    """Return labels as (count,) int64 in 0..classes-1."""
    if raw.shape != (count,):
        raise DataError(f"{where} has shape {raw.shape}; expected one label an image, ({count},)")
    if raw.dtype.kind not in "biuf":
        raise DataError(f"{where} has type {raw.dtype}; expected whole numbers")
    limit = classes or _MOST_CLASSES
    bad = ~((raw >= 0) & (raw < limit) & (raw == np.floor(raw)))
    if bad.any():
        place, value = _first(bad, raw)
        raise DataError(f"{where}{place} is {value}; expected whole numbers 0..{limit - 1}")
    return raw.astype(np.int64)


def _count_classes(labels: npt.NDArray[np.int64], where: str) -> int:
    present = np.unique(labels)
    gaps = np.flatnonzero(present != np.arange(present.size))
    if gaps.size:
        raise DataError(f"{where}: no label is {gaps[0]}, yet one is {present[-1]}; number from 0")
    return int(present.size)


def _first(bad: _Array, values: _Array) -> tuple[str, Any]:
    place = np.unravel_index(int(np.argmax(bad)), bad.shape)
    return f"[{', '.join(str(int(index)) for index in place)}]", values[place].item()


def _split_last_sixth(images: dict[str, Any], labels: dict[str, Any], where: str) -> str:
    count = len(labels["train"])
    held = max(1, count // 6)
    split = f"no test part was given: the last sixth, {held} of {count} samples, is the test part"
    for part in (images, labels):
        part["train"], part["test"] = part["train"][:-held], part["train"][-held:]
    missing = np.setdiff1d(labels["test"], labels["train"])
    if missing.size:
        raise DataError(
            f"{where}: train_labels: {split}, and then no training image has label {missing[0]};"
            " shuffle the samples or give test_images and test_labels"
        )
    return split


def _with_parts(
    dataset: Dataset,
    train_images: npt.NDArray[np.float32],
    train_labels: npt.NDArray[np.int64],
    test_images: npt.NDArray[np.float32],
    test_labels: npt.NDArray[np.int64],
    split: str,
) -> Dataset:
    return replace(
        dataset,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        checksum=_checksum(train_images, train_labels, test_images, test_labels),
        split=split,
    )


def _with_images(
    dataset: Dataset, change: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
) -> Dataset:
    return _with_parts(
        dataset,
        change(dataset.train_images),
        dataset.train_labels,
        change(dataset.test_images),
        dataset.test_labels,
        dataset.split,
    )


def _checksum(*arrays: _Array) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
