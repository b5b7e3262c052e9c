"""`neurohw settle`: how long the circuit of a trained run takes, and what it draws."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurohw.cli import quantities
from neurohw.cli.output import print_json, print_table

if TYPE_CHECKING:
    from neurohw.experiments.settling import Phases


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="RUN.h5")
@click.option("--samples", default=16, show_default=True, help="Test images, from the first on.")
@quantities.free_time
@quantities.nudged_time
@click.option(
    "--within",
    callback=quantities.share,
    default="1 %",
    show_default=True,
    metavar="SHARE",
    help="Distance from the steady state that counts as settled.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FIGURE.svg",
    help="Figure to write, or to replace.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def settle(
    path: Path,
    samples: int,
    free_time: float | None,
    nudged_time: float | None,
    within: float,
    out: Path | None,
    as_json: bool,
) -> None:
    """Follow the free and the nudged phase in time: time to settle, energy by class.

    Phases last as long as the run's, or twelve of the circuit's slowest time constants.
    """
    from neurohw.experiments import run_file, settling

    phases = settling.measure(
        run_file.load(path),
        samples=samples,
        free_time=free_time,
        nudged_time=nudged_time,
        within=within,
    )
    result = _summary(phases)
    if out is not None:
        from neurohw.reports import settling as figure

        result["figure"] = str(figure.draw(phases, out))
    if as_json:
        print_json(result)
    else:
        _show(result)


def _summary(phases: "Phases") -> dict[str, Any]:
    import numpy as np

    settled = {}
    for name, phase in (("free", phases.free), ("nudged", phases.nudged)):
        times = phase.settled_at
        settled[name] = {
            "time": phase.times[-1],
            **{
                key: np.quantile(times, share, method="inverted_cdf")
                for key, share in (("p50", 0.5), ("p90", 0.9), ("max", 1.0))
            },
            "not_settled": int(np.isinf(times).sum()),
        }
    return {
        "samples": len(phases.free.settled_at),
        "slowest_time_constant": phases.slowest,
        "within": phases.within,
        "settled": settled,
        "energy": phases.energy,
    }


def _show(result: dict[str, Any]) -> None:
    import numpy as np

    from neurohw.units import show

    click.echo(
        f"{result['samples']} samples, slowest time constant"
        f" {show(result['slowest_time_constant'], 's')}; settled within"
        f" {100 * result['within']:g} %:"
    )
    keys = ("time", "p50", "p90", "max")
    rows = [["phase", "lasts", "p50", "p90", "max", "not settled"]]
    for name, settled in result["settled"].items():
        times = [show(settled[key], "s") if settled[key] < np.inf else "–" for key in keys]
        rows.append([name, *times, str(settled["not_settled"])])
    print_table(rows, indent="  ")
    click.echo("energy of a sample, both phases:")
    print_table(
        [
            [side, name, show(energy, "J")]
            for side, classes in result["energy"].items()
            for name, energy in classes.items()
        ],
        indent="  ",
    )
    if "figure" in result:
        click.echo(f"Figure: {result['figure']}")
