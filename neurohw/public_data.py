"""Public data sets that neurohw knows but does not ship: where their files lie, and their sums.

Nothing is fetched: the files come from the user's package manager or from the authors' page.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from neurohw.data_files import CIFAR_NAMES, IDX_NAMES
from neurohw.errors import DataError

VARIABLE = "NEUROHW_DATASETS"
STANDARD = (Path("/usr/share/datasets"),)


@dataclass(frozen=True, kw_only=True)
class PublicData:
    """A data set whose files the user has.

    Parameters
    ----------
    description : str
    samples : int
        In both parts together.
    places : tuple of str
        What its folder, or an archive, is called inside a folder of data sets.
    digests : mapping of str
        Each file's name, without .gz, to the SHA of its contents, in hexadecimal.
    remedy : str
        How to get the files, in words.
    """

    description: str
    samples: int
    places: tuple[str, ...]
    digests: Mapping[str, str]
    remedy: str


# Of the contents of IDX files, not of the .gz: those differ between mirrors.
_FASHION_DIGESTS = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
# SHA-1, as in other loaders of these files.
_CIFAR_DIGESTS = (
    "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
    "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
    "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
    "aab85764eb3584312d3c7f65fd2fd016e36a258e",
    "26e2849e66a845b7f1e4614ae70f4889ae604628",
    "67eb016db431130d61cd03c7ad570b013799c88c",
)

PUBLIC = {
    "fashion-mnist": PublicData(
        description="clothes in grey, 28×28 pixels, 60,000 to train and 10,000 to test",
        samples=70_000,
        places=("fashion-mnist", "FashionMNIST/raw"),
        digests=dict(zip(IDX_NAMES.values(), _FASHION_DIGESTS, strict=True)),
        remedy="apt-get install dataset-fashion-mnist, or the four files of"
        " https://github.com/zalandoresearch/fashion-mnist in a folder fashion-mnist",
    ),
    "cifar-10": PublicData(
        description="photographs in colour, 3×32×32 pixels, 50,000 to train and 10,000 to test",
        samples=60_000,
        places=("cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
        digests=dict(zip(CIFAR_NAMES, _CIFAR_DIGESTS, strict=True)),
        remedy="get cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
}


def find(name: str) -> Path | None:
    """Return the folder or archive of a public data set, or None where there is none.

    The folders that the environment variable NEUROHW_DATASETS lists come first, separated as in
    PATH; then /usr/share/datasets. Each may hold the files themselves or one of `places`.
    """
    return next(_candidates(PUBLIC[name]), None)


def locate(name: str) -> Path:
    """Return the folder or archive of a public data set.

    Raises
    ------
    DataError
        It is nowhere; the line says where was looked and how to get the files.
    """
    path = find(name)
    if path is None:
        looked = ", ".join(map(str, _folders()))
        raise DataError(
            f"{name}: no files in {looked}: {PUBLIC[name].remedy}, and name the folder around it"
            f" in {VARIABLE}"
        )
    return path


def _folders() -> list[Path]:
    named = [text for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]
    return [*(Path(text).expanduser() for text in named), *STANDARD]


def _candidates(data: PublicData) -> Iterator[Path]:
    first = next(iter(data.digests))
    for folder in _folders():
        for path in (*(folder / place for place in data.places), folder):
            files = path / first, path / f"{first}.gz", *([path] if path.suffix == ".gz" else [])
            # Unlike Path.is_file, this is false where nobody may look.
            if any(os.path.isfile(file) for file in files):
                yield path
