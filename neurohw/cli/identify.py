"""`neurohw identify`: how well learning rules are recognised from what was observed."""

import sys
from pathlib import Path

import click

from neurohw.cli.output import print_json, print_table
from neurohw.cli.train import Interrupted


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--splits", default=10, show_default=True, type=click.IntRange(2), help="Into known and tested."
)
@click.option(
    "--permutations",
    default=200,
    show_default=True,
    type=click.IntRange(1),
    help="Controls with shuffled labels.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1), help="Worker processes."
)
@click.option(
    "-o",
    "--out",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PAGE",
    help="Page (.html), or picture of all figures (.png, .svg, .pdf); repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def identify(
    folder: Path,
    splits: int,
    permutations: int,
    seed: int,
    workers: int,
    out: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Train classifiers to recognise learning rules, with controls.

    FOLDER is one of neurohw observe. Shuffled labels, architectures and chips that were held out,
    fewer units, times, and noise say how far the answer can be trusted. Needs scikit-learn:
    pip install 'neurohw[identify]'.
    """
    from neurohw.cli.progress import PartsLine, terminable
    from neurohw.experiments.identification import observation, recognition
    from neurohw.reports import identification as report

    for path in out:
        report.require_format(path)
    plan, observed = observation.read(folder)
    line = PartsLine(sys.stderr)
    try:
        with terminable():
            found = recognition.identify(
                observed,
                splits=splits,
                permutations=permutations,
                workers=workers,
                seed=seed,
                told=line,
            )
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing is lost, nothing is written") from None
    finally:
        line.close()
    for path in out:
        report.write(plan, found, path)
    if as_json:
        import msgspec

        print_json(
            {
                "plan": msgspec.to_builtins(plan),
                "accuracy": found.accuracy,
                "chance": found.chance,
                **msgspec.to_builtins(found),
            }
        )
        return
    for table in (report.results(found), report.unknown(found), report.errors(found)):
        if table.rows:
            print_table([table.columns, *table.rows])
            click.echo()
    for note in report.notes(plan, found):
        click.echo(note)
    for path in out:
        click.echo(f"written: {path}")
