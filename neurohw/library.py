"""Where the material that neurohw reads lies: circuits, mappings and data sets."""

import tomllib
from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def folder(name: Literal["circuits", "mappings", "datasets"]) -> Path:
    """Return the folder of one kind of material.

    Parameters
    ----------
    name : "circuits", "mappings" or "datasets"

    Returns
    -------
    Path
        The checkout's folder when neurohw runs from a checkout, else the copy that the installed
        package carries.
    """
    root = _PACKAGE.parent
    return root / name if _is_checkout(root) else _PACKAGE / "_library" / name


def _is_checkout(root: Path) -> bool:
    """Say whether `root` is neurohw's own: site-packages may hold another project's `datasets`."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return bool(project["name"] == "neurohw")
    except (OSError, ValueError, KeyError, TypeError):
        return False
