"""Writing a map so that whoever opens the path finds the old one or the new one, whole."""

import os
import shutil
from pathlib import Path

from neurohw.errors import ExportError
from neurohw.export import manifest
from neurohw.export.formats import Format
from neurohw.export.manifest import MARK
from neurohw.export.weight_map import WeightMap


def require_free(form: Format, out: Path, *, force: bool) -> None:
    """Raise `ExportError` where something exists that is not to be replaced, or cannot be."""
    if not form.writes:
        raise ExportError(f"format = {form.name}: is read only")
    if not os.path.lexists(out) or (form.folder and out.is_dir() and not any(out.iterdir())):
        return
    if out.is_dir() != form.folder:
        kinds = ("a folder", "a file") if form.folder else ("a file", "a folder")
        raise ExportError(f"{out}: format = {form.name} writes {kinds[0]}, and this is {kinds[1]}")
    if not force:
        raise ExportError(f"{out}: exists; use --force to replace it")
    if form.folder and not (out / MARK).is_file():
        raise ExportError(f"{out}: has no {MARK}: a folder that is no export is not replaced")


def write(form: Format, weights: WeightMap, out: Path, *, force: bool = False) -> None:
    """Write a map in a format; on any failure nothing is left behind.

    Raises
    ------
    ExportError
        The path exists, and `force` is not given or it is no export; it cannot be written; or the
        format cannot hold the map.
    """
    require_free(form, out, force=force)
    target = out.resolve()
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(unfinished)
        if form.folder:
            unfinished.mkdir()
            (unfinished / MARK).write_text(manifest.to_text(weights), encoding="utf-8")
        else:
            # Some libraries say in many words that they cannot; this says it in few.
            unfinished.touch()
            unfinished.unlink()
        form.write(weights, unfinished)
        for path in (*unfinished.rglob("*"), unfinished):
            _synchronise(path)
        if form.folder and target.is_dir():
            replaced = target.with_name(f".{target.name}.replaced")
            _remove(replaced)
            target.rename(replaced)
            try:
                unfinished.rename(target)
            except BaseException:
                replaced.rename(target)
                raise
            _remove(replaced)
        else:
            os.replace(unfinished, target)
        _synchronise(target.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"{out}: cannot be written: {reason}") from error
    finally:
        _remove(unfinished)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
