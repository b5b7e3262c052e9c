"""Where the material lies: beside the package in a checkout, inside it once installed."""

from pathlib import Path

import pytest

from neurohw import library


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "neurohw"
    monkeypatch.setattr(library, "_PACKAGE", folder)
    return folder


def test_this_checkout_is_recognised():
    assert (library.folder("datasets") / "SHA256SUMS").is_file()
    assert library.folder("mappings").is_dir()


def test_checkout_folder_is_used_when_pyproject_names_neurohw(package):
    (package.parent / "pyproject.toml").write_text('[project]\nname = "neurohw"\n')
    assert library.folder("circuits") == package.parent / "circuits"


@pytest.mark.parametrize(
    "pyproject",
    [None, '[project]\nname = "another"\n', "[tool.x]\n", "not = = toml", 'project = "neurohw"\n'],
)
def test_installed_copy_is_used_otherwise(package, pyproject):
    if pyproject is not None:
        (package.parent / "pyproject.toml").write_text(pyproject)
    assert library.folder("datasets") == package / "_library" / "datasets"


def test_pyproject_that_is_not_text_is_no_checkout(package):
    (package.parent / "pyproject.toml").write_bytes(b"\xff\xfe\x00")
    assert library.folder("datasets") == package / "_library" / "datasets"
