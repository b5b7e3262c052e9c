"""Scheduled programming: a fresh chip is given the pulses of a schedule, and evaluated as it is.

Pulses follow one another, so that each starts where the noise of those before it has led. Open
loop, that is all. Written and verified, cells are then read, with the device's read noise but
without random telegraph noise, and those out of tolerance take a further train.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.chip import CrossbarArray
from neurohw.chip.bank import Bank
from neurohw.devices.fabrication import Cells
from neurohw.devices.schedule import Trains, trains
from neurohw.errors import RunFileError, UnsupportedError
from neurohw.experiments.machine import build, computing, dataset_of, require_same_data
from neurohw.experiments.programmed import snapshot
from neurohw.experiments.programming import pulsed
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import Machine, crossbars_of, restore_ranges
from neurohw.mappings.chip_specification import ChipSpecification

Array = NDArray[np.floating]

# Reads between trains are numbered from here, apart from those of evaluations.
_VERIFYING = 1 << 43


class Schedule(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What the cells of one crossbar take, arrays (units, inputs).

    Parameters
    ----------
    start : array, optional [S]
        Where the cells stand before; erased ones, at their lower limits, if None.
    target : array [S]
    first : Trains
        Of these arrays' shape.
    tolerance : float [S]
        How far from its target a cell may end.
    nominal : Cells
        The cell that further trains are planned with; see `neurohw.devices.schedule.nominal`.
    """

    start: Array | None
    target: Array
    first: Trains
    tolerance: float
    nominal: Cells


class Simulation(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What programming led to.

    reached, conductances of each crossbar, (units, inputs) [S]; stuck, which of its cells no pulse
    moves; run, of the network as programmed, None where none was asked for.
    """

    outcome: "Outcome"
    reached: Sequence[Array]
    stuck: Sequence[NDArray[np.bool_]]
    run: Run | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule leads to.

    Parameters
    ----------
    retries : int
        Trains after the first one that a cell could take; 0: open loop.
    rms : float
        Root mean square of the distance from the targets, of ``g_max - g_min`` of the cells.
    worst : float
        Largest distance, likewise.
    within : float
        Share of cells within the tolerance; those that are stuck count.
    stuck : int
        Cells that no pulse moves.
    set_pulses, reset_pulses, erased : int
        Given in all.
    reads : int
        Of single cells, to verify them.
    energy : float [J]
        Of pulses, in cells, in half-selected ones and in lines; without full resets.
    time : float [s]
        Of pulses, train after train, crossbars and tiles at the same time; without full resets
        and reads.
    test_error : float
        Of the network then.
    """

    retries: int
    rms: float
    worst: float
    within: float
    stuck: int
    set_pulses: int
    reset_pulses: int
    erased: int
    reads: int
    energy: float
    time: float
    test_error: float


def simulate(
    run: Run,
    schedules: Sequence[Schedule],
    *,
    seed: int,
    retries: int = 0,
    start: Mapping[str, str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Simulation:
    """Program a fresh chip of a run by schedules, one a crossbar, and evaluate the network on it.

    Parameters
    ----------
    run : Run
        Whose network it is; gains of amplifiers, bias currents and ranges of converters are its.
    schedules : sequence of Schedule
        In the order of `neurohw.experiments.step.crossbars_of`, without arrays beside the layers'.
    seed : int
        Of spread and noise.
    retries : int
        Most trains after the first one; 0: open loop.
    start : mapping, optional
        What the run to return says of its start, see `programmed.snapshot`; none is without.
    progress : callable, optional
        Told which share of the work is done, train by train.

    Raises
    ------
    RunFileError
        The run's data set is now another one, or the schedules are those of another network.
    UnsupportedError
        Narrower cells stand beside the others.
    """
    if run.experiment.chip.programming.accumulate == "carry":
        raise UnsupportedError(
            "programming.accumulate = carry: schedules of cells side by side are not simulated"
        )
    training = msgspec.structs.replace(run.experiment.training, seed=seed)
    experiment = msgspec.structs.replace(run.experiment, training=training)
    dataset = dataset_of(experiment)
    require_same_data(run, dataset, experiment.data.name)
    with computing():
        machine = build(experiment, dataset)
        _take_over(machine, run)
        crossbars = crossbars_of(machine.chip, beside=False)
        shapes = [array.values().shape for array in crossbars]
        if shapes != [each.target.shape for each in schedules]:
            raise RunFileError(
                f"schedule: crossbars of {[each.target.shape for each in schedules]} cells: the"
                f" network's are {shapes}"
            )
        found = []
        for done, (array, schedule) in enumerate(zip(crossbars, schedules, strict=True)):
            told = _share_of(progress, done, len(crossbars))
            found.append(_programmed(array, schedule, experiment.chip, retries, told))
        if start is None:
            error = machine.error(dataset.test_images, dataset.test_labels)
    after = None if start is None else snapshot(machine, dataset, start)
    if after is not None:
        error = float(after.start["test_error"])
    return Simulation(
        outcome=_outcome(found, retries, error),
        reached=[array.values() for array in crossbars],
        stuck=[
            np.broadcast_to(array.cells.low == array.cells.high, array.values().shape)
            for array in crossbars
        ],
        run=after,
    )


def _share_of(
    progress: Callable[[float], None] | None, done: int, parts: int
) -> Callable[[float], None]:
    """Return what is told the share of one of some equal parts that is done."""

    def told(share: float) -> None:
        if progress is not None:
            progress((done + share) / parts)

    return told


class _Given(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What one crossbar took, and how far its cells are from their targets, of the range."""

    off: Array
    within: int
    stuck: int
    erased: int
    reads: int
    rising: float
    falling: float
    energy: float
    time: float


def _take_over(machine: Machine, run: Run) -> None:
    """Give a fresh chip what a run has besides cells."""
    chip = machine.chip
    for owners, records in ((chip.arrays, run.arrays), (chip.biases, run.biases)):
        for owner, record in zip(owners, records, strict=True):
            kept = {key: record[key] for key in ("gains", "current") if key in record}
            if kept:
                owner.restore(owner.record() | kept)
    restore_ranges(chip, run)


def _programmed(
    array: CrossbarArray,
    schedule: Schedule,
    chip: ChipSpecification,
    retries: int,
    told: Callable[[float], None],
) -> _Given:
    """Program one crossbar."""
    law = replace(array.cells.law, limit_down=schedule.nominal.law.limit_down)
    bank = Bank(array.main_values(), replace(array.cells, law=law))
    if schedule.start is None:
        bank.write(np.broadcast_to(bank.cells.low, bank.read.shape))
    else:
        bank.state[:] = bank.read[:] = np.clip(schedule.start, bank.cells.low, bank.cells.high)
    given = _Giving(array, bank, chip)
    given.give(schedule.first)
    noise, reads = array.reading.noise, 0
    due = np.ones(bank.read.shape, bool)
    for turn in range(retries):
        told((turn + 1) / (retries + 1))
        seen: Array = bank.read.astype(np.float64)
        if noise is not None:
            seen = noise.noisy(seen, _VERIFYING + turn, 0)
        reads += int(due.sum())
        due &= np.abs(seen - schedule.target) > schedule.tolerance
        if not due.any():
            break
        given.give(_further(schedule, seen, due))
    told(1.0)
    array.take_over(bank.read)
    end = bank.read.astype(np.float64)
    off = np.abs(end - schedule.target)
    span = (schedule.nominal.high - schedule.nominal.low).item()
    return _Given(
        off=off / span,
        within=int((off <= schedule.tolerance).sum()),
        stuck=bank.cells.stuck,
        erased=given.erased,
        reads=reads,
        rising=given.rising,
        falling=given.falling,
        energy=given.energy,
        time=given.time,
    )


class _Giving:
    """Gives the cells of a bank trains, pulse by pulse, and counts them and what they cost."""

    def __init__(self, array: CrossbarArray, bank: Bank, chip: ChipSpecification) -> None:
        self._scheme, self._bank, self._event = array.scheme, bank, 0
        self._costs, self._device, self._tile = chip.built_costs, chip.device, chip.tile
        self.erased, self.rising, self.falling = 0, 0.0, 0.0
        self.energy, self.time = 0.0, 0.0

    def give(self, each: Trains) -> None:
        bank = self._bank
        if each.erased.any():
            low = np.broadcast_to(bank.cells.low, bank.read.shape)
            bank.write(low, each.erased, self._event + 1)
            self.erased += int(each.erased.sum())
        left = each.pulses.astype(np.float64)
        given, before = (np.maximum(left, 0), np.maximum(-left, 0)), bank.read.astype(np.float64)
        while left.any():
            pulses = np.clip(left, -1, 1)
            self._scheme.give(bank, pulses, self._event)
            left -= pulses
            self._event += 1
        # Trains follow one another: a line waits until the longest one of its cells has ended.
        cost = pulsed(
            self._costs, self._device, given, before, bank.read, events=1, tile=self._tile
        )
        self.rising += float(given[0].sum())
        self.falling += float(given[1].sum())
        self.energy += cost.cells + cost.half_selected + cost.lines
        self.time += cost.time


def _further(schedule: Schedule, seen: Array, due: NDArray[np.bool_]) -> Trains:
    """Return the trains of cells that are out of tolerance, one pulse at least."""
    found = trains(schedule.nominal, seen, schedule.target)
    falls = -1.0 if schedule.nominal.law.limit_down > 0 else 0.0
    least = np.where(schedule.target > seen, 1.0, falls)
    none = due & ~found.erased & (found.pulses == 0)
    pulses = np.where(none, least, found.pulses)
    return replace(found, erased=found.erased & due, pulses=np.where(due, pulses, 0.0))


def _outcome(found: Sequence[_Given], retries: int, error: float) -> Outcome:
    cells = sum(each.off.size for each in found)
    return Outcome(
        retries=retries,
        rms=float(np.sqrt(sum(float((each.off**2).sum()) for each in found) / cells)),
        worst=max(float(each.off.max()) for each in found),
        within=sum(each.within for each in found) / cells,
        stuck=sum(each.stuck for each in found),
        set_pulses=round(sum(each.rising for each in found)),
        reset_pulses=round(sum(each.falling for each in found)),
        erased=sum(each.erased for each in found),
        reads=sum(each.reads for each in found),
        energy=sum(each.energy for each in found),
        time=max(each.time for each in found),
        test_error=error,
    )
