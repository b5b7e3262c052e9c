"""ngspice in this process, through PySpice's binding of its shared library.

There is one ngspice a process. What remains of an analysis is destroyed after it, and a circuit
removed before the next one is loaded: both would be kept for ever. PySpice takes for a failure
whatever ngspice notes on standard error; here only errors count.
"""

import ctypes
import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from ctypes.util import find_library
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurohw.circuits.netlist import Netlist
from neurohw.errors import ConvergenceError, UnsupportedError

Array = NDArray[np.floating]

OLDEST_VERSION = 34
MISSING = "libngspice is missing; install it: apt install libngspice0"

_NOTES = ("Note", "Trying", "Using", "Supplies", "Warning")
# ngspice takes commands of 1023 characters.
_LONGEST = 1000
# A circuit of which more values change is loaded anew, which is faster.
_MOST_ALTERED = 4000


class Session:
    """The ngspice of this process with at most one circuit loaded; see `session`.

    Parameters
    ----------
    folder : path, optional
        Where decks of circuits that failed are kept; default, that for temporary files.

    Raises
    ------
    UnsupportedError
        libngspice or PySpice is missing or does not load, or ngspice is too old.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder or tempfile.gettempdir())
        self._ngspice = _start()
        self._loaded: Netlist | None = None
        self.version = int(self._ngspice.ngspice_version)
        if self.version < OLDEST_VERSION:
            raise UnsupportedError(
                f"ngspice {self.version}: too old; {OLDEST_VERSION} or newer is needed"
            )

    def load(self, netlist: Netlist) -> None:
        """Make a circuit the loaded one, by altering the loaded one where that is faster.

        Raises
        ------
        UnsupportedError
            ngspice refuses it; names the deck that was kept.
        """
        loaded = self._loaded
        if loaded is not None and loaded.alters_to(netlist):
            cells = sum(
                np.count_nonzero(elements.values != loaded.groups[key].values)
                for key, elements in netlist.groups.items()
            )
            if cells <= _MOST_ALTERED:
                self.alter(netlist)
                return
        self.unload()
        deck = netlist.text()
        try:
            self._ngspice.load_circuit(deck)
        except self._ngspice.failures as failure:
            with suppress(*self._ngspice.failures):
                self._ngspice.exec_command("remcirc")
            raise UnsupportedError(self._failed("refuses the circuit", deck, failure)) from None
        self._loaded = netlist

    def alter(self, netlist: Netlist) -> None:
        """Set the values of the loaded circuit that differ from those of one it alters to."""
        assert self._loaded is not None
        commands: list[str] = []
        for key, elements in netlist.groups.items():
            values = elements.values.ravel()
            before = self._loaded.groups[key].values.ravel()
            for k in np.flatnonzero(values != before):
                command = f"alter {elements.alterable[k]}{float(values[k])!r}"
                if commands and len(commands[-1]) + len(command) < _LONGEST:
                    commands[-1] += f";{command}"
                else:
                    commands.append(command)
        for command in commands:
            self._ngspice.exec_command(command)
        self._loaded = netlist

    def operating_point(self, nodes: Sequence[str]) -> Array:
        """Return the voltages of nodes of the loaded circuit at rest, (nodes,) [V].

        Raises
        ------
        ConvergenceError
            ngspice finds none; names the deck that was kept. Nothing is loaded any more.
        """
        assert self._loaded is not None
        try:
            self._ngspice.exec_command("op")
            return np.array(self._ngspice.voltages(nodes))
        except self._ngspice.failures as failure:
            deck = self._loaded.text()
            self.unload()
            raise ConvergenceError(
                self._failed("finds no operating point", deck, failure)
            ) from None
        finally:
            self._ngspice.exec_command("destroy all")

    def unload(self) -> None:
        """Remove the loaded circuit."""
        if self._loaded is not None:
            self._loaded = None
            self._ngspice.exec_command("remcirc")

    def _failed(self, what: str, deck: str, failure: Exception) -> str:
        handle, path = tempfile.mkstemp(prefix="neurohw-", suffix=".cir", dir=self.folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(deck)
        return f"ngspice {self.version} {what} in {path}: {failure}"


@cache
def session() -> Session:
    """Return the session of this process."""
    return Session()


@cache
def _start() -> Any:
    """Return PySpice's ngspice, its quirks mended; one a process."""
    library = os.environ.get("NGSPICE_LIBRARY_PATH") or find_library("ngspice")
    if library is None:
        raise UnsupportedError(MISSING)
    try:
        # PySpice cannot try a second time in a process, so the library is tried first.
        ctypes.CDLL(library)
    except OSError as error:
        raise UnsupportedError(f"libngspice does not load: {error}") from None
    try:
        with warnings.catch_warnings():
            # PySpice's sources have escapes that Python warns of.
            warnings.simplefilter("ignore")
            from PySpice.Spice.NgSpice.Shared import (
                NgSpiceCircuitError,
                NgSpiceCommandError,
                NgSpiceShared,
            )
    except ImportError:
        raise UnsupportedError(
            "PySpice is missing; install it: pip install 'neurohw[spice]'"
        ) from None
    logging.getLogger("PySpice").setLevel(logging.CRITICAL)

    class NgSpice(NgSpiceShared):  # type: ignore[misc]
        failures = (NgSpiceCommandError, NgSpiceCircuitError, NameError)

        def exec_command(self, command: str, join_lines: bool = True) -> Any:
            try:
                return super().exec_command(command, join_lines)
            except NgSpiceCommandError:
                lines = [*self._stderr, *self._stdout]
                wrong = [s for s in self._stderr if not s.strip().startswith(_NOTES)]
                if self._error_in_stdout or wrong:
                    raise NgSpiceCommandError((wrong or lines)[0].strip()) from None
                return self.stdout if join_lines else self._stdout

        def voltages(self, nodes: Sequence[str]) -> list[float]:
            get = self._ngspice_shared.ngGet_Vec_Info
            return [get(node.encode()).v_realdata[0] for node in nodes]

    NgSpiceShared.LIBRARY_PATH = library
    return NgSpice.new_instance()
