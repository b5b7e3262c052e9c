"""Engines find the equilibrium of a relaxing network; all give the same answer, given time."""

from neurohw.engines.equilibrium import Engine
from neurohw.engines.hopfield import HopfieldEngine
from neurohw.errors import UnsupportedError


def load(name: str) -> Engine:
    """Return the engine ``numba``, ``numpy``, ``spice`` or ``transient``.

    It is imported only when asked for.
    """
    if name == "numpy":
        from neurohw.engines.numpy import NumpyEngine

        return NumpyEngine()
    if name == "numba":
        from neurohw.engines.numba.engine import NumbaEngine

        return NumbaEngine()
    if name == "spice":
        from neurohw.engines.spice.engine import SpiceEngine

        return SpiceEngine()
    if name == "transient":
        from neurohw.engines.transient.engine import TransientEngine

        return TransientEngine()
    raise UnsupportedError(f"engine = {name}: known engines are numba, numpy, spice and transient")


def load_hopfield(name: str, step: float | None, overrelaxation: float = 1.0) -> HopfieldEngine:
    """Return the engine ``numba`` or ``numpy`` of Hopfield networks, with its step or factor."""
    if name == "numpy":
        return HopfieldEngine(step, overrelaxation)
    if name == "numba":
        from neurohw.engines.numba.hopfield.engine import NumbaHopfieldEngine

        return NumbaHopfieldEngine(step, overrelaxation)
    raise UnsupportedError(f"training.engine = {name}: Hopfield networks have numba and numpy")
