"""Draw docs/laws.png, conductances of presets along pulses: `python tests/benchmarks/laws.py`."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot

from neurohw.devices import memory, programming
from neurohw.devices.fabrication import fabricate
from neurohw.update import Update

matplotlib.use("Agg")

CELLS, PULSES = 12, 1000
PRESETS = ("epiram", "pcmo", "reram-es", "reram-sb", "ecram")


def trace(name: str) -> np.ndarray:
    """Return (pulses, cells) conductances from 0 to 1 along pulses up, then down."""
    device = memory.load(name)
    cells = fabricate(device, 1, CELLS, width=1.0, seed=0, array=0)
    g = np.broadcast_to(cells.low, (1, CELLS)).copy()
    read, points = g.copy(), [g[0]]
    ups = downs = int(np.clip(cells.law.limit_up, 40, PULSES))
    for event in range(ups + downs):
        step = cells.law.step_up if event < ups else -cells.law.step_down
        update = Update(presynaptic=np.ones((1, 1, CELLS)), postsynaptic=np.full((1, 1, 1), step))
        g, _ = programming.program(cells, g, update, event, read)
        points.append((g if cells.law.write_sigma == 0 else read)[0].copy())
    return (np.array(points) - device.g_min) / (device.g_max - device.g_min)


def main() -> None:
    """Draw every preset in a panel of its own."""
    canvas, panels = pyplot.subplots(
        1, len(PRESETS), figsize=(12, 2.8), sharey=True, layout="constrained"
    )
    for panel, name in zip(panels, PRESETS, strict=True):
        values = trace(name)
        pulses = np.arange(len(values))
        panel.plot(pulses, values, color="#0072b2", linewidth=0.5, alpha=0.4)
        panel.plot(pulses, values.mean(axis=1), color="#d55e00", linewidth=1.5)
        panel.axvline(len(values) // 2, color="gray", linewidth=0.5)
        panel.set_title(f"{name}: {memory.load(name).law}", fontsize=9)
        panel.set_xlabel("pulses, up then down")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("(G − g_min) / range")
    canvas.savefig(Path("docs/laws.png"), dpi=110)


if __name__ == "__main__":
    main()
