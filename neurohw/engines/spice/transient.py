"""A phase in time, by ngspice: the referee of the transient engine."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits import netlist
from neurohw.engines.equilibrium import SeenArray, Source
from neurohw.engines.spice import deck
from neurohw.engines.spice.deck import Drive
from neurohw.engines.spice.session import session
from neurohw.errors import UnsupportedError
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]


def waveform(
    network: ResistiveNetwork,
    arrays: Sequence[SeenArray],
    sources: Sequence[Source],
    drive: Drive,
    *,
    start: Sequence[Array],
    duration: float,
    step: float,
) -> tuple[Array, Array]:
    """Return a phase of one sample: times (points,) [s] and voltages (points, nodes) [V].

    Parameters
    ----------
    network, arrays, sources, drive
        See `neurohw.engines.spice.deck.build`; ideal diodes become nearly ideal ones.
    start : sequence of (units,) arrays [V]
        Voltages of each free layer at the start.
    duration, step : float [s]
        Length of the phase, and the longest step.

    Raises
    ------
    UnsupportedError
        A limit to a capacitor's current.
    InvalidValueError, ConvergenceError
        See `neurohw.engines.spice.deck.build` and `Session.transient`.
    """
    for k, neurons in enumerate(network.neurons or ()):
        if np.isfinite(neurons.current_limit).any():
            raise UnsupportedError(f"current_limit in layer {k + 1}: the netlist has none")
    names = [node for k in range(len(network.layers)) for node in deck.nodes(network, k + 1)]
    begin = " ".join(
        f"v({name})={float(v)!r}" for name, v in zip(names, np.concatenate(start), strict=True)
    )
    settings = [*netlist.options(transient=True), f".ic {begin}"]
    ngspice = session()
    ngspice.load(deck.build(network, arrays, sources, drive, settings=settings))
    return ngspice.transient(names, duration, step)
