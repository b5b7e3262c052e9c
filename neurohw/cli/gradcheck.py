"""`neurohw gradcheck`: the update that a chip makes against the exact gradient."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurohw.cli.output import naming, print_json, print_table, print_warning

if TYPE_CHECKING:
    from neurohw.experiments.gradient_check import Check, Setting

# A free phase farther from its equilibrium than this is worth a warning.
_FAR = 0.01


@click.command()
@click.argument("config", required=False, metavar="[CONFIG]")
@click.option("--recipe", metavar="NAME", help="A built-in recipe instead of a file.")
@click.option(
    "--run",
    "path",
    type=click.Path(path_type=Path),
    metavar="RUN.h5",
    help="A trained run, whose conductances are taken.",
)
@click.option("--chip", metavar="NAME|FILE", help="Chip to use.  [default: the experiment's]")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value; repeatable."
)
@click.option("--seed", type=int, help="Of weights, cells and noise.")
@click.option(
    "--nudging",
    metavar="B[,B…]",
    help="Nudging to try.  [default: 0.001 to 10 times the experiment's]",
)
@click.option("--variant", metavar="V[,V…]", help="Variants.  [default: the experiment's]")
@click.option(
    "--sweeps",
    metavar="N[/M][,…]",
    help="Sweeps of the free and of each nudged phase.  [default: the experiment's]",
)
@click.option(
    "--over",
    metavar="KEY=V[,V…]",
    help="Any other key, with values to try, such as chip.device.reading.relative=0,1 %.",
)
@click.option(
    "--samples",
    default=32,
    show_default=True,
    help="First training images, in mini-batches of the experiment's size.",
)
@click.option(
    "--repeats",
    type=int,
    help="Updates of each mini-batch.  [default: 8 where they may differ, else 1]",
)
@click.option(
    "--converged", is_flag=True, help="Relax until nothing moves, in float64, by exact sweeps."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FIGURE",
    help="Figure to write: .html, .svg, .png or .pdf.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def gradcheck(
    config: str | None,
    recipe: str | None,
    path: Path | None,
    chip: str | None,
    settings: tuple[str, ...],
    seed: int | None,
    nudging: str | None,
    variant: str | None,
    sweeps: str | None,
    over: str | None,
    samples: int,
    repeats: int | None,
    converged: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare the updates that a chip makes with the exact gradient, and find the best nudging.

    The exact gradient is that of the network that the chip holds, at its free equilibrium, by
    implicit differentiation.
    """
    if sum(source is not None for source in (config, recipe, path)) != 1:
        raise click.UsageError(
            "give one of CONFIG.toml, --recipe NAME and --run RUN.h5; neurohw list recipes shows"
            " the names"
        )
    from neurohw.cli.progress import share_line
    from neurohw.experiments import gradient_check, run_file
    from neurohw.reports import gradients

    if out is not None:
        gradients.require_format(out)
    run = None if path is None else run_file.load(path)
    with share_line(sys.stderr) as told, naming(config, settings):
        found = gradient_check.check(
            config or recipe or run.experiment,  # type: ignore[union-attr]
            run=run,
            chip=chip,
            settings=settings,
            seed=seed,
            converged=converged,
            nudgings=_numbers(nudging),
            variants=_words(variant),
            sweeps=_lengths(sweeps),
            over=_axis(over),
            samples=samples,
            repeats=repeats,
            progress=told,
        )
    figure = None if out is None else gradients.draw(found, out)
    for line in _warnings(found):
        print_warning(line)
    if as_json:
        print_json(_facts(found, figure))
    else:
        _show(found)
        if figure is not None:
            click.echo(f"Figure: {figure}")


def _words(text: str | None) -> list[str]:
    return [] if text is None else [word.strip() for word in text.split(",")]


def _numbers(text: str | None) -> list[float]:
    from neurohw.errors import ConfigurationError

    try:
        return [float(word) for word in _words(text)]
    except ValueError:
        raise ConfigurationError(f'--nudging "{text}": must be numbers, as in 0.01,0.1') from None


def _lengths(text: str | None) -> list[tuple[int, int]]:
    from neurohw.errors import ConfigurationError

    found = []
    for word in _words(text):
        parts = word.split("/")
        if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise ConfigurationError(f'--sweeps "{word}": must be N or N/M, such as 20/4')
        found.append((int(parts[0]), int(parts[-1])))
    return found


def _axis(text: str | None) -> tuple[str, list[str]] | None:
    from neurohw.errors import ConfigurationError

    if text is None:
        return None
    key, equals, values = text.partition("=")
    if not (key.strip() and equals and values.strip()):
        raise ConfigurationError(f'--over "{text}": must be KEY=VALUE,VALUE')
    # Commas within a list part no values.
    return key.strip(), [value.strip() for value in re.split(r",(?![^\[]*\])", values)]


def _warnings(found: "Check") -> list[str]:
    """Return what a person should know about the numbers."""
    lines = []
    for k, count in enumerate(found.vanished, start=1):
        if count:
            lines.append(
                f"layer {k}: the exact gradient of {count} of {found.samples} samples is 0: nodes"
                " between it and a wrong output stand at their limits"
            )
    for setting, points in found.curves.items():
        far = max(point.free_error for point in points)
        if far > _FAR:
            lines.append(
                f"{_label(found, setting)}: the free phase ends {100 * far:.2g} % from its"
                f" equilibrium after {setting.free_sweeps} sweeps; more of them bring it closer"
            )
    reasons: dict[str, list[str]] = {}
    for point in found.left_out:
        # Some reasons begin with the nudging.
        reason = point.reason.removeprefix(f"learning.nudging = {point.nudging:g}: ")
        reasons.setdefault(reason, []).append(f"{point.nudging:.4g}")
    lines += [
        f"left out: β = {', '.join(dict.fromkeys(betas))}: {why}" for why, betas in reasons.items()
    ]
    return lines


def _label(found: "Check", setting: "Setting") -> str:
    """Return what tells a curve from the others."""
    from neurohw.reports.gradients import label

    return label(found, setting)


def _facts(found: "Check", figure: Path | None) -> dict[str, Any]:
    import msgspec

    def facts(point: Any) -> dict[str, Any]:
        table = msgspec.to_builtins(point)
        return {
            **table.pop("setting"),
            "nudging": table.pop("nudging"),
            **table.pop("overall"),
            **table,
        }

    chosen = found.best.values() or found.points
    best = min(chosen, key=lambda p: p.overall.one_minus_cosine)
    return {
        "recipe": found.experiment.recipe,
        "chip": found.experiment.chip.name,
        "seed": found.experiment.training.seed,
        "varied": found.key,
        "samples": found.samples,
        "mini_batch": found.mini_batch,
        "cost": found.cost,
        "clamped": found.clamped,
        "vanished": found.vanished,
        **facts(best),
        "best": [facts(point) for point in found.best.values()],
        "points": [facts(point) for point in found.points],
        "left_out": [
            msgspec.to_builtins(point.setting) | {"nudging": point.nudging, "reason": point.reason}
            for point in found.left_out
        ],
        **({} if figure is None else {"figure": str(figure)}),
    }


def _show(found: "Check") -> None:
    layers = len(found.points[0].layers)
    click.echo(
        f"{found.experiment.recipe} on {found.experiment.chip.name}: {found.samples} samples in"
        f" mini-batches of {found.mini_batch}, mean cost {found.cost:.4g}"
    )
    for setting, points in found.curves.items():
        repeats = points[0].repeats
        drawn = f", {repeats} updates of each" if repeats > 1 else ""
        click.echo(f"\n{_label(found, setting)}{drawn}:")
        names = [f"array {k}" for k in range(1, layers + 1)]
        rows = [["β", "1 − cos", "error", "bias", "spread", *names, "kinks"]]
        for point in points:
            whole = point.overall
            rows.append(
                [
                    f"{point.nudging:.4g}",
                    _number(whole.one_minus_cosine),
                    *map(_number, (whole.relative_error, whole.bias, whole.spread)),
                    *(_number(layer.one_minus_cosine) for layer in point.layers),
                    str(point.kinks),
                ]
            )
        print_table(rows, indent="  ")
        best = found.best.get(setting)
        if best is None:
            click.echo("  no best β: the updates or the gradient are 0")
        else:
            click.echo(f"  best β = {best.nudging:.4g}{_at_an_end(best, points)}")


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.1e}" if 0 < value < 0.01 else f"{value:.3g}"


def _at_an_end(best: Any, points: list[Any]) -> str:
    if len(points) > 1 and best in (points[0], points[-1]):
        return ", at an end of those tried"
    return ""
