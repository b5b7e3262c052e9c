"""Whether a written map is the network that it was written from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurohw.experiments.machine import computing
from neurohw.experiments.programmed import machine_of
from neurohw.export.formats import Format
from neurohw.export.importing import take
from neurohw.export.weight_map import WeightMap

IMAGES = 100


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How a network that was read back differs from the one that was written.

    Parameters
    ----------
    images : int
        Test images whose outputs were compared.
    changed : int
        Of which another output was the largest.
    difference : float
        Largest difference of an output; `largest` is the largest output, both in one unit.
    largest : float
    conductance : float [S]
        Largest difference of a cell, beyond what the format rounds to.
    """

    images: int
    changed: int
    difference: float
    largest: float
    conductance: float

    def same(self, lossless: bool) -> bool:
        """Whether predictions and cells are the same; of a lossless format, outputs as well."""
        equal = self.changed == 0 and self.conductance == 0
        return equal and (self.difference == 0 or not lossless)


def verify(form: Format, path: Path, weights: WeightMap, images: int = IMAGES) -> Verification:
    """Read a map back, and compare the network that it makes with the run of `weights`.

    Arrays that were not written are left out of the comparison: they stay as they are.

    Raises
    ------
    ExportError
        What was written cannot be read.
    """
    machine, dataset = machine_of(weights.run)
    pictures = dataset.test_images[:images]
    with computing():
        before = machine.outputs(pictures)
        conductance = take(form.read(path), machine, weights, whole=False, exact=True)
        after = machine.outputs(pictures)
    lost = np.isnan(before).any(axis=1) | np.isnan(after).any(axis=1)
    changed = (before.argmax(axis=1) != after.argmax(axis=1)) | (
        np.isnan(before).any(axis=1) != np.isnan(after).any(axis=1)
    )
    gap = np.abs(after - before)[~lost]
    return Verification(
        images=len(pictures),
        changed=int(changed.sum()),
        difference=float(gap.max(initial=0.0)),
        largest=float(np.abs(before[~lost]).max(initial=0.0)),
        conductance=conductance,
    )
