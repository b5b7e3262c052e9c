"""How the circuit of a trained run settles: both phases in time, and their energy."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.engines.transient.circuit import circuit
from neurohw.engines.transient.settling import Settling, settling
from neurohw.errors import InvalidValueError
from neurohw.experiments.machine import computing
from neurohw.experiments.run_file import Run
from neurohw.experiments.trained_circuit import trained

Array = NDArray[np.floating]

# Phases of a run that has no lengths of its own last so many of the slowest time constants.
_CONSTANTS = 12.0


class Phases(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The free phase of some test images from 0 V, and the nudged phase after it.

    slowest, the longest time constant while no diode conducts and nothing nudges [s]; within, the
    distance from the steady state that counts as settled, see `settling`.
    """

    free: Settling
    nudged: Settling
    slowest: float
    within: float

    @property
    def energy(self) -> dict[str, dict[str, float]]:
        """Mean energy of a sample in both phases, by class: delivered, dissipated, stored [J]."""
        phases = self.free.energy, self.nudged.energy

        def mean(side: str) -> dict[str, float]:
            tables = [getattr(phase, side) for phase in phases]
            return {key: float(sum(t[key].mean() for t in tables)) for key in tables[0]}

        stored = float(sum(phase.stored.mean() for phase in phases))
        return {
            "delivered": mean("delivered"),
            "dissipated": mean("dissipated"),
            "stored": {"capacitors": stored},
        }


def measure(
    run: Run,
    *,
    samples: int = 16,
    free_time: float | None = None,
    nudged_time: float | None = None,
    within: float = 0.01,
) -> Phases:
    """Integrate both phases of the first test images on the chip of a run.

    Phases last as given, else as the run's do, else twelve of the slowest time constants. Where
    learning compares two nudgings the first one is shown; it acts on the outputs as the free phase
    leaves them, as the chip's nudging circuit does.

    Raises
    ------
    InvalidValueError
        No sample, a time or a distance that is not above 0, or no time where a node never settles.
    DataError, RunFileError
        See `neurohw.experiments.trained_circuit.trained`.
    """
    if samples < 1:
        raise InvalidValueError(f"samples = {samples}: must be at least 1")
    with computing():
        this = trained(run, slice(0, samples))
        words = this.network, this.arrays, this.sources
        current = this.inputs @ this.arrays[0].conductance.T
        slowest = circuit(*words, current, None).slowest
        settings = run.experiment.phases
        free_time = free_time or settings.free_time or _CONSTANTS * slowest
        nudged_time = nudged_time or settings.nudged_time or _CONSTANTS * slowest
        if not np.isfinite(free_time + nudged_time):
            raise InvalidValueError(
                "free_time, nudged_time: a node of this circuit never settles; give both"
            )
        strength = next(s for s in this.strengths if s != 0)
        free = settling(*words, this.inputs, duration=free_time, within=within)
        nudged = settling(
            *words,
            this.inputs,
            duration=nudged_time,
            within=within,
            start=free.end,
            nudging=this.nudging(strength, free.end.state[-1]),
        )
    return Phases(free=free, nudged=nudged, slowest=slowest, within=within)
