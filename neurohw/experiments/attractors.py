"""Whether two ways down the energy of a Hopfield network end in the same minimum.

The energy has many minima, and where a relaxation starts does not yet decide which one it reaches:
from 0 V, too, the published steps and block sweeps part in some images.

The second phase of learning may end in the basin of another minimum than the free phase: let go, it
does not come back. Contrastive Hebbian learning (Movellan 1991) compares states of two minima then,
whose difference is no gradient; small nudging, of equilibrium propagation (Scellier and Bengio
2017), cannot leave a basin.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import Equilibrium, Nudging, require_settled
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.experiments.hopfield_machine import HopfieldMachine

Array = NDArray[np.floating]

_TOLERANCE, _SWEEPS = 1e-6, 50_000
# Of the unit voltage: what is farther apart in any node is another minimum.
_APART = 1e-2


class Parting(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the images of which two relaxations find other states, or give other answers."""

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
    return _parting(machine, *(_relaxed(machine, images, engine) for engine in (first, second)))


def switching(
    machine: HopfieldMachine, images: Array, labels: NDArray[np.integer], nudging: float
) -> Parting:
    """Return in how many images (n, pixels) a second phase leaves the free phase's minimum.

    The outputs are nudged towards their targets with β = nudging from the free equilibrium on, to
    rest, and let go; infinite nudging clamps them, as contrastive Hebbian learning does. Answers
    are those of the free equilibrium and of the one it is let go to.

    Raises
    ------
    ConvergenceError
        A phase of an image found no equilibrium.
    """
    free = _relaxed(machine, images, machine.engine)
    strength = np.full(len(images), machine.chip.scale.nudging(nudging))
    pull = Nudging(strength=strength, target=machine.targets(labels))
    nudged = _relaxed(machine, images, machine.engine, start=free, nudging=pull)
    return _parting(machine, free, _relaxed(machine, images, machine.engine, start=nudged))


def _parting(machine: HopfieldMachine, first: Equilibrium, second: Equilibrium) -> Parting:
    unit = machine.chip.scale.unit_voltage
    gaps = [np.abs(u - v).max(axis=1) for u, v in zip(first.state, second.state, strict=True)]
    answers = [e.state[-1].argmax(axis=1) for e in (first, second)]
    return Parting(
        apart=float(np.mean(np.max(gaps, axis=0) > _APART * unit)),
        answers=float(np.mean(answers[0] != answers[1])),
    )


def _relaxed(
    machine: HopfieldMachine,
    images: Array,
    engine: HopfieldEngine,
    *,
    start: Equilibrium | None = None,
    nudging: Nudging | None = None,
) -> Equilibrium:
    chip = machine.chip
    found = engine.relax(
        machine.network,
        chip.seen(0),
        chip.sources(0),
        chip.arrays[0].read(machine.encode(images)),
        nudging=nudging,
        start=start,
        sweeps=_SWEEPS,
        tolerance=_TOLERANCE,
    )
    require_settled(found, "free" if nudging is None else "nudged", _TOLERANCE)
    return found
