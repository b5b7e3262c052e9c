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


class Session:
    """The ngspice of this process, at most one circuit loaded; made by `session`, once.

    Attributes
    ----------
    folder : Path
        Where decks of circuits that failed are kept: that for temporary files.
    version : int

    Raises
    ------
    UnsupportedError
        libngspice or PySpice is missing or does not load, or ngspice is too old.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.gettempdir())
        self._ngspice = _start()
        self._loaded: Netlist | None = None
        self.version = int(self._ngspice.ngspice_version)
        if self.version < OLDEST_VERSION:
            raise UnsupportedError(
                f"ngspice {self.version}: too old; {OLDEST_VERSION} or newer is needed"
            )

    def load(self, netlist: Netlist) -> None:
        """Make a circuit the loaded one, by altering the loaded one where only values differ.

        Altering all cells takes about half the time of loading.

        Raises
        ------
        UnsupportedError
            ngspice refuses it; names the deck that was kept.
        """
        if self._loaded is not None and self._loaded.alters_to(netlist):
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
        try:
            for command in commands:
                self._ngspice.exec_command(command)
        except self._ngspice.failures as failure:
            self.unload()
            raise UnsupportedError(
                self._failed("does not take the values of the circuit", netlist.text(), failure)
            ) from None
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
        failures = (NgSpiceCommandError, NameError)

        def exec_command(self, command: str, join_lines: bool = True) -> Any:
            try:
                return super().exec_command(command, join_lines)
            except NgSpiceCommandError:
                self._raise_errors()
                return self.stdout if join_lines else self._stdout

        def load_circuit(self, circuit: str) -> None:
            with suppress(NgSpiceCircuitError):
                super().load_circuit(circuit)
            self._raise_errors()

        def voltages(self, nodes: Sequence[str]) -> list[float]:
            found = []
            for node in nodes:
                # ngspice hands out the same structure each time, or none.
                vector = self._ngspice_shared.ngGet_Vec_Info(node.encode())
                if not vector or vector.v_length != 1:
                    raise NgSpiceCommandError(f"there is no voltage of node {node}")
                found.append(vector.v_realdata[0])
            return found

        def _raise_errors(self) -> None:
            wrong = [line for line in self._stderr if not line.strip().startswith(_NOTES)]
            if self._error_in_stdout:
                wrong += [line for line in self._stdout if "error" in line.lower()]
            if wrong:
                raise NgSpiceCommandError(" ".join(" ".join(wrong[:3]).split()))

    NgSpiceShared.LIBRARY_PATH = library
    return NgSpice.new_instance()
