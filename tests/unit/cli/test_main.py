"""The command group: quick help, errors in one line, exit statuses."""

import subprocess
import sys

import click
import pytest

from neurohw.cli import OneLineErrors
from neurohw.errors import ConfigurationError, NeurohwError

HEAVY = {"numpy", "numba", "scipy", "h5py", "msgspec", "matplotlib", "jinja2", "tqdm", "quantiphy"}


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(words):
    code = (
        "import sys\nfrom neurohw.cli import main\n"
        f"try:\n    main({words!r})\nfinally:\n    print('modules', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *shown, modules = done.stdout.splitlines()
    assert shown
    assert not HEAVY & set(modules.split())


def test_the_package_runs_as_the_command():
    words = [sys.executable, "-m", "neurohw", "train", "--epochs", "many"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: Invalid value for '--epochs'")
    assert done.stderr.endswith("(see neurohw train --help)\n")


def test_help_names_every_command(invoke):
    result = invoke("--help")
    assert result.exit_code == 0
    for command in ("train", "evaluate", "info", "report", "list", "new"):
        assert f"  {command} " in result.stdout


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
        (["train"], "--recipe"),
        (["train", "--recipe", "drn-xs", "own.toml"], "--recipe"),
        (["train", "--recipe", "drn-xs", "--epochs", "many"], "many"),
        (["settle", "a.h5", "--free-time", "nan"], "'--free-time': \"nan\": its unit must be s"),
        (["settle", "a.h5", "--within", "1 V"], "'--within': \"1 V\": its unit must be %"),
        (["estimate", "drn-xs", "--nudged-time", "0 s"], "'--nudged-time': time = 0 s: must be"),
        (["compare", "--rules", "ep", "--target", "few"], "'--target': \"few\": not a quantity"),
        (["tolerance", "--key", "device.read_noise", "--drop", "1 V"], "'--drop': \"1 V\""),
        (["evaluate"], "RUN.h5"),
        (["report"], "RUN.h5"),
        (["list", "nonsense"], "nonsense"),
        (["new", "chip", "--from", "epiram"], "--out"),
    ],
)
def test_usage_error_is_one_line(invoke, words, part):
    result = invoke(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert part in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("raised", "line", "status"),
    [
        (NeurohwError("a.toml: key = 1:\n  not so"), "error: a.toml: key = 1: not so", 2),
        (ConfigurationError("chip = 'x': unknown"), "error: chip = 'x': unknown", 2),
        (PermissionError(13, "Permission denied", "a.h5"), "error: a.h5: Permission denied", 2),
        (OSError("no space"), "error: no space", 2),
        (MemoryError("5 GiB"), "error: too large for the memory of this machine: 5 GiB", 2),
        (KeyboardInterrupt(), "interrupted", 130),
    ],
)
def test_errors_become_one_line(raised, line, status):
    from click.testing import CliRunner

    @click.group(cls=OneLineErrors)
    def group() -> None:
        pass

    @group.command()
    def fail() -> None:
        raise raised

    result = CliRunner().invoke(group, ["fail"])
    assert result.exit_code == status
    assert result.stderr.strip() == line


def test_other_errors_keep_their_traceback():
    @click.group(cls=OneLineErrors)
    def group() -> None:
        pass

    @group.command()
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        group(["fail"])
