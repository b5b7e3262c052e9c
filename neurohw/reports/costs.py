"""What a report says of the costs of its runs: energy, latency and area by class."""

from collections.abc import Sequence

import msgspec

from neurohw.errors import NeurohwError
from neurohw.experiments import estimate
from neurohw.experiments.estimate import SCOPES, Estimate
from neurohw.experiments.run_file import Run
from neurohw.reports.summary import Table, count, labels, number
from neurohw.units import show


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Costs of one run, or why there are none."""

    estimate: Estimate | None
    missing: str = ""

    @property
    def tables(self) -> list[Table]:
        """Energy, latency and area."""
        found = self.estimate
        if found is None:
            return []
        areas = [*found.area.items(), ("total", sum(found.area.values()))]
        return [
            Table(("Energy", *_heads(found)), estimate.rows(found.energy, "J", number)),
            Table(("Latency", *_heads(found)), estimate.rows(found.latency, "s", number)),
            Table(("Area", ""), [(name, show(value, "m²")) for name, value in areas]),
        ]

    @property
    def notes(self) -> Sequence[str]:
        """What a reader must know of the numbers."""
        return [] if self.estimate is None else self.estimate.notes


def of(run: Run) -> Costs:
    """Estimate a finished run, or say in a line why it cannot be."""
    if not run.physical:
        return Costs(estimate=None, missing="The run is not finished.")
    try:
        return Costs(estimate=estimate.estimate(run))
    except NeurohwError as error:
        return Costs(estimate=None, missing=str(error))


def bars(runs: Sequence[Run], costs: Sequence[Costs]) -> dict[str, dict[str, float]]:
    """Energy by class of an inference and of a training sample of each run that has costs [J]."""
    return {
        f"{name}, {scope}" if len(runs) > 1 else scope: dict(cost.estimate.energy[scope])
        for name, cost in zip(labels(runs), costs, strict=True)
        if cost.estimate is not None
        for scope in SCOPES[:2]
    }


def _heads(found: Estimate) -> list[str]:
    names = {"training run": f"training run, {count(found.trained)} samples"}
    return [names.get(scope, scope) for scope in SCOPES]
