"""What machines have in common whose learning rule compares phases of a relaxing network."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import Equilibrium, left_out
from neurohw.experiments.converted_machine import ConvertedMachine, joined
from neurohw.experiments.step import EVALUATION, OBSERVATION
from neurohw.experiments.watch import Watch
from neurohw.learning.equilibrium_propagation import Contrast
from neurohw.learning.relaxation import relax

Array = NDArray[np.floating]

_EVALUATED_AT_ONCE = 500


class RelaxingMachine(ConvertedMachine):
    """A base of machines with a `rule` and a `chip` that has converters; see `step.Machine`."""

    engine: Any
    watch: Watch

    @property
    def network(self) -> Any:
        """What relaxes."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise `InvalidValueError` if negative nudging leaves no minimum that can be found."""
        self.rule.check_stability()

    def disturb(self, phases: Contrast, inputs: Array, event: int) -> None:
        """Let the voltages of a mini-batch's phases move the cells that they stress.

        inputs (batch, inputs) as the first array takes them [V].
        """
        nudged = [phases.upper]
        if self.rule.variant in ("centered", "agnostic"):
            nudged.append(phases.lower)
        for phase, nodes in enumerate((phases.free.state, *nudged)):
            self.chip.disturb(inputs, nodes, event, phase)

    @property
    def classes(self) -> int:
        """See `ConvertedMachine`."""
        return int(self.network.layers[-1])

    def outputs(self, images: Array) -> Array:
        """Return the output voltages of the free equilibrium from 0 V, (n, outputs) [V].

        NaN where it was not found.
        """
        return np.concatenate([states[-1] for states in self._settled(images, EVALUATION)])

    def states(self, images: Array) -> list[Array]:
        """Return what units put out at the free equilibrium from 0 V, (n, units) a layer.

        Dimensionless; NaN where it was not found.
        """
        scale = np.dtype(self.experiment.training.precision).type(1 / self.chip.scale.unit_voltage)
        layers = joined(self._settled(images, OBSERVATION))
        return [scale * self.signal(k, nodes) for k, nodes in enumerate(layers)]

    def signal(self, layer: int, nodes: Array) -> Array:
        """Return what the units of a layer put out at voltages of its nodes (n, units) [V]."""
        return nodes

    def _settled(self, images: Array, events: int) -> Iterator[list[Array]]:
        """Yield the equilibria of some images after the other, a (batch, units) array a layer [V].

        NaN where they were not found; events are numbered from `events` on.
        """
        settings = self.experiment.phases
        for first in range(0, len(images), _EVALUATED_AT_ONCE):
            event = events + first
            voltages = self.encode(images[first : first + _EVALUATED_AT_ONCE], event)
            equilibrium = relax(
                self.engine,
                self.network,
                self.chip,
                self.chip.arrays[0].read(voltages),
                event=event,
                sweeps=settings.free_sweeps,
                tolerance=settings.tolerance,
                duration=settings.free_time,
                accelerator=settings.accelerator,
                inputs=voltages,
            )
            missed = left_out(equilibrium, "free", settings.tolerance)
            found = list(equilibrium.state)
            if missed.any():
                found = [np.where(missed[:, None], np.nan, layer) for layer in found]
            yield found

    def error(self, images: Array, labels: NDArray[np.integer]) -> float:
        """Return the share of images whose largest output is not the label's.

        Images whose equilibrium was not found count as errors.
        """
        outputs = self.outputs(images)
        lost = np.isnan(outputs[:, 0])
        self.watch.unanswered += int(np.count_nonzero(lost))
        return float(np.mean(lost | (outputs.argmax(axis=1) != labels)))

    def warnings(self) -> list[str]:
        """Return what there is to say of the epoch that ends, and begin another."""
        lines = self.watch.lines()
        self.watch.clear()
        return lines


def start_from(state: Sequence[Array]) -> Equilibrium:
    """Return voltages, a (batch, units) array a layer, as the start of a relaxation."""
    return Equilibrium(state=tuple(state), residual=np.inf, iterations=0, result="fixed sweeps")
