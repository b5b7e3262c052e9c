"""Relaxation of deep Hopfield networks: the readable oracle, and what all their engines share.

Two ways down the energy of `neurohw.networks.hopfield`. Block sweeps set the layers, even ones
first, then odd ones, each to its exact minimum with its neighbours held: h·u = a, clipped where
the membrane is. Steps are those of 2017: all membranes at once go a share ε of the way,
u ← clip(u + ε·(a/h − u)). Sweeps may be over-relaxed: each layer goes further, by a factor
below 2. Behind the hard sigmoid the energy is a parabola in every membrane, so that it still falls.
Where arrays have a transposed gain the interaction is not symmetric and
there is no energy: the same moves then lead to a steady state only where they contract. So it is
with complex nudging, of activations without kinks: states are complex then. Membranes with noise
take each move at random instead, see `neurohw.circuits.membrane`.

A readout follows at once what the layer below it puts out. Nudged, it pulls that layer, whose move
is one all of the way to where it would rest under the pull of this moment. That converges where
β·‖W‖² is well below the leak, W the readout's weights; steps do under larger ones, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.membrane import MembraneNoise
from neurohw.engines.descent import start_state
from neurohw.engines.equilibrium import (
    ROUNDING,
    Accelerator,
    Equilibrium,
    Nudging,
    Result,
    SeenArray,
    Source,
    refuse_duration,
)
from neurohw.engines.hopfield_samples import Samples
from neurohw.errors import InvalidValueError, UnsupportedError
from neurohw.networks.hopfield import HopfieldNetwork

Array = NDArray[np.floating]

# Halvings after which an interval is as short as rounding lets it be.
_HALVINGS = 70
# More than Newton steps need from membranes near the balance.
_NEWTON_STEPS = 50


@dataclass(frozen=True, eq=False, kw_only=True)
class Dynamics:
    """How one relaxation moves its layers; the fields are those of `HopfieldEngine.relax`.

    No array of a state may be written to once it was moved from: of connections that are switched
    the currents of bit lines are kept until the layer below them moves.
    """

    network: HopfieldNetwork
    arrays: Sequence[SeenArray]
    sources: Sequence[Source]
    input_current: Array
    nudging: Nudging | None
    step: float | None
    noise: MembraneNoise | None = None
    overrelaxation: float = 1.0
    _kept: dict[int, tuple[Array, Array]] = field(default_factory=dict, init=False)

    @cached_property
    def _entering(self) -> Array:
        """What the first array brings, (batch, units) [A]."""
        return self.network.connections[0].collected(self.input_current)

    def _currents(self, state: Sequence[Array], layer: int) -> Array:
        """Return what the bit lines of the array below a layer carry forwards [A]."""
        before, kept = state[layer - 1], self._kept.get(layer)
        if kept is not None and kept[0] is before:
            return kept[1]
        connection = self.network.connections[layer]
        lines = connection.lines(self.network.forward(layer - 1, before))
        currents = self.arrays[layer].forwards(lines)
        if connection.switched:
            self._kept[layer] = before, currents
        return currents

    def below(self, state: Sequence[Array], layer: int) -> Array:
        """Return what flows into the membranes of a layer from below, (batch, units) [A]."""
        if layer == 0:
            return self._entering
        return self.network.connections[layer].collected(self._currents(state, layer))

    def above(self, state: Sequence[Array], layer: int) -> Array | None:
        """Return the same from above, where there is something; from a readout its nudging."""
        layer += 1
        if layer == len(state):
            return None
        signals = self.network.forward(layer, state[layer])
        if self.network.readout(layer):
            if self.nudging is None:
                return None
            share = self.nudging.conductor(signals.dtype) / self.sources[layer].conductance
            signals = share * (self.nudging.target - signals)
        connection = self.network.connections[layer]
        currents = self._currents(state, layer) if connection.switched else None
        return connection.returned(
            self.arrays[layer].backwards(connection.driven(signals, currents))
        )

    def sweep(self, state: Sequence[Array]) -> list[Array]:
        """Return the state after a move of every layer, all of them fresh arrays."""
        layers = range(len(state))
        if self.step is not None:
            return [self.moved(state, k) for k in layers]
        after = list(state)
        for k in [*layers[::2], *layers[1::2]]:
            after[k] = self.moved(after, k)
        return after

    def of(self, samples: NDArray[np.intp]) -> Self:
        """Return the same for some of the samples."""
        nudging = None if self.nudging is None else self.nudging.of(samples)
        return replace(self, input_current=self.input_current[samples], nudging=nudging)

    @property
    def share(self) -> float:
        """How far a move goes, 1 being all of the way to rest."""
        return self.overrelaxation if self.step is None else self.step

    def arriving(self, state: Sequence[Array], layer: int) -> Array:
        """Return what flows into the membranes of a layer, (batch, units) [A].

        Without what nudging does to outputs that are integrators.
        """
        current = self.sources[layer].current + self.below(state, layer)
        above = self.above(state, layer)
        return current if above is None else current + above

    def moved(self, state: Sequence[Array], layer: int) -> Array:
        """Return the membranes of a layer after a move, a fresh array (batch, units) [V]."""
        leak, current = self.sources[layer].conductance, self.arriving(state, layer)
        if self.network.readout(layer):
            return np.asarray(current / leak, state[layer].dtype)
        if self.nudging is not None and layer + 1 == len(state):
            return self._nudged(self.nudging, state[layer], current, leak)
        return self._clipped(state[layer], current / leak, layer)

    def _nudged(self, nudging: Nudging, before: Array, current: Array, leak: Array) -> Array:
        """Return the membranes of nudged outputs after a move."""
        if nudging.clamped.all():
            return self._driven(nudging, before)
        pull = nudging.conductor(current.dtype)
        current = current + nudging.injected(current.dtype)
        forward, last = self.network.forward, len(self.network.layers) - 1
        stiffness: Any = 1.0
        if self.step is not None:
            goal: Array = (current - pull * forward(last, before)) / leak
        elif self.network.activation.name == "hard-sigmoid":
            goal = current / (leak + pull)
        elif np.iscomplexobj(before):
            goal = self._balanced(before, current, pull, leak)
        else:
            goal = self._bracketed(before, current, pull, leak)
        if self.noise is not None and self.step is None:
            stiffness = 1 + pull * self.network.slope(goal) / leak
        moved = self._clipped(before, goal, last, stiffness)
        clamped = nudging.clamped[:, None]
        if not clamped.any():
            return moved
        return np.where(clamped, self._driven(nudging, before), moved).astype(moved.dtype)

    def _driven(self, nudging: Nudging, before: Array) -> Array:
        """Return the membranes of outputs that put out their targets."""
        return self.network.membrane(nudging.target).astype(before.dtype)

    def _balanced(self, before: Array, current: Array, pull: Array, leak: Array) -> Array:
        """Return the complex membranes at which the currents balance, by Newton steps."""
        membrane, last = before, len(self.network.layers) - 1
        rounding = ROUNDING * np.finfo(before.dtype).eps
        for _ in range(_NEWTON_STEPS):
            missing = current - pull * self.network.forward(last, membrane) - leak * membrane
            change = missing / (leak + pull * self.network.slope(membrane))
            membrane = membrane + change
            if not np.abs(change).max() > rounding * np.abs(membrane).max():
                break
        return membrane

    def _bracketed(self, before: Array, current: Array, pull: Array, leak: Array) -> Array:
        """Return the membranes at which the currents balance, by Newton steps between bounds."""
        last = len(self.network.layers) - 1
        # Outputs are within one unit voltage of 0, which bounds what nudging draws.
        reach = np.abs(pull) * self.network.unit_voltage
        low, high = (current - reach) / leak, (current + reach) / leak
        membrane = np.clip(before, low, high)
        rounding = ROUNDING * np.finfo(membrane.dtype).eps
        for number in range(_HALVINGS):
            missing = current - pull * self.network.forward(last, membrane) - leak * membrane
            rises = missing > 0
            low, high = np.where(rises, membrane, low), np.where(rises, high, membrane)
            ahead = membrane + missing / (leak + pull * self.network.slope(membrane))
            outside = ~((ahead >= low) & (ahead <= high))
            if number % 4 == 3:  # between flat ends, Newton steps may go to and fro for ever
                outside |= np.abs(ahead - membrane) > 0.25 * (high - low)
            after = np.where(outside, 0.5 * (low + high), ahead)
            change, membrane = after - membrane, after
            if not np.abs(change).max() > rounding * np.abs(membrane).max():
                break
        # What is no number shows in the currents only.
        return np.asarray(membrane + 0 * current)

    def _clipped(self, before: Array, goal: Array, layer: int, stiffness: Any = 1.0) -> Array:
        """Return membranes on the way to their rest, or there; stiffness as `MembraneNoise`."""
        low, high = self.network.low, self.network.high
        if self.share != 1:
            goal = before + before.dtype.type(self.share) * (goal - before)
        if self.noise is not None and self.step is not None:
            goal = goal + self.noise.kick(layer, goal.shape, self.step)
        elif self.noise is not None:
            goal = self.noise.settled(layer, goal, stiffness, low, high)
        if np.iscomplexobj(goal):
            return goal.astype(before.dtype)
        return np.clip(goal, low, high).astype(before.dtype)


class HopfieldEngine:
    """Relaxes deep Hopfield networks in plain NumPy.

    Parameters
    ----------
    step : float, optional
        ε of synchronous steps; without it, block sweeps.
    overrelaxation : float
        Factor on the way that each layer goes in a block sweep, 1 to 2.

    Raises
    ------
    InvalidValueError
        A step that is not above 0 and at most 1, a factor that is not at least 1 and below 2, or
        one beside a step.
    """

    dynamics: type[Dynamics] = Dynamics

    def __init__(self, step: float | None = None, overrelaxation: float = 1.0) -> None:
        if step is not None and not 0 < step <= 1:
            raise InvalidValueError(f"step = {step:g}: must be above 0, at most 1")
        if not 1 <= overrelaxation < 2:
            raise InvalidValueError(
                f"overrelaxation = {overrelaxation:g}: must be at least 1, below 2"
            )
        if overrelaxation > 1 and step is not None:
            raise InvalidValueError(
                f"overrelaxation = {overrelaxation:g}: only with block sweeps, not with steps"
            )
        self.step = step
        self.overrelaxation = overrelaxation

    def relax(
        self,
        network: HopfieldNetwork,
        arrays: Sequence[SeenArray],
        sources: Sequence[Source],
        input_current: Array,
        *,
        start: Equilibrium | None = None,
        nudging: Nudging | None = None,
        sweeps: int,
        tolerance: float = 0.0,
        accelerator: Accelerator = "none",
        inputs: Array | None = None,
        duration: float | None = None,
        keep_path: bool = False,
        noise: MembraneNoise | None = None,
    ) -> Equilibrium:
        """See `neurohw.engines.equilibrium.Engine.relax`; states are membrane voltages.

        Arrays are seen as signed weights, sources as biases and leaks. A step counts as a sweep,
        and its changes of voltages as 1/ε times as large. Where the nudging is complex, so are the
        states. With a tolerance each sample stops by itself, and those at rest cost no more;
        changes within rounding count as none. On demand the path is kept, and then all go on.
        With noise the last state is one of many.

        Raises
        ------
        InvalidValueError
            A tolerance where membranes have noise.
        UnsupportedError
            Wires with resistance, a duration, an accelerator, over-relaxation of smooth
            activations or of membranes with noise, or complex nudging behind the hard sigmoid.
        """
        refuse_duration(duration)
        _refuse(network, arrays, nudging, accelerator, self.overrelaxation, noise)
        if noise is not None and tolerance > 0:
            raise InvalidValueError(
                f"relaxation.tolerance = {tolerance:g}: with noise of the neurons (chip.neuron"
                f".noise = {noise.deviation:g} V) nothing converges; take 0"
            )
        dynamics = self.dynamics(
            network=network,
            arrays=arrays,
            sources=sources,
            input_current=input_current,
            nudging=nudging,
            step=self.step,
            noise=noise,
            overrelaxation=self.overrelaxation,
        )
        state = start_state(network, input_current, start)
        if nudging is not None and np.iscomplexobj(nudging.strength):
            state = [u.astype(nudging.strength.dtype) for u in state]
        share = 1.0 if self.step is None else self.step
        samples = Samples(state, nudged=nudging is not None, step=share)
        before, moments = state, [state]
        result: Result = "fixed sweeps" if tolerance == 0 else "not converged"
        iterations = 0
        while iterations < sweeps:
            if noise is not None:
                dynamics = replace(dynamics, noise=noise.after(iterations))
            earlier, before, state = before, state, dynamics.sweep(state)
            iterations += 1
            if keep_path:
                moments.append(state)
            if tolerance == 0 and iterations < sweeps:
                continue
            if not all(np.isfinite(u).all() for u in state):
                result = "not finite"
                break
            samples.measure(before, state)
            if tolerance == 0 or iterations < len(state):
                continue
            if samples.residuals.max() < tolerance:
                result = "converged"
                break
            if iterations == sweeps and samples.oscillate(earlier, state):
                result = "oscillating"
            elif not keep_path and (moving := samples.leave(tolerance, state)) is not None:
                dynamics = dynamics.of(moving)
                before, state = ([u[moving] for u in s] for s in (before, state))
        return Equilibrium(
            state=samples.all(state),
            residual=np.inf if result == "not finite" else float(samples.residuals.max()),
            iterations=iterations,
            result=result,
            path=tuple(map(np.stack, zip(*moments, strict=True))) if keep_path else None,
            residuals=None if result == "not finite" else samples.residuals,
        )


def _refuse(
    network: HopfieldNetwork,
    arrays: Sequence[SeenArray],
    nudging: Nudging | None,
    accelerator: Accelerator,
    overrelaxation: float,
    noise: MembraneNoise | None,
) -> None:
    name = network.activation.name
    if accelerator != "none":
        raise UnsupportedError(
            f"relaxation.accelerator = {accelerator}: Hopfield networks take none, but"
            " relaxation.overrelaxation"
        )
    if overrelaxation > 1 and name != "hard-sigmoid":
        raise UnsupportedError(
            f"relaxation.overrelaxation = {overrelaxation:g}: not with the activation {name}, for"
            " which the energy would not have to fall"
        )
    if overrelaxation > 1 and noise is not None:
        raise UnsupportedError(
            f"relaxation.overrelaxation = {overrelaxation:g}: not with noise of the neurons"
            f" (chip.neuron.noise = {noise.deviation:g} V), which it would make larger; take 1"
        )
    if any(array.unit_coupling is not None for array in arrays):
        raise UnsupportedError(
            "chip.interconnect: the arrays of Hopfield networks need wires without resistance"
        )
    if nudging is not None and np.iscomplexobj(nudging.strength) and name == "hard-sigmoid":
        raise UnsupportedError(f"complex nudging: not with the activation {name}, which has kinks")
