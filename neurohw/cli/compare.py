"""`neurohw compare`: learning rules side by side on a chip, and on the ideal one."""

import sys
from pathlib import Path

import click

from neurohw.cli import quantities
from neurohw.cli.output import print_json, print_table
from neurohw.cli.train import Interrupted


@click.command()
@click.option(
    "--rules",
    required=True,
    metavar="NAME,NAME…",
    help="Rules, by short or long names; neurohw list rules shows them.",
)
@click.option("--chip", default="ideal", show_default=True, metavar="NAME|FILE", help="Chip.")
@click.option("--dataset", default="mnist", show_default=True, metavar="NAME", help="Data set.")
@click.option(
    "--layers", default="256", show_default=True, metavar="N,N…", help="Units of hidden layers."
)
@click.option("--epochs", default=5, show_default=True, type=click.IntRange(1))
@click.option("--batch", default=32, show_default=True, type=click.IntRange(1))
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1))
@click.option(
    "--search-epochs",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Of each run of the search for learning rates, on held-out training images.",
)
@click.option(
    "--target",
    callback=quantities.share,
    default="3 %",
    show_default=True,
    metavar="ERROR",
    help="Error to be reached.",
)
@click.option(
    "--alike",
    is_flag=True,
    help="Sigmoids and squared error for all rules that can have them, not their recipes' own.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="[RULE:]KEY=VALUE",
    help="Change one value of all experiments, or a rule's, such as data.train=6000; repeatable.",
)
@click.option("--workers", default=1, show_default=True, help="Worker processes.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs") / "compare",
    show_default=True,
    metavar="FOLDER",
    help="Of single results; what is there already does not run again.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="PAGE",
    help="Page (.html), or picture of the curves (.png, .svg, .pdf).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(
    rules: str,
    chip: str,
    dataset: str,
    layers: str,
    epochs: int,
    batch: int,
    seeds: int,
    search_epochs: int,
    target: float,
    alike: bool,
    settings: tuple[str, ...],
    workers: int,
    runs: Path,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train learning rules on equal data and layers, on the ideal chip and on another.

    Learning rates are searched for on held-out training images, for each rule and chip; the table
    has test errors, samples and time to a target, energy, and what hardware each rule needs.
    """
    from neurohw.cli.progress import StudyLine, terminable
    from neurohw.experiments.studies import comparison
    from neurohw.experiments.studies.plan import Plan
    from neurohw.reports import comparison as report

    if out is not None:
        report.require_format(out)
    plan = Plan(
        rules=names_of(rules),
        chips=tuple(dict.fromkeys(("ideal", chip))),
        dataset=dataset,
        hidden=sizes_of("--layers", layers),
        epochs=epochs,
        batch=batch,
        seeds=tuple(range(seeds)),
        search_epochs=search_epochs,
        target=target,
        alike=alike,
        settings=settings,
    )
    line = StudyLine(sys.stderr)
    try:
        with terminable():
            found = comparison.compare(
                plan, folder=runs, workers=workers, progress=line, counted=line.count
            )
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the same command goes on with what is left") from None
    finally:
        line.close()
    if out is not None:
        report.write(found, out)
    if as_json:
        import msgspec

        entries = [
            {
                **msgspec.to_builtins(entry),
                "test_error": entry.mean,
                "deviation": entry.deviation,
                "samples_to_target": entry.samples_to(plan.target),
                "time_to_target": entry.samples_to(plan.target) * entry.time,
                "energy_per_run": entry.trained * entry.energy,
            }
            for entry in found.entries
        ]
        print_json({"plan": msgspec.to_builtins(plan), "entries": entries})
        return
    for table in (report.results(found), report.needs(found)):
        print_table([table.columns, *table.rows])
        click.echo()
    for note in report.notes(found):
        click.echo(note)
    if out is not None:
        click.echo(f"written: {out}")


def names_of(text: str) -> tuple[str, ...]:
    """Return the names of an option's text such as bp,fa."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def sizes_of(option: str, text: str) -> tuple[int, ...]:
    """Return units of hidden layers of an option's text such as 500,500.

    Raises
    ------
    ConfigurationError
        It is not of numbers of 2 or more.
    """
    from neurohw.errors import ConfigurationError

    try:
        sizes = tuple(int(word) for word in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 2:
        raise ConfigurationError(f"{option} {text}: must be numbers of 2 or more, such as 500,500")
    return sizes
