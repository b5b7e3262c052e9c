"""How near the update that a chip's rule makes comes to the exact gradient: against β and more."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.periphery import SampleAndHold
from neurohw.engines.equilibrium import Equilibrium
from neurohw.errors import (
    ConfigurationError,
    ConvergenceError,
    DataError,
    InvalidValueError,
    NumericalError,
    UnsupportedError,
)
from neurohw.experiments import configuration, transfer
from neurohw.experiments.agreement import Agreement, Tally
from neurohw.experiments.exact_gradient import ExactGradient, exact_gradient
from neurohw.experiments.experiment import Experiment
from neurohw.experiments.machine import build, computing, dataset_of, require_same_data
from neurohw.experiments.relaxing_machine import RelaxingMachine, start_from
from neurohw.experiments.run_file import Run
from neurohw.experiments.step import restore_chip
from neurohw.learning.equilibrium_propagation import Contrast
from neurohw.learning.variants import CLAMPED, Variant, require_fixed_cells
from neurohw.networks.hopfield import HopfieldNetwork

Array = NDArray[np.floating]

SAMPLES, REPEATS = 32, 8
# Errors of a point that leave the others as they are.
_LEFT_OUT = (
    ConfigurationError,
    InvalidValueError,
    ConvergenceError,
    NumericalError,
    UnsupportedError,
)
# Times the experiment's own nudging.
_FACTORS = tuple(10.0 ** (k / 2) for k in range(-6, 3))
CONVERGED = (
    "training.precision=float64",
    "relaxation.tolerance=1e-9",
    "relaxation.free_sweeps=20000",
    "relaxation.nudged_sweeps=20000",
)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a curve against β is measured with; value is that of the key that is varied, if any."""

    variant: str
    free_sweeps: int
    nudged_sweeps: int
    value: str | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """The agreement at one nudging.

    overall, of all weights and biases; layers and biases, of each alone; free_error, how far the
    free phase as the chip relaxed it is from the equilibrium, relative, of the worst layer; kinks,
    how many samples had a node at a limit in one phase of an update and not in another; repeats,
    updates of each mini-batch.
    """

    setting: Setting
    nudging: float
    overall: Agreement
    layers: tuple[Agreement, ...]
    biases: tuple[Agreement, ...]
    free_error: float
    kinks: int
    repeats: int


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A point that cannot be measured, and why."""

    setting: Setting
    nudging: float
    reason: str


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What `check` finds.

    key, what was varied beside the nudging; clamped, share of each layer's nodes at a limit in
    the free equilibrium, and vanished, in how many samples nothing reaches a layer, both of the
    first setting; experiment, that of the first setting.
    """

    experiment: Experiment
    key: str | None
    samples: int
    mini_batch: int
    cost: float
    clamped: tuple[float, ...]
    vanished: tuple[int, ...]
    points: tuple[Point, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def curves(self) -> dict[Setting, list[Point]]:
        """Points of each setting, in order of the nudging."""
        found: dict[Setting, list[Point]] = {}
        for point in sorted(self.points, key=lambda p: p.nudging):
            found.setdefault(point.setting, []).append(point)
        return {s: found[s] for s in dict.fromkeys(p.setting for p in self.points)}

    @property
    def best(self) -> dict[Setting, Point]:
        """The point of each setting whose update points along the gradient best.

        Settings of which no update or no gradient points anywhere have none.
        """
        found = {
            setting: min(points, key=lambda p: _or_infinite(p.overall.one_minus_cosine))
            for setting, points in self.curves.items()
        }
        return {s: p for s, p in found.items() if np.isfinite(p.overall.one_minus_cosine)}


def check(
    source: Any,
    *,
    run: Run | None = None,
    chip: str | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    converged: bool = False,
    nudgings: Sequence[float] = (),
    variants: Sequence[str] = (),
    sweeps: Sequence[tuple[int, int]] = (),
    over: tuple[str, Sequence[str]] | None = None,
    samples: int = SAMPLES,
    repeats: int | None = None,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> Check:
    """Compare updates with the exact gradient of the network that the chip holds.

    Parameters
    ----------
    source, chip, settings, seed
        The experiment; see `neurohw.experiments.configuration.load`.
    run : Run, optional
        Whose conductances are taken: as its chip holds them, or, on another chip or in another
        precision, written into fresh cells.
    converged : bool
        Relax in float64 until nothing moves, by exact sweeps.
    nudgings : sequence of float
        β to try, dimensionless; by default from 0.001 to 10 times that of the experiment. The
        variant contrastive_hebbian has 1 only.
    variants, sweeps : sequences of str and of (free, nudged) sweeps
        By default those of the experiment.
    over : (key, values), optional
        Any key of the experiment or chip, and values to try.
    samples : int
        First training images, taken in mini-batches as training does.
    repeats : int, optional
        Updates of each mini-batch, each with its own noise; by default 8 where something is drawn
        anew for each, else 1.
    progress : callable
        Told what is done and the share that is done already.

    Raises
    ------
    ConfigurationError, InvalidValueError, ConvergenceError, NumericalError
        No point can be measured; says why the first one cannot.
    UnsupportedError
        The same, or the network does not learn by equilibrium propagation, or its chip has wires.
    """
    nudgings, variants = list(dict.fromkeys(nudgings)), list(dict.fromkeys(variants))
    _require(samples, repeats, nudgings, variants)
    key, values = over or (None, (None,))
    lists: dict[str, Sequence[Any]] = {
        "learning.nudging": nudgings,
        "learning.variant": variants,
        "relaxation.free_sweeps": sweeps,
        "relaxation.nudged_sweeps": sweeps,
    }
    if lists.get(key or ""):
        raise InvalidValueError(f"over = {key}: takes the place of what is listed beside it")
    # Of the variants, those that clamp the outputs ask for another circuit.
    groups = [[v for v in variants if (v in CLAMPED) == clamped] for clamped in (False, True)]
    cases = list(product(values, [group for group in groups if group] or [[]]))
    experiments = [
        _resolved(source, chip, settings, seed, converged, key, value, group)
        for value, group in cases
    ]
    points: list[Point] = []
    left_out: list[LeftOut] = []
    failures: list[Exception] = []
    laboratories = []
    with computing():
        for number, ((value, group), (experiment, refused)) in enumerate(
            zip(cases, experiments, strict=True)
        ):
            progress(f"exact gradient{_named(key, value)}", number / len(cases))
            bench = _Bench(experiment, run, samples, repeats)
            laboratories.append(bench)
            grid = list(bench.grid(value, nudgings, group, sweeps))
            for k, (setting, nudging) in enumerate(grid):
                share = (number + (1 + k) / (1 + len(grid))) / len(cases)
                progress(f"{setting.variant}, β = {nudging:g}{_named(key, value)}", share)
                try:
                    if setting.variant in refused:
                        raise refused[setting.variant]
                    points.append(bench.measure(setting, nudging))
                except _LEFT_OUT as error:
                    failures.append(error)
                    left_out.append(LeftOut(setting=setting, nudging=nudging, reason=str(error)))
            bench.release()
    if not points:
        raise failures[0]
    first = laboratories[0]
    return Check(
        experiment=first.experiment,
        key=key,
        samples=first.samples,
        mini_batch=first.mini_batch,
        cost=first.cost,
        clamped=first.clamped,
        vanished=first.vanished,
        points=tuple(points),
        left_out=tuple(left_out),
    )


class _Bench:
    """A machine, its mini-batches, and their exact gradients."""

    def __init__(
        self, experiment: Experiment, run: Run | None, samples: int, repeats: int | None
    ) -> None:
        dataset = dataset_of(experiment)
        if samples > len(dataset.train_images):
            raise DataError(
                f"{dataset.name}: samples = {samples}: there are only"
                f" {len(dataset.train_images)} training images"
            )
        machine = build(experiment, dataset)
        assert isinstance(machine, RelaxingMachine)
        if run is not None:
            require_same_data(run, dataset, experiment.data.name)
            _take(machine, run, dataset)
        self.experiment, self.machine, self.dataset = experiment, machine, dataset
        self._repeats = repeats
        self.mini_batch = min(samples, experiment.training.batch)
        self.samples = samples - samples % self.mini_batch
        self._rows = [
            slice(first, first + self.mini_batch)
            for first in range(0, self.samples, self.mini_batch)
        ]
        self._exact = [
            exact_gradient(machine, dataset.train_images[rows], dataset.train_labels[rows])
            for rows in self._rows
        ]
        self.cost = float(np.mean([e.cost.mean() for e in self._exact]))
        self.clamped = tuple(np.mean([e.clamped for e in self._exact], axis=0).tolist())
        self.vanished = tuple(sum(e.vanished.sum(axis=0) for e in self._exact).tolist())

    def release(self) -> None:
        """Let go of what is large."""
        del self.machine, self._exact

    def grid(
        self,
        value: str | None,
        nudgings: Sequence[float],
        variants: Sequence[str],
        sweeps: Sequence[tuple[int, int]],
    ) -> Iterator[tuple[Setting, float]]:
        """Yield every setting and nudging to measure."""
        phases, own = self.experiment.phases, self.experiment.learning.variant
        lengths = list(sweeps) or [(phases.free_sweeps, phases.nudged_sweeps)]
        betas = list(nudgings) or [factor * self.experiment.nudging for factor in _FACTORS]
        for variant, (free, nudged) in product(list(variants) or [own], lengths):
            setting = Setting(variant=variant, free_sweeps=free, nudged_sweeps=nudged, value=value)
            # Outputs that are driven to the targets leave no choice.
            for beta in [1.0] if variant == "contrastive_hebbian" else betas:
                yield setting, float(beta)

    def repeats(self, variant: str) -> int:
        """Return how many updates of each mini-batch are made."""
        drawn = variant == "random_sign" or _draws(self.machine)
        return self._repeats or (REPEATS if drawn else 1)

    def measure(self, setting: Setting, nudging: float) -> Point:
        """Return the agreement of the updates with the exact gradients.

        Raises
        ------
        InvalidValueError, ConvergenceError, NumericalError, UnsupportedError
            The chip cannot be nudged like that, or does not settle.
        """
        rule = self.machine.rule.varied(
            variant=setting.variant,
            nudging=nudging,
            free_sweeps=setting.free_sweeps,
            nudged_sweeps=setting.nudged_sweeps,
        )
        machine: Any = replace(self.machine, rule=rule)  # type: ignore[type-var]
        machine.check()
        if machine.chip.calibrated:
            machine.calibrate(self.dataset)
        scaled = machine.chip.specification.nudging.built != "clamp"
        tallies, kinks, free_error = [], 0, 0.0
        for number, exact in enumerate(self._exact):
            tally = Tally([*exact.weights, *exact.biases], scaled=scaled)
            passing = np.zeros(self.mini_batch, bool)
            for repeat in range(self.repeats(setting.variant)):
                event = repeat * len(self._exact) + number
                estimate, phases = self._update(machine, number, event)
                tally.add(estimate)
                passing |= _passing(machine.network, phases)
                free_error = max(free_error, _distance(phases.free, exact))
            tallies.append(tally)
            kinks += int(passing.sum())
        parts = [Agreement.of(tallies, [k]) for k in range(len(tallies[0].exact))]
        layers = len(self._exact[0].weights)
        return Point(
            setting=setting,
            nudging=nudging,
            overall=Agreement.of(tallies, range(len(parts))),
            layers=tuple(parts[:layers]),
            biases=tuple(parts[layers:]),
            free_error=free_error,
            kinks=kinks,
            repeats=self.repeats(setting.variant),
        )

    def _update(self, machine: Any, number: int, event: int) -> tuple[list[Array], Contrast]:
        """Return what the rule takes for the gradient, dimensionless, and the phases."""
        rows, rule, chip = self._rows[number], machine.rule, machine.chip
        inputs = machine.encode(self.dataset.train_images[rows], event)
        targets = machine.targets(self.dataset.train_labels[rows])
        current = chip.arrays[0].read(inputs)
        phases = rule.phases(current, targets, self._start(number, inputs.dtype), event, inputs)
        ones = [1.0] * len(chip.arrays)
        updates, bias_updates = rule.updates(rule.read(phases, event), inputs, ones, ones)
        volts = chip.scale.unit_voltage
        found = [_dense(update) / -(volts**2) for update in updates]
        for update, exact in zip(bias_updates, self._exact[number].biases, strict=True):
            change = _dense(update)
            found.append(change / -(volts**2) if exact.ndim == 2 else change[:, 0] / -volts)
        return found, phases

    def _start(self, number: int, dtype: np.dtype[Any]) -> Equilibrium | None:
        """Return where training would start: another mini-batch's equilibrium, or the images' own.

        Of Hopfield networks the images' own, where they are stored, or 0 V.
        """
        unit = self.machine.chip.scale.unit_voltage
        if self.experiment.network.kind == "hopfield":
            if self.experiment.phases.start != "stored":
                return None
            own = self._exact[number].state
            # Stored in half precision.
            halves = [(v / unit).astype(np.float16).astype(dtype) for v in own]
            return start_from([v * dtype.type(unit) for v in halves])
        if number == 0:
            return None
        return start_from([v.astype(dtype) for v in self._exact[number - 1].state])


def _resolved(
    source: Any,
    chip: str | None,
    settings: Sequence[str],
    seed: int | None,
    converged: bool,
    key: str | None,
    value: str | None,
    variants: Sequence[str],
) -> tuple[Experiment, dict[str | None, ConfigurationError]]:
    """Return the experiment of the first variant that it has, and why it has not others."""
    refused: dict[str | None, ConfigurationError] = {}
    found: list[tuple[Experiment, list[str]]] = []
    # What contrastive Hebbian learning is nudged with is its own, and of no use to others.
    ordered = sorted(variants, key="contrastive_hebbian".__eq__)
    for variant in ordered or (None,):
        given = [*settings, *([] if key is None else [f"{key}={value}"])]
        given += [] if variant is None else [f"learning.variant={variant}"]
        given += ["learning.nudging=1"] if variant == "contrastive_hebbian" else []
        try:
            experiment = configuration.load(source, chip=chip, settings=given, seed=seed)
        except ConfigurationError as error:
            refused[variant] = error
            continue
        require_fixed_cells(experiment.learning.variant)
        found.append((experiment, given))
    if not found:
        raise next(iter(refused.values()))
    experiment, given = found[0]
    kind = experiment.network.kind
    if kind not in ("resistive", "hopfield"):
        raise UnsupportedError(
            f"network.kind = {kind}: it learns by {experiment.learning.rule}, which nudges nothing"
        )
    if converged:
        sweeps = ["relaxation.dynamics=sweeps"] if kind == "hopfield" else []
        given = [*CONVERGED, *sweeps, *given]
        experiment = configuration.load(source, chip=chip, settings=given, seed=seed)
    return experiment, refused


def _take(machine: Any, run: Run, dataset: Any) -> None:
    """Give the machine's chip the network of a run."""
    ours, theirs = machine.experiment, run.experiment
    if (ours.circuit, ours.training.precision) == (theirs.circuit, theirs.training.precision):
        restore_chip(machine.chip, run)
    else:
        transfer.program(run, machine, dataset)


def _require(
    samples: int, repeats: int | None, nudgings: Sequence[float], variants: Sequence[str]
) -> None:
    for name, count in (("samples", samples), ("repeats", 1 if repeats is None else repeats)):
        if count < 1:
            raise InvalidValueError(f"{name} = {count}: must be at least 1")
    for nudging in nudgings:
        if not 0 < nudging < np.inf:
            raise InvalidValueError(f"nudging = {nudging:g}: must be finite, above 0")
    for variant in variants:
        if variant not in get_args(Variant):
            known = ", ".join(get_args(Variant))
            raise InvalidValueError(f"variant = {variant}: known ones are {known}")


def _named(key: str | None, value: str | None) -> str:
    return "" if key is None else f", {key} = {value}"


def _or_infinite(value: float) -> float:
    return np.inf if np.isnan(value) else value


def _draws(machine: RelaxingMachine) -> bool:
    """Return whether two updates of the same mini-batch may differ."""
    chip = machine.chip
    return (
        chip.noisy
        or chip.specification.neuron.noise > 0
        or not chip.readout.ideal
        or chip.input_dac is not None
        or chip.nudge_dac is not None
        or chip.specification.hold != SampleAndHold()
    )


def _dense(update: Any) -> Array:
    """Return the wanted change, (units, inputs), all events together, in float64."""
    events = range(len(update.presynaptic))
    total: Array = sum(update.dense(np.zeros(()), event).astype(np.float64) for event in events)
    return total


def _passing(network: Any, phases: Contrast) -> NDArray[np.bool_]:
    """Return which samples have a node at a limit in one phase and not in another, (batch,)."""
    found = np.zeros(len(phases.upper[0]), bool)
    lows, highs = (
        side if isinstance(side, tuple) else (side,) * _integrating(network)
        for side in (network.low, network.high)
    )
    every = phases.upper, phases.lower, phases.free.state
    for k, (low, high) in enumerate(zip(lows, highs, strict=True)):
        # -1 at the lower limit, 1 at the upper one.
        upper, lower, free = ((state[k] >= high).astype(int) - (state[k] <= low) for state in every)
        found |= ((upper != lower) | (upper != free)).any(axis=1)
    return found


def _integrating(network: HopfieldNetwork) -> int:
    """Return how many layers have limits: not a readout."""
    return len(network.layers) - network.softmax


def _distance(free: Equilibrium, exact: ExactGradient) -> float:
    return max(
        float(np.linalg.norm(found - v)) / max(float(np.linalg.norm(v)), 1e-300)
        for found, v in zip(free.state, exact.state, strict=True)
    )
