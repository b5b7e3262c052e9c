"""`neurohw new`: a complete, commented file to start from."""

import json
import re
from pathlib import Path
from typing import Any

import click

from neurohw.cli.output import units_of
from neurohw.errors import ConfigurationError

_LINE = re.compile(r'(?P<key>\w+)\s*=\s*(?P<value>"[^"]*"|[^#]*?)\s*(?:#\s*(?P<comment>.*))?$')

# What each key means; a shipped line's own comment, which has the source, goes before.
MEANINGS = {
    "description": "",
    "temperature": "of diodes, wires and thermal noise",
    "transposed_read": "whether arrays can be driven from their units as well",
    "device.name": "",
    "device.description": "",
    "device.source": "",
    "device.law": "how pulses move a cell; see docs/memory-devices.md",
    "device.g_min": "smallest conductance of a cell",
    "device.g_max": "largest conductance of a cell",
    "device.pulses_up": "pulses from g_min to g_max",
    "device.pulses_down": "pulses from g_max to g_min",
    "device.nonlinearity_up": "NeuroSim label, -9 to 9; 0 is linear",
    "device.nonlinearity_down": "negative: falls steeply from the top",
    "device.step": "upward step at the centre, of g_max - g_min",
    "device.centre": "share of the range where steps have that size, and a weight is zero",
    "device.up_down": "what upward steps are larger by, relative",
    "device.slope_up": "share of a step that is lost at the upper limit; 1: soft bounds",
    "device.slope_down": "likewise at the lower limit",
    "device.exponent_up": "",
    "device.exponent_down": "",
    "device.amplitude_up": "steps are 1 - amplitude·exp(±exponent·z)",
    "device.amplitude_down": "",
    "device.stretch": "z = 2·stretch·(x - centre) + shift, x from 0 to 1",
    "device.shift": "",
    "device.noise_offset": "noise of a step besides its own, of g_max - g_min",
    "device.noise_slope": "likewise, a distance from the centre",
    "device.reset": "where a reset leaves a cell, of the range",
    "device.reset_spread": "",
    "device.refresh_above": "a pair is refreshed where one cell is above this",
    "device.refresh_below": "and the other not below this, of the range",
    "device.steps_up": "from the lower limit to the upper one, in units of step",
    "device.steps_down": "likewise",
    "device.conductance": "where distributions are given",
    "device.changes_up": "quantiles of the change by a pulse, a list an entry",
    "device.changes_down": "likewise, negative",
    "device.whole_pulses": "false: fractions of a pulse are possible",
    "device.cycle_to_cycle": "noise of one pulse, of g_max - g_min",
    "device.step_noise": "noise of one pulse, of the step that it makes",
    "device.additive_noise": "true: step_noise is of the step at the centre",
    "device.write_noise": "between the state and what is read, of g_max - g_min",
    "device.nonlinearity_spread": "from device to device, standard deviation of both labels",
    "device.step_spread": "from device to device, of the size of steps, relative",
    "device.step_spread_kind": '"normal" or "lognormal"',
    "device.asymmetry_spread": "from device to device, up against down",
    "device.slope_spread": "from device to device, of both slopes",
    "device.low_spread": "from device to device, of the lower limit's distance from the centre",
    "device.high_spread": "likewise of the upper limit's",
    "device.range_spread": "from device to device, relative deviation of both limits",
    "device.word_line_share": "of that variance, common to the cells of a word line",
    "device.bit_line_share": "likewise of a bit line",
    "device.gradient": "relative change of both limits across the array",
    "device.pulse_voltage_up": "",
    "device.pulse_voltage_down": "",
    "device.pulse_width_up": "",
    "device.pulse_width_down": "",
    "device.write_threshold": "voltage above which reading disturbs a cell",
    "device.endurance": "pulses that a cell survives",
    "device.stuck.low": "share of cells stuck at the lower limit",
    "device.stuck.high": "at the upper one",
    "device.stuck.open": "without conductance",
    "device.stuck.random": "anywhere between the limits",
    "device.stuck.value": "where those of the next share are stuck",
    "device.stuck.at_value": "",
    "device.stuck.yield": "share that works, in place of low and high",
    "device.stuck.cells": "a mask: [array, unit, input, siemens] of each stuck cell",
    "device.reading.correlation": 'how long noise lasts: "frozen", "sample", "phase", "sweep"'
    ' or "spectrum"',
    "device.reading.relative": "read noise, of the conductance",
    "device.reading.absolute": "read noise, of g_max - g_min",
    "device.reading.reads": "readings that are averaged each time",
    "device.reading.bandwidth": "of reading",
    "device.reading.thermal": "4kT·G over the bandwidth",
    "device.reading.read_voltage": "for which thermal noise counts",
    "device.reading.flicker": "1/f noise in a band of frequencies from f to e·f, relative",
    "device.reading.flicker_exponent": "it falls with this power of G/g_max",
    "device.reading.flicker_most": "and is this at most",
    "device.reading.flicker_corner": "its lowest frequency",
    "device.reading.phase_time": "from the start of a phase to the next",
    "device.reading.disturb": "step by a read above write_threshold, of g_max - g_min",
    "device.reading.disturb_chance": "that such a read makes the step",
    "device.reading.telegraph.share": "of the cells that have a trap",
    "device.reading.telegraph.amplitude": "of the conductance that a full trap takes",
    "device.reading.telegraph.capture_time": "until an empty trap fills",
    "device.reading.telegraph.emission_time": "until a full trap empties",
    "device.reading.drift.step_time": "of a mini-batch; 0: no drift while training",
    "device.reading.drift.exponent": "nu of ((t + reference_time)/reference_time)^-nu",
    "device.reading.drift.reference_time": "",
    "device.reading.drift.exponent_slope": "change of nu by ln(G/g_max)",
    "device.reading.drift.exponent_limits": "",
    "device.reading.drift.exponent_spread": "of nu, from device to device",
    "device.reading.drift.exponent_spread_slope": "",
    "device.reading.drift.exponent_spread_limits": "",
    "device.reading.drift.target": 'where it leads: "zero", "minimum", "maximum", "random"',
    "device.reading.drift.lifetime": "mini-batches of a decay by 1/e",
    "device.reading.drift.lifetime_spread": "from device to device, relative",
    "device.reading.drift.resting": "where it decays to, of the range",
    "device.reading.drift.diffusion": "random step a mini-batch, of g_max - g_min",
    "device.reading.drift.programming_error": "rows of coefficients by powers of G/g_max",
    "device.reading.drift.programming_error_times": "one a row",
    "mapping.unit_conductance": "stands for 1; only for a device without a finite g_max",
    "mapping.conductance_scale": "g_max of a layer in units of 1/sqrt(inputs); one, or one a layer",
    "mapping.scheme": '"differential-pair", "offset" or "bit-sliced": signed weights',
    "mapping.weight_range": "largest weight that cells can hold; one, or one a layer",
    "mapping.scale": '"layer", or "column": each unit\'s largest weight fills the range if written',
    "mapping.sides": '"both" cells of a pair are moved, or "one", upwards only',
    "mapping.refresh": "events between rewritings of pairs or slices near a limit; 0: none",
    "mapping.reference": '"fixed" middle conductance, or a "column" of cells',
    "mapping.slices": "cells of a weight, where bit-sliced",
    "mapping.slice_bits": "bits of each digit, where bit-sliced",
    "mapping.n_levels": "values that cells are written to; 0: any",
    "mapping.rounding": '"nearest" or "stochastic", to these',
    "mapping.verify_pulses": "most pulses of a cell written with reads between; 0: no verifying",
    "mapping.verify_tolerance": "of the range, at which no further pulse follows",
    "mapping.tile": "word lines, and bit lines, of a tile; 0: each array is one; see wires.tile",
    "mapping.tiles": "that the chip has; 0: as many as the network takes",
    "mapping.spare_word_lines": "of each tile, in place of those with the most stuck cells",
    "mapping.spare_bit_lines": "likewise",
    "programming.events": '"batch" (the sum over a mini-batch) or "sample"',
    "programming.pulses": '"count", "train", "sign" or "write-verify"; see docs/programming.md',
    "programming.order": '"net" (one number a cell) or "sequential" (a term after another)',
    "programming.rounding": 'of pulse counts, "stochastic" or "nearest"',
    "programming.polarities": '"known" (each one\'s step) or "alike" (the mean step for both)',
    "programming.threshold": "of sign: wanted change, in pulses, that gets none",
    "programming.verify_pulses": "of write-verify: most pulses of a cell in one event",
    "programming.verify_tolerance": "likewise: accepted distance, of g_max - g_min",
    "programming.optimizer": 'digital filter: "none", "momentum" or "adam"',
    "programming.momentum": "share of the last step, or mean gradient, that is kept",
    "programming.second_momentum": "share of the mean square that Adam keeps",
    "programming.adam_step": "replaces the learning rate, of g_max - g_min",
    "programming.accumulate": '"none", "digital", "analog" (Tiki-Taka) or "carry"',
    "programming.fast_device": "of the fast array or the narrower cells; default: device",
    "programming.fast_rate": "factor on changes of the fast array",
    "programming.transfer_every": "events between transfers from the fast array",
    "programming.transfer_lines": "input lines that a transfer reads",
    "programming.transfer_rate": "change of a weight, of its fast cell's distance from zero",
    "programming.carry_every": "events between carries",
    "programming.carry_base": "width of a cell over that of the narrower one",
    "programming.half_select": "pulses that a cell feels of each one on its lines",
    "input.full_scale": "voltage of a pixel of 1",
    "bias.kind": '"off", "current" (a source a node) or "rails" (cells to two rails)',
    "bias.rail": "voltage of the rails; default: the target's voltage",
    "neuron.kind": '"ideal", "diode" (Shockley), "measured" or "linear" (none)',
    "neuron.arrangement": '"single" (a diode a node) or "antiparallel" (one each way)',
    "neuron.low_voltage": "of the sources behind diodes that hold nodes from below",
    "neuron.high_voltage": "of the sources behind diodes that hold nodes from above",
    "neuron.saturation_current": "of the Shockley diodes",
    "neuron.ideality": "",
    "neuron.series_resistance": "",
    "neuron.curve": "measured points of the element, voltage_V,current_A",
    "neuron.gain": "voltage gain of an amplifier towards the next array",
    "neuron.backward_gain": "its current gain back; default 1/gain",
    "neuron.offset": "of its input",
    "neuron.leak": "conductance from a hidden node to ground",
    "neuron.saturation": "largest magnitude of an integrator's voltage",
    "neuron.capacitance": "from a node to ground",
    "neuron.current_limit": "largest current into the capacitor",
    "neuron.gain_spread": "from device to device, relative",
    "neuron.offset_spread": "from device to device",
    "neuron.voltage_spread": "of the sources behind the diodes",
    "neuron.saturation_current_spread": "of its logarithm",
    "neuron.capacitance_spread": "likewise; makes time constants differ",
    "neuron.noise": "root mean square of an integrator's membrane; see docs/neuron-noise.md",
    "wires.node": "technology node in nm, in place of the segments' resistances",
    "wires.half_pitches": "side of a cell of that node, 4 with a transistor, 2 without",
    "wires.word_line": "resistance of a segment between two cells",
    "wires.bit_line": "likewise",
    "wires.source": "output resistance of a driver",
    "wires.sense": "input resistance of an amplifier",
    "wires.driven_from": '"one end" or "both ends"',
    "wires.sensed_at": '"one end" or "both ends"',
    "wires.tile": "word lines, and bit lines, of a tile",
    "wires.refresh": "mini-batches between reductions of the wires; 1 is exact",
    "synapse.voltage": "of points measured at a cell; or the ends of a polynomial's range",
    "synapse.current": 'of the points; instead of both: file = "cell.csv"',
    "synapse.degree": "of the polynomial fitted to the points",
    "synapse.coefficients": "instead of points: current by powers of the voltage",
    "nudging.kind": '"conductance", "current" (held) or "clamp"; else as the variant needs',
    "nudging.gain_error": "relative error of the strength",
    "nudging.offset": "error of every target",
    "nudging.offset_spread": "from output to output",
    "hold.noise": "of a sampled voltage",
    "hold.capacitance": "of the holding capacitor, for its thermal noise",
    "hold.droop": "share of a held voltage that is lost",
    "converters.input_dac": "of word lines: bits, full_scale, inl, dnl_spread, noise, offset ...",
    "converters.nudge_dac": "of what nudges the outputs; keys as above",
    "converters.state_adc": "of node voltages; without full_scale its range is calibrated",
    "converters.difference_adc": "of the difference of the phases",
    "converters.state_dac": "feed-forward: of hidden states that drive the next array",
    "converters.error_dac": "feed-forward: of errors that drive an array backwards",
    "converters.error_adc": "feed-forward: of the sums that come back; state_adc: the others",
    "converters.read": '"states" (each phase) or "difference" (and the mean)',
    "converters.sampling": '"shared" (one circuit takes both phases of a node) or "separate"',
    "converters.sampling_offset_spread": "of these circuits",
    "converters.calibration_samples": "training images that set calibrated ranges",
    "converters.calibration_interval": "mini-batches between calibrations; 0: only one",
    "converters.transposed_gain_error": "gain of transposed reads over that of forward reads, - 1",
    "converters.transposed_gain_spread": "from line to line",
    "costs.node": "half-pitch F in nm; wires.node goes before",
    "costs.half_pitches": "side of a cell in F, 4 with a transistor, 2 without",
    "costs.access": '"transistor", or "none": cells on a written line are half-selected',
    "costs.write": '"lines" (cells of a word line at once) or "cells" (one by one)',
    "costs.wire_capacitance": "0.2 fF/um: Ho, Mai, Horowitz, Proc. IEEE 89, 490 (2001)",
    "costs.dac_bits": "0: none; those of converters.input_dac go before",
    "costs.dac_energy_per_step": "times 2^bits; our choice, a fifth of the ADC's",
    "costs.dac_time": "of a conversion; our choice",
    "costs.dac_area_per_step": "half of a DAC of 1 bit: ISAAC, Shafiee et al., ISCA (2016)",
    "costs.adc_bits": "0: none; those of converters.state_adc go before",
    "costs.adc_energy_per_step": "Walden's figure: Kull et al., ISSCC 26.4 (2013)",
    "costs.adc_schreier": "Schreier's figure, for many bits; our choice",
    "costs.adc_time": "of a conversion: Kull et al. (2013)",
    "costs.adc_area_per_step": "times 2^bits: 0.0015 mm2 at 8 bits, Kull et al. (2013)",
    "costs.adc_share": "nodes that take turns at one ADC, 8 as in NeuroSim",
    "costs.read_time": "of a read of signed weights by pulses: ISAAC, Shafiee et al. (2016)",
    "costs.amplifier_power": "bias: gain of a neuron, or a line held at 0 V; our choice",
    "costs.amplifier_area": "of one that holds a line at 0 V; our choice",
    "costs.neuron_area": "diodes, sample-and-hold, amplifier of a node; our choice",
    "costs.capacitor_density": "of the capacitor at a node, metal on metal; our choice",
    "costs.memory_energy_per_bit": "of a number of a learning rule's, written or read once",
    "costs.leakage_density": "of the whole area while the chip is on; our choice",
}
_ABSENT = {
    "mapping.unit_conductance": '"10 uS"',
    "mapping.scheme": '"single-ended"',
    "programming.fast_device": '"ecram"',
    "bias.rail": '"2 mV"',
    "neuron.curve": '"diode.csv"',
    "nudging.kind": '"conductance"',
    "neuron.backward_gain": "1.0",
    "wires.node": "22",
    "wires.half_pitches": "4",
    "wires.word_line": '"1 Ohm"',
    "wires.bit_line": '"1 Ohm"',
    "wires.source": '"0 Ohm"',
    "wires.sense": '"0 Ohm"',
    "wires.driven_from": '"one end"',
    "wires.sensed_at": '"one end"',
    "wires.tile": "128",
    "wires.refresh": "4000",
    "synapse.voltage": "[-1.0, 0.0, 1.0]",
    "synapse.current": "[-1e-5, 0.0, 1e-5]",
    "synapse.degree": "1",
    "synapse.coefficients": "[]",
    "converters.input_dac": "{ bits = 8 }",
    "converters.nudge_dac": '{ bits = 8, full_scale = "1 V" }',
    "converters.state_adc": "{ bits = 10 }",
    "converters.difference_adc": "{ bits = 8 }",
    "converters.state_dac": "{ bits = 8 }",
    "converters.error_dac": "{ bits = 8 }",
    "converters.error_adc": "{ bits = 8 }",
}


@click.group()
def new() -> None:
    """Write a file to start from."""


@new.command("chip")
@click.option("--from", "source", required=True, metavar="NAME", help="Chip to start from.")
@click.option(
    "-o",
    "--out",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="CHIP.toml",
    help="File to write.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
def new_chip(source: str, path: Path, force: bool) -> None:
    """Write a chip, every value with its unit and meaning, to change and to train on."""
    text = chip_text(source, path)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigurationError(f"{path}: exists; use --force to replace it") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None
    click.echo(f"{path}: change it, then train on it: neurohw train --recipe drn-xs --chip {path}")


def chip_text(source: str, path: Path) -> str:
    """Return the TOML text of a chip like the chip `source`, complete and commented."""
    from neurohw.mappings import chip_specification

    chip = chip_specification.load(source)
    written = _written_lines(source)
    # A curve's path is relative to the file that it stood in; its points are not.
    written.pop("neuron.curve", None)
    lines = [
        f"# A chip like {source}. Show it in physical units: neurohw info {path}",
        "# Quantities are text with a unit; keys that are left out take their default.",
    ]
    section = ""
    for key, meaning in MEANINGS.items():
        if key.startswith("device.") and not _has(chip, key):
            continue
        if key.rpartition(".")[0] != section:
            section = key.rpartition(".")[0]
            absent = _value_at(chip, section) is None
            lines += ["", f"# [{section}]" if absent else f"[{section}]"]
        value, comment = written.get(key, (_text_of(chip, key), ""))
        setting = f"{key.rpartition('.')[2]} = {value or _ABSENT[key]}"
        comment = comment or meaning
        lines.append(
            ("" if value else "# ") + (f"{setting:<38} # {comment}" if comment else setting)
        )
    return "\n".join(lines) + "\n"


def _written_lines(source: str) -> dict[str, tuple[str, str]]:
    """Return value and comment of each key as a chip's file and its device's write them."""
    from neurohw import library

    shipped = library.folder("mappings")
    path = Path(source)
    chip = _lines(path if path.is_file() else shipped / "chips" / f"{source}.toml", "")
    preset, _ = chip.get("device") or chip.get("device.preset") or ('""', "")
    device = shipped / "devices" / f"{json.loads(preset)}.toml"
    return (_lines(device, "device.") if device.is_file() else {}) | chip


def _lines(path: Path, prefix: str) -> dict[str, tuple[str, str]]:
    found, section = {}, prefix
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = f"{prefix}{line.strip('[] ')}."
        elif match := _LINE.match(line):
            found[section + match["key"]] = (match["value"], match["comment"] or "")
    return found


def _has(chip: Any, key: str) -> bool:
    """Whether a chip's device, which is of one law, knows a key."""
    section, _, name = key.rpartition(".")
    return hasattr(_value_at(chip, section), name) or name == "yield"


def _value_at(chip: Any, key: str) -> Any:
    value: Any = chip
    for part in key.split("."):
        # Python keeps the word yield for itself.
        value = getattr(value, "yield_" if part == "yield" else part, None)
    return value


def _text_of(chip: Any, key: str) -> str:
    """Return a value of a chip or a part of it as TOML text that reads back exactly, or nothing."""
    from neurohw.units import quantity, show

    value = _value_at(chip, key)
    if value is None:
        return ""
    unit = units_of(type(chip)).get(key.rpartition(".")[2])
    if unit and isinstance(value, float) and quantity(show(value, unit), unit) == value:
        value = show(value, unit)
    if isinstance(value, tuple):
        return str(list(value))
    if hasattr(value, "__struct_fields__"):
        inner = {name: _text_of(value, name) for name in value.__struct_fields__}
        return f"{{ {', '.join(f'{name} = {text}' for name, text in inner.items() if text)} }}"
    return str(value) if value == float("inf") else json.dumps(value, ensure_ascii=False)
