"""`neurohw sweep`: run a study, on one machine or on many."""

import shlex
import sys
from pathlib import Path

import click

from neurohw.cli.output import print_json, print_table
from neurohw.cli.train import Interrupted


@click.command()
@click.argument("study", metavar="STUDY.toml|NAME")
@click.option("--workers", type=int, default=1, show_default=True, help="Worker processes.")
@click.option("--scheduler", metavar="tcp://…", help="Dask scheduler, in place of processes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of the results.  [default: runs/studies/NAME]",
)
@click.option("--resume", is_flag=True, help="Run only what is missing in the folder.")
@click.option("--retry-failed", is_flag=True, help="Resume, and run again what failed.")
@click.option("--dry-run", is_flag=True, help="Check and list all points, and run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def sweep(
    study: str,
    workers: int,
    scheduler: str | None,
    out: Path | None,
    resume: bool,
    retry_failed: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run a study: an experiment varied along axes, with seeds.

    Every point is checked before anything runs, and each run leaves a file of its own, so that
    nothing is lost and nothing runs twice. neurohw list studies shows the shipped ones.
    """
    from neurohw.cli.progress import StudyLine, terminable
    from neurohw.experiments.studies import limits
    from neurohw.experiments.studies import study as studies
    from neurohw.experiments.studies import sweep as sweeps
    from neurohw.reports import studies as reports

    found = studies.load(study)
    if dry_run:
        points = studies.points(found)
        rows = [[str(k), studies.describe(found, p.values)] for k, p in enumerate(points)]
        if as_json:
            print_json([dict(zip(found.labels, p.values, strict=True)) for p in points])
        else:
            print_table(rows)
            click.echo(f"{len(points)} points, {len(found.seed_list)} seeds each")
        return
    folder = out or Path("runs") / "studies" / found.name
    line = StudyLine(sys.stderr)
    try:
        with terminable():
            table = sweeps.sweep(
                found,
                out=folder,
                workers=workers,
                scheduler=scheduler,
                resume=resume,
                retry=retry_failed,
                progress=line,
            )
    except KeyboardInterrupt:
        words = ["neurohw", "sweep", study, "--out", str(folder), "--resume"]
        words += ["--workers", str(workers)] if workers > 1 else []
        words += ["--scheduler", scheduler] if scheduler else []
        raise Interrupted(f"interrupted; continue with: {shlex.join(words)}") from None
    finally:
        line.close()
    page = reports.write(folder, found=(found, table))
    curves = limits.tolerances(found, table)
    if as_json:
        failed = int((table["status"] == "failed").sum())
        print_json(
            {
                "study": found.name,
                "runs": len(table["point"]),
                "failed": failed,
                "drop": found.drop,
                "confidence": found.confidence,
                "limits": [
                    {
                        "axis": one.axis,
                        "where": dict(one.others),
                        "limit": one.limit.value,
                        "low": one.limit.low,
                        "high": one.limit.high,
                    }
                    for one in curves
                ],
                "folder": str(folder),
                "report": str(page),
            }
        )
        return
    print_table(limits.rows(found, curves))
    failed = table["status"] == "failed"
    if failed.any():
        click.echo(f"{failed.sum()} of {failed.size} runs failed: {table['message'][failed][0]}")
    click.echo(f"Report: {page}")
