"""What the converters of a chip resolve, against what learning asks of them."""

import math
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.converters import Converter
from neurohw.experiments.experiment import Experiment
from neurohw.networks.feedforward import REACH
from neurohw.units import show

Array = NDArray[np.floating]


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """A converter, of ADCs one of each layer, and the voltages that it has to do with.

    full_scale and step (LSB) [V], infinite and 0 where there is none; voltage, the mean |v| of
    the layer in the free phase, of a nudge DAC that of the target 1, and difference, the mean
    |v_a − v_b| of the phases [V], None where it does not convert that. bits_needed, for a step of
    `difference`, where that is None of `voltage`.
    """

    name: str
    bits: int
    full_scale: float
    step: float
    voltage: float | None
    difference: float | None
    bits_needed: int | None

    @property
    def line(self) -> str:
        """The same as a line of text."""
        parts = [f"range {show(self.full_scale, 'V')}", f"step {show(self.step, 'V')}"]
        if self.voltage is not None:
            parts.append(f"|v| {show(self.voltage, 'V')}")
        if self.difference is not None:
            parts.append(f"|v_a - v_b| {show(self.difference, 'V')}")
        if self.bits_needed is not None:
            parts.append(f"needs {self.bits_needed} bits")
        return f"{self.name}: {self.bits or 'unlimited'} bits, {', '.join(parts)}"


def resolutions(
    experiment: Experiment,
    unit_voltage: float,
    ranges: Mapping[str, Array],
    physical: Mapping[str, Array],
) -> list[Resolution]:
    """Return what each converter of an experiment's chip resolves.

    unit_voltage, that of the target 1 [V]; ranges, those that were calibrated, as
    `neurohw.circuits.readout.Readout.ranges`, or, of a feed-forward network,
    `neurohw.circuits.passes.Passes.ranges`; physical as `neurohw.experiments.physics.measure`
    returns it, of networks that relax.
    """
    chip, converters = experiment.chip, experiment.chip.converters
    found = []
    if converters.input_dac is not None:
        found.append(_resolution("input_dac", converters.input_dac, chip.input.full_scale))
    if converters.nudge_dac is not None:
        signed = experiment.circuit.nudging.built != "conductance"
        known = float(ranges["nudge"][0]) if "nudge" in ranges else math.inf
        found.append(
            _resolution(
                "nudge_dac",
                converters.nudge_dac,
                known if signed else unit_voltage,
                signed=signed,
                voltage=unit_voltage,
            )
        )
    if experiment.network.kind == "feedforward":
        return found + _of_passes(experiment, unit_voltage, ranges)
    both = converters.read == "difference"
    adcs = {"state": converters.state_adc}
    if both:
        adcs["difference"] = converters.difference_adc
    for name, adc in adcs.items():
        if adc is None:
            continue
        for k in range(experiment.layers):
            voltage, moved = float(physical["voltage"][k]), float(physical["difference"][k])
            found.append(
                _resolution(
                    f"{name}_adc of layer {k + 1}",
                    adc,
                    float(ranges[name][k]) if name in ranges else math.inf,
                    layer=k,
                    signed=True,
                    voltage=voltage if name == "state" else None,
                    difference=None if name == "state" and both else moved,
                )
            )
    return found


def _of_passes(
    experiment: Experiment, unit_voltage: float, ranges: Mapping[str, Array]
) -> list[Resolution]:
    """Return what the converters of forward and backward reads resolve, a layer each."""
    converters, layers = experiment.chip.converters, range(1, experiment.layers + 1)
    assert experiment.network.activation is not None  # the configuration asks for it
    low, high = REACH[experiment.network.activation]
    found = []
    for key, converter, numbers in (
        ("state_adc", converters.state_adc, layers),
        ("state_dac", converters.state_dac, layers[:-1]),
        ("error_dac", converters.error_dac, layers[1:]),
        ("error_adc", converters.error_adc, layers[:-1]),
    ):
        if converter is None:
            continue
        known = np.full(len(numbers), high * unit_voltage if key == "state_dac" else np.inf)
        held = ranges.get(key.removesuffix("_adc"), known)
        found += [
            _resolution(
                f"{key} of layer {number}",
                converter,
                float(held[k]),
                layer=k,
                signed=key != "state_dac" or low < 0,
            )
            for k, number in enumerate(numbers)
        ]
    return found


def _resolution(
    name: str,
    converter: Converter,
    known: float,
    *,
    layer: int = 0,
    signed: bool = False,
    voltage: float | None = None,
    difference: float | None = None,
) -> Resolution:
    """Return the resolution of a converter; known, its full scale where it is not given [V]."""
    full_scale = converter.range_or(known, layer)
    asked = voltage if difference is None else difference
    needed = None
    if asked and math.isfinite(full_scale):
        steps = 2 * full_scale / asked if signed else full_scale / asked + 1
        # A calibrated range is as large as the target to rounding.
        needed = max(math.ceil(math.log2(steps) - 1e-9), 1)
    return Resolution(
        name=name,
        bits=converter.bits,
        full_scale=full_scale,
        step=converter.step(full_scale, signed=signed),
        voltage=voltage,
        difference=difference,
        bits_needed=needed,
    )
