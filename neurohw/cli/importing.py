"""`neurohw import`: a weight map, or a read-out of a chip, as a run to evaluate."""

import sys
from pathlib import Path

import click

from neurohw.cli.output import print_summary, require_new, summary


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE|DIR")
@click.option("--format", "name", required=True, metavar="NAME", help="See neurohw list formats.")
@click.option(
    "--network",
    required=True,
    metavar="RUN.h5|RECIPE|CONFIG.toml",
    help="Network that the file holds. Arrays that are not in the file are those of the run.",
)
@click.option(
    "--chip",
    metavar="NAME|FILE",
    help="Chip that it was exported for, if another one.  [default: the network's]",
)
@click.option("--seed", type=int, metavar="N", help="Of the chip's fabrication, with a recipe.")
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="RUN.h5",
    help="Run file to write.",
)
@click.option("--force", is_flag=True, help="Replace an existing run file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_(
    path: Path,
    name: str,
    network: str,
    chip: str | None,
    seed: int | None,
    out: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Read the conductances of every cell, and evaluate the network as programmed.

    The run file that is written can be evaluated, shown and reported as any other; it has learnt
    nothing yet.
    """
    from neurohw.cli.info import kind_of_file
    from neurohw.cli.progress import CellsLine
    from neurohw.errors import ConfigurationError
    from neurohw.experiments import configuration, run_file
    from neurohw.experiments.experiment import Experiment
    from neurohw.experiments.run_file import Run
    from neurohw.export import formats, importing
    from neurohw.mappings import chip_specification

    form = formats.load(name)
    require_new(out, force)
    run_file.check_writable(out)
    given: Run | Experiment
    if kind_of_file(Path(network)) == "run":
        if seed is not None:
            raise ConfigurationError(f"--seed {seed}: {network} is a run, which has its own")
        given = run_file.load(network)
    else:
        given = configuration.load(network, chip=chip, seed=seed)
    other = None
    if chip is not None and isinstance(given, Run):
        other = chip_specification.load(chip)
    progress = CellsLine(sys.stderr, None, "reading")
    try:
        run = importing.imported(form, path, given, chip=other, advance=progress)
    finally:
        progress.close()
    run_file.save(out, run)
    print_summary(summary(run, out), as_json)
