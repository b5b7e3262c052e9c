"""Report on a study: tolerance curves and limits, maps of two axes, parallel view, sensitivities.

A folder of a study gets the page, and its table as CSV and as HDF5.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from neurohw.errors import RunFileError
from neurohw.experiments.run_file import check_writable
from neurohw.experiments.studies import limits, sweep
from neurohw.experiments.studies import study as studies
from neurohw.experiments.studies import table as tables
from neurohw.experiments.studies.axes import Axis, Cases, Grid
from neurohw.experiments.studies.limits import Tolerance, logarithmic, tolerances
from neurohw.experiments.studies.sensitivity import sensitivities
from neurohw.experiments.studies.study import Study
from neurohw.experiments.studies.tolerance import Tolerances
from neurohw.reports import html, pictures, settling
from neurohw.reports.figures import DASHES, INK, MARKERS, SERIES, Draughtsman, Drawing
from neurohw.reports.gradients import COLOURS
from neurohw.reports.summary import Table, percent

Array = NDArray[np.float64]

Curve = Tolerance | limits.Band

FORMATS = (".html", *pictures.FORMATS)
_MOST_LINES = 500
_MOST_FAILURES = 50
_SERIES_SHOWN = 8
_ACROSS = 3
_COLOURS_OF_ERRORS = "viridis"


def write(
    folder: Path, out: Path | None = None, found: tuple[Study, tables.Table] | None = None
) -> Path:
    """Write the report on the study in a folder, and its tables there; return the report's path.

    Parameters
    ----------
    folder : Path
        Of the study.
    out : Path, optional
        Page, or with the suffix .svg, .png or .pdf the picture of the tolerance curves alone.
        Default report.html in the folder.
    found : Study and dict of arrays, optional
        The study with its table, where they need not be read.

    Raises
    ------
    StudyError
        There is no study, or a table cannot be written.
    RunFileError
        The report cannot be written.
    """
    out = out or folder / "report.html"
    if out.suffix not in FORMATS:
        raise RunFileError(f"{out}: a report is one of {', '.join(FORMATS)}")
    check_writable(out)
    study, table = found or sweep.read(folder)
    _write_tables(folder, study, table)
    if out.suffix == ".html":
        return html.save(render(study, table), out)
    return draw(study, table, out)


def draw(study: Study, table: tables.Table, out: Path) -> Path:
    """Write the picture of the curves along each axis, and return its path."""
    return _picture([("", study, axis, curves) for axis, curves in _groups(study, table)], out)


def draw_together(folders: Sequence[Path], out: Path) -> Path:
    """Write one picture of several studies, a panel for each axis; return its path.

    Their tables are written into their folders.

    Raises
    ------
    StudyError
        There is no study in one of the folders, or a table cannot be written.
    RunFileError
        The picture has another suffix than those of `FORMATS` but .html, or cannot be written.
    """
    check_picture(out)
    found = [sweep.read(folder) for folder in folders]
    names = [study.name for study, _ in found]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    panels = []
    for folder, name, (study, table) in zip(folders, names, found, strict=True):
        _write_tables(folder, study, table)
        panels += [(name, study, axis, curves) for axis, curves in _groups(study, table)]
    return _picture(panels, out)


def draw_tolerances(found: Tolerances, out: Path) -> Path:
    """Write the picture of the curve of each key that was searched, and return its path.

    Raises
    ------
    RunFileError
        Another suffix than those of `FORMATS` but .html, or a place that cannot be written.
    """
    check_picture(out)
    panels = [
        ("", found.study, one.axis, [Tolerance(one.axis.label, (), one.band, one.limit, 0)])
        for one in found.found
    ]
    return _picture(panels, out)


def check_picture(out: Path) -> None:
    """Raise `RunFileError` if a picture has another suffix than these, or cannot be written."""
    if out.suffix not in pictures.FORMATS:
        raise RunFileError(f"{out}: a figure is one of {', '.join(pictures.FORMATS)}")
    check_writable(out)


def _picture(panels: Sequence[tuple[str, Study, Axis, Sequence[Curve]]], out: Path) -> Path:
    """Draw curves along axes, each below its title, three panels in a row."""
    across = min(len(panels), _ACROSS)
    down = -(-len(panels) // across)
    with matplotlib.rc_context(settling.STYLE):
        figure = Figure(figsize=(1 + 4.2 * across, 3.6 * down), layout="constrained")
        drawn = figure.subplots(down, across, squeeze=False).ravel()
        for axes, (title, study, axis, curves) in zip(drawn, panels, strict=False):
            _curves(axes, study, axis, curves, COLOURS, "black")
            axes.set_title(title)
            if len(curves) > 1:
                axes.legend(fontsize=8)
        for axes in drawn[len(panels) :]:
            axes.remove()
        return pictures.save(figure, out)


def _write_tables(folder: Path, study: Study, table: tables.Table) -> None:
    tables.write_csv(table, folder / "table.csv")
    tables.write_hdf5(table, folder / "table.h5", {a.label: a.unit for a in study.axes})


def render(study: Study, table: tables.Table) -> str:
    """Text of the page."""
    pen = _StudyDraughtsman(study, table)
    groups = _groups(study, table)
    found = [curve for _, curves in groups for curve in curves if isinstance(curve, Tolerance)]
    return html.fill(
        "study.html.j2",
        title=study.name,
        study=study,
        budget=budget(study, table),
        notes=_notes(table),
        limits=_limits(study, found),
        drop=100 * study.drop,
        confidence=100 * study.confidence,
        curves=[pen.curves(axis, curves) for axis, curves in groups],
        views=pen.views(),
        sensitivities=_sensitivities(study, table),
        failures=_failures(study, table),
    )


def budget(study: Study, table: tables.Table) -> str:
    """Say in a sentence what each point was given."""
    points, seeds = int(table["point"].max()) + 1, len(study.seed_list)
    epochs = np.unique(table["epochs"][table["status"] == "done"])
    length = f"{epochs[0]} epochs" if epochs.size == 1 else "the epochs of its experiment"
    size = f"{points} points, {seeds} seeds each"
    if study.halving is not None:
        return (
            f"{size}; successive halving: all train {study.halving.epochs} epochs, then the best"
            f" 1 in {study.halving.factor}, {study.halving.factor} times as long, and so on"
        )
    if study.stopping is not None:
        return (
            f"{size}; each gets {length}, but a run with a test error of"
            f" {percent(study.stopping.error)} or more after epoch {study.stopping.after} ends"
        )
    return f"{size}; equal budget: each gets {length}"


def _notes(table: tables.Table) -> list[str]:
    status = table["status"]
    words = {
        "failed": "failed; in limits they count as wrong for every image",
        "missing": "have not run yet",
        "stopped": "were stopped early as hopeless; their last error counts",
        "paused": "ended early, by halving",
    }
    return [
        f"{np.count_nonzero(status == key)} of {len(status)} runs {text}."
        for key, text in words.items()
        if (status == key).any()
    ]


def _groups(study: Study, table: tables.Table) -> list[tuple[Axis, list[Any]]]:
    """Return the axes along which there are curves: of limits, else of the errors of one axis."""
    found = tolerances(study, table)
    by_label = {axis.label: axis for axis in study.axes}
    groups = [
        (by_label[label], [one for one in found if one.axis == label])
        for label in dict.fromkeys(one.axis for one in found)
    ]
    if groups:
        return groups
    return [
        (axis, [_errors(study, table, axis)])
        for axis in study.axes
        if not isinstance(axis, Cases) and table[axis.label].dtype.kind != "U"
    ] or [(study.axes[0], [_errors(study, table, study.axes[0])])]


def _errors(study: Study, table: tables.Table, axis: Axis) -> limits.Band:
    """Return the test error along an axis, with the interval of its mean over all else."""
    table = tables.designed(study, table)
    values, places = np.unique(table[axis.label], return_inverse=True)
    rows = [table["test_error"][places == k] for k in range(len(values))]
    filled = np.full((len(values), max(map(len, rows))), np.nan)
    for k, row in enumerate(rows):
        filled[k, : len(row)] = row
    x = np.arange(len(values), dtype=float) if values.dtype.kind == "U" else values.astype(float)
    return limits.band(x, filled, study.confidence)


def _limits(study: Study, found: Sequence[Tolerance]) -> Table | None:
    if not found:
        return None
    rows = limits.rows(study, found)
    if any(where for _, where, _ in rows):
        return Table(["axis", "where", "limit"], rows)
    return Table(["axis", "limit"], [(name, text) for name, _, text in rows])


def _sensitivities(study: Study, table: tables.Table) -> Table | None:
    rows = [
        [s.axis, f"{100 * s.index:.0f} %", f"{100 * s.by_chance:.0f} %"]
        for s in sensitivities(study, table)
    ]
    return Table(["axis", "share of the variance", "by chance up to"], rows) if rows else None


def _failures(study: Study, table: tables.Table) -> Table | None:
    failed = np.flatnonzero(table["status"] == "failed")[:_MOST_FAILURES]
    rows = [
        [
            studies.describe(study, [table[label][row].item() for label in study.labels]),
            str(table["seed"][row]),
            str(table["message"][row]),
        ]
        for row in failed
    ]
    return Table(["point", "seed", "what happened"], rows) if rows else None


class _StudyDraughtsman(Draughtsman):
    """Draws the figures of a study."""

    def __init__(self, study: Study, table: tables.Table) -> None:
        super().__init__()
        table = tables.designed(study, table)
        self.study, self.table = study, table
        first = np.unique(table["point"], return_index=True)[1]
        self.values = {label: table[label][first] for label in study.labels}
        self.errors = np.array(
            [table["test_error"][table["point"] == k].mean() for k in table["point"][first]]
        )

    def curves(self, axis: Axis, curves: Sequence[Curve]) -> Drawing:
        """Draw the curves along one axis."""
        with self._figure(legend=len(curves)) as (figure, axes, svg):
            _curves(axes, self.study, axis, curves, SERIES, INK)
            if len(curves) > 1:
                figure.legend(loc="outside upper left", ncols=2)
        what = "Test error"
        if isinstance(curves[0], Tolerance):
            what = "Penalty: test error less that of the reference with the same seed"
        return Drawing(
            svg[0],
            f"{what} along {axis.label}.",
            f"{what}; bands: {100 * self.study.confidence:g} % of the mean over runs"
            + (
                "; where there is a limit, lines are in rising order, as it is found; dashed: the"
                " allowed drop; dotted: limits."
                if isinstance(curves[0], Tolerance)
                else "."
            ),
        )

    def views(self) -> list[Drawing]:
        """Draw a map of two axes of a grid; of more, or of a sample, a parallel view."""
        if not np.isfinite(self.errors).any() or len(self.study.axes) < 2:
            return []
        if len(self.study.axes) == 2 and isinstance(self.study.design, Grid):
            return [self._map()]
        return [self._parallel()]

    def _map(self) -> Drawing:
        down, across = self.study.axes
        columns, x = np.unique(self.values[across.label], return_inverse=True)
        rows, y = np.unique(self.values[down.label], return_inverse=True)
        grid = np.full((len(rows), len(columns)), np.nan)
        grid[y, x] = 100 * self.errors
        with self._figure() as (figure, axes, svg):
            drawn = axes.imshow(grid, cmap=_COLOURS_OF_ERRORS, aspect="auto", origin="lower")
            axes.grid(False)
            names = [studies.show_value(across, value.item()) for value in columns]
            axes.set_xticks(range(len(columns)), names, rotation=30 if len(names) > 5 else 0)
            axes.set_yticks(
                range(len(rows)), [studies.show_value(down, value.item()) for value in rows]
            )
            middle = (np.nanmin(grid) + np.nanmax(grid)) / 2
            for (y_at, x_at), value in np.ndenumerate(grid):
                if np.isfinite(value) and grid.size <= 100:
                    ink = "#000000" if value > middle else "#ffffff"
                    axes.text(x_at, y_at, f"{value:.1f}", color=ink, ha="center", va="center")
            axes.set_xlabel(across.label)
            axes.set_ylabel(down.label)
            bar = figure.colorbar(drawn, ax=axes, format=FuncFormatter(lambda v, _: f"{v:g} %"))
            bar.outline.set_visible(False)
            if bar.solids is not None:
                bar.solids.set_rasterized(True)
        caption = f"Mean test error in % over {down.label} and {across.label}."
        return Drawing(svg[0], caption, caption)

    def _parallel(self) -> Drawing:
        kept = np.flatnonzero(np.isfinite(self.errors))
        # The worst are drawn first, so that the best lie on top.
        kept = kept[np.argsort(-self.errors[kept])][-_MOST_LINES:]
        norm = Normalize(100 * self.errors[kept].min(), 100 * self.errors[kept].max())
        colours = matplotlib.colormaps[_COLOURS_OF_ERRORS]
        places, names, tops = [], [], []
        for axis in self.study.axes:
            place, low, high = _places(axis, self.values[axis.label])
            places.append(place)
            names.append(f"{axis.label}\n{low}")
            tops.append(high)
        with self._figure() as (figure, axes, svg):
            lines = np.array(places)
            for k in kept:
                axes.plot(lines[:, k], color=colours(norm(100 * self.errors[k])), linewidth=1)
            axes.set_xticks(range(len(names)), names)
            for number, text in enumerate(tops):
                axes.annotate(text, (number, 1.03), ha="center", fontsize=8)
            axes.tick_params(axis="x", labelsize=8)
            axes.yaxis.set_major_locator(NullLocator())
            axes.set_ylim(-0.03, 1.12)
            bar = figure.colorbar(
                ScalarMappable(norm, _COLOURS_OF_ERRORS),
                ax=axes,
                format=FuncFormatter(lambda v, _: f"{v:g} %"),
            )
            bar.outline.set_visible(False)
            if bar.solids is not None:
                bar.solids.set_rasterized(True)
        caption = "Each line is a point: its values on the axes, coloured by its mean test error."
        return Drawing(svg[0], caption, caption)


def _places(axis: Axis, values: NDArray[Any]) -> tuple[Array, str, str]:
    """Return where values stand on an upright axis, 0 to 1, and the texts of its ends."""
    distinct, order = np.unique(values, return_inverse=True)
    ends = [studies.show_value(axis, distinct[k].item()) for k in (0, -1)]
    if values.dtype.kind == "U" or not logarithmic(axis, distinct.tolist()):
        numbers = order.astype(float) if values.dtype.kind == "U" else values.astype(float)
    else:
        numbers = np.log(values.astype(float))
    span = np.ptp(numbers) or 1.0
    return (numbers - numbers.min()) / span, ends[0], ends[1]


def _curves(
    axes: Axes,
    study: Study,
    axis: Axis,
    curves: Sequence[Curve],
    colours: Sequence[str],
    ink: str,
) -> None:
    """Draw curves with bands along an axis; of penalties also the drop, and the limits."""
    shown = curves[:_SERIES_SHOWN]
    bands = [curve.band if isinstance(curve, Tolerance) else curve for curve in shown]
    for index, (curve, band) in enumerate(zip(shown, bands, strict=True)):
        name = limits.others(study, curve) if isinstance(curve, Tolerance) else ""
        colour = colours[index % len(colours)]
        marker = MARKERS[index % len(MARKERS)]
        axes.plot(band.x, 100 * band.mean, marker, color=colour)
        line = band
        if isinstance(curve, Tolerance) and not isinstance(axis, Cases):
            scale = logarithmic(axis, band.x.tolist())
            # A limit stands where ordered points cross the drop; without one all is as measured.
            line = limits.smooth(
                band,
                logarithmic=scale,
                less_is_worse=axis.less_is_worse,
                ordered=curve.limit.inside,
            )
        axes.plot(
            line.x,
            100 * line.mean,
            color=colour,
            marker=marker,
            markevery=[],
            linestyle=DASHES[index % len(DASHES)],
            label=name or axis.label,
        )
        kept = np.isfinite(line.low) & np.isfinite(line.high)
        axes.fill_between(
            line.x[kept],
            100 * line.low[kept],
            100 * line.high[kept],
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
        if isinstance(curve, Tolerance) and curve.limit.found:
            axes.axvline(curve.limit.value, color=colour, linewidth=1, linestyle=":")
    if isinstance(shown[0], Tolerance):
        axes.axhline(100 * study.drop, color=ink, linewidth=1, linestyle="--")
        axes.set_ylabel("penalty (percentage points)")
        # Near the drop curves matter; a collapse would press them flat.
        axes.set_yscale("symlog", linthresh=200 * study.drop, linscale=1.5)
        top = max(float(np.nanmax(band.mean)) for band in bands)
        bottom = min(float(np.nanmin(band.mean)) for band in bands)
        axes.set_ylim(100 * min(-study.drop, 1.5 * bottom), 100 * max(2 * study.drop, 1.3 * top))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    else:
        axes.set_ylabel("test error (%)")
    _scale(axes, axis, bands[0].x)
    axes.set_xlabel(axis.label)


def _scale(axes: Axes, axis: Axis, x: Array) -> None:
    """Give the horizontal axis its scale, and its numbers their unit."""
    if logarithmic(axis, x.tolist()):
        axes.set_xscale("log")
        decades = np.log10(x.max() / x.min())
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if decades > 2.2 else (1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
    if axis.unit == "%":
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))
    elif axis.unit:
        axes.xaxis.set_major_formatter(EngFormatter(axis.unit.replace("Ohm", "Ω")))
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
