"""The wheel: what it holds, and that it trains where nothing of the checkout is in reach."""

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_holds_only_neurohw(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"neurohw", "neurohw-0.1.0.dist-info"}
    assert not [name for name in names if name.endswith((".pyc", "build.py", "kernels.nbi"))]


@pytest.mark.parametrize(
    "needed",
    [
        "neurohw/py.typed",
        "neurohw/experiments/recipes/drn-digits.toml",
        "neurohw/experiments/recipes/studies/cycle-to-cycle.toml",
        "neurohw/reports/report.html.j2",
        "neurohw/reports/study.html.j2",
        "neurohw/_library/datasets/mnist.h5",
        "neurohw/_library/datasets/digits.h5",
        "neurohw/_library/mappings/chips/epiram.toml",
        "neurohw/_library/mappings/devices/epiram.toml",
        "neurohw/_library/circuits/README.md",
    ],
)
def test_holds_the_material(wheel, needed):
    assert needed in zipfile.ZipFile(wheel).namelist()


def test_trains_in_an_empty_environment(wheel, tmp_path, monkeypatch):
    home = tmp_path / "environment"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps"]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)

    # The dependencies are borrowed without running .pth files, which would lead to the checkout.
    monkeypatch.setenv("PYTHONPATH", sysconfig.get_path("purelib"))
    where = "import neurohw; print(neurohw.__file__)"
    found = subprocess.run(
        [python, "-c", where], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert Path(found.stdout.strip()).is_relative_to(home)

    train = [python.with_name("neurohw"), "train", "--recipe", "drn-digits", "--epochs", "1"]
    done = subprocess.run([*train, "--json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["recipe"] == "drn-digits"
    assert (tmp_path / facts["run"]).is_file()
