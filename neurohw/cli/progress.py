"""The live line of a training run, with one line that stays for each epoch, and of a study."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

from neurohw.reports.summary import percent

if TYPE_CHECKING:
    from neurohw.experiments.run_file import Run
    from neurohw.experiments.studies.sweep import Progress as StudyProgress
    from neurohw.experiments.trainer import Progress


@contextmanager
def terminable() -> Iterator[None]:
    """Let a termination signal interrupt as Ctrl-C does, so that worker processes end too."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class ProgressLine:
    """Shows how a training run stands, on standard error.

    A terminal gets a line that is redrawn; anything else (a log, a pipe) only the line that
    stays for each epoch.

    Parameters
    ----------
    stream : text file
    interval : float [s]
        Least time between two redraws.
    """

    def __init__(self, stream: TextIO, interval: float = 0.1) -> None:
        self._stream = stream
        self._last: Progress | None = None
        self._bar = _bar(stream, miniters=0, mininterval=interval)

    def __call__(self, progress: "Progress") -> None:
        """Show `progress`, and the epoch before once it is over."""
        last, self._last = self._last, progress
        if last is not None and progress.epoch > last.epoch:
            self._keep(last, last.train_error, progress.test_error)
        self._bar.total = max(progress.epochs * progress.steps, 1)
        self._bar.set_description_str(_status(progress), refresh=False)
        done = (progress.epoch - 1) * progress.steps + progress.step
        self._bar.update(done - self._bar.n)

    def finish(self, run: "Run") -> None:
        """Show the last epoch as the run file has it."""
        if self._last is not None:
            history = run.history
            self._keep(self._last, float(history["train_error"][-1]), history["test_error"][-1])
        self.close()

    def close(self) -> None:
        """Take the live line off the terminal."""
        self._bar.close()

    def _keep(self, progress: "Progress", train_error: float, test_error: float | None) -> None:
        self._bar.clear()
        print(
            f"epoch {progress.epoch}/{progress.epochs}"
            f"  train error {percent(train_error)}  test error {percent(test_error)}"
            f"  {progress.samples_per_second:,.0f} samples/s",
            file=self._stream,
            flush=True,
        )


class StudyLine:
    """Shows how a study stands, on standard error; a log or pipe gets a line for each tenth.

    Parameters
    ----------
    stream : text file
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tenth = -1
        self._bar = _bar(stream, miniters=0)

    def __call__(self, progress: "StudyProgress") -> None:
        """Show `progress`."""
        text = (
            f"{progress.done}/{progress.jobs} runs, {progress.running} running,"
            f" {progress.failed} failed  test error {percent(progress.best)} to"
            f" {percent(progress.worst)}  {_minutes(progress.seconds_left)} left"
        )
        if self._bar.disable:
            tenth = 10 * progress.done // max(progress.jobs, 1)
            if tenth != self._tenth:
                self._tenth = tenth
                print(text, file=self._stream, flush=True)
            return
        self._bar.total = max(progress.jobs, 1)
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(progress.done - self._bar.n)
        self._bar.refresh()

    def count(self, done: int, total: int) -> None:
        """Show how far the costs of what has run are estimated; a log gets one line."""
        if not self._bar.disable:
            self._bar.set_description_str(f"costs and angles: {done}/{total}")
        elif done == 0:
            print(f"costs and angles of {total}", file=self._stream, flush=True)

    def close(self) -> None:
        """Take the live line off the terminal."""
        self._bar.close()


class CellsLine:
    """Shows how many cells were written, or read, on a terminal.

    Parameters
    ----------
    stream : text file
    cells : int, optional
        All of them, where that is known.
    what : str
        Is being done with them.
    """

    def __init__(self, stream: TextIO, cells: int | None, what: str) -> None:
        self._bar = _bar(
            stream, desc=what, bar_format=None, total=cells, unit=" cells", unit_scale=True
        )

    def __call__(self, cells: int) -> None:
        """Count further cells."""
        self._bar.update(cells)

    def close(self) -> None:
        """Take the line off the terminal."""
        self._bar.close()


class PartsLine:
    """Shows which part of a longer computation is under way; a log or pipe gets a line for each.

    Parameters
    ----------
    stream : text file
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar = _bar(stream, bar_format="|{bar:5}| {desc} {elapsed}")

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show what is done now, with so many parts done of all."""
        if self._bar.disable:
            print(f"{done}/{total} {what}", file=self._stream, flush=True)
            return
        self._bar.total = total
        self._bar.set_description_str(what, refresh=False)
        self._bar.n = done
        self._bar.refresh()

    def close(self) -> None:
        """Take the line off the terminal."""
        self._bar.close()


@contextmanager
def share_line(stream: TextIO) -> Iterator[Callable[[str, float], None]]:
    """Give a function that shows what is being done, and the share that is; after two seconds."""
    with _bar(stream, bar_format="|{bar:20}| {desc}", delay=2) as bar:

        def told(what: str, share: float) -> None:
            bar.set_description_str(what, refresh=False)
            bar.update(share - bar.n)

        yield told


def _bar(stream: TextIO, **options: Any) -> Any:
    """Return a bar that a terminal alone gets, and that leaves nothing behind."""
    defaults = {"desc": "starting", "bar_format": "|{bar:5}| {desc}", "total": 1}
    return tqdm(
        file=stream,
        disable=not stream.isatty(),
        leave=False,
        dynamic_ncols=True,
        **defaults | options,
    )


def _minutes(seconds: float) -> str:
    """Return a time in hours, minutes and seconds; a dash for one that is not known."""
    if seconds != seconds:
        return "–"
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _status(progress: "Progress") -> str:
    """Return the text of the live line; with the bar it fits 80 columns."""
    left = (
        f"{_minutes(progress.seconds_left)} left"
        if progress.phase == "training"
        else progress.phase
    )
    return (
        f"epoch {progress.epoch}/{progress.epochs}"
        f"  train error {percent(progress.train_error)}, test {percent(progress.test_error)}"
        f"  {progress.samples_per_second:,.0f} samples/s  {left}"
    )
