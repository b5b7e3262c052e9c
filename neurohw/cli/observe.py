"""`neurohw observe`: train many small networks by several rules, and watch them on their way."""

import sys
from pathlib import Path

import click

from neurohw.cli.output import print_json, print_table
from neurohw.cli.train import Interrupted


@click.command()
@click.option(
    "--rules",
    metavar="NAME,NAME…",
    help="Rules, by short or long names.  [default: eleven that share networks]",
)
@click.option("--chips", metavar="NAME|FILE,…", help="Chips.  [default: four]")
@click.option("--dataset", default="digits", show_default=True, metavar="NAME", help="Data set.")
@click.option(
    "--hidden",
    multiple=True,
    metavar="N,N…",
    help="Units of hidden layers; repeatable.  [default: 32; 64; 100; 64,32]",
)
@click.option(
    "--networks",
    default=96,
    show_default=True,
    type=click.IntRange(4),
    help="Of each rule; hidden layers and chips go round.",
)
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(1))
@click.option("--times", default=21, show_default=True, type=click.IntRange(2), help="Looks.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1), help="Worker processes."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs") / "observations",
    show_default=True,
    metavar="FOLDER",
)
@click.option("--resume", is_flag=True, help="Run only what is missing in the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def observe(
    rules: str | None,
    chips: str | None,
    dataset: str,
    hidden: tuple[str, ...],
    networks: int,
    epochs: int,
    times: int,
    seed: int,
    workers: int,
    out: Path,
    resume: bool,
    as_json: bool,
) -> None:
    """Train small networks by several rules, and record weights and activities on the way.

    Networks of one number have the same layers, chip, mini-batches and seed, whatever the rule.
    FOLDER/samples.h5 has the statistics of every layer, for other programs; see neurohw identify.
    """
    from neurohw.cli.compare import names_of, sizes_of
    from neurohw.cli.progress import StudyLine, terminable
    from neurohw.experiments.identification import observation, samples
    from neurohw.reports.summary import percent

    plan = observation.Plan(
        rules=names_of(rules or "") or observation.RULES,
        chips=names_of(chips or "") or observation.CHIPS,
        dataset=dataset,
        hidden=tuple(sizes_of("--hidden", text) for text in hidden) or observation.HIDDEN,
        networks=networks,
        epochs=epochs,
        times=times,
        seed=seed,
    )
    line = StudyLine(sys.stderr)
    try:
        with terminable():
            found = observation.observe(plan, out, workers=workers, resume=resume, progress=line)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the same command with --resume goes on") from None
    finally:
        line.close()
    path = samples.save(samples.gather(found), out / "samples.h5")
    rows, why = [], []
    for rule in dict.fromkeys(each.rule for each in found):
        own = [each.outcome for each in found if each.rule == rule]
        done = sorted(outcome.test_error for outcome in own if outcome.status == "done")
        middle = done[len(done) // 2] if done else float("nan")
        why += [f"{rule}: {outcome.message}" for outcome in own if outcome.message][:1]
        rows.append((rule, len(done), len(own) - len(done), middle))
    if as_json:
        keys = ("rule", "trained", "failed", "median_test_error")
        table = [dict(zip(keys, row, strict=True)) for row in rows]
        print_json({"folder": str(out), "samples": str(path), "rules": table})
        return
    heads = ["rule", "trained", "failed", "median test error"]
    print_table([heads, *([r, str(n), str(f), percent(e)] for r, n, f, e in rows)])
    for reason in why:
        click.echo(reason)
    click.echo(f"written: {path}")
