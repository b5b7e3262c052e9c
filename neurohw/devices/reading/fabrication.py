"""What reading the cells of one array gives, as fabricated."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurohw import randomness
from neurohw.devices.device import MemoryDevice
from neurohw.devices.reading.noise import ReadNoise
from neurohw.devices.reading.retention import Retention
from neurohw.devices.reading.wear import Disturb

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False, kw_only=True)
class CellReading:
    """Noise, retention, read disturb and endurance of one array; None, or inf, without.

    endurance is in pulses; a cell that took more stays where it stands.
    """

    noise: ReadNoise | None = None
    retention: Retention | None = None
    disturb: Disturb | None = None
    endurance: float = float("inf")


def fabricate(
    device: MemoryDevice,
    low: Array,
    high: Array,
    units: int,
    inputs: int,
    *,
    width: float,
    temperature: float,
    seed: int,
    array: int,
) -> CellReading:
    """Draw what reading an array's cells gives.

    low and high, (units, inputs) or (1, 1), are their limits [S]; width is their size relative to
    the device as measured, temperature [K] that of thermal noise.
    """
    reading, noise, retention, disturb = device.reading, None, None, None
    g_max = device.g_max * width
    span = g_max - device.g_min * width
    if reading.noisy:
        noise = ReadNoise(
            reading,
            units,
            inputs,
            g_max=g_max,
            span=span,
            temperature=temperature,
            seed=seed,
            array=array,
        )
    drift = reading.drift
    if drift.drifts or drift.leaks or drift.programming_error:
        retention = Retention(
            drift, low, high, units, inputs, g_max=g_max, span=span, seed=seed, array=array
        )
    if reading.disturb > 0 and np.isfinite(device.write_threshold):
        # A device whose falling pulse is the positive one moves the other way.
        polarity = -1.0 if device.pulse_voltage_up < 0 else 1.0
        disturb = Disturb(
            threshold=device.write_threshold,
            step=polarity * reading.disturb * span,
            chance=reading.disturb_chance,
            stream=randomness.stream(seed, "disturb", array),
        )
    return CellReading(
        noise=noise, retention=retention, disturb=disturb, endurance=device.endurance
    )
