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
    "device.name": "",
    "device.description": "",
    "device.source": "",
    "device.law": '"ideal" (takes any change) or "exponential" (pulses along a curve)',
    "device.g_min": "smallest conductance of a cell",
    "device.g_max": "largest conductance of a cell",
    "device.pulses_up": "pulses from g_min to g_max",
    "device.pulses_down": "pulses from g_max to g_min",
    "device.nonlinearity_up": "NeuroSim label, -9 to 9; 0 is linear",
    "device.nonlinearity_down": "negative: falls steeply from the top",
    "device.whole_pulses": "false: fractions of a pulse are possible",
    "device.cycle_to_cycle": "noise of one pulse, of g_max - g_min",
    "device.nonlinearity_spread": "from device to device, standard deviation of both labels",
    "device.range_spread": "from device to device, relative deviation of both limits",
    "device.pulse_voltage_up": "",
    "device.pulse_voltage_down": "",
    "device.pulse_width_up": "",
    "device.pulse_width_down": "",
    "device.write_threshold": "voltage above which reading disturbs a cell",
    "device.endurance": "pulses that a cell survives",
    "mapping.unit_conductance": "stands for 1; only for a device without a finite g_max",
    "mapping.conductance_scale": "g_max of a layer in units of 1/sqrt(inputs); one, or one a layer",
    "mapping.scheme": '"differential-pair", "offset" or "bit-sliced": signed weights',
    "mapping.weight_range": "largest weight that cells can hold; one, or one a layer",
    "mapping.scale": '"layer", or "column": each unit\'s largest weight fills the range if written',
    "mapping.sides": '"both" cells of a pair are moved, or "one", upwards only',
    "mapping.refresh": "updates between rewritings of pairs or slices near a limit; 0: none",
    "mapping.reference": '"fixed" middle conductance, or a "column" of cells',
    "mapping.slices": "cells of a weight, where bit-sliced",
    "mapping.slice_bits": "bits of each digit, where bit-sliced",
    "mapping.n_levels": "values that cells are written to; 0: any",
    "mapping.rounding": '"nearest" or "stochastic", to these',
    "mapping.verify_pulses": "most pulses of a cell written with reads between; 0: no verifying",
    "mapping.verify_tolerance": "of the range, at which no further pulse follows",
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
    "wires.node": "technology node in nm, in place of the segments' resistances",
    "wires.half_pitches": "side of a cell of that node, 4 with a transistor, 2 without",
    "wires.word_line": "resistance of a segment between two cells",
    "wires.bit_line": "likewise",
    "wires.source": "output resistance of a driver",
    "wires.sense": "input resistance of an amplifier",
    "wires.driven_from": '"one end" or "both ends"',
    "wires.sensed_at": '"one end" or "both ends"',
    "wires.tile": "most inputs, and units, of a tile",
    "wires.refresh": "mini-batches between reductions of the wires; 1 is exact",
    "synapse.voltage": "of points measured at a cell; or the ends of a polynomial's range",
    "synapse.current": 'of the points; instead of both: file = "cell.csv"',
    "synapse.degree": "of the polynomial fitted to the points",
    "synapse.coefficients": "instead of points: current by powers of the voltage",
    "nudging.kind": '"conductance", "current" (held) or "clamp"',
    "nudging.gain_error": "relative error of the strength",
    "nudging.offset": "error of every target",
    "nudging.offset_spread": "from output to output",
    "hold.noise": "of a sampled voltage",
    "hold.capacitance": "of the holding capacitor, for its thermal noise",
    "hold.droop": "share of a held voltage that is lost",
}
_ABSENT = {
    "mapping.unit_conductance": '"10 uS"',
    "mapping.scheme": '"single-ended"',
    "bias.rail": '"2 mV"',
    "neuron.curve": '"diode.csv"',
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
        if key.rpartition(".")[0] != section:
            section = key.rpartition(".")[0]
            absent = getattr(chip, section) is None
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


def _lines(path: Path, section: str) -> dict[str, tuple[str, str]]:
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[] ") + "."
        elif match := _LINE.match(line):
            found[section + match["key"]] = (match["value"], match["comment"] or "")
    return found


def _text_of(chip: Any, key: str) -> str:
    """Return a value of a chip or a part of it as TOML text that reads back exactly, or nothing."""
    from neurohw.units import quantity, show

    value: Any = chip
    for part in key.split("."):
        value = getattr(value, part, None)
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
