"""A phase of a mini-batch on a chip whose cells are noisy: who sees which draw of the noise."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from neurohw.chip import Chip, HopfieldChip, Moment
from neurohw.engines.equilibrium import Engine, Equilibrium, Nudging
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.errors import InvalidValueError, UnsupportedError

Array = NDArray[np.floating]

_FAILED = ("not finite", "not converged", "oscillating")


def relax(
    engine: Engine | HopfieldEngine,
    network: Any,
    chip: Chip | HopfieldChip,
    input_current: Array,
    *,
    event: int,
    phase: int = 0,
    sweep: int = 0,
    start: Equilibrium | None = None,
    nudging: Nudging | None = None,
    inputs: Array | None = None,
    **options: Any,
) -> Equilibrium:
    """Relax a phase as `Engine.relax` does, each part of it with the noise that it meets.

    Parameters
    ----------
    engine, network, chip
    input_current : (batch, units) array [A]
        Without noise; where cells are noisy, the currents are read anew.
    event : int
        Number of the mini-batch.
    phase, sweep : int
        Numbers of the phase, 0 of the free one, and of its first sweep. Two nudgings of each
        sample, one after the other in `nudging`, are two phases.
    start, nudging, inputs, options
        See `Engine.relax`; where cells are noisy, inputs are needed.

    Raises
    ------
    InvalidValueError
        A tolerance where the noise changes each sweep, so that nothing converges.
    UnsupportedError
        The same of an engine that has no sweeps.
    """
    whole = Moment(event, phase=phase, sweep=sweep)
    if not chip.noisy:
        return engine.relax(
            network,
            chip.seen(),
            chip.sources(),
            input_current,
            start=start,
            nudging=nudging,
            inputs=inputs,
            **options,
            **_fluctuating(chip, whole),
        )
    if inputs is None:
        raise InvalidValueError("inputs: a chip with read noise has to read them in each phase")
    reading = chip.specification.device.reading
    if reading.correlation == "sweep":
        _require_sweeps(options)
    samples = len(inputs)
    # What was left to go on with belongs to cells as they were read before.
    begun = start if start is None or reading.lasting else replace(start, carry=None)
    parts = []
    for rows, moment in _parts(reading.correlation, reading.lasting, whole, samples, nudging):
        lines = np.unique(rows % samples)
        read = inputs if len(lines) == samples else inputs[lines]
        some = None if nudging is None else nudging.of(rows)
        first = begun
        if begun is not None and len(rows) < len(input_current):
            held = rows % len(begun.state[0])
            first = replace(begun, state=tuple([v[held] for v in begun.state]), carry=None)
        times = options["sweeps"] if reading.correlation == "sweep" else 1
        path: tuple[Array, ...] | None = None
        for number in range(times):
            at = replace(moment, sweep=whole.sweep + number)
            current = chip.arrays[0].read(read, at)
            part = engine.relax(
                network,
                chip.seen(at),
                chip.sources(at),
                np.concatenate([current] * (len(rows) // len(lines))),
                start=first,
                nudging=some,
                inputs=read,
                **(options if times == 1 else options | {"sweeps": 1}),
                **_fluctuating(chip, replace(whole, sweep=at.sweep), rows),
            )
            first = replace(part, carry=None)
            path = _prolonged(path, part.path)
        parts.append(replace(part, iterations=part.iterations * times, path=path))
    return parts[0] if len(parts) == 1 else _joined(parts)


def _parts(
    correlation: str, lasting: bool, whole: Moment, samples: int, nudging: Nudging | None
) -> Iterator[tuple[NDArray[np.intp], Moment]]:
    """Yield which rows of a phase meet one reading of the cells, and when that is."""
    nudgings = 1 if nudging is None else len(nudging.strength) // samples
    rows = np.arange(nudgings * samples).reshape(nudgings, samples)
    if lasting:
        yield rows.ravel(), whole
        return
    for k in range(nudgings):
        moment = replace(whole, phase=whole.phase + k)
        if correlation != "sample":
            yield rows[k], moment
            continue
        for sample in range(samples):
            yield rows[k, sample : sample + 1], replace(moment, sample=sample)


def _fluctuating(
    chip: Chip | HopfieldChip, moment: Moment, rows: NDArray[np.intp] | None = None
) -> dict[str, Any]:
    """Return what else an engine is told where membranes have noise."""
    noise = chip.fluctuations(moment, rows) if isinstance(chip, HopfieldChip) else None
    return {} if noise is None else {"noise": noise}


def _prolonged(
    path: tuple[Array, ...] | None, then: tuple[Array, ...] | None
) -> tuple[Array, ...] | None:
    """Return a path, and one that starts where it ends, as one; None if none is kept."""
    if path is None or then is None:
        return then
    return tuple(np.concatenate((a, b[1:])) for a, b in zip(path, then, strict=True))


def _side_by_side(paths: Sequence[Sequence[Array]]) -> tuple[Array, ...]:
    """Return the paths of all samples; those that ended before others stay where they are."""
    moments = max(len(path[0]) for path in paths)
    layers = zip(*paths, strict=True)
    return tuple(
        np.concatenate([v[np.minimum(np.arange(moments), len(v) - 1)] for v in layer], axis=1)
        for layer in layers
    )


def _joined(parts: Sequence[Equilibrium]) -> Equilibrium:
    """Return the equilibria of all samples, with the worst residual and result of any."""
    worst = next((p for p in parts if p.result in _FAILED), parts[0])
    layers = zip(*[part.state for part in parts], strict=True)
    paths = [part.path for part in parts if part.path is not None]
    residuals = [part.residuals for part in parts if part.residuals is not None]
    return Equilibrium(
        state=tuple(np.concatenate(layer) for layer in layers),
        residual=max(part.residual for part in parts),
        iterations=max(part.iterations for part in parts),
        result=worst.result,
        path=_side_by_side(paths) if paths else None,
        residuals=np.concatenate(residuals) if len(residuals) == len(parts) else None,
    )


def _require_sweeps(options: dict[str, Any]) -> None:
    if options.get("duration") is not None:
        raise UnsupportedError(
            "device.reading.correlation = sweep: the engine transient has no sweeps; take phase"
        )
    if options.get("tolerance", 0.0) > 0:
        raise InvalidValueError(
            f"relaxation.tolerance = {options['tolerance']:g}: with noise that is redrawn each"
            " sweep (device.reading.correlation = sweep) nothing converges; take 0"
        )
