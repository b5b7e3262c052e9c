"""Pages that show a weight map as pictures, tile by tile, with the worst cells marked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from neurohw.experiments.run_file import check_writable
from neurohw.reports import html
from neurohw.reports.figures import INK, LARGEST_IMAGE, SERIES, Draughtsman, Drawing
from neurohw.reports.summary import Table, number

Array = NDArray[np.floating]

MOST_TILES = 24
WORST = 10
MOST_OUT = 100
_FAR = 0.98


@dataclass(frozen=True, eq=False, kw_only=True)
class TilePicture:
    """A tile as it is drawn, arrays (word lines, bit lines), NaN where no weight lies.

    Parameters
    ----------
    name : str
    target : array [S]
    reached : array, optional [S]
        Where cells stand after programming.
    stuck : bool array
    window : (float, float) [S]
        Nominal g_min and g_max; infinite where there is no limit.
    tolerance : float, optional [S]
        How far a cell may be from its target.
    """

    name: str
    target: Array
    reached: Array | None
    stuck: NDArray[np.bool_]
    window: tuple[float, float]
    tolerance: float | None

    @property
    def span(self) -> float:
        """What errors are relative to: the window; without an end, the largest target [S]."""
        low, high = self.window
        if np.isfinite(high - low):
            return high - low
        return float(np.nanmax(np.abs(self.target), initial=0.0)) or 1.0

    @property
    def error(self) -> Array:
        """What is reached less the target, of the span; 0 where nothing was programmed."""
        if self.reached is None:
            return np.where(np.isfinite(self.target), 0.0, np.nan)
        return np.asarray((self.reached.astype(np.float64) - self.target) / self.span)

    @property
    def out(self) -> NDArray[np.bool_]:
        """Which cells are out of tolerance."""
        if self.tolerance is None:
            return np.zeros(self.target.shape, bool)
        return np.asarray(np.abs(self.error) * self.span > self.tolerance)

    def worst(self, most: int = WORST) -> NDArray[np.intp]:
        """Places (cells, 2) of the largest errors, the largest first; none where there are none."""
        size = np.nan_to_num(np.abs(self.error)).ravel()
        places = np.argsort(-size, kind="stable")[:most]
        return np.argwhere(np.ones(self.target.shape, bool))[places[size[places] > 0]]

    def most_out(self) -> NDArray[np.intp]:
        """Places (cells, 2) of the cells furthest out of tolerance, `MOST_OUT` at most.

        Without those that are stuck.
        """
        places = self.worst(min(int(self.out.sum()), MOST_OUT))
        return places[~self.stuck[places[:, 0], places[:, 1]]]


def write(title: str, about: str, tiles: Sequence[TilePicture], out: Path | str) -> Path:
    """Write a self-contained page about a map, and return its path.

    Of more than `MOST_TILES` tiles those are drawn whose cells are furthest off, then those with
    the most stuck ones.

    Raises
    ------
    RunFileError
        It cannot be written.
    """
    out = Path(out)
    check_writable(out)
    return html.save(render(title, about, tiles), out)


def render(title: str, about: str, tiles: Sequence[TilePicture]) -> str:
    """Text of the page."""
    drawn = chosen(tiles)
    pen = _MapDraughtsman()
    sections = [
        {
            "name": tile.name,
            "drawings": pen.tile(tile),
            "worst": _worst(tile),
        }
        for tile in drawn
    ]
    left = len(tiles) - len(drawn)
    return html.fill(
        "map.html.j2",
        title=title,
        about=about,
        tiles=_table(tiles),
        note=f"{left} of {len(tiles)} tiles are not drawn: their cells are nearer." if left else "",
        sections=sections,
    )


def chosen(tiles: Sequence[TilePicture]) -> list[TilePicture]:
    """Return the tiles to draw, in their order."""
    if len(tiles) <= MOST_TILES:
        return list(tiles)

    def rank(k: int) -> tuple[float, int]:
        tile = tiles[k]
        return -float(np.nanmax(np.abs(tile.error), initial=0.0)), -int(tile.stuck.sum())

    return [tiles[k] for k in sorted(sorted(range(len(tiles)), key=rank)[:MOST_TILES])]


def _table(tiles: Sequence[TilePicture]) -> Table:
    """Return a row a tile: cells, stuck ones, errors."""
    programmed = any(tile.reached is not None for tile in tiles)
    heads = ["Tile", "Word lines × bit lines", "Weights", "Stuck"]
    rows = []
    for tile in tiles:
        cells = int(np.isfinite(tile.target).sum())
        row = [
            tile.name,
            " × ".join(map(str, tile.target.shape)),
            f"{cells:,}",
            f"{int(tile.stuck.sum()):,}",
        ]
        if programmed:
            error = tile.error[np.isfinite(tile.target)]
            within = "–" if tile.tolerance is None else f"{int(tile.out.sum()):,}"
            rms = np.sqrt(np.mean(error**2)) if cells else 0.0
            worst = np.max(np.abs(error), initial=0.0)
            row += [f"{100 * rms:.2f} %", f"{100 * worst:.2f} %", within]
        rows.append(row)
    if programmed:
        heads += ["Error, r.m.s.", "Largest", "Out of tolerance"]
    return Table(heads, rows)


def _worst(tile: TilePicture) -> Table | None:
    """Return the cells that are marked as the worst."""
    if tile.reached is None:
        return None
    rows = []
    for word, bit in tile.worst().tolist():
        why = "stuck" if tile.stuck[word, bit] else "out" if tile.out[word, bit] else "within"
        rows.append(
            (
                str(word),
                str(bit),
                number(float(tile.target[word, bit]), "S"),
                number(float(tile.reached[word, bit]), "S"),
                f"{100 * tile.error[word, bit]:+.2f} %".replace("-", "−"),
                why,
            )
        )
    heads = ("Word line", "Bit line", "Target", "Reached", "Error", "")
    return Table(heads, rows) if rows else None


class _MapDraughtsman(Draughtsman):
    """Draws tiles."""

    def tile(self, tile: TilePicture) -> list[Drawing]:
        """Draw the conductances of a tile and, where it was programmed, how far they are off."""
        shown = tile.target if tile.reached is None else tile.reached
        low, high = tile.window
        inside = shown[np.isfinite(shown)]
        ends = (
            low if np.isfinite(low) else float(np.min(inside, initial=0.0)),
            high if np.isfinite(high) else float(np.max(inside, initial=0.0)),
        )
        what = "target conductance" if tile.reached is None else "conductance reached"
        drawings = [self._picture(tile, shown, f"{tile.name}: {what}", ends, EngFormatter("S"))]
        if tile.reached is not None:
            error = tile.error
            far = float(np.nanquantile(np.abs(error), _FAR)) if np.isfinite(error).any() else 0.0
            limit = far or float(np.nanmax(np.abs(error), initial=0.0)) or 1.0
            drawings.append(
                self._picture(
                    tile,
                    error,
                    f"{tile.name}: error, of g max less g min",
                    (-limit, limit),
                    FuncFormatter(lambda value, _: f"{100 * value:.3g} %"),
                    worst=True,
                )
            )
        return drawings

    def _picture(
        self,
        tile: TilePicture,
        values: Array,
        what: str,
        ends: tuple[float, float],
        form: Any,
        *,
        worst: bool = False,
    ) -> Drawing:
        words, bits = values.shape
        down, across = -(-words // LARGEST_IMAGE), -(-bits // LARGEST_IMAGE)
        colours = matplotlib.colormaps["PuOr_r" if worst else "cividis"]
        with self._figure() as (figure, axes, svg):
            drawn = axes.imshow(
                np.ma.masked_invalid(values[::down, ::across]),
                cmap=colours,
                vmin=ends[0],
                vmax=ends[1],
                aspect="auto",
                interpolation="none",
                extent=(-0.5, bits - 0.5, words - 0.5, -0.5),
            )
            # Each in a colour that its map has not.
            marks = [("stuck", np.argwhere(tile.stuck), "x", SERIES[0 if worst else 1])]
            if worst:
                marks.append(("out of tolerance", tile.most_out(), ".", SERIES[2]))
                marks.append(("largest errors", tile.worst(), "o", INK))
            legend = [_mark(axes, *each) for each in marks if len(each[1])]
            axes.grid(False)
            axes.set_xlabel("bit line")
            axes.set_ylabel("word line")
            axes.set_xlim(-0.5, bits - 0.5)
            axes.set_ylim(words - 0.5, -0.5)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(6, integer=True))
            bar = figure.colorbar(drawn, ax=axes, format=form, shrink=0.9)
            if bar.solids is not None:
                bar.solids.set_rasterized(True)
            bar.outline.set_visible(False)
            bar.locator = MaxNLocator(4)
            if legend:
                figure.legend(loc="outside upper left", ncols=2)
        marked = "; ".join(f"{len(places)} {name}" for name, places, _, _ in marks)
        some = "" if down == across == 1 else f" {words // down} × {bits // across} of its cells."
        caption = f"{what}; word lines are rows.{some}"
        return Drawing(svg[0], f"{caption} Marked: {marked}.", caption)


def _mark(axes: Axes, name: str, places: Iterable[Any], marker: str, colour: str) -> str:
    """Mark cells of a picture."""
    at = np.array(list(places))
    faces: dict[str, Any] = (
        {"facecolors": "none", "edgecolors": colour} if marker == "o" else {"c": colour}
    )
    axes.scatter(
        at[:, 1],
        at[:, 0],
        marker=marker,
        s=70 if marker == "o" else 26,
        linewidths=1.4,
        # A cross may lie on a cell of its own colour.
        path_effects=[withStroke(linewidth=3.5, foreground="white")] if marker == "x" else None,
        label=name,
        **faces,
    )
    return name
