"""How pulses move a cell: four families of update law, which the kernels know.

- ``straight``: a pulse adds a step of its own size.
- ``affine``: a pulse takes a fixed share of the way to a target T that lies at or beyond a limit,
  so that n pulses, whole or not, lead to T − (T − G)·e^(−n·r). NeuroSim's label curves, soft
  bounds, and steps that fall linearly with the conductance are all of this family: a label's 1/A
  is P·r for P pulses over the whole range, and soft bounds have r = −ln(1 − step/range).
- ``tabulated``: a step is looked up at the cell's place between its limits.
- ``sampled``: a step is drawn from a distribution that is looked up there.

References
----------
Chen, Peng, Yu (2018), "NeuroSim", IEEE TCAD 37, 3067, for the label curves; Rasch et al. (2021),
IEEE AICAS, for soft bounds and tabulated steps; Agarwal et al. (2016), IJCNN, for lookup tables.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurohw.randomness import Words, fractions, next_words

Array = NDArray[np.floating]
Family = Literal["straight", "affine", "tabulated", "sampled"]

FAMILIES: tuple[Family, ...] = ("straight", "affine", "tabulated", "sampled")

# Below this rate times the pulses for the whole range a curve is within 3e-5 of a line.
LEAST_CURVATURE = 1e-4


@dataclass(frozen=True, eq=False, kw_only=True)
class Law:
    """How pulses move each cell of an array.

    Parameters
    ----------
    family : {"straight", "affine", "tabulated", "sampled"}
    up, down : pairs of (units, inputs) or (1, 1) arrays
        Of ``straight`` the step [S], of ``affine`` the target [S], of the others the unit of the
        table [S]; then the rate a pulse of ``affine``.
    step_up, step_down : float [S]
        A pulse of the nominal device, which is all that a controller knows.
    one_step : bool
        Whether pulses of both polarities are counted with the mean of their steps.
    limit_up, limit_down : float
        Most pulses of one event.
    whole : bool
        Whether pulses are whole numbers.
    sigma : float [S]
        Standard deviation of one pulse's noise.
    relative_sigma : float
        The same as a share of the step that the pulse makes.
    write_sigma : float [S]
        Of the distance between the state that pulses move and what is read.
    reset, reset_sigma : float
        Where between the limits, 0 to 1, a reset leaves a cell, and the deviation of that.
    table : (places, columns) array
        At places from the lower limit to the upper one, evenly. ``tabulated``: steps up and down,
        and their deviations. ``sampled``: means up and down, then quantiles up and quantiles
        down, evenly from 0 to 1.
    """

    family: Family
    up: tuple[Array, Array]
    down: tuple[Array, Array]
    step_up: float
    step_down: float
    limit_up: float
    limit_down: float
    one_step: bool = False
    whole: bool = False
    sigma: float = 0.0
    relative_sigma: float = 0.0
    write_sigma: float = 0.0
    reset: float = 0.0
    reset_sigma: float = 0.0
    table: Array = field(default_factory=lambda: np.zeros((2, 4)))

    @property
    def noisy(self) -> bool:
        """Whether pulses have noise besides that of a table's samples."""
        deviates = self.family == "tabulated" and bool(self.table[:, 2:].any())
        return self.sigma > 0 or self.relative_sigma > 0 or deviates

    @property
    def counted(self) -> tuple[float, float]:
        """Steps with which pulses up and down are counted [S]."""
        mean = (self.step_up + self.step_down) / 2
        return (mean, mean) if self.one_step else (self.step_up, self.step_down)


def moved(
    law: Law, low: Array, high: Array, conductance: Array, pulses: Array, draws: Words | None = None
) -> tuple[Array, Array]:
    """Return what pulses lead to, and the standard deviation of the noise that they have [S].

    Parameters
    ----------
    law : Law
    low, high : (units, inputs) or (1, 1) arrays [S]
    conductance : (units, inputs) array [S]
    pulses : (units, inputs) array
        Signed number a cell. Tables are looked up at every pulse anew; a fraction is one step of
        that size.
    draws : (units, inputs) array of uint32, optional
        A word a cell, of ``sampled``; each pulse takes the next one.
    """
    up, size = pulses > 0, np.abs(pulses)
    first, second = (np.where(up, a, b) for a, b in zip(law.up, law.down, strict=True))
    variance = size * law.sigma**2
    if law.family == "straight":
        change = pulses * first
    elif law.family == "affine":
        change = (conductance - first) * np.expm1(-size * second)
    else:
        change, deviation = _stepped(law, low, high, conductance, pulses, first, draws)
        variance = variance + size * deviation**2
    relative = law.relative_sigma * change
    variance = variance + relative**2 / np.where(size > 0, size, 1)
    return conductance + change, np.sqrt(variance)


def _stepped(
    law: Law,
    low: Array,
    high: Array,
    conductance: Array,
    pulses: Array,
    unit: Array,
    draws: Words | None,
) -> tuple[Array, Array]:
    """Return change and deviation of one pulse [S], of laws that are looked up step by step."""
    direction = np.where(pulses > 0, 1.0, -1.0)
    column = np.where(pulses > 0, 0, 1)
    steps = np.ceil(np.abs(pulses))
    size = np.abs(pulses) / np.maximum(steps, 1)
    deviation = np.zeros_like(conductance)
    if law.family == "tabulated":
        deviation = unit * _looked_up(law.table, _places(low, high, conductance), column + 2)
    g = conductance
    for step in range(int(steps.max(initial=0))):
        place = _places(low, high, g)
        mean = _looked_up(law.table, place, column)
        change = size * mean
        if law.family == "sampled":
            assert draws is not None
            change = change + np.sqrt(size) * (_sampled(law.table, place, column, draws) - mean)
            draws = next_words(draws)
        change = direction * unit * change
        g = np.where(step < steps, np.clip(g + change, low, high), g)
    return g - conductance, deviation


def _places(low: Array, high: Array, conductance: Array) -> Array:
    """Return where between their limits cells are, 0 to 1; 0 of cells that are stuck."""
    span = high - low
    return np.clip((conductance - low) / np.where(span > 0, span, 1.0), 0.0, 1.0)


def _looked_up(table: Array, place: Array, column: NDArray[np.integer]) -> Array:
    """Return a column of a table at places between 0 and 1, by straight lines."""
    at = place * (len(table) - 1)
    first = np.minimum(at.astype(np.intp), len(table) - 2)
    share = at - first
    return np.asarray(table[first, column] * (1 - share) + table[first + 1, column] * share)


def _sampled(table: Array, place: Array, direction: NDArray[np.integer], draws: Words) -> Array:
    """Return a step of the distribution at each place, of a uniform draw a cell."""
    quantiles = (table.shape[1] - 2) // 2
    at = fractions(draws) * (quantiles - 1)
    first = np.minimum(at.astype(np.intp), quantiles - 2)
    share = at - first
    column = 2 + direction * quantiles + first
    low, high = _looked_up(table, place, column), _looked_up(table, place, column + 1)
    return np.asarray(low * (1 - share) + high * share)
