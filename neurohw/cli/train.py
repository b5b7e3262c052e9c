"""`neurohw train`: train a recipe or a configuration on a chip."""

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from neurohw.cli.output import naming, print_summary, print_warning, summary

if TYPE_CHECKING:
    from neurohw.experiments.experiment import Experiment


class Interrupted(click.ClickException):
    """Ctrl-C during training."""

    exit_code = 130


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path), metavar="[CONFIG.toml]")
@click.option("--recipe", metavar="NAME", help="A shipped recipe, instead of CONFIG.toml.")
@click.option("--chip", metavar="NAME|FILE", help="Chip to train on.  [default: the recipe's]")
@click.option("--epochs", type=int, metavar="N", help="Passes over the training images.")
@click.option("--seed", type=int, metavar="S", help="Seed of everything random.")
@click.option(
    "--engine", metavar="NAME", help="What solves the circuit: numba, numpy, spice or transient."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the configuration, such as learning.nudging=0.5; repeatable.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="RUN.h5",
    help="Run file to write; one that exists is kept.  [default: runs/RECIPE-CHIP-seedS.h5]",
)
@click.option(
    "--start",
    type=click.Path(path_type=Path),
    metavar="RUN.h5",
    help="Begin with the network of this run, and with its settings where no others are given.",
)
@click.option("--resume", is_flag=True, help="Continue the run in RUN.h5, bit for bit.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object; its train_error was met during the last epoch.",
)
def train(
    config: Path | None,
    recipe: str | None,
    chip: str | None,
    epochs: int | None,
    seed: int | None,
    engine: str | None,
    settings: tuple[str, ...],
    out: Path | None,
    start: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Train the network of a recipe, or of CONFIG.toml, on a chip.

    With --start, the trained network of a run is written into the chip, each cell as near as it
    can come, and fine-tuned there.
    """
    source: Path | str | Experiment | None = config or recipe
    if (source is None and start is None) or (config and recipe):
        raise click.UsageError(
            "give either --recipe NAME or CONFIG.toml; neurohw list recipes shows the names"
        )
    from neurohw.cli.progress import ProgressLine
    from neurohw.experiments import configuration, run_file, trainer

    if source is None and start is not None:
        source = run_file.load(start).experiment
    assert source is not None
    experiment = configuration.load(
        source, chip=chip, settings=settings, epochs=epochs, seed=seed, engine=engine
    )
    path = out or default_path(experiment, start)
    progress = ProgressLine(sys.stderr)
    try:
        with naming(config, settings):
            run = trainer.train(
                experiment,
                out=path,
                resume=resume,
                progress=progress,
                warn=print_warning,
                start=start,
            )
        progress.finish(run)
    except KeyboardInterrupt:
        raise Interrupted(_how_to_resume(path)) from None
    finally:
        progress.close()
    print_summary(summary(run, path), as_json)


def default_path(experiment: "Experiment", start: Path | None = None) -> Path:
    """Return the run file that is written when none is named."""
    names = [experiment.recipe, experiment.chip.name, f"seed{experiment.training.seed}"]
    if start is not None:
        names.append(f"from-{start.stem}")
    return Path("runs") / ("-".join(re.sub(r"[^\w.]+", "-", name) for name in names) + ".h5")


def _how_to_resume(path: Path) -> str:
    """Return the command that continues the interrupted one."""
    if not path.exists():
        return "interrupted before anything was written"
    context = click.get_current_context()
    given = context.params
    words = ["neurohw", "train"]
    if given["config"]:
        words.append(str(given["config"]))
    for option in ("recipe", "chip", "epochs", "seed", "engine", "start"):
        if given[option] is not None:
            words += [f"--{option}", str(given[option])]
    for setting in given["settings"]:
        words += ["--set", setting]
    return f"interrupted; continue with: {shlex.join([*words, '--out', str(path), '--resume'])}"
