"""Figure of how a circuit settles: voltages of one sample in both phases, times of all."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from neurohw.engines.transient.settling import Settling
from neurohw.errors import RunFileError
from neurohw.experiments.run_file import check_writable
from neurohw.experiments.settling import Phases
from neurohw.reports import pictures

HIDDEN, OUTPUT, CHOSEN = "#9aa5b1", "#c2571a", "#1f5fa8"
STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "font.size": 9,
    "grid.color": "#e3e6ea",
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "neurohw",
}


def draw(phases: Phases, out: Path, sample: int = 0) -> Path:
    """Write the figure and return its path; the suffix says which of `pictures.FORMATS` it is.

    Raises
    ------
    RunFileError
        Another suffix, or a place that cannot be written.
    """
    if out.suffix not in pictures.FORMATS:
        raise RunFileError(f"{out}: a figure is one of {', '.join(pictures.FORMATS)}")
    check_writable(out)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.4), layout="constrained")
        free, nudged, times = figure.subplots(1, 3)
        _lines(free, phases.free, sample, offset=False)
        free.set_title("Free phase, one sample")
        free.set_ylabel("node voltage")
        _lines(nudged, phases.nudged, sample, offset=True)
        nudged.set_title("Nudged phase, same sample")
        nudged.set_ylabel("change since the free phase")
        _histogram(times, phases)
        return pictures.save(figure, out)


def _lines(axes: Axes, phase: Settling, sample: int, *, offset: bool) -> None:
    """Draw all nodes of a sample; the output that is largest in the end stands out."""
    chosen = int(phase.voltages[-1][sample, -1].argmax())
    times = np.concatenate(([0.0], phase.times))
    for k, layer in enumerate(phase.voltages):
        begun = phase.start[k][sample]
        lines = np.vstack((begun, layer[sample])) - (begun if offset else 0.0)
        last = k + 1 == len(phase.voltages)
        for j, line in enumerate(lines.T):
            colour = (CHOSEN if j == chosen else OUTPUT) if last else HIDDEN
            name = ("largest output" if j == chosen else "other outputs") if last else "hidden"
            width = 2.0 if last and j == chosen else 1.0 if last else 0.6
            axes.plot(times, line, color=colour, linewidth=width, label=name)
    if not offset:
        shown = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend(shown.values(), shown.keys(), loc="best")
    settled = phase.settled_at[sample]
    if np.isfinite(settled):
        axes.axvline(settled, color="black", linestyle=":", linewidth=1)
    axes.set_xlim(0, phase.times[-1])
    axes.set_xlabel("time" + (" (dotted: settled)" if np.isfinite(settled) else ""))
    _engineering(axes)
    axes.yaxis.set_major_formatter(EngFormatter("V"))


def _histogram(axes: Axes, phases: Phases) -> None:
    both = [phases.free.settled_at, phases.nudged.settled_at]
    finite = [times[np.isfinite(times)] for times in both]
    names = []
    for name, times, kept in zip(("free", "nudged"), both, finite, strict=True):
        missing = len(times) - len(kept)
        names.append(f"{name}, {missing} not settled" if missing else name)
    longest = max((float(kept.max()) for kept in finite if len(kept)), default=1.0)
    axes.hist(
        finite, bins=np.linspace(0, longest, 21).tolist(), color=[CHOSEN, OUTPUT], label=names
    )
    axes.set_title(f"Time to settle within {100 * phases.within:g} %")
    axes.set_xlabel("time")
    axes.set_ylabel("samples")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    _engineering(axes)


def _engineering(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter("s"))
