"""What a chip is made of: memory device, mapping of conductances, inputs, biases."""

from collections.abc import Mapping as TableLike
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from neurohw import library
from neurohw.circuits.curves import Curve, CurveFiles
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.neuron import Neuron
from neurohw.circuits.periphery import NudgingCircuit, SampleAndHold
from neurohw.circuits.synapse import Synapse
from neurohw.devices import memory
from neurohw.devices.memory import AnyDevice
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.mappings.programming import Programming
from neurohw.presets import Presets
from neurohw.units import Kelvins, Siemens, Volts, show

DEFAULT_UNIT_CONDUCTANCE = 10e-6
# Key paths that may name device files.
DEVICES = (
    "device",
    "device.preset",
    "programming.fast_device",
    "programming.fast_device.preset",
)
# Key paths that may name files of measured points.
CURVES = ("neuron.curve", "neuron.curve.file", "synapse", "synapse.file")
# Of the polynomial that is fitted to the points of a cell.
SYNAPSE_DEGREE = 5


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How dimensionless conductances become those of cells.

    Parameters
    ----------
    unit_conductance : float [S], optional
        Conductance that stands for 1; only where the device has no finite `g_max`, which sets it
        otherwise. Default 10 uS.
    conductance_scale : float or one a layer
        `g_max` of a layer's cells in units of the largest initial conductance of that layer,
        ``1/sqrt(inputs)``.
    """

    unit_conductance: Siemens | None = None
    conductance_scale: float | tuple[float, ...] = 4.0

    def __post_init__(self) -> None:
        unit = self.unit_conductance
        if unit is not None and not 0 < unit < float("inf"):
            raise InvalidValueError(f"unit_conductance = {unit}: must be finite, above 0")
        scale = np.atleast_1d(self.conductance_scale)
        if scale.size == 0 or not np.all((scale > 0) & np.isfinite(scale)):
            raise InvalidValueError(
                f"conductance_scale = {self.conductance_scale}: must be finite, above 0"
            )


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Input lines: `full_scale` [V] is the voltage of a pixel of 1."""

    full_scale: Volts = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.full_scale < float("inf"):
            raise InvalidValueError(f"full_scale = {self.full_scale}: must be finite, above 0")


class Bias(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Biases of the nodes.

    Parameters
    ----------
    kind : {"current", "off", "rails"}
        A programmable current source a node; none; or a cell to a positive and a cell to a
        negative rail.
    rail : float [V], optional
        Magnitude of the rails' voltage; default the voltage of the target 1, so that a bias moves
        the outputs no faster than another unit does.
    """

    kind: Literal["current", "off", "rails"] = "off"
    rail: Volts | None = None

    def __post_init__(self) -> None:
        if self.rail is not None and not 0 < self.rail < float("inf"):
            raise InvalidValueError(f"rail = {self.rail}: must be finite, above 0")


class ChipSpecification(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A chip: device, mapping, programming, input lines, biases, neurons, wires, periphery.

    Without `wires` they have no resistance; without `synapse`, the curve of one cell, cells are
    resistors; the curve's slope at 0 V stands for a cell's conductance. temperature [K] is that of
    diodes, of wires given by their technology node, and of thermal noise.
    """

    name: str = "custom"
    description: str = ""
    device: AnyDevice
    mapping: Mapping = msgspec.field(default_factory=Mapping)
    programming: Programming = msgspec.field(default_factory=Programming)
    input: Input = msgspec.field(default_factory=Input)
    bias: Bias = msgspec.field(default_factory=Bias)
    neuron: Neuron = msgspec.field(default_factory=Neuron)
    wires: Wires | None = None
    synapse: Curve | None = None
    nudging: NudgingCircuit = msgspec.field(default_factory=NudgingCircuit)
    hold: SampleAndHold = msgspec.field(default_factory=SampleAndHold)
    temperature: Kelvins = 300.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise InvalidValueError(f"temperature = {self.temperature}: must be finite, above 0")
        if self.synapse is not None:
            self._require_supported(Synapse(self.synapse))
        if self.wires is not None and self.wires.node is not None and self.temperature < 100:
            raise InvalidValueError(
                f"temperature = {self.temperature}: wires.node needs 100 K or more"
            )
        self._require_programmable()
        unit = self.mapping.unit_conductance
        if unit is not None and np.isfinite(self.device.g_max):
            raise InvalidValueError(
                f"mapping.unit_conductance = {show(unit, 'S')}: must be left out, because "
                f"the device's g_max and mapping.conductance_scale set it"
            )

    def _require_supported(self, synapse: Synapse) -> None:
        other = None
        if self.wires is not None:
            other = "wires: nonlinear cells need them without resistance"
        elif self.bias.kind == "rails":
            other = "bias.kind = rails: those cells would be nonlinear too; take current or off"
        elif self.neuron.amplified:
            other = "neuron.gain, backward_gain or offset: nonlinear cells need no amplifier"
        if other is not None:
            raise UnsupportedError(f"synapse together with {other}")

    def _require_programmable(self) -> None:
        """Refuse update schemes that this device, or that of the fast array, has no pulses for."""
        key = self.programming.needs_pulses
        for device in (self.device, self.programming.fast_device):
            if key and device is not None and not getattr(device, "whole_pulses", False):
                known = "law = ideal" if device.law == "ideal" else "whole_pulses = false"
                raise UnsupportedError(
                    f"programming.{key}: needs devices with whole pulses; {device.name} has {known}"
                )
        if self.programming.optimizer == "adam" and not np.isfinite(self.device.g_max):
            raise InvalidValueError(
                "programming.optimizer = adam: adam_step is a share of g_max - g_min: needs a"
                " device with a finite g_max"
            )

    @property
    def interconnect(self) -> Wires | None:
        """The wires with their resistances, those of a technology node at the temperature."""
        return None if self.wires is None else self.wires.at(self.temperature)

    def conductance_scales(self, layers: int) -> tuple[float, ...]:
        """One conductance scale a layer; `InvalidValueError` for a list of another length."""
        scale = self.mapping.conductance_scale
        if not isinstance(scale, tuple):
            return (scale,) * layers
        if len(scale) != layers:
            raise InvalidValueError(
                f"mapping.conductance_scale = {list(scale)}: must be one number, or {layers}, "
                f"one a layer"
            )
        return scale


def load(source: str | Path | TableLike[str, object]) -> ChipSpecification:
    """Chip of a preset's name, a TOML file or a table; `ConfigurationError` if it has none."""
    return PRESETS.load(source)


def available() -> list[dict[str, Any]]:
    """Name, description and device of every preset."""
    chips = [load(name) for name in PRESETS.names()]
    return [
        {"name": chip.name, "description": chip.description, "device": chip.device.name}
        for chip in chips
    ]


PRESETS = Presets(
    kind="chip",
    struct=ChipSpecification,
    folder=library.folder("mappings") / "chips",
    paths=(*DEVICES, *CURVES),
    parts={
        "device": memory.PRESETS,
        "programming.fast_device": memory.PRESETS,
        "neuron.curve": CurveFiles(),
        "synapse": CurveFiles(SYNAPSE_DEGREE),
    },
)
