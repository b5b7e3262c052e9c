"""Fabrication of one crossbar of a chip."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurohw.chip.array import CrossbarArray
from neurohw.circuits.interconnect import Wires
from neurohw.devices.fabrication import Cells, fabricate
from neurohw.devices.programming import first_write
from neurohw.devices.reading.fabrication import fabricate as fabricate_reading
from neurohw.devices.redundancy import Tiling
from neurohw.errors import InvalidValueError
from neurohw.mappings.chip_specification import ChipSpecification
from neurohw.mappings.programming import Programming

Array = NDArray[np.floating]


def fabricate_array(
    chip: ChipSpecification,
    cells: Cells,
    wanted: Array,
    programming: Programming,
    *,
    tiling: Tiling | None = None,
    width: float = 1.0,
    number: int,
    fast_number: int,
    seed: int,
    dtype: str,
    driven: bool,
    paired: bool = False,
    wires: Wires | None = None,
    transposed_gain: Array | None = None,
) -> CrossbarArray:
    """Return a crossbar with what stands beside its cells, written for the first time.

    Parameters
    ----------
    chip : ChipSpecification
    cells : Cells
        Of the chip's device, so wide and with this number.
    wanted : (units, inputs) array [S]
        What they are written to, each as near as it can come.
    programming : Programming
        The chip's, or less.
    tiling : Tiling, optional
        Of these cells, which the fast array or the narrower ones have too.
    width : float
        Size of the cells relative to the device as measured.
    number, fast_number : int
        Of this array, and of the fast array or the narrower cells beside it, among all that draw.
    seed : int
    dtype : {"float32", "float64"}
    driven, paired, wires, transposed_gain
        See `CrossbarArray`.

    Raises
    ------
    InvalidValueError
        Pulses only raise the cells of the fast array, or the narrower ones.
    """
    fast = None
    if programming.accumulate in ("analog", "carry"):
        narrower = programming.carry_base if programming.accumulate == "carry" else 1.0
        device = programming.fast_device or chip.device
        fast = fabricate(
            device,
            *wanted.shape,
            width=width / narrower,
            seed=seed,
            array=fast_number,
            tiling=tiling,
        )
        if fast.law.limit_down == 0:
            raise InvalidValueError(
                f"programming.accumulate = {programming.accumulate}: pulses only raise the cells of"
                f" law = {device.law}; take a programming.fast_device that moves both ways"
            )
    array = CrossbarArray(
        first_write(cells, wanted).astype(dtype),
        _counted(cells, programming),
        driven=driven,
        paired=paired,
        wires=wires,
        transposed_gain=transposed_gain,
        reading=fabricate_reading(
            chip.device,
            cells.low,
            cells.high,
            *wanted.shape,
            width=width,
            temperature=chip.temperature,
            seed=seed,
            array=number,
        ),
        programming=programming,
        fast=None if fast is None else _counted(fast, programming),
    )
    if array.scheme.carries:
        array.write(wanted)
    return array


def _counted(cells: Cells, programming: Programming) -> Cells:
    """Return cells whose pulses are counted as the update scheme has it."""
    return replace(cells, law=replace(cells.law, one_step=programming.polarities == "alike"))
