"""`neurohw program`: an exported programming schedule, carried out on a simulated chip."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurohw.cli import pictures
from neurohw.cli.output import print_json, print_table, require_new

if TYPE_CHECKING:
    from neurohw.experiments.scheduled import Outcome


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--network",
    required=True,
    type=click.Path(path_type=Path),
    metavar="RUN.h5",
    help="Run that the schedule was exported from.",
)
@click.option("--chip", metavar="NAME|FILE", help="Chip that it was exported for, if another one.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="Of the simulated chip's spread and noise.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    metavar="N",
    help="Trains after the first one, each after a read; 0: none.  [default: as exported]",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="RUN.h5",
    help="Run file to write: the network as it is programmed at last.",
)
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path),
    metavar="MAP.html",
    help="Page to write, or to replace: every tile as a picture, the worst cells marked.",
)
@click.option("--force", is_flag=True, help="Replace an existing run file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def program(
    path: Path,
    network: Path,
    chip: str | None,
    seed: int,
    retries: int | None,
    out: Path | None,
    page: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Give a simulated chip the pulses of a schedule: `neurohw export --format pulses`.

    The chip is made anew, with spread and noise of its own. It is programmed open loop, and, where
    there are retries, on another copy with reads between the trains; printed is how far cells are
    from their targets, and the test error of the network then.
    """
    from neurohw.cli.progress import share_line
    from neurohw.experiments import programmed, run_file, scheduled
    from neurohw.export import pulses
    from neurohw.export.mapping import weight_map
    from neurohw.mappings import chip_specification

    require_new(out, force)
    for target in (out, page):
        if target is not None:
            run_file.check_writable(target)
    if page is not None:
        pictures.require_apart(page, network, out)
    run = run_file.load(network)
    if chip is not None:
        run = programmed.on_chip(run, chip_specification.load(chip))
    schedules = pulses.schedules(path, run)
    most = int(pulses.about(path)["retries"]) if retries is None else retries
    trials = [0, most] if most else [0]
    start = {"run": str(path), "format": "pulses", "checksum": run_file.checksum(run)}
    found = []
    with share_line(sys.stderr) as told:
        for trial in trials:
            last = trial == trials[-1]
            found.append(
                scheduled.simulate(
                    run,
                    schedules,
                    seed=seed,
                    retries=trial,
                    start=start if out is not None and last else None,
                    progress=partial(told, "with retries" if trial else "open loop"),
                )
            )
    if out is not None and found[-1].run is not None:
        run_file.save(out, found[-1].run)
    if page is not None:
        about = f"{network}, programmed by {path} on a simulated chip, seed {seed}."
        pictures.write(
            f"{run.experiment.chip.name}, as programmed",
            about,
            weight_map(run),
            page,
            reached=found[-1].reached,
            stuck=found[-1].stuck,
            targets=[each.target for each in schedules],
            tolerances=[each.tolerance for each in schedules],
        )
    facts = [_facts(each.outcome) for each in found]
    before = float(run.history["test_error"][-1]) if run.history["test_error"].size else None
    if as_json:
        print_json({"schedule": str(path), "seed": seed, "trained": before, "programmed": facts})
    else:
        _show([each.outcome for each in found], before)
        for written in (out, page):
            if written is not None:
                click.echo(f"Written: {written}")


def _facts(outcome: "Outcome") -> dict[str, Any]:
    import msgspec

    return dict(msgspec.to_builtins(outcome))


def _show(outcomes: "list[Outcome]", before: float | None) -> None:
    from neurohw.reports.summary import percent
    from neurohw.units import show

    heads = ["open loop" if not each.retries else f"{each.retries} retries" for each in outcomes]
    rows = {
        "error, r.m.s. of the range": [percent(each.rms) for each in outcomes],
        "largest error": [percent(each.worst) for each in outcomes],
        "cells within tolerance": [percent(each.within) for each in outcomes],
        "stuck cells": [f"{each.stuck:,}" for each in outcomes],
        "SET pulses": [f"{each.set_pulses:,}" for each in outcomes],
        "RESET pulses": [f"{each.reset_pulses:,}" for each in outcomes],
        "full resets": [f"{each.erased:,}" for each in outcomes],
        "reads of a cell": [f"{each.reads:,}" for each in outcomes],
        "energy of pulses": [show(each.energy, "J") if each.time else "–" for each in outcomes],
        "time of pulses": [show(each.time, "s") if each.time else "–" for each in outcomes],
        "test error": [percent(each.test_error) for each in outcomes],
    }
    print_table([("", *heads), *((name, *values) for name, values in rows.items())])
    if before is not None:
        click.echo(f"test error of the run: {percent(before)}")
