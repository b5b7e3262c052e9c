"""`neurohw replay`: the updates that measured states of a real array lead to."""

from pathlib import Path

import click

from neurohw.cli.output import print_json, print_table


@click.command()
@click.argument("states", type=click.Path(path_type=Path), metavar="STATES.csv")
@click.option(
    "--from",
    "source",
    required=True,
    metavar="RUN.h5|CONFIG",
    help="Run, recipe or CONFIG.toml with nudging and learning rates.",
)
@click.option(
    "--conductances",
    type=click.Path(path_type=Path),
    metavar="CONDUCTANCES.csv",
    help="Cells as measured.  [default: the run's]",
)
@click.option("--chip", metavar="NAME|FILE", help="Chip whose device law acts.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="UPDATES.csv",
    help="File to write, or to replace: wanted change, pulses and new conductance of every cell.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def replay(
    states: Path,
    source: str,
    conductances: Path | None,
    chip: str | None,
    settings: tuple[str, ...],
    out: Path,
    as_json: bool,
) -> None:
    """Turn measured free and nudged states into the updates of rule and device law.

    STATES.csv has the columns sample, phase (free, positive, negative), layer (0: word lines),
    node and voltage_V; CONDUCTANCES.csv array (from 1), unit, input and conductance_S.
    """
    import numpy as np

    from neurohw.experiments import configuration, measured_states, replay, run_file
    from neurohw.units import show

    run = run_file.load(source) if Path(source).suffix in (".h5", ".hdf5") else None
    if conductances is None and run is None:
        raise click.UsageError("give --conductances, or --from RUN.h5, whose cells are taken")
    experiment = configuration.load(
        source if run is None else run.experiment, chip=chip, settings=settings
    )
    if conductances is not None:
        cells = measured_states.read_conductances(conductances)
    else:
        assert run is not None
        cells = [array["conductance"].astype(np.float64) for array in run.arrays]
    measured = measured_states.read_states(states)
    found = replay.replay(measured, cells, experiment)
    run_file.check_writable(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    replay.write(found, out)
    facts = [
        {
            "array": k,
            "cells": array.wanted.size,
            "wanted_rms": float(np.sqrt(np.mean(array.wanted**2))),
            "pulses": None if array.pulses is None else float(np.abs(array.pulses).sum()),
            "moved_rms": float(np.sqrt(np.mean((array.after - array.conductance) ** 2))),
        }
        for k, array in enumerate(found, start=1)
    ]
    if as_json:
        print_json({"updates": str(out), "phases": list(measured), "arrays": facts})
        return
    rows: list[tuple[str, ...]] = [("array", "cells", "wanted, rms", "moved, rms", "pulses")]
    for fact in facts:
        sizes = (show(float(fact[key] or 0.0), "S") for key in ("wanted_rms", "moved_rms"))
        pulses = "–" if fact["pulses"] is None else f"{fact['pulses']:g}"
        rows.append((str(fact["array"]), str(fact["cells"]), *sizes, pulses))
    print_table(rows)
    click.echo(f"Updates: {out}")
