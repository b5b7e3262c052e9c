"""A mini-batch of equilibrium propagation; also of variants whose cells move while it is nudged.

*Continual*: after each sweep of the nudged phase all cells are programmed with the contrast of that
sweep alone, (ρ_i·ρ_j|_t+1 − ρ_i·ρ_j|_t)/β, and the next sweep sees them as they are then. Nothing
has to be kept of the free phase. The sum is the contrast of the nudged state with the free one, so
at small rates this is the variant positive.

*Agnostic*: cells are variables of the physics, held by controls u: states s and conductances θ
settle together at a minimum of

    E(θ, s) + β·C(s) + |θ − u|²/(2·ε)

First, with nudging −β, the controls keep all θ in place, which takes u = θ + ε·∂E/∂θ|_−; then they
are frozen, nudging becomes +β, and θ ends at u − ε·∂E/∂θ|_+. Because E is linear in θ, the minimum
over θ at given states is θ + ε·(∂E/∂θ|_− − ∂E/∂θ): after each sweep the cells move by what that
sweep changed, and ε is the learning rate over 2·β. Every sweep, and every move of the cells, lowers
the total energy. At small rates this is the variant centered; in the second order it differs,
because the state that is compared is that of the cells as they have become.

References
----------
Ernoult et al. (2020), arXiv:2005.04168, continual; Scellier, Mishra, Bengio and Ollivier (2022),
arXiv:2205.15021, agnostic.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from neurohw.chip import BoltzmannChip, Chip, FeedforwardChip, HopfieldChip, SignedChip
from neurohw.engines.equilibrium import Equilibrium
from neurohw.learning.equilibrium_propagation import Contrast, EquilibriumPropagation
from neurohw.learning.variants import MOVING
from neurohw.update import Update

Array = NDArray[np.floating]


class Learnt(msgspec.Struct, frozen=True, eq=False):
    """What a mini-batch gave.

    contrast, of the phases as the circuit had them; updates, of the arrays and of the biases,
    which are still to be programmed; programmed, events that the cells took already.
    """

    contrast: Contrast
    updates: Sequence[Update]
    bias_updates: Sequence[Update]
    programmed: int = 0


def learn(
    rule: EquilibriumPropagation,
    input_current: Array,
    target: Array,
    start: Equilibrium | None,
    event: int,
    inputs: Array,
    rates: Sequence[float],
    bias_rates: Sequence[float],
    *,
    leave_out: bool = False,
) -> Learnt:
    """Run the phases of a mini-batch and return its updates; cells move if the variant has it so.

    Arguments as for `EquilibriumPropagation.phases` and `updates`.
    """
    if rule.variant not in MOVING:
        phases = rule.phases(input_current, target, start, event, inputs, leave_out=leave_out)
        return Learnt(phases, *rule.updates(rule.read(phases, event), inputs, rates, bias_rates))
    free = rule.free_phase(input_current, start, event, inputs)
    rule.missed(free, "free")
    outputs, span, at, phase = free.state[-1], rule.nudging, free, 1
    if rule.variant == "agnostic":
        held = rule.nudging_of((-1.0,), outputs, target, event)
        at, span, phase = rule.nudged_phase(input_current, free, held, event, inputs), 2 * span, 2
        rule.missed(at, "nudged")
    begun = at.state
    nudging = rule.nudging_of((1.0,), outputs, target, event)
    current, sweeps, programmed = input_current, rule.nudged_sweeps, 0
    for sweep in range(sweeps):
        before = at
        at = rule.nudged_phase(
            current, before, nudging, event, inputs, phase=phase, sweep=sweep, sweeps=1
        )
        rule.missed(at, "nudged")
        # What an engine keeps belongs to cells as they were.
        at = replace(at, carry=None)
        moved = Contrast(free, at.state, before.state, span)
        updates, bias_updates = rule.updates(moved, inputs, rates, bias_rates)
        if sweep + 1 < sweeps:
            events = len(updates[0].presynaptic)
            first = event * sweeps * events + programmed
            current = program(rule.chip, updates, bias_updates, first, inputs)
            programmed += events
    return Learnt(Contrast(free, at.state, begun, span), updates, bias_updates, programmed)


def program(
    chip: Chip | FeedforwardChip | HopfieldChip | BoltzmannChip,
    updates: Sequence[Update | None],
    bias_updates: Sequence[Update],
    event: int,
    next_input: Array,
    beside: Mapping[str, Sequence[Update]] | None = None,
) -> Array:
    """Program all cells, and return the first array's currents for what comes next [A].

    event, number of the first one in the life of the arrays; next_input (batch, lines) [V];
    beside, updates of arrays beside those of the layers, by group. Arrays without an update rest.
    """
    first = chip.arrays[0]
    if updates[0] is None:
        first.rest(event)
        current: Array | None = first.read(next_input)
    else:
        current = first.program(updates[0], event, next_input)
    assert current is not None
    for k, update in enumerate(updates[1:], start=1):
        if update is None:
            chip.arrays[k].rest(event)
        else:
            chip.arrays[k].program(update, event)
    for k, update in enumerate(bias_updates):
        chip.biases[k].program(update, event)
    if isinstance(chip, SignedChip):
        for name, group in chip.beside.items():
            wanted = (beside or {}).get(name)
            for k, array in enumerate(group):
                if wanted is None:
                    array.rest(event)
                else:
                    array.program(wanted[k], event)
    return current
