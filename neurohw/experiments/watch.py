"""What a training run has to say of an epoch: images that did not settle, or taught nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurohw.engines.hopfield_samples import rounding
from neurohw.learning.equilibrium_propagation import Contrast

Array = NDArray[np.floating]

# Share of the wrong answers that may teach a layer nothing before it is worth a line.
_FEW = 0.1
# Residuals of phases of fixed length that are worth a line, and again at twice as large a one.
# Nudged ones are of the way from the free phase, and short on purpose: from 1 on they swing.
_MOVING = {"free": 0.1, "nudged": 1.0}


@dataclass(eq=False)
class Watch:
    """Counts of an epoch.

    seen, images trained on; unsettled, those left out because a phase missed its tolerance;
    unanswered, those of an evaluation whose equilibrium was not found; wrong, those answered
    wrongly, and vanished, those of them whose phases do not differ in a layer, one count a layer.
    moving, of each phase of fixed length, the largest residual of the epoch and its image; told,
    the largest one that was told of. noisy networks never rest.
    """

    seen: int = 0
    unsettled: int = 0
    unanswered: int = 0
    wrong: int = 0
    vanished: list[int] = field(default_factory=list)
    moving: dict[str, tuple[float, int]] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    noisy: bool = False

    def take(
        self,
        contrast: Contrast,
        outputs: Array,
        targets: Array,
        samples: NDArray[np.integer],
    ) -> None:
        """Count a mini-batch of so numbered samples; outputs and targets (batch, outputs) [V]."""
        self.seen += len(targets)
        if contrast.free.result == "fixed sweeps":
            self._rest("free", contrast.free.residuals, samples)
        self._rest("nudged", contrast.nudged_residuals, samples)
        wrong = outputs.argmax(axis=1) != targets.argmax(axis=1)
        if contrast.unsettled is not None and contrast.unsettled.any():
            self.unsettled += int(np.count_nonzero(contrast.unsettled))
            wrong &= ~contrast.unsettled
        places = np.flatnonzero(wrong)
        self.wrong += len(places)
        self.vanished = self.vanished or [0] * len(contrast.upper)
        for k, (upper, lower) in enumerate(zip(contrast.upper, contrast.lower, strict=True)):
            same = (np.abs(upper[places] - lower[places]) <= rounding(upper)).all(axis=1)
            self.vanished[k] += int(np.count_nonzero(same))

    def _rest(self, phase: str, residuals: Array | None, samples: NDArray[np.integer]) -> None:
        """Keep the largest residual of a phase of fixed length."""
        if self.noisy or residuals is None:
            return
        worst = int(residuals.argmax())
        residual = float(residuals[worst])
        if residual > self.moving.get(phase, (0.0, 0))[0]:
            self.moving[phase] = (residual, int(samples[worst % len(samples)]))

    def lines(self) -> list[str]:
        """Return what there is to say."""
        found = []
        if self.unsettled:
            found.append(
                f"{self.unsettled} of {self.seen} images did not settle to"
                " relaxation.tolerance and taught nothing; allow more sweeps"
                " (relaxation.free_sweeps, nudged_sweeps) or a larger tolerance"
            )
        if self.unanswered:
            found.append(
                f"{self.unanswered} evaluated images did not settle and count as errors;"
                " allow more relaxation.free_sweeps or a larger tolerance"
            )
        for phase, (residual, image) in self.moving.items():
            if residual < max(_MOVING[phase], 2 * self.told.get(phase, 0.0)):
                continue
            self.told[phase] = residual
            found.append(
                f"the {phase} phase of image {image} ends before rest, with a residual of"
                f" {residual:.2g}; allow more relaxation.{phase}_sweeps, or set"
                " relaxation.tolerance for phases that end at rest"
            )
        most = max(self.vanished, default=0)
        if most > _FEW * self.wrong:
            found.append(
                f"{most} of {self.wrong} wrong answers taught layer"
                f" {self.vanished.index(most) + 1} nothing, for all of it stands at its limits"
                " in both phases; take a smaller learning rate or a larger learning.nudging"
            )
        return found

    def clear(self) -> None:
        """Begin another epoch."""
        self.seen = self.unsettled = self.unanswered = self.wrong = 0
        self.vanished, self.moving = [], {}

    def record(self) -> NDArray[np.int64]:
        """Return what `restore` takes; evaluations, which end an epoch, are not part of it."""
        return np.array([self.seen, self.unsettled, self.wrong, *self.vanished], np.int64)

    def restore(self, record: Sequence[int] | NDArray[np.int64]) -> None:
        """Go on from a record."""
        self.seen, self.unsettled, self.wrong, *self.vanished = (int(n) for n in record)

    def rests(self) -> Array:
        """Return what `restore_rests` takes: of each phase what was told, residual and image."""
        rows = [(self.told.get(phase, 0.0), *self.moving.get(phase, (0.0, 0))) for phase in _MOVING]
        return np.array(rows)

    def restore_rests(self, record: Array) -> None:
        """Go on from a record."""
        for phase, (told, residual, image) in zip(_MOVING, record, strict=True):
            self.told[phase], self.moving[phase] = float(told), (float(residual), int(image))
