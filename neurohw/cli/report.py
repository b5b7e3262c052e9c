"""`neurohw report`: one HTML page about one or several runs."""

from pathlib import Path

import click


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN.h5..."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="REPORT.html",
    help="Page to write, or to replace.  [default: report.html beside the first run file]",
)
def report(paths: tuple[Path, ...], out: Path | None) -> None:
    """Write a self-contained HTML report that compares the runs."""
    from neurohw.reports import html

    page = html.write(paths, out or paths[0].parent / "report.html")
    click.echo(f"Report: {page}")
