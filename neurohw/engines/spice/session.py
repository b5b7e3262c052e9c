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
from collections.abc import Callable, Mapping, Sequence
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
# After stepping has failed, ngspice would look for rest by a transient, which may take for ever.
_NO_TRANSIENT = "optran 1 1 1 0 0 0"
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
        self._ngspice.exec_command(_NO_TRANSIENT)

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

    def transient(self, nodes: Sequence[str], duration: float, step: float) -> tuple[Array, Array]:
        """Return times (points,) [s] and voltages (points, nodes) [V] of the loaded circuit.

        It starts from the voltages of its line ``.ic``; ngspice chooses its steps, none longer
        than `step`.

        Raises
        ------
        ConvergenceError
            ngspice does not reach the end; names the deck that was kept. Nothing is loaded.
        """
        assert self._loaded is not None
        try:
            self._ngspice.exec_command(f"tran {step!r} {duration!r} 0 {step!r} uic")
            times, *voltages = self._ngspice.waveforms(["time", *nodes])
            if times[-1] < 0.999999 * duration:
                raise self._ngspice.failures[0](f"it stops at {times[-1]:g} s")
            return times, np.stack(voltages, axis=1)
        except self._ngspice.failures as failure:
            deck = self._loaded.text()
            self.unload()
            raise ConvergenceError(
                self._failed("does not follow the circuit in time", deck, failure)
            ) from None
        finally:
            self._ngspice.exec_command("destroy all")

    def driven_transient(
        self,
        duration: float,
        step: float,
        value: Callable[[str, float], float],
        accepted: Callable[[float, Mapping[str, complex]], None],
    ) -> None:
        """Run the loaded circuit in time, its external sources driven from here.

        Parameters
        ----------
        duration, step : float [s]
            Of the whole, and the longest step.
        value : callable
            Value of the external source of a name at a time, asked for in every iteration.
        accepted : callable
            Told each time that ngspice has accepted, with the voltages that the deck saves.

        Raises
        ------
        ConvergenceError
            See `transient`. What the callables raise ends the run, and is raised here.
        """
        assert self._loaded is not None
        failures: list[BaseException] = []

        def drive(values: Any, time: float, name: str, _: int) -> int:
            # ngspice gives up where a source is not a number.
            values[0] = np.nan if failures else value(name, time)
            return 0

        def tell(vectors: Mapping[str, complex], *_: int) -> int:
            try:
                if not failures:
                    accepted(vectors["time"].real, vectors)
            except BaseException as failure:
                failures.append(failure)
            return 0

        ngspice = self._ngspice
        ngspice.get_vsrc_data = ngspice.get_isrc_data = drive
        ngspice.send_data, type(ngspice).listening = tell, True
        try:
            ngspice.exec_command(f"tran {step!r} {duration!r} 0 {step!r} uic")
        except ngspice.failures as failure:
            if not failures:
                raise ConvergenceError(
                    self._failed(
                        "does not follow the circuit in time", self._loaded.text(), failure
                    )
                ) from None
        finally:
            type(ngspice).listening = False
            del ngspice.get_vsrc_data, ngspice.get_isrc_data, ngspice.send_data
            ngspice.exec_command("destroy all")
            self.unload()
        if failures:
            raise failures[0]

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
        listening = False

        @staticmethod
        def _send_data(data: Any, *rest: Any) -> Any:
            # After every analysis and time step: PySpice would unpack all vectors.
            return NgSpiceShared._send_data(data, *rest) if NgSpice.listening else 0

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

        def waveforms(self, names: Sequence[str]) -> list[Array]:
            found = []
            for name in names:
                vector = self._ngspice_shared.ngGet_Vec_Info(name.encode())
                if not vector or not vector.v_length:
                    raise NgSpiceCommandError(f"there is no waveform of {name}")
                found.append(np.array(list(vector.v_realdata[0 : vector.v_length])))
            return found

        def _raise_errors(self) -> None:
            wrong = [line for line in self._stderr if not line.strip().startswith(_NOTES)]
            if self._error_in_stdout:
                wrong += [line for line in self._stdout if "error" in line.lower()]
            if wrong:
                raise NgSpiceCommandError(" ".join(" ".join(wrong[:3]).split()))

    NgSpiceShared.LIBRARY_PATH = library
    return NgSpice.new_instance(send_data=True)
