"""Lateral inhibition between hidden units: the differential equation, and where it ends.

Units are driven by currents I and inhibit each other by what they fire, r(h) = max(h, 0):

    τ·dh_μ/dt = I_μ − w·Σ_{ν≠μ} r(h_ν) − h_μ,   h(0) = I

For w < 1 it has one steady state. With the m units of largest current active, and the total of
their rates S = (Σ_active I)/(1 − w + w·m),

    h = (I − w·S)/(1 − w) where I > w·S,   h = I − w·S elsewhere

For w ≥ 1 the winner takes all. The order of the units never changes, because the difference of two
of them grows away from that of their currents, so the winner is the unit of largest current.

References
----------
Krotov, Hopfield (2019), "Unsupervised learning by competing hidden units", PNAS 116, 7723.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from neurohw.errors import ConvergenceError

Array = NDArray[np.floating]


def integrated(currents: Array, inhibition: float, *, duration: float = 60.0) -> Array:
    """Return the states of one sample, (units,), after the differential equation: the reference.

    Parameters
    ----------
    currents : (units,) array
        I, in any unit, that of the states.
    inhibition : float
        w.
    duration : float
        In time constants τ; how long it takes grows as 1/(1 − w).

    Raises
    ------
    ConvergenceError
        The integration does not reach the end.
    """

    def rate(_: float, h: Array) -> Array:
        fires = np.maximum(h, 0.0)
        return np.asarray(currents - inhibition * (fires.sum() - fires) - h)

    found = solve_ivp(rate, (0.0, duration), currents, method="LSODA", rtol=1e-10, atol=1e-12)
    if not found.success:
        raise ConvergenceError(f"lateral inhibition {inhibition:g}: {found.message}")
    return np.asarray(found.y[:, -1])


def settled(currents: Array, inhibition: float) -> Array:
    """Return the steady states (batch, units) for currents (batch, units): the kernel's oracle."""
    ordered = -np.sort(-currents, axis=1)
    if inhibition >= 1:
        total = np.maximum(ordered[:, :1], 0.0)
        return np.where(currents == total, currents, currents - inhibition * total)
    count = np.arange(1, currents.shape[1] + 1)
    totals = ordered.cumsum(axis=1) / (1 - inhibition + inhibition * count)
    # The active units come first: those that are above what the units up to them inhibit.
    active = (ordered > np.maximum(inhibition * totals, 0.0)).sum(axis=1)
    last = np.maximum(active - 1, 0)[:, None]
    total = np.where(active[:, None] > 0, np.take_along_axis(totals, last, axis=1), 0.0)
    rest = currents - inhibition * total
    return np.asarray(np.where(rest > 0, rest / (1 - inhibition), rest))
