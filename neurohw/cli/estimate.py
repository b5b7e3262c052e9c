"""`neurohw estimate`: energy, latency and area of a chip that learns and infers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurohw.cli import quantities
from neurohw.cli.output import print_json, print_table

if TYPE_CHECKING:
    from neurohw.experiments.estimate import Estimate


@click.command()
@click.argument("source", metavar="RUN.h5|CONFIG")
@click.option("--chip", metavar="NAME|FILE", help="Chip to estimate.  [default: the run's]")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value, such as chip.costs.adc_bits=6; repeatable.",
)
@click.option(
    "--samples", default=64, show_default=True, help="Training images to simulate, from the first."
)
@quantities.free_time
@quantities.nudged_time
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def estimate(
    source: str,
    chip: str | None,
    settings: tuple[str, ...],
    samples: int,
    free_time: float | None,
    nudged_time: float | None,
    as_json: bool,
) -> None:
    """Estimate energy, latency and area by class, of a sample and of the training.

    Of a run, with the pulses that it counted. Of a recipe or CONFIG.toml, or of a run on another
    chip, with those of a short training on the first images.
    """
    from neurohw.experiments import configuration, estimate, run_file

    run = run_file.load(source) if Path(source).suffix in (".h5", ".hdf5") else None
    experiment = configuration.load(
        source if run is None else run.experiment, chip=chip, settings=settings
    )
    found = estimate.of(
        experiment, run, samples=samples, free_time=free_time, nudged_time=nudged_time
    )
    if as_json:
        print_json(_facts(experiment, found))
    else:
        _show(found)


def _facts(experiment: Any, found: "Estimate") -> dict[str, Any]:
    import msgspec

    return {
        "recipe": experiment.recipe,
        "chip": experiment.chip.name,
        **msgspec.to_builtins(found),
        "costs": msgspec.to_builtins(experiment.chip.costs),
    }


def _show(found: "Estimate") -> None:
    from neurohw.experiments.estimate import SCOPES, rows
    from neurohw.units import show

    for what, unit, table in (("energy", "J", found.energy), ("latency", "s", found.latency)):
        print_table([(what, *SCOPES), *rows(table, unit)])
        click.echo()
    areas = [*found.area.items(), ("total", sum(found.area.values()))]
    print_table([("area", ""), *((name, show(value, "m²")) for name, value in areas)])
    click.echo()
    for line in found.notes:
        click.echo(line)
