"""The update laws, one class each: what a TOML file says of a device whose law has that name.

Steps are given for the nominal device; every cell has its own, by the spread of
`neurohw.devices.device.PulsedDevice`.
"""

from neurohw.devices.device import MemoryDevice
from neurohw.devices.laws.label import Exponential, Ideal
from neurohw.devices.laws.stepped import ConstantStep, Linear, SoftBounds
from neurohw.devices.laws.tabulated import (
    ExponentialStep,
    LookupTable,
    OneSided,
    Piecewise,
    Power,
)

LAWS: tuple[type[MemoryDevice], ...] = (
    Ideal,
    Exponential,
    Linear,
    SoftBounds,
    ConstantStep,
    Power,
    ExponentialStep,
    OneSided,
    Piecewise,
    LookupTable,
)
