"""Engine that writes the network as a netlist and lets ngspice find the operating point."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from neurohw.engines.equilibrium import (
    Accelerator,
    Equilibrium,
    Nudging,
    SeenArray,
    Source,
    refuse_duration,
)
from neurohw.engines.spice import deck
from neurohw.engines.spice.session import session
from neurohw.engines.synapses import NonlinearCells
from neurohw.errors import UnsupportedError
from neurohw.networks.resistive import ResistiveNetwork

Array = NDArray[np.floating]

# What `neurohw.circuits.netlist.options` asks for.
_RELATIVE_TOLERANCE = 1e-9


class SpiceEngine:
    """ngspice, one sample after the other; start, sweeps, tolerance and accelerator are its own.

    It solves the driven array too and so needs `inputs`. Ideal diodes become nearly ideal ones.
    """

    def relax(
        self,
        network: ResistiveNetwork,
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
    ) -> Equilibrium:
        """See `neurohw.engines.equilibrium.Engine.relax`.

        Raises
        ------
        UnsupportedError
            No inputs, or a duration; or see `neurohw.engines.spice.session.Session`.
        InvalidValueError
            See `neurohw.engines.spice.deck.build`, or a nonlinear cell out of its range.
        ConvergenceError
            ngspice finds no operating point.
        """
        refuse_duration(duration)
        if inputs is None:
            raise UnsupportedError(
                "engine = spice: solves the driven array too, so it needs the inputs' voltages"
            )
        batch, ngspice = len(input_current), session()
        cells = None
        if network.synapse is not None:
            cells = NonlinearCells(
                network, arrays, sources, inputs, nudging, "none", batch=batch, polynomial=False
            )
        names = [node for k in range(len(network.layers)) for node in deck.nodes(network, k + 1)]
        voltages = np.empty((batch, len(names)))
        drives = deck.drives(network, inputs, batch, nudging)
        for clamped in (False, True):
            here = [k for k, drive in enumerate(drives) if np.isinf(drive.strength) == clamped]
            if not here:
                continue
            # What floats does so first in the sample that is nudged least.
            least = min((drives[k] for k in here), key=lambda drive: abs(drive.strength))
            circuit = deck.build(network, arrays, sources, least)
            for k in here:
                groups = circuit.groups | deck.driven(network, drives[k])
                ngspice.load(msgspec.structs.replace(circuit, groups=groups))
                voltages[k] = ngspice.operating_point(names)
        state = np.split(voltages, np.cumsum(network.layers)[:-1], axis=1)
        equilibrium = Equilibrium(
            state=tuple(v.astype(input_current.dtype) for v in state),
            residual=_RELATIVE_TOLERANCE,
            iterations=1,
            result="converged",
        )
        if cells is not None:
            cells.require_range(equilibrium)
        return equilibrium
