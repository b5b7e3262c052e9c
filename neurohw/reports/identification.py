"""Report on how well learning rules are recognised, by what, and by how little of it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from neurohw.errors import RunFileError
from neurohw.experiments.identification.classifiers import KINDS, Score
from neurohw.experiments.identification.observation import Plan
from neurohw.experiments.identification.recognition import (
    FEWER_TREES,
    Curve,
    Identification,
    statistic_names,
)
from neurohw.experiments.run_file import check_writable
from neurohw.reports import html, pictures
from neurohw.reports.figures import MARKERS, SERIES, Draughtsman, Drawing
from neurohw.reports.gradients import COLOURS
from neurohw.reports.settling import STYLE
from neurohw.reports.summary import Table, percent

FORMATS = (".html", *pictures.FORMATS)
_SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#1f5fa8", "#0b2545"])
_GREY = "#808080"
_MOST_STATISTICS = 12
_ACROSS = 3


def require_format(out: Path) -> None:
    """Raise `RunFileError` unless a report can be written there."""
    if out.suffix not in FORMATS:
        raise RunFileError(f"{out}: an identification is one of {', '.join(FORMATS)}")
    check_writable(out)


def write(plan: Plan, found: Identification, out: Path) -> Path:
    """Write the page, or with another suffix the picture of all figures.

    Raises
    ------
    RunFileError
        Another suffix than those of `FORMATS`, or a place that cannot be written.
    """
    require_format(out)
    if out.suffix == ".html":
        return html.save(render(plan, found), out)
    with matplotlib.rc_context(STYLE):
        panels = _panels(found)
        rows = -(-len(panels) // _ACROSS)
        figure = Figure(figsize=(13, 3.8 * rows), layout="constrained")
        drawn = figure.subplots(rows, _ACROSS, squeeze=False)
        for axes, panel in zip(drawn.flat, panels, strict=False):
            panel.draw(axes, found, COLOURS)
            axes.set_title(panel.title)
        for axes in drawn.flat[len(panels) :]:
            axes.set_axis_off()
        return pictures.save(figure, out, dpi=130)


def results(found: Identification) -> Table:
    """Return a row for each classifier and what it sees: accuracy per layer and per network."""
    rows = [
        (seen, kind, _share(score), percent(score.network_mean))
        for seen, kinds in found.scores.items()
        for kind, score in kinds.items()
    ]
    shuffled = np.array(found.shuffled)
    controls = [
        ("only how the error falls", found.curve_only),
        ("only before training", found.before),
    ]
    controls += [(f"all, {kind} networks only", score) for kind, score in found.one_kind.items()]
    rows += [
        (what, KINDS[0], _share(score), percent(score.network_mean)) for what, score in controls
    ]
    one = f"{percent(shuffled.mean())} (at most {percent(shuffled.max())})"
    rows += [
        ("all, labels shuffled, one split", KINDS[0], one, "–"),
        ("chance", "–", percent(found.chance), percent(found.chance)),
    ]
    return Table(("what is seen", "classifier", "right, of layers", "right, of networks"), rows)


def unknown(found: Identification) -> Table:
    """Return a row for each architecture and chip that a classifier had not seen."""
    rows = [
        (what, name, percent(score.mean), percent(score.network_mean))
        for what, scores in (("hidden layers", found.new_hidden), ("chip", found.new_chips))
        for name, score in scores.items()
    ]
    return Table(("held out", "", "right, of layers", "right, of networks"), rows)


def errors(found: Identification) -> Table:
    """Return a row for each rule: how well its networks learnt."""
    rows = []
    for rule, values in found.errors.items():
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        rows.append((rule, str(len(values)), percent(middle), f"{percent(low)} to {percent(high)}"))
    return Table(("rule", "networks", "median test error", "middle half"), rows)


def notes(plan: Plan, found: Identification) -> list[str]:
    """Return what a reader must know, in sentences."""
    hidden = ", ".join("-".join(map(str, sizes)) for sizes in plan.hidden)
    wanted = plan.networks * len(plan.rules)
    epochs = "1 epoch" if plan.epochs == 1 else f"{plan.epochs} epochs"
    lines = [
        f"{found.networks} networks of {len(found.rules)} rules on {plan.dataset}: hidden layers"
        f" {hidden}; chips {', '.join(plan.chips)}; {epochs}, seen at {plan.times} times,"
        f" {found.samples} layers in all.",
        "Networks are split by their numbers: no layer of a network that is tested, and none of"
        " the same network trained by another rule, was learnt from. Right: mean over the rules.",
        f"Random forest, all that is seen: {found.accuracy / found.chance:.1f} times chance. Labels"
        f" shuffled {len(found.shuffled)} times, on the first split with forests of {FEWER_TREES}"
        f" trees: {percent(found.unshuffled)} with the true ones, p = {found.p_value:.3g}.",
        "Rules differ in how fast they learn, and in the kind of network that they need: compare"
        " what is recognised with what the error alone, and what networks before training, tell.",
        "Rules keep the ratio of their layers' learning rates.",
    ]
    if found.networks < wanted:
        lines.append(
            f"{wanted - found.networks} of {wanted} networks failed, or came to no numbers, and are"
            " left out."
        )
    return lines


def render(plan: Plan, found: Identification) -> str:
    """Text of the page."""
    pen = _Draughtsman()
    return html.fill(
        "identification.html.j2",
        title="Learning rules, recognised",
        notes=notes(plan, found),
        results=results(found),
        drawings=[pen.panel(panel, found) for panel in _panels(found)],
        unknown=unknown(found),
        errors=errors(found),
    )


class _Panel:
    """A figure: what draws it, and the words that go with it."""

    def __init__(
        self,
        title: str,
        caption: str,
        alt: str,
        draw: Callable[[Axes, Identification, Sequence[str]], None],
        rows: int = 0,
    ) -> None:
        self.title, self.caption, self.alt = title, caption, alt
        self.draw, self.rows = draw, rows


def _panels(found: Identification) -> list[_Panel]:
    best = ", ".join(f"{n} {percent(k['random forest'].mean)}" for n, k in found.scores.items())
    known = {rule: found.confusion[k][k] for k, rule in enumerate(found.rules)}
    top = max(known, key=lambda rule: known[rule])
    least = min(known, key=lambda rule: known[rule])
    panels = [
        _Panel(
            "What is seen",
            "Share of layers whose rule is recognised, mean and deviation of the splits; dotted:"
            " chance.",
            f"Accuracy of the random forest: {best}; chance {percent(found.chance)}.",
            _bars,
        ),
        _Panel(
            "Who is taken for whom",
            "Share of a rule's layers (row) that the random forest takes for each rule (column).",
            f"Best recognised is {top}, {percent(known[top])}; least {least},"
            f" {percent(known[least])}.",
            _confusion,
            rows=len(found.rules),
        ),
        _Panel(
            "What matters",
            "Share of the forest's decisions by statistic, the twelve with most, and by the time"
            " that it is seen at: 0, then evenly spaced in the logarithm of mini-batches.",
            f"Most matters {_order(found)[0]}.",
            _importance,
            rows=_MOST_STATISTICS,
        ),
        _Panel(
            "Fewer units",
            "Accuracy where a share of each layer's units is seen.",
            _words(found.units),
            lambda axes, f, colours: _curves(axes, f, f.units, colours, "units seen", log=True),
        ),
        _Panel(
            "Noisier measurements",
            "Accuracy where measuring adds noise, relative to the root mean square of the layer.",
            _words(found.noise),
            lambda axes, f, colours: _curves(axes, f, f.noise, colours, "noise"),
        ),
        _Panel(
            "Fewer times",
            "Accuracy by the number of times, spread over all of training, or only the first ones.",
            _words(found.spread_times),
            _times,
        ),
        _Panel(
            "How well they learnt",
            "Test error of each rule's networks: median, and the middle half.",
            "; ".join(f"{rule} {percent(np.median(v))}" for rule, v in found.errors.items()),
            _learnt,
            rows=len(found.rules),
        ),
    ]
    held_out = (
        (
            "Hidden layers not seen before",
            "Accuracy on networks with hidden layers that no other network had; dotted: chance.",
            found.new_hidden,
        ),
        (
            "Chips not seen before",
            "Accuracy on networks on a chip that no other network was on; dotted: chance.",
            found.new_chips,
        ),
    )
    panels += [
        _Panel(title, caption, _listed(scores), partial(_groups, scores=scores))
        for title, caption, scores in held_out
        if scores
    ]
    return panels


class _Draughtsman(Draughtsman):
    def panel(self, panel: _Panel, found: Identification) -> Drawing:
        """Draw one figure of the page."""
        with self._figure(rows=panel.rows) as (_, axes, svg):
            panel.draw(axes, found, SERIES)
        return Drawing(svg[0], panel.alt, f"{panel.title}. {panel.caption}")


def _bars(axes: Axes, found: Identification, colours: Sequence[str]) -> None:
    for k, kind in enumerate(KINDS):
        scores = [kinds[kind] for kinds in found.scores.values()]
        places = np.arange(len(scores)) + 0.4 * (k - 0.5)
        deviations = np.nan_to_num([score.deviation for score in scores])
        axes.bar(places, [s.mean for s in scores], 0.36, yerr=deviations, capsize=2, label=kind,
                 color=colours[k], error_kw={"ecolor": _GREY, "elinewidth": 1})  # fmt: skip
    last = len(found.scores)
    for k, score in enumerate((found.curve_only, found.before)):
        axes.bar(last + k, score.mean, 0.36, color=colours[2 + k])
    names = [name.replace(" and ", "\nand ") for name in found.scores]
    axes.set_xticks(range(last + 2), [*names, "only\nthe error", "before\ntraining"])
    _accuracy(axes, found)
    axes.legend(fontsize=8)


def _confusion(axes: Axes, found: Identification, colours: Sequence[str]) -> None:
    table = np.array(found.confusion)
    axes.imshow(table, cmap=_SHADES, vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*table.shape):
        if table[row, column] >= 0.005:
            colour = "#ffffff" if table[row, column] > 0.35 else "#202020"
            text = f"{100 * table[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(found.rules)), found.rules, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(found.rules)), found.rules, fontsize=8)
    axes.grid(False)


def _order(found: Identification) -> list[str]:
    """Return the statistics that matter most, those first that matter more."""
    table, names = np.array(found.importance), statistic_names()
    return [names[k] for k in np.argsort(-table.sum(axis=1), kind="stable")[:_MOST_STATISTICS]]


def _importance(axes: Axes, found: Identification, colours: Sequence[str]) -> None:
    names = statistic_names()
    rows = [names.index(name) for name in _order(found)]
    table = 100 * np.array(found.importance)[rows]
    axes.imshow(table, cmap=_SHADES, vmin=0, aspect="auto")
    labels = [f"{names[k]}  {table[n].sum():.1f} %" for n, k in enumerate(rows)]
    axes.set_yticks(range(len(rows)), labels, fontsize=7)
    axes.set_xlabel("time")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(False)


def _curves(
    axes: Axes,
    found: Identification,
    curves: Mapping[str, Curve],
    colours: Sequence[str],
    what: str,
    *,
    log: bool = False,
) -> None:
    for k, (name, curve) in enumerate(curves.items()):
        axes.plot(curve.places, [s.mean for s in curve.scores], label=name, **_style(k, colours))
    axes.set_xlabel(what)
    if log:
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_minor_formatter("")
    if log:
        axes.set_xticks(next(iter(curves.values())).places)
    _accuracy(axes, found)
    axes.legend(fontsize=8)


def _times(axes: Axes, found: Identification, colours: Sequence[str]) -> None:
    kinds = (("spread over all", found.spread_times, "-"), ("first ones", found.first_times, ":"))
    for which, curves, line in kinds:
        for k, (name, curve) in enumerate(curves.items()):
            style = _style(k, colours) | {"linestyle": line}
            axes.plot(
                curve.places, [s.mean for s in curve.scores], label=f"{name}, {which}", **style
            )
    axes.set_xlabel("times seen")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _accuracy(axes, found)
    axes.legend(fontsize=7)


def _groups(
    axes: Axes, found: Identification, colours: Sequence[str], *, scores: Mapping[str, Score]
) -> None:
    axes.bar(range(len(scores)), [s.mean for s in scores.values()], 0.6, color=colours[0])
    axes.set_xticks(range(len(scores)), list(scores))
    _accuracy(axes, found)


def _learnt(axes: Axes, found: Identification, colours: Sequence[str]) -> None:
    for k, values in enumerate(found.errors.values()):
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        axes.plot([low, high], [k, k], color=colours[0], linewidth=3, alpha=0.5)
        axes.plot(middle, k, "o", color=colours[0])
    axes.set_yticks(range(len(found.errors)), list(found.errors), fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("test error")


def _accuracy(axes: Axes, found: Identification) -> None:
    axes.axhline(found.chance, color=_GREY, linewidth=1, linestyle=":")
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylabel("recognised")


def _style(k: int, colours: Sequence[str]) -> dict[str, Any]:
    return {"color": colours[k], "marker": MARKERS[k]}


def _share(score: Score) -> str:
    return f"{percent(score.mean)} ± {100 * score.deviation:.1f}"


def _words(curves: Mapping[str, Curve]) -> str:
    return "; ".join(
        f"{name} from {percent(c.scores[0].mean)} to {percent(c.scores[-1].mean)}"
        for name, c in curves.items()
    )


def _listed(scores: Mapping[str, Score]) -> str:
    return "; ".join(f"{name} {percent(score.mean)}" for name, score in scores.items())
