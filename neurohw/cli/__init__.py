"""The command line, one file a command group.

Only click is imported here and at the head of those files: everything else is imported inside the
commands, so that `neurohw --help` answers at once.
"""

import os
import sys
from typing import Any, NoReturn

import click

from neurohw.cli.compare import compare
from neurohw.cli.estimate import estimate
from neurohw.cli.evaluate import evaluate
from neurohw.cli.export import export
from neurohw.cli.fit import fit
from neurohw.cli.gradcheck import gradcheck
from neurohw.cli.identify import identify
from neurohw.cli.importing import import_
from neurohw.cli.info import info
from neurohw.cli.listing import listing
from neurohw.cli.new import new
from neurohw.cli.observe import observe
from neurohw.cli.program import program
from neurohw.cli.replay import replay
from neurohw.cli.report import report
from neurohw.cli.settle import settle
from neurohw.cli.spice import spice
from neurohw.cli.sweep import sweep
from neurohw.cli.tolerance import tolerance
from neurohw.cli.train import Interrupted, train
from neurohw.errors import NeurohwError

BAD_INPUT = 2


class OneLineErrors(click.Group):
    """A command group that says what is wrong in one line on standard error."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command and leave with 0, 2 (bad input) or 130 (interrupted)."""
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except NeurohwError as error:
            leave(f"error: {error}", BAD_INPUT)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "neurohw"
            leave(f"error: {error.format_message()} (see {command} --help)", BAD_INPUT)
        except Interrupted as interruption:
            leave(interruption.format_message(), interruption.exit_code)
        except click.Abort:
            leave("interrupted", Interrupted.exit_code)
        except MemoryError as error:
            leave(f"error: too large for the memory of this machine: {error}", BAD_INPUT)
        except OSError as error:
            place = f"{os.fspath(error.filename)}: " if error.filename else ""
            leave(f"error: {place}{error.strerror or error}", BAD_INPUT)
        sys.exit(code if isinstance(code, int) else 0)


def leave(message: str, code: int) -> NoReturn:
    """Print `message` as one line on standard error and leave with `code`."""
    click.echo(" ".join(message.split()), err=True)
    sys.exit(code)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="neurohw", message="neurohw %(version)s")
def main() -> None:
    """Train networks by equilibrium propagation in the physics of a described chip.

    Start with: neurohw train --recipe drn-digits
    """


for command in (
    train,
    evaluate,
    info,
    report,
    listing,
    new,
    spice,
    export,
    import_,
    program,
    settle,
    estimate,
    replay,
    fit,
    gradcheck,
    sweep,
    tolerance,
    compare,
    observe,
    identify,
):
    main.add_command(command)
