"""What a chip is made of: memory device, mapping of conductances, inputs, biases."""

import math
from collections.abc import Mapping as TableLike
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from neurohw import library
from neurohw.circuits.converters import MOST_BITS
from neurohw.circuits.costs import Costs
from neurohw.circuits.curves import Curve, CurveFiles
from neurohw.circuits.interconnect import Wires
from neurohw.circuits.neuron import Neuron
from neurohw.circuits.periphery import NudgingCircuit, SampleAndHold
from neurohw.circuits.readout import Converters
from neurohw.circuits.synapse import Synapse
from neurohw.devices import memory
from neurohw.devices.memory import AnyDevice
from neurohw.devices.redundancy import Tiling
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.mappings.programming import Programming
from neurohw.presets import Presets
from neurohw.units import Fraction, Kelvins, Siemens, Volts, show

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
_LARGEST_TILE = 1 << 16
_MOST_TILES = 1 << 30
_MOST_SPARES = 1024
# Of the polynomial that is fitted to the points of a cell.
SYNAPSE_DEGREE = 5


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How dimensionless conductances, or weights, become those of cells.

    Resistive networks have conductances, one cell each, and take no notice of the keys from
    `weight_range` on; those with signed weights take no notice of `conductance_scale`. An ideal
    device without a finite `g_max` holds signed weights itself, in one cell each.

    Parameters
    ----------
    scheme : {"single-ended", "differential-pair", "offset", "bit-sliced"}, optional
        Default single-ended for resistive networks, which have no other, and differential-pair
        for signed weights, which have the other three; see `neurohw.mappings.schemes`.
    unit_conductance : float [S], optional
        Conductance that stands for 1; only where the device has no finite `g_max`, which sets it
        otherwise. Default 10 uS.
    conductance_scale : float or one a layer
        `g_max` of a layer's cells in units of the largest initial conductance of that layer,
        ``1/sqrt(inputs)``.
    weight_range : float or one a layer
        Largest magnitude of a weight that the cells can hold.
    scale : {"layer", "column"}
        ``column``: amplifiers of their own gain let the largest weight of each unit fill the range
        when a trained network is written.
    sides : {"both", "one"}
        Cells of a differential pair that updates move; ``one``: only upwards.
    refresh : int
        Events between two rewritings of pairs, or slices, that have a cell near a limit; 0: none.
    reference : {"fixed", "column"}
        What the scheme offset, or bit-sliced, subtracts: the middle conductance itself, or that
        of a column of cells written to it.
    slices, slice_bits : int
        Cells of a weight, and bits of each digit, of the scheme bit-sliced.
    n_levels : int
        Values, evenly spaced, that cells are written to; 0: any.
    rounding : {"nearest", "stochastic"}
        To these.
    verify_pulses : int
        Most pulses a cell gets when it is written by pulses and reads in turn; 0: it is written
        once, to the nearest value that it can take.
    verify_tolerance : float
        Difference, of the range, at which no further pulse follows.
    tile : int
        Word lines, and bit lines, of a tile; 0: each array is one. Where wires have resistance
        `wires.tile` says it.
    tiles : int
        That the chip has; 0: as many as the network takes. Those of weights count, a narrower or
        fast array as well; reference columns and bias cells have none.
    spare_word_lines, spare_bit_lines : int
        That each tile has besides, for those with the most stuck cells; see
        `neurohw.devices.redundancy`. All kinds of networks take notice.
    """

    scheme: Literal["single-ended", "differential-pair", "offset", "bit-sliced"] | None = None
    unit_conductance: Siemens | None = None
    conductance_scale: float | tuple[float, ...] = 4.0
    weight_range: float | tuple[float, ...] = 1.0
    scale: Literal["layer", "column"] = "layer"
    sides: Literal["both", "one"] = "both"
    refresh: int = 0
    reference: Literal["fixed", "column"] = "fixed"
    slices: int = 2
    slice_bits: int = 3
    n_levels: int = 0
    rounding: Literal["nearest", "stochastic"] = "nearest"
    verify_pulses: int = 0
    verify_tolerance: Fraction = 0.01
    tile: int = 0
    tiles: int = 0
    spare_word_lines: int = 0
    spare_bit_lines: int = 0

    def __post_init__(self) -> None:
        unit = self.unit_conductance
        if unit is not None and not 0 < unit < float("inf"):
            raise InvalidValueError(f"unit_conductance = {unit}: must be finite, above 0")
        for key in ("conductance_scale", "weight_range"):
            value = np.atleast_1d(getattr(self, key))
            if value.size == 0 or not np.all((value > 0) & np.isfinite(value)):
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must be finite, above 0")
        for key, least in (("refresh", 0), ("verify_pulses", 0), ("slices", 2), ("slice_bits", 2)):
            if getattr(self, key) < least:
                raise InvalidValueError(f"{key} = {getattr(self, key)}: must be {least} or more")
        if self.n_levels != 0 and not 2 <= self.n_levels <= 2**MOST_BITS:
            raise InvalidValueError(
                f"n_levels = {self.n_levels}: must be 0 (any), or 2 to 2^{MOST_BITS}; float32"
                f" resolves no more"
            )
        last = (self.slices - 1) * (self.slice_bits - 1)
        if last > MOST_BITS:
            raise InvalidValueError(
                f"slice_bits = {self.slice_bits}: the last of slices = {self.slices} counts"
                f" 2^-{last} of the first; float32 resolves 2^-{MOST_BITS}"
            )
        for key, most in (
            ("tile", _LARGEST_TILE),
            ("tiles", _MOST_TILES),
            ("spare_word_lines", _MOST_SPARES),
            ("spare_bit_lines", _MOST_SPARES),
        ):
            if not 0 <= getattr(self, key) <= most:
                raise InvalidValueError(
                    f"{key} = {getattr(self, key)}: must lie between 0 and {most}"
                )
        if not 0 < self.verify_tolerance < 1:
            raise InvalidValueError(
                f"verify_tolerance = {self.verify_tolerance}: must lie between 0 and 1"
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
    """A chip: device, mapping, programming, inputs, biases, neurons, wires, periphery, costs.

    Without `wires` they have no resistance; without `synapse`, the curve of one cell, cells are
    resistors; the curve's slope at 0 V stands for a cell's conductance. transposed_read says
    whether arrays can be driven from their units' lines as well. temperature [K] is that of
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
    converters: Converters = msgspec.field(default_factory=Converters)
    costs: Costs = msgspec.field(default_factory=Costs)
    transposed_read: bool = True
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
        if self.wires is not None and self.mapping.tile:
            raise InvalidValueError(
                f"mapping.tile = {self.mapping.tile}: must be left out, because wires.tile ="
                f" {self.wires.tile} sets it"
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
        alike = self.programming.polarities == "alike"
        if alike and (self.device.law == "ideal" or self.mapping.sides == "one"):
            other = "law = ideal" if self.device.law == "ideal" else "mapping.sides = one"
            raise UnsupportedError(
                f"programming.polarities = alike: needs pulses up and down of one size each;"
                f" {other} has none"
            )
        if self.programming.optimizer == "adam" and not np.isfinite(self.device.g_max):
            raise InvalidValueError(
                "programming.optimizer = adam: adam_step is a share of g_max - g_min: needs a"
                " device with a finite g_max"
            )

    @property
    def built_costs(self) -> Costs:
        """The costs, with the node of the wires and the bits of the converters where given."""
        built: dict[str, Any] = {}
        if self.wires is not None and self.wires.node is not None:
            built |= {"node": self.wires.node, "half_pitches": self.wires.half_pitches}
        for key, converter in (
            ("dac_bits", self.converters.input_dac),
            ("adc_bits", self.converters.state_adc),
        ):
            if converter is not None and converter.bits:
                built[key] = converter.bits
        return msgspec.structs.replace(self.costs, **built)

    @property
    def tile(self) -> int | None:
        """Word lines, and bit lines, of a tile; None where each array is one."""
        return self.mapping.tile or None if self.wires is None else self.wires.tile

    def tiling(self, units: int, inputs: int) -> Tiling:
        """Return the tiles, with their spare lines, of an array."""
        return Tiling(
            units=units,
            inputs=inputs,
            tile=self.tile,
            spare_word_lines=self.mapping.spare_word_lines,
            spare_bit_lines=self.mapping.spare_bit_lines,
        )

    def require_tiles(self, shapes: Sequence[tuple[int, int]], crossbars: int) -> None:
        """Raise `InvalidValueError` where arrays (units, inputs) need more tiles than there are.

        crossbars, of each array.
        """
        needed = sum(crossbars * math.prod(self.tiling(*shape).tiles) for shape in shapes)
        if 0 < self.mapping.tiles < needed:
            size = "" if self.tile is None else f" of {self.tile} × {self.tile}"
            raise InvalidValueError(
                f"mapping.tiles = {self.mapping.tiles}: the network takes {needed} tiles{size}:"
                f" {needed - self.mapping.tiles} are missing"
            )

    @property
    def interconnect(self) -> Wires | None:
        """The wires with their resistances, those of a technology node at the temperature."""
        return None if self.wires is None else self.wires.at(self.temperature)

    def conductance_scales(self, layers: int) -> tuple[float, ...]:
        """One conductance scale a layer; `InvalidValueError` for a list of another length."""
        return self._each("conductance_scale", layers)

    def weight_ranges(self, layers: int) -> tuple[float, ...]:
        """One weight range a layer; `InvalidValueError` for a list of another length."""
        return self._each("weight_range", layers)

    def _each(self, key: str, layers: int) -> tuple[float, ...]:
        value: float | tuple[float, ...] = getattr(self.mapping, key)
        if not isinstance(value, tuple):
            return (value,) * layers
        if len(value) != layers:
            raise InvalidValueError(
                f"mapping.{key} = {list(value)}: must be one number, or {layers}, one a layer"
            )
        return value


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
