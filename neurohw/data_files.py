"""Read the arrays of a data set out of files: .npz, HDF5, IDX, CSV, CIFAR-10's binary."""

import gzip
import hashlib
import math
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
import numpy.typing as npt

from neurohw.errors import DataError

_Array = npt.NDArray[Any]

NAMES = {
    "train_images": ("train_images", "x_train"),
    "train_labels": ("train_labels", "y_train"),
    "test_images": ("test_images", "x_test"),
    "test_labels": ("test_labels", "y_test"),
}
SCALARS = ("classes", "maximum")
IDX_NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IDX_MOST_DIMENSIONS = 32
CIFAR_NAMES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_CIFAR_SHAPE, _CIFAR_CLASSES = (3, 32, 32), 10
_SHA_OF_LENGTH = {40: "SHA-1", 64: "SHA-256"}


def read(path: Path, digests: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read the arrays and scalars that a file or folder holds, unchecked, by the names of `NAMES`.

    Parameters
    ----------
    path : Path
    digests : mapping, optional
        Of IDX and CIFAR-10 files: SHA of the contents, in hexadecimal, by the file's name without
        .gz. All of them have to be there, and other files are taken no notice of.

    Raises
    ------
    DataError
        A format that is not known, a damaged file, one with another SHA, or one without any of
        the arrays.
    """
    digests = digests or {}

    def holds(name: str) -> bool:
        return name in digests if digests else (path / name).is_file()

    if path.is_dir():
        if holds("train.csv"):
            return _read_csv_folder(path)
        if any(map(holds, CIFAR_NAMES)):
            return _read_cifar(path, digests)
        return _read_idx_folder(path, digests)
    if path.name.endswith(".tar.gz"):
        return _read_cifar(path, digests)
    readers = {".npz": _read_npz, ".h5": _read_hdf5, ".hdf5": _read_hdf5, ".csv": _read_csv_file}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: not a folder, nor one of {listed([*readers, '.tar.gz'])}")
    return reader(path)


def read_idx(path: Path, digest: str | None = None) -> _Array:
    """Read one IDX file, gzipped or not, of any of the format's element types.

    Raises
    ------
    DataError
        Wrong magic number or length, truncated or damaged gzip, or contents whose SHA is not
        `digest`.
    """
    with reading(path):
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    zeros, kind_code, dimensions = struct.unpack(">HBB", data[:4].ljust(4, b"\0"))
    if zeros or kind_code not in _IDX_TYPES or not 1 <= dimensions <= _IDX_MOST_DIMENSIONS:
        magic = data[:4].hex() or "missing"
        raise DataError(f"{path}: magic number {magic} is not that of an IDX file")
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise DataError(f"{path}: header ends after {len(data)} of {start} bytes")
    shape = struct.unpack(f">{dimensions}I", data[4:start])
    kind = np.dtype(_IDX_TYPES[kind_code])
    expected = start + kind.itemsize * math.prod(shape)
    if len(data) != expected:
        raise DataError(f"{path}: shape {shape} needs {expected} bytes; the file has {len(data)}")
    _require_digest(data, digest, path)
    return np.frombuffer(data, kind, offset=start).reshape(shape)


@contextmanager
def reading(where: str | Path) -> Iterator[None]:
    """Turn whatever a file library raises on a damaged file into one line that names the file."""
    try:
        yield
    except DataError:
        raise
    except (
        OSError,
        EOFError,
        KeyError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError(f"{where}: cannot be read: {reason or type(error).__name__}") from error


def listed(names: Collection[str]) -> str:
    """Return names for an error line."""
    return ", ".join(sorted(names)) or "nothing"


def _read_npz(path: Path) -> dict[str, Any]:
    # NumPy leaves a damaged file open when given its name.
    with reading(path), path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise DataError(f"{path}: is not a .npz file, or is cut short")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            arrays = {}
            for key, stored in _stored(archive.files).items():
                with reading(f"{path}: {stored}"):
                    arrays[key] = archive[stored]
            return arrays or _nothing_found(path, archive.files)


def _read_hdf5(path: Path) -> dict[str, Any]:
    with reading(path), h5py.File(path, "r") as file:
        arrays = {key: file.attrs[key] for key in SCALARS if key in file.attrs}
        for key, stored in _stored(file.keys()).items():
            with reading(f"{path}: {stored}"):
                arrays[key] = file[stored][()]
        return arrays or _nothing_found(path, file.keys())


def _stored(names: Collection[str]) -> dict[str, str]:
    """Find under which of its names each array is stored."""
    accepted = {**NAMES, **{key: (key,) for key in SCALARS}}
    found = {key: [name for name in known if name in names] for key, known in accepted.items()}
    return {key: stored[0] for key, stored in found.items() if stored}


def _nothing_found(path: Path, names: Collection[str]) -> NoReturn:
    raise DataError(f"{path}: train_images or x_train is missing; it holds {listed(names)}")


def _read_idx_folder(folder: Path, digests: Mapping[str, str]) -> dict[str, Any]:
    arrays = {}
    for key, name in IDX_NAMES.items():
        names = (name, name.replace("-idx", ".idx"))
        paths = [folder / (name + end) for name in names for end in ("", ".gz")]
        for path in [path for path in paths if path.is_file()][:1]:
            arrays[key] = read_idx(path, digests.get(name))
        if key not in arrays and name in digests:
            raise DataError(f"{folder}: {name} (or {name}.gz) is missing")
    if not arrays:
        wanted = IDX_NAMES["train_images"]
        raise DataError(
            f"{folder}: holds neither train.csv nor {CIFAR_NAMES[0]} nor {wanted} (or {wanted}.gz)"
        )
    return arrays


def _read_cifar(path: Path, digests: Mapping[str, str]) -> dict[str, Any]:
    """Read the six files of CIFAR-10's binary version out of a folder or a .tar.gz."""
    contents = dict(_cifar_contents(path))
    images, labels = [], []
    for name in CIFAR_NAMES:
        where = path / name
        if name not in contents:
            raise DataError(f"{path}: {name} is missing")
        size = 1 + math.prod(_CIFAR_SHAPE)
        count, rest = divmod(len(contents[name]), size)
        if rest or not count:
            raise DataError(
                f"{where}: has {len(contents[name])} bytes; expected a multiple of {size}, a label"
                f" and 3 × 32 × 32 pixels an image"
            )
        _require_digest(contents[name], digests.get(name), where)
        table = np.frombuffer(contents[name], np.uint8).reshape(count, size)
        labels.append(table[:, 0])
        images.append(table[:, 1:].reshape(count, *_CIFAR_SHAPE))
        wrong = np.flatnonzero(labels[-1] >= _CIFAR_CLASSES)
        if wrong.size:
            value = labels[-1][wrong[0]]
            raise DataError(f"{where}: label of image {wrong[0]} is {value}; expected 0 to 9")
    return {
        "train_images": np.concatenate(images[:-1]),
        "train_labels": np.concatenate(labels[:-1]),
        "test_images": images[-1],
        "test_labels": labels[-1],
        "classes": _CIFAR_CLASSES,
        "maximum": 255,
    }


def _cifar_contents(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in [path / name for name in CIFAR_NAMES if (path / name).is_file()]:
            with reading(file):
                yield file.name, file.read_bytes()
        return
    with reading(path), tarfile.open(path, "r:gz") as archive:
        for member in archive:
            name = Path(member.name).name
            stored = archive.extractfile(member) if name in CIFAR_NAMES else None
            if stored is not None:
                yield name, stored.read()


def _require_digest(contents: bytes, expected: str | None, where: Path) -> None:
    if expected is None:
        return
    kind = _SHA_OF_LENGTH[len(expected)]
    found = hashlib.new(kind.replace("-", ""), contents, usedforsecurity=False).hexdigest()
    if found != expected:
        raise DataError(
            f"{where}: {kind} of the contents is {found}, expected {expected}:"
            " damaged, or another data set"
        )


def _read_csv_folder(folder: Path) -> dict[str, Any]:
    arrays = _read_csv(folder / "train.csv", "train")
    test = folder / "test.csv"
    return arrays | (_read_csv(test, "test") if test.exists() else {})


def _read_csv_file(path: Path) -> dict[str, Any]:
    return _read_csv(path, "train")


def _read_csv(path: Path, part: str) -> dict[str, Any]:
    """Read a table of samples: the label, then the pixels; a first line of names is left out."""
    with reading(path), path.open(encoding="utf-8-sig") as file:
        header = not _is_number(file.readline().split(",")[0])
        if header and not any(line.strip() for line in file):
            raise DataError(f"{path}: holds no samples")
    try:
        table = np.loadtxt(
            path,
            dtype=np.float32,
            delimiter=",",
            comments=None,
            skiprows=int(header),
            ndmin=2,
            encoding="utf-8-sig",
        )
    except ValueError:
        _refuse_csv(path, header)
    if table.shape[1] < 2:
        raise DataError(f"{path}: has 1 column; expected the label, then one column a pixel")
    images = table[:, 1:]
    # A CSV file has no types: pixels that are all whole numbers are the integers they look like.
    if np.abs(images).max() <= 2**24 and np.array_equal(images, np.rint(images)):
        images = images.astype(np.int32)
    return {f"{part}_images": images, f"{part}_labels": table[:, 0]}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse_csv(path: Path, header: bool) -> NoReturn:
    """Name the first line that is not numbers, or has more or fewer of them than the first."""
    width = None
    with reading(path), path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            fields = line.strip().split(",")
            if (number == 1 and header) or fields == [""]:
                continue
            for column, field in enumerate(fields, 1):
                if not _is_number(field):
                    place = f"line {number}, column {column}"
                    raise DataError(f"{path}: {place}: {field[:40]!r} is not a number")
            width = width or len(fields)
            if len(fields) != width:
                raise DataError(f"{path}: line {number} has {len(fields)} columns, not {width}")
    raise DataError(f"{path}: is not a table of numbers separated by commas")
