"""What samples take of a chip, whatever the kind of its network: phases, conversions, area.

A phase is a stretch of time in which the states stand still: a relaxation and what it leaves, or
one read of one array. `Usage` is what an estimate asks of a kind of machine; see
`resistive_phases`, `hopfield_phases`, `feedforward_phases` and `boltzmann_phases`.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from neurohw.circuits.costs import Costs
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.learning.equilibrium_propagation import Contrast
from neurohw.learning.variants import MOVING

Array = NDArray[np.floating]

# Lengths of the free and of the nudged phases that are given [s].
Times = tuple[float | None, float | None]

# Bits to which a phase settles where the chip has no ADC.
BITS = 8


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A phase of one sample: its length [s], and mean powers [W] and energies [J] of a sample.

    arrays, neurons and wires in watts; charging, of the capacitors at the nodes, in joules.
    """

    time: float
    arrays: float
    neurons: float
    wires: float
    charging: float


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What one sample takes of the chip: phases, numbers and times of conversions.

    dac_time and adc_time, in all [s]; charging, of the lines of the arrays [J]; numbers, those that
    units hold from one phase to a later one, each written and read once.
    """

    phases: Sequence[Phase]
    dacs: float
    adcs: float
    dac_time: float
    adc_time: float
    charging: float
    numbers: int = 0


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine's mean sample takes of its chip, writing apart.

    phases, of a training sample, as they follow each other; settling says how their lengths were
    found. slowest, the longest time constant of a relaxation [s], ∞ if none ends, and imbalance,
    how far from rest its states are, are None where nothing relaxes. area, by part: cells, DAC,
    ADC and others [m²]. not_counted, what is left out of networks of this kind.
    """

    phases: Mapping[str, Phase]
    settling: str
    slowest: float | None
    imbalance: float | None
    inference: Use
    training: Use
    area: Mapping[str, float]
    not_counted: Sequence[str] = ()


def repeated(usage: Usage, reads: int) -> Usage:
    """Return a usage whose phases each last so many times as long, to average readings."""

    def longer(phase: Phase) -> Phase:
        return replace(phase, time=phase.time * reads)

    def use(of: Use) -> Use:
        return replace(of, phases=[longer(phase) for phase in of.phases])

    return replace(
        usage,
        phases={name: longer(phase) for name, phase in usage.phases.items()},
        inference=use(usage.inference),
        training=use(usage.training),
    )


def require_no_lengths(given: Times, network: str) -> None:
    """Refuse lengths of phases for a network whose phases are reads, named in the error.

    Raises
    ------
    InvalidValueError
        One is given.
    """
    if given != (None, None):
        raise InvalidValueError(
            f"free_time, nudged_time: {network} has no such phases;"
            " chip.costs.read_time is the length of its reads"
        )


def settled(costs: Costs, slowest: float, given: Times) -> tuple[tuple[float, float], str]:
    """Return the lengths of the free and of the nudged phases [s], and how they were found.

    Raises
    ------
    InvalidValueError
        A node never settles, and one of both is not given.
    """
    if given[0] is not None and given[1] is not None:
        return (given[0], given[1]), "as the run or the options give them"
    if not np.isfinite(slowest):
        raise InvalidValueError(
            "free_time, nudged_time: a node of this circuit never settles; give both"
        )
    bits = costs.adc_bits or BITS
    constants = (bits + 1) * float(np.log(2))
    found = constants * slowest
    how = f"{constants:.3g} of the slowest time constant: settled to half a step of {bits} bits"
    return (given[0] or found, given[1] or found), how


def states_of(contrast: Contrast, variant: str) -> dict[str, tuple[float, Sequence[Array]]]:
    """Return the sign of the nudging and the states of each phase, free first.

    Raises
    ------
    UnsupportedError
        States that are complex numbers, of the variant holomorphic, or an update that is made by
        circuits that have no costs.
    """
    if variant in (*MOVING, "langevin"):
        raise UnsupportedError(
            f"learning.variant = {variant}: chips have no costs of the circuits that move cells, or"
            " average, while the network runs; take positive or centered for an estimate"
        )
    if contrast.points:
        raise UnsupportedError(
            f"learning.variant = {variant}: its states are complex numbers, which no circuit"
            " spends energy on; take another variant for an estimate"
        )
    found: dict[str, tuple[float, Sequence[Array]]] = {"free": (0.0, contrast.free.state)}
    if variant == "centered":
        return found | {"nudged +": (1.0, contrast.upper), "nudged −": (-1.0, contrast.lower)}
    return found | {"nudged": (float(np.sign(contrast.span)), contrast.upper)}


def relaxing_uses(
    costs: Costs,
    inputs: int,
    layers: Sequence[int],
    phases: Mapping[str, Phase],
    charging: tuple[float, float],
    memory: int,
) -> tuple[Use, Use]:
    """Return what an inference and a training sample take of a chip whose network relaxes.

    inputs, lines with a DAC; layers, nodes of each; charging, of lines, in both [J]; memory,
    numbers that a node holds. Learning reads every node in the two phases that it compares.
    """
    outputs = layers[-1]
    conversion = costs.dac_time if costs.dac_bits else 0.0
    inference = Use(
        phases=[phases["free"]],
        dacs=inputs,
        adcs=outputs,
        dac_time=conversion,
        adc_time=costs.reading_time(outputs),
        charging=charging[0],
    )
    training = Use(
        phases=list(phases.values()),
        # One for the inputs, one for each nudging.
        dacs=inputs + outputs * (len(phases) - 1),
        adcs=2 * sum(layers),
        dac_time=len(phases) * conversion,
        adc_time=2 * max(costs.reading_time(units) for units in layers),
        charging=charging[1],
        numbers=memory * sum(layers),
    )
    return inference, training
