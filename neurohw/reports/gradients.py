"""Figure of how near a chip's updates come to the exact gradient, against the nudging."""

import html as escape
import io
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurohw.errors import RunFileError
from neurohw.experiments.gradient_check import Check, Point, Setting
from neurohw.experiments.run_file import check_writable
from neurohw.reports import html, pictures
from neurohw.reports.settling import STYLE

FORMATS = (".html", *pictures.FORMATS)
COLOURS = ["#1f5fa8", "#c2571a", "#2e8540", "#8a3ea8", "#7a6a1a", "#b0305c", "#3aa0a8", "#555555"]
# Rounding; anything smaller is drawn here, since 0 has no place on a logarithmic axis.
_LEAST = 1e-16


def require_format(out: Path) -> None:
    """Raise `RunFileError` unless a figure can be written there."""
    if out.suffix not in FORMATS:
        raise RunFileError(f"{out}: a figure is one of {', '.join(FORMATS)}")
    check_writable(out)


def label(found: Check, setting: Setting) -> str:
    """Return what tells a curve from the others; the variant, where nothing does."""
    words = []
    if len({p.setting.variant for p in found.points}) > 1 or setting.value is None:
        words.append(setting.variant)
    if setting.value is not None:
        words.append(f"{found.key} = {setting.value}")
    if len({(p.setting.free_sweeps, p.setting.nudged_sweeps) for p in found.points}) > 1:
        words.append(f"{setting.free_sweeps}/{setting.nudged_sweeps} sweeps")
    return ", ".join(words)


def draw(found: Check, out: Path) -> Path:
    """Write the figure and return its path; the suffix says which of `FORMATS` it is.

    Raises
    ------
    RunFileError
        Another suffix, or a place that cannot be written.
    """
    require_format(out)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.8 + 0.2 * ((len(found.curves) - 1) // 2)))
        figure.set_layout_engine("constrained")
        whole, parts, layers = figure.subplots(1, 3)
        for k, (setting, points) in enumerate(found.curves.items()):
            colour = COLOURS[k % len(COLOURS)]
            _angle(whole, points, found.best.get(setting), colour, label(found, setting))
            _errors(parts, points, colour)
        figure.legend(*whole.get_legend_handles_labels(), loc="outside upper left", ncols=2)
        setting, points = list(found.curves.items())[-1]
        _layers(layers, points, label(found, setting))
        whole.set_title("1 − cosine of update and gradient (○ best)")
        parts.set_title("Bias (dashed) and spread (dotted), relative")
        layers.set_title("1 − cosine, array by array")
        for axes in (whole, parts, layers):
            axes.set_xscale("log")
            if any(np.nanmax(line.get_ydata(), initial=0.0) > 0 for line in axes.lines):
                axes.set_yscale("log")
            axes.set_xlabel("nudging β")
        if out.suffix == ".html":
            return html.save(_page(found, figure), out)
        return pictures.save(figure, out)


def _angle(axes: Axes, points: list[Point], best: Point | None, colour: str, name: str) -> None:
    """Draw 1 − cos of a setting, with its best nudging marked if it has one."""
    values = [max(p.overall.one_minus_cosine, _LEAST) for p in points]
    axes.plot([p.nudging for p in points], values, "o-", markersize=3, color=colour, label=name)
    if best is None:
        return
    least = max(best.overall.one_minus_cosine, _LEAST)
    axes.plot(best.nudging, least, "o", markersize=9, markerfacecolor="none", color=colour)


def _errors(axes: Axes, points: list[Point], colour: str) -> None:
    """Draw bias and spread of a setting, but where they are 0 or mean nothing."""
    betas = [p.nudging for p in points]
    for key, style in (("bias", "o--"), ("spread", "o:")):
        values = np.array([getattr(p.overall, key) for p in points])
        shown = np.where(values > 0, values, np.nan)
        axes.plot(betas, shown, style, markersize=3, color=colour)


def _layers(axes: Axes, points: list[Point], name: str) -> None:
    """Draw 1 − cos of each array of a setting."""
    betas = [p.nudging for p in points]
    for k in range(len(points[0].layers)):
        values = [max(p.layers[k].one_minus_cosine, _LEAST) for p in points]
        axes.plot(betas, values, color=COLOURS[k % len(COLOURS)], label=f"array {k + 1}")
    axes.legend(title=name, title_fontsize=8, fontsize=8)


def _page(found: Check, figure: Figure) -> str:
    """Return a page that holds the figure and says what the best nudgings are."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    experiment = found.experiment
    title = f"Gradient of {experiment.recipe} on {experiment.chip.name}"
    rows = "".join(
        f"<li>{escape.escape(label(found, setting))}: best β = {best.nudging:.4g},"
        f" 1 − cos = {best.overall.one_minus_cosine:.3g},"
        f" relative error {best.overall.relative_error:.3g}</li>\n"
        for setting, best in found.best.items()
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>{escape.escape(title)}</title>\n"
        "<style>body{font-family:sans-serif;max-width:75em;margin:2em auto;padding:0 1em}"
        "svg{width:100%;height:auto}</style>\n"
        f"<h1>{escape.escape(title)}</h1>\n"
        f"<p>{found.samples} samples in mini-batches of {found.mini_batch}, against the exact"
        " gradient by implicit differentiation. Written by neurohw.</p>\n"
        f"<ul>\n{rows}</ul>\n{svg[svg.index('<svg') :]}</html>\n"
    )
