"""Report on a comparison of learning rules: errors, costs, needs, learning curves and angles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from neurohw.errors import RunFileError
from neurohw.experiments.run_file import check_writable
from neurohw.experiments.studies.comparison import Comparison, Entry
from neurohw.reports import html, pictures
from neurohw.reports.figures import DASHES, MARKERS, SERIES, Draughtsman, Drawing
from neurohw.reports.gradients import COLOURS
from neurohw.reports.settling import STYLE
from neurohw.reports.summary import Table, percent
from neurohw.units import show

FORMATS = (".html", *pictures.FORMATS)


def require_format(out: Path) -> None:
    """Raise `RunFileError` unless a report can be written there."""
    if out.suffix not in FORMATS:
        raise RunFileError(f"{out}: a comparison is one of {', '.join(FORMATS)}")
    check_writable(out)


def write(found: Comparison, out: Path) -> Path:
    """Write the page, or with another suffix the picture of curves and angles alone.

    Raises
    ------
    RunFileError
        Another suffix than those of `FORMATS`, or a place that cannot be written.
    """
    require_format(out)
    if out.suffix == ".html":
        return html.save(render(found), out)
    chips = found.plan.chips
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.8 * len(chips)), layout="constrained")
        drawn = figure.subplots(len(chips), 2, squeeze=False)
        for (left, right), chip in zip(drawn, chips, strict=True):
            _errors(left, _trained(found.of(chip)), COLOURS)
            left.set_title(chip)
            left.legend(fontsize=8)
            _angles(right, _trained(found.of(chip)), COLOURS)
        return pictures.save(figure, out)


def results(found: Comparison) -> Table:
    """Return a row for each rule and chip: error, how soon the target is reached, costs."""
    plan = found.plan
    reached = f"to {100 * (1 - plan.target):g} %"
    heads = ("rule", "chip", "test error", f"samples {reached}", f"time {reached}",
             "energy a run", "energy a sample", "rates")  # fmt: skip
    return Table(heads, [_row(entry, plan.target) for entry in found.entries])


def needs(found: Comparison) -> Table:
    """Return a row for each rule: what hardware it needs."""
    heads = ("rule", "weights backwards", "symmetry", "phases", "numbers a unit", "to all units",
             "at a synapse")  # fmt: skip
    rows = {
        entry.rule: (
            entry.rule,
            entry.hardware.transport,
            entry.hardware.symmetry,
            ", ".join(entry.hardware.phases),
            str(entry.hardware.memory),
            entry.hardware.broadcast or "–",
            entry.hardware.local,
        )
        for entry in found.entries
    }
    return Table(heads, list(rows.values()))


def notes(found: Comparison) -> list[str]:
    """Return what a reader must know, in sentences."""
    plan = found.plan
    lines = [
        f"{plan.dataset}, hidden layers {'-'.join(map(str, plan.hidden))}, mini-batches of"
        f" {plan.batch}, {plan.epochs} epochs, {len(plan.seeds)} seeds; ± is their standard"
        " deviation.",
        "Learning rates: those of the rule's recipe times the factor with the least error on a"
        f" sixth of the training images, held out, after {plan.search_epochs}"
        f" {'epoch' if plan.search_epochs == 1 else 'epochs'} with one seed (more where layers"
        " learn one after the other): 1/3, 1, 3, and further where the best is at an end. The test"
        " set plays no part.",
        *(
            ["Networks are alike: sigmoids and squared error where a rule can have them."]
            if plan.alike
            else []
        ),
        *(f"Changed: {setting}." for setting in plan.settings),
    ]
    short = sorted({entry.short for entry in found.entries if entry.short})
    if short:
        lines.append(
            f"Energies take the pulses of the first {' or '.join(map(str, short))} samples for"
            " those of all: errors are largest there, so that a run takes less."
        )
    left = dict.fromkeys(part for entry in found.entries for part in entry.not_counted)
    if left:
        lines.append(f"Energies and times do not count {'; '.join(left)}.")
    for entry in found.entries:
        if entry.message:
            lines.append(f"{entry.rule} on {entry.chip} did not run: {entry.message}.")
        elif entry.estimate_message:
            lines.append(f"{entry.rule} on {entry.chip}: no costs: {entry.estimate_message}.")
    return lines


def searches(found: Comparison) -> Table:
    """Return a row for each rule and chip: error on held-out images by factor on the rates."""
    rows = [
        (
            e.rule,
            e.chip,
            e.network,
            e.activation,
            ", ".join(f"× {factor}: {percent(error)}" for factor, error in e.searched.items()),
        )
        for e in found.entries
        if e.searched
    ]
    return Table(("rule", "chip", "network", "activations", "held-out error"), rows)


def render(found: Comparison) -> str:
    """Text of the page."""
    pen = _Draughtsman()
    drawings = []
    for chip in found.plan.chips:
        entries = _trained(found.of(chip))
        if entries:
            drawings.append(pen.errors(chip, entries))
        if any(entry.angles for entry in entries):
            drawings.append(pen.angles(chip, entries))
    return html.fill(
        "comparison.html.j2",
        title="Learning rules",
        chips=", ".join(found.plan.chips),
        notes=notes(found),
        results=results(found),
        drawings=drawings,
        needs=needs(found),
        searches=searches(found),
    )


class _Draughtsman(Draughtsman):
    def errors(self, chip: str, entries: Sequence[Entry]) -> Drawing:
        """Draw the mean test error of each rule by epoch."""
        with self._figure(legend=len(entries)) as (figure, axes, svg):
            _errors(axes, entries, SERIES)
            figure.legend(loc="outside upper left", ncols=2)
        words = "; ".join(f"{e.rule} {percent(e.mean)}" for e in entries)
        caption = f"Chip {chip}: mean test error of the seeds after each epoch, with their range."
        return Drawing(svg[0], f"Test error by epoch on {chip}. At the end {words}.", caption)

    def angles(self, chip: str, entries: Sequence[Entry]) -> Drawing:
        """Draw the angle of the first hidden layer's errors by epoch."""
        entries = [entry for entry in entries if entry.angles]
        with self._figure(legend=len(entries)) as (figure, axes, svg):
            _angles(axes, entries, SERIES)
            figure.legend(loc="outside upper left", ncols=2)
        words = "; ".join(f"{e.rule} {e.angles[0][-1]:.0f} degrees" for e in entries)
        caption = (
            f"Chip {chip}: mean angle between the errors of the first hidden layer and those of"
            " backpropagation through the weights as they are; epoch 0 is before training."
        )
        return Drawing(svg[0], f"Angle by epoch on {chip}. At the end {words}.", caption)


def _errors(axes: Axes, entries: Sequence[Entry], colours: Sequence[str]) -> None:
    for k, entry in enumerate(entries):
        errors = 100 * np.array(entry.errors)
        epochs = np.arange(1, errors.shape[1] + 1)
        colour = colours[k % len(colours)]
        axes.fill_between(epochs, errors.min(0), errors.max(0), color=colour, alpha=0.2, lw=0)
        axes.plot(epochs, errors.mean(axis=0), label=entry.rule, **_style(k, colours))
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("test error (%)")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(which="minor", labelsize=7)


def _angles(axes: Axes, entries: Sequence[Entry], colours: Sequence[str]) -> None:
    for k, entry in enumerate(entries):
        if entry.angles:
            axes.plot(entry.angles[0], label=entry.rule, **_style(k, colours))
    axes.axhline(90, color="#808080", linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("angle to backpropagation (°)")


def _style(k: int, colours: Sequence[str]) -> dict[str, Any]:
    """Return what tells a rule's curve from the others; dashed once colours repeat."""
    return {
        "color": colours[k % len(colours)],
        "marker": MARKERS[k % len(MARKERS)],
        "linestyle": DASHES[k // len(colours) % len(DASHES)],
    }


def _trained(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.errors]


def _row(entry: Entry, target: float) -> tuple[str, ...]:
    if not entry.errors:
        return (entry.rule, entry.chip, "–", "–", "–", "–", "–", "–")
    samples = entry.samples_to(target)
    never = "not reached" if np.isnan(samples) else ""
    spread = "" if np.isnan(entry.deviation) else f" ± {100 * entry.deviation:.2f}"
    return (
        entry.rule,
        entry.chip,
        f"{100 * entry.mean:.2f}{spread} %",
        never or f"{samples:,.0f}",
        never or _amount(samples * entry.time, "s"),
        _amount(entry.trained * entry.energy, "J"),
        _amount(entry.energy, "J"),
        ", ".join(f"{rate:.3g}" for rate in entry.rates),
    )


def _amount(value: float, unit: str) -> str:
    return "–" if np.isnan(value) else show(float(f"{value:.3g}"), unit)
