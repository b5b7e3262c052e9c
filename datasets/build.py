"""Build the shipped data sets: `python datasets/build.py FOLDER_OF_MNIST_IDX_FILES`.

Writes mnist.h5, digits.h5, xor.h5 and SHA256SUMS beside this file, or into `--out`. Needs
scikit-learn, which bundles the copy of the UCI digits.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from neurohw.data_files import read
from neurohw.errors import NeurohwError

Arrays = dict[str, npt.NDArray[np.uint8]]

# Of the contents, not of the .gz files: those differ between mirrors.
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MNIST = {
    "description": "handwritten digits, 28×28 pixels, 60,000 to train and 10,000 to test",
    "source": "LeCun, Cortes, Burges (1998), derived from NIST Special Databases 1 and 3",
    "licence": "CC BY-SA 3.0",
    "classes": 10,
    "maximum": 255,
}
DIGITS = {
    "description": "handwritten digits, 8×8 pixels, 1437 to train and 360 to test",
    "source": "Alpaydin, Kaynak (1998), UCI Machine Learning Repository, "
    "doi:10.24432/C50P49: the 1797 samples of optdigits.tes",
    "licence": "CC BY 4.0",
    "classes": 10,
    "maximum": 16,
}
XOR = {
    "description": "exclusive or of two bits: the four cases, to train and again to test",
    "source": "the truth table",
    "licence": "MIT",
    "classes": 2,
    "maximum": 1,
}
DIGITS_TRAINING = 1437
IMAGES_PER_CHUNK = 1000


def read_digits() -> Arrays:
    """Return scikit-learn's copy of the UCI digits in its order: the last 360 are the test part."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    return {
        "train_images": images[:DIGITS_TRAINING],
        "train_labels": labels[:DIGITS_TRAINING],
        "test_images": images[DIGITS_TRAINING:],
        "test_labels": labels[DIGITS_TRAINING:],
    }


def truth_table() -> Arrays:
    """Return two bits a case, as images of one row, and their exclusive or."""
    bits = np.array([[[0, 0]], [[0, 1]], [[1, 0]], [[1, 1]]], np.uint8)
    labels = np.bitwise_xor.reduce(bits[:, 0], axis=1)
    return {
        "train_images": bits,
        "train_labels": labels,
        "test_images": bits,
        "test_labels": labels,
    }


def write(path: Path, arrays: Arrays, attributes: dict[str, Any]) -> None:
    """Write a data set as HDF5; the same arrays give the same bytes."""
    with h5py.File(path, "w", libver=("v108", "v108")) as file:
        for key, value in attributes.items():
            file.attrs[key] = value
        for key, array in arrays.items():
            # Chunks of about 1 MB stay in HDF5's cache while they are unpacked.
            count = min(len(array), IMAGES_PER_CHUNK if array.ndim > 1 else len(array))
            file.create_dataset(
                key,
                data=array,
                chunks=(count, *array.shape[1:]),
                compression="gzip",
                compression_opts=9,
                shuffle=True,
                track_times=False,
            )


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of the data sets of a folder, as `sha256sum --check` reads it."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.glob("*.h5"))
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def main() -> None:
    """Build everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("idx", type=Path, help="folder of the four MNIST files, gzipped or not")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    try:
        mnist = read(options.idx, MNIST_SHA256)
    except NeurohwError as error:
        parser.exit(2, f"error: {error}\n")
    write(options.out / "mnist.h5", mnist, MNIST)
    write(options.out / "digits.h5", read_digits(), DIGITS)
    write(options.out / "xor.h5", truth_table(), XOR)
    write_sums(options.out)


if __name__ == "__main__":
    main()
