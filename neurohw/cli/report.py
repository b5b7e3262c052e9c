"""`neurohw report`: one HTML page about runs, or about a study; one picture of several studies."""

from pathlib import Path

import click


@click.command()
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="RUN.h5...|STUDYFOLDER...",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="REPORT.html",
    help="Page to write, or to replace; of a study also a picture, and of several only that: .svg,"
    " .png, .pdf.  [default: report.html beside the first run file, or in the study's folder]",
)
def report(paths: tuple[Path, ...], out: Path | None) -> None:
    """Write a self-contained HTML report that compares the runs, or on the study in a folder.

    Of a study the table is written too, as table.csv and table.h5 in its folder. Several studies
    give one picture, of which --out is the name.
    """
    from neurohw.reports import html, studies

    if any(path.is_dir() for path in paths):
        for path in paths:
            if not path.is_dir():
                what = "is no folder of a study" if path.exists() else "no such folder"
                raise click.UsageError(f"{path}: {what}; give run files, or folders of studies")
        if len(paths) == 1:
            click.echo(f"Report: {studies.write(paths[0], out)}")
            return
        if out is None:
            raise click.UsageError("several studies give a picture: name it with --out")
        click.echo(f"Report: {studies.draw_together(paths, out)}")
        return
    page = html.write(paths, out or paths[0].parent / "report.html")
    click.echo(f"Report: {page}")
