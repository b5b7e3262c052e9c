"""Report on a device fitted to measured pulse trains."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from scipy.stats import norm

from neurohw.devices.fitting.device_fit import DeviceFit
from neurohw.devices.fitting.law_fit import OUTLIER
from neurohw.devices.fitting.parameters import Parameter
from neurohw.experiments.run_file import check_writable
from neurohw.reports import html
from neurohw.reports.figures import INK, SERIES, Draughtsman, Drawing
from neurohw.reports.summary import MISSING, Table
from neurohw.units import show

Array = NDArray[np.floating]

_BINS = 12
_POINTS = 1500
# Residuals are shown up to as many deviations.
_FAR = 6


def write(fit: DeviceFit, out: Path | str) -> Path:
    """Write the report on a fit and return its path.

    Raises
    ------
    RunFileError
        If it cannot be written.
    """
    out = Path(out)
    check_writable(out)
    return html.save(render(fit), out)


def render(fit: DeviceFit) -> str:
    """Text of the page."""
    pen = _FitDraughtsman(fit)
    several = len(fit.traces.devices) > 1
    return html.fill(
        "fitting.html.j2",
        title=fit.name,
        law=fit.law,
        description=fit.description,
        source=f"{fit.traces.source}, SHA-256 {fit.traces.checksum[:12]}…",
        parameters=_parameters(fit.parameters),
        notes=fit.notes,
        curves=[pen.trace(), pen.steps()],
        residuals=[pen.residuals(), pen.distribution()],
        spread=[pen.limits(), pen.sizes()] if several else [],
        laws=_laws(fit),
        toml=fit.toml(),
    )


def _parameters(parameters: list[Parameter]) -> Table:
    rows = []
    for p in parameters:
        if np.ndim(p.value):
            continue
        low, high = (show(float(end), p.unit) for end in (p.low, p.high))
        value = show(float(p.value), p.unit) if p.found else "none found"
        interval = MISSING if low == high else f"{low} to {high}"
        rows.append([p.key, value, interval])
    return Table(["key", "value", "95 % interval"], rows)


def _laws(fit: DeviceFit) -> Table | None:
    if not fit.scores:
        return None
    rows = []
    for score in fit.scores:
        behind = f"{score.behind:.1f} ± {score.error:.1f}" if score.behind > 0 else MISSING
        taken = "taken" if score.law == fit.law else "as good" if score.as_good else ""
        rows.append([score.law, f"{score.score:.4f}", behind, taken])
    return Table(["law", "log-likelihood a reading (nats)", "behind the best, all", ""], rows)


class _FitDraughtsman(Draughtsman):
    """Draws the figures of a fit."""

    def __init__(self, fit: DeviceFit) -> None:
        super().__init__()
        self.fit = fit
        law = fit.fit
        self.residual = law.following.follow(law.state, law.noise)
        self.rows = law.following.seen & np.isfinite(law.before)
        limits = law.state.own[fit.traces.device]
        self.low, self.width = limits[:, 0], limits[:, 1] - limits[:, 0]
        self.place = (law.before - self.low) / self.width

    def trace(self) -> Drawing:
        """Draw the cycles of a typical device, and the law along its first."""
        traces, law = self.fit.traces, self.fit.fit
        sizes = law.state.own[:, 2]
        device = int(np.abs(sizes - np.median(sizes)).argmin())
        expected = law.expected * law.ranges.unit + law.ranges.offset
        with self._figure(legend=3) as (figure, axes, svg):
            cycles = np.unique(traces.cycle[traces.device == device])
            for cycle in cycles[::-1]:
                rows = (traces.device == device) & (traces.cycle == cycle)
                at = np.arange(np.count_nonzero(rows))
                first = cycle == cycles[0]
                readings = traces.reading[rows]
                if first:
                    axes.plot(at, readings, ".", color=SERIES[0], label="first cycle")
                    axes.plot(at, expected[rows], color=SERIES[1], label="law, without noise")
                else:
                    label = "other cycles" if cycle == cycles[-1] else None
                    axes.plot(at, readings, color=SERIES[7], alpha=0.45, linewidth=0.7, label=label)
            axes.set_xlabel("pulse")
            axes.set_ylabel("conductance")
            axes.yaxis.set_major_formatter(EngFormatter("S"))
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            figure.legend(loc="outside upper left", ncols=3)
        name = traces.devices[device]
        caption = f"Device {name}: readings pulse by pulse, and what the law makes of its start."
        return Drawing(svg[0], caption, caption)

    def steps(self) -> Drawing:
        """Draw mean changes by a pulse along the range, measured and of the law."""
        law = self.fit.fit
        change = (law.following.reading - law.before) / self.width
        with self._figure(legend=2) as (figure, axes, svg):
            axes.axhline(0, color=INK, linewidth=0.8)
            for k, (sign, name) in enumerate(((1, "potentiation"), (-1, "depression"))):
                rows = self.rows & (self.fit.traces.pulse == sign)
                rows &= np.abs(self.residual) <= OUTLIER
                places, means, errors = _binned(self.place[rows], change[rows])
                axes.errorbar(
                    places, means, errors, fmt="os"[k], color=SERIES[k], label=f"{name}, measured"
                )
                low, high, up, down, *shape = self.fit.nominal.values
                steps = law.curves.relative(np.array(shape))[:, k] * (up, down)[k] / (high - low)
                axes.plot(law.curves.grid, sign * steps, color=SERIES[k], label=f"{name}, law")
            axes.set_xlabel("place between the limits")
            axes.set_ylabel("change, of the range")
            axes.yaxis.set_major_formatter(FuncFormatter(_percent))
            figure.legend(loc="outside upper left", ncols=2)
        caption = (
            "Mean change by a pulse, ± two standard errors, all devices, without outliers; near a"
            " limit the range cuts it."
        )
        return Drawing(svg[0], caption, caption)

    def residuals(self) -> Drawing:
        """Draw residuals along the range."""
        shown = np.flatnonzero(self.rows)
        shown = shown[:: -(-shown.size // _POINTS)]
        with self._figure(legend=2) as (figure, axes, svg):
            for k, (sign, name) in enumerate(((1, "potentiation"), (-1, "depression"))):
                rows = shown[self.fit.traces.pulse[shown] == sign]
                style: dict[str, Any] = {
                    "markersize": 2.5,
                    "alpha": 0.6,
                    "rasterized": True,
                    "label": name,
                }
                shown_at = np.clip(self.residual[rows], -_FAR, _FAR)
                axes.plot(self.place[rows], shown_at, "os"[k], color=_plain(k), **style)
            for level in (-2, 2):
                axes.axhline(level, color=INK, linewidth=0.8, linestyle=":")
            axes.set_xlabel("place between the limits")
            axes.set_ylabel("residual, in deviations")
            figure.legend(loc="outside upper left", ncols=2)
        caption = (
            "Residuals along the range; 95 % should lie between the dotted lines. Those beyond"
            f" {_FAR} are shown there."
        )
        return Drawing(svg[0], caption, caption)

    def distribution(self) -> Drawing:
        """Draw how residuals are distributed, against the normal distribution."""
        values = np.clip(self.residual[self.rows], -_FAR, _FAR)
        with self._figure() as (_, axes, svg):
            counts, edges = np.histogram(values, 48, range=(-_FAR, _FAR), density=True)
            axes.stairs(counts, edges, fill=True, color=SERIES[0], alpha=0.7)
            at = np.linspace(-_FAR, _FAR, 121)
            axes.plot(at, norm.pdf(at), color=INK)
            axes.set_yscale("log")
            axes.set_ylim(1e-4, 1)
            axes.set_xlabel("residual, in deviations")
            axes.set_ylabel("density")
        outliers = self.fit.fit.outliers
        caption = f"Residuals, and the normal distribution; {outliers} are more than 5 deviations."
        return Drawing(svg[0], caption, caption)

    def limits(self) -> Drawing:
        """Draw each device's limits."""
        names = ("lower limit", "upper limit")
        nominal = self.fit.nominal
        values = (nominal.devices[:, :2] - nominal.values[:2]) / nominal.span
        deviations = np.sqrt(np.diagonal(nominal.errors, axis1=1, axis2=2)[:, :2])
        errors = 1.96 * deviations / nominal.span
        with self._figure(legend=2) as (figure, axes, svg):
            self._devices(axes, values, errors, names)
            axes.yaxis.set_major_formatter(FuncFormatter(_percent))
            axes.set_ylabel("off the mean, of the range")
            figure.legend(loc="outside upper left", ncols=2)
        caption = "Limits of each device less their mean, with their 95 % intervals."
        return Drawing(svg[0], caption, caption)

    def sizes(self) -> Drawing:
        """Draw each device's steps at the centre."""
        names = ("step up", "step down")
        nominal = self.fit.nominal
        values = nominal.devices[:, 2:4] / nominal.span
        deviations = np.sqrt(np.diagonal(nominal.errors, axis1=1, axis2=2)[:, 2:4])
        with self._figure(legend=2) as (figure, axes, svg):
            self._devices(axes, values, 1.96 * deviations / nominal.span, names)
            axes.yaxis.set_major_formatter(FuncFormatter(_percent))
            axes.set_ylabel("step at the centre, of the range")
            figure.legend(loc="outside upper left", ncols=2)
        caption = "Steps of each device at the centre with their 95 % intervals; dashed: means."
        return Drawing(svg[0], caption, caption)

    def _devices(self, axes: Axes, values: Array, errors: Array, names: tuple[str, ...]) -> None:
        """Draw one point a device and quantity, smallest first."""
        order = values[:, 0].argsort()
        at = np.arange(len(values))
        for k, name in enumerate(names):
            style: dict[str, Any] = {
                "fmt": "os"[k],
                "color": SERIES[k],
                "label": name,
                "linewidth": 1,
            }
            axes.errorbar(at + 0.15 * k, values[order, k], errors[order, k], **style)
            axes.axhline(values[:, k].mean(), color=SERIES[k], linewidth=0.8, linestyle="--")
        axes.set_xlabel(f"device, by {names[0]}")
        labels = [self.fit.traces.devices[d] for d in order]
        short = len(labels) <= 8 and max(map(len, labels)) < 8
        axes.set_xticks(at, labels if short else [""] * len(labels))


def _percent(value: float, _: object = None) -> str:
    return f"{100 * value:.3g} %"


def _plain(k: int) -> str:
    """Colour of points that are drawn as an image, which no page can recolour: fits both modes."""
    return ("#3a86c8", "#e0782f")[k]


def _binned(places: Array, changes: Array) -> tuple[Array, Array, Array]:
    """Return centres, means and twice their errors, of bins that hold something."""
    bins = np.clip((places * _BINS).astype(int), 0, _BINS - 1)
    found = []
    for k in range(_BINS):
        inside = bins == k
        if inside.sum() >= 3:
            values = changes[inside]
            error = 2 * values.std(ddof=1) / np.sqrt(values.size)
            found.append((places[inside].mean(), values.mean(), error))
    centres, means, errors = np.array(found).reshape(-1, 3).T
    return centres, means, errors
