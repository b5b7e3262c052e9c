"""Figures of a report as inline SVG whose colours follow the page."""

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator
from numpy.typing import NDArray

from neurohw.datasets import picture_axes
from neurohw.experiments.run_file import Run
from neurohw.reports.summary import Comparison, array_name, labels, window

INK, GRID = "#010101", "#020202"
SERIES = [f"#0300{index:02x}" for index in range(8)]
MARKERS = "osD^vPX*<"
DASHES = ["-", "--", "-.", ":"]
WIDTH, HEIGHT = 4.6, 3.0
BINS = 64
TILES, TILES_ACROSS = 12, 4
# Of units that compete, which are what was learnt.
MANY_TILES, MANY_ACROSS = 100, 10
LARGEST_IMAGE = 256

STYLE: dict[Any, Any] = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "font.size": 10,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "svg.fonttype": "none",
    "svg.hashsalt": "neurohw",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class Drawing:
    """A figure: SVG element, what it shows in words for who cannot see it, and its caption."""

    svg: str
    alt: str
    caption: str


@dataclass
class Draughtsman:
    """Draws the figures of one page, with names inside the SVG that occur once on the page."""

    drawn: int = field(default=0, init=False)

    @contextmanager
    def _figure(
        self, *, legend: int = 0, rows: int = 0
    ) -> Iterator[tuple[Figure, Axes, list[str]]]:
        height = 0.6 + 0.4 * rows if rows else HEIGHT
        height += 0.2 * (max(legend - 1, 0) // 2)
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(WIDTH, height), layout="constrained")
            svg: list[str] = []
            yield figure, figure.add_subplot(), svg
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", dpi=200, metadata={"Date": None})
        self.drawn += 1
        svg.append(_inline(buffer.getvalue(), f"f{self.drawn}-"))

    def error(self, runs: Sequence[Run], key: str, what: str) -> Drawing:
        """Draw one error of all runs against the epoch."""
        curves = [np.asarray(run.history[key], dtype=np.float64) for run in runs]
        with self._figure(legend=len(runs)) as (figure, axes, svg):
            for index, (curve, label) in enumerate(zip(curves, labels(runs), strict=True)):
                axes.plot(
                    np.arange(1, curve.size + 1), curve, label=label, **_series(index, curve.size)
                )
            _percent_axis(axes, np.concatenate(curves))
            _epoch_axis(axes, max(curve.size for curve in curves))
            axes.set_ylabel(what)
            figure.legend(loc="outside upper left", ncols=2)
        last = "; ".join(
            f"{label} {100 * curve[-1]:.2f} % after epoch {curve.size}"
            for curve, label in zip(curves, labels(runs), strict=True)
            if curve.size
        )
        return Drawing(svg[0], f"{what} by epoch. {last}.", f"{what} after each epoch.")

    def gap(self, comparisons: Sequence[Comparison], indices: Sequence[int]) -> Drawing:
        """Draw the gaps to the reference; `indices` are the places of the runs among all."""
        with self._figure(legend=len(comparisons)) as (figure, axes, svg):
            axes.axhline(0, color=INK, linewidth=1)
            axes.axhline(1, color=INK, linewidth=1, linestyle=":")
            for comparison, index in zip(comparisons, indices, strict=True):
                points = 100 * comparison.gap
                style = _series(index, points.size)
                axes.plot(comparison.epochs, points, label=comparison.label, **style)
            _epoch_axis(axes, max(comparison.epochs.size for comparison in comparisons))
            axes.set_ylabel("gap (percentage points)")
            figure.legend(loc="outside upper left", ncols=2)
        words = " ".join(comparison.words for comparison in comparisons)
        caption = "Test error less that of the reference; dotted: one percentage point."
        return Drawing(svg[0], f"Gap of test errors by epoch. {words}", caption)

    def shares(self, bars: Mapping[str, Mapping[str, float]], unit: str, what: str) -> Drawing:
        """Draw for each bar the shares of its classes, in [unit], with the total beside it.

        Shares and not sizes, because totals and classes differ by powers of ten.
        """
        classes = list(next(iter(bars.values())))
        totals = {name: sum(values.values()) for name, values in bars.items()}
        shown = EngFormatter(unit, places=1)
        with self._figure(legend=len(classes), rows=len(bars)) as (figure, axes, svg):
            left = np.zeros(len(bars))
            for index, key in enumerate(classes):
                parts = np.array([bars[name][key] / (totals[name] or 1.0) for name in bars])
                axes.barh(list(bars), parts, left=left, color=_colour(index), label=key)
                left += parts
            for row, total in enumerate(totals.values()):
                axes.annotate(
                    shown(total), (1.0, row), (4, 0), textcoords="offset points", va="center"
                )
            axes.invert_yaxis()
            axes.grid(False, axis="y")
            axes.set_xlim(0, 1)
            axes.xaxis.set_major_formatter(FuncFormatter(_percent_tick))
            figure.legend(loc="outside upper left", ncols=4)
        largest = "; ".join(
            f"{name} {shown(totals[name])}, most of it {max(values, key=values.__getitem__)}"
            for name, values in bars.items()
        )
        caption = f"{what}: shares by class; beside each bar the total."
        return Drawing(svg[0], f"{what} by class. {largest}.", caption)

    def map(self, run: Run, index: int) -> Drawing:
        """Draw an array: receptive fields of some units where the inputs are a picture, else all.

        Where inputs are pairs +x and −x, the second half is −x and a field shows the difference.
        """
        shape = _picture_shape(run, index)
        with self._figure() as (figure, axes, svg):
            draw = _draw_cells if shape is None else _draw_fields
            drawn, caption = draw(axes, run, index)
            unit = "" if shape is not None and _competes(run, index) else "S"
            bar = figure.colorbar(drawn, ax=axes, format=EngFormatter(unit), shrink=0.9)
            if bar.solids is not None:
                bar.solids.set_rasterized(True)
            bar.outline.set_visible(False)
            bar.locator = MaxNLocator(4)
        return Drawing(svg[0], f"Conductance map. {caption}", caption)

    def histogram(self, run: Run, index: int, series: int) -> Drawing:
        """Draw how the conductances of an array lie between the limits of the device."""
        conductance = run.arrays[index]["conductance"]
        lowest, highest = float(conductance.min()), float(conductance.max())
        limits = [limit for limit in window(run, index) if np.isfinite(limit)]
        bounds = (min([lowest, *limits]), max([highest, *limits]))
        if bounds[0] == bounds[1]:
            bounds = (bounds[0], bounds[0] + 1.0)
        counts, edges = np.histogram(conductance, BINS, range=bounds)
        with self._figure() as (_, axes, svg):
            axes.stairs(counts / conductance.size, edges, fill=True, color=_colour(series))
            for limit, name in zip(limits, ("g min", "g max"), strict=False):
                axes.axvline(limit, color=INK, linestyle="--", linewidth=1)
                axes.annotate(
                    name,
                    (limit, 1.01),
                    xycoords=("data", "axes fraction"),
                    ha="left" if name == "g min" else "right",
                )
            _logarithmic(axes, steps=bool(counts.max() < 100 * counts[counts > 0].min()))
            axes.xaxis.set_major_formatter(EngFormatter("S"))
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.set_xlabel("conductance")
            axes.set_ylabel("share of cells")
        caption = f"{array_name(run, index)}: conductances; dashed: limits of the device."
        shown = EngFormatter("S")
        alt = f"Histogram. {caption} Smallest {shown(lowest)}, largest {shown(highest)}."
        return Drawing(svg[0], alt, caption)


def _draw_fields(axes: Axes, run: Run, index: int) -> tuple[ScalarMappable, str]:
    """Draw the receptive fields of some units; return what a colour bar is of, and the caption."""
    conductance, shape = run.arrays[index]["conductance"], _picture_shape(run, index)
    assert shape is not None
    less = " from +x less that from −x" if run.experiment.lines_per_pixel == 2 else ""
    what, tiles = f"conductance{less}", (TILES, TILES_ACROSS)
    if _competes(run, index):
        # Those that win and those that never did are of very unlike sizes.
        largest = np.abs(conductance).max(axis=1, keepdims=True)
        conductance = conductance / np.maximum(largest, np.finfo(conductance.dtype).tiny)
        what, tiles = "weights, each unit relative to its largest", (MANY_TILES, MANY_ACROSS)
    image, shown = receptive_fields(conductance, shape, *tiles)
    limit = float(np.nanpercentile(np.abs(image), 99.5)) or 1.0
    drawn: ScalarMappable
    if image.ndim == 2:
        drawn = axes.imshow(image, cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="none")
        colours = ""
    else:
        gap = np.isnan(image[..., :1])
        rgb = np.where(gap, 0.0, np.clip(0.5 + 0.5 * image / limit, 0.0, 1.0))
        axes.imshow(np.concatenate([rgb, ~gap], axis=2), interpolation="none")
        drawn = ScalarMappable(Normalize(-limit, limit), "gray")
        colours = " in colour: the bar is that of each channel, grey is 0"
    axes.set_axis_off()
    rows, columns = (shape[axis] for axis in picture_axes(shape) or ())
    return drawn, (
        f"{array_name(run, index)}: {shown} of {len(conductance)} units, {what}, as"
        f" {rows} × {columns} images{colours}."
    )


def _draw_cells(axes: Axes, run: Run, index: int) -> tuple[ScalarMappable, str]:
    """Draw all cells, or evenly spaced ones; return what a colour bar is of, and the caption."""
    conductance = run.arrays[index]["conductance"]
    units, inputs = conductance.shape
    down = -(-units // LARGEST_IMAGE)
    across = -(-inputs // LARGEST_IMAGE)
    low, high = window(run, index)
    image = conductance[::down, ::across]
    drawn = axes.imshow(
        image,
        cmap="cividis",
        vmin=low if np.isfinite(low) else float(conductance.min()),
        vmax=high if np.isfinite(high) else float(conductance.max()),
        aspect="auto",
        interpolation="none",
        extent=(0.5, inputs + 0.5, units + 0.5, 0.5),
    )
    axes.grid(False)
    axes.set_xlabel("input")
    axes.set_ylabel("unit")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    return drawn, (
        f"{array_name(run, index)}: conductance of {image.shape[0]} × {image.shape[1]} "
        f"evenly spaced cells of {units} × {inputs}."
        if image.size < conductance.size
        else f"{array_name(run, index)}: conductance of every cell."
    )


def _picture_shape(run: Run, index: int) -> tuple[int, ...] | None:
    """Return the shape of the pictures at the inputs of an array, None where there are none.

    Those of a convolution are its kernels.
    """
    convolutions = run.experiment.network.convolutions
    if convolutions and index == 0:
        kernel = convolutions[0].kernel
        depth = run.arrays[0]["conductance"].shape[1] // kernel**2
        kept = (kernel, kernel) if depth == 1 else (kernel, kernel, depth)
        return kept if picture_axes(kept) == (0, 1) and kernel > 1 else None
    pixels, rest = divmod(run.arrays[index]["conductance"].shape[1], run.experiment.lines_per_pixel)
    side = math.isqrt(pixels)
    # Run files of earlier versions do not hold the shape.
    shape = run.image_shape or (side, side)
    axes = picture_axes(shape)
    if index or rest or math.prod(shape) != pixels or axes is None:
        return None
    return shape if min(shape[axis] for axis in axes) > 1 else None


def _competes(run: Run, index: int) -> bool:
    """Whether the units of an array learnt by competing."""
    return run.experiment.learning.competition is not None and index + 1 < len(run.arrays)


def receptive_fields(
    conductance: NDArray[Any], shape: tuple[int, ...], tiles: int, across: int
) -> tuple[NDArray[Any], int]:
    """Tile the fields of evenly spaced units, so many across; the gaps between them are NaN.

    Images of more than one channel give (rows, columns, channels), others (rows, columns).
    """
    chosen = np.unique(np.linspace(0, len(conductance) - 1, tiles).astype(int))
    half = math.prod(shape)
    fields = conductance[chosen, :half].astype(np.float64)
    if conductance.shape[1] > half:
        fields -= conductance[chosen, half:]
    fields = np.moveaxis(
        fields.reshape(-1, *shape), [1 + axis for axis in picture_axes(shape) or ()], (1, 2)
    )
    fields = fields[..., 0] if fields.shape[3:] == (1,) else fields
    height, width = fields.shape[1:3]
    down = -(-chosen.size // across)
    rows, columns = down * (height + 1) - 1, across * (width + 1) - 1
    image = np.full((rows, columns, *fields.shape[3:]), np.nan)
    for place, picture in enumerate(fields):
        row, column = divmod(place, across)
        top, left = (height + 1) * row, (width + 1) * column
        image[top : top + height, left : left + width] = picture
    return image, chosen.size


def _series(index: int, points: int) -> dict[str, Any]:
    """Colour, marker and dashes: 72 different ones, of which 9 differ in grey too."""
    marker = MARKERS[index % len(MARKERS)]
    dashes = DASHES[index % len(DASHES)]
    every = 1 + points // 15
    return {"color": _colour(index), "marker": marker, "linestyle": dashes, "markevery": every}


def _colour(index: int) -> str:
    return SERIES[index % len(SERIES)]


def _percent_tick(value: float, _: object = None) -> str:
    return f"{100 * value:.6g} %"


def _percent_axis(axes: Axes, values: NDArray[np.float64]) -> None:
    """Show fractions in percent, on a logarithmic axis where they span more than a factor of 4."""
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() > 4 * values.min():
        _logarithmic(axes, steps=True)
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(_percent_tick))


def _logarithmic(axes: Axes, *, steps: bool) -> None:
    """Label powers of ten in percent, or in between too, at 2 and 5."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if steps else (1,)))
    axes.yaxis.set_minor_locator(LogLocator(subs=()))
    axes.yaxis.set_major_formatter(FuncFormatter(_percent_tick))


def _epoch_axis(axes: Axes, epochs: int) -> None:
    axes.set_xlabel("epoch")
    axes.set_xlim(0.8, max(epochs, 2) + 0.2)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def _inline(document: str, prefix: str) -> str:
    """Cut the SVG element out, scale it with the page, and give its parts names of their own."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg[^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">', svg, count=1)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = svg.replace('xlink:href="', 'href="').replace('href="#', f'href="#{prefix}')
    svg = svg.replace("url(#", f"url(#{prefix}")
    for name, colour in [("ink", INK), ("grid", GRID), *_named_series()]:
        svg = svg.replace(colour, f"var(--{name})")
    return svg


def _named_series() -> list[tuple[str, str]]:
    return [(f"series-{index}", colour) for index, colour in enumerate(SERIES)]
