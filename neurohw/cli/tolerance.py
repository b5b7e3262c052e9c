"""`neurohw tolerance`: how much of a nonideality a chip may have."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurohw.cli import quantities
from neurohw.cli.output import print_json, print_table
from neurohw.cli.train import Interrupted

if TYPE_CHECKING:
    from neurohw.experiments.studies.tolerance import Tolerances


@click.command()
@click.argument("config", required=False, metavar="[CONFIG]")
@click.option("--recipe", metavar="NAME", help="A shipped recipe instead of a file.")
@click.option("--chip", metavar="NAME|FILE", help="Chip to use.  [default: the recipe's]")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value; repeatable."
)
@click.option("--epochs", type=int, metavar="N", help="Of each run.")
@click.option(
    "--key",
    "keys",
    multiple=True,
    required=True,
    metavar="KEY[=LOW..HIGH]",
    help="What is searched, such as device.cycle_to_cycle; repeatable.",
)
@click.option(
    "--ideal",
    "ideals",
    multiple=True,
    metavar="KEY=VALUE",
    help="Ideal of a key; repeatable.  [default: 0]",
)
@click.option(
    "--drop",
    callback=quantities.points,
    default="1pp",
    show_default=True,
    metavar="DROP",
    help="Allowed, in percentage points.",
)
@click.option(
    "--confidence",
    callback=quantities.share,
    default="95%",
    show_default=True,
    metavar="SHARE",
    help="Of the intervals.",
)
@click.option("--seeds", default=5, show_default=True, help="Runs of each value.")
@click.option("--runs", default=60, show_default=True, help="Most runs of each key.")
@click.option("--workers", default=1, show_default=True, help="Worker processes.")
@click.option("--scheduler", metavar="tcp://…", help="Dask scheduler, in place of processes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/tolerance"),
    metavar="FOLDER",
    help="Folder of the runs.  [default: runs/tolerance]",
)
@click.option(
    "--figure",
    type=click.Path(path_type=Path),
    metavar="FIGURE",
    help="Picture of the curves: .svg, .png, .pdf.  [default: tolerance.svg in the folder]",
)
@click.option("--resume", is_flag=True, help="Go on with the runs in the folder.")
@click.option("--retry-failed", is_flag=True, help="Resume, and run again what failed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def tolerance(
    config: str | None,
    recipe: str | None,
    chip: str | None,
    settings: tuple[str, ...],
    epochs: int | None,
    keys: tuple[str, ...],
    ideals: tuple[str, ...],
    drop: float,
    confidence: float,
    seeds: int,
    runs: int,
    workers: int,
    scheduler: str | None,
    out: Path,
    figure: Path | None,
    resume: bool,
    retry_failed: bool,
    as_json: bool,
) -> None:
    """Find the largest value of each key at which the test error is within the drop of the ideal.

    Several keys give a table, the weakest link first, and a check of all limits at once.
    """
    if (config is None) == (recipe is None):
        raise click.UsageError(
            "give either --recipe NAME or CONFIG.toml; neurohw list recipes shows the names"
        )
    from neurohw.cli.progress import StudyLine, terminable
    from neurohw.errors import ConfigurationError
    from neurohw.experiments.studies import tolerance as tolerances
    from neurohw.reports import studies

    given = dict(_pair(text) for text in ideals)
    axes = [tolerances.axis_of(key, given.pop(key.partition("=")[0].strip(), None)) for key in keys]
    for key in given:
        raise ConfigurationError(f"--ideal {key}: is none of the keys that are searched")
    picture = figure or out / "tolerance.svg"
    studies.check_picture(picture)
    line = StudyLine(sys.stderr)
    try:
        with terminable():
            found = tolerances.tolerance(
                str(config or recipe),
                axes,
                chip=chip,
                settings=settings,
                epochs=epochs,
                drop=drop,
                confidence=confidence,
                seeds=seeds,
                runs=runs,
                out=out,
                workers=workers,
                scheduler=scheduler,
                resume=resume,
                retry=retry_failed,
                progress=line,
            )
    except KeyboardInterrupt:
        words = [word for word in sys.argv[1:] if word != "--resume"]
        command = shlex.join(["neurohw", *words, "--resume"])
        raise Interrupted(f"interrupted; continue with: {command}") from None
    finally:
        line.close()
    studies.draw_tolerances(found, picture)
    if as_json:
        print_json(_facts(found, out) | {"figure": str(picture)})
    else:
        _show(found)
        click.echo(f"Figure: {picture}")


def _pair(text: str) -> tuple[str, str | float]:
    from neurohw.errors import ConfigurationError

    key, equals, value = text.partition("=")
    if not (equals and key.strip() and value.strip()):
        raise ConfigurationError(f"--ideal {text}: must be written as key=value")
    try:
        return key.strip(), float(value)
    except ValueError:
        return key.strip(), value.strip()


def _facts(found: "Tolerances", out: Path) -> dict[str, Any]:
    table = found.table()
    facts: dict[str, Any] = {
        "drop": found.study.drop,
        "confidence": found.study.confidence,
        "ideal_error": found.ideal_error,
        "runs": found.runs,
        "limits": [
            dict(zip(table, row, strict=True))
            for row in zip(*(values.tolist() for values in table.values()), strict=True)
        ],
        "folder": str(out),
    }
    if found.joint is not None:
        joint = found.joint
        facts["joint"] = {
            "penalty": joint.penalty,
            "low": joint.low,
            "high": joint.high,
            "holds": joint.holds,
            "share": joint.share.value,
            "share_low": joint.share.low,
            "share_high": joint.share.high,
        }
    return facts


def _show(found: "Tolerances") -> None:
    from neurohw.experiments.studies.limits import FALLS, rises, words
    from neurohw.experiments.studies.study import show_value
    from neurohw.reports.summary import percent

    study = found.study
    click.echo(
        f"{study.recipe}: ideal test error {percent(found.ideal_error)};"
        f" {100 * study.drop:g} percentage points more are allowed ({found.runs} runs)"
    )
    rows = [["key", "limit", "the chip has", "margin"]]
    for one in found.found:
        present = "–" if one.present is None else show_value(one.axis, one.present)
        margin = "–" if one.present is None else f"{one.margin:.3g}"
        limit = words(one.limit, one.axis, study.confidence)
        if one.failed:
            limit += f"; {one.failed} runs failed"
        if not rises(one.band, less_is_worse=one.axis.less_is_worse):
            limit += FALLS
        rows.append([one.axis.label, limit, present, margin])
    print_table(rows)
    joint = found.joint
    if joint is None:
        if len(found.found) > 1:
            names = [one.axis.label for one in found.found if not one.tolerated]
            click.echo(f"all at once: not tried; nothing tried of {', '.join(names)} is tolerated")
        return
    click.echo(
        f"all at once: {100 * joint.penalty:.2f} points ({100 * study.confidence:g} % interval:"
        f" {100 * joint.low:.2f} to {100 * joint.high:.2f}),"
        f" {'within' if joint.holds else 'beyond'} the drop"
    )
    if not joint.holds:
        share = joint.share
        click.echo(
            f"together they hold at {_share(share.value)} of their limits"
            f" ({100 * study.confidence:g} % interval: {_share(share.low)} to {_share(share.high)})"
        )


def _share(value: float) -> str:
    from neurohw.experiments.studies.tolerance import SHARES

    if SHARES[0] <= value <= SHARES[1]:
        return f"{100 * value:.3g} %"
    return f"less than {100 * SHARES[0]:g} %" if value < SHARES[0] else "all"
