"""Engines find the equilibrium of a relaxing network; all give the same answer."""

from neurohw.engines.equilibrium import Engine
from neurohw.errors import UnsupportedError


def load(name: str) -> Engine:
    """Return the engine ``numpy`` or ``numba``; compiled code is imported only when asked for."""
    if name == "numpy":
        from neurohw.engines.numpy import NumpyEngine

        return NumpyEngine()
    if name == "numba":
        from neurohw.engines.numba.engine import NumbaEngine

        return NumbaEngine()
    raise UnsupportedError(f"engine = {name}: known engines are numba and numpy")
