"""Cells as fabricated, their update law in readable form, and the pass over an array of them.

The exponential law without logarithms: n signed pulses take a cell from G to

    G' = T − (T − G) · e^(−n·r),   T = G_min + (G_max − G_min)/(1 − e^(−c)),   r = c/P

with the curvature c = 1/A of the direction (signed; `memory.curvature`) and P pulses for the whole
range. A negative c of the downward direction falls steeply from the top. Identical to the
forward–inverse pair of NeuroSim's label curves, without their NaN at the limits.

References
----------
Chen, Peng, Yu (2018), "NeuroSim: a circuit-level macro model for benchmarking neuro-inspired
architectures in online learning", IEEE TCAD 37, 3067.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.devices.memory import MemoryDevice, curvature
from neurohw.update import Update

Array = NDArray[np.floating]

# Below this the curve differs from a line by less than 3e-5 of the range.
SMALLEST_CURVATURE = 1e-4


@dataclass(frozen=True, eq=False, kw_only=True)
class Cells:
    """The cells of one array as fabricated.

    Parameters
    ----------
    low, high : (units, inputs) or (1, 1) arrays [S]
        Limits of each cell; one entry where all are alike.
    curvature_up, curvature_down : likewise
        Signed 1/A of each cell's law.
    pulses_up, pulses_down : int
        Pulses for the whole range; cells of 0 pulses down are not lowered by any update.
    per_siemens_up, per_siemens_down : float [1/S]
        Pulses that the controller counts for a wanted change; it knows the nominal range only.
    sigma : float [S]
        Standard deviation of one pulse's noise.
    ideal, whole : bool
        Whether any change is taken exactly; whether pulses are whole numbers.
    cycle_stream, rounding_stream : int
        Streams of the draws; see `neurohw.randomness`.
    """

    low: Array
    high: Array
    curvature_up: Array
    curvature_down: Array
    pulses_up: int
    pulses_down: int
    per_siemens_up: float
    per_siemens_down: float
    sigma: float
    ideal: bool
    whole: bool
    cycle_stream: int
    rounding_stream: int

    @property
    def curved(self) -> bool:
        """Whether any cell's law differs from a straight line."""
        alike = self.low.size == 1
        flat = max(np.abs(self.curvature_up).max(), np.abs(self.curvature_down).max())
        return not (alike and flat <= SMALLEST_CURVATURE)

    def target(self, curvatures: Array) -> Array:
        """Return T, which the law moves towards [S]."""
        return self.low - (self.high - self.low) / np.expm1(-curvatures)


def fabricate(
    device: MemoryDevice, units: int, inputs: int, *, width: float, seed: int, array: int
) -> Cells:
    """Draw the cells of an array: device-to-device spread around the device's parameters.

    width is the size of the cells relative to the device as measured; it scales both limits.
    Ideal cells are all alike.
    """
    g_min, g_max = device.g_min * width, device.g_max * width
    ideal = device.law == "ideal"

    def normal(purpose: str) -> Array:
        cells = np.arange(units * inputs).reshape(units, inputs)
        return randomness.normals(
            randomness.key(randomness.stream(seed, purpose, array)), cells
        ).astype(np.float64)

    low, high = np.full((1, 1), g_min), np.full((1, 1), g_max)
    labels = [np.full((1, 1), device.nonlinearity_up), np.full((1, 1), device.nonlinearity_down)]
    if device.range_spread > 0 and not ideal:
        low = np.maximum(g_min * (1 + device.range_spread * normal("g_min")), 0.0)
        high = g_max * (1 + device.range_spread * normal("g_max"))
        high = np.maximum(high, low + 0.01 * (g_max - g_min))
    if device.nonlinearity_spread > 0 and not ideal:
        spread = device.nonlinearity_spread
        labels[0] = labels[0] + spread * normal("nonlinearity_up")
        labels[1] = labels[1] + spread * normal("nonlinearity_down")
    if not ideal and (device.range_spread > 0 or device.nonlinearity_spread > 0):
        low, high = (np.broadcast_to(a, (units, inputs)) for a in (low, high))
        labels = [np.broadcast_to(a, (units, inputs)) for a in labels]
    span = g_max - g_min
    return Cells(
        low=low,
        high=high,
        curvature_up=_not_flat(curvature(labels[0])),
        curvature_down=_not_flat(curvature(labels[1])),
        pulses_up=device.pulses_up,
        pulses_down=device.pulses_down,
        per_siemens_up=device.pulses_up / span,
        per_siemens_down=device.pulses_down / span,
        sigma=0.0 if device.cycle_to_cycle == 0 else device.cycle_to_cycle * span,
        ideal=ideal,
        whole=device.whole_pulses and not ideal,
        cycle_stream=randomness.stream(seed, "cycle", array),
        rounding_stream=randomness.stream(seed, "rounding", array),
    )


def _not_flat(curvatures: Array) -> Array:
    flat = np.abs(curvatures) < SMALLEST_CURVATURE
    return np.where(flat, np.copysign(SMALLEST_CURVATURE, curvatures), curvatures)


def first_write(cells: Cells, wanted: Array) -> Array:
    """Return the conductances after programming a fresh array to `wanted` (units, inputs) [S].

    Each cell takes the nearest of the levels that potentiation from its lower limit can reach;
    an ideal cell, or one with analog increments, the nearest value within its limits.
    """
    held = np.clip(wanted, cells.low, cells.high)
    if not cells.whole:
        return held
    rate = cells.curvature_up / cells.pulses_up
    target = cells.target(cells.curvature_up)
    # On the steepest curves the target is the upper limit itself, infinitely many pulses away.
    with np.errstate(divide="ignore"):
        pulses = np.rint(-np.log1p(-(held - cells.low) / (target - cells.low)) / rate)
    pulses = np.clip(pulses, 0, cells.pulses_up)
    return np.clip(target - (target - cells.low) * np.exp(-pulses * rate), cells.low, cells.high)


def moved(cells: Cells, conductance: Array, pulses: Array) -> Array:
    """Return the noiseless conductance after a signed number of pulses a cell [S]."""
    up = pulses > 0
    if not cells.curved:
        return conductance + pulses / np.where(up, cells.per_siemens_up, cells.per_siemens_down)
    curvatures = np.where(up, cells.curvature_up, cells.curvature_down)
    rate = curvatures / np.where(up, cells.pulses_up, max(cells.pulses_down, 1))
    target = np.where(up, cells.target(cells.curvature_up), cells.target(cells.curvature_down))
    return conductance + (conductance - target) * np.expm1(-pulses * rate)


def program(
    cells: Cells, conductance: Array, update: Update, first_event: int, tile: int
) -> tuple[Array, Array]:
    """Return (conductance, pulses) after an update: the oracle of `neurohw.devices.kernels`.

    conductance (units, inputs) [S]; pulses, how many each cell took, the same shape. `tile` is
    the kernels' tile, which decides how draws are laid out.
    """
    g: Array = conductance.astype(np.float64)
    units, inputs = g.shape
    count = np.zeros(g.shape)
    index = np.arange(units * inputs).reshape(units, inputs)
    for event in range(update.presynaptic.shape[0]):
        wanted = update.dense(g, event)
        if cells.ideal:
            g = np.clip(g + wanted, cells.low, cells.high)
            continue
        pulses = wanted * np.where(wanted > 0, cells.per_siemens_up, cells.per_siemens_down)
        if cells.whole:
            key = randomness.key(cells.rounding_stream, first_event + event)
            pulses = np.floor(pulses + randomness.roundings(key, index))
        pulses = np.clip(pulses, -cells.pulses_down, cells.pulses_up)
        g = moved(cells, g, pulses)
        if cells.sigma > 0:
            key = randomness.key(cells.cycle_stream, first_event + event)
            normal = randomness.normals_by_tile(key, units, inputs, tile)
            g = g + cells.sigma * np.sqrt(np.abs(pulses)) * normal
        g = np.clip(g, cells.low, cells.high)
        count += np.abs(pulses)
    return g, count
