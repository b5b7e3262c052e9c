"""`neurohw spice`: the circuit of a trained run as a netlist, and ngspice as its referee."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurohw.cli.output import print_json, print_table, require_new

if TYPE_CHECKING:
    from neurohw.experiments.verification import Verification

STATE_TOLERANCE, UPDATE_TOLERANCE = 1e-6, 1e-5


@click.group()
def spice() -> None:
    """Write the circuit of a trained run for SPICE, or check it there."""


@spice.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="RUN.h5")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="K",
    help="Test image whose voltages drive the inputs.",
)
@click.option(
    "--phase",
    type=click.Choice(["free", "nudged"]),
    default="free",
    show_default=True,
    help="Whether the outputs are pulled to their targets.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DECK.cir",
    help="Deck to write.  [default: standard output]",
)
@click.option("--force", is_flag=True, help="Replace an existing deck.")
def netlist(path: Path, sample: int, phase: str, out: Path | None, force: bool) -> None:
    """Write the whole circuit of a trained run as a deck that plain `ngspice -b` runs.

    Ideal diodes become nearly ideal ones.
    """
    from neurohw.errors import ConfigurationError
    from neurohw.experiments import run_file, trained_circuit
    from neurohw.experiments.machine import computing

    require_new(out, force)
    run = run_file.load(path)
    with computing():
        circuit = trained_circuit.trained(run, slice(sample, sample + 1))
        text = circuit.deck(0.0 if phase == "free" else circuit.strengths[0])
    if out is None:
        click.echo(text, nl=False)
    else:
        try:
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"{out}: cannot be written: {error.strerror}") from None


@spice.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="RUN.h5")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="Test images to compare.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="T",
    help=f"Largest p90 error of the states and of the update.  [default: {STATE_TOLERANCE:g} and"
    f" {UPDATE_TOLERANCE:g}]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(path: Path, samples: int, tolerance: float | None, as_json: bool) -> None:
    """Solve the circuit of a trained run with ngspice too, and print how far it is off.

    A large network is cut to the lines with the largest conductances, for both engines. Errors
    of states are relative to the largest voltage, those of the update to its largest entry.
    """
    from neurohw.errors import ConvergenceError
    from neurohw.experiments import run_file, verification

    facts = describe(verification.verify(run_file.load(path), samples))
    if as_json:
        print_json(facts)
    else:
        _print(facts)
    for key, limit in (("state_error", STATE_TOLERANCE), ("update_error", UPDATE_TOLERANCE)):
        allowed = limit if tolerance is None else tolerance
        if not facts[key]["p90"] <= allowed:
            raise ConvergenceError(
                f"{path}: p90 of {key} is {facts[key]['p90']:.2g}: above {allowed:g}"
            )


def describe(found: "Verification") -> dict[str, Any]:
    """Return a verification as JSON has it; conductances in siemens."""
    gap = found.ideal_gap
    return {
        "ngspice_version": found.ngspice_version,
        "samples": len(found.agreement.state_error),
        "sizes": {"trained": found.trained, "verified": found.verified},
        "nudging": found.strengths,
        "state_error": _quantiles(found.agreement.state_error),
        "update_error": _quantiles(found.agreement.update_error),
        "ideal_diode_gap": None if gap is None else _quantiles(gap),
    }


def _quantiles(errors: Any) -> dict[str, float]:
    import numpy as np

    values = {"p50": np.quantile(errors, 0.5), "p90": np.quantile(errors, 0.9), "max": errors.max()}
    return {key: float(value) for key, value in values.items()}


def _print(facts: dict[str, Any]) -> None:
    sizes = {key: "-".join(map(str, value)) for key, value in facts["sizes"].items()}
    cut = f", cut from {sizes['trained']} to the lines of largest conductance"
    click.echo(
        f"ngspice {facts['ngspice_version']}, {facts['samples']} samples of {sizes['verified']}"
        f"{cut if sizes['verified'] != sizes['trained'] else ''}"
    )
    rows: list[tuple[str, ...]] = [("relative error", "p50", "p90", "max")]
    names = {"state_error": "states", "update_error": "update"}
    if facts["ideal_diode_gap"] is not None:
        names["ideal_diode_gap"] = "ideal diodes to N = 1e-3"
    for key, name in names.items():
        rows.append((name, *(f"{facts[key][part]:.1e}" for part in ("p50", "p90", "max"))))
    print_table(rows)
