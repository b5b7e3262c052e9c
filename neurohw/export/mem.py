"""Quantised codes for Verilog's ``$readmemh``: a memory a tile.

The system task reads hexadecimal words separated by white space, into ascending addresses, and
skips ``//`` comments: IEEE Std 1364-2005, section 17.2.9.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.errors import ExportError, InvalidValueError
from neurohw.export import manifest
from neurohw.export.formats import Contents, Format, ReadTile
from neurohw.export.weight_map import Crossbar, Tile, WeightMap

Array = NDArray[Any]

_MOST_BITS = 16
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_NUMBERS = re.compile(
    r"^// word_lines=(\d+) bit_lines=(\d+) bits=(\d+) g_low=(-?[\d.e+-]+) S step=([\d.e+-]+) S$",
    re.MULTILINE,
)
_LINES = re.compile(r"^// (?:inputs|units) of \w+ lines \(-1: none\):((?: -?\d+)+)$", re.MULTILINE)


class Mem(Format, frozen=True):
    """Codes 0 to 2^bits - 1, evenly spaced over the window of a crossbar, word line by word line.

    bits : int
        Of a code, 1 to 16.
    """

    bits: int = 8

    name = "mem"
    description = "quantised codes for Verilog's $readmemh, a file a tile (--set bits=8)"
    folder = True

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= _MOST_BITS:
            raise InvalidValueError(f"bits = {self.bits}: must lie between 1 and {_MOST_BITS}")

    def write(self, weights: WeightMap, out: Path) -> None:  # noqa: D102
        for crossbar in weights.crossbars:
            low, step = self._levels(crossbar)
            for tile in crossbar.tiles():
                with (out / f"{tile.name}.mem").open("w", encoding="utf-8") as file:
                    file.write(self._comment(tile, low, step))
                    for block in weights.blocks(tile):
                        for line in self._codes(block.target, low, step):
                            file.write(" ".join(line) + "\n")

    def read(self, path: Path) -> Contents:  # noqa: D102
        found = manifest.of_folder(path)
        return manifest.contents(found, path, _tiles(found, path))

    def _levels(self, crossbar: Crossbar) -> tuple[float, float]:
        """Return the conductance of code 0 and that between two codes [S].

        The codes span the window, and cells outside it: stuck ones, and those of spread limits.
        """
        nominal = [limit for limit in crossbar.window if np.isfinite(limit)]
        low = min(float(crossbar.conductance.min()), *nominal)
        high = max(float(crossbar.conductance.max()), *nominal)
        return low, (high - low) / (2**self.bits - 1)

    def _comment(self, tile: Tile, low: float, step: float) -> str:
        words, bits = tile.shape
        return (
            f"// {tile.name}: role {tile.crossbar.role}\n"
            f"// word_lines={words} bit_lines={bits} bits={self.bits} g_low={low!r} S"
            f" step={step!r} S\n"
            "// conductance = g_low + code * step; unused cells have code 0\n"
            "// address = word_line * bit_lines + bit_line: a text line is a word line\n"
            f"// inputs of word lines (-1: none): {' '.join(map(str, tile.inputs))}\n"
            f"// units of bit lines (-1: none): {' '.join(map(str, tile.units))}\n"
        )

    def _codes(self, target: Array, low: float, step: float) -> Iterator[list[str]]:
        """Yield the codes of each word line as hexadecimal words."""
        codes = np.zeros(target.shape, np.int64)
        if step > 0:
            codes = np.rint(np.nan_to_num(target.astype(np.float64) - low) / step).astype(np.int64)
        words = np.array([f"{code:0{_digits(self.bits)}x}" for code in range(2**self.bits)])
        for line in codes:
            yield words[line].tolist()


def _tiles(found: dict[str, Any], path: Path) -> Iterator[ReadTile]:
    for name, words, bits in manifest.tiles_of(found, path):
        file = path / f"{name}.mem"
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise manifest.unreadable(file, error) from None
        numbers = _NUMBERS.search(text)
        if numbers is None or (int(numbers[1]), int(numbers[2])) != (words, bits):
            raise ExportError(f"{file}: its comment does not say {words} word and {bits} bit lines")
        width, low, step = int(numbers[3]), float(numbers[4]), float(numbers[5])
        lines = [np.array(each.split(), np.intp) for each in _LINES.findall(text)]
        if [len(each) for each in lines] != [words, bits]:
            raise ExportError(f"{file}: its comment does not say what each line carries")
        codes = re.sub(r"//.*", "", text).split()
        if len(codes) != words * bits:
            raise ExportError(
                f"{file}: has {len(codes)} codes, not {words} × {bits}: is it cut off?"
            )
        for code in codes:
            if len(code) != _digits(width) or not set(code) <= _HEXADECIMAL:
                raise ExportError(
                    f"{file}: code {code}: must have {_digits(width)} hexadecimal digits: is the"
                    " file cut off?"
                )
        array = np.array([int(code, 16) for code in codes])
        if array.max() >= 2**width:
            raise ExportError(f"{file}: code {array.max():x} has more than {width} bits")
        yield ReadTile(
            name=name,
            conductance=low + step * array.reshape(words, bits),
            inputs=lines[0],
            units=lines[1],
            rounding=0.5 * step,
        )


def _digits(bits: int) -> int:
    """Return the hexadecimal digits of a code."""
    return -(-bits // 4)
