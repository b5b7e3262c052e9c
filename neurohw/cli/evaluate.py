"""`neurohw evaluate`: measure the errors of a trained run, on its chip or on another."""

from pathlib import Path

import click

from neurohw.cli.output import print_summary, print_table, print_warning, summary


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="RUN.h5")
@click.option("--chip", metavar="NAME|FILE", help="Chip to run on.  [default: the run's]")
@click.option(
    "--after",
    metavar="TIMES",
    help='Also measure after such times, as in "1 s, 1 h, 1 d", with the drift of the device.',
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object; its train_error is that after training.",
)
def evaluate(path: Path, chip: str | None, after: str | None, as_json: bool) -> None:
    """Measure the errors of a trained network on the training and the test images.

    On another chip the network is written into fresh cells, each as near as it can come; bias
    currents that the chip has no sources for are left out.
    """
    from neurohw.experiments import evaluation, run_file
    from neurohw.mappings import chip_specification
    from neurohw.units import durations

    times = [] if after is None else durations(after)
    run = run_file.load(path)
    other = None if chip is None else chip_specification.load(chip)
    result = summary(run, path) | evaluation.evaluate(run, chip=other, warn=print_warning)
    if other is not None:
        result["chip"] = other.name
    drifted = []
    if times:
        drifted = evaluation.evaluate_after(run, times, chip=other, warn=print_warning)
    if as_json and drifted:
        result["after"] = drifted
    print_summary(result, as_json)
    if drifted and not as_json:
        from neurohw.reports.summary import percent

        rows = [
            (word.strip(), percent(row["train_error"]), percent(row["test_error"]))
            for word, row in zip(str(after).split(","), drifted, strict=True)
        ]
        print_table([("after", "train error", "test error"), *rows], "  ")
