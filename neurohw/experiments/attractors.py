"""Whether two ways down the energy of a Hopfield network end in the same minimum.

The energy has many minima, and where a relaxation starts does not yet decide which one it reaches:
from 0 V, too, the published steps and block sweeps part in some images.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import Equilibrium, require_settled
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.experiments.hopfield_machine import HopfieldMachine

Array = NDArray[np.floating]

_TOLERANCE, _SWEEPS = 1e-6, 50_000
# Of the unit voltage: what is farther apart in any node is another minimum.
_APART = 1e-2


class Parting(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the images of which two schedules find other states, or give other answers."""

    apart: float
    answers: float


def parting(
    machine: HopfieldMachine,
    images: Array,
    first: HopfieldEngine,
    second: HopfieldEngine,
) -> Parting:
    """Return in how many images (n, pixels) two schedules from 0 V end in different minima.

    The machine is best in float64: the tolerance is 1e-6.

    Raises
    ------
    ConvergenceError
        A schedule found no equilibrium of an image.
    """
    ends = [_relaxed(machine, images, engine) for engine in (first, second)]
    unit = machine.chip.scale.unit_voltage
    gaps = [np.abs(u - v).max(axis=1) for u, v in zip(*(e.state for e in ends), strict=True)]
    answers = [e.state[-1].argmax(axis=1) for e in ends]
    return Parting(
        apart=float(np.mean(np.max(gaps, axis=0) > _APART * unit)),
        answers=float(np.mean(answers[0] != answers[1])),
    )


def _relaxed(machine: HopfieldMachine, images: Array, engine: HopfieldEngine) -> Equilibrium:
    chip = machine.chip
    found = engine.relax(
        machine.network,
        chip.seen(0),
        chip.sources(0),
        chip.arrays[0].read(machine.encode(images)),
        sweeps=_SWEEPS,
        tolerance=_TOLERANCE,
    )
    require_settled(found, "free", _TOLERANCE)
    return found
