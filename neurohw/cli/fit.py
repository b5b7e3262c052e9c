"""`neurohw fit`: a device file from measured pulse trains."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurohw.cli.output import print_json, print_table, print_warning, require_new

if TYPE_CHECKING:
    from neurohw.devices.fitting.device_fit import DeviceFit


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="PULSES.csv")
@click.option(
    "--law",
    default="best",
    show_default=True,
    metavar="LAW",
    help="An update law, or best: the simplest of those that predict left-out cycles as well"
    " as any.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DEVICE.toml",
    help="Device file to write.  [default: shown only]",
)
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path),
    metavar="FIT.html",
    help="Report to write, or to replace: curves, residuals, spread, laws compared.",
)
@click.option("--force", is_flag=True, help="Replace an existing device file.")
@click.option(
    "--columns",
    multiple=True,
    metavar="NAME=HEADER",
    help="What a column is called in the file, such as conductance_S=G; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def fit(
    path: Path,
    law: str,
    out: Path | None,
    page: Path | None,
    force: bool,
    columns: tuple[str, ...],
    as_json: bool,
) -> None:
    """Fit a memory device to measured potentiation and depression.

    PULSES.csv has one reading a line, taken after the pulse that the line names:
    device,cycle,pulse,polarity,conductance_S.
    """
    from neurohw.cli.progress import share_line
    from neurohw.devices.fitting.device_fit import fit_device
    from neurohw.experiments.run_file import check_writable
    from neurohw.reports import fitting

    require_new(out, force)
    for target in (out, page):
        if target is not None:
            check_writable(target)
    with share_line(sys.stderr) as told:
        fitted = fit_device(path, law, columns=_columns(columns), progress=told)
    fitted.device  # noqa: B018 -- what cannot be a device is refused before anything is written
    if page is not None:
        fitting.write(fitted, page)
    if out is not None:
        fitted.save(out)
    for note in fitted.notes:
        print_warning(note)
    if as_json:
        print_json(_summary(fitted, out, page))
    else:
        _show(fitted, out, page)


def _columns(given: tuple[str, ...]) -> dict[str, str]:
    from neurohw.errors import ConfigurationError

    columns = {}
    for text in given:
        name, equals, header = text.partition("=")
        if not (name and equals and header):
            raise ConfigurationError(f'--columns "{text}": must be NAME=HEADER')
        columns[name.strip()] = header.strip()
    return columns


def _summary(fitted: "DeviceFit", out: Path | None, page: Path | None) -> dict[str, Any]:
    return {
        "law": fitted.law,
        "devices": len(fitted.traces.devices),
        "stuck": dict(fitted.stuck),
        "outliers": fitted.fit.outliers,
        "parameters": {
            p.key: {"value": p.value, "low": p.low, "high": p.high, "unit": p.unit}
            for p in fitted.parameters
        },
        "laws": {
            score.law: {"score": score.score, "behind": score.behind, "error": score.error}
            for score in fitted.scores
        },
        "device": None if out is None else str(out),
        "report": None if page is None else str(page),
    }


def _show(fitted: "DeviceFit", out: Path | None, page: Path | None) -> None:
    if fitted.scores:
        click.echo("laws, by how well they predict readings of cycles left out:")
        rows = [["law", "nats a reading", "behind the best", ""]]
        for score in fitted.scores:
            behind = f"{score.behind:.1f} ± {score.error:.1f}" if score.behind > 0 else "–"
            taken = "taken" if score.law == fitted.law else "as good" if score.as_good else ""
            rows.append([score.law, f"{score.score:.3f}", behind, taken])
        print_table(rows, indent="  ")
    click.echo(fitted.toml(), nl=False)
    if out is not None:
        click.echo(f"Device: {out}")
    if page is not None:
        click.echo(f"Report: {page}")
