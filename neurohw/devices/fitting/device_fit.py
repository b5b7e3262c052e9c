"""A device of one's own: fitted to measured pulse trains, written as a TOML file."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from neurohw.devices import memory
from neurohw.devices.device import MemoryDevice
from neurohw.devices.fitting import traces as reading
from neurohw.devices.fitting.curves import CURVES
from neurohw.devices.fitting.law_fit import LawFit, fit_law
from neurohw.devices.fitting.parameters import Nominal, Parameter, nominal, parameters
from neurohw.devices.fitting.ranges import ranges
from neurohw.devices.fitting.selection import Score, chosen, compare
from neurohw.devices.fitting.traces import Traces
from neurohw.errors import ConfigurationError, DataError
from neurohw.specification import nearest
from neurohw.units import show

BEST = "best"
LAWS = (BEST, *CURVES)

# Pulses of either polarity that a fit needs.
_LEAST_PULSES = 10
# A device that moves over less than this share of the usual range is stuck.
_STUCK = 0.05
# What a device file takes as a share of 1 at most.
_SHARES = ("cycle_to_cycle", "range_spread", "low_spread", "high_spread", "slope_spread")
# Cycles that cover less of the range do not say where its limits are.
_COVERED = 0.85


@dataclass(frozen=True, eq=False, kw_only=True)
class DeviceFit:
    """A device fitted to measured pulse trains.

    Parameters
    ----------
    fit : LawFit
        The law taken, as fitted.
    traces : Traces
        Of the devices that move.
    stuck : mapping
        Share of the devices measured that do not, by where: ``low``, ``high``, ``open`` or
        ``random``.
    scores : tuple of Score
        Of the laws compared by cross-validation; empty where one was asked for.
    name : str
    """

    fit: LawFit
    traces: Traces
    stuck: Mapping[str, float]
    scores: tuple[Score, ...]
    name: str

    @property
    def law(self) -> str:
        """Name of the law."""
        return self.fit.curves.law

    @cached_property
    def nominal(self) -> Nominal:
        """The device in the middle, and each of those measured."""
        return nominal(self.fit)

    @cached_property
    def parameters(self) -> list[Parameter]:
        """Keys of the law, of noise and of spread, with their 95 % intervals."""
        return parameters(self.fit, self.nominal)

    @cached_property
    def device(self) -> MemoryDevice:
        """The device, as its file describes it."""
        return memory.load(self.table())

    def table(self) -> dict[str, Any]:
        """Return the table of the device's file."""
        table: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "source": f"{self.traces.source}, SHA-256 {self.traces.checksum}",
            "law": self.law,
        }
        for parameter in self.parameters:
            if parameter.found:
                table[parameter.key] = _value(parameter)
        if self.stuck:
            table["stuck"] = dict(self.stuck)
        return table

    @property
    def description(self) -> str:
        """One line on what was measured."""
        devices = len(self.traces.devices)
        pulses = int(np.count_nonzero(self.traces.pulse))
        return f"fitted to {devices} device{'s' if devices > 1 else ''}, {pulses:,} pulses"

    @property
    def notes(self) -> list[str]:
        """What a person should know of this fit, a line each."""
        notes = []
        if self.stuck:
            shares = ", ".join(f"{show(v, '%')} {key}" for key, v in self.stuck.items())
            notes.append(f"devices that pulses do not move are stuck cells, not fitted: {shares}")
        outliers, readings = self.fit.outliers, int(self.traces.seen.sum())
        if outliers:
            notes.append(f"{outliers} of {readings:,} readings are more than 5 deviations off")
        covered = float(np.median(self.fit.ranges.high - self.fit.ranges.low)) / self.nominal.span
        if covered < _COVERED:
            notes.append(
                f"cycles cover {show(covered, '%')} of the fitted range: limits are extrapolated"
            )
        for parameter in self.parameters:
            if parameter.key in _SHARES and parameter.value > 1:
                notes.append(f"{parameter.key} = {show(parameter.value, '%')}: taken as 100 %")
            if parameter.key == "up_down" and abs(parameter.value) > 0.95:
                notes.append(f"up_down = {parameter.value:.3g}: one polarity hardly moves devices")
        return notes

    def toml(self) -> str:
        """Return the device's file: every number with its unit, and its interval beside it."""
        table = self.table()
        lines = [f"{key} = {_text(table[key])}" for key in ("description", "source", "law")]
        intervals = False
        for parameter in self.parameters:
            if parameter.key in table:
                line = f"{parameter.key} = {_text(_shown(parameter))}"
                remark = _interval(parameter)
                lines.append(f"{line:<36} # {remark}" if remark else line)
            else:
                most = show(float(np.max(parameter.high)), parameter.unit)
                lines.append(f"# {parameter.key}: none found, {most} at most")
            intervals = intervals or bool(_interval(parameter))
        if self.stuck:
            shares = ", ".join(f"{key} = {_text(show(v, '%'))}" for key, v in self.stuck.items())
            lines.append(f"stuck = {{ {shares} }}")
        if intervals:
            lines.insert(3, "# Behind each number: its 95 % confidence interval.")
        lines.append("# Not measured: pulse voltages and widths, write threshold, endurance.")
        return "\n".join(lines) + "\n"

    def save(self, path: Path | str) -> Path:
        """Write the device's file, whole or not at all, and return its path.

        Raises
        ------
        ConfigurationError
            If it cannot be written.
        """
        path = Path(path)
        text = self.toml()
        temporary = path.with_name(f".{path.name}.unfinished")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None
        finally:
            if temporary.is_file():
                temporary.unlink()
        return path


def fit_device(
    path: Path | str,
    law: str = BEST,
    *,
    columns: Mapping[str, str] | None = None,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> DeviceFit:
    """Fit a memory device to measured potentiation and depression.

    Parameters
    ----------
    path : Path
        CSV file of readings, one a pulse, with the header
        ``device,cycle,pulse,polarity,conductance_S``; see `neurohw.devices.fitting.traces`.
    law : str
        A law's name, or ``best``: the simplest of those that predict as well as the best one the
        cycles that they were not fitted to.
    columns : mapping, optional
        What columns are called in the file, such as ``{"conductance_S": "G"}``.
    progress : callable
        Is told what is being done, and which share of everything is.

    Returns
    -------
    DeviceFit
        With `device`, `parameters`, `scores`, and `save`.

    Raises
    ------
    DataError
        The file cannot be read, or holds something that is no measurement; one line naming file,
        line and value.
    ConfigurationError
        An unknown law.
    """
    if law not in LAWS:
        raise ConfigurationError(f'law = "{law}": unknown law; {nearest(law, LAWS)}')
    path = Path(path)
    traces, stuck = _moving(reading.read(path, columns))
    for polarity in (1, -1):
        count = int(np.count_nonzero(traces.pulse == polarity))
        if count < _LEAST_PULSES:
            raise DataError(
                f"{path}: polarity: {count} pulses of {polarity:+d} follow another reading; a fit"
                f" needs {_LEAST_PULSES}"
            )
    laws = list(CURVES) if law == BEST else [law]
    span = ranges(traces)
    share = 0.6 if law == BEST else 1.0
    fits = []
    for k, name in enumerate(laws):

        def told(part: float, k: int = k, name: str = name) -> None:
            progress(f"fitting {name}", share * (k + part) / len(laws))

        fits.append(fit_law(traces, CURVES[name], span, told=told))
    scores: list[Score] = []
    best = fits[0]
    if law == BEST:
        scores = compare(
            traces, span, fits, lambda part: progress("cross-validating", share + 0.4 * part)
        )
        best = fits[laws.index(chosen(scores).law)]
    return DeviceFit(fit=best, traces=traces, stuck=stuck, scores=tuple(scores), name=path.stem)


def _moving(traces: Traces) -> tuple[Traces, dict[str, float]]:
    """Return the traces of the devices that pulses move, and which share is stuck, and where."""
    count = len(traces.devices)
    ends = np.full((count, 2), np.nan)
    for d in np.unique(traces.device):
        readings = traces.reading[traces.device == d]
        ends[d] = np.nanquantile(readings, (0.05, 0.95))
    width = ends[:, 1] - ends[:, 0]
    still = width < _STUCK * np.nanquantile(width, 0.75)
    if not still.any() or not (width[~still] > 0).any():
        return traces.of(np.isfinite(width)), {}
    low, high = np.nanmedian(ends[~still], axis=0)
    shares = dict.fromkeys(("open", "low", "high", "random"), 0.0)
    for held in ends[still].mean(axis=1):
        near = 0.1 * (high - low)
        if abs(held - low) <= near:
            where = "low"
        elif abs(held - high) <= near:
            where = "high"
        else:
            where = "open" if held < 0.1 * low else "random"
        shares[where] += 1 / count
    return traces.of(np.isfinite(width) & ~still), {k: v for k, v in shares.items() if v > 0}


def _value(parameter: Parameter) -> Any:
    if parameter.key in _SHARES:
        return min(float(parameter.value), 1.0)
    if parameter.key in ("pulses_up", "pulses_down"):
        return max(round(float(parameter.value)), 1)
    return np.asarray(parameter.value).tolist()


def _shown(parameter: Parameter) -> Any:
    """Return the value as the file has it: text with a unit, or numbers."""
    value = _value(parameter)
    if parameter.unit and not np.ndim(value):
        return show(value, parameter.unit)
    return value


def _text(value: Any) -> str:
    """Return a value in TOML."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _interval(parameter: Parameter) -> str:
    if np.array_equal(parameter.low, parameter.high):
        return ""
    if np.ndim(parameter.value):
        half = (np.asarray(parameter.high) - np.asarray(parameter.low)) / 2
        return "each ± " + ", ".join(f"{one:.2g}" for one in half)
    return f"{show(parameter.low, parameter.unit)} to {show(parameter.high, parameter.unit)}"
