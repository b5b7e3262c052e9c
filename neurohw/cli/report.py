"""`neurohw report`: one HTML page about one or several runs, or about a study."""

from pathlib import Path

import click


@click.command()
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="RUN.h5...|STUDYFOLDER",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="REPORT.html",
    help="Page to write, or to replace; of a study also a picture: .svg, .png, .pdf."
    "  [default: report.html beside the first run file, or in the study's folder]",
)
def report(paths: tuple[Path, ...], out: Path | None) -> None:
    """Write a self-contained HTML report that compares the runs, or on the study in a folder.

    Of a study the table is written too, as table.csv and table.h5 in its folder.
    """
    from neurohw.reports import html, studies

    if any(path.is_dir() for path in paths):
        if len(paths) > 1:
            raise click.UsageError("give run files, or one folder of a study")
        click.echo(f"Report: {studies.write(paths[0], out)}")
        return
    page = html.write(paths, out or paths[0].parent / "report.html")
    click.echo(f"Report: {page}")
