"""Rows of the benchmark, how they are timed, printed and kept."""

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numba


@dataclass(frozen=True)
class Row:
    """One figure and what it is held to; `bar` and `met` are empty where it is only reported."""

    name: str
    value: float
    unit: str
    bar: str | None = None
    met: bool | None = None


def row(
    name: str,
    value: float,
    unit: str,
    *,
    at_least: float | None = None,
    below: float | None = None,
    aim: bool = False,
) -> Row:
    """Return a row held to a limit; an aim is wished for, not required."""
    if at_least is None and below is None:
        return Row(name, value, unit)
    bar = f"≥ {at_least:g}" if below is None else f"< {below:g}"
    met = value >= at_least if below is None else value < below
    return Row(name, value, unit, f"aim {bar}" if aim else bar, bool(met))


def interleaved(
    tasks: dict[str, Callable[[], object]], *, rounds: int, repeats: int = 1, pause: float = 0.0
) -> dict[str, list[float]]:
    """Return the seconds of one call of each task in each round, the tasks taking turns.

    Each turn begins with one call that is not timed; the time is then the mean of `repeats`.
    `pause` lets the threads of the task before fall asleep.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            time.sleep(pause)
            task()
            started = time.perf_counter()
            for _ in range(repeats):
                task()
            seconds[name].append((time.perf_counter() - started) / repeats)
    return seconds


def show(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    cells = [("", "value", "unit", "bar", "met")]
    cells += [
        (r.name, f"{r.value:.3g}", r.unit, r.bar or "", {True: "yes", False: "NO"}.get(r.met, ""))
        for r in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    lines = []
    for name, value, *others in cells:
        rest = "  ".join(f"{c:<{w}}" for c, w in zip(others, widths[2:], strict=True))
        lines.append(f"{name:<{widths[0]}}  {value:>{widths[1]}}  {rest}".rstrip())
    return "\n".join(lines)


def keep(path: Path, rows: Sequence[Row], *, quick: bool) -> None:
    """Write the rows and where they were measured as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "threads": numba.get_num_threads(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "quick": quick,
        "rows": [asdict(r) for r in rows],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> str:
    """Return the processor's name and the number of its cores that this process may use."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"
