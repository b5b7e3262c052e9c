"""`neurohw export`: the weight map of a trained run, in the formats that others read."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from neurohw.cli import pictures
from neurohw.cli.output import print_warning

if TYPE_CHECKING:
    from neurohw.export.verification import Verification

DIFFERENT = 1


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="RUN.h5")
@click.option("--format", "name", required=True, metavar="NAME", help="See neurohw list formats.")
@click.option(
    "--chip",
    metavar="NAME|FILE",
    help="Chip into which the network is written first.  [default: the run's]",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME",
    help="Layer to write: layer1, bias1, or 1 for both; several times for several.  [default: all]",
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="An option of the format."
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR|FILE",
    help="File to write, or folder, as the format has it.",
)
@click.option("--force", is_flag=True, help="Replace an existing file, or an exported folder.")
@click.option(
    "--verify",
    is_flag=True,
    help="Read it back and compare outputs of 100 test images; exit status 1 where they differ.",
)
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path),
    metavar="MAP.html",
    help="Page to write, or to replace: every tile as a picture, stuck cells marked.",
)
def export(
    path: Path,
    name: str,
    chip: str | None,
    layers: tuple[str, ...],
    settings: tuple[str, ...],
    out: Path,
    force: bool,
    verify: bool,
    page: Path | None,
) -> None:
    """Write the conductances of a trained run, cell by cell, for another program or instrument.

    Word lines carry inputs, bit lines lead to units; conductances are in siemens.
    """
    from dataclasses import replace

    from neurohw.cli.progress import CellsLine, terminable
    from neurohw.experiments import programmed, run_file
    from neurohw.export import formats, verification, writing
    from neurohw.export.mapping import weight_map
    from neurohw.mappings import chip_specification

    if page is not None:
        pictures.require_apart(page, path, out)
        run_file.check_writable(page)
    form = formats.load(name, settings)
    writing.require_free(form, out, force=force)
    run = run_file.load(path)
    if chip is not None:
        run = programmed.on_chip(run, chip_specification.load(chip))
    weights = weight_map(run, layers)
    progress = CellsLine(sys.stderr, weights.cells, "writing")
    try:
        with terminable():
            writing.write(form, replace(weights, advance=progress), out, force=force)
    finally:
        progress.close()
    tiles = sum(1 for _ in weights.tiles())
    click.echo(f"{out}: {weights.cells:,} cells of {tiles:,} arrays, format {form.name}")
    if page is not None:
        experiment = run.experiment
        about = f"{path}, recipe {experiment.recipe}, written to {out} as {form.name}."
        pictures.write(f"{experiment.chip.name}, to be programmed", about, weights, page)
        click.echo(f"{page}: pictures of the tiles")
    for note in form.notes(out):
        click.echo(note)
    own = form.verify(weights, out) if verify else None
    if own is not None:
        same, sentence = own
        click.echo(f"{'verified' if same else 'different'}: {sentence}", err=not same)
        if not same:
            click.get_current_context().exit(DIFFERENT)
    elif verify and not form.reads:
        print_warning(f"format {form.name} is written only: there is nothing to read back")
    elif verify:
        found = verification.verify(form, out, weights)
        same = found.same(form.lossless)
        click.echo(_sentence(found, same), err=not same)
        if not same:
            click.get_current_context().exit(DIFFERENT)


def _sentence(found: "Verification", same: bool) -> str:
    """Say how what was read back differs from the run."""
    from neurohw.units import show

    outputs = "outputs the same to the bit"
    if found.difference > 0:
        share = found.difference / found.largest
        outputs = f"outputs differ by at most {100 * share:.2g} % of the largest"
    cells = ""
    if found.conductance > 0:
        cells = f", cells by {show(found.conductance, 'S')} more than the format rounds to"
    return (
        f"{'verified' if same else 'different'}: {found.images - found.changed} of {found.images}"
        f" test images have the same prediction, {outputs}{cells}"
    )
