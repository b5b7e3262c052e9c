"""One self-contained HTML page about one run or several."""

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from neurohw.errors import RunFileError
from neurohw.experiments.run_file import Run, check_writable, checksum, load
from neurohw.reports import costs, summary
from neurohw.reports.figures import Draughtsman


def write(runs: Sequence[Run | str | Path], out: Path | str) -> Path:
    """Write a report of runs, given as such or as paths of run files, and return its path.

    The page compares them with the first run on an ideal device, else with the first run. It
    loads nothing from elsewhere and follows the reader's light or dark setting.

    Raises
    ------
    RunFileError
        A run file cannot be read, no run is given, or the page cannot be written.
    """
    out = Path(out)
    if not runs:
        raise RunFileError(f"{out}: a report needs at least one run")
    check_writable(out)
    loaded = [run if isinstance(run, Run) else load(run) for run in runs]
    page = render(loaded, ["" if isinstance(run, Run) else str(run) for run in runs])
    return save(page, out)


def save(content: str | bytes, out: Path) -> Path:
    """Write a page, or a picture, whole or not at all, and return its path.

    Raises
    ------
    RunFileError
        It cannot be written.
    """
    temporary = out.with_name(f".{out.name}.unfinished")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, out)
    except OSError as error:
        raise RunFileError(f"{out}: cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return out


def fill(template: str, **content: Any) -> str:
    """Text of a page: a template of this package, with what it shows."""
    folder = files("neurohw.reports")
    environment = Environment(
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = Markup
    return environment.get_template(template).render(**content)


def render(runs: Sequence[Run], paths: Sequence[str]) -> str:
    """Text of the page; a path is empty where a run has no file."""
    names = summary.labels(runs)
    pen = Draughtsman()
    reference = summary.reference_of(runs)
    comparisons = summary.compare(runs)
    estimates = [costs.of(run) for run in runs]
    bars = costs.bars(runs, estimates)
    return fill(
        "report.html.j2",
        title=summary.title(runs),
        recipes=", ".join(dict.fromkeys(run.experiment.recipe for run in runs)),
        headline=summary.headline(runs),
        notes=summary.notes(runs),
        curves=_curves(pen, runs),
        comparisons=comparisons,
        gap=pen.gap(comparisons, [names.index(item.label) for item in comparisons])
        if comparisons
        else None,
        reference=names[reference],
        sections=[
            _section(pen, run, name, index)
            for index, (run, name) in enumerate(zip(runs, names, strict=True))
        ],
        scales=summary.scales(runs),
        costs=dict(zip(names, estimates, strict=True)),
        energy=pen.shares(bars, "J", "Energy") if bars else None,
        differences=summary.differences(runs),
        paths=paths,
    )


def _curves(pen: Draughtsman, runs: Sequence[Run]) -> list[Any]:
    kinds = (("test_error", "Test error"), ("train_error", "Train error"))
    return [
        pen.error(runs, key, what)
        for key, what in kinds
        if all(key in run.history for run in runs) and any(run.history[key].size for run in runs)
    ]


def _section(pen: Draughtsman, run: Run, name: str, index: int) -> dict[str, Any]:
    """Everything of the page that concerns one run alone."""
    return {
        "name": name,
        "device": run.experiment.chip.device,
        "write_threshold": summary.number(run.experiment.chip.device.write_threshold, "V"),
        "drawings": [
            drawing
            for array in range(len(run.arrays))
            for drawing in (pen.map(run, array), pen.histogram(run, array, index))
        ],
        "saturation": summary.saturation(run),
        "tiles": summary.tiles(run),
        "pulses": summary.pulses(run),
        "memory": summary.memory(run),
        "physics": summary.physics(run),
        "configuration": summary.configuration(run),
        "dataset": run.dataset,
        "versions": run.versions,
        "checksum": checksum(run),
    }
